// Why this file exists: what one can do with pools, free of any API's messages, so that v1, v0 and
// the start of the node do the same thing in the same order (io-engine-behaviour section 7). Errors
// carry the status code that section 4.2 gives them.
// The caller holds Engine::pool_calls() of the pool's name; the locks of its device and of what may
// not be at the same time at all are taken in here. Waiting for them ends when the token fires;
// what has begun is brought to its end.
// Lifetimes: the engine outlives the tasks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "services/engine.h"

namespace capstan::services {

struct PoolArguments {
  std::string name;
  std::optional<Uuid> uuid;
  std::vector<std::string> disks;
  // Only when formatting:
  std::optional<std::uint32_t> cluster_size_bytes;
  std::optional<float> md_resv_ratio;
  bool force = false;  // overwrite foreign data or a damaged pool
  core::CancelToken token = {};
  CallLocks::Guard device = {};  // of the disk, when the caller holds it already
  bool restoring = false;        // by the node itself (pool_restore.h), which holds nothing
  bool examined = false;  // found on a device that came: no reason to move a recorded pool there
  // Pools that are opened along with this one, before the target listens, and come after it: a
  // volume of this one takes its name from a volume of theirs that came sooner.
  std::vector<std::string> ahead_of = {};
};

// Opens the pool of that name on the disk, or formats the disk.
core::Task<Result<LoadedPool*>> create_pool(Engine& engine, PoolArguments arguments);
// Opens the pool of that name on the disk.
core::Task<Result<LoadedPool*>> import_pool(Engine& engine, PoolArguments arguments);

// `uuid` is a text to be matched when it is given. A recorded pool that could not be opened is
// forgotten by exporting it.
core::Task<Result<void>> export_pool(Engine& engine, std::string name,
                                     std::optional<std::string> uuid, core::CancelToken token = {});
struct DestroyOptions {
  bool keep_device = false;  // the device below is closed with the pool unless it is to be kept
  core::CancelToken token = {};
  // Asked once nothing is waited for any more; an error ends the destruction before it begins.
  std::function<Result<void>()> check = {};
};
core::Task<Result<void>> destroy_pool(Engine& engine, std::string name,
                                      std::optional<std::string> uuid, DestroyOptions options);

// What growing a pool did; its capacity is the same when the disk has not grown.
struct GrownPool {
  storage::PoolInfo before;
  LoadedPool* pool = nullptr;
};
// Looks how large the disk is now and takes what it has grown by into use.
core::Task<Result<GrownPool>> grow_pool(Engine& engine, std::string name,
                                        std::optional<std::string> uuid);

// Holds off every call on the device of that name and on the pool that is open on it.
struct DeviceHold {
  CallLocks::Guard pool, device;
};
core::Task<Result<DeviceHold>> hold_device(Engine& engine, std::string device_name,
                                           core::CancelToken token);
// The same for several devices, by their names.
struct DevicesHold {
  std::vector<CallLocks::Guard> pools, devices;
};
core::Task<Result<DevicesHold>> hold_devices(Engine& engine, std::vector<std::string> device_names,
                                             core::CancelToken token);
// The device of that name, which the caller holds, is about to be destroyed: a pool on it is closed
// and stays recorded as unavailable. Fine when there is none.
core::Task<Result<void>> close_pool_on(Engine& engine, std::string device_name);

// Whether the disk can be read and holds no pool.
core::Task<bool> nothing_left(Engine& engine, std::string disk);
// Closes all, keeping the records.
core::Task<void> close_pools(Engine& engine);
// Why a pool that is recorded under this name or UUID is not open; empty when there is none.
std::string why_not_open(Engine& engine, std::string_view name_or_uuid);

// Destroys a snapshot that was discarded while it had clones, once the last of them is gone.
// Failures are logged: the snapshot stays listed and the next import tries again.
core::Task<void> drop_discarded_snapshot(Engine& engine, LoadedPool& loaded, Uuid snapshot);

// Makes a volume known by name; kAlreadyExists when the name is taken.
Result<void> register_replica(Engine& engine, const std::shared_ptr<storage::Replica>& replica);
void unregister_replica(Engine& engine, const std::shared_ptr<storage::Replica>& replica);

// Shares a volume again whose attributes say that it was shared. A failure is logged.
void restore_share(Engine& engine, const std::shared_ptr<storage::Replica>& replica);

}  // namespace capstan::services
