// Why this file exists: one dRPC connection of a server: receive a whole message, have it worked
// off, send the reply, again, strictly in order (drpc section 8). Sessions do not wait for each
// other. A call whose client has left is still worked off; only its reply goes nowhere.
// Lifetime: run() returns when the connection has ended and its last handler with it.
// Thread-safety: one core.
#pragma once

#include <memory>

#include "core/env.h"
#include "core/log.h"
#include "wire/drpc/message_io.h"
#include "wire/drpc/module.h"

namespace capstan::wire::drpc {

// Counted per server, over all its sessions.
struct ServerCounters {
  std::uint64_t opened = 0, closed = 0, refused = 0;  // sessions; refused: over the limit
  std::uint64_t broken = 0;                           // ended because of framing, limits or I/O
  std::uint64_t calls = 0, calls_failed = 0;          // failed: answered with another status
};

struct SessionOptions {
  bool accept_legacy = true;
  std::size_t message_bytes = limits::kDrpcMessageBytes;
};

class ServerSession final : public Session {
 public:
  // Everything but the socket outlives the session.
  ServerSession(std::unique_ptr<core::PacketSocket> socket, ModuleService& service,
                const SessionOptions& options, MemoryBudget& budget, ServerCounters& counters,
                const core::Log& log);

  core::Task<void> run();
  // Ends at once when no call is running or arriving, else with the reply of that call.
  void drain();
  // Ends as soon as the running handler does; its token fires.
  void abort();

  const core::PeerInfo& peer() const override { return socket_->peer(); }
  bool legacy() const override { return reader_.framing() == Framing::kLegacy; }
  bool peer_gone() const override { return socket_->peer_gone(); }
  core::CancelToken token() const override { return source_.token(); }
  void close() override;
  int native_handle() const override { return socket_->native_handle(); }

 private:
  core::Task<Result<void>> serve();
  core::Task<Result<void>> answer(Reply reply);

  std::unique_ptr<core::PacketSocket> socket_;
  ModuleService& service_;
  ServerCounters& counters_;
  core::Log log_;
  MessageReader reader_;
  core::CancelSource source_;
  bool ending_ = false;
};

}  // namespace capstan::wire::drpc
