// Why this file exists: see server.h.
#include "wire/grpc/server.h"

#include <utility>

#include "wire/grpc/gateway_limits.h"

namespace capstan::wire {

namespace {
core::Task<void> until_cancelled(core::CancelToken token) {
  constexpr core::Nanos kLong = 3600 * core::kSecond;
  while (co_await core::sleep_for(kLong, token)) {
  }
}

ServerOptions for_gateways(ServerOptions options) {
  options.from_gateway = true;
  options.receive_message_bytes = options.gateway_message_bytes;
  options.request_bytes = options.all_request_bytes = limits::kGatewayRequestBytes;
  options.connection.http2.header_list_bytes = limits::kGatewayHeaderListBytes;
  options.running_calls = limits::kCallsInFlight + limits::kLongLivedCallsInFlight;
  options.connection.http2.max_concurrent_streams = limits::kGatewayConcurrentStreams;
  options.connection.http2.reset_burst = limits::kGatewayResetBurst;
  options.connection.http2.resets_per_second = limits::kGatewayResetsPerSecond;
  return options;
}

}  // namespace

GrpcServer::GrpcServer(core::Env& env, const rpc::Directory& directory, const core::Log& log,
                       const ServerOptions& options)
    : env_(env),
      directory_(directory),
      log_(log.child("grpc")),
      options_(options),
      gateway_options_(for_gateways(options)),
      methods_(directory),
      patience_([this] {
        for (auto* session : sessions_) session->abort("the node is shutting down");
      }) {}

Result<core::Address> GrpcServer::listen(const core::Address& address,
                                         std::shared_ptr<const TlsContext> tls) {
  auto listener = env_.network().listen(address);
  if (!listener) {
    return std::unexpected(std::move(listener).error().within("listen on " + address.text()));
  }
  auto listening = std::make_unique<Listening>();
  listening->listener = *std::move(listener);
  listening->tls = std::move(tls);
  listening_.push_back(std::move(listening));
  const auto& local = listening_.back()->listener->local();
  log_.info("listening", {{"address", local.text()}, {"tls", listening_.back()->tls != nullptr}});
  return local;
}

core::Task<void> GrpcServer::run() {
  scope_.spawn(until_cancelled(scope_.token()));  // connections may be handed over until stop()
  for (const auto& listening : listening_) scope_.spawn(listen_loop(listening.get()));
  co_await scope_.join();
  listening_.clear();
  patience_.disarm();
}

core::Task<void> GrpcServer::listen_loop(Listening* listening) {
  co_await accept_loop(listening);
  // At once, not after the last call: a new client must be refused, not left in the backlog.
  listening->listener.reset();
}

core::Task<void> GrpcServer::accept_loop(Listening* listening) {
  while (!stopping_) {
    auto stream = co_await listening->listener->accept();
    if (stopping_) co_return;
    if (!stream) {
      if (stream.error().code == Code::kCancelled) co_return;
      log_.warn("accept_failed", {{"address", listening->listener->local().text()},
                                  {"error", stream.error().text()}});
      const auto slept = co_await core::sleep_for(limits::kAcceptPauseNanos, scope_.token());
      if (!slept) co_return;
      continue;
    }
    if (listening->connections >= options_.connections_max) {
      ++counters_.connections_refused;
      log_.warn("connection_refused",
                {{"peer", (*stream)->peer().address}, {"limit", options_.connections_max}});
      continue;
    }
    if (listening->tls) *stream = make_tls_stream(*std::move(stream), *listening->tls, {});
    ++listening->connections;
    scope_.spawn(serve(*std::move(stream), listening));
  }
}

void GrpcServer::adopt(std::unique_ptr<core::Stream> stream) {
  scope_.spawn(serve(std::move(stream), nullptr));
}

void GrpcServer::adopt_guest(std::unique_ptr<core::Stream> stream) {
  scope_.spawn(serve(std::move(stream), nullptr, From::kGuest));
}

void GrpcServer::adopt_gateway(std::unique_ptr<core::Stream> stream) {
  scope_.spawn(serve(std::move(stream), nullptr, From::kGateway));
}

core::Task<void> GrpcServer::serve(std::unique_ptr<core::Stream> stream, Listening* listening,
                                   From from) {
  ++counters_.connections_opened;
  {
    ServerSession session(*core::Reactor::current(), std::move(stream), directory_, methods_,
                          from == From::kGateway ? gateway_options_ : options_, counters_);
    if (from == From::kGuest) session.only_guest();
    const auto position = sessions_.insert(sessions_.end(), &session);
    if (stopping_) session.drain();
    co_await session.run();
    sessions_.erase(position);
    if (log_.enabled(core::LogLevel::kDebug)) {
      log_.debug("connection_closed", {{"peer", session.connection().peer().address},
                                       {"reason", session.connection().reason()}});
    }
  }
  ++counters_.connections_closed;
  if (listening) --listening->connections;
}

void GrpcServer::stop(core::Nanos patience) {
  if (stopping_) return;
  stopping_ = true;
  scope_.cancel();
  for (const auto& listening : listening_) {
    if (listening->listener) listening->listener->cancel();
  }
  for (auto* session : sessions_) session->drain();
  auto& reactor = *core::Reactor::current();
  patience_.arm_at(reactor, reactor.now() + patience);
}

std::size_t GrpcServer::calls_in_flight() const {
  std::size_t total = 0;
  for (const auto* session : sessions_) total += session->calls_in_flight();
  return total;
}

void GrpcServer::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, {{"wire", "grpc"}},
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("connections_opened_total", "Connections accepted.", &counters_.connections_opened);
  counter("connections_closed_total", "Connections ended.", &counters_.connections_closed);
  counter("connections_refused_total", "Connections closed because of the limit.",
          &counters_.connections_refused);
  counter("wire_calls_total", "Calls that arrived, well-formed or not.", &counters_.calls_started);
  counter("wire_calls_refused_total", "Calls answered before they reached a handler.",
          &counters_.calls_refused);
  metrics_.push_back(metrics.add(
      Kind::kGauge, "request_bytes", "Bytes of requests of unary calls that have not ended.",
      {{"wire", "grpc"}}, [this] {
        return static_cast<double>(counters_.request_bytes + counters_.gateway_request_bytes);
      }));
  for (const char* name : {"connections", "storage_rpc_connections"}) {
    metrics_.push_back(metrics.add(Kind::kGauge, name, "Connections open now.", {{"wire", "grpc"}},
                                   [this] { return static_cast<double>(sessions_.size()); }));
  }
}

}  // namespace capstan::wire
