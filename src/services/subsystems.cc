// Why this file exists: see subsystems.h.
#include "services/subsystems.h"

#include <algorithm>
#include <cerrno>

namespace capstan::services {

namespace nvme = storage::nvme;

Result<std::shared_ptr<Subsystems::Subsystem>> Subsystems::create(nvme::SubsystemOptions options) {
  options.ports.emplace();
  TRY_SET(auto subsystem, target_.add(std::move(options)));
  entries_.emplace(subsystem->nqn(), Entry{subsystem, {}});
  return subsystem;
}

core::Task<bool> Subsystems::remove(std::string nqn) {
  const auto found = entries_.find(nqn);
  if (found == entries_.end()) co_return false;
  const Entry entry = std::move(found->second);
  entries_.erase(found);
  const auto ports = *entry.subsystem->options().ports;
  co_await target_.remove(nqn);
  for (const auto& [id, device] : entry.devices) {
    entry.subsystem->remove_namespace(id);
    device->release();
  }
  for (const auto port : ports) {
    if (!unused(port)) continue;
    own_ports_.erase(port);
    co_await target_.unlisten(port);
  }
  co_return true;
}

std::vector<std::shared_ptr<Subsystems::Subsystem>> Subsystems::list() const {
  std::vector<std::shared_ptr<Subsystem>> out;
  for (const auto& [nqn, entry] : entries_) out.push_back(entry.subsystem);
  return out;
}

// --- namespaces ----------------------------------------------------------------------------------

Result<std::uint32_t> Subsystems::add_namespace(const std::string& nqn,
                                                std::shared_ptr<storage::Device> device,
                                                nvme::NamespaceOptions options) {
  const auto found = entries_.find(nqn);
  if (found == entries_.end()) {
    return fail(Code::kNotFound, "there is no subsystem " + nqn + " that was made by hand");
  }
  TRY(device->claim(kTargetOwner));
  auto id = found->second.subsystem->add_namespace(device, std::move(options));
  if (!id) {
    device->release();
    return id;
  }
  found->second.devices.emplace(*id, std::move(device));
  return id;
}

core::Task<bool> Subsystems::remove_namespace(std::string nqn, std::uint32_t id) {
  const auto found = entries_.find(nqn);
  if (found == entries_.end()) co_return false;
  const auto subsystem = found->second.subsystem;
  {
    const auto quiet = co_await subsystem->gate().lock();
    if (!subsystem->remove_namespace(id)) co_return false;
  }
  const auto again = entries_.find(nqn);
  // A new one of the same name may be there by now.
  if (again == entries_.end() || again->second.subsystem != subsystem) co_return true;
  const auto device = again->second.devices.extract(id);
  if (!device.empty()) device.mapped()->release();
  co_return true;
}

core::Task<std::vector<Subsystems::Place>> Subsystems::take_out(
    std::shared_ptr<storage::Device> device) {
  std::vector<Place> places;
  for (const auto& [nqn, entry] : entries_) {
    for (const auto& [id, each] : entry.devices) {
      const auto* space = each == device ? entry.subsystem->find_namespace(id) : nullptr;
      if (space) places.push_back({entry.subsystem, *space});
    }
  }
  for (const auto& place : places) {
    co_await remove_namespace(place.subsystem->nqn(), place.space.id);
  }
  co_return places;
}

void Subsystems::put_back(Place place) {
  const auto found = entries_.find(place.subsystem->nqn());
  if (found == entries_.end() || found->second.subsystem != place.subsystem) return;
  const auto device = place.space.device;
  const std::uint32_t id = place.space.id;
  if (!device->claim(kTargetOwner)) return;
  if (place.subsystem->put_back(std::move(place.space))) {
    found->second.devices.emplace(id, device);
  } else {
    device->release();
  }
}

core::Task<void> Subsystems::drop(std::shared_ptr<storage::Device> device) {
  static_cast<void>(co_await take_out(std::move(device)));
}

void Subsystems::device_removed(const std::shared_ptr<storage::Device>& device) {
  if (device->claimed() && device->claimed_by() == kTargetOwner) scope_.spawn(drop(device));
}

void Subsystems::device_resized(const storage::Device& device) {
  for (const auto& [nqn, entry] : entries_) {
    for (const auto& [id, each] : entry.devices) {
      if (each.get() == &device) entry.subsystem->namespace_resized(id);
    }
  }
}

// --- listeners -----------------------------------------------------------------------------------

Result<std::uint16_t> Subsystems::add_listener(const std::string& nqn,
                                               const core::Address& address) {
  const bool discovery = nqn == nvme::kDiscoveryNqn;
  const auto found = entries_.find(nqn);
  if (!discovery && found == entries_.end()) {
    return fail(Code::kNotFound, "there is no subsystem " + nqn + " that was made by hand");
  }
  auto port = target_.find_listener(address);
  const bool there = port && (discovery ? discovery_ports_.contains(*port)
                                        : found->second.subsystem->on_port(*port));
  if (there) {
    return fail(Code::kAlreadyExists, nqn + " listens on " + address.text() + " already", EEXIST);
  }
  if (!port) {
    TRY_SET(port, target_.listen(address));
    own_ports_.insert(*port);
  }
  if (discovery) {
    discovery_ports_.insert(*port);
  } else {
    found->second.subsystem->add_port(*port);
  }
  return *port;
}

core::Task<bool> Subsystems::remove_listener(std::string nqn, core::Address address) {
  const auto port = target_.find_listener(address);
  if (!port) co_return false;
  if (nqn == nvme::kDiscoveryNqn) {
    if (discovery_ports_.erase(*port) == 0) co_return false;
  } else {
    const auto found = entries_.find(nqn);
    if (found == entries_.end() || !found->second.subsystem->on_port(*port)) co_return false;
    const auto subsystem = found->second.subsystem;
    subsystem->remove_port(*port);
    co_await subsystem->until_gone([port](const nvme::Controller& controller) {
      return controller.association().port == *port;
    });
  }
  if (unused(*port)) {
    own_ports_.erase(*port);
    co_await target_.unlisten(*port);
  }
  co_return true;
}

bool Subsystems::unused(std::uint16_t port) const {
  if (!own_ports_.contains(port) || discovery_ports_.contains(port)) return false;
  return std::ranges::none_of(
      entries_, [port](const auto& entry) { return entry.second.subsystem->on_port(port); });
}

// --- the end -------------------------------------------------------------------------------------

core::Task<void> Subsystems::shutdown() {
  co_await scope_.join();
  while (!entries_.empty()) {
    const std::string nqn = entries_.begin()->first;
    co_await remove(nqn);
  }
}

}  // namespace capstan::services
