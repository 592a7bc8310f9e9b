// Why this file exists: a dRPC server on a Unix socket: modules are registered, then it listens,
// gives every connection a session, and ends them in order.
//
//     DomainSocketServer server(env, log, "/run/x.sock", {});
//     TRY(server.register_module(std::make_unique<MyModule>()));
//     TRY(server.start());                  // within a task of the reactor
//     …
//     co_await server.shutdown();           // nothing of it runs any more
//
// examples/drpc_hello.cc is a whole program.
// Errors of start() name the path: empty or longer than 107 bytes, in use, not ours to remove.
// Thread-safety: one core, the one that called start().
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "wire/drpc/module.h"
#include "wire/drpc/server_session.h"

namespace capstan::wire::drpc {

struct ServerOptions {
  core::ListenOptions listen;  // mode 0600; fails when anything exists at the path
  SessionOptions session;
  std::size_t sessions = limits::kDrpcSessions;  // more are accepted and closed
  std::size_t memory_bytes = limits::kDrpcMessagesBytes;
};

class DomainSocketServer {
 public:
  // `env` outlives the server.
  DomainSocketServer(core::Env& env, const core::Log& log, std::string path,
                     const ServerOptions& options);
  DomainSocketServer(const DomainSocketServer&) = delete;
  DomainSocketServer& operator=(const DomainSocketServer&) = delete;

  // Before start() only; fails for a number that is taken.
  Result<void> register_module(std::unique_ptr<Module> module) {
    return service_.register_module(std::move(module));
  }
  Result<void> start();
  // The same on a socket that listens already.
  Result<void> start(std::unique_ptr<core::PacketListener> listener);
  // No new sessions, the socket file is removed; the sessions there are live on.
  void stop_listening();
  // stop_listening(), then idle sessions end at once, others with their reply, and what is left
  // after `grace` is cut off. Returns when the last handler has ended. Also right if not started.
  core::Task<void> shutdown(core::Nanos grace = limits::kDrpcGraceNanos);

  std::size_t num_sessions() const { return sessions_.size(); }
  const ServerCounters& counters() const { return counters_; }
  const MemoryBudget& memory() const { return budget_; }
  // For modules that hold replies which are counted.
  MemoryBudget& budget() { return budget_; }
  // Registers this server's counters; unregistered with the server.
  void publish(core::Metrics& metrics);

 private:
  core::Task<void> accept_loop();
  core::Task<void> serve(std::unique_ptr<core::PacketSocket> socket);

  core::Env& env_;
  core::Log log_;
  std::string path_;
  ServerOptions options_;
  MemoryBudget budget_;
  ServerCounters counters_;
  ModuleService service_;
  std::unique_ptr<core::PacketListener> listener_;
  std::list<ServerSession*> sessions_;
  core::Scope scope_;
  core::CancelSource listening_;
  core::Timer grace_;
  std::vector<core::Metrics::Handle> metrics_;
  bool draining_ = false;
};

}  // namespace capstan::wire::drpc
