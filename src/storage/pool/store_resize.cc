// Why this file exists: other sizes, of volumes and of the whole pool (lvs-format section 14.6).
// A volume gets its new size by one root write, as with every other change; what a shrink cuts off
// is given back after that is durable. A pool grows by one write of the super block. That write
// changes the size, and where 4096 bytes can tear it must not need its last sector as well: four
// reserved bytes of the first one are chosen so that the checksum stays what it was.
#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "storage/pool/store.h"

namespace capstan::storage::lvs {
namespace {

// Extent pages that have to be written anew when `before` becomes `after`: the one in which the
// shorter of the two ends, and all that a thick growth fills.
std::vector<std::size_t> changed_groups(const Blob& before, const Blob& after) {
  std::vector<std::size_t> groups;
  if (!after.extent_table) return groups;
  const std::uint64_t end = std::min(before.num_clusters, after.num_clusters);
  const bool fills = !after.thin() && after.num_clusters > before.num_clusters;
  const std::size_t first = end / kGroupClusters;
  if (end % kGroupClusters != 0 && (fills || after.groups[first].page != 0))
    groups.push_back(first);
  for (std::size_t at = first + groups.size(); fills && at < after.groups.size(); ++at)
    groups.push_back(at);
  return groups;
}

}  // namespace

core::Task<Result<void>> Store::zero_mapped(const Blob& blob, std::uint64_t from) {
  for (std::uint64_t index = from; index < blob.num_clusters;) {
    const std::uint32_t first = blob.cluster_at(index);
    std::uint64_t count = 1;
    while (index + count < blob.num_clusters && blob.cluster_at(index + count) == first + count &&
           (count + 1) * geometry_.cluster_size <= limits::kClusterBytesMax)
      ++count;
    CO_TRY(judged(
        co_await device_->write_zeroes(geometry_.cluster(first), count * geometry_.cluster_size)));
    index += count;
  }
  co_return Result<void>{};
}

core::Task<Result<void>> Store::resize_volume(std::shared_ptr<Volume> volume,
                                              std::uint64_t clusters) {
  CO_TRY(co_await begin_change());
  if (clusters < volume->blob.num_clusters) {
    volume->ends_at = clusters;
    co_await volume->gate.turn_over();
  }
  auto changed = co_await change_size(*volume, clusters);
  volume->ends_at.reset();
  co_return changed;
}

core::Task<Result<void>> Store::change_size(Volume& volume, std::uint64_t clusters) {
  core::Mutex::Guard guard = co_await volume.meta.lock();
  const std::uint64_t before = volume.blob.num_clusters;
  std::vector<std::uint32_t> taken, cut;
  volume.blob.for_each_cluster([&](std::uint64_t index, std::uint32_t cluster) {
    if (index >= clusters && !held(cluster)) cut.push_back(cluster);
  });
  Blob next = volume.blob;
  next.resize(clusters);
  Result<void> done;
  for (std::uint64_t index = before; !next.thin() && index < clusters && done; ++index) {
    auto cluster = take_cluster();
    if (cluster) {
      taken.push_back(*cluster);
      next.set_cluster(index, *cluster);
    } else {
      done = std::unexpected(std::move(cluster.error()));
    }
  }
  if (done && !taken.empty()) done = co_await zero_mapped(next, before);
  if (done) {
    BlobEdit edit;
    edit.copy_groups = changed_groups(volume.blob, next);
    edit.resized = BlobEdit::Resized{next.num_clusters, std::move(next.groups)};
    done = co_await commit(volume, std::move(edit));
  }
  if (!done) {
    // After a failed commit the disk may name them; then the store is faulted and they stay taken.
    for (std::uint32_t cluster : taken) {
      if (!fault_) allocator_.free_cluster(cluster);
    }
    co_return done;
  }
  CO_TRY(co_await barrier());
  guard.release();
  co_await discard_and_free(std::move(cut));
  co_return Result<void>{};
}

// The super block as it will be, or nothing to do.
Result<std::optional<SuperBlock>> Store::plan_growth() const {
  const std::uint64_t clusters = device_->size_bytes() / geometry_.cluster_size;
  if (clusters < geometry_.total_clusters) {
    return fail(Code::kFailedPrecondition,
                "device '" + device_->name() + "' has " + std::to_string(device_->size_bytes()) +
                    " bytes and is smaller than pool '" + name_ +
                    "' on it: give it back its former size",
                EINVAL);
  }
  if (clusters == geometry_.total_clusters) return std::nullopt;
  const std::uint64_t most = growable_clusters(super_);
  if (clusters > most) {
    return fail(Code::kResourceExhausted,
                "pool '" + name_ + "' can grow to " +
                    std::to_string(most * geometry_.cluster_size) + " bytes, its device has " +
                    std::to_string(device_->size_bytes()) +
                    ": the room for metadata was fixed when the pool was created; make the device "
                    "smaller, or move the data to a pool made with larger clusters",
                ENOSPC);
  }
  SuperBlock grown = super_;
  grown.size = device_->size_bytes();
  const std::uint64_t pages =
      (mask_bytes(clusters) + geometry_.page_stride - 1) / geometry_.page_stride;
  grown.cluster_mask_len = std::max(super_.cluster_mask_len, static_cast<std::uint32_t>(pages));
  return grown;
}

core::Task<Result<bool>> Store::grow() {
  CO_TRY(check_writable());
  CO_TRY_SET(std::optional<SuperBlock> grown, plan_growth());
  if (!grown) co_return false;
  CO_TRY(co_await begin_change());
  grown->clean = super_.clean;
  std::size_t length = kPageBytes;
  if (!device_->atomic_4k()) {
    CO_TRY(keep_checksum(super_, *grown));
    length = std::min<std::size_t>(device_->block_size(), kPageBytes);
  }
  const Page page = encode_super(*grown);
  auto written = co_await device_->write(0, ByteView(page).first(length));
  if (!written) co_return std::unexpected(record_fault(std::move(written.error())));
  CO_TRY(co_await barrier());
  super_ = std::move(*grown);
  geometry_ = Geometry(super_, super_.size);
  allocator_.grow(geometry_.total_clusters);
  if (unexplained_) unexplained_->clusters.grow(geometry_.total_clusters);
  hold_damaged();
  co_return true;
}

}  // namespace capstan::storage::lvs
