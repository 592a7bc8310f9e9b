// Why this file exists: see mayastor_v0.h. Pools and replicas are here, the rest is in host_v0.cc.
#include "services/mayastor_v0.h"

#include "services/carry_on.h"
#include "services/io_counts.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"
#include "services/uris.h"
#include "storage/device/device_uri.h"

namespace capstan::services {

namespace v0 = ::mayastor;
using S = MayastorServiceV0;

namespace {

v0::PoolState state_of(const storage::PoolHealth& health) {
  switch (health.state) {
    case storage::PoolHealth::State::kOnline: return v0::POOL_ONLINE;
    case storage::PoolHealth::State::kDegraded: return v0::POOL_DEGRADED;
    case storage::PoolHealth::State::kFaulted: return v0::POOL_FAULTED;
  }
  return v0::POOL_UNKNOWN;
}

v0::Pool message(const LoadedPool& loaded) {
  const auto info = loaded.pool->info();
  v0::Pool out;
  out.set_name(info.name);
  out.add_disks(with_uuid(loaded.disk, loaded.pool->device()->uuid()));
  out.set_state(state_of(info.health));
  out.set_capacity(info.capacity_bytes);
  out.set_used(info.used_bytes);
  return out;
}

v0::ShareProtocolReplica share_of(const Shares& shares, const storage::Replica& replica) {
  return shares.shared(replica) ? v0::REPLICA_NVMF : v0::REPLICA_NONE;
}

v0::Replica message(const Shares& shares, const storage::Replica& replica) {
  v0::Replica out;
  out.set_uuid(replica.name());
  out.set_pool(replica.pool_name());
  out.set_thin(replica.thin());
  out.set_size(replica.size_bytes());
  out.set_share(share_of(shares, replica));
  out.set_uri(shares.uri(replica));
  for (auto& host : shares.hosts(replica)) out.add_allowed_hosts(std::move(host));
  return out;
}

v0::ReplicaV2 message_v2(const Shares& shares, const storage::Replica& replica) {
  v0::ReplicaV2 out;
  out.set_name(replica.name());
  out.set_uuid(replica.uuid().text());
  out.set_pool(replica.pool_name());
  out.set_thin(replica.thin());
  out.set_size(replica.size_bytes());
  out.set_share(share_of(shares, replica));
  out.set_uri(shares.uri(replica));
  const auto from = replica.usage();
  auto& usage = *out.mutable_usage();
  usage.set_capacity_bytes(from.capacity_bytes);
  usage.set_allocated_bytes(from.allocated_bytes);
  usage.set_cluster_size(from.cluster_size);
  usage.set_num_clusters(from.num_clusters);
  usage.set_num_allocated_clusters(from.num_allocated_clusters);
  for (auto& host : shares.hosts(replica)) out.add_allowed_hosts(std::move(host));
  return out;
}

std::unexpected<Error> bad_share(int share) {
  return fail_field("share", "invalid replica share protocol value: " + std::to_string(share) +
                                 "; use REPLICA_NONE or REPLICA_NVMF");
}

// Calls `each(replica)` for every volume of every open pool.
template <class Each>
void for_all(const Engine& engine, Each each) {
  for (const auto& [name, loaded] : engine.pools()) {
    for (const auto& replica : loaded.pool->replicas()) each(*replica);
  }
}

// A pool of that name on that disk is the answer, too.
core::Task<Result<v0::Pool>> open_pool(Engine& engine, PoolArguments arguments) {
  CO_TRY_SET(const auto guard, co_await engine.pool_calls().lock(arguments.name, arguments.token));
  if (const auto* loaded = engine.find_pool(arguments.name)) {
    CO_TRY_SET(const std::string name, storage::device_name_of(arguments.disks.front()));
    const std::string& present = loaded->pool->device()->name();
    if (arguments.disks.size() == 1 && name == present) co_return message(*loaded);
    co_return fail(Code::kInvalidArgument, "pool '" + arguments.name + "' is open on '" + present +
                                               "', not on '" + arguments.disks.front() + "'");
  }
  CO_TRY_SET(const LoadedPool* loaded, co_await create_pool(engine, std::move(arguments)));
  co_return message(*loaded);
}

core::Task<Result<v0::Null>> end_pool(Engine& engine, std::string name, core::CancelToken token) {
  CO_TRY_SET(const auto guard, co_await engine.pool_calls().lock(name, token));
  CO_TRY(engine.restore().check(name));
  if (!engine.find_pool(name)) co_return v0::Null();
  CO_TRY(co_await destroy_pool(engine, name, std::nullopt, {.token = token}));
  co_return v0::Null();
}

}  // namespace

// --- pools ---------------------------------------------------------------------------------------

S::Answer<v0::Pool> S::create_pool(rpc::Call& call, const v0::CreatePoolRequest& request) {
  if (request.disks().empty()) co_return fail_field("disks", "Missing devices: name one disk");
  if (request.name().empty()) {
    co_return fail_field("name", "invalid pool name: it must not be empty");
  }
  PoolArguments arguments;
  arguments.name = request.name();
  arguments.disks.assign(request.disks().begin(), request.disks().end());
  arguments.token = call.token;
  co_return co_await carry_on(engine_, open_pool(engine_, std::move(arguments)), call.token,
                              "create pool '" + request.name() + "'");
}

S::Answer<v0::Null> S::destroy_pool(rpc::Call& call, const v0::DestroyPoolRequest& request) {
  co_return co_await carry_on(engine_, end_pool(engine_, request.name(), call.token), call.token,
                              "destroy pool '" + request.name() + "'");
}

S::Answer<v0::ListPoolsReply> S::list_pools(rpc::Call&, const Null&) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  v0::ListPoolsReply reply;
  for (const auto& [name, loaded] : engine_.pools()) *reply.add_pools() = message(loaded);
  co_return reply;
}

// --- replicas ------------------------------------------------------------------------------------

// The order of io-engine-behaviour section 20.1. A volume of that name is the answer, whatever it
// looks like.
core::Task<Result<FoundReplica>> S::create(NewReplica wanted, core::CancelToken token) {
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_named(engine_, wanted.pool), std::move(token)));
  const auto* loaded = engine_.find_pool(wanted.pool);
  if (!loaded) {
    co_return fail(Code::kInvalidArgument,
                   "Pool " + wanted.pool + " not found; create or import the pool first");
  }
  if (auto found = engine_.find_replica_named(wanted.name)) co_return found;
  if (engine_.devices().find(wanted.name)) {
    co_return fail(Code::kInternal,
                   "device '" + wanted.name + "' exists and is not a replica; choose another name");
  }
  if (wanted.share != v0::REPLICA_NONE && wanted.share != v0::REPLICA_NVMF) {
    co_return bad_share(wanted.share);
  }
  ReplicaArguments arguments;
  arguments.name = std::move(wanted.name);
  arguments.uuid = std::move(wanted.uuid);
  arguments.pool = loaded->pool->uuid().text();
  arguments.size_bytes = wanted.size_bytes;
  arguments.thin = wanted.thin;
  arguments.share_nvmf = wanted.share == v0::REPLICA_NVMF;
  arguments.allowed_hosts = std::move(wanted.hosts);
  co_return co_await services::create_replica(engine_, std::move(arguments));
}

S::Answer<v0::Replica> S::create_replica(rpc::Call& call, const v0::CreateReplicaRequest& request) {
  CO_TRY_SET(const auto found,
             co_await create({request.uuid(),
                              {},
                              request.pool(),
                              request.size(),
                              request.thin(),
                              request.share(),
                              {request.allowed_hosts().begin(), request.allowed_hosts().end()}},
                             call.token));
  co_return message(engine_.shares(), *found.replica);
}

S::Answer<v0::ReplicaV2> S::create_replica_v2(rpc::Call& call,
                                              const v0::CreateReplicaRequestV2& request) {
  CO_TRY_SET(const auto found,
             co_await create({request.name(),
                              request.uuid(),
                              request.pool(),
                              request.size(),
                              request.thin(),
                              request.share(),
                              {request.allowed_hosts().begin(), request.allowed_hosts().end()}},
                             call.token));
  co_return message_v2(engine_.shares(), *found.replica);
}

S::Answer<v0::Null> S::destroy_replica(rpc::Call& call, const v0::DestroyReplicaRequest& request) {
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_of_replica(engine_, request.uuid()), call.token));
  const auto found = engine_.find_replica_named(request.uuid());
  if (!found) co_return Null();
  const std::string uuid = found.replica->uuid().text();
  CO_TRY(co_await services::destroy_replica(engine_, uuid, {}));
  co_return Null();
}

S::Answer<v0::ListReplicasReply> S::list_replicas(rpc::Call&, const Null&) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  v0::ListReplicasReply reply;
  for_all(engine_, [&](const storage::Replica& replica) {
    *reply.add_replicas() = message(engine_.shares(), replica);
  });
  co_return reply;
}

S::Answer<v0::ListReplicasReplyV2> S::list_replicas_v2(rpc::Call&, const Null&) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  v0::ListReplicasReplyV2 reply;
  for_all(engine_, [&](const storage::Replica& replica) {
    *reply.add_replicas() = message_v2(engine_.shares(), replica);
  });
  co_return reply;
}

S::Answer<v0::StatReplicasReply> S::stat_replicas(rpc::Call&, const Null&) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  v0::StatReplicasReply reply;
  for (const auto& [name, loaded] : engine_.pools()) {
    for (const auto& replica : loaded.pool->replicas()) {
      auto& to = *reply.add_replicas();
      to.set_uuid(replica->name());
      to.set_pool(replica->pool_name());
      fill_counts(replica->stats(), *to.mutable_stats());
    }
  }
  co_return reply;
}

S::Answer<v0::ShareReplicaReply> S::share_replica(rpc::Call& call,
                                                  const v0::ShareReplicaRequest& request) {
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_of_replica(engine_, request.uuid()), call.token));
  const auto found = engine_.find_replica_named(request.uuid());
  if (!found) co_return fail(Code::kNotFound, "Replica " + request.uuid() + " not found");
  const std::string uuid = found.replica->uuid().text();
  if (request.share() == v0::REPLICA_NVMF) {
    CO_TRY(co_await services::share_replica(
        engine_, uuid, ShareKind::kNvmf, "REPLICA_NVMF",
        {request.allowed_hosts().begin(), request.allowed_hosts().end()}));
  } else if (request.share() == v0::REPLICA_NONE) {
    CO_TRY(co_await services::unshare_replica(engine_, uuid));
  } else {
    co_return bad_share(request.share());
  }
  v0::ShareReplicaReply reply;
  reply.set_uri(engine_.shares().uri(*found.replica));
  co_return reply;
}

}  // namespace capstan::services
