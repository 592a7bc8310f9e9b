// Why this file exists: the data path of a replica (lvs-format sections 7.4, 14.3, 14.4). A read
// follows each cluster through the ancestors. A write goes straight to a cluster that the volume
// owns; otherwise it fills a new cluster completely (ancestor data, zeros, the user's bytes) before
// the map may name it, so after a crash a cluster is either complete or free.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "core/buffer.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "storage/device/io_timer.h"
#include "storage/pool/replica_impl.h"

namespace capstan::storage::lvs {
namespace {
constexpr std::size_t kSegmentsAtOnce = 4096;  // looked at before others have their turn
}  // namespace

Result<IoGate::Pass> ReplicaImpl::enter(bool change) const {
  TRY(store_->check_usable());
  if (!volume_->gate.open()) {
    return fail(Code::kFailedPrecondition,
                "replica '" + name_ + "' is being taken down with its pool or destroyed", ENODEV);
  }
  if (change) {
    TRY(store_->check_writable());
    if (!volume_->writable()) {
      return fail(Code::kPermissionDenied,
                  "replica '" + name_ + "' is read-only (a snapshot): write to a clone of it",
                  EROFS);
    }
  }
  return volume_->gate.enter();
}

ReplicaImpl::Segment ReplicaImpl::first_segment(std::uint64_t offset, std::uint64_t length) const {
  const std::uint64_t size = store_->geometry().cluster_size;
  return {offset / size, offset % size, std::min(size - offset % size, length), {}};
}

// --- reading -----------------------------------------------------------------------------------

core::Task<void> ReplicaImpl::read_run(Store* store, Run run, Result<void>* result) {
  const RequestWatch::Entry watched(store->watch());
  *result = store->judged(co_await store->device().read(run.device_offset, run.into));
}

core::Task<Result<void>> ReplicaImpl::read_runs(std::vector<Run> runs) {
  if (runs.empty()) co_return Result<void>{};
  if (runs.size() == 1) {
    const RequestWatch::Entry watched(store_->watch());
    co_return store_->judged(
        co_await store_->device().read(runs.front().device_offset, runs.front().into));
  }
  for (std::size_t at = 0; at < runs.size(); at += limits::kReplicaSegmentsInFlight) {
    const std::size_t count = std::min(runs.size() - at, limits::kReplicaSegmentsInFlight);
    std::vector<Result<void>> results(count);
    core::Scope scope;
    for (std::size_t i = 0; i < count; ++i)
      scope.spawn(read_run(store_.get(), runs[at + i], &results[i]));
    co_await scope.join();
    for (Result<void>& result : results) CO_TRY(std::move(result));
  }
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::read(std::uint64_t offset, MutableBytes into) {
  CO_TRY(check_range(offset, into.size()));
  CO_TRY_SET(IoGate::Pass pass, enter(false));
  const IoTimer timer;
  const Segment segment = first_segment(offset, into.size());
  if (segment.length != into.size()) {
    CO_TRY(co_await read_segments(offset, into));
  } else if (!into.empty()) {
    auto guard = volume_->locks.try_lock_shared(segment.index);
    if (!guard) guard = co_await volume_->locks.lock_shared(segment.index);
    if (const auto source = Store::find_source(*volume_, segment.index)) {
      const std::uint64_t at = store_->geometry().cluster(source->cluster) + segment.within;
      const RequestWatch::Entry watched(store_->watch());
      CO_TRY(store_->judged(co_await store_->device().read(at, into)));
    } else {
      std::memset(into.data(), 0, into.size());
    }
  }
  timer.done(stats().read, into.size());
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::read_segments(std::uint64_t offset, MutableBytes into) {
  std::vector<ClusterLocks::Guard> guards;
  std::vector<Run> runs;
  std::uint64_t done = 0;
  while (done < into.size()) {
    const Segment segment = first_segment(offset + done, into.size() - done);
    guards.push_back(co_await volume_->locks.lock_shared(segment.index));
    MutableBytes part = into.subspan(done, segment.length);
    done += segment.length;
    auto source = Store::find_source(*volume_, segment.index);
    if (!source) {
      std::memset(part.data(), 0, part.size());
      continue;
    }
    const std::uint64_t at = store_->geometry().cluster(source->cluster) + segment.within;
    if (!runs.empty() && runs.back().into.data() + runs.back().into.size() == part.data() &&
        runs.back().device_offset + runs.back().into.size() == at)
      runs.back().into = {runs.back().into.data(), runs.back().into.size() + part.size()};
    else
      runs.push_back({at, part});
  }
  co_return co_await read_runs(std::move(runs));
}

core::Task<Result<std::vector<Device::Extent>>> ReplicaImpl::allocated(std::uint64_t offset,
                                                                       std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  CO_TRY_SET(IoGate::Pass pass, enter(false));
  std::vector<Extent> extents;
  std::size_t looked_at = 0;
  for (const std::uint64_t end = offset + length; offset < end;) {
    if (++looked_at % kSegmentsAtOnce == 0) co_await core::yield();
    const Segment segment = first_segment(offset, end - offset);
    const std::uint64_t at = std::exchange(offset, offset + segment.length);
    if (!Store::find_source(*volume_, segment.index)) continue;
    if (!extents.empty() && extents.back().offset + extents.back().length == at)
      extents.back().length += segment.length;
    else
      extents.push_back({at, segment.length});
  }
  co_return extents;
}

// --- changing ----------------------------------------------------------------------------------

core::Task<Result<void>> ReplicaImpl::write(std::uint64_t offset, ByteView from) {
  const IoTimer timer;
  CO_TRY(co_await change(Kind::kWrite, offset, from.size(), from));
  timer.done(stats().write, from.size());
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  const IoTimer timer;
  CO_TRY(co_await change(Kind::kZero, offset, length, {}));
  timer.done(stats().write, length);
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::unmap(std::uint64_t offset, std::uint64_t length) {
  const IoTimer timer;
  CO_TRY(co_await change(Kind::kUnmap, offset, length, {}));
  timer.done(stats().unmap, length);
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::flush() {
  CO_TRY_SET(IoGate::Pass pass, enter(false));
  co_return co_await store_->barrier();
}

// True for zeroing a hole that reads as zeros, and for unmapping a hole.
bool ReplicaImpl::needs_nothing(Kind kind, const Segment& segment) const {
  if (kind == Kind::kWrite || volume_->blob.cluster_at(segment.index) != 0) return false;
  return kind == Kind::kUnmap || !Store::find_source(*volume_, segment.index);
}

core::Task<void> ReplicaImpl::run_segment(ReplicaImpl* self, Kind kind, Segment segment,
                                          Result<void>* result) {
  *result = co_await self->change_segment(kind, segment);
}

core::Task<Result<void>> ReplicaImpl::change(Kind kind, std::uint64_t offset, std::uint64_t length,
                                             ByteView data) {
  CO_TRY(check_range(offset, length));
  CO_TRY_SET(IoGate::Pass pass, enter(true));
  if (Segment whole = first_segment(offset, length); length != 0 && whole.length == length) {
    whole.data = data;
    co_return co_await change_segment(kind, whole);
  }
  std::vector<Segment> batch;
  for (std::uint64_t done = 0; done < length;) {
    // Unmapping or zeroing a whole sparse disk is mostly nothing to do.
    batch.clear();
    for (std::size_t looked_at = 0; done < length && looked_at < kSegmentsAtOnce &&
                                    batch.size() < limits::kReplicaSegmentsInFlight;
         ++looked_at) {
      Segment segment = first_segment(offset + done, length - done);
      if (!data.empty()) segment.data = data.subspan(done, segment.length);
      done += segment.length;
      if (!needs_nothing(kind, segment)) batch.push_back(segment);
    }
    CO_TRY(co_await change_batch(kind, batch));
    if (done < length) co_await core::yield();
  }
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::change_batch(Kind kind, std::span<const Segment> batch) {
  if (batch.size() == 1) co_return co_await change_segment(kind, batch.front());
  std::vector<Result<void>> results(batch.size());
  core::Scope scope;
  for (std::size_t i = 0; i < batch.size(); ++i)
    scope.spawn(run_segment(this, kind, batch[i], &results[i]));
  co_await scope.join();
  for (Result<void>& result : results) CO_TRY(std::move(result));
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::change_segment(Kind kind, Segment segment) {
  const Blob& blob = volume_->blob;
  // Only a volume without ancestors may lose a cluster: in a clone the ancestor would show again.
  const bool releases = kind == Kind::kUnmap && store_->release_on_unmap() && blob.thin() &&
                        !volume_->parent && segment.length == store_->geometry().cluster_size;
  {
    auto guard = volume_->locks.try_lock_shared(segment.index);
    if (!guard) guard = co_await volume_->locks.lock_shared(segment.index);
    if (needs_nothing(kind, segment)) co_return Result<void>{};
    const std::uint32_t cluster = blob.cluster_at(segment.index);
    if (cluster != 0 && !releases) co_return co_await overwrite(kind, segment, cluster);
  }
  ClusterLocks::Guard guard = co_await volume_->locks.lock(segment.index);
  if (needs_nothing(kind, segment)) co_return Result<void>{};
  const std::uint32_t cluster = blob.cluster_at(segment.index);
  if (cluster == 0) co_return co_await allocate(segment, kind);
  if (releases) co_return co_await give_back(segment.index, cluster);
  co_return co_await overwrite(kind, segment, cluster);
}

core::Task<Result<void>> ReplicaImpl::overwrite(Kind kind, const Segment& segment,
                                                std::uint32_t cluster) {
  const std::uint64_t at = store_->geometry().cluster(cluster) + segment.within;
  const RequestWatch::Entry watched(store_->watch());
  if (kind == Kind::kWrite)
    co_return store_->judged(co_await store_->device().write(at, segment.data));
  // Unmapped parts read as zeros: what a device leaves after its own unmap is not defined.
  co_return store_->judged(co_await store_->device().write_zeroes(at, segment.length));
}

core::Task<Result<void>> ReplicaImpl::allocate(const Segment& segment, Kind kind) {
  CO_TRY(co_await store_->begin_change());
  std::optional<std::uint32_t> ancestor;
  if (auto source = Store::find_source(*volume_, segment.index)) ancestor = source->cluster;
  CO_TRY_SET(std::uint32_t cluster, store_->take_cluster());
  Result<void> done = store_->judged(co_await fill(segment, kind, cluster, ancestor));
  if (done) {
    auto mapped = co_await store_->change_map(*volume_, segment.index, cluster);
    if (!mapped) done = std::unexpected(std::move(mapped.error()));
  }
  // After a failed commit the disk may name the cluster; then the store is faulted and it stays
  // reserved.
  if (!done && !store_->fault()) store_->allocator().free_cluster(cluster);
  co_return done;
}

core::Task<Result<void>> ReplicaImpl::fill(const Segment& segment, Kind kind, std::uint32_t cluster,
                                           std::optional<std::uint32_t> ancestor) {
  Device& device = store_->device();
  const std::uint64_t size = store_->geometry().cluster_size;
  const std::uint64_t base = store_->geometry().cluster(cluster);
  const std::uint64_t end = segment.within + segment.length;
  if (ancestor && segment.length < size)
    co_return co_await copy_and_merge(segment, cluster, *ancestor);
  const RequestWatch::Entry watched(store_->watch());
  if (kind != Kind::kWrite) co_return co_await device.write_zeroes(base, size);
  if (segment.within != 0) CO_TRY(co_await device.write_zeroes(base, segment.within));
  if (end != size) CO_TRY(co_await device.write_zeroes(base + end, size - end));
  co_return co_await device.write(base + segment.within, segment.data);
}

core::Task<Result<void>> ReplicaImpl::copy_and_merge(const Segment& segment, std::uint32_t cluster,
                                                     std::uint32_t ancestor) {
  Device& device = store_->device();
  const Geometry& geometry = store_->geometry();
  const std::uint64_t end = segment.within + segment.length;
  core::Buffer buffer(std::min<std::uint64_t>(limits::kPoolCopyBytes, geometry.cluster_size));
  for (std::uint64_t at = 0; at < geometry.cluster_size;) {
    const std::uint64_t length = std::min<std::uint64_t>(buffer.size(), geometry.cluster_size - at);
    MutableBytes part = buffer.bytes().first(length);
    const std::uint64_t from = std::max(at, segment.within), to = std::min(at + length, end);
    const RequestWatch::Entry watched(store_->watch());
    if (from > at || to < at + length)
      CO_TRY(co_await device.read(geometry.cluster(ancestor) + at, part));
    if (from < to && segment.data.empty())
      std::memset(part.data() + (from - at), 0, to - from);
    else if (from < to)
      std::memcpy(part.data() + (from - at), segment.data.data() + (from - segment.within),
                  to - from);
    CO_TRY(co_await device.write(geometry.cluster(cluster) + at, part));
    at += length;
  }
  co_return Result<void>{};
}

core::Task<Result<void>> ReplicaImpl::give_back(std::uint64_t index, std::uint32_t cluster) {
  CO_TRY(co_await store_->begin_change());
  CO_TRY_SET(const bool free, co_await store_->change_map(*volume_, index, 0));
  // Nobody may have the cluster while a crash can bring the old map back.
  CO_TRY(co_await store_->barrier());
  if (!free) co_return Result<void>{};
  std::vector<std::uint32_t> freed{cluster};
  co_await store_->discard_and_free(std::move(freed));
  co_return Result<void>{};
}

}  // namespace capstan::storage::lvs
