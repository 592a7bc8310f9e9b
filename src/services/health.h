// Why this file exists: grpc.health.v1, which probes and load balancers speak. A node is SERVING
// once it has started and until it begins to stop; a pool that could not be opened does not change
// that, because a restart would not help it (NodeRpc.GetHealth tells of pools).
// A service is known when at least one of its operations is served. Thread-safety: core 0.
#pragma once

#include "grpc/health/v1/health.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"

namespace capstan::services {

class HealthService {
 public:
  // Both outlive the service, the service outlives the directory's calls.
  HealthService(Engine& engine, const rpc::Directory& directory)
      : engine_(engine), directory_(directory) {}

  using Request = ::grpc::health::v1::HealthCheckRequest;
  using Response = ::grpc::health::v1::HealthCheckResponse;
  core::Task<Result<Response>> check(rpc::Call& call, const Request& request);
  core::Task<Result<void>> watch(rpc::Call& call, const Request& request, rpc::Sink<Response> sink);

 private:
  bool known(std::string_view service) const;
  Response answer(Engine::Phase phase) const;

  Engine& engine_;
  const rpc::Directory& directory_;
};

Result<void> bind_health(rpc::Directory& directory, HealthService& service);

}  // namespace capstan::services
