// Why this file exists: the node's dRPC socket: every operation of the directory as modules, the
// greeting of DAOS's test tools when asked for, and the policies of a daemon: a socket file that a
// killed node left is replaced, anything else at the path is a start-up error.
// Thread-safety: core 0.
#pragma once

#include <memory>

#include "apps/io_engine/config.h"
#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "rpc/directory.h"
#include "wire/drpc/server.h"

namespace capstan::apps {

class DrpcService {
 public:
  // All arguments outlive the service; the directory is complete.
  static Result<std::unique_ptr<DrpcService>> create(core::Env& env, const core::Log& log,
                                                     const NodeConfig& config,
                                                     const rpc::Directory& directory,
                                                     core::Metrics& metrics);
  Result<void> start() { return server_.start(); }
  // Running calls may answer; also right when start() failed or was never called.
  core::Task<void> stop() { return server_.shutdown(); }

 private:
  DrpcService(core::Env& env, const core::Log& log, const NodeConfig& config);
  wire::drpc::DomainSocketServer server_;
};

}  // namespace capstan::apps
