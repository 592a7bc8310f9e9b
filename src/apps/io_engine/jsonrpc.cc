// Why this file exists: see jsonrpc.h.
#include "apps/io_engine/jsonrpc.h"

#include <utility>

namespace capstan::apps {

using wire::jsonrpc::Lifecycle;

JsonRpcWire::JsonRpcWire(core::Env& env, const core::Log& log, const rpc::Directory& directory,
                         const NodeConfig& config, Lifecycle::Start start)
    : env_(env),
      log_(log),
      directory_(directory),
      config_(config),
      lifecycle_(config.wait_for_rpc ? std::move(start) : nullptr),
      framework_(directory, lifecycle_, config.rpcs_allowed) {}

Result<void> JsonRpcWire::bind(rpc::Directory& directory) {
  return wire::jsonrpc::bind_framework(directory, framework_);
}

void JsonRpcWire::assemble(core::Metrics& metrics, rpc::RefusedCalls& refused) {
  wire::jsonrpc::ServerOptions options;
  options.listen.existing = core::ExistingPath::kReplaceStale;
  options.connections = config_.rpc_connections;
  options.refused = &refused;
  server_ = std::make_unique<wire::jsonrpc::Server>(
      env_, directory_, rpc::JsonMethods(directory_, config_.rpcs_allowed), lifecycle_, log_,
      options);
  server_->publish(metrics);
}

void JsonRpcWire::warn_of_unknown() {
  const rpc::JsonMethods methods(directory_, config_.rpcs_allowed);
  for (const std::string& name : config_.rpcs_allowed) {
    if (!methods.find(name)) log_.warn("rpcs_allowed", {{"unknown_method", name}});
  }
}

Result<void> JsonRpcWire::reserve() {
  warn_of_unknown();
  auto lock = core::FileLock::acquire(config_.rpc_socket + ".lock");
  if (lock) {
    lock_.emplace(*std::move(lock));
    return {};
  }
  Error error = std::move(lock).error();
  if (error.code == Code::kFailedPrecondition) {
    error.message += "; stop that node or give another path with -r";
  } else {
    error.message += "; give a path in a directory that this node may write, with -r";
  }
  return std::unexpected(std::move(error).within("JSON-RPC socket '" + config_.rpc_socket + "'"));
}

Result<void> JsonRpcWire::listen() {
  auto bound = server_->listen(core::Address::unix_path(config_.rpc_socket));
  if (bound) return {};
  return std::unexpected(
      std::move(bound).error().within("JSON-RPC socket (choose another path with -r)"));
}

core::Task<void> JsonRpcWire::release() {
  if (!lock_) co_return;
  // While it is held: nobody else can have taken it meanwhile.
  const auto removed = co_await env_.files().remove(lock_->path());
  if (!removed) log_.warn("lock_file_stays", {{"error", removed.error().text()}});
  lock_.reset();
}

}  // namespace capstan::apps
