// Why this file exists: see spdk_lvol.h.
#include "services/spdk_lvol.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "rpc/json_call.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"
#include "services/spdk_params.h"
#include "services/uris.h"
#include "storage/device/signature.h"

namespace capstan::services {
namespace {

using Empty = google::protobuf::Empty;

// What the store refuses: `json_code` with the errno's text.
std::unexpected<Error> refused(int json_code, int err, std::string detail) {
  const Code code = fail_errno(err, "").error().code;
  return rpc::json_error(code, json_code, std::strerror(err), std::move(detail));
}

int errno_of(const Error& error) {
  if (error.sys_errno > 0) return error.sys_errno;
  switch (error.code) {
    case Code::kResourceExhausted: return ENOSPC;
    case Code::kAlreadyExists: return EEXIST;
    case Code::kFailedPrecondition: return EPERM;
    case Code::kNotFound: return ENODEV;
    case Code::kInvalidArgument:
    case Code::kOutOfRange: return EINVAL;
    case Code::kAborted: return EBUSY;
    default: return EIO;
  }
}

spdk::LvolUuid uuid_answer(const Uuid& uuid) {
  spdk::LvolUuid out;
  out.set_uuid(uuid.text());
  return out;
}

}  // namespace

// --- lvstores -----------------------------------------------------------------------------------

// Exactly one of the two is given, and names an open pool.
Result<LoadedPool*> SpdkLvolService::select(const rpc::Call& call, const std::string& uuid,
                                            const std::string& name) {
  if (uuid.empty() == name.empty()) {
    return rpc::json_errno(
        EINVAL, call.operation->jsonrpc_name + ": give the UUID or the name, one of both");
  }
  const auto parsed = Uuid::parse(uuid);
  LoadedPool* loaded = nullptr;
  if (name.empty()) {
    if (parsed) loaded = engine_.find_pool(*parsed);
  } else {
    loaded = engine_.find_pool(name);
  }
  if (!loaded)
    return rpc::json_errno(
        ENODEV, "lvstore '" + uuid + name + "' not found" + why_not_open(engine_, uuid + name));
  return loaded;
}

// Nobody's data is written over: SPDK would.
core::Task<Result<void>> SpdkLvolService::check_base(std::shared_ptr<storage::Device> device,
                                                     std::string name) {
  if (device->claimed()) {
    co_return rpc::json_errno(
        EPERM, "device '" + device->name() + "' is in use by " + device->claimed_by());
  }
  if (engine_.find_pool(name) || engine_.unavailable().contains(name)) {
    co_return rpc::json_errno(EEXIST, "an lvstore named '" + name + "' exists");
  }
  const auto found = co_await storage::Pool::probe(device);
  if (found) {
    co_return fail(Code::kFailedPrecondition,
                   "device '" + device->name() + "' holds lvstore '" + found->name +
                       "'; import that pool, or destroy it first",
                   EBUSY);
  }
  CO_TRY_SET(const auto foreign, co_await storage::foreign_signature(device));
  if (foreign) {
    co_return fail(Code::kFailedPrecondition,
                   "device '" + device->name() + "' holds " + *foreign +
                       "; wipe it first if that is not needed",
                   EBUSY);
  }
  co_return {};
}

core::Task<Result<void>> SpdkLvolService::clear(std::shared_ptr<storage::Device> device,
                                                std::string method) {
  if (method == "none") co_return {};
  if (method == "write_zeroes") {
    co_return co_await device->write_zeroes(0, device->size_bytes());
  }
  if (!device->supports_unmap()) co_return {};
  co_return co_await device->unmap(0, device->size_bytes());
}

SpdkLvolService::Answer<spdk::LvolUuid> SpdkLvolService::create_lvstore(
    rpc::Call& call, const spdk::CreateLvstoreRequest& request) {
  CO_TRY(require(call, request, {"bdev_name", "lvs_name"}));
  const std::string method = request.has_clear_method() ? request.clear_method() : "unmap";
  CO_TRY(require_one_of(call, "clear_method", method, {"unmap", "write_zeroes", "none"}));
  if (request.has_md_page_size() && request.md_page_size() != 0 &&
      request.md_page_size() != storage::PoolInfo().page_size_bytes) {
    co_return refused(rpc::json_code::kInvalidParams, EINVAL, "md_page_size must be 4096");
  }
  CO_TRY_SET(const auto guard, co_await engine_.pool_calls().lock(request.lvs_name(), call.token));
  const auto device = spdk_find(engine_, request.bdev_name());
  if (!device) {
    co_return rpc::json_errno(ENODEV, "device '" + request.bdev_name() + "' not found");
  }
  // Its content is looked at and may be wiped before a pool claims it.
  PoolArguments arguments;
  arguments.token = call.token;
  CO_TRY_SET(arguments.device, co_await engine_.device_calls().lock(device->name(), call.token));
  CO_TRY(co_await check_base(device, request.lvs_name()));
  arguments.name = request.lvs_name();
  const auto* entry = engine_.devices().entry(device->name());
  if (!entry) co_return rpc::json_errno(ENODEV, "device '" + device->name() + "' is gone");
  arguments.disks = {entry->uri.empty() ? local_uri(device->name(), device->uuid()) : entry->uri};
  if (request.has_cluster_sz()) arguments.cluster_size_bytes = request.cluster_sz();
  if (request.num_md_pages_per_cluster_ratio() != 0) {
    arguments.md_resv_ratio = static_cast<float>(request.num_md_pages_per_cluster_ratio()) / 100;
  }
  if (const auto cleared = co_await clear(device, method); !cleared) {
    co_return refused(rpc::json_code::kInvalidParams, errno_of(cleared.error()),
                      cleared.error().text());
  }
  const auto created = co_await services::create_pool(engine_, std::move(arguments));
  if (created) co_return uuid_answer((*created)->pool->uuid());
  const Error& error = created.error();
  if (errno_of(error) == EEXIST) co_return rpc::json_errno(EEXIST, error.text());
  // SPDK says the same of every size that does not fit.
  const bool size =
      error.sys_errno == ENOSPC || error.sys_errno == ENOMEM || error.code == Code::kInternal;
  co_return refused(rpc::json_code::kInvalidParams,
                    size && error.sys_errno != EIO ? EINVAL : errno_of(error), error.text());
}

SpdkLvolService::Answer<Empty> SpdkLvolService::delete_lvstore(
    rpc::Call& call, const spdk::LvstoreSelector& request) {
  CO_TRY_SET(const LoadedPool* loaded, select(call, request.uuid(), request.lvs_name()));
  const std::string name = loaded->pool->name();
  CO_TRY_SET(const auto guard, co_await engine_.pool_calls().lock(name, call.token));
  CO_TRY_SET(const auto replicas, co_await engine_.replica_calls().lock(name, call.token));
  CO_TRY(select(call, request.uuid(), request.lvs_name()));  // it may have gone meanwhile
  const auto destroyed = co_await services::destroy_pool(
      engine_, name, std::nullopt, {.keep_device = true, .token = call.token});
  if (destroyed) co_return Empty();
  co_return rpc::json_errno(errno_of(destroyed.error()), destroyed.error().text());
}

SpdkLvolService::Answer<Empty> SpdkLvolService::grow_lvstore(rpc::Call& call,
                                                             const spdk::LvstoreSelector& request) {
  CO_TRY_SET(const LoadedPool* loaded, select(call, request.uuid(), request.lvs_name()));
  const std::string name = loaded->pool->name();
  CO_TRY_SET(const auto guard, co_await engine_.pool_calls().lock(name, call.token));
  CO_TRY(select(call, request.uuid(), request.lvs_name()));  // it may have gone meanwhile
  const auto grown = co_await services::grow_pool(engine_, name, std::nullopt);
  if (grown) co_return Empty();
  co_return rpc::json_errno(errno_of(grown.error()), grown.error().text());
}

SpdkLvolService::Answer<spdk::Lvstores> SpdkLvolService::get_lvstores(
    rpc::Call& call, const spdk::LvstoreSelector& request) {
  const LoadedPool* only = nullptr;
  if (request.has_uuid() || request.has_lvs_name()) {
    CO_TRY_SET(only, select(call, request.uuid(), request.lvs_name()));
  }
  spdk::Lvstores out;
  for (const auto& [name, loaded] : engine_.pools()) {
    if (only && only != &loaded) continue;
    const auto info = loaded.pool->info();
    auto& lvstore = *out.add_lvstores();
    lvstore.set_uuid(info.uuid.text());
    lvstore.set_name(name);
    lvstore.set_base_bdev(spdk_name(*loaded.pool->device()));
    lvstore.set_total_data_clusters(info.capacity_bytes / info.cluster_size_bytes);
    lvstore.set_free_clusters((info.capacity_bytes - info.used_bytes) / info.cluster_size_bytes);
    lvstore.set_block_size(info.block_size);
    lvstore.set_cluster_size(info.cluster_size_bytes);
    lvstore.set_max_growable_size(info.growable_bytes);
  }
  co_return out;
}

// --- lvols --------------------------------------------------------------------------------------

SpdkLvolService::Answer<spdk::LvolUuid> SpdkLvolService::create(
    rpc::Call& call, const spdk::CreateLvolRequest& request) {
  CO_TRY(require(call, request, {"lvol_name", "size_in_mib"}));
  const std::string method = request.has_clear_method() ? request.clear_method() : "default";
  CO_TRY(
      require_one_of(call, "clear_method", method, {"default", "none", "unmap", "write_zeroes"}));
  CO_TRY_SET(const LoadedPool* loaded, select(call, request.uuid(), request.lvs_name()));
  CO_TRY_SET(const auto guard,
             co_await engine_.replica_calls().lock(loaded->pool->name(), call.token));
  CO_TRY_SET(loaded, select(call, request.uuid(), request.lvs_name()));
  const std::string& name = request.lvol_name();
  if (loaded->pool->find(name) || engine_.devices().find(name)) {
    co_return rpc::json_errno(EEXIST, "a device named '" + name + "' exists");
  }
  const auto info = loaded->pool->info();
  if (request.size_in_mib() > info.capacity_bytes >> 20) {
    co_return refused(rpc::json_code::kInvalidParams, ENOSPC,
                      "lvol '" + name + "' is larger than lvstore '" + info.name + "'");
  }
  ReplicaArguments arguments;
  arguments.name = name;
  arguments.pool = loaded->pool->uuid().text();
  arguments.size_bytes = request.size_in_mib() << 20;
  arguments.thin = request.thin_provision();
  const auto created = co_await services::create_replica(engine_, std::move(arguments));
  if (created) co_return uuid_answer(created->replica->uuid());
  const Error& error = created.error();
  if (errno_of(error) == EEXIST) co_return rpc::json_errno(EEXIST, error.text());
  co_return refused(rpc::json_code::kInvalidParams, errno_of(error), error.text());
}

FoundReplica SpdkLvolService::find(const std::string& text) {
  const auto device = spdk_find(engine_, text);
  const auto volume = std::dynamic_pointer_cast<storage::Replica>(device);
  return volume ? engine_.find_replica(volume->uuid()) : FoundReplica{};
}

std::string SpdkLvolService::pool_of(const std::string& text) {
  const auto found = find(text);
  return found ? found.pool->pool->name() : std::string();
}

// Snapshots too, which the replica calls of other services leave alone.
core::Task<Result<void>> SpdkLvolService::destroy(FoundReplica found) {
  const Uuid uuid = found.replica->uuid();
  if (!found.replica->is_snapshot()) {
    found.replica.reset();
    CO_TRY_SET(const auto destroyed, co_await destroy_replica(engine_, uuid.text(), {}));
    if (destroyed.gone) co_return std::unexpected(destroyed.error);
    co_return {};
  }
  CO_TRY_SET(const auto lock, engine_.locks().try_lock(found.pool->pool->name()));
  CO_TRY(check_not_in_use(engine_, *found.replica));
  auto taken = co_await engine_.shares().take_away(found.replica);
  unregister_replica(engine_, found.replica);
  auto destroyed = co_await found.pool->pool->destroy_replica(uuid);
  if (destroyed) {
    engine_.events().publish("replica", "delete", uuid.text(),
                             {{"pool", found.pool->pool->name()}});
    co_return {};
  }
  if (!register_replica(engine_, found.replica)) {
    engine_.log().warn("replica_name_taken", {{"replica", found.replica->name()}});
  }
  engine_.shares().give_back(found.replica, std::move(taken));
  co_return destroyed;
}

SpdkLvolService::Answer<Empty> SpdkLvolService::remove(rpc::Call& call,
                                                       const spdk::LvolNameRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto guard,
             co_await engine_.replica_calls().lock(pool_of(request.name()), call.token));
  auto found = find(request.name());
  if (!found) co_return rpc::json_errno(ENODEV, "lvol '" + request.name() + "' not found");
  const auto destroyed = co_await destroy(std::move(found));
  if (destroyed) co_return Empty();
  const int err = errno_of(destroyed.error());
  // "Busy" is: it has clones, or is used by somebody; SPDK says "not permitted" to both.
  co_return refused(rpc::json_code::kInternalError, err == EBUSY ? EPERM : err,
                    destroyed.error().text());
}

SpdkLvolService::Answer<Empty> SpdkLvolService::resize(rpc::Call& call,
                                                       const spdk::ResizeLvolRequest& request) {
  CO_TRY(require(call, request, {"name", "size_in_mib"}));
  CO_TRY_SET(const auto guard,
             co_await engine_.replica_calls().lock(pool_of(request.name()), call.token));
  const auto found = find(request.name());
  if (!found) co_return rpc::json_errno(ENODEV, "lvol '" + request.name() + "' not found");
  if (found.replica->is_snapshot()) {
    co_return refused(rpc::json_code::kInvalidParams, EPERM,
                      "lvol '" + request.name() + "' is a snapshot");
  }
  // What 64 bits cannot hold is larger than any lvstore.
  const std::uint64_t mib = std::min<std::uint64_t>(request.size_in_mib(), ~0ULL >> 20);
  const auto resized =
      co_await services::resize_replica(engine_, found.replica->uuid().text(), mib << 20);
  if (resized) co_return Empty();
  co_return refused(rpc::json_code::kInvalidParams, errno_of(resized.error()),
                    resized.error().text());
}

SpdkLvolService::Answer<spdk::Lvols> SpdkLvolService::get_lvols(
    rpc::Call& call, const spdk::GetLvolsRequest& request) {
  const LoadedPool* only = nullptr;
  if (request.has_lvs_uuid() || request.has_lvs_name()) {
    CO_TRY_SET(only, select(call, request.lvs_uuid(), request.lvs_name()));
  }
  spdk::Lvols out;
  for (const auto& [name, loaded] : engine_.pools()) {
    if (only && only != &loaded) continue;
    for (const auto& volume : loaded.pool->replicas()) {
      auto& lvol = *out.add_lvols();
      lvol.set_alias(name + "/" + volume->name());
      lvol.set_uuid(volume->uuid().text());
      lvol.set_name(volume->name());
      lvol.set_is_thin_provisioned(volume->thin());
      lvol.set_is_snapshot(volume->is_snapshot());
      lvol.set_is_clone(volume->is_clone());
      lvol.set_num_allocated_clusters(volume->usage().num_allocated_clusters);
      lvol.mutable_lvs()->set_name(name);
      lvol.mutable_lvs()->set_uuid(loaded.pool->uuid().text());
    }
  }
  co_return out;
}

Result<void> bind_spdk_lvol(rpc::Directory& directory, SpdkLvolService& service) {
  using S = SpdkLvolService;
  TRY(directory.declare(spdk::Lvols::descriptor()->file()->service(0)));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/CreateLvstore", service, &S::create_lvstore));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/DeleteLvstore", service, &S::delete_lvstore));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/GetLvstores", service, &S::get_lvstores));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/GrowLvstore", service, &S::grow_lvstore));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/Resize", service, &S::resize));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/Create", service, &S::create));
  TRY(rpc::bind_unary(directory, "spdk.Lvol/Delete", service, &S::remove));
  return rpc::bind_unary(directory, "spdk.Lvol/GetLvols", service, &S::get_lvols);
}

}  // namespace capstan::services
