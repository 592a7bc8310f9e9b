// Why this file exists: the node's name space of devices. Every device has one name (unique on the
// node), optional aliases and, when it was created from a URI, that URI. Replicas and nexuses are
// registered here by their owners. The URI schemes and parameters are those of Mayastor
// (io-engine-behaviour section 6.1).
// Thread-safety: core 0.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/cancel.h"
#include "core/env.h"
#include "core/sync.h"
#include "storage/device/device.h"
#include "storage/device/device_uri.h"

namespace capstan::storage {

struct DeviceEntry {
  std::shared_ptr<Device> device;
  std::string uri;                   // creation URI as given; empty for replicas
  std::vector<std::string> aliases;  // creation URI, "<pool>/<replica>" …
};

// Makes the devices of a scheme that this folder knows nothing of (nvmf).
class DeviceMaker {
 public:
  virtual ~DeviceMaker() = default;
  // The token's code when that fires before the device is there; nothing is left of it then.
  virtual core::Task<Result<std::shared_ptr<Device>>> make(DeviceUri uri,
                                                           core::CancelToken token) = 0;
};

class DeviceRegistry {
 public:
  explicit DeviceRegistry(core::Env& env);
  ~DeviceRegistry();

  // Told when a device has become known, was forgotten, or has another size; it may add and remove
  // devices itself, but not wait.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void device_added(const DeviceEntry& entry) = 0;
    virtual void device_removed(const Device& device) = 0;
    virtual void device_resized(const Device& device) = 0;
  };
  // Until unobserve(), which comes before the observer goes.
  void observe(Observer& observer) { observers_.push_back(&observer); }
  void unobserve(Observer& observer);
  // For owners of devices that change size by other means than create().
  void announce_resized(const Device& device);

  // Who makes nvmf devices; nobody: they are kUnimplemented. Outlives the registry's last create().
  void serve_remote(DeviceMaker* maker) { remote_ = maker; }

  // Creates and registers the device that `uri` names. Errors: kInvalidArgument (unparsable,
  // unknown scheme or parameter, wrong uuid), kNotFound, kAlreadyExists (name taken; `rescan` and
  // `resize` act on the existing device instead), per io-engine-behaviour sections 4.1 and 6.1. The
  // token ends what waits for another node or another create(); files it leaves alone.
  core::Task<Result<std::shared_ptr<Device>>> create(std::string uri, core::CancelToken token = {});
  // Unregisters and retires the device that `uri` names; kNotFound when there is none or it is of
  // another scheme. It is closed when its last user lets go. A device in use is not protected: its
  // user sees every later operation fail. bdev:// and loopback:// always succeed and do nothing.
  core::Task<Result<void>> destroy(std::string uri);

  // For owners of devices that have no URI of their own (replicas, nexuses). kAlreadyExists when
  // the name or an alias is taken, kResourceExhausted at limits::kDevicesMax.
  Result<void> add(DeviceEntry entry);
  void remove(const std::string& name);
  // What the device of that name stands for has vanished: it is retired and forgotten. Its users
  // keep what they hold of it, and their requests fail. Fine when there is none.
  void lose(const std::string& name);

  std::shared_ptr<Device> find(std::string_view name_or_alias) const;  // null when missing
  std::shared_ptr<Device> find_uuid(const Uuid& uuid) const;
  const DeviceEntry* entry(std::string_view name) const;
  std::vector<const DeviceEntry*> list() const;  // by name

 private:
  core::Task<Result<std::shared_ptr<Device>>> create_checked(DeviceUri parsed, std::string uri,
                                                             core::CancelToken token);
  // Makes the device itself; the registry does not know it yet.
  core::Task<Result<std::shared_ptr<Device>>> make(DeviceUri parsed, core::CancelToken token);
  core::Task<Result<std::shared_ptr<Device>>> make_file(DeviceUri parsed);
  core::Task<Result<std::shared_ptr<Device>>> make_remote(DeviceUri parsed,
                                                          core::CancelToken token);
  Result<std::shared_ptr<Device>> make_memory(const DeviceUri& parsed);
  Result<std::shared_ptr<Device>> find_existing(const DeviceUri& parsed) const;
  Result<void> resize(Device& device, const DeviceUri& parsed) const;
  // kResourceExhausted-like failure (ENOMEM) when malloc devices would exceed their total.
  Result<void> check_memory(const std::string& name, std::uint64_t size_bytes) const;
  void tell(const std::function<void(Observer&)>& what) const;
  core::Env& env_;
  DeviceMaker* remote_ = nullptr;
  std::map<std::string, DeviceEntry, std::less<>> entries_;
  std::map<std::string, std::string, std::less<>> aliases_;  // alias → name
  std::set<std::string, std::less<>> busy_;                  // names being created right now
  core::Event busy_changed_;
  std::vector<Observer*> observers_;
};

// The device name that `uri` would have ("/var/tmp/disk.img", "m0"), after checking the URI in
// full: scheme, parameters, values. kInvalidArgument names what is wrong. A text that is no URL is
// taken as a path ("/dev/sdb" → aio:///dev/sdb) only by normalize_disk().
Result<std::string> device_name_of(std::string_view uri);
// CreatePool's rule: a plain path becomes aio://<path>; anything else is kept.
std::string normalize_disk(std::string_view text);

}  // namespace capstan::storage
