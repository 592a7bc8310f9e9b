// Why this file exists: the JSON-RPC side of the node: lock file and socket (jsonrpc section A.1),
// the state that --wait-for-rpc asks for, and the server.
//
// The lock decides who owns the path: it is taken before anything else is touched, so that two
// nodes with one path never meet. With it a socket left behind by a crash is replaced; one that
// somebody listens on all the same, or anything that is no socket, is in the way.
// Thread-safety: core 0. Everything given outlives the object.
#pragma once

#include <memory>
#include <optional>

#include "apps/io_engine/config.h"
#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/os_lock.h"
#include "wire/jsonrpc/framework.h"
#include "wire/jsonrpc/server.h"

namespace capstan::apps {

class JsonRpcWire {
 public:
  // `start` is what framework_start_init does, when the node was told to wait for it.
  JsonRpcWire(core::Env& env, const core::Log& log, const rpc::Directory& directory,
              const NodeConfig& config, wire::jsonrpc::Lifecycle::Start start);

  // The server's own operations.
  Result<void> bind(rpc::Directory& directory);
  // Once the directory is complete.
  void assemble(core::Metrics& metrics, rpc::RefusedCalls& refused);

  // Takes the lock; an error names the path and who holds it.
  Result<void> reserve();
  Result<void> listen();
  core::Task<void> run() { return server_->run(); }
  void stop(core::Nanos patience) { server_->stop(patience); }
  // After run() has ended: gives the lock back and removes its file.
  core::Task<void> release();

 private:
  void warn_of_unknown();

  core::Env& env_;
  core::Log log_;
  const rpc::Directory& directory_;
  const NodeConfig& config_;
  wire::jsonrpc::Lifecycle lifecycle_;
  wire::jsonrpc::FrameworkService framework_;
  std::unique_ptr<wire::jsonrpc::Server> server_;
  std::optional<core::FileLock> lock_;
};

}  // namespace capstan::apps
