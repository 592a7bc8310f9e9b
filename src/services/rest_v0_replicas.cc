// Why this file exists: see rest_v0.h; the replicas. As the control plane does, sharing what is
// shared with the same hosts already, and unsharing what is not shared, are errors here, while v1
// takes them for done.
#include <algorithm>
#include <memory>

#include "services/replica_ops.h"
#include "services/replica_v1.h"
#include "services/rest_v0.h"

namespace capstan::services {

namespace v0 = ::capstan::rest::v0;
namespace v1 = ::mayastor::v1;
using S = RestServiceV0;

namespace {

std::unexpected<Error> fail_because(std::string reason, std::string message) {
  auto details = std::make_shared<ErrorDetails>();
  details->reason = std::move(reason);
  return std::unexpected(
      Error{Code::kFailedPrecondition, 0, std::move(message), {}, std::move(details)});
}

v0::Replica::Kind kind_of(const v1::Replica& replica) {
  if (replica.is_snapshot()) return v0::Replica::Snapshot;
  return replica.is_clone() ? v0::Replica::SnapshotClone : v0::Replica::Regular;
}

std::vector<std::string> sorted(std::vector<std::string> hosts) {
  std::ranges::sort(hosts);
  return hosts;
}

}  // namespace

v0::Replica S::replica_message(const FoundReplica& found) const {
  const v1::Replica from = replica_message_v1(engine_.shares(), *found.replica);
  v0::Replica out;
  out.set_node(info_.node_name);
  out.set_pool(from.poolname());
  out.set_pool_uuid(from.pooluuid());
  out.set_share(from.share() == v1::NVMF ? v0::nvmf : v0::none);
  out.set_size(from.size());
  auto& space = *out.mutable_space();
  space.set_capacity_bytes(from.usage().capacity_bytes());
  space.set_allocated_bytes(from.usage().allocated_bytes());
  space.set_allocated_bytes_snapshots(from.usage().allocated_bytes_snapshots());
  if (from.usage().has_allocated_bytes_snapshot_from_clone()) {
    space.set_allocated_bytes_all_snapshots(from.usage().allocated_bytes_snapshots() +
                                            from.usage().allocated_bytes_snapshot_from_clone());
  }
  space.set_cluster_size(from.usage().cluster_size());
  space.set_clusters(from.usage().num_clusters());
  space.set_allocated_clusters(from.usage().num_allocated_clusters());
  const bool faulted =
      found.pool->pool->info().health.state == storage::PoolHealth::State::kFaulted;
  out.set_state(faulted ? v0::Replica::Faulted : v0::Replica::Online);
  out.set_thin(from.thin());
  out.set_uri(from.uri());
  out.set_uuid(from.uuid());
  *out.mutable_allowed_hosts() = from.allowed_hosts();
  out.set_kind(kind_of(from));
  return out;
}

template <class Request>
Result<FoundReplica> S::find_replica(const Request& request) const {
  TRY(check_node_of(request));
  FoundReplica found;
  if (const auto uuid = Uuid::parse(request.id())) found = engine_.find_replica(*uuid);
  if (!found) return fail(Code::kNotFound, "Replica '" + request.id() + "' not found");
  if (request.has_pool() && request.pool() != found.replica->pool_name()) {
    return fail(Code::kNotFound,
                "Replica '" + request.id() + "' not found in pool '" + request.pool() + "'");
  }
  return found;
}

// Reads take no lock: nothing in them waits, and they answer while a change waits for a disk.
S::Answer<v0::ReplicaList> S::get_replicas(rpc::Call&, const v0::GetReplicasRequest& request) {
  CO_TRY(check_node_of(request));
  if (request.has_pool() && !engine_.find_pool(request.pool())) {
    co_return fail(Code::kNotFound, "Pool '" + request.pool() + "' not found");
  }
  v0::ReplicaList list;
  for (auto& [name, loaded] : engine_.pools()) {
    if (request.has_pool() && request.pool() != name) continue;
    for (const auto& replica : loaded.pool->replicas()) {
      *list.add_replicas() = replica_message({&loaded, replica});
    }
  }
  co_return list;
}

S::Answer<v0::Replica> S::get_replica(rpc::Call&, const v0::ReplicaRequest& request) {
  CO_TRY_SET(const auto found, find_replica(request));
  co_return replica_message(found);
}

S::Answer<v0::Replica> S::put_replica(rpc::Call& call, const v0::PutReplicaRequest& request) {
  CO_TRY(check_node_of(request));
  if (!request.has_size()) co_return fail_field("size", "size is missing; give it in bytes");
  if (!request.has_thin()) co_return fail_field("thin", "thin is missing; say true or false");
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_named(engine_, request.pool()), call.token));
  const auto* loaded = engine_.find_pool(request.pool());
  if (!loaded) {
    co_return fail(Code::kNotFound,
                   "Pool '" + request.pool() + "' not found; create or import the pool first");
  }
  ReplicaArguments arguments;
  arguments.name = request.id();
  arguments.uuid = request.id();
  arguments.pool = loaded->pool->uuid().text();
  arguments.size_bytes = request.size();
  arguments.thin = request.thin();
  arguments.share_nvmf = request.share() == v0::ReplicaShare::nvmf;
  arguments.allowed_hosts = {request.allowed_hosts().begin(), request.allowed_hosts().end()};
  CO_TRY_SET(const auto made, co_await create_replica(engine_, std::move(arguments)));
  co_return replica_message(made);
}

S::Answer<S::Empty> S::del_replica(rpc::Call& call, const v0::ReplicaRequest& request) {
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_of_replica(engine_, request.id()), call.token));
  CO_TRY(find_replica(request));
  PoolChoice choice;
  if (request.has_pool()) choice.name = request.pool();
  CO_TRY_SET(auto destroyed, co_await destroy_replica(engine_, request.id(), std::move(choice)));
  if (destroyed.gone) co_return std::unexpected(std::move(destroyed.error));
  co_return Empty();
}

S::Answer<v0::ShareUri> S::put_replica_share(rpc::Call& call,
                                             const v0::PutReplicaShareRequest& request) {
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_of_replica(engine_, request.id()), call.token));
  v0::ReplicaRequest wanted;
  if (request.has_node()) wanted.set_node(request.node());
  wanted.set_pool(request.pool());
  wanted.set_id(request.id());
  CO_TRY_SET(const auto found, find_replica(wanted));
  const Shares& shares = engine_.shares();
  std::vector<std::string> hosts(request.allowed_hosts().begin(), request.allowed_hosts().end());
  if (shares.shared(*found.replica) && sorted(shares.hosts(*found.replica)) == sorted(hosts)) {
    co_return fail_because("ALREADY_SHARED",
                           "Replica '" + request.id() + "' is shared over nvmf already");
  }
  CO_TRY_SET(const auto shared, co_await share_replica(engine_, request.id(), ShareKind::kNvmf,
                                                       "nvmf", std::move(hosts)));
  v0::ShareUri answer;
  answer.set_uri(shares.uri(*shared.replica));
  co_return answer;
}

S::Answer<S::Empty> S::del_replica_share(rpc::Call& call, const v0::ReplicaRequest& request) {
  CO_TRY_SET(const auto guard, co_await engine_.replica_calls().lock(
                                   pool_of_replica(engine_, request.id()), call.token));
  CO_TRY_SET(const auto found, find_replica(request));
  if (!engine_.shares().shared(*found.replica)) {
    co_return fail_because("NOT_SHARED", "Replica '" + request.id() + "' is not shared");
  }
  CO_TRY(co_await unshare_replica(engine_, request.id()));
  co_return Empty();
}

}  // namespace capstan::services
