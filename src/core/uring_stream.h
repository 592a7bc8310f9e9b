// Why this file exists: connected sockets, TCP and Unix, streams and packets, on a UringReactor.
// Sending and receiving are first tried directly (MSG_DONTWAIT): when it works it costs one system
// call and no completion. Who finds nothing to receive waits for the socket's watch, one request
// that stays in the ring and says so each time bytes come; only a send that would block becomes a
// request of its own. docs/performance.md, "The socket path", has what the other ways cost.
//
// Lifetimes: an operation's memory is never known to the kernel while a receive waits, so such a
// wait may be ended at any moment; a send in the ring ends through its completion.
#pragma once

#include <string>

#include "core/env.h"
#include "core/uring_reactor.h"

namespace capstan::core {

inline constexpr unsigned kDirectRun = 32;  // direct successes before a yield

// What both kinds share: the descriptor, which it owns, its requests in the ring, cancellation.
class UringSocket {
 public:
  UringSocket(int fd, PeerInfo peer);
  ~UringSocket();
  UringSocket(const UringSocket&) = delete;
  UringSocket& operator=(const UringSocket&) = delete;
  void cancel();

  int fd_;
  PeerInfo peer_;
  UringWatch watch_;
  UringOp writing_;
  bool cancelled_ = false;
  unsigned direct_run_ = 0;
};

class UringStream final : public Stream {
 public:
  UringStream(int fd, PeerInfo peer) : socket_(fd, std::move(peer)) {}
  const PeerInfo& peer() const override { return socket_.peer_; }
  Task<Result<std::size_t>> read(MutableBytes into) override;
  Result<std::optional<std::size_t>> read_now(MutableBytes into) override;
  Task<Result<void>> write(ByteView from) override;
  void shutdown_write() override;
  void cancel() override { socket_.cancel(); }
  void set_quick() { quick_ = true; }
  // See os_socket.h.
  void leave_core() {
    socket_.watch_.end();
    acknowledge_.drop();
  }

 private:
  // A packet of its own, which costs as much as an answer: only when no answer comes soon.
  class Acknowledge final : public Chore {
   public:
    explicit Acknowledge(int fd) : fd_(fd) {}

   private:
    void run() override;
    int fd_;
  };
  // Bytes, 0 at the end, or -errno.
  int receive(MutableBytes into);

  UringSocket socket_;
  Acknowledge acknowledge_{socket_.fd_};
  bool quick_ = false;
};

class UringPacketSocket final : public PacketSocket {
 public:
  UringPacketSocket(int fd, PeerInfo peer) : socket_(fd, std::move(peer)) {}
  const PeerInfo& peer() const override { return socket_.peer_; }
  Task<Result<std::optional<std::size_t>>> receive(std::span<const MutableBytes> parts) override;
  Task<Result<void>> send(std::span<const ByteView> parts) override;
  void reserve_send(std::size_t bytes) override;
  bool peer_gone() const override;
  int native_handle() const override { return socket_.fd_; }
  void cancel() override { socket_.cancel(); }

 private:
  UringSocket socket_;
};

}  // namespace capstan::core
