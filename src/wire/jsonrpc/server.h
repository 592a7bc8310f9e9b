// Why this file exists: the JSON-RPC server of a node: listens, gives every connection a
// ServerSession, and ends them in order. At kJsonRpcConnections it stops accepting: who connects
// then waits in the backlog and is served, with what it has sent, once a place is free (jsonrpc
// section A.1).
//
//     Server server(env, directory, lifecycle, log, {});
//     TRY(server.listen(core::Address::unix_path("/var/tmp/mayastor.sock")));
//     scope.spawn(server.run());
//     …
//     server.stop(10 * core::kSecond);   // run() returns within that time and a little
//
// Thread-safety: one core, the one that runs run().
#pragma once

#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "wire/jsonrpc/server_session.h"

namespace capstan::wire::jsonrpc {

struct ServerOptions {
  std::size_t connections = limits::kJsonRpcConnections;
  core::ListenOptions listen;
  rpc::RefusedCalls* refused = nullptr;  // hears of calls that no handler sees; null: nobody does
};

class Server {
 public:
  // The directory is complete; everything given but the options outlives the server. `methods` are
  // those that may be called, by their JSON-RPC names.
  Server(core::Env& env, const rpc::Directory& directory, rpc::JsonMethods methods,
         const Lifecycle& lifecycle, const core::Log& log, const ServerOptions& options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // May be called for several addresses before run(); answers the address with the real port.
  // SPDK has Unix sockets only; TCP has no access control but the node's own.
  Result<core::Address> listen(const core::Address& address);
  // Accepts until stop(); returns after the last connection has ended.
  core::Task<void> run();
  // No new connections and calls; calls in flight have `patience` to end.
  void stop(core::Nanos patience);

  std::size_t connections() const { return sessions_.size(); }
  std::size_t calls_in_flight() const;
  const ServerCounters& counters() const { return service_.counters; }
  // Registers this server's counters; unregistered with the server.
  void publish(core::Metrics& metrics);

 private:
  core::Task<void> accept_loop(core::StreamListener* listener);
  core::Task<void> serve(std::unique_ptr<core::Stream> stream);

  core::Env& env_;
  core::Log log_;
  ServerOptions options_;
  Service service_;
  std::vector<std::unique_ptr<core::StreamListener>> listeners_;
  std::list<ServerSession*> sessions_;
  std::size_t taken_ = 0;  // places, also of connections that are about to be served
  core::Event place_free_;
  core::Scope scope_;
  core::Timer patience_;
  std::vector<core::Metrics::Handle> metrics_;
  bool stopping_ = false;
};

}  // namespace capstan::wire::jsonrpc
