// Why this file exists: see pool_v1.h. Steps 1 to 4 of io-engine-behaviour section 7.2 are about
// this API's messages and stand here; the rest is in pool_open.cc.
#include "services/pool_v1.h"

#include "model/listing.h"
#include "rpc/condition.h"
#include "rpc/wishes.h"
#include "services/carry_on.h"
#include "services/pool_ops.h"
#include "services/uris.h"
#include "storage/device/device_uri.h"

namespace capstan::services {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

namespace {

// Request metadata with which a client insists on overwriting what stands on a disk.
constexpr std::string_view kForceKey = "capstan-force";

Result<void> check_type(v1::PoolType type) {
  if (!v1::PoolType_IsValid(type)) {
    return fail_field("pooltype", "invalid pool type " + std::to_string(type));
  }
  if (type == v1::Lvm) return model::lvm_refused();
  return {};
}

// What both requests have in common.
template <class Request>
Result<PoolArguments> arguments_of(const Request& request) {
  TRY(check_type(request.pooltype()));
  if (request.disks().empty()) {
    return fail_field("disks", "invalid argument, missing devices: name one disk");
  }
  PoolArguments arguments;
  if (request.has_uuid()) {
    arguments.uuid = Uuid::parse(request.uuid().value());
    if (!arguments.uuid) {
      return fail_field("uuid",
                        "invalid uuid provided, '" + request.uuid().value() + "' is not a UUID");
    }
  }
  if (request.name().empty()) {
    return fail_field("name", "invalid pool name: it must not be empty");
  }
  arguments.name = request.name();
  arguments.disks.assign(request.disks().begin(), request.disks().end());
  return arguments;
}

v1::PoolState state_of(const storage::PoolHealth& health) {
  switch (health.state) {
    case storage::PoolHealth::State::kOnline: return v1::POOL_ONLINE;
    case storage::PoolHealth::State::kDegraded: return v1::POOL_DEGRADED;
    case storage::PoolHealth::State::kFaulted: return v1::POOL_FAULTED;
  }
  return v1::POOL_UNKNOWN;
}

template <class Request>
std::optional<std::string> uuid_of(const Request& request) {
  if (!request.has_uuid()) return std::nullopt;
  return request.uuid().value();
}

// Of an empty message, which may have held another pool before.
void fill(const LoadedPool& loaded, const storage::PoolInfo& info, v1::Pool& pool) {
  const auto device = loaded.pool->device();
  info.uuid.append_to(*pool.mutable_uuid());
  pool.set_name(info.name);
  append_with_uuid(loaded.disk, device->uuid(), *pool.add_disks());
  pool.set_state(state_of(info.health));
  pool.set_capacity(info.capacity_bytes);
  pool.set_used(info.used_bytes);
  pool.set_pooltype(v1::Lvs);
  pool.set_committed(info.committed_bytes);
  pool.set_cluster_size(static_cast<std::uint32_t>(info.cluster_size_bytes));
  pool.set_page_size(info.page_size_bytes);
  pool.set_disk_capacity(info.disk_capacity_bytes);
  auto* metadata = pool.mutable_md_info();
  metadata->set_md_page_size(info.page_size_bytes);
  metadata->set_md_pages(info.md_pages);
  metadata->set_md_used_pages(info.md_used_pages);
}

v1::Pool message_of(const LoadedPool& loaded, const storage::PoolInfo& info) {
  v1::Pool pool;
  fill(loaded, info, pool);
  return pool;
}

// Whether the pool of that name is as the call wants it at the moment; for the holder of its lock.
using PoolCheck = std::function<Result<void>()>;
PoolCheck condition_of(Engine& engine, const rpc::Call& call, std::string name) {
  return [&engine, condition = rpc::Condition(call), name = std::move(name)]() -> Result<void> {
    if (!condition.given()) return {};
    const LoadedPool* const loaded = engine.find_pool(name);
    v1::ListPoolsResponse found;
    if (loaded) *found.add_pools() = pool_message_v1(*loaded);
    return condition.check(loaded ? &found : nullptr, "pools");
  };
}

// Whether making the pool again would make what there is. How much room was asked for metadata is
// not compared: a pool does not remember it.
Result<void> check_equal(const LoadedPool& loaded, const PoolArguments& wanted) {
  const auto info = loaded.pool->info();
  const auto differs = [&](const char* what) {
    return fail(Code::kAlreadyExists, "pool '" + wanted.name + "' is open already with another " +
                                          what + "; choose another name, or destroy it first");
  };
  if (wanted.disks.size() != 1) return differs("number of disks");
  TRY_SET(const std::string device,
          storage::device_name_of(storage::normalize_disk(wanted.disks.front())));
  if (device != loaded.pool->device()->name()) return differs("disk");
  if (wanted.uuid && *wanted.uuid != info.uuid) return differs("UUID");
  if (wanted.cluster_size_bytes && *wanted.cluster_size_bytes != info.cluster_size_bytes) {
    return differs("cluster size");
  }
  return {};
}

// The changes themselves: they own what they need and may outlive their calls.

// Formats the disk, or opens what is on it.
struct Making {
  PoolCheck check;
  bool equal_is_fine = false;
};
core::Task<Result<v1::Pool>> make_pool(Engine& engine, PoolArguments arguments, Making how) {
  CO_TRY_SET(const auto guard, co_await engine.pool_calls().lock(arguments.name, arguments.token));
  CO_TRY(how.check());
  const LoadedPool* const loaded = engine.find_pool(arguments.name);
  if (how.equal_is_fine && loaded) {
    CO_TRY(check_equal(*loaded, arguments));
    co_return pool_message_v1(*loaded);
  }
  auto opened = co_await create_pool(engine, std::move(arguments));
  if (!opened) co_return std::unexpected(std::move(opened).error());
  co_return pool_message_v1(**opened);
}

core::Task<Result<v1::Pool>> open_pool(Engine& engine, PoolArguments arguments) {
  CO_TRY_SET(const auto guard, co_await engine.pool_calls().lock(arguments.name, arguments.token));
  auto opened = co_await import_pool(engine, std::move(arguments));
  if (!opened) co_return std::unexpected(std::move(opened).error());
  co_return pool_message_v1(**opened);
}

core::Task<Result<Empty>> end_pool(Engine& engine, std::string name,
                                   std::optional<std::string> uuid, core::CancelToken token,
                                   PoolCheck check, bool destroy) {
  CO_TRY_SET(const auto guard, co_await engine.pool_calls().lock(name, token));
  if (destroy) {
    // A pool that is not there does not match either.
    if (check && !engine.find_pool(name)) CO_TRY(check());
    CO_TRY(co_await destroy_pool(engine, std::move(name), std::move(uuid),
                                 {.token = token, .check = std::move(check)}));
  } else {
    CO_TRY(co_await export_pool(engine, std::move(name), std::move(uuid), token));
  }
  co_return Empty();
}

core::Task<Result<v1::GrowPoolResponse>> grow(Engine& engine, std::string name,
                                              std::optional<std::string> uuid,
                                              core::CancelToken token) {
  CO_TRY_SET(const auto guard, co_await engine.pool_calls().lock(name, std::move(token)));
  CO_TRY_SET(const GrownPool grown, co_await grow_pool(engine, std::move(name), std::move(uuid)));
  v1::GrowPoolResponse response;
  *response.mutable_previous_pool() = message_of(*grown.pool, grown.before);
  *response.mutable_current_pool() = pool_message_v1(*grown.pool);
  co_return response;
}

// A pool as list requests ask for it.
struct Listed {
  const std::string& pool_name;
  const LoadedPool& loaded;
  const std::string& name() const { return pool_name; }
  std::string uuid() const { return loaded.pool->uuid().text(); }
};

}  // namespace

core::Task<Result<v1::Pool>> PoolServiceV1::create_pool(rpc::Call& call,
                                                        const v1::CreatePoolRequest& request) {
  const auto condition = condition_of(engine_, call, request.name());
  CO_TRY(condition());  // and again once it is this call's turn
  CO_TRY_SET(auto arguments, arguments_of(request));
  if (request.has_cluster_size()) arguments.cluster_size_bytes = request.cluster_size();
  if (request.has_md_args() && request.md_args().has_md_resv_ratio()) {
    arguments.md_resv_ratio = request.md_args().md_resv_ratio();
  }
  arguments.force = call.metadata.get(kForceKey) == "true";
  arguments.token = call.token;
  Making how{condition, rpc::wishes(call, rpc::kWishExisting, "equal")};
  co_return co_await carry_on(engine_, make_pool(engine_, std::move(arguments), std::move(how)),
                              call.token, "create pool '" + request.name() + "'");
}

core::Task<Result<v1::Pool>> PoolServiceV1::import_pool(rpc::Call& call,
                                                        const v1::ImportPoolRequest& request) {
  CO_TRY_SET(auto arguments, arguments_of(request));
  arguments.token = call.token;
  co_return co_await carry_on(engine_, open_pool(engine_, std::move(arguments)), call.token,
                              "import pool '" + request.name() + "'");
}

core::Task<Result<Empty>> PoolServiceV1::destroy_pool(rpc::Call& call,
                                                      const v1::DestroyPoolRequest& request) {
  co_return co_await carry_on(engine_,
                              end_pool(engine_, request.name(), uuid_of(request), call.token,
                                       condition_of(engine_, call, request.name()), true),
                              call.token, "destroy pool '" + request.name() + "'");
}

core::Task<Result<Empty>> PoolServiceV1::export_pool(rpc::Call& call,
                                                     const v1::ExportPoolRequest& request) {
  co_return co_await carry_on(
      engine_, end_pool(engine_, request.name(), uuid_of(request), call.token, {}, false),
      call.token, "export pool '" + request.name() + "'");
}

core::Task<Result<v1::GrowPoolResponse>> PoolServiceV1::grow_pool(
    rpc::Call& call, const v1::GrowPoolRequest& request) {
  co_return co_await carry_on(engine_, grow(engine_, request.name(), uuid_of(request), call.token),
                              call.token, "grow pool '" + request.name() + "'");
}

core::Task<Result<void>> PoolServiceV1::list_pools(rpc::Call&, const v1::ListPoolOptions& request,
                                                   v1::ListPoolsResponse& response) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  CO_TRY(model::check_listing(request));
  for (const auto& [name, loaded] : engine_.pools()) {
    if (!model::is_listed(request, Listed{name, loaded})) continue;
    fill(loaded, loaded.pool->info(), *response.add_pools());
  }
  co_return Result<void>();
}

v1::Pool pool_message_v1(const LoadedPool& loaded) {
  return message_of(loaded, loaded.pool->info());
}

Result<void> bind_pool_v1(rpc::Directory& directory, PoolServiceV1& service) {
  TRY(directory.declare(v1::Pool::descriptor()->file()->FindServiceByName("PoolRpc")));
  using S = PoolServiceV1;
  TRY(rpc::bind_unary(directory, "mayastor.v1.PoolRpc/CreatePool", service, &S::create_pool));
  TRY(rpc::bind_unary(directory, "mayastor.v1.PoolRpc/DestroyPool", service, &S::destroy_pool));
  TRY(rpc::bind_unary(directory, "mayastor.v1.PoolRpc/ExportPool", service, &S::export_pool));
  TRY(rpc::bind_unary(directory, "mayastor.v1.PoolRpc/GrowPool", service, &S::grow_pool));
  TRY(rpc::bind_unary(directory, "mayastor.v1.PoolRpc/ImportPool", service, &S::import_pool));
  return rpc::bind_unary(directory, "mayastor.v1.PoolRpc/ListPools", service, &S::list_pools);
}

}  // namespace capstan::services
