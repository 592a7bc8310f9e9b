// Why this file exists: connections of the simulated network: two pipes with bytes on their way,
// and the sockets and listeners that the Network interface hands out for them.
// Private to core/sim_network.cc and core/sim_socket.cc.
#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/sim_network.h"
#include "core/sync.h"

namespace capstan::core {

// Both directions between two ends; end 0 connected, end 1 accepted.
class SimConnection : public std::enable_shared_from_this<SimConnection> {
 public:
  SimConnection(SimNetworkHub& hub, std::string host0, std::string host1, bool unix_socket);

  // What one end sends: pieces of a stream or whole packets. `last` is the end of the stream.
  struct Segment {
    Nanos due = 0;
    std::vector<std::uint8_t> bytes;
    std::size_t read = 0;
    bool last = false;
  };
  struct Pipe {
    std::deque<Segment> on_the_way, arrived;
    std::size_t queued = 0;  // bytes in both
    Nanos busy_until = 0;    // keeps the order and the bandwidth
    bool ended = false;      // nothing more will be sent
    bool abandoned = false;  // the reader is gone
  };

  Pipe& from(unsigned end) { return pipes_[end]; }
  Pipe& towards(unsigned end) { return pipes_[1 - end]; }
  Event& changed(unsigned end) { return changed_[end]; }
  const std::string& host(unsigned end) const { return hosts_[end]; }
  int broken(unsigned end) const { return broken_[end]; }

  std::size_t room(unsigned end) const;
  void send(unsigned end, std::vector<std::uint8_t> bytes, bool last);
  void close(unsigned end);
  // The end fails with `err` from now on; what was not read is lost.
  void break_end(unsigned end, int err);
  void reset() { break_end(0, ECONNRESET), break_end(1, ECONNRESET); }
  void reset_after(std::uint64_t bytes) { reset_at_ = bytes; }
  // Moves what is due to the readers, unless the network is split between the ends.
  void pump();
  SimNetworkHub& hub() { return hub_; }

 private:
  SimNetworkHub& hub_;
  std::array<std::string, 2> hosts_;
  bool unix_socket_;
  std::array<Pipe, 2> pipes_;  // by sending end
  std::array<Event, 2> changed_;
  std::array<int, 2> broken_{};
  std::uint64_t carried_ = 0, reset_at_ = 0;
};

// What stream and packet sockets share.
class SimEnd {
 public:
  SimEnd(std::shared_ptr<SimConnection> connection, unsigned end, PeerInfo peer)
      : connection_(std::move(connection)), end_(end), peer_(std::move(peer)) {}
  ~SimEnd() { connection_->close(end_); }
  SimEnd(const SimEnd&) = delete;
  SimEnd& operator=(const SimEnd&) = delete;

  // Waits until there is something to read; false at the end.
  Task<Result<bool>> readable();
  // The same without waiting; nothing when it would have to.
  Result<std::optional<bool>> readable_now() const;
  // Waits until `bytes` (or, when `any`, one byte) fit the window.
  Task<Result<void>> writable(std::size_t bytes, bool any);
  Result<void> check() const;
  void cancel();
  SimConnection& connection() const { return *connection_; }
  unsigned end() const { return end_; }
  const PeerInfo& peer() const { return peer_; }

 private:
  std::shared_ptr<SimConnection> connection_;
  unsigned end_;
  PeerInfo peer_;
  bool cancelled_ = false, reading_ = false, writing_ = false;
};

class SimStream final : public Stream {
 public:
  SimStream(std::shared_ptr<SimConnection> connection, unsigned end, PeerInfo peer)
      : end_(std::move(connection), end, std::move(peer)) {}
  const PeerInfo& peer() const override { return end_.peer(); }
  Task<Result<std::size_t>> read(MutableBytes into) override;
  Result<std::optional<std::size_t>> read_now(MutableBytes into) override;
  Task<Result<void>> write(ByteView from) override;
  Task<Result<void>> write_pieces(std::span<const ByteView> pieces) override;
  void shutdown_write() override;
  void cancel() override { end_.cancel(); }

 private:
  std::size_t take(MutableBytes into);
  SimEnd end_;
};

class SimPacketSocket final : public PacketSocket {
 public:
  SimPacketSocket(std::shared_ptr<SimConnection> connection, unsigned end, PeerInfo peer)
      : end_(std::move(connection), end, std::move(peer)) {}
  const PeerInfo& peer() const override { return end_.peer(); }
  Task<Result<std::optional<std::size_t>>> receive(std::span<const MutableBytes> parts) override;
  Task<Result<void>> send(std::span<const ByteView> parts) override;
  void reserve_send(std::size_t bytes) override {
    packet_bytes_max_ = std::clamp(bytes, packet_bytes_max_, kPacketBytesMost);
  }
  bool peer_gone() const override;
  void cancel() override { end_.cancel(); }

 private:
  static constexpr std::size_t kPacketBytesMost = 4U << 20;
  SimEnd end_;
  std::size_t packet_bytes_max_ = 212'960;  // Linux's default send buffer of a Unix socket
};

class SimListenerBase {
 public:
  SimListenerBase(SimNetwork& network, Address address)
      : network_(network), address_(std::move(address)) {}
  virtual ~SimListenerBase() { network_.forget(*this); }
  virtual bool packets() const = 0;
  // Puts the accepting end into the backlog; false when that is full.
  virtual bool offer(std::shared_ptr<SimConnection> connection, PeerInfo peer) = 0;
  virtual void power_failed() = 0;
  const Address& address() const { return address_; }
  SimNetwork& network() { return network_; }

 private:
  SimNetwork& network_;
  Address address_;
};

template <class Socket, class SimSocket>
class SimListener final : public Listener<Socket>, public SimListenerBase {
 public:
  using SimListenerBase::SimListenerBase;
  const Address& local() const override { return address(); }
  bool packets() const override { return std::is_same_v<Socket, PacketSocket>; }
  bool offer(std::shared_ptr<SimConnection> connection, PeerInfo peer) override {
    if (backlog_.size() >= kBacklog || cancelled_) return false;
    backlog_.push_back(std::make_unique<SimSocket>(std::move(connection), 1, std::move(peer)));
    changed_.notify_all();
    return true;
  }
  Task<Result<std::unique_ptr<Socket>>> accept() override {
    while (true) {
      if (lost_) co_return fail_errno(EIO, "accept on " + address().text() + ": power is off");
      if (cancelled_)
        co_return fail(Code::kCancelled, "accept on " + address().text() + " cancelled");
      if (!backlog_.empty()) break;
      co_await changed_.wait();
    }
    auto socket = std::move(backlog_.front());
    backlog_.pop_front();
    co_return std::move(socket);
  }
  void cancel() override {
    cancelled_ = true;
    changed_.notify_all();
  }
  void power_failed() override {
    lost_ = true;
    changed_.notify_all();
  }

 private:
  static constexpr std::size_t kBacklog = 128;
  std::deque<std::unique_ptr<Socket>> backlog_;
  Event changed_;
  bool cancelled_ = false, lost_ = false;
};

}  // namespace capstan::core
