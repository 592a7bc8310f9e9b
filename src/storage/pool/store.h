// Why this file exists: a loaded pool: what its replicas and its management share, and the only
// code that writes metadata. Every change goes through here in the order that makes it survive a
// crash (lvs-format section 14): contents, new pages, barrier, the one commit write, barrier if the
// caller must answer, and only then reuse of what the old state named.
//
// When a metadata write or a flush fails, nobody knows what is on the device: the store is faulted,
// reads go on, everything that would change it is refused until the next load. So it is when the
// device is gone. Where only data cannot be read or written, or the device has not answered for
// long, the store is degraded and goes on.
// Locks, outermost first: Store::management, Volume::meta, cluster locks are taken before meta.
// Ownership: shared by the Pool and its Replicas; a closed Store only refuses.
// Thread-safety: core 0.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/sync.h"
#include "core/task.h"
#include "storage/device/device.h"
#include "storage/pool/allocator.h"
#include "storage/pool/barrier.h"
#include "storage/pool/blob.h"
#include "storage/pool/cluster_locks.h"
#include "storage/pool/io_gate.h"
#include "storage/pool/load.h"
#include "storage/pool/pool.h"
#include "storage/pool/request_watch.h"

namespace capstan::storage::lvs {

struct MapRequest {
  std::uint64_t index = 0;
  std::uint32_t cluster = 0;
  Result<void> result;
  bool done = false;
  bool gives_back = false;  // a cluster stood there before, and nobody else names it now
};

// A blob in use. A faulted one (fault not empty) is only listed and may be deleted; until then
// nobody gets what it names, whoever else names it too.
struct Volume {
  Blob blob;
  std::shared_ptr<Volume> parent;
  unsigned clones = 0;
  std::string fault;
  bool unreadable = false;
  std::vector<std::uint32_t> disk_pages;  // only for a faulted one
  std::optional<std::uint64_t> ends_at;   // in clusters, while it is being made shorter

  core::Mutex meta;  // one change of the blob's pages at a time
  IoGate gate;
  ClusterLocks locks;
  std::vector<MapRequest*> map_queue;  // no deque: an empty one has half a KiB
  bool map_running = false;
  core::Event map_changed;

  bool writable() const { return !blob.read_only() && clones == 0; }
  std::uint64_t clusters() const { return ends_at.value_or(blob.num_clusters); }
};

// What commit() changes; what is not mentioned stays.
struct BlobEdit {
  struct Change {
    std::uint64_t index;
    std::uint32_t cluster;
  };
  // Another size: the map as it will be. `copy_groups` are those of the new map then.
  struct Resized {
    std::uint64_t num_clusters = 0;
    std::vector<ExtentGroup> groups;
  };
  std::vector<Change> map;  // never together with `resized`
  std::optional<Resized> resized;
  std::vector<std::size_t> copy_groups;  // extent pages to write to new places, ascending
  std::optional<std::vector<Xattr>> xattrs;
};

class Store {
 public:
  Store(std::shared_ptr<Device> device, StoreImage image, bool release_on_unmap);

  // --- what it is ---
  Device& device() const { return *device_; }
  const std::shared_ptr<Device>& shared_device() const { return device_; }
  const std::string& name() const { return name_; }
  Uuid uuid() const { return uuid_; }
  const Geometry& geometry() const { return geometry_; }
  const SuperBlock& super() const { return super_; }
  Allocator& allocator() { return allocator_; }
  const Allocator& allocator() const { return allocator_; }
  bool release_on_unmap() const { return release_on_unmap_; }
  const std::vector<std::string>& notes() const { return notes_; }
  // By blob id; without the super blob.
  std::map<std::uint64_t, std::shared_ptr<Volume>>& volumes() { return volumes_; }
  const std::map<std::uint64_t, std::shared_ptr<Volume>>& volumes() const { return volumes_; }
  core::Mutex& management() { return management_; }

  bool closed() const { return closed_; }
  const std::optional<Error>& fault() const { return fault_; }
  Result<void> check_usable() const;    // not closed
  Result<void> check_writable() const;  // not closed, not faulted

  // --- health (store_health.cc) ---
  const PoolHealth& health() const { return health_; }
  void on_health_change(std::function<void(const PoolHealth&)> tell) { tell_ = std::move(tell); }
  void device_lost(const std::string& why);
  // Every read, write and flush of the device has an entry while it is in flight, and zeroing
  // within one cluster; unmapping and zeroing of whole ranges may take any time.
  RequestWatch& watch() { return watch_; }
  // What an operation of the device on data ended with, passed on; a failure is remembered.
  Result<void> judged(Result<void> result) {
    if (!result) note_data_error(result.error());
    return result;
  }

  // --- durability (store.cc) ---
  // Before anything else is written: the super block says "not unloaded", repairs are done.
  core::Task<Result<void>> begin_change();
  core::Task<Result<void>> barrier();
  core::Task<Result<std::uint32_t>> take_page(bool root = false);  // EMFILE when there is none
  core::Task<Result<std::vector<std::uint32_t>>> take_pages(std::size_t count);  // all or none
  Result<std::uint32_t> take_cluster();                 // ENOSPC when there is none
  void retire_pages(std::vector<std::uint32_t> pages);  // free once the present state is durable
  // A damaged volume names it too: whoever stops naming it does not give it back.
  bool held(std::uint32_t cluster) const;

  // --- metadata (store_commit.cc); the caller holds volume.meta ---
  // Writes new pages, a barrier, the root. Visible in memory when it succeeds. Durable after the
  // next barrier.
  core::Task<Result<void>> commit(Volume& volume, BlobEdit edit);
  core::Task<Result<void>> write_root(std::uint32_t number, Page page);
  // Durable when it returns.
  core::Task<Result<void>> erase_root(std::uint32_t number);
  core::Task<Result<void>> write_pages(std::vector<std::pair<std::uint32_t, Page>> pages);

  // --- the map (store_map.cc) ---
  // Sets one entry of the map, together with all other requests for this volume that wait. True
  // when the cluster that stood there may be given back after the next barrier.
  core::Task<Result<bool>> change_map(Volume& volume, std::uint64_t index, std::uint32_t cluster);
  // Where a cluster's content lies: this volume or an ancestor; nothing = zeros.
  struct Source {
    std::uint32_t cluster;
    bool own;
  };
  static std::optional<Source> find_source(const Volume& volume, std::uint64_t index);

  // --- sizes (store_resize.cc) ---
  // `clusters` is another size than the volume has; the caller holds management(). Growth of a
  // thick volume zeroes what it takes; a shrink waits for the requests that are in flight. Durable
  // when it returns. kResourceExhausted with ENOSPC or EMFILE changes nothing.
  core::Task<Result<void>> resize_volume(std::shared_ptr<Volume> volume, std::uint64_t clusters);
  // Zeroes the clusters of `blob` from index `from` on, none of which is a hole; the blob stays as
  // it is meanwhile.
  core::Task<Result<void>> zero_mapped(const Blob& blob, std::uint64_t from);
  // Takes the device's size of now. False when it has no room for another cluster. Durable when it
  // returns. kFailedPrecondition: the device is smaller than the pool; kResourceExhausted (ENOSPC):
  // the metadata has no room for so many clusters.
  core::Task<Result<bool>> grow();

  // --- lifetime (store_close.cc) ---
  core::Task<Result<void>> unload();
  core::Task<Result<void>> destroy();
  // Deletes on disk and in memory; the caller has closed and drained the gate.
  core::Task<Result<void>> remove_volume(std::shared_ptr<Volume> volume);
  core::Task<void> discard_and_free(std::vector<std::uint32_t> clusters);

 private:
  void adopt(StoreImage image);
  void rebuild_allocator();
  void forget_disk_pages();
  // Everything that a volume names, valid numbers only.
  struct Named {
    Bitmap pages, clusters;
  };
  void collect(const Volume& volume, Named& into) const;
  void hold_damaged();
  core::Task<Result<void>> let_go(Volume& volume);
  void add_unexplained(Named& to);
  void link_parents();
  // A metadata write or a flush failed, or the device is gone: the error, with the pool's name.
  Error record_fault(Error error);
  void note_data_error(const Error& error);
  void note_stall();
  void worsen(PoolHealth::State state, std::string reason);
  core::Task<Result<void>> write_super();
  Result<std::optional<SuperBlock>> plan_growth() const;
  core::Task<Result<void>> change_size(Volume& volume, std::uint64_t clusters);
  core::Task<Result<void>> repair();
  core::Task<Result<void>> repair_shadows();
  core::Task<Result<void>> repair_blobs(Rewrite when);
  core::Task<Result<void>> write_mask(MaskType type, const Bitmap& bits, std::uint32_t start,
                                      std::uint32_t len);
  core::Task<Result<void>> write_clean_state();
  Bitmap used_blob_ids() const;
  core::Task<void> close_gates();
  core::Task<void> run_map_batch(Volume& volume);
  core::Task<Result<void>> write_group_in_place(Volume& volume, std::size_t group,
                                                const std::vector<MapRequest*>& requests);

  std::shared_ptr<Device> device_;
  std::string name_;
  Uuid uuid_;
  SuperBlock super_;
  Geometry geometry_;
  bool release_on_unmap_;
  Allocator allocator_;
  RequestWatch watch_;
  Barrier barrier_;
  std::map<std::uint64_t, std::shared_ptr<Volume>> volumes_;
  std::shared_ptr<Volume> super_volume_;
  core::Mutex management_, change_mutex_;

  bool changing_ = false;    // begin_change() has done its work
  bool disk_dirty_ = false;  // the super block on disk says clean 0
  bool recovered_ = false;   // the masks on disk are not to be believed
  bool closed_ = false;
  std::optional<Error> fault_;
  PoolHealth health_;
  std::function<void(const PoolHealth&)> tell_;

  // Repairs due before the first change.
  std::map<std::uint64_t, Rewrite> rewrites_;
  std::map<std::uint32_t, Page> restored_;
  std::vector<std::uint32_t> shadow_pages_, dead_roots_, reserved_pages_;
  std::optional<Bitmap> mask_pages_, mask_clusters_;
  std::optional<Named> held_;  // what faulted volumes name; nothing when there are none
  // What only the masks of a clean pool say is used: it may be an unreadable volume's.
  std::optional<Named> unexplained_;
  std::vector<std::string> notes_;
};

}  // namespace capstan::storage::lvs
