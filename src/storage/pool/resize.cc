// Why this file exists: who may resize a replica and to what, and the growth of a pool
// (io-engine-behaviour sections 7.5 and 8.4). How it reaches the disk is store_resize.cc.
#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "storage/pool/pool_impl.h"

namespace capstan::storage::lvs {

Result<void> PoolImpl::check_resize(const ReplicaImpl& replica, std::uint64_t size_bytes) const {
  const Blob& blob = replica.volume()->blob;
  const Geometry& geometry = store_->geometry();
  const std::string what = "replica '" + replica.name() + "'";
  if (size_bytes == 0)
    return fail(Code::kInvalidArgument, what + " needs a size; to delete it, destroy it", EINVAL);
  if (!replica.volume()->writable()) {
    return fail(Code::kPermissionDenied,
                what + " is read-only (a snapshot) and keeps its size: resize a clone of it",
                EPERM);
  }
  if (blob.metadata_read_only()) {
    return fail(Code::kFailedPrecondition, what + " was written by a newer format", EPERM);
  }
  const std::uint64_t before = blob.num_clusters * geometry.cluster_size;
  const std::uint64_t pool = std::uint64_t{geometry.data_clusters()} * geometry.cluster_size;
  if (size_bytes > before && size_bytes > pool) {
    return fail(Code::kOutOfRange,
                what + " would be larger (" + std::to_string(size_bytes) + " bytes) than pool '" +
                    store_->name() + "' (" + std::to_string(pool) + " bytes)",
                EOVERFLOW);
  }
  const std::uint64_t clusters = (size_bytes + geometry.cluster_size - 1) / geometry.cluster_size;
  if (clusters < blob.num_clusters && replica.claimed()) {
    return fail(Code::kFailedPrecondition,
                what + " is in use by " + replica.claimed_by() +
                    ", which relies on its size: it can only grow",
                EBUSY);
  }
  if (clusters <= blob.num_clusters) return {};
  const std::uint64_t free_clusters = store_->allocator().free_clusters();
  if (!blob.thin() && clusters - blob.num_clusters > free_clusters) {
    return fail(Code::kResourceExhausted,
                "pool '" + store_->name() + "' has " +
                    std::to_string(free_clusters * geometry.cluster_size) + " bytes free: " + what +
                    " cannot grow to " + std::to_string(size_bytes) + " bytes",
                ENOSPC);
  }
  return check_map_room(clusters, blob.groups.size() + 1);
}

core::Task<Result<void>> PoolImpl::resize_replica(Uuid uuid, std::uint64_t size_bytes) {
  core::Mutex::Guard guard = co_await store_->management().lock();
  CO_TRY(store_->check_writable());
  const std::shared_ptr<ReplicaImpl> replica = replica_of(uuid);
  if (!replica) co_return not_found(*store_, uuid);
  CO_TRY(check_resize(*replica, size_bytes));
  const std::uint64_t cluster = store_->geometry().cluster_size;
  const std::uint64_t clusters = (size_bytes + cluster - 1) / cluster;
  if (clusters == replica->volume()->blob.num_clusters) co_return Result<void>{};
  auto resized = co_await store_->resize_volume(replica->volume(), clusters);
  if (resized) co_return Result<void>{};
  co_return std::unexpected(
      std::move(resized.error()).within("resize replica '" + replica->name() + "'"));
}

core::Task<Result<bool>> PoolImpl::grow() {
  core::Mutex::Guard guard = co_await store_->management().lock();
  co_return co_await store_->grow();
}

}  // namespace capstan::storage::lvs
