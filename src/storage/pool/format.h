// Why this file exists: making a pool on a device, in the order that a crash at any point leaves
// either no pool or a whole one (lvs-format section 10.2). Refuses what somebody may want to keep.
// Thread-safety: core 0.
#pragma once

#include <memory>
#include <string>

#include "core/task.h"
#include "storage/device/device.h"
#include "storage/pool/load.h"
#include "storage/pool/pool.h"

namespace capstan::storage::lvs {

// The checks of Pool::create that need no I/O: kInvalidArgument.
Result<SuperBlock> plan_format(const Device& device, const std::string& name,
                               const PoolOptions& options);
// What is on the device must not be lost. kAlreadyExists (an intact pool), kFailedPrecondition
// (damaged pool, foreign signature) unless `force`. Only sure while the device is claimed.
core::Task<Result<void>> refuse_existing(std::shared_ptr<Device> device, bool force);
// Writes the pool and gives the image that a load would find.
core::Task<Result<StoreImage>> write_format(Device& device, SuperBlock super, std::string name,
                                            Uuid uuid);

// Takes the signature away, durably; after a crash it is there whole or not at all.
core::Task<Result<void>> erase_super(Device& device);

}  // namespace capstan::storage::lvs
