// Why this file exists: see replica_v1.h. Also the one place that sends the trailer "gtm-602", by
// which a control plane knows that a replica is really gone and not merely in a pool that is not
// open (io-engine-behaviour sections 4.2 and 22.3).
#include "services/replica_v1.h"

#include <algorithm>

#include "model/listing.h"
#include "rpc/condition.h"
#include "rpc/wishes.h"
#include "services/carry_on.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"
#include "services/uris.h"

namespace capstan::services {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

namespace {

constexpr char kGoneTrailer[] = "gtm-602";

void fill_usage(const storage::ReplicaUsage& from, v1::ReplicaSpaceUsage& to) {
  to.set_capacity_bytes(from.capacity_bytes);
  to.set_allocated_bytes(from.allocated_bytes);
  to.set_cluster_size(from.cluster_size);
  to.set_num_clusters(from.num_clusters);
  to.set_num_allocated_clusters(from.num_allocated_clusters);
  to.set_allocated_bytes_snapshots(from.allocated_bytes_snapshots);
  to.set_num_allocated_clusters_snapshots(from.num_allocated_clusters_snapshots);
  if (from.allocated_bytes_snapshot_from_clone) {
    to.set_allocated_bytes_snapshot_from_clone(*from.allocated_bytes_snapshot_from_clone);
  }
}

// Of an empty message, which may have held another replica before.
void fill(const Shares& shares, const storage::Replica& replica, v1::Replica& out) {
  out.set_name(replica.name());
  replica.uuid().append_to(*out.mutable_uuid());
  replica.pool_uuid().append_to(*out.mutable_pooluuid());
  out.set_size(replica.size_bytes());
  out.set_thin(replica.thin());
  out.set_share(shares.shared(replica) ? v1::NVMF : v1::NONE);
  out.set_uri(shares.uri(replica));
  for (auto& host : shares.hosts(replica)) out.add_allowed_hosts(std::move(host));
  out.set_poolname(replica.pool_name());
  fill_usage(replica.usage(), *out.mutable_usage());
  out.set_is_snapshot(replica.is_snapshot());
  out.set_is_clone(replica.is_clone());
  if (auto source = replica.attribute("io-engine.source_uuid")) {
    out.set_snapshot_uuid(*std::move(source));
  }
  if (auto entity = replica.attribute("entity_id")) out.set_entity_id(*std::move(entity));
  out.set_pooltype(v1::Lvs);
}

v1::Replica message(const Shares& shares, const storage::Replica& replica) {
  v1::Replica out;
  fill(shares, replica, out);
  return out;
}

// A replica as list requests ask for it.
struct Listed {
  const storage::Replica& replica;
  const auto& name() const { return replica.name(); }
  std::string uuid() const { return replica.uuid().text(); }
  const auto& poolname() const { return replica.pool_name(); }
  std::string pooluuid() const { return replica.pool_uuid().text(); }
  bool is_snapshot() const { return replica.is_snapshot(); }
  bool is_clone() const { return replica.is_clone(); }
};

Result<void> list(Engine& engine, const v1::ListReplicaOptions& request,
                  v1::ListReplicasResponse& response) {
  TRY_SET(const bool any, model::check_listing(request));
  if (!any) return {};
  for (const auto& [name, loaded] : engine.pools()) {
    for (const auto& replica : loaded.pool->replicas()) {
      if (!model::is_listed(request, Listed{*replica})) continue;
      fill(engine.shares(), *replica, *response.add_replicas());
    }
  }
  return {};
}

// A change of the pool of that name, in its turn; it goes on when the call is given up.
template <class T>
core::Task<Result<T>> change(Engine& engine, const rpc::Call& call, std::string pool,
                             core::Task<Result<T>> work, std::string what, Precheck check) {
  return carry_on(engine,
                  in_turn(engine.replica_calls(), std::move(pool), std::move(work), call.token,
                          std::move(check)),
                  call.token, std::move(what));
}

// Whether the replica, in the pool of that name when one is given, is as the call wants it.
Precheck condition_of(Engine& engine, const rpc::Call& call, std::string uuid,
                      std::string pool_name = {}) {
  return [&engine, condition = rpc::Condition(call), uuid = std::move(uuid),
          pool_name = std::move(pool_name)]() -> Result<void> {
    if (!condition.given()) return {};
    v1::ListReplicaOptions which;
    which.mutable_uuid()->set_value(uuid);
    if (!pool_name.empty()) which.mutable_poolname()->set_value(pool_name);
    v1::ListReplicasResponse found;
    TRY(list(engine, which, found));
    return condition.check(found.replicas().empty() ? nullptr : &found, "replicas");
  };
}

// The same for a replica that exists; in the pool that the call names, if it does.
Precheck check_of(Engine& engine, const rpc::Call& call, const std::string& uuid) {
  return [&engine, condition = condition_of(engine, call, uuid), uuid,
          pool = std::string(call.metadata.get(rpc::kWishPool))]() mutable -> Result<void> {
    if (!pool.empty() && pool_of_replica(engine, uuid) != pool_named(engine, pool)) {
      return fail(Code::kNotFound, "replica " + uuid + " is not in pool '" + pool + "'");
    }
    return condition();
  };
}

// For calls that want to hear what happened: a pool that is not there, or in which the replica is
// not, is NOT_FOUND, where Mayastor's API has FAILED_PRECONDITION and ABORTED.
Precheck pool_first(Engine& engine, const rpc::Call& call, std::string replica, std::string pool,
                    Precheck check) {
  if (pool.empty() || !rpc::wishes(call, rpc::kWishErrors, "own")) return check;
  return [&engine, replica = std::move(replica), pool = std::move(pool),
          check = std::move(check)]() mutable -> Result<void> {
    const std::string named = pool_named(engine, pool);
    if (named.empty() && why_not_open(engine, pool).empty()) {
      return fail(Code::kNotFound, "Pool " + pool + " not found; create or import the pool first");
    }
    const std::string in = replica.empty() ? std::string() : pool_of_replica(engine, replica);
    if (!in.empty() && in != named) {
      return fail(Code::kNotFound,
                  "replica " + replica + " is in pool '" + in + "', not in '" + pool + "'");
    }
    return check();
  };
}

Result<v1::Replica> answer(const Engine& engine, Result<FoundReplica> found) {
  if (!found) return std::unexpected(std::move(found).error());
  return message(engine.shares(), *found->replica);
}

}  // namespace

core::Task<Result<v1::Replica>> ReplicaServiceV1::create_replica(
    rpc::Call& call, const v1::CreateReplicaRequest& request) {
  if (request.share() != v1::NONE && request.share() != v1::NVMF) {
    co_return fail_field("share", "invalid replica share protocol value: " +
                                      std::to_string(request.share()) + "; use NONE or NVMF");
  }
  ReplicaArguments arguments;
  arguments.name = request.name();
  arguments.uuid = request.uuid();
  arguments.pool = request.pooluuid();
  arguments.size_bytes = request.size();
  arguments.thin = request.thin();
  arguments.share_nvmf = request.share() == v1::NVMF;
  arguments.allowed_hosts = {request.allowed_hosts().begin(), request.allowed_hosts().end()};
  if (request.has_entity_id()) arguments.entity_id = request.entity_id();
  const std::string pool = pool_named(engine_, request.pooluuid());
  co_return answer(
      engine_,
      co_await change(engine_, call, pool, services::create_replica(engine_, std::move(arguments)),
                      "create replica '" + request.name() + "'",
                      pool_first(engine_, call, {}, request.pooluuid(),
                                 condition_of(engine_, call, request.uuid(), request.pooluuid()))));
}

core::Task<Result<Empty>> ReplicaServiceV1::destroy_replica(
    rpc::Call& call, const v1::DestroyReplicaRequest& request) {
  PoolChoice choice;
  if (request.has_pool_name()) choice.name = request.pool_name();
  if (request.has_pool_uuid()) choice.uuid = request.pool_uuid();
  const std::string named = choice.name.value_or(choice.uuid.value_or(""));
  // A path names a pool either way; Mayastor's field is a name and nothing else.
  if (choice.name && rpc::wishes(call, rpc::kWishErrors, "own")) {
    if (auto name = pool_named(engine_, named); !name.empty()) choice.name = std::move(name);
  }
  const std::string pool_name = choice.name.value_or("");
  const std::string pool = pool_of_replica(engine_, request.uuid(), choice);
  CO_TRY_SET(auto destroyed,
             co_await change(engine_, call, pool,
                             services::destroy_replica(engine_, request.uuid(), std::move(choice)),
                             "destroy replica " + request.uuid(),
                             pool_first(engine_, call, request.uuid(), named,
                                        condition_of(engine_, call, request.uuid(), pool_name))));
  if (destroyed.gone) {
    call.metadata.trailers.emplace_back(kGoneTrailer, "0");
    co_return std::unexpected(std::move(destroyed.error));
  }
  co_return Empty();
}

core::Task<Result<void>> ReplicaServiceV1::list_replicas(rpc::Call& call,
                                                         const v1::ListReplicaOptions& request,
                                                         v1::ListReplicasResponse& response) {
  // No lock: nothing waits, and a list must answer while a change waits for a disk.
  CO_TRY(model::check_pool(call, request, [this](const std::string& name) {
    return engine_.find_pool(name) != nullptr;
  }));
  co_return list(engine_, request, response);
}

core::Task<Result<v1::Replica>> ReplicaServiceV1::share_replica(
    rpc::Call& call, const v1::ShareReplicaRequest& request) {
  std::optional<ShareKind> kind;
  if (request.share() == v1::NONE) kind = ShareKind::kNone;
  if (request.share() == v1::NVMF) kind = ShareKind::kNvmf;
  co_return answer(
      engine_,
      co_await change(
          engine_, call, pool_of_replica(engine_, request.uuid()),
          services::share_replica(engine_, request.uuid(), kind, std::to_string(request.share()),
                                  {request.allowed_hosts().begin(), request.allowed_hosts().end()}),
          "share replica " + request.uuid(), check_of(engine_, call, request.uuid())));
}

core::Task<Result<v1::Replica>> ReplicaServiceV1::unshare_replica(
    rpc::Call& call, const v1::UnshareReplicaRequest& request) {
  co_return answer(engine_, co_await change(engine_, call, pool_of_replica(engine_, request.uuid()),
                                            services::unshare_replica(engine_, request.uuid()),
                                            "unshare replica " + request.uuid(),
                                            check_of(engine_, call, request.uuid())));
}

core::Task<Result<v1::Replica>> ReplicaServiceV1::resize_replica(
    rpc::Call& call, const v1::ResizeReplicaRequest& request) {
  co_return answer(
      engine_,
      co_await change(engine_, call, pool_of_replica(engine_, request.uuid()),
                      services::resize_replica(engine_, request.uuid(), request.requested_size()),
                      "resize replica " + request.uuid(), check_of(engine_, call, request.uuid())));
}

core::Task<Result<v1::Replica>> ReplicaServiceV1::set_entity_id(
    rpc::Call& call, const v1::SetReplicaEntityIdRequest& request) {
  co_return answer(engine_, co_await change(engine_, call, pool_of_replica(engine_, request.uuid()),
                                            services::set_entity_id(engine_, request.uuid(),
                                                                    request.entity_id()),
                                            "set the entity of replica " + request.uuid(),
                                            check_of(engine_, call, request.uuid())));
}

v1::Replica replica_message_v1(const Shares& shares, const storage::Replica& replica) {
  return message(shares, replica);
}

Result<void> bind_replica_v1(rpc::Directory& directory, ReplicaServiceV1& service) {
  TRY(directory.declare(v1::Replica::descriptor()->file()->FindServiceByName("ReplicaRpc")));
  using S = ReplicaServiceV1;
  const std::string prefix = "mayastor.v1.ReplicaRpc/";
  TRY(rpc::bind_unary(directory, prefix + "CreateReplica", service, &S::create_replica));
  TRY(rpc::bind_unary(directory, prefix + "DestroyReplica", service, &S::destroy_replica));
  TRY(rpc::bind_unary(directory, prefix + "ListReplicas", service, &S::list_replicas));
  TRY(rpc::bind_unary(directory, prefix + "ResizeReplica", service, &S::resize_replica));
  TRY(rpc::bind_unary(directory, prefix + "ShareReplica", service, &S::share_replica));
  TRY(rpc::bind_unary(directory, prefix + "UnshareReplica", service, &S::unshare_replica));
  return rpc::bind_unary(directory, prefix + "SetReplicaEntityId", service, &S::set_entity_id);
}

}  // namespace capstan::services
