// Why this file exists: the Muxio server of a node. WebSocket connections are handed to it by
// whoever answered their upgrade request (the node's door); on Unix sockets it listens itself (the
// IPC transport, muxio-wire section 10).
//
//     TRY_SET(auto methods, MethodTable::make(directory));
//     Server server(env, directory, methods, log, {});
//     scope.spawn(server.run());
//     server.adopt(std::move(stream), "bytes after the upgrade request");
//     …
//     server.stop(10 * core::kSecond);   // run() returns within that time and a little
//
// Thread-safety: one core, the one that runs run().
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "wire/http1/http1_request.h"
#include "wire/muxio/session.h"

namespace capstan::wire::muxio {

struct ServerOptions {
  SessionOptions session;
  core::ListenOptions listen;  // of Unix sockets
  // Whose pages may open a WebSocket, beside those of the node's own host and of loopback ones.
  std::vector<std::string> origins;
};

class Server {
 public:
  // Everything given but the options outlives the server.
  Server(core::Env& env, const rpc::Directory& directory, const MethodTable& methods,
         const core::Log& log, const ServerOptions& options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // IPC: plain frames over a Unix socket. Before run().
  Result<core::Address> listen(const core::Address& address);
  // Serves until stop(); returns after the last connection has ended.
  core::Task<void> run();
  // Why a request for the WebSocket's path does not open one, as a whole HTTP answer.
  std::optional<std::string> refusal(const Http1Request& request) const;
  // Answers a request that refusal() has nothing against and serves the connection. `rest` is what
  // was read after the request.
  core::Task<void> upgrade(std::unique_ptr<core::Stream> stream, Http1Request request,
                           std::string rest);
  // A WebSocket whose upgrade was answered; `prefix` is what was read after the request, `metadata`
  // what its calls have of the request's headers. While stopping it is closed at once.
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  void adopt(std::unique_ptr<core::Stream> stream, std::string prefix, Metadata metadata = {});
  // No new connections and calls; calls in flight have `patience` to end, endless ones have none.
  void stop(core::Nanos patience);

  std::size_t connections() const { return sessions_.size(); }
  std::size_t calls_in_flight() const;
  const Counters& counters() const { return counters_; }
  // The connections there are, for calls to clients.
  const std::list<Session*>& sessions() const { return sessions_; }
  // Registers this server's counters; unregistered with the server.
  void publish(core::Metrics& metrics);

 private:
  core::Task<void> accept_loop(core::StreamListener* listener);
  core::Task<void> serve(std::unique_ptr<core::Stream> stream, std::string prefix,
                         Link::Framing framing, Metadata metadata);
  core::Task<void> wait_for_stop();

  core::Env& env_;
  Served served_;
  core::Log log_;
  ServerOptions options_;
  Counters counters_;
  std::vector<std::unique_ptr<core::StreamListener>> listeners_;
  std::list<Session*> sessions_;
  std::size_t connections_ = 0;  // also those that are about to be served
  core::Scope scope_;
  core::Event stopped_;
  core::Timer patience_;
  std::vector<core::Metrics::Handle> metrics_;
  bool stopping_ = false;
};

}  // namespace capstan::wire::muxio
