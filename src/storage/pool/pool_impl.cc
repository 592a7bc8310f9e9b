// Why this file exists: the queries of a pool and the operations on what exists already
// (pool_impl.h); creating a replica is create_replica.cc.
#include "storage/pool/pool_impl.h"

#include <cerrno>
#include <set>

#include "base/limits.h"
#include "storage/pool/format.h"
#include "storage/pool/repair.h"

namespace capstan::storage {

using lvs::PoolImpl;
using lvs::Store;
using lvs::StoreImage;

core::Task<Result<PoolInfo>> Pool::probe(std::shared_ptr<Device> device) {
  auto image = co_await lvs::load_image(*device);
  if (!image) {
    co_return std::unexpected(std::move(image.error()).within("device '" + device->name() + "'"));
  }
  co_return lvs::describe(Store(device, std::move(*image), false));
}

core::Task<Result<std::unique_ptr<Pool>>> Pool::create(core::Env& env,
                                                       std::shared_ptr<Device> device,
                                                       std::string name, Uuid uuid,
                                                       PoolOptions options) {
  CO_TRY_SET(lvs::SuperBlock super, lvs::plan_format(*device, name, options));
  if (uuid.is_nil()) uuid = env.random_uuid();
  CO_TRY(device->claim("pool '" + name + "'"));
  if (auto empty = co_await lvs::refuse_existing(device, options.force); !empty) {
    device->release();
    co_return std::unexpected(std::move(empty.error()));
  }
  auto image = co_await lvs::write_format(*device, std::move(super), name, uuid);
  if (!image) {
    device->release();
    co_return std::unexpected(std::move(image.error()).within("create pool '" + name + "'"));
  }
  auto store = std::make_shared<Store>(device, std::move(*image), options.cluster_unmap);
  co_return std::make_unique<PoolImpl>(env, std::move(store));
}

core::Task<Result<std::unique_ptr<Pool>>> Pool::load(core::Env& env, std::shared_ptr<Device> device,
                                                     PoolOptions options) {
  CO_TRY(device->claim("a pool being loaded"));
  auto image = co_await lvs::load_image(*device);
  device->release();
  if (!image) {
    co_return std::unexpected(std::move(image.error()).within("device '" + device->name() + "'"));
  }
  CO_TRY(device->claim("pool '" + image->name + "'"));
  auto store = std::make_shared<Store>(device, std::move(*image), options.cluster_unmap);
  co_return std::make_unique<PoolImpl>(env, std::move(store));
}

core::Task<Result<void>> write_repairs(Pool& pool) {
  return dynamic_cast<PoolImpl&>(pool).repair();
}

}  // namespace capstan::storage

namespace capstan::storage::lvs {
std::unexpected<Error> not_found(const Store& store, const Uuid& uuid) {
  return fail(Code::kNotFound,
              "no replica with uuid " + uuid.text() + " in pool '" + store.name() + "'", ENOENT);
}

PoolInfo describe(const Store& store) {
  const Geometry& geometry = store.geometry();
  PoolInfo info;
  info.name = store.name();
  info.uuid = store.uuid();
  info.cluster_size_bytes = geometry.cluster_size;
  info.capacity_bytes = std::uint64_t{geometry.data_clusters()} * geometry.cluster_size;
  info.used_bytes = info.capacity_bytes - store.allocator().free_clusters() * geometry.cluster_size;
  for (const auto& [id, volume] : store.volumes()) {
    const Blob& blob = volume->blob;
    const bool snapshot = !blob.text("io-engine.snapshot_create_time").empty();
    info.committed_bytes +=
        (snapshot ? blob.allocated() : volume->clusters()) * geometry.cluster_size;
  }
  info.disk_capacity_bytes = store.device().size_bytes();
  info.growable_bytes = growable_clusters(store.super()) * geometry.cluster_size;
  info.page_size_bytes = kPageBytes;
  info.md_pages = geometry.md_len;
  info.md_used_pages = geometry.md_len - store.allocator().free_pages();
  info.block_size = store.super().block_size();
  info.health = store.health();
  info.faulted = info.health.state == PoolHealth::State::kFaulted;
  return info;
}

PoolImpl::PoolImpl(core::Env& env, std::shared_ptr<Store> store)
    : env_(env), store_(std::move(store)), device_(store_->shared_device()) {
  for (const auto& [id, volume] : store_->volumes()) {
    if (!volume->fault.empty()) continue;
    auto replica = std::make_shared<ReplicaImpl>(store_, volume);
    replicas_[replica->name()] = std::move(replica);
  }
  name_damaged();
}

PoolInfo PoolImpl::info() const {
  return describe(*store_);
}

std::vector<std::shared_ptr<Replica>> PoolImpl::replicas() const {
  std::vector<std::shared_ptr<Replica>> result;
  for (const auto& [name, replica] : replicas_) result.push_back(replica);
  return result;
}

std::vector<FaultedVolume> PoolImpl::faulted() const {
  std::vector<FaultedVolume> result;
  for (const auto& [id, volume] : store_->volumes()) {
    if (volume->fault.empty()) continue;
    result.push_back({id, volume->blob.name(), damaged_uuids_.at(id), volume->fault});
    if (result.back().name.empty()) result.back().name = "blob-" + std::to_string(id);
  }
  return result;
}

// Its own, unless that cannot be read or belongs to somebody else: whatever is listed can be named
// to delete it.
void PoolImpl::name_damaged() {
  std::set<Uuid> taken;
  for (const auto& [name, replica] : replicas_) taken.insert(replica->uuid());
  for (const auto& [id, volume] : store_->volumes()) {
    if (volume->fault.empty()) continue;
    Uuid uuid = volume->blob.uuid();
    if (uuid.is_nil() || !taken.insert(uuid).second)
      uuid = Uuid::from_name("damaged:" + store_->uuid().text() + ":" + std::to_string(id));
    damaged_uuids_[id] = uuid;
  }
}

std::shared_ptr<ReplicaImpl> PoolImpl::replica_of(const Uuid& uuid) const {
  for (const auto& [name, replica] : replicas_) {
    if (!uuid.is_nil() && replica->uuid() == uuid) return replica;
  }
  return nullptr;
}

std::shared_ptr<Replica> PoolImpl::find(const Uuid& uuid) const {
  return replica_of(uuid);
}

std::shared_ptr<Replica> PoolImpl::find(std::string_view name) const {
  auto found = replicas_.find(name);
  return found == replicas_.end() ? nullptr : found->second;
}

std::shared_ptr<Volume> PoolImpl::find_volume(const Uuid& uuid) const {
  if (auto replica = replica_of(uuid)) return replica->volume();
  for (const auto& [id, volume] : store_->volumes()) {
    if (!volume->fault.empty() && damaged_uuids_.at(id) == uuid) return volume;
  }
  return nullptr;
}

core::Task<Result<void>> PoolImpl::destroy_replica(Uuid uuid) {
  core::Mutex::Guard guard = co_await store_->management().lock();
  CO_TRY(store_->check_writable());
  std::shared_ptr<Volume> volume = find_volume(uuid);
  if (!volume) co_return not_found(*store_, uuid);
  const std::string name = volume->blob.name();
  if (volume->clones != 0) {
    co_return fail(Code::kFailedPrecondition,
                   "'" + name + "' is the base of " + std::to_string(volume->clones) +
                       " other volumes: destroy them first",
                   EBUSY);
  }
  std::shared_ptr<ReplicaImpl> replica = replica_of(uuid);
  if (replica && replica->claimed()) {
    co_return fail(Code::kFailedPrecondition,
                   "replica '" + name + "' is in use by " + replica->claimed_by(), EBUSY);
  }
  volume->gate.close();
  co_await volume->gate.drained();
  auto removed = co_await store_->remove_volume(volume);
  if (!removed) {
    volume->gate.reopen();
    co_return std::unexpected(std::move(removed.error()).within("destroy replica '" + name + "'"));
  }
  if (replica) replicas_.erase(name);
  co_return Result<void>{};
}

core::Task<Result<void>> PoolImpl::set_attribute(Uuid uuid, std::string key, std::string value) {
  core::Mutex::Guard guard = co_await store_->management().lock();
  CO_TRY(store_->check_writable());
  std::shared_ptr<ReplicaImpl> replica = replica_of(uuid);
  if (!replica) co_return not_found(*store_, uuid);
  const std::shared_ptr<Volume> volume = replica->volume();
  if (volume->blob.metadata_read_only()) {
    co_return fail(Code::kFailedPrecondition,
                   "replica '" + replica->name() + "' was written by a newer format", EPERM);
  }
  if (key.empty() || 9 + key.size() + value.size() > kDescriptorBytes || key == "name" ||
      key == "uuid") {
    co_return fail(Code::kInvalidArgument,
                   "attribute '" + key +
                       "' cannot be set: a name other than 'name' and 'uuid', and "
                       "at most 4063 bytes with its value",
                   EINVAL);
  }
  CO_TRY(co_await store_->begin_change());
  core::Mutex::Guard meta = co_await volume->meta.lock();
  BlobEdit edit;
  edit.xattrs = volume->blob.xattrs;
  auto found = std::ranges::find(*edit.xattrs, key, &Xattr::name);
  if (found != edit.xattrs->end()) {
    if (found->value == value) co_return Result<void>{};
    found->value = std::move(value);
  } else {
    if (edit.xattrs->size() >= limits::kVolumeAttributesMax) {
      co_return fail(Code::kResourceExhausted,
                     "replica '" + replica->name() + "' has " +
                         std::to_string(limits::kVolumeAttributesMax) + " attributes already",
                     ENOSPC);
    }
    edit.xattrs->push_back({key, std::move(value)});
  }
  CO_TRY(co_await store_->commit(*volume, std::move(edit)));
  co_return co_await store_->barrier();
}

core::Task<Result<void>> PoolImpl::repair() {
  core::Mutex::Guard guard = co_await store_->management().lock();
  co_return co_await store_->begin_change();
}

core::Task<Result<void>> PoolImpl::unload() {
  Result<void> result = co_await store_->unload();
  if (store_->closed()) replicas_.clear();
  co_return result;
}

core::Task<Result<void>> PoolImpl::destroy() {
  Result<void> result = co_await store_->destroy();
  if (store_->closed()) replicas_.clear();
  co_return result;
}

}  // namespace capstan::storage::lvs
