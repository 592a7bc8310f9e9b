// Why this file exists: see server.h.
#include "wire/rest/server.h"

#include <utility>

namespace capstan::wire::rest {

Result<std::unique_ptr<Server>> Server::create(const rpc::Directory& directory,
                                               const core::Log& log, ServerOptions options) {
  TRY_SET(auto routes, Routes::make(directory));
  return std::unique_ptr<Server>(new Server(directory, log, std::move(options), std::move(routes)));
}

Server::Server(const rpc::Directory& directory, const core::Log& log, ServerOptions options,
               std::unique_ptr<Routes> routes)
    : log_(log.child("rest")),
      options_(std::move(options)),
      routes_(std::move(routes)),
      pipeline_(directory, *routes_, options_.pipeline),
      patience_([this] {
        for (auto* session : sessions_) session->abort();
      }) {}

core::Task<void> Server::run() {
  scope_.spawn(wait_for_stop());
  co_await scope_.join();
  patience_.disarm();
}

core::Task<void> Server::wait_for_stop() {
  co_await stopped_.wait();
}

bool Server::full(std::string_view listener) const {
  if (options_.connections == 0) return false;
  const auto position = by_listener_.find(listener);
  return position != by_listener_.end() && position->second >= options_.connections;
}

void Server::adopt(std::unique_ptr<core::Stream> stream) {
  if (stopping_) return;                    // run() may be over, and nobody would serve it
  ++by_listener_[stream->peer().listener];  // at once: others may come before serve() begins
  scope_.spawn(serve(std::move(stream)));
}

core::Task<void> Server::serve(std::unique_ptr<core::Stream> stream) {
  ++opened_;
  const std::string listener = stream->peer().listener;
  {
    Http1Session session(*core::Reactor::current(), std::move(stream), pipeline_, options_.session);
    const auto position = sessions_.insert(sessions_.end(), &session);
    co_await session.run();
    sessions_.erase(position);
    log_.debug("connection_closed", {{"peer", session.peer().address}});
  }
  ++closed_;
  --by_listener_[listener];
  room_.notify_all();
}

void Server::stop(core::Nanos patience) {
  if (std::exchange(stopping_, true)) return;
  stopped_.set();
  room_.notify_all();
  for (auto* session : sessions_) session->drain();
  auto& reactor = *core::Reactor::current();
  patience_.arm_at(reactor, reactor.now() + patience);
}

std::size_t Server::requests_in_flight() const {
  std::size_t total = 0;
  for (const auto* session : sessions_) total += session->busy() ? 1 : 0;
  return total;
}

void Server::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const core::Labels labels{{"wire", "rest"}};
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, labels,
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("connections_opened_total", "Connections accepted.", &opened_);
  counter("connections_closed_total", "Connections ended.", &closed_);
  counter("wire_calls_total", "Calls that arrived, well-formed or not.",
          &pipeline_.counters().requests);
  counter("wire_calls_refused_total", "Calls answered before they reached a handler.",
          &pipeline_.counters().refused);
  for (const char* name : {"connections", "storage_rpc_connections"}) {
    metrics_.push_back(metrics.add(Kind::kGauge, name, "Connections open now.", labels,
                                   [this] { return static_cast<double>(sessions_.size()); }));
  }
}

}  // namespace capstan::wire::rest
