// Why this file exists: one controller of SpdkNvmeService: a name with its paths, and a device for
// each namespace that one of them shows. Private to the files of that service. Thread-safety: core
// 0.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "services/spdk_nvme.h"

namespace capstan::services {

// One name with its paths and devices. Devices belong to the registry; here is who made them.
class SpdkNvmeService::Controller final : private storage::nvme::HostController::Listener {
 public:
  Controller(SpdkNvmeService& service, std::string name)
      : name(std::move(name)), service_(service), devices_(service.devices_) {}
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
  // The devices that a path leads to now, to be examined; those of the others are examined as soon
  // as one leads to them.
  std::vector<std::shared_ptr<storage::Device>> take_reachable() {
    std::vector<std::shared_ptr<storage::Device>> reachable;
    for (const auto& [nsid, device] : made) {
      if (device->current()) {
        reachable.push_back(device);
        unexamined_.erase(nsid);
      } else {
        unexamined_.insert(nsid);
      }
    }
    return reachable;
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
  void path_changed() override {
    std::vector<std::shared_ptr<storage::Device>> reachable;
    std::erase_if(unexamined_, [&](std::uint32_t nsid) {
      const auto& device = made.at(nsid);
      if (device->current()) reachable.push_back(device);
      return device->current() != nullptr;
    });
    if (!reachable.empty()) service_.examine_later(std::move(reachable));
  }
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
    unexamined_.erase(nsid);
    device->retire();
    devices_.engine().devices().remove(device->name());
    devices_.engine().events().publish("device", "delete", device->name());
  }
  void warn(const std::string& device, const Error& error) {
    devices_.engine().log().warn("remote_device", {{"device", device}, {"error", error.text()}});
  }

  SpdkNvmeService& service_;
  SpdkDevices& devices_;
  std::set<std::uint32_t> unexamined_;  // namespaces that no path led to when they were to be
};

}  // namespace capstan::services
