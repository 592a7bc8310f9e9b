// Why this file exists: a disk that is pulled while nobody uses it would be noticed with the next
// request, which may be hours later. So the node listens to the kernel: a disk that is gone is lost
// to the registry at once, which tells everybody who uses it, and one that has another size is
// measured again. Where the kernel cannot be listened to (some containers), the node says so once
// and notices with the next request.
// What a message says is checked against what the kernel has: anybody with the right to may have
// messages made up, and some may be lost.
// Lifetimes: env, registry and events outlive it; stop() comes before the destructor of one that
// was started. Thread-safety: core 0.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "core/block_events.h"
#include "core/env.h"
#include "core/log.h"
#include "core/scope.h"
#include "services/event_bus.h"
#include "storage/device/file_device.h"
#include "storage/device/registry.h"
#include "storage/device/uevent_codec.h"

namespace capstan::services {

class DiskWatch final : private storage::DeviceRegistry::Observer {
 public:
  DiskWatch(core::Env& env, const core::Log& log, storage::DeviceRegistry& devices,
            EventBus& events);
  ~DiskWatch() override;

  // Once. The disks that are known already are looked at, too.
  void start();
  // Fine when it was never started.
  core::Task<void> stop();

 private:
  using Disk = std::shared_ptr<storage::FileDevice>;
  void device_added(const storage::DeviceEntry& entry) override;
  void device_removed(const storage::Device&) override {}
  void device_resized(const storage::Device&) override {}

  core::Task<void> follow();
  core::Task<void> take(storage::BlockUevent event);
  core::Task<void> measure(Disk disk);
  core::Task<void> look_at(Disk disk);
  // Those with that number, or all.
  std::vector<Disk> disks(std::optional<core::BlockNumber> number) const;
  void look_at_all();
  void lost(const Disk& disk);

  core::Log log_;
  storage::DeviceRegistry& devices_;
  EventBus& events_;
  core::BlockEvents* kernel_;  // null: the environment has none
  std::unique_ptr<core::KernelMessages> messages_;
  std::array<std::uint8_t, 8192> room_{};  // of one message; Linux makes at most 4 KiB
  core::Scope scope_;
};

}  // namespace capstan::services
