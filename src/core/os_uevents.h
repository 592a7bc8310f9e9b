// Why this file exists: the door to the kernel's messages about devices (a netlink socket of the
// family NETLINK_KOBJECT_UEVENT). Only what the kernel itself sends is taken: any process with the
// right to may send to the same group. Waiting costs nothing: one receive lies in the ring.
#pragma once

#include <memory>

#include "core/block_events.h"

namespace capstan::core {
// Fails where the kernel has no such sockets or refuses them to this process.
Result<std::unique_ptr<KernelMessages>> listen_uevents();
// As sysfs has it; nothing when that is not mounted.
std::optional<bool> sysfs_has(BlockNumber number);
}  // namespace capstan::core
