// Why this file exists: the devices of other nodes as devices of this one: it stands between the
// device registry, which knows URIs, and the NVMe/TCP initiator, which knows controllers. Every
// nvmf:// URI gets a controller of its own, whose name is that of the device.
// Lifetimes: env, log and registry outlive it; shutdown() comes before the destructor.
// Thread-safety: core 0.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/device/registry.h"
#include "storage/nvme/initiator.h"
#include "storage/nvme/initiator_device.h"

namespace capstan::services {

struct RemoteSettings {
  std::string host_nqn;         // empty: made from the host id
  std::optional<Uuid> host_id;  // nothing: made from the host NQN, random without one
  // What URIs and calls that say nothing get; names and address are not used.
  storage::nvme::HostOptions defaults = {};
};

// How long a lost controller is tried for, how long between tries, and when its I/O fails: in
// seconds and with the meaning of SPDK (jsonrpc section B.6): a loss of -1 is for ever. Nothing
// stays as it is. kInvalidArgument when they do not fit together.
Result<void> set_reconnect_times(storage::nvme::HostOptions& options,
                                 std::optional<std::int32_t> loss,
                                 std::optional<std::uint32_t> delay,
                                 std::optional<std::uint32_t> fast);

class RemoteDevices final : public storage::DeviceMaker, private storage::DeviceRegistry::Observer {
 public:
  RemoteDevices(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices);
  ~RemoteDevices() override;

  // Before the first device; later ones get what is set then.
  void configure(RemoteSettings settings);
  const RemoteSettings& settings() const { return settings_; }
  storage::nvme::HostOptions& defaults() { return settings_.defaults; }
  // Of this host, as every target sees it.
  const std::string& host_nqn() const { return host_nqn_; }

  core::Task<Result<std::shared_ptr<storage::Device>>> make(storage::DeviceUri uri,
                                                            core::CancelToken token) override;
  // Options with this host's names and the defaults.
  storage::nvme::HostOptions options() const;
  // Tells the registry, and so everybody, when the device has another size.
  void watch(storage::nvme::RemoteDevice& device);

  storage::nvme::Initiator& initiator() { return initiator_; }
  // The registered devices that are remote, by name.
  std::vector<std::shared_ptr<storage::nvme::RemoteDevice>> list() const;
  // A node that stops waits for nobody who has not answered yet, and connects to nobody any more.
  void stop_connecting() { initiator_.stop_connecting(); }
  // Ends all connections; I/O of the devices fails from then on.
  core::Task<void> shutdown() { return initiator_.shutdown(); }

 private:
  void device_added(const storage::DeviceEntry&) override {}
  void device_removed(const storage::Device& device) override;
  void device_resized(const storage::Device&) override {}

  core::Env& env_;
  storage::DeviceRegistry& devices_;
  RemoteSettings settings_;
  std::string host_nqn_;
  storage::nvme::HostId host_id_{};
  storage::nvme::Initiator initiator_;
};

}  // namespace capstan::services
