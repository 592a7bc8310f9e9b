// Why this file exists: the parts of a gateway in the order in which they are made, and so the
// reverse order in which they go: the link to the node, what is answered here, the directory that
// knows both, the servers in front of it. A gateway lives as long as the node serves the same
// operations; then main() makes another one.
// Source: http-rpc sections 19 and 20.6.
// Thread-safety: one core. `env` and `config` outlive the gateway.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "apps/gateway/config.h"
#include "apps/gateway/local_service.h"
#include "apps/gateway/node_link.h"
#include "apps/gateway/router.h"
#include "apps/serving/door.h"
#include "apps/serving/gate.h"
#include "apps/serving/http_wire.h"
#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/reactor_metrics.h"
#include "core/scope.h"
#include "rpc/directory.h"
#include "wire/grpc/server.h"
#include "wire/muxio/server.h"

namespace capstan::gateway {

class Gateway {
 public:
  Gateway(core::Env& env, const core::Log& log, const GatewayConfig& config);
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Waits for the node, then listens. An error names what is in the way, or is that of `stop`;
  // stop() must follow in any case. `outdated` is called once the node serves other operations.
  // `read_again`: the files behind the configuration have changed since it was made.
  core::Task<Result<void>> start(core::CancelToken stop, std::function<void()> outdated,
                                 bool read_again = false);
  // Ends calls, then the link.
  core::Task<void> stop();
  // Reads every file again that may change while it runs: certificates, access list, keys.
  core::Task<void> reload();

  // With the real ports, once started.
  const std::vector<core::Address>& listening() const { return listening_; }
  const NodeLink& link() const { return link_; }

 private:
  Result<void> assemble();
  Result<void> listen();

  core::Env& env_;
  core::Log log_;
  const GatewayConfig& config_;
  core::Metrics metrics_;
  core::ReactorMetrics reactors_;
  NodeLink link_;
  LocalService local_service_;
  rpc::Directory local_;
  Router router_;
  apps::Gate gate_;
  rpc::Directory directory_;
  std::unique_ptr<apps::HttpWire> http_;  // these once the directory is complete
  std::unique_ptr<wire::GrpcServer> grpc_;
  wire::muxio::MethodTable muxio_methods_;
  std::unique_ptr<wire::muxio::Server> muxio_;
  std::unique_ptr<apps::Door> door_;
  std::vector<core::Address> listening_;
  core::Scope scope_;
};

}  // namespace capstan::gateway
