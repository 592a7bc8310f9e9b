// Why this file exists: the parts of a storage node in the order in which they are made, and so the
// reverse order in which they go: metrics, engine, services, directory with its interceptors, gRPC
// server. Starting and stopping is here; what the parts do is theirs.
// Thread-safety: core 0. `env` and `config` outlive the daemon.
#pragma once

#include <memory>

#include "apps/io_engine/config.h"
#include "apps/io_engine/drpc_service.h"
#include "apps/io_engine/gateways.h"
#include "apps/io_engine/jsonrpc.h"
#include "apps/serving/door.h"
#include "apps/serving/gate.h"
#include "apps/serving/http_wire.h"
#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/reactor_metrics.h"
#include "core/scope.h"
#include "rpc/directory.h"
#include "services/bdev_v1.h"
#include "services/datastore.h"
#include "services/engine.h"
#include "services/health.h"
#include "services/host_v1.h"
#include "services/image.h"
#include "services/mayastor_v0.h"
#include "services/monitor_service.h"
#include "services/node.h"
#include "services/node_info.h"
#include "services/pool_v1.h"
#include "services/reflection.h"
#include "services/replica_v1.h"
#include "services/rest_v0.h"
#include "services/spdk.h"
#include "services/stats_v1.h"
#include "wire/grpc/server.h"
#include "wire/muxio/server.h"

namespace capstan::apps {

class Daemon {
 public:
  Daemon(core::Env& env, const core::Log& log, const NodeConfig& config);

  // Binds every service and adds the interceptors. An error is a mistake in the build.
  Result<void> assemble();
  const rpc::Directory& directory() const { return directory_; }

  // Opens pools, then listens; with --wait-for-rpc both once JSON-RPC asks for it. An error names
  // what is in the way; stop() must follow in any case.
  core::Task<Result<void>> start();
  // Reads the certificates' files again; new connections get what they hold now. When they cannot
  // be used, a log record says why and the former ones stay.
  core::Task<void> reload_certificates();
  // The same for every file that may change while the node runs: certificates, access list, keys.
  core::Task<void> reload();
  // Ends calls, then closes every pool cleanly.
  core::Task<void> stop();

 private:
  Result<void> bind_services();
  core::Task<Result<void>> start_engine();
  Result<void> open_target();
  services::SpdkOptions spdk_options();
  Result<core::Address> listen();
  Result<void> listen_http();
  Result<void> listen_for_gateways();

  core::Env& env_;
  core::Log log_;
  const NodeConfig& config_;
  core::Metrics metrics_;
  core::ReactorMetrics reactors_;
  services::NodeInfo info_;
  services::Engine engine_;
  Gate gate_;
  rpc::Directory directory_;
  services::PoolServiceV1 pools_;
  services::ReplicaServiceV1 replicas_;
  services::BdevServiceV1 bdevs_;
  services::HostServiceV1 host_;
  services::MayastorServiceV0 mayastor_v0_;
  services::BdevServiceV0 bdevs_v0_;
  services::StatsServiceV1 stats_;
  services::RestServiceV0 rest_v0_;
  services::MonitorService monitors_;
  services::NodeService node_;
  services::ImageService images_;
  services::DataStoreService stores_;
  services::HealthService health_;
  services::ReflectionService reflection_;
  services::SpdkServices spdk_;
  JsonRpcWire jsonrpc_;
  std::unique_ptr<HttpWire> http_;  // these five once the directory is complete
  std::unique_ptr<wire::GrpcServer> server_;
  wire::muxio::MethodTable muxio_methods_;
  std::unique_ptr<wire::muxio::Server> muxio_;
  std::unique_ptr<Door> door_;
  std::unique_ptr<DrpcService> drpc_;
  Gateways gateways_;
  core::Scope scope_;  // runs the servers
};

}  // namespace capstan::apps
