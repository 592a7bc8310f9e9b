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

// The checks of Pool::create that need no write. kInvalidArgument, kAlreadyExists (an intact pool),
// kFailedPrecondition (damaged pool, foreign signature) unless options.force.
core::Task<Result<SuperBlock>> check_format(std::shared_ptr<Device> device, std::string name,
                                            PoolOptions options);
// Writes the pool and gives the image that a load would find.
core::Task<Result<StoreImage>> write_format(Device& device, SuperBlock super, std::string name,
                                            Uuid uuid);

// Takes the signature away, durably; after a crash it is there whole or not at all.
core::Task<Result<void>> erase_super(Device& device);

}  // namespace capstan::storage::lvs
