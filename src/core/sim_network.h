// Why this file exists: the simulated network. Streams and packets travel between the nodes of a
// world with random latency, limited bandwidth and a limited window (a writer whose reader is slow
// waits), reads and writes come in short pieces, and tests split the network or break connections.
//
// A partition holds bytes back, as TCP's retransmission does; heal() lets them through. A node
// whose power fails breaks its own ends at once and its peers' ends a second later.
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/env.h"
#include "core/sim_power.h"

namespace capstan::core {

class SimConnection;
class SimListenerBase;
class SimNetwork;
class SimWorld;

struct SimNetworkOptions {
  Nanos min_latency = 10'000, max_latency = 500'000;  // one way, between nodes; Unix: a tenth
  std::uint64_t bytes_per_second = 1'000'000'000;     // of one direction of one connection
  std::size_t window_bytes = 64U << 10;               // on the way or not yet read
  unsigned short_percent = 30;                        // reads and writes that are cut short
  Nanos connect_timeout = 20 * kSecond;
};

// The wires between the nodes of one world.
class SimNetworkHub {
 public:
  explicit SimNetworkHub(SimWorld& world) : world_(world) {}
  SimNetworkOptions& options() { return options_; }
  SimWorld& world() { return world_; }

  // By node address ("10.0.0.1").
  void partition(const std::string& a, const std::string& b);
  void heal(const std::string& a, const std::string& b);
  void heal_all();
  bool partitioned(const std::string& a, const std::string& b) const;
  // Every connection between the two breaks with ECONNRESET.
  void reset(const std::string& a, const std::string& b);
  // The next connection that is made breaks once `bytes` have been sent over it in all.
  void reset_next_connection_after(std::uint64_t bytes) { reset_next_ = bytes; }
  std::size_t connections() const;

 private:
  friend class SimNetwork;
  void pump_all();

  SimWorld& world_;
  SimNetworkOptions options_;
  std::map<std::string, SimNetwork*> nodes_;
  std::set<std::pair<std::string, std::string>> partitions_;
  std::vector<std::weak_ptr<SimConnection>> connections_;
  std::uint64_t reset_next_ = 0;
};

// One node's view of it.
class SimNetwork final : public Network, SimPower::Listener {
 public:
  SimNetwork(SimNetworkHub& hub, SimPower& power, std::string host);
  ~SimNetwork() override;
  const std::string& host() const { return host_; }

  using Network::listen;
  using Network::listen_packets;
  Result<std::unique_ptr<StreamListener>> listen(const Address& address,
                                                 const ListenOptions& options) override;
  Result<std::unique_ptr<PacketListener>> listen_packets(const Address& address,
                                                         const ListenOptions& options) override;
  Task<Result<std::unique_ptr<Stream>>> connect(Address address, CancelToken token) override;
  Task<Result<std::unique_ptr<PacketSocket>>> connect_packets(Address address,
                                                              CancelToken token) override;
  // Puts something without a listener at a path: a socket file that was left, or another file. A
  // killed node leaves its sockets this way; a power cut takes them, as they are on a tmpfs.
  void occupy(const std::string& path, bool socket) { left_[path] = socket; }
  bool occupied(const std::string& path) const { return left_.contains(path); }
  // Called by a listener's destructor.
  void forget(SimListenerBase& listener);

 private:
  void power_failed(SimPower::Cut cut) override;
  // Checks and completes the address (a free port for port 0).
  Result<Address> bindable(Address address, const ListenOptions& options);
  Result<void> clear_path(const Address& address, const ListenOptions& options);
  // Waits as a connect does and answers the listener that takes it.
  Task<Result<SimListenerBase*>> reach(Address address, CancelToken token);
  std::shared_ptr<SimConnection> make_connection(SimListenerBase& listener);
  std::uint16_t free_port();

  SimNetworkHub& hub_;
  SimPower& power_;
  std::string host_;
  std::map<std::string, SimListenerBase*> listeners_;  // by "tcp:<port>" or "unix:<path>"
  std::map<std::string, bool> left_;  // paths with nobody behind them; true: a socket file
  std::uint16_t next_port_ = 32768;
};

}  // namespace capstan::core
