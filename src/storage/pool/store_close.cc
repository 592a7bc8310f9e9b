// Why this file exists: how a Store and its volumes end: clean unload (masks durable before the
// super block says so), destruction of the pool (super block first), deletion of a volume (root
// first, everything else only after that is durable).
#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "storage/pool/format.h"
#include "storage/pool/store.h"

namespace capstan::storage::lvs {

core::Task<void> Store::close_gates() {
  for (auto& [id, volume] : volumes_) volume->gate.close();
  std::vector<std::shared_ptr<Volume>> all;
  for (auto& [id, volume] : volumes_) all.push_back(volume);
  for (auto& volume : all) co_await volume->gate.drained();
}

Bitmap Store::used_blob_ids() const {
  Bitmap ids(geometry_.md_len);
  ids.set(root_page_of(super_.super_blob));
  for (const auto& [id, volume] : volumes_) ids.set(volume->blob.root_page());
  return ids;
}

core::Task<Result<void>> Store::write_mask(MaskType type, const Bitmap& bits, std::uint32_t start,
                                           std::uint32_t len) {
  // In full length, but what follows the bits is only zeros, however much a super block claims.
  const std::uint64_t stride = geometry_.page_stride;
  const std::uint64_t bytes = (mask_bytes(bits.size()) + stride - 1) / stride * stride;
  const std::vector<std::uint8_t> raw = encode_mask(type, bits, bytes);
  const std::uint64_t rest = len * stride - bytes;
  if (rest != 0) {
    auto zeroed = co_await device_->write_zeroes(geometry_.device_page(start) + bytes, rest);
    if (!zeroed) co_return std::unexpected(record_fault(std::move(zeroed.error())));
  }
  for (std::size_t at = 0; at < raw.size(); at += limits::kPoolScanReadBytes) {
    const std::size_t count = std::min(raw.size() - at, limits::kPoolScanReadBytes);
    auto written = co_await device_->write(geometry_.device_page(start) + at,
                                           ByteView(raw).subspan(at, count));
    if (!written) co_return std::unexpected(record_fault(std::move(written.error())));
  }
  co_return Result<void>{};
}

core::Task<Result<void>> Store::write_clean_state() {
  CO_TRY(co_await begin_change());  // repairs that are due
  CO_TRY(co_await barrier());
  CO_TRY(co_await write_mask(MaskType::kPages, allocator_.pages(), super_.page_mask_start,
                             super_.page_mask_len));
  if (super_.blobid_mask_len != 0) {
    CO_TRY(co_await write_mask(MaskType::kBlobIds, used_blob_ids(), super_.blobid_mask_start,
                               super_.blobid_mask_len));
  }
  CO_TRY(co_await write_mask(MaskType::kClusters, allocator_.clusters(), super_.cluster_mask_start,
                             super_.cluster_mask_len));
  CO_TRY(co_await barrier());
  super_.clean = 1;
  CO_TRY(co_await write_super());
  co_return co_await barrier();
}

core::Task<Result<void>> Store::unload() {
  core::Mutex::Guard guard = co_await management_.lock();
  CO_TRY(check_usable());
  co_await close_gates();
  Result<void> written;
  // A faulted pool stays as it is on disk: the next load recovers it. One that was clean and whose
  // metadata never changed is still clean; its data may have been written over, though.
  if (fault_)
    (void)co_await barrier_.pass();  // for what can still be saved
  else if (disk_dirty_ || recovered_)
    written = co_await write_clean_state();
  else
    written = co_await barrier();
  closed_ = true;
  device_->release();
  co_return written;
}

core::Task<Result<void>> Store::destroy() {
  core::Mutex::Guard guard = co_await management_.lock();
  CO_TRY(check_usable());
  co_await close_gates();
  Result<void> gone = co_await erase_super(*device_);
  if (!gone) {
    Error error = record_fault(std::move(gone.error()));
    for (auto& [id, volume] : volumes_) volume->gate.reopen();
    co_return std::unexpected(std::move(error));
  }
  std::vector<std::uint32_t> used;
  allocator_.clusters().for_each_set([&](std::uint64_t cluster) {
    if (cluster >= geometry_.md_clusters) used.push_back(static_cast<std::uint32_t>(cluster));
  });
  co_await discard_and_free(std::move(used));
  closed_ = true;
  device_->release();
  co_return Result<void>{};
}

// Discarding is a service to the disk: it may fail, and nobody relies on what it leaves behind.
core::Task<void> Store::discard_and_free(std::vector<std::uint32_t> clusters) {
  std::ranges::sort(clusters);
  for (std::size_t at = 0; at < clusters.size() && device_->supports_unmap();) {
    std::size_t end = at + 1;
    while (end < clusters.size() && clusters[end] == clusters[end - 1] + 1) ++end;
    (void)co_await device_->unmap(geometry_.cluster(clusters[at]),
                                  std::uint64_t{end - at} * geometry_.cluster_size);
    at = end;
  }
  for (std::uint32_t cluster : clusters) allocator_.free_cluster(cluster);
}

core::Task<Result<void>> Store::remove_volume(std::shared_ptr<Volume> volume) {
  CO_TRY(co_await begin_change());
  core::Mutex::Guard guard = co_await volume->meta.lock();
  CO_TRY(co_await erase_root(volume->blob.root_page()));
  volumes_.erase(volume->blob.id);
  if (volume->parent) --volume->parent->clones;
  guard.release();
  co_return co_await let_go(*volume);
}

// With the last unreadable volume goes what may have been its own.
void Store::add_unexplained(Named& to) {
  for (const auto& [id, volume] : volumes_) {
    if (volume->unreadable) return;
  }
  if (!unexplained_) return;
  to.pages.merge(unexplained_->pages);
  to.clusters.merge(unexplained_->clusters);
  unexplained_.reset();
}

// The volume is gone, durably: what only it named is free.
core::Task<Result<void>> Store::let_go(Volume& volume) {
  Named named{Bitmap(geometry_.md_len), Bitmap(geometry_.total_clusters)};
  collect(volume, named);
  if (volume.fault.empty()) {
    if (held_) {
      named.pages.subtract(held_->pages);
      named.clusters.subtract(held_->clusters);
    }
  } else {
    // It may name what belongs to others.
    Named others{Bitmap(geometry_.md_len), Bitmap(geometry_.total_clusters)};
    collect(*super_volume_, others);
    for (auto& [id, other] : volumes_) collect(*other, others);
    named.pages.subtract(others.pages);
    named.clusters.subtract(others.clusters);
    hold_damaged();
    add_unexplained(named);
    // Another volume may have ceased to name the same only a moment ago.
    CO_TRY(co_await barrier());
  }
  named.pages.for_each_set(
      [&](auto page) { allocator_.free_page(static_cast<std::uint32_t>(page)); });
  std::vector<std::uint32_t> clusters;
  named.clusters.for_each_set(
      [&](auto cluster) { clusters.push_back(static_cast<std::uint32_t>(cluster)); });
  co_await discard_and_free(std::move(clusters));
  co_return Result<void>{};
}

}  // namespace capstan::storage::lvs
