// Why this file exists: one controller of SpdkNvmeService: a name with its paths, and a device for
// each namespace that one of them shows. Private to the files of that service. Thread-safety: core
// 0.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "services/spdk_nvme.h"

namespace capstan::services {

// One name with its paths and devices. Devices belong to the registry; here is who made them.
class SpdkNvmeService::Controller final : private storage::nvme::HostController::Listener {
 public:
  Controller(SpdkDevices& devices, std::string name) : name(std::move(name)), devices_(devices) {}
  ~Controller() override {
    for (const auto& path : paths) path->unlisten(*this);
  }

  void add(std::shared_ptr<storage::nvme::HostController> path) {
    path->listen(*this);
    for (const auto& [nsid, device] : made) {
      const auto added = device->add_path(path);
      if (!added) warn(device->name(), added.error());
    }
    paths.push_back(std::move(path));
    namespaces_changed();
  }
  void remove(const storage::nvme::HostController& path) {
    for (const auto& [nsid, device] : made) device->remove_path(path);
    const auto it =
        std::ranges::find(paths, &path, &std::shared_ptr<storage::nvme::HostController>::get);
    (*it)->unlisten(*this);
    paths.erase(it);
  }
  // Takes all devices away.
  void retire() {
    while (!made.empty()) drop(made.begin()->first);
  }
  bool has_path(const storage::nvme::HostOptions& options) const {
    return std::ranges::any_of(paths, [&](const auto& path) {
      return path->options().address.text() == options.address.text() &&
             path->options().subsystem == options.subsystem;
    });
  }
  std::string device_name(std::uint32_t nsid) const { return name + "n" + std::to_string(nsid); }

  const std::string name;
  std::vector<std::shared_ptr<storage::nvme::HostController>> paths;
  std::map<std::uint32_t, std::shared_ptr<storage::nvme::RemoteDevice>> made;
  storage::nvme::PathPolicy policy;  // of devices that it makes

 private:
  void path_changed() override {}
  // Devices for new namespaces; none for those that no path has any more.
  void namespaces_changed() override {
    std::vector<std::uint32_t> gone;
    for (const auto& [nsid, device] : made) {
      const bool there = std::ranges::any_of(paths, [&](const auto& path) {
        return path->state() != storage::nvme::HostController::State::kRunning || path->find(nsid);
      });
      if (!there) gone.push_back(nsid);
    }
    for (const std::uint32_t nsid : gone) drop(nsid);
    for (const auto& path : paths) {
      for (const auto& [nsid, space] : path->namespaces()) {
        if (!made.contains(nsid)) make(path, nsid);
      }
    }
  }
  void make(const std::shared_ptr<storage::nvme::HostController>& path, std::uint32_t nsid) {
    Engine& engine = devices_.engine();
    auto device = storage::nvme::RemoteDevice::make(
        path, nsid, device_name(nsid), Uuid::from_name(path->text() + std::to_string(nsid)));
    if (!device) return warn(device_name(nsid), device.error());
    if (engine.devices().find_uuid((*device)->uuid())) return;  // as SPDK: it is here already
    if (auto added = engine.devices().add({*device, "", {}}); !added) {
      return warn(device_name(nsid), added.error());
    }
    engine.remotes().watch(**device);
    (*device)->set_policy(policy);
    for (const auto& other : paths) {
      if (other != path) static_cast<void>((*device)->add_path(other));
    }
    made.emplace(nsid, *device);
    engine.events().publish("device", "create", (*device)->name());
  }
  void drop(std::uint32_t nsid) {
    const auto device = made.at(nsid);
    made.erase(nsid);
    device->retire();
    devices_.engine().devices().remove(device->name());
    devices_.engine().events().publish("device", "delete", device->name());
  }
  void warn(const std::string& device, const Error& error) {
    devices_.engine().log().warn("remote_device", {{"device", device}, {"error", error.text()}});
  }

  SpdkDevices& devices_;
};

}  // namespace capstan::services
