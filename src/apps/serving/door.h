// Why this file exists: one TCP port for all protocols. The door accepts connections and looks at
// their first bytes until it knows what they are: HTTP/2 goes to gRPC, a WebSocket upgrade at /ws
// to Muxio, other HTTP/1.1 to the HTTP server. Adapters do not know each other, so this is the
// daemon's business. Nobody waits for bytes that do not decide: HTTP/2 is known by three bytes,
// everything else is HTTP/1.1 from the first byte that is no part of HTTP/2's preface, and of that
// only the path of the first request is looked at. Who says nothing at all is sent away after the
// time that HTTP has between requests; a first request has the time that its head has.
//
//     Door door(env, log, grpc, muxio, rest);
//     CO_TRY(door.listen(core::Address::tcp("0.0.0.0", 10124)));
//     scope.spawn(door.run());
//     …
//     door.stop();   // and the servers
//
// Thread-safety: one core. The servers run beside it and outlive it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "core/sync.h"
#include "wire/grpc/server.h"
#include "wire/muxio/server.h"
#include "wire/rest/server.h"

namespace capstan::apps {

class Door {
 public:
  Door(core::Env& env, const core::Log& log, wire::GrpcServer& grpc, wire::muxio::Server& muxio,
       wire::rest::Server& rest, std::size_t connections_max = limits::kConnectionsMax);
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  // May be called for several addresses before run(); answers the address with the real port.
  // With `tls`, whose configuration should allow http1, every connection of this address is TLS.
  Result<core::Address> listen(const core::Address& address,
                               std::shared_ptr<const wire::TlsContext> tls = nullptr);
  // The same for an address where HTTP/2, and so gRPC, is not served. A Unix socket has mode 0600;
  // one that nobody listens on any more is replaced.
  Result<core::Address> listen_http(const core::Address& address,
                                    std::shared_ptr<const wire::TlsContext> tls = nullptr);
  // The same for the Unix socket of gateways, each of whose connections carries the calls of many.
  Result<core::Address> listen_gateways(const core::Address& address);
  // The same for an address that serves metrics: HTTP/1.1 alone, and no WebSocket. What may be
  // asked for there is the HTTP server's business.
  Result<core::Address> listen_metrics(const core::Address& address);
  // Accepts until stop().
  core::Task<void> run();
  void stop();
  void publish(core::Metrics& metrics);

  // Whether the first request is for the WebSocket's path; nothing: more bytes decide.
  static std::optional<bool> asks_for_websocket(std::string_view first);
  // The connections of one address, counted from being accepted to their end; kept by each of them.
  // How many there may be (--rest-max-connections) concerns them all at an address for HTTP alone:
  // who comes when it is full is not accepted and waits in the kernel. At an address with other
  // protocols it concerns HTTP/1.1, and one connection too many waits unread until one ends.
  struct Tally {
    std::size_t open = 0;
    core::Event room;  // one has ended
  };
  // What the first bytes of a connection say.
  enum class Kind { kUnknown, kHttp2, kHttp1 };
  static Kind kind_of(std::string_view first);

 private:
  struct Listening {
    std::unique_ptr<core::StreamListener> listener;  // null once it is closed
    std::shared_ptr<const wire::TlsContext> tls;
    bool http_only = false;
    bool metrics = false;  // neither HTTP/2 nor WebSocket
    bool gateways = false;
    std::shared_ptr<Tally> tally = std::make_shared<Tally>();
  };
  Result<core::Address> add(const core::Address& address, Listening listening);
  core::Task<void> accept_loop(Listening* listening);
  core::Task<void> welcome(std::unique_ptr<core::Stream> stream, const Listening* listening);
  core::Task<bool> more(core::Stream* stream, std::string* first, core::Nanos until);
  core::Task<void> serve_http1(std::unique_ptr<core::Stream> stream, std::string first,
                               core::Nanos until);
  core::Task<void> serve_rest(std::unique_ptr<core::Stream> stream, std::string first);
  core::Task<void> serve_websocket(std::unique_ptr<core::Stream> stream, std::string first,
                                   core::Nanos until);
  core::Task<void> answer(core::Stream& stream, std::string text);

  core::Env& env_;
  core::Log log_;
  wire::GrpcServer& grpc_;
  wire::muxio::Server& muxio_;
  wire::rest::Server& rest_;
  const std::size_t connections_max_;  // of all listeners
  std::vector<std::unique_ptr<Listening>> listening_;
  std::size_t waiting_ = 0;       // connections that nobody has got yet
  std::size_t rest_waiting_ = 0;  // of these, for room in rest_
  std::uint64_t refused_ = 0, answered_ = 0, silent_ = 0;
  core::Scope scope_;
  std::vector<core::Metrics::Handle> metrics_;
  bool stopping_ = false;
};

}  // namespace capstan::apps
