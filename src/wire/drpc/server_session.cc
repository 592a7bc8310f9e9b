// Why this file exists: see server_session.h.
#include "wire/drpc/server_session.h"

#include <cerrno>
#include <utility>

namespace capstan::wire::drpc {

ServerSession::ServerSession(std::unique_ptr<core::PacketSocket> socket, ModuleService& service,
                             const SessionOptions& options, MemoryBudget& budget,
                             ServerCounters& counters, const core::Log& log)
    : socket_(std::move(socket)),
      service_(service),
      counters_(counters),
      log_(log),
      reader_(*socket_, options.accept_legacy ? Framing::kUndecided : Framing::kChunked,
              options.message_bytes, &budget) {}

core::Task<void> ServerSession::run() {
  const auto ended = co_await serve();
  if (ended || ending_) co_return;
  // A client that leaves without its replies is no event.
  if (ended.error().sys_errno == EPIPE || ended.error().sys_errno == ECONNRESET) co_return;
  ++counters_.broken;
  log_.warn("session_broken",
            {{"peer_pid", peer().pid.value_or(0)}, {"error", ended.error().text()}});
}

core::Task<Result<void>> ServerSession::serve() {
  while (!ending_) {
    CO_TRY_SET(const std::optional<ByteView> message, co_await reader_.next());
    if (!message) break;
    ++counters_.calls;
    Reply reply = co_await service_.process(*this, *message);
    if (reply.status != Status::kSuccess) ++counters_.calls_failed;
    CO_TRY(co_await answer(std::move(reply)));
  }
  co_return Result<void>();
}

core::Task<Result<void>> ServerSession::answer(Reply reply) {
  const ByteView body = reply.body.view();
  const auto prefix = MessagePrefix::response(reply.sequence, reply.status, body.size());
  const ByteView parts[] = {prefix.view(), body};
  auto sent = co_await send_message(*socket_, legacy(), parts);
  // The client is gone; what it had sent before is worked off all the same.
  if (!sent && (sent.error().sys_errno == EPIPE || sent.error().sys_errno == ECONNRESET)) {
    co_return Result<void>();
  }
  co_return sent;
}

void ServerSession::drain() {
  ending_ = true;
  if (reader_.waiting()) socket_->cancel();
}

void ServerSession::abort() {
  ending_ = true;
  source_.fire();
  socket_->cancel();
}

void ServerSession::close() {
  ending_ = true;
  socket_->cancel();
}

}  // namespace capstan::wire::drpc
