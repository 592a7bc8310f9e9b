// Why this file exists: see server.h.
#include "wire/muxio/server.h"

#include <utility>

#include "wire/websocket/websocket_handshake.h"

namespace capstan::wire::muxio {

namespace {
constexpr core::Nanos kAcceptPause = 100 * core::kMillisecond;  // after a failed accept
// Headers of the request for a WebSocket that hold for every call on it: who asks, in which trace.
constexpr const char* kCallHeaders[] = {"authorization", "traceparent", "tracestate"};
}  // namespace

Server::Server(core::Env& env, const rpc::Directory& directory, const MethodTable& methods,
               const core::Log& log, const ServerOptions& options)
    : env_(env),
      served_{&directory, &methods},
      log_(log.child("muxio")),
      options_(options),
      patience_([this] {
        for (auto* session : sessions_) session->abort("the node is shutting down");
      }) {}

Result<core::Address> Server::listen(const core::Address& address) {
  auto listener = env_.network().listen(address, options_.listen);
  if (!listener) {
    return std::unexpected(std::move(listener).error().within("listen on " + address.text()));
  }
  listeners_.push_back(*std::move(listener));
  const auto& local = listeners_.back()->local();
  log_.info("listening", {{"address", local.text()}});
  return local;
}

core::Task<void> Server::run() {
  scope_.spawn(wait_for_stop());
  for (const auto& listener : listeners_) scope_.spawn(accept_loop(listener.get()));
  co_await scope_.join();
  listeners_.clear();
  patience_.disarm();
}

core::Task<void> Server::wait_for_stop() {
  co_await stopped_.wait();
}

core::Task<void> Server::accept_loop(core::StreamListener* listener) {
  while (!stopping_) {
    auto stream = co_await listener->accept();
    if (stopping_) co_return;
    if (!stream) {
      if (stream.error().code == Code::kCancelled) co_return;
      log_.warn("accept_failed",
                {{"address", listener->local().text()}, {"error", stream.error().text()}});
      const auto slept = co_await core::sleep_for(kAcceptPause, scope_.token());
      if (!slept) co_return;
      continue;
    }
    if (connections_ >= limits::kConnectionsMax) {
      ++counters_.connections_refused;
      log_.warn("connection_refused",
                {{"peer", (*stream)->peer().address}, {"limit", limits::kConnectionsMax}});
      continue;
    }
    ++connections_;
    scope_.spawn(serve(*std::move(stream), {}, Link::Framing::kPlain, {}));
  }
}

std::optional<std::string> Server::refusal(const Http1Request& request) const {
  const std::string connection = request.header("connection"), upgrade = request.header("upgrade");
  const std::string key = request.header("sec-websocket-key");
  const std::string version = request.header("sec-websocket-version");
  const std::string host = request.header("host"), origin = request.header("origin");
  const auto decision = websocket_answer(
      {request.method, request.http10, connection, upgrade, key, version, host, origin},
      options_.origins);
  if (decision.accepted && stopping_) {
    return http1_answer(503, "The node is shutting down; try again later.\n");
  }
  if (decision.accepted) return std::nullopt;
  return http1_answer(decision.status, decision.body, decision.headers, request.method == "HEAD");
}

core::Task<void> Server::upgrade(std::unique_ptr<core::Stream> stream, Http1Request request,
                                 std::string rest) {
  const std::string answer = websocket_accept_response(request.header("sec-websocket-key"));
  const auto written = co_await stream->write(as_bytes(answer));
  Metadata metadata;
  for (const char* name : kCallHeaders) {
    if (std::string value = request.header(name); !value.empty()) {
      metadata.emplace_back(name, std::move(value));
    }
  }
  if (written) adopt(std::move(stream), std::move(rest), std::move(metadata));
}

void Server::adopt(std::unique_ptr<core::Stream> stream, std::string prefix, Metadata metadata) {
  if (stopping_) return;  // run() may be over, and nobody would serve it
  ++connections_;
  scope_.spawn(serve(std::move(stream), std::move(prefix), Link::Framing::kWebSocketServer,
                     std::move(metadata)));
}

core::Task<void> Server::serve(std::unique_ptr<core::Stream> stream, std::string prefix,
                               Link::Framing framing, Metadata metadata) {
  ++counters_.connections_opened;
  {
    SessionOptions options = options_.session;
    options.side = Side::kServer;
    options.link.framing = framing;
    options.metadata = std::move(metadata);
    Session session(env_, std::move(stream), std::move(prefix), served_, options, counters_);
    const auto position = sessions_.insert(sessions_.end(), &session);
    if (stopping_) session.drain();
    co_await session.run();
    sessions_.erase(position);
    if (log_.enabled(core::LogLevel::kDebug)) {
      log_.debug("connection_closed",
                 {{"peer", session.link().peer().address}, {"reason", session.link().reason()}});
    }
  }
  ++counters_.connections_closed;
  --connections_;
}

void Server::stop(core::Nanos patience) {
  if (std::exchange(stopping_, true)) return;
  scope_.cancel();
  stopped_.set();
  for (const auto& listener : listeners_) listener->cancel();
  for (auto* session : sessions_) session->drain();
  auto& reactor = *core::Reactor::current();
  patience_.arm_at(reactor, reactor.now() + patience);
}

std::size_t Server::calls_in_flight() const {
  std::size_t total = 0;
  for (const auto* session : sessions_) total += session->calls_in_flight();
  return total;
}

void Server::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, {{"wire", "muxio"}},
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("connections_opened_total", "Connections accepted.", &counters_.connections_opened);
  counter("connections_closed_total", "Connections ended.", &counters_.connections_closed);
  counter("connections_refused_total", "Connections closed because of the limit.",
          &counters_.connections_refused);
  counter("wire_calls_total", "Calls that arrived, well-formed or not.", &counters_.calls_started);
  counter("wire_calls_refused_total", "Calls answered before they reached a handler.",
          &counters_.calls_refused);
  for (const char* name : {"connections", "storage_rpc_connections"}) {
    metrics_.push_back(metrics.add(Kind::kGauge, name, "Connections open now.", {{"wire", "muxio"}},
                                   [this] { return static_cast<double>(sessions_.size()); }));
  }
}

}  // namespace capstan::wire::muxio
