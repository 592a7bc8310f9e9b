// Why this file exists: see local_service.h.
#include "apps/gateway/local_service.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "model/listing.h"

namespace capstan::gateway {

namespace n1 = node::v1;
namespace v1 = ::mayastor::v1;
using What = model::StateModel::What;

// The node's clock is not ours: its uptime has grown by the time that has passed here.
core::Task<Result<void>> LocalService::get_version(rpc::Call&, const n1::GetVersionRequest&,
                                                   n1::Version& version) {
  const NodeFacts& facts = link_.facts();
  version = facts.version;
  const core::Nanos passed = core::Reactor::current()->now() - facts.asked;
  version.set_uptime_ms(version.uptime_ms() + passed / core::kMillisecond);
  co_return Result<void>();
}

core::Task<Result<n1::Config>> LocalService::get_config(rpc::Call&, const n1::GetConfigRequest&) {
  co_return link_.facts().config;
}

core::Task<Result<n1::DescribeOperationsResponse>> LocalService::describe_operations(
    rpc::Call&, const n1::DescribeOperationsRequest& request) {
  n1::DescribeOperationsResponse out;
  for (const auto& operation : link_.facts().operations.operations()) {
    if (operation.full_name().starts_with(request.prefix())) *out.add_operations() = operation;
  }
  co_return out;
}

core::Task<Result<n1::MetricsText>> LocalService::get_metrics(rpc::Call&,
                                                              const n1::GetMetricsRequest&) {
  co_await reactors_.refresh();
  n1::MetricsText out;
  out.set_text(metrics_.prometheus_text());
  co_return out;
}

core::Task<Result<void>> LocalService::get_info(rpc::Call&, const Empty&,
                                                v1::MayastorInfoResponse& info) {
  info = link_.facts().info;
  co_return Result<void>();
}

core::Task<Result<void>> LocalService::list_pools(rpc::Call&, const v1::ListPoolOptions& request,
                                                  v1::ListPoolsResponse& response) {
  CO_TRY(model::check_listing(request));
  for (const auto& [key, held] : link_.mirror().model().objects()) {
    if (key.what != What::kPool || !model::is_listed(request, *held.object.pool)) continue;
    *response.add_pools() = *held.object.pool;
  }
  co_return Result<void>();
}

// In the order of their pools, as the node lists them.
core::Task<Result<void>> LocalService::list_replicas(rpc::Call& call,
                                                     const v1::ListReplicaOptions& request,
                                                     v1::ListReplicasResponse& response) {
  CO_TRY(model::check_pool(call, request, [this](const std::string& name) {
    return link_.mirror().model().objects().contains({What::kPool, name});
  }));
  CO_TRY_SET(const bool any, model::check_listing(request));
  if (!any) co_return Result<void>();
  std::vector<const v1::Replica*> listed;
  for (const auto& [key, held] : link_.mirror().model().objects()) {
    if (key.what != What::kReplica || !model::is_listed(request, *held.object.replica)) continue;
    listed.push_back(held.object.replica.get());
  }
  std::ranges::sort(listed, [](const auto* a, const auto* b) {
    return std::tie(a->poolname(), a->uuid()) < std::tie(b->poolname(), b->uuid());
  });
  response.mutable_replicas()->Reserve(static_cast<int>(listed.size()));
  for (const auto* replica : listed) *response.add_replicas() = *replica;
  co_return Result<void>();
}

Result<void> bind_local(rpc::Directory& directory, LocalService& service) {
  const auto declare = [&](const google::protobuf::Descriptor* of, const char* name) {
    return directory.declare(of->file()->FindServiceByName(name));
  };
  TRY(declare(n1::Version::descriptor(), "NodeRpc"));
  TRY(declare(v1::MayastorInfoResponse::descriptor(), "HostRpc"));
  TRY(declare(v1::Pool::descriptor(), "PoolRpc"));
  TRY(declare(v1::Replica::descriptor(), "ReplicaRpc"));
  TRY(declare(monitor::v1::StateChange::descriptor(), "MonitorRpc"));
  using S = LocalService;
  using M = model::StateMonitors;
  const std::string node = "capstan.node.v1.NodeRpc/";
  TRY(rpc::bind_unary(directory, node + "GetVersion", service, &S::get_version));
  TRY(rpc::bind_unary(directory, node + "GetConfig", service, &S::get_config));
  TRY(rpc::bind_unary(directory, node + "DescribeOperations", service, &S::describe_operations));
  TRY(rpc::bind_unary(directory, node + "GetMetrics", service, &S::get_metrics));
  TRY(rpc::bind_unary(directory, "mayastor.v1.HostRpc/GetMayastorInfo", service, &S::get_info));
  TRY(rpc::bind_unary(directory, "mayastor.v1.PoolRpc/ListPools", service, &S::list_pools));
  TRY(rpc::bind_unary(directory, "mayastor.v1.ReplicaRpc/ListReplicas", service,
                      &S::list_replicas));
  const std::string monitors = "capstan.monitor.v1.MonitorRpc/";
  TRY(rpc::bind_server_stream(directory, monitors + "MonitorBootstrapped", service.monitors(),
                              &M::bootstrapped));
  TRY(rpc::bind_shared_stream(directory, monitors + "MonitorPools", service.monitors(), &M::pools));
  return rpc::bind_shared_stream(directory, monitors + "MonitorReplicas", service.monitors(),
                                 &M::replicas);
}

}  // namespace capstan::gateway
