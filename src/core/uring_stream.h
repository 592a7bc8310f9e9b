// Why this file exists: connected sockets, TCP and Unix, streams and packets, on a UringReactor.
// Sending and receiving are first tried directly (MSG_DONTWAIT): when it works it costs one system
// call and no completion. Who finds nothing to receive waits for the socket's watch, one request
// that stays in the ring and says so each time bytes come; only a send that would block becomes a
// request of its own. docs/performance.md, "The socket path", has what the other ways cost.
//
// Long data whose owner is handed over (write_kept) leaves without a copy where the kernel can do
// that, as a request whose memory the ring keeps until the kernel is done with it. Where it turns
// out that the kernel copies all the same (loopback, veth), or the kernel cannot say (6.1 as it
// was), the connection goes back to plain sends for good.
//
// Lifetimes: an operation's memory is never known to the kernel while a receive waits, so such a
// wait may be ended at any moment; a send in the ring ends through its completion.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <optional>
#include <span>
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
  // What `attempt` answers once it answers anything: nothing stands for "nothing there yet". The
  // socket is waited for in between, and the others of the core get their turn.
  template <class T, class Attempt>
  Task<Result<T>> receive(Attempt attempt);

  int fd_;
  PeerInfo peer_;
  UringWatch watch_;
  UringOp writing_;
  bool cancelled_ = false;
  unsigned direct_run_ = 0;
};

class UringStream final : public Stream {
 public:
  // `kept_bytes`: from where on sends go without a copy; SIZE_MAX: never.
  UringStream(int fd, PeerInfo peer, std::size_t kept_bytes = SIZE_MAX)
      : socket_(fd, std::move(peer)), kept_bytes_(kept_bytes) {}
  ~UringStream() override { let_go(); }
  const PeerInfo& peer() const override { return socket_.peer_; }
  Task<Result<std::size_t>> read(MutableBytes into) override;
  Result<std::optional<std::size_t>> read_now(MutableBytes into) override;
  Task<Result<void>> write(ByteView from) override { return send(Gather<1>({&from, 1})); }
  Task<Result<void>> write_pieces(std::span<const ByteView> pieces) override {
    return send(Gather<kPiecesMax>(pieces));
  }
  Task<Result<void>> write_kept(std::span<const ByteView> pieces,
                                std::shared_ptr<const void> owner) override;
  std::size_t kept_bytes() const override;
  void shutdown_write() override;
  void cancel() override { socket_.cancel(); }
  void set_quick() { quick_ = true; }
  // See os_socket.h.
  void leave_core() {
    socket_.watch_.end();
    acknowledge_.drop();
    let_go();
  }

 private:
  // What of some pieces has not been sent.
  template <std::size_t kMost>
  class Gather {
   public:
    explicit Gather(std::span<const ByteView> pieces);
    bool empty() const { return at_ == count_; }
    // Valid until the next call; send() looks at the first piece alone when there is no other.
    msghdr header();
    ssize_t send_now(int fd);
    void prepare(io_uring_sqe* sqe, int fd, msghdr& header);
    void sent(std::size_t bytes);

   private:
    std::array<iovec, kMost> list_;
    std::size_t at_ = 0, count_ = 0;
  };
  template <std::size_t kMost>
  Task<Result<void>> send(Gather<kMost> gather);
  // What the kernel still sends from is none of this stream's any more.
  void let_go();

  // A packet of its own, which costs as much as an answer: only when no answer comes soon.
  class Acknowledge final : public Chore {
   public:
    explicit Acknowledge(int fd) : fd_(fd) {}

   private:
    void run() override;
    int fd_;
  };
  // One direct receive: bytes, 0 at the end; nothing when there is nothing yet.
  std::optional<Result<std::size_t>> attempt(MutableBytes into);

  UringSocket socket_;
  Acknowledge acknowledge_{socket_.fd_};
  std::size_t kept_bytes_;
  std::shared_ptr<KeptSends> sends_;  // made by the first
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
  // As of streams; the end of a connection is an answer without a value.
  using Packet = std::optional<std::size_t>;
  std::optional<Result<Packet>> attempt(std::span<const MutableBytes> parts);

  UringSocket socket_;
};

}  // namespace capstan::core
