// Why this file exists: the gRPC server of a node: listens on addresses, gives every connection a
// ServerSession, and ends them in order: no new connections, GOAWAY, calls may finish for a bounded
// time, then they are cancelled.
//
//     GrpcServer server(env, directory, log, {});
//     CO_TRY(server.listen(core::Address::tcp("0.0.0.0", 10124)));
//     scope.spawn(server.run());
//     …
//     server.stop(10 * core::kSecond);   // run() returns within that time and a little
//
// Thread-safety: one core, the one that runs run().
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "rpc/directory.h"
#include "wire/grpc/server_session.h"
#include "wire/grpc/tls_stream.h"

namespace capstan::wire {

class GrpcServer {
 public:
  // The directory is complete and, like `env`, outlives the server.
  GrpcServer(core::Env& env, const rpc::Directory& directory, const core::Log& log,
             const ServerOptions& options);
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // May be called for several addresses before run(); answers the address with the real port.
  // With `tls` every connection of this address is TLS; it is shared, so it may be reloaded.
  Result<core::Address> listen(const core::Address& address,
                               std::shared_ptr<const TlsContext> tls = nullptr);
  // Accepts until stop(); returns after the last connection has ended.
  core::Task<void> run();
  // Serves a connection that was accepted elsewhere, as one of run()'s.
  void adopt(std::unique_ptr<core::Stream> stream);
  // The same for one of a gateway: it carries the calls of many clients, whose bounds the gateway
  // keeps, so what one client may do to its own connection must not be the measure for all.
  void adopt_gateway(std::unique_ptr<core::Stream> stream);
  // The same for one on which gRPC is not served, only its guest (ServerOptions::guest).
  void adopt_guest(std::unique_ptr<core::Stream> stream);
  // No new connections and calls; those in flight have `patience` to end. Endless calls are
  // cancelled at once.
  void stop(core::Nanos patience);

  std::size_t connections() const { return sessions_.size(); }
  std::size_t calls_in_flight() const;
  const ServerCounters& counters() const { return counters_; }
  // Registers this server's counters; unregistered with the server.
  void publish(core::Metrics& metrics);

 private:
  struct Listening {
    std::unique_ptr<core::StreamListener> listener;  // null once it is closed
    std::shared_ptr<const TlsContext> tls;
    std::size_t connections = 0;
  };
  core::Task<void> listen_loop(Listening* listening);
  core::Task<void> accept_loop(Listening* listening);
  enum class From : std::uint8_t { kClient, kGuest, kGateway };
  core::Task<void> serve(std::unique_ptr<core::Stream> stream, Listening* listening,
                         From from = From::kClient);

  core::Env& env_;
  const rpc::Directory& directory_;
  core::Log log_;
  ServerOptions options_, gateway_options_;
  MethodTable methods_;
  ServerCounters counters_;
  std::vector<std::unique_ptr<Listening>> listening_;
  std::list<ServerSession*> sessions_;
  core::Scope scope_;
  core::Timer patience_;
  std::vector<core::Metrics::Handle> metrics_;
  bool stopping_ = false;
};

}  // namespace capstan::wire
