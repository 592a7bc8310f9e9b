// Why this file exists: the reading half of block_devices.h, through libudev: every device of the
// subsystem "block", partitions put below the disk that udev names as their parent.
#include <libudev.h>

#include <cerrno>
#include <memory>

#include "core/reactor.h"
#include "services/block_devices.h"

namespace capstan::services {
namespace {

struct Unref {
  void operator()(udev* context) const { udev_unref(context); }
  void operator()(udev_enumerate* list) const { udev_enumerate_unref(list); }
  void operator()(udev_device* device) const { udev_device_unref(device); }
};
template <class T>
using Handle = std::unique_ptr<T, Unref>;

UdevDevice convert(udev_device* device) {
  UdevDevice out;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_device_get_properties_list_entry(device)) {
    const char* name = udev_list_entry_get_name(entry);
    const char* value = udev_list_entry_get_value(entry);
    if (name && value) out.properties[name] = value;
  }
  for (const char* name : {"size", "queue/rotational"}) {
    const char* value = udev_device_get_sysattr_value(device, name);
    if (value) out.attributes[name] = value;
  }
  return out;
}

std::string text(const char* value) {
  return value ? value : "";
}

}  // namespace

core::Task<Result<std::vector<UdevDevice>>> read_udev() {
  const Handle<udev> context(udev_new());
  if (!context) co_return fail_errno(ENOMEM, "udev");
  const Handle<udev_enumerate> list(udev_enumerate_new(context.get()));
  if (!list) co_return fail_errno(ENOMEM, "udev enumeration");
  int error = udev_enumerate_add_match_subsystem(list.get(), "block");
  if (error >= 0) error = udev_enumerate_scan_devices(list.get());
  if (error < 0) co_return fail_errno(-error, "list block devices of udev");

  std::vector<UdevDevice> disks;
  std::map<std::string, std::vector<UdevDevice>> partitions;  // by the disk's path in sysfs
  std::vector<std::string> paths;                             // of `disks`
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(list.get())) {
    co_await core::yield();
    const char* path = udev_list_entry_get_name(entry);
    const Handle<udev_device> device(udev_device_new_from_syspath(context.get(), path));
    if (!device) continue;  // it went away meanwhile
    const std::string type = text(udev_device_get_devtype(device.get()));
    if (type == "disk") {
      disks.push_back(convert(device.get()));
      paths.emplace_back(path);
    } else if (type == "partition") {
      udev_device* disk =
          udev_device_get_parent_with_subsystem_devtype(device.get(), "block", "disk");
      if (disk) partitions[text(udev_device_get_syspath(disk))].push_back(convert(device.get()));
    }
  }
  for (std::size_t i = 0; i < disks.size(); ++i) {
    disks[i].partitions = std::move(partitions[paths[i]]);
  }
  co_return disks;
}

}  // namespace capstan::services
