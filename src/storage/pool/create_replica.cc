// Why this file exists: creating a replica (lvs-format section 14.6): a thick one owns zeroed
// clusters and complete extent pages before the one root write that makes it exist.
#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "storage/pool/pool_impl.h"

namespace capstan::storage::lvs {

Result<void> PoolImpl::check_map_room(std::uint64_t clusters, std::uint64_t before) const {
  std::uint64_t groups = clusters / kGroupClusters + 1;
  for (const auto& [id, volume] : store_->volumes()) groups += volume->blob.groups.size() + 1;
  if (groups - std::min(groups, before) <= limits::kPoolMapGroupsMax) return {};
  return fail(Code::kResourceExhausted,
              "the replicas of pool '" + store_->name() +
                  "' would be larger together than a "
                  "pool may promise (" +
                  std::to_string(limits::kPoolMapGroupsMax) + " times 512 clusters): delete some",
              ENOSPC);
}

Result<void> PoolImpl::check_new(const ReplicaOptions& options) const {
  const PoolInfo now = info();
  if (options.name.empty() || options.name.size() > limits::kReplicaNameBytesMax ||
      options.name.find('\0') != std::string::npos) {
    return fail(
        Code::kInvalidArgument,
        "a replica's name has 1 to " + std::to_string(limits::kReplicaNameBytesMax) + " bytes",
        EINVAL);
  }
  if (options.entity_id && 9 + 9 + options.entity_id->size() + 1 > kDescriptorBytes)
    return fail(Code::kInvalidArgument, "the entity id is too long", EINVAL);
  for (const auto& [id, volume] : store_->volumes()) {
    const bool same_name = volume->blob.name() == options.name;
    if (!same_name && (options.uuid.is_nil() || volume->blob.uuid() != options.uuid)) continue;
    return fail(
        Code::kAlreadyExists,
        "pool '" + store_->name() + "' has a replica " +
            (same_name ? "named '" + options.name + "'" : "with uuid " + options.uuid.text()) +
            " already",
        EEXIST);
  }
  if (options.size_bytes == 0)
    return fail(Code::kInvalidArgument, "replica '" + options.name + "' needs a size", EINVAL);
  if (options.size_bytes > now.capacity_bytes) {
    return fail(Code::kOutOfRange,
                "replica '" + options.name + "' (" + std::to_string(options.size_bytes) +
                    " bytes) is larger than pool '" + store_->name() + "' (" +
                    std::to_string(now.capacity_bytes) + " bytes)",
                EOVERFLOW);
  }
  const std::uint64_t clusters =
      (options.size_bytes + now.cluster_size_bytes - 1) / now.cluster_size_bytes;
  TRY(check_map_room(clusters, 0));
  const std::uint64_t free = now.capacity_bytes - now.used_bytes;
  if (!options.thin && options.size_bytes > free) {
    return fail(Code::kResourceExhausted,
                "pool '" + store_->name() + "' has only " + std::to_string(free) +
                    " bytes free: make replica '" + options.name + "' thin or smaller",
                ENOSPC);
  }
  return {};
}

Blob PoolImpl::new_blob(const ReplicaOptions& options) const {
  const std::uint64_t cluster = store_->geometry().cluster_size;
  Blob blob;
  blob.flags.invalid = kFlagExtentTable | (options.thin ? kFlagThin : 0);
  blob.flags.md_ro = store_->device().supports_unmap() ? kClearUnmap : kClearNone;
  blob.xattrs = {{"name", padded_name(options.name)}, {"uuid", uuid_value(options.uuid)}};
  if (options.entity_id) blob.xattrs.push_back({"entity_id", *options.entity_id + '\0'});
  blob.resize((options.size_bytes + cluster - 1) / cluster);
  return blob;
}

core::Task<Result<void>> PoolImpl::fill_thick(Volume& volume) {
  Blob& blob = volume.blob;
  for (std::uint64_t index = 0; index < blob.num_clusters; ++index) {
    CO_TRY_SET(std::uint32_t cluster, store_->take_cluster());
    blob.set_cluster(index, cluster);
  }
  CO_TRY(co_await store_->zero_mapped(blob, 0));
  CO_TRY_SET(std::vector<std::uint32_t> pages, co_await store_->take_pages(blob.groups.size()));
  std::vector<std::pair<std::uint32_t, Page>> writes;
  for (std::size_t group = 0; group < pages.size(); ++group) {
    blob.groups[group].page = pages[group];
    writes.emplace_back(pages[group], encode_group(blob, group));
  }
  co_return co_await store_->write_pages(std::move(writes));
}

// Chain pages (a root of new attributes always fits one page) and the root itself.
core::Task<Result<void>> PoolImpl::place(Volume& volume) {
  Blob& blob = volume.blob;
  CO_TRY_SET(std::uint32_t root, co_await store_->take_page(true));
  blob.id = blob_id_of(root);
  blob.chain = {root};
  if (!blob.thin()) CO_TRY(co_await fill_thick(volume));
  CO_TRY_SET(std::vector<std::uint32_t> more,
             co_await store_->take_pages(encode_chain(blob).pages() - 1));
  blob.chain.insert(blob.chain.end(), more.begin(), more.end());
  std::vector<Page> pages = encode_chain(blob).seal(blob.id, blob.chain);
  std::vector<std::pair<std::uint32_t, Page>> writes;
  for (std::size_t i = 1; i < pages.size(); ++i) writes.emplace_back(blob.chain[i], pages[i]);
  if (!blob.thin() || !writes.empty()) {  // a thin root alone names nothing that could be missing
    CO_TRY(co_await store_->write_pages(std::move(writes)));
    CO_TRY(co_await store_->barrier());
  }
  CO_TRY(co_await store_->write_root(root, pages.front()));
  co_return co_await store_->barrier();
}

void PoolImpl::give_up(Volume& volume) {
  if (store_->fault()) return;  // the disk may name all this: it stays reserved until a load
  volume.blob.for_each_cluster(
      [&](std::uint64_t, std::uint32_t cluster) { store_->allocator().free_cluster(cluster); });
  for (std::uint32_t page : volume.blob.pages()) store_->allocator().free_page(page);
}

core::Task<Result<std::shared_ptr<Replica>>> PoolImpl::create_replica(ReplicaOptions options) {
  core::Mutex::Guard guard = co_await store_->management().lock();
  CO_TRY(store_->check_writable());
  CO_TRY(check_new(options));
  if (options.uuid.is_nil()) options.uuid = env_.random_uuid();
  CO_TRY(co_await store_->begin_change());
  auto volume = std::make_shared<Volume>();
  volume->blob = new_blob(options);
  auto placed = co_await place(*volume);
  if (!placed) {
    give_up(*volume);
    co_return std::unexpected(
        std::move(placed.error()).within("create replica '" + options.name + "'"));
  }
  store_->volumes()[volume->blob.id] = volume;
  auto replica = std::make_shared<ReplicaImpl>(store_, volume);
  replicas_[replica->name()] = replica;
  co_return std::shared_ptr<Replica>(std::move(replica));
}

}  // namespace capstan::storage::lvs
