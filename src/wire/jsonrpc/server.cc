// Why this file exists: see server.h.
#include "wire/jsonrpc/server.h"

#include <utility>

namespace capstan::wire::jsonrpc {

Server::Server(core::Env& env, const rpc::Directory& directory, rpc::JsonMethods methods,
               const Lifecycle& lifecycle, const core::Log& log, const ServerOptions& options)
    : env_(env),
      log_(log.child("jsonrpc")),
      options_(options),
      service_{directory, std::move(methods), lifecycle, log_, {}, {}, options.refused},
      patience_([this] {
        for (auto* session : sessions_) session->abort("the node is shutting down");
      }) {}

Result<core::Address> Server::listen(const core::Address& address) {
  TRY_SET(auto listener, env_.network().listen(address, options_.listen));
  listeners_.push_back(std::move(listener));
  const auto& local = listeners_.back()->local();
  log_.info("listening", {{"address", local.text()}});
  return local;
}

core::Task<void> Server::run() {
  for (const auto& listener : listeners_) scope_.spawn(accept_loop(listener.get()));
  co_await scope_.join();
  listeners_.clear();
  patience_.disarm();
}

core::Task<void> Server::accept_loop(core::StreamListener* listener) {
  while (!stopping_) {
    if (taken_ >= options_.connections) {
      co_await place_free_.wait();
      continue;
    }
    ++taken_;  // before accepting: other listeners share the places
    auto stream = co_await listener->accept();
    if (stream && !stopping_) {
      scope_.spawn(serve(*std::move(stream)));
      continue;
    }
    --taken_;
    place_free_.notify_all();
    if (stopping_ || stream.error().code == Code::kCancelled) co_return;
    log_.warn("accept_failed",
              {{"address", listener->local().text()}, {"error", stream.error().text()}});
    const auto slept = co_await core::sleep_for(limits::kJsonRpcAcceptPauseNanos, scope_.token());
    if (!slept) co_return;
  }
}

core::Task<void> Server::serve(std::unique_ptr<core::Stream> stream) {
  ++service_.counters.connections_opened;
  {
    ServerSession session(*core::Reactor::current(), std::move(stream), service_);
    const auto position = sessions_.insert(sessions_.end(), &session);
    if (stopping_) session.drain();
    co_await session.run();
    sessions_.erase(position);
    if (log_.enabled(core::LogLevel::kDebug)) {
      log_.debug("connection_closed",
                 {{"peer", session.peer().address}, {"reason", session.reason()}});
    }
  }
  ++service_.counters.connections_closed;
  --taken_;
  place_free_.notify_all();
}

void Server::stop(core::Nanos patience) {
  if (stopping_) return;
  stopping_ = true;
  scope_.cancel();
  place_free_.notify_all();
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
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, {{"wire", "jsonrpc"}},
                                   [value] { return static_cast<double>(*value); }));
  };
  const ServerCounters& counters = service_.counters;
  counter("connections_opened_total", "Connections accepted.", &counters.connections_opened);
  counter("connections_closed_total", "Connections ended.", &counters.connections_closed);
  counter("wire_calls_total", "Calls that arrived, well-formed or not.", &counters.calls_started);
  counter("wire_calls_refused_total", "Calls answered before they reached a handler.",
          &counters.calls_refused);
  counter("wire_texts_malformed_total", "Texts that ended their connection.",
          &counters.texts_malformed);
  for (const char* name : {"connections", "storage_rpc_connections"}) {
    metrics_.push_back(metrics.add(Kind::kGauge, name, "Connections open now.",
                                   {{"wire", "jsonrpc"}},
                                   [this] { return static_cast<double>(sessions_.size()); }));
  }
}

}  // namespace capstan::wire::jsonrpc
