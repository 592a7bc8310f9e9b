// Why this file exists: the devices that hosts reach over NVMe/TCP, and the target they reach them
// at. A share is one subsystem with one namespace, under the names that Mayastor gives them
// (io-engine-behaviour sections 5 and 17). What is shared is claimed, so nobody else writes to it.
//
// Nothing is remembered here: who wants a share back after a restart keeps it elsewhere (replicas
// in their attributes, replica_ops.h). Shares may be made before the target listens, so that no
// host finds the address open and its subsystem missing. Lifetimes: env, log and registry outlive
// it; shutdown() comes before the destructor once listen() succeeded. Thread-safety: core 0.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/env.h"
#include "core/log.h"
#include "core/scope.h"
#include "core/sync.h"
#include "core/task.h"
#include "services/targets.h"
#include "storage/device/registry.h"
#include "storage/nvme/target.h"

namespace capstan::services {

struct ShareSettings {
  bool enabled = true;
  std::string address = "127.0.0.1";            // IPv4: listened on, and told to hosts
  std::uint16_t replica_port = 8420;            // every share is here
  std::uint16_t nexus_port = 4421;              // discovery only
  std::array<std::uint16_t, 3> retry_delays{};  // CRDT1 to 3, in 100 ms
  storage::nvme::TransportSizes sizes = {};
  std::size_t subsystems_max = storage::nvme::limits::kSubsystems;
  std::size_t connections_max = storage::nvme::limits::kConnections;  // of each target
  bool discovery = true;       // hosts may ask which subsystems there are
  std::string firmware = "1";  // what hosts are told as the revision; up to 8 characters
  bool ana = false;            // shares that ask for it report ANA states (NEXUS_NVMF_ANA_ENABLE)
  // Where reservations that shall persist are kept; empty: they end with the node.
  std::string reservation_directory = {};
};

struct ShareOptions {
  std::vector<std::string> hosts = {};  // NQNs; empty: any
  std::uint16_t min_controller = 1, max_controller = 0xFFEF;
  bool replica = false;  // a replica's errors name another retry delay
  bool ana = false;      // hosts are told how good the path is, where that is switched on
};

class Shares final : private storage::DeviceRegistry::Observer {
 public:
  Shares(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices);
  ~Shares() override;
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  // Before the first share.
  void configure(ShareSettings settings);
  // CRDT1 to 3 of subsystems that are made from now on, in 100 ms.
  using RetryDelays = std::array<std::uint16_t, 3>;
  void set_retry_delays(RetryDelays delays) { settings_.retry_delays = delays; }
  const RetryDelays& retry_delays() const { return settings_.retry_delays; }
  // Lets hosts in. An error (address taken, not ours) is also what check() and trouble() tell from
  // then on. Nothing happens when the target is not enabled.
  Result<void> listen();
  // Ends all shares; nothing of the target runs afterwards.
  core::Task<void> shutdown();

  // kFailedPrecondition with cause and remedy when hosts cannot reach what would be shared.
  Result<void> check() const;
  bool enabled() const { return configured_ && settings_.enabled; }
  const std::string& trouble() const { return trouble_; }  // why it does not listen; or empty
  std::string summary() const;  // where it listens, how much there is to see

  // kInternal: claimed, by another share too; kUnavailable: a share of that name is just ending;
  // kInvalidArgument: a name or host that is no NQN.
  Result<void> share(const std::shared_ptr<storage::Device>& device, ShareOptions options);
  // Those hosts and no others, which are disconnected. An empty list changes nothing. The device
  // is shared.
  Result<void> set_hosts(const storage::Device& device, const std::vector<std::string>& hosts);
  // Ends its hosts' connections; when it returns nothing of theirs uses the device, in subsystems
  // made by hand neither. False when it was not shared.
  core::Task<bool> unshare(std::shared_ptr<storage::Device> device);
  // The same for what may have to come back: where hosts found the device.
  struct Taken {
    std::optional<ShareOptions> share;
    bool any_host = true;
    std::vector<Subsystems::Place> places;
  };
  core::Task<Taken> take_away(std::shared_ptr<storage::Device> device);
  // As it was; what cannot be is logged.
  void give_back(const std::shared_ptr<storage::Device>& device, Taken taken);

  // Of a device that is shared with `ana`: kFailedPrecondition when it is not.
  Result<void> set_ana_state(const storage::Device& device, storage::nvme::AnaState state);
  Result<storage::nvme::AnaState> ana_state(const storage::Device& device) const;
  // Where a share of that device keeps its reservations; nowhere unless it is a replica.
  storage::nvme::ReservationFile reservation_file(const storage::Device& device) const;
  // A replica that is destroyed leaves no reservation behind for another one of its UUID, and a
  // pool none at all.
  core::Task<void> forget_reservations(Uuid pool, Uuid replica);
  core::Task<void> forget_reservations(Uuid pool);

  bool shared(const storage::Device& device) const { return find(device) != nullptr; }
  std::vector<std::string> hosts(const storage::Device& device) const;  // empty: any, or no share
  // "nvmf+tcp://…" of a shared device, "bdev:///…" of any other.
  std::string uri(const storage::Device& device) const;
  // "nvmf://<address>:<port>/<nqn>", without UUID.
  std::string nvmf_uri(const storage::Device& device) const;
  std::size_t size() const { return shares_.size(); }

  // All targets; shares are at the node's own, which the next two are about.
  Targets& targets() { return targets_; }
  storage::nvme::Target& target() { return target_; }
  Subsystems& subsystems() { return targets_.node().subsystems; }
  // The device behind the share of that name; null when it is none.
  std::shared_ptr<storage::Device> device_of(std::string_view nqn) const;
  // Where replicas are; its port is a real one once listen() succeeded.
  core::Address address() const;

 private:
  struct Share {
    std::shared_ptr<storage::Device> device;
    std::shared_ptr<storage::nvme::Subsystem> subsystem;
    bool ending = false;
    core::Event gone;
  };

  Share* find(const storage::Device& device) const;
  Result<void> try_listen();
  core::Task<void> end(std::shared_ptr<Share> share);
  std::string reservation_folder(const Uuid& pool) const;
  std::string reservation_path(const Uuid& pool, const Uuid& replica) const;

  void device_added(const storage::DeviceEntry& entry) override;
  void device_removed(const storage::Device& device) override;
  void device_resized(const storage::Device& device) override;

  core::Log log_;
  storage::DeviceRegistry& devices_;
  ShareSettings settings_;
  bool configured_ = false, listening_ = false;
  std::string trouble_;
  core::Env& env_;
  Targets targets_;
  storage::nvme::Target& target_;                                      // the node's own
  std::map<std::string, std::shared_ptr<Share>, std::less<>> shares_;  // by device name
  core::Scope scope_;  // ends shares of devices that were taken away
};

// "nqn.2019-05.io.openebs:<name>"
std::string share_nqn(std::string_view device_name);
// The serial number that hosts see: the same on every node for one UUID.
std::string share_serial(const Uuid& uuid);

}  // namespace capstan::services
