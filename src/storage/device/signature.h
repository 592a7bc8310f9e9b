// Why this file exists: a pool must not be written over somebody's data. Before CreatePool formats
// a device it asks here whose it is: file systems, RAID members, partition tables and all else that
// libblkid knows. Only read: the first and the last bytes of the device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "storage/device/device.h"

namespace capstan::storage {

// What stands on the device, in words ("ext4 file system labelled 'home'"); nothing when it is
// clean or carries the signature of a pool, damaged or not (that is the pool's business).
core::Task<Result<std::optional<std::string>>> foreign_signature(std::shared_ptr<Device> device);

}  // namespace capstan::storage
