// Why this file exists: who listens where and who may reach whom, see sim_network.h.
#include "core/sim_network.h"

#include <algorithm>

#include "core/sim_env.h"
#include "core/sim_socket.h"

namespace capstan::core {

namespace {

constexpr std::uint64_t kTraceConnect = 310;

bool loopback(const std::string& host) {
  return host == "127.0.0.1" || host == "::1";
}
bool any_host(const std::string& host) {
  return host == "0.0.0.0" || host == "::";
}

std::string key_of(const Address& address) {
  return address.kind == Address::Kind::kTcp ? "tcp:" + std::to_string(address.port)
                                             : "unix:" + address.path;
}

std::pair<std::string, std::string> ordered(const std::string& a, const std::string& b) {
  return a < b ? std::pair(a, b) : std::pair(b, a);
}

}  // namespace

// --- the hub -----------------------------------------------------------------------------------

void SimNetworkHub::partition(const std::string& a, const std::string& b) {
  partitions_.insert(ordered(a, b));
}

void SimNetworkHub::heal(const std::string& a, const std::string& b) {
  partitions_.erase(ordered(a, b));
  pump_all();
}

void SimNetworkHub::heal_all() {
  partitions_.clear();
  pump_all();
}

bool SimNetworkHub::partitioned(const std::string& a, const std::string& b) const {
  return partitions_.contains(ordered(a, b));
}

void SimNetworkHub::reset(const std::string& a, const std::string& b) {
  for (auto& weak : connections_) {
    auto connection = weak.lock();
    if (connection && ordered(connection->host(0), connection->host(1)) == ordered(a, b)) {
      connection->reset();
    }
  }
}

std::size_t SimNetworkHub::connections() const {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                [](const auto& weak) { return !weak.expired(); }));
}

void SimNetworkHub::pump_all() {
  for (auto& weak : connections_) {
    if (auto connection = weak.lock()) connection->pump();
  }
}

// --- one node ----------------------------------------------------------------------------------

SimNetwork::SimNetwork(SimNetworkHub& hub, SimPower& power, std::string host)
    : hub_(hub), power_(power), host_(std::move(host)) {
  CAPSTAN_ASSERT(!hub_.nodes_.contains(host_));
  hub_.nodes_[host_] = this;
  power_.add(*this);
}

SimNetwork::~SimNetwork() {
  CAPSTAN_ASSERT(listeners_.empty());
  power_.remove(*this);
  hub_.nodes_.erase(host_);
}

void SimNetwork::forget(SimListenerBase& listener) {
  const auto found = listeners_.find(key_of(listener.address()));
  if (found != listeners_.end() && found->second == &listener) listeners_.erase(found);
}

void SimNetwork::power_failed(SimPower::Cut cut) {
  // A living kernel resets the connections of a killed process.
  const Nanos notice = cut == SimPower::Cut::kKill ? kMillisecond : kSecond;
  if (cut != SimPower::Cut::kKill) left_.clear();
  for (auto& [key, listener] : std::exchange(listeners_, {})) {
    const Address& address = listener->address();
    if (cut == SimPower::Cut::kKill && address.kind == Address::Kind::kUnix) {
      left_[address.path] = true;
    }
    listener->power_failed();
  }
  for (auto& weak : hub_.connections_) {
    const auto connection = weak.lock();
    if (!connection) continue;
    for (unsigned end = 0; end < 2; ++end) {
      if (connection->host(end) != host_) continue;
      connection->break_end(end, EIO);
      hub_.world_.reactor().after(notice, [weak, end] {
        if (const auto left = weak.lock()) left->break_end(1 - end, ECONNRESET);
      });
    }
  }
}

std::uint16_t SimNetwork::free_port() {
  while (listeners_.contains("tcp:" + std::to_string(next_port_))) ++next_port_;
  const auto port = next_port_++;
  if (next_port_ == 0) next_port_ = 32768;
  return port;
}

Result<void> SimNetwork::clear_path(const Address& address, const ListenOptions& options) {
  if (address.path.empty() || address.path.size() > kSocketPathBytesMax || options.mode == 0) {
    return fail(Code::kInvalidArgument,
                "listen on " + address.text() + ": the path must have 1 to 107 bytes and a mode");
  }
  if (const auto left = left_.find(address.path); left != left_.end()) {
    if (!left->second) {
      return fail(Code::kAlreadyExists, "listen on " + address.text() + ": not a socket", EEXIST);
    }
    if (options.existing != ExistingPath::kFail) left_.erase(left);
  }
  // The listener that loses its path goes on with the connections it has, unreachable.
  if (options.existing == ExistingPath::kUnlinkFirst) listeners_.erase(key_of(address));
  return {};
}

Result<Address> SimNetwork::bindable(Address address, const ListenOptions& options) {
  TRY(power_.check(power_.epoch(), "network"));
  if (address.kind == Address::Kind::kTcp) {
    if (!loopback(address.host) && !any_host(address.host) && address.host != host_) {
      return fail_errno(EADDRNOTAVAIL, "listen on " + address.text());
    }
    if (address.port == 0) address.port = free_port();
  } else {
    TRY(clear_path(address, options));
  }
  if (listeners_.contains(key_of(address)) || left_.contains(address.path)) {
    return fail(Code::kAlreadyExists, "listen on " + address.text() + ": address in use",
                EADDRINUSE);
  }
  return address;
}

Result<std::unique_ptr<StreamListener>> SimNetwork::listen(const Address& address,
                                                           const ListenOptions& options) {
  TRY_SET(auto local, bindable(address, options));
  auto listener = std::make_unique<SimListener<Stream, SimStream>>(*this, local);
  listeners_[key_of(local)] = listener.get();
  return listener;
}

Result<std::unique_ptr<PacketListener>> SimNetwork::listen_packets(const Address& address,
                                                                   const ListenOptions& options) {
  if (address.kind != Address::Kind::kUnix) {
    return fail(Code::kInvalidArgument, "packets need a Unix socket, not " + address.text());
  }
  TRY_SET(auto local, bindable(address, options));
  auto listener = std::make_unique<SimListener<PacketSocket, SimPacketSocket>>(*this, local);
  listeners_[key_of(local)] = listener.get();
  return listener;
}

Task<Result<SimListenerBase*>> SimNetwork::reach(Address address, CancelToken token) {
  const auto epoch = power_.epoch();
  CO_TRY(power_.check(epoch, "network"));
  const bool tcp = address.kind == Address::Kind::kTcp;
  const bool local = !tcp || loopback(address.host) || address.host == host_;
  const std::string host = local ? host_ : address.host;
  const auto& options = hub_.options();
  const std::string what = "connect to " + address.text();
  const Nanos high = 2 * options.max_latency / (tcp ? 1 : 10);
  CO_TRY(co_await sleep_for(hub_.world().random().between(high / 4, high), token));
  auto node = hub_.nodes_.find(host);
  if (node == hub_.nodes_.end() || hub_.partitioned(host_, host) || !node->second->power_.on()) {
    CO_TRY(co_await sleep_for(options.connect_timeout, token));
    co_return fail_errno(ETIMEDOUT, what);
  }
  CO_TRY(power_.check(epoch, "network"));
  const auto found = node->second->listeners_.find(key_of(address));
  if (found == node->second->listeners_.end()) {
    const bool refused = tcp || node->second->left_.contains(address.path);
    co_return fail_errno(refused ? ECONNREFUSED : ENOENT, what);
  }
  const auto& bound = found->second->address().host;
  if (tcp && loopback(bound) != loopback(address.host) && !any_host(bound)) {
    co_return fail_errno(ECONNREFUSED, what);
  }
  co_return found->second;
}

std::shared_ptr<SimConnection> SimNetwork::make_connection(SimListenerBase& listener) {
  const bool unix_socket = listener.address().kind == Address::Kind::kUnix;
  auto connection =
      std::make_shared<SimConnection>(hub_, host_, listener.network().host_, unix_socket);
  connection->reset_after(std::exchange(hub_.reset_next_, 0));
  std::erase_if(hub_.connections_, [](const auto& weak) { return weak.expired(); });
  hub_.connections_.push_back(connection);
  hub_.world().trace(kTraceConnect, hub_.connections_.size());
  return connection;
}

namespace {

// Who the accepting end sees.
PeerInfo peer_of(const Address& listener, const std::string& host, std::uint16_t port) {
  if (listener.kind == Address::Kind::kUnix) {
    return {"unix:" + listener.path, 0, 0, 1, listener.text()};
  }
  return {Address::tcp(host, port).text(), {}, {}, {}, listener.text()};
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> SimNetwork::connect(Address address, CancelToken token) {
  CO_TRY_SET(auto* listener, co_await reach(address, std::move(token)));
  if (listener->packets()) co_return fail_errno(EPROTOTYPE, "connect to " + address.text());
  auto connection = make_connection(*listener);
  PeerInfo peer{address.text(), {}, {}, {}};
  if (address.kind == Address::Kind::kUnix) peer.uid = peer.gid = 0, peer.pid = 1;
  auto stream = std::make_unique<SimStream>(connection, 0, std::move(peer));
  if (!listener->offer(connection, peer_of(listener->address(), host_, free_port()))) {
    co_return fail_errno(ECONNREFUSED, "connect to " + address.text());
  }
  co_return std::move(stream);
}

Task<Result<std::unique_ptr<PacketSocket>>> SimNetwork::connect_packets(Address address,
                                                                        CancelToken token) {
  if (address.kind != Address::Kind::kUnix) {
    co_return fail(Code::kInvalidArgument, "packets need a Unix socket, not " + address.text());
  }
  CO_TRY_SET(auto* listener, co_await reach(address, std::move(token)));
  if (!listener->packets()) co_return fail_errno(EPROTOTYPE, "connect to " + address.text());
  auto connection = make_connection(*listener);
  auto socket = std::make_unique<SimPacketSocket>(connection, 0, peer_of(address, host_, 0));
  if (!listener->offer(connection, peer_of(address, host_, 0))) {
    co_return fail_errno(ECONNREFUSED, "connect to " + address.text());
  }
  co_return std::move(socket);
}

}  // namespace capstan::core
