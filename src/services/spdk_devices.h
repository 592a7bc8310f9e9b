// Why this file exists: what SPDK's calls need of devices beyond the registry: names as SPDK prints
// them, devices stacked over others, waiting for a device, and looking for a pool on every new
// device. All of it works on the engine's own objects, so that other services see the same.
//
// A stacked device is a definition: it exists while the device below it does. When that goes, it
// goes; when one of that name comes back, it comes back (jsonrpc section B.3).
// Thread-safety: core 0. The engine outlives the object; destroyed before the engine.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "services/engine.h"
#include "storage/device/stacked_device.h"

namespace capstan::services {

// The name of a device in SPDK's lists: for a volume of a pool its UUID, else its own.
std::string spdk_name(const storage::Device& device);
// By name, alias or UUID; null when there is none.
std::shared_ptr<storage::Device> spdk_find(Engine& engine, std::string_view text);

struct StackedDefinition {
  enum class Kind : std::uint8_t { kPassthru, kDelay, kError } kind = Kind::kPassthru;
  std::string name;
  std::string below;  // as given: name, alias or UUID
  Uuid uuid;
  storage::DelayDevice::Latencies latencies;  // kDelay
};

class SpdkDevices final : public storage::DeviceRegistry::Observer {
 public:
  explicit SpdkDevices(Engine& engine);
  ~SpdkDevices() override;
  SpdkDevices(const SpdkDevices&) = delete;
  SpdkDevices& operator=(const SpdkDevices&) = delete;

  Engine& engine() { return engine_; }

  // Creates what `uri` says under the name it says, and opens the pool that stands on it. Errors
  // are those that SPDK's calls give.
  core::Task<Result<std::string>> create(std::string uri);
  // Deletes the device of that name, if `schemes` made it, with all that stands on it.
  core::Task<Result<void>> remove(std::string name, std::string scheme);
  // A device of one of the schemes, or -19.
  Result<std::shared_ptr<storage::Device>> find_made_by(std::string_view name,
                                                        std::string_view scheme) const;

  // --- stacked devices ---
  Result<void> define(StackedDefinition definition);
  core::Task<Result<void>> undefine(std::string name, StackedDefinition::Kind kind);
  StackedDefinition* definition(std::string_view name);
  const std::vector<StackedDefinition>& definitions() const { return definitions_; }

  // Waits until a device of that name is there; kDeadlineExceeded (ETIMEDOUT) after `patience`.
  core::Task<Result<std::shared_ptr<storage::Device>>> wait_for(std::string name,
                                                                core::Nanos patience,
                                                                core::CancelToken token);

  // What a saved configuration has of controllers of other machines: their options, which come
  // before all devices, and themselves.
  struct RemotePart {
    using Save = std::function<void(google::protobuf::ListValue&)>;
    Save options, controllers;
  };
  void save_with(RemotePart part) { remote_part_ = std::move(part); }
  const RemotePart& remote_part() const { return remote_part_; }

  bool auto_examine() const { return auto_examine_; }
  void set_auto_examine(bool on) { auto_examine_ = on; }
  // Opens the pool that stands on the device, if one does and it is not open.
  core::Task<void> examine(std::shared_ptr<storage::Device> device);
  // Until no examine() runs, or the token fires.
  core::Task<Result<void>> wait_for_examine(core::CancelToken token);

  void device_added(const storage::DeviceEntry& entry) override;
  void device_removed(const storage::Device& device) override;
  void device_resized(const storage::Device& device) override;

 private:
  core::Task<void> open_pool_on(std::shared_ptr<storage::Device> device);
  bool stands_on(const StackedDefinition& definition, const storage::Device& device) const;
  Result<void> attach(const StackedDefinition& definition,
                      const std::shared_ptr<storage::Device>& below);
  void detach(const StackedDefinition& definition);
  // Devices that stand on that one, the highest first, and it.
  std::vector<std::string> with_stacked(const std::string& name) const;
  core::Task<Result<void>> close_pools_above(std::string name);
  bool adopts(const std::string& name, const std::string& uri);

  Engine& engine_;
  std::vector<StackedDefinition> definitions_;  // in the order in which they were made
  std::set<std::string, std::less<>> created_;  // by create(), still there
  core::Event changed_;
  RemotePart remote_part_;
  bool auto_examine_ = true;
  std::size_t examining_ = 0;
};

}  // namespace capstan::services
