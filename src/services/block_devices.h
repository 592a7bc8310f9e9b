// Why this file exists: which disks and partitions the machine has and which of them a pool could
// take (io-engine-behaviour section 16.3). Reading udev and deciding are apart: the deciding half
// is a function of plain values and is tested without a machine.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/task.h"
#include "host.pb.h"

namespace capstan::services {

// One block device as udev knows it.
struct UdevDevice {
  std::map<std::string, std::string, std::less<>> properties;  // DEVNAME, ID_FS_TYPE …
  std::map<std::string, std::string, std::less<>> attributes;  // size, queue/rotational
  std::vector<UdevDevice> partitions;                          // of a disk

  std::string_view property(std::string_view key) const;
};

struct Mount {
  std::string source, target, type;
};

// The lines of /proc/self/mounts; octal escapes are resolved.
std::vector<Mount> parse_mounts(std::string_view text);

// Each disk followed by its partitions; only what a pool could take unless `all`.
std::vector<mayastor::v1::BlockDevice> describe_block_devices(const std::vector<UdevDevice>& disks,
                                                              const std::vector<Mount>& mounts,
                                                              bool all);

// Asks udev for the disks of this machine, partitions below them. Reading its files is not
// asynchronous, so others of the core have their turn after each device.
core::Task<Result<std::vector<UdevDevice>>> read_udev();

}  // namespace capstan::services
