// Why this file exists: an NVMe/TCP target: listeners, subsystems by name, and a discovery service
// that is there on every listener.
//
//     Target target(env, log);
//     TRY(target.listen(core::Address::tcp("10.0.0.1", 8420)));
//     TRY_SET(auto volume, target.add({.nqn = "nqn.…:v0", .serial = "DCS…"}));
//     TRY(volume->add_namespace(device));
//     …
//     co_await target.shutdown();               // nothing of it runs any more
//
// Lifetimes: `env` outlives the target; shutdown() comes before the destructor. Devices are held by
// shared_ptr. Thread-safety: one core, the one on which its devices live and on which it is made
// (core 0 when it is made outside of any). It may be given other cores for the connections of I/O
// queues; nothing of that shows here.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/scope.h"
#include "storage/nvme/connection.h"
#include "storage/nvme/lane.h"
#include "storage/nvme/limits.h"
#include "storage/nvme/placement.h"
#include "storage/nvme/subsystem.h"

namespace capstan::storage::nvme {

// Another discovery service that hosts are told of.
struct Referral {
  std::string host;  // numeric
  std::uint16_t service = 0;
  std::string subsystem = std::string(kDiscoveryNqn);
  bool operator==(const Referral&) const = default;
};

// Which listeners the discovery log names besides all of them: those with the address, with the
// port, of the one that the host came in by.
struct DiscoveryFilter {
  bool same_address = false, same_service = false;
  bool operator==(const DiscoveryFilter&) const = default;
};

class Target final : private DiscoverySource {
 public:
  // `buffer_bytes`: memory for the data of running commands. `io_cores`: other cores for the
  // connections of I/O queues, which outlive the target; without any they stay on its own.
  Target(core::Env& env, const core::Log& log, std::size_t buffer_bytes = limits::kBufferBytes,
         std::vector<core::Reactor*> io_cores = {});
  ~Target() override;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // Accepts hosts at `address`; discovery names `advertised` (or the address itself), which must be
  // numeric. Answers the listener's number. Within a task of the reactor.
  Result<std::uint16_t> listen(const core::Address& address, std::string advertised = {});
  // The address of a listener, with its real port.
  core::Address address(std::uint16_t port) const;
  std::vector<std::uint16_t> listeners() const;
  // The listener of exactly that address.
  std::optional<std::uint16_t> find_listener(const core::Address& address) const;
  // Stops the listener and ends what came in by it; false when there is none of that number.
  core::Task<bool> unlisten(std::uint16_t port);

  // kAlreadyExists when the name is taken; see Subsystem::make() for the others.
  Result<std::shared_ptr<Subsystem>> add(SubsystemOptions options);
  // Ends its hosts' connections and returns when nothing uses it any more; false when there is
  // none.
  core::Task<bool> remove(std::string nqn);
  std::shared_ptr<Subsystem> find(const std::string& nqn) const;
  const std::map<std::string, std::shared_ptr<Subsystem>>& subsystems() const {
    return subsystems_;
  }

  // How many there may be, at most limits::kSubsystems; those that are there stay.
  void set_subsystems_max(std::size_t most);
  std::size_t subsystems_max() const { return subsystems_max_; }

  // How many there may be, at most limits::kConnections. Those that have not sent Connect have a
  // small part of that to themselves, where the oldest makes room for the next: whoever opens
  // sockets and says nothing keeps no host out.
  void set_connections_max(std::size_t most);
  std::size_t connections_max() const { return connections_max_; }

  // Of hosts that connect from now on.
  void set_sizes(const TransportSizes& sizes) { shared_.sizes = sizes; }
  const TransportSizes& sizes() const { return shared_.sizes; }

  // What hosts of subsystems added from now on, and of discovery, read as the revision; at most 8
  // characters.
  void set_firmware(std::string firmware);
  const std::string& firmware() const { return firmware_; }

  // Without it nobody can ask which subsystems there are; hosts that know the name still reach one.
  void set_discovery_served(bool served) { discovery_served_ = served; }
  Subsystem& discovery() { return *discovery_; }
  void set_discovery_filter(DiscoveryFilter filter);
  const DiscoveryFilter& discovery_filter() const { return filter_; }

  // kAlreadyExists, kResourceExhausted; false when there is no such referral.
  Result<void> add_referral(Referral referral);
  bool remove_referral(const Referral& referral);
  const std::vector<Referral>& referrals() const { return referrals_; }

  core::Task<void> shutdown();

  // What is connected, in the order in which it came.
  const std::list<Connection*>& all_connections() const { return connections_; }
  std::size_t connections() const { return connections_.size(); }
  const Counters& counters() const { return shared_.counters; }
  // The other cores, and what they did of counters(); the first is Connection::core() 1.
  const std::vector<std::unique_ptr<Lane>>& lanes() const { return lanes_; }
  const Budget& budget() const { return shared_.budget; }
  // Registers the counters with these labels; unregistered with the target.
  void publish(core::Metrics& metrics, const core::Labels& labels = {});

 private:
  struct Port {
    std::uint16_t number = 0;
    std::unique_ptr<core::StreamListener> listener;
    core::Address address;
    std::string advertised;
    core::CancelSource closed;
    core::Event gone;
  };

  core::Task<void> accept_loop(Port* port);
  core::Task<void> serve(std::unique_ptr<core::Stream> stream, std::uint16_t port);
  bool make_room(const core::Stream& stream);
  core::Task<void> send_away(Connection* connection);
  void start_lanes();
  void close_port(Port& port);
  void visible_change();
  LogPage discovery_log(const std::string& host, std::uint16_t port) const override;

  core::Env& env_;
  core::Log log_;
  Shared shared_;
  std::map<std::uint16_t, std::unique_ptr<Port>> ports_;
  std::uint16_t last_port_ = 0;
  std::map<std::string, std::shared_ptr<Subsystem>> subsystems_;
  std::shared_ptr<Subsystem> discovery_;
  std::vector<Referral> referrals_;
  DiscoveryFilter filter_;
  bool discovery_served_ = true;
  std::string firmware_ = "1";
  std::size_t subsystems_max_ = limits::kSubsystems;
  std::size_t connections_max_ = limits::kConnections;
  std::uint64_t generation_ = 1;
  std::list<Connection*> connections_;
  core::Event connection_gone_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  Placement placement_;
  core::Scope scope_, lane_scope_;
  std::vector<core::Metrics::Handle> metrics_;
  bool down_ = false;
};

}  // namespace capstan::storage::nvme
