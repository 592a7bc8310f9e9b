// Why this file exists: see drpc_service.h.
#include "apps/io_engine/drpc_service.h"

#include "wire/drpc/hello.h"
#include "wire/drpc/operations.h"

namespace capstan::apps {

static wire::drpc::ServerOptions server_options() {
  wire::drpc::ServerOptions options;
  options.listen.existing = core::ExistingPath::kReplaceStale;
  return options;
}

DrpcService::DrpcService(core::Env& env, const core::Log& log, const NodeConfig& config)
    : server_(env, log, config.drpc_socket, server_options()) {}

Result<std::unique_ptr<DrpcService>> DrpcService::create(core::Env& env, const core::Log& log,
                                                         const NodeConfig& config,
                                                         const rpc::Directory& directory,
                                                         core::Metrics& metrics) {
  std::unique_ptr<DrpcService> service(new DrpcService(env, log, config));
  if (config.drpc_hello) TRY(service->server_.register_module(wire::drpc::make_hello_module()));
  TRY(wire::drpc::register_operations(service->server_, directory));
  service->server_.publish(metrics);
  return service;
}

}  // namespace capstan::apps
