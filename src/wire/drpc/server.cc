// Why this file exists: see server.h.
#include "wire/drpc/server.h"

#include <cerrno>
#include <utility>

namespace capstan::wire::drpc {

DomainSocketServer::DomainSocketServer(core::Env& env, const core::Log& log, std::string path,
                                       const ServerOptions& options)
    : env_(env),
      log_(log.child("drpc")),
      path_(std::move(path)),
      options_(options),
      budget_(options.memory_bytes),
      service_(log_),
      grace_([this] {
        for (auto* session : sessions_) session->abort();
      }) {}

Result<void> DomainSocketServer::start() {
  if (options_.listen.mode == 0) {
    return fail(Code::kInvalidArgument, "the dRPC socket '" + path_ + "' needs a file mode");
  }
  auto listener = env_.network().listen_packets(core::Address::unix_path(path_), options_.listen);
  if (listener) return start(*std::move(listener));
  if (listener.error().sys_errno == EADDRINUSE) {
    return fail(Code::kAlreadyExists,
                "Configured dRPC socket file '" + path_ +
                    "' is already in use. Stop its owner or give another path",
                EADDRINUSE);
  }
  return std::unexpected(std::move(listener).error().within("dRPC"));
}

Result<void> DomainSocketServer::start(std::unique_ptr<core::PacketListener> listener) {
  if (listener_ || listening_.fired()) {
    return fail(Code::kFailedPrecondition, "the dRPC server was started before; make another one");
  }
  service_.close_registration();
  listener_ = std::move(listener);
  log_.info("listening", {{"address", listener_->local().text()}});
  scope_.spawn(accept_loop());
  return {};
}

core::Task<void> DomainSocketServer::accept_loop() {
  const core::CancelToken token = listening_.token();
  while (!token.fired()) {
    auto socket = co_await listener_->accept();
    if (token.fired()) break;
    if (!socket) {
      // Out of descriptors or memory: others will give some back.
      log_.warn("accept_failed", {{"path", path_}, {"error", socket.error().text()}});
      const auto slept = co_await core::sleep_for(limits::kDrpcAcceptPauseNanos, token);
      if (!slept) break;
      continue;
    }
    if (sessions_.size() >= options_.sessions) {
      ++counters_.refused;
      log_.warn("session_refused",
                {{"peer_pid", (*socket)->peer().pid.value_or(0)}, {"limit", options_.sessions}});
      continue;
    }
    scope_.spawn(serve(*std::move(socket)));
  }
  listener_.reset();  // and with it the socket file
}

core::Task<void> DomainSocketServer::serve(std::unique_ptr<core::PacketSocket> socket) {
  ++counters_.opened;
  {
    ServerSession session(std::move(socket), service_, options_.session, budget_, counters_, log_);
    const auto position = sessions_.insert(sessions_.end(), &session);
    if (draining_) session.drain();
    co_await session.run();
    sessions_.erase(position);
  }
  ++counters_.closed;
}

void DomainSocketServer::stop_listening() {
  listening_.fire();
  if (listener_) listener_->cancel();
}

core::Task<void> DomainSocketServer::shutdown(core::Nanos grace) {
  stop_listening();
  draining_ = true;
  for (auto* session : sessions_) session->drain();
  auto& reactor = *core::Reactor::current();
  if (!sessions_.empty()) grace_.arm_at(reactor, reactor.read_clock() + grace);
  co_await scope_.join();
  grace_.disarm();
}

void DomainSocketServer::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, {{"wire", "drpc"}},
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("connections_opened_total", "Connections accepted.", &counters_.opened);
  counter("connections_closed_total", "Connections ended.", &counters_.closed);
  counter("connections_refused_total", "Connections closed because of the limit.",
          &counters_.refused);
  counter("connections_broken_total", "Connections ended for what the peer sent, or by I/O.",
          &counters_.broken);
  counter("wire_calls_total", "Calls that arrived, well-formed or not.", &counters_.calls);
  counter("wire_calls_failed_total", "Calls answered with a dRPC status other than SUCCESS.",
          &counters_.calls_failed);
  for (const char* name : {"connections", "storage_rpc_connections"}) {
    metrics_.push_back(metrics.add(Kind::kGauge, name, "Connections open now.", {{"wire", "drpc"}},
                                   [this] { return static_cast<double>(sessions_.size()); }));
  }
}

}  // namespace capstan::wire::drpc
