// Why this file exists: simd-r-drive behind plain C functions, so that kv_bench measures it in the
// process and the run in which it measures the others. Whatever fails ends the program.
use simd_r_drive::traits::{DataStoreReader, DataStoreWriter};
use simd_r_drive::DataStore;
use std::path::Path;
use std::slice;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    size: usize,
}

impl Slice {
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        slice::from_raw_parts(self.data, self.size)
    }
}

unsafe fn gather<'a>(keys: *const Slice, count: usize) -> Vec<&'a [u8]> {
    slice::from_raw_parts(keys, count).iter().map(|key| key.bytes()).collect()
}

#[no_mangle]
pub unsafe extern "C" fn peer_open(path: Slice) -> *mut DataStore {
    let path = std::str::from_utf8(path.bytes()).expect("path");
    Box::into_raw(Box::new(DataStore::open(Path::new(path)).expect("open")))
}

#[no_mangle]
pub unsafe extern "C" fn peer_close(store: *mut DataStore) {
    drop(Box::from_raw(store));
}

#[no_mangle]
pub unsafe extern "C" fn peer_write(store: *const DataStore, key: Slice, value: Slice) {
    (*store).write(key.bytes(), value.bytes()).expect("write");
}

#[no_mangle]
pub unsafe extern "C" fn peer_batch_write(
    store: *const DataStore,
    keys: *const Slice,
    count: usize,
    value: Slice,
) {
    let value = value.bytes();
    let entries: Vec<_> = gather(keys, count).into_iter().map(|key| (key, value)).collect();
    (*store).batch_write(&entries).expect("batch_write");
}

/// The value's size.
#[no_mangle]
pub unsafe extern "C" fn peer_read(store: *const DataStore, key: Slice) -> usize {
    (*store).read(key.bytes()).expect("read").expect("a value").size()
}

/// The sum of the values' sizes.
#[no_mangle]
pub unsafe extern "C" fn peer_batch_read(
    store: *const DataStore,
    keys: *const Slice,
    count: usize,
) -> usize {
    let values = (*store).batch_read(&gather(keys, count)).expect("batch_read");
    values.iter().map(|value| value.as_ref().expect("a value").size()).sum()
}
