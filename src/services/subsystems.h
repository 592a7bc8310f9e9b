// Why this file exists: subsystems of the NVMe target that somebody made by hand (SPDK's nvmf
// calls), beside the shares: which devices are in them, which are claimed for that, and the
// listeners that exist only for them. Shares has one and lets go of devices through it.
//
// Lifetimes: the target outlives it; shutdown() comes before the destructor. Thread-safety: core 0.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/scope.h"
#include "storage/device/device.h"
#include "storage/nvme/target.h"

namespace capstan::services {

inline constexpr char kTargetOwner[] = "NVMe-oF Target";  // who claims what hosts can reach

class Subsystems {
 public:
  using Subsystem = storage::nvme::Subsystem;
  explicit Subsystems(storage::nvme::Target& target) : target_(target) {}

  // See Target::add(). It has no listeners yet.
  Result<std::shared_ptr<Subsystem>> create(storage::nvme::SubsystemOptions options);
  // Returns when no host uses it any more; false when there is none of that name.
  core::Task<bool> remove(std::string nqn);
  bool contains(const std::string& nqn) const { return entries_.contains(nqn); }
  std::vector<std::shared_ptr<Subsystem>> list() const;
  // Listeners that were asked for by discovery's name.
  const std::set<std::uint16_t>& discovery_ports() const { return discovery_ports_; }

  // Claims the device; kFailedPrecondition when somebody else has.
  Result<std::uint32_t> add_namespace(const std::string& nqn,
                                      std::shared_ptr<storage::Device> device,
                                      storage::nvme::NamespaceOptions options);
  // Waits for the commands that run, and then hosts find it gone. False when it is not there.
  core::Task<bool> remove_namespace(std::string nqn, std::uint32_t id);
  // A namespace that was taken out of a subsystem.
  struct Place {
    std::shared_ptr<Subsystem> subsystem;
    storage::nvme::Namespace space;
  };
  // Out of all subsystems. Answers where it was.
  core::Task<std::vector<Place>> take_out(std::shared_ptr<storage::Device> device);
  // As it was, unless the subsystem is gone or its place taken; claims the device again.
  void put_back(Place place);
  void device_removed(const std::shared_ptr<storage::Device>& device);
  void device_resized(const storage::Device& device);

  // Listens there unless somebody does already; kAlreadyExists when the subsystem is there.
  Result<std::uint16_t> add_listener(const std::string& nqn, const core::Address& address);
  // Returns when nothing is connected that came in there; false when it was not there.
  core::Task<bool> remove_listener(std::string nqn, core::Address address);

  core::Task<void> shutdown();

 private:
  struct Entry {
    std::shared_ptr<Subsystem> subsystem;
    std::map<std::uint32_t, std::shared_ptr<storage::Device>> devices;  // claimed here
  };
  bool unused(std::uint16_t port) const;
  core::Task<void> drop(std::shared_ptr<storage::Device> device);

  storage::nvme::Target& target_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::set<std::uint16_t> own_ports_;  // listening for nothing but what is here
  std::set<std::uint16_t> discovery_ports_;
  core::Scope scope_;
};

}  // namespace capstan::services
