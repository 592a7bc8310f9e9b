// Why this file exists: the Engine is what all services of one node share: the devices by name, the
// open pools, the locks between calls, what must be remembered over a restart, and who is told what
// happens. It decides nothing about any API: operations on pools and replicas are in pool_ops.h and
// replica_ops.h, and each API service is a thin adapter over them.
//
// Invariants:
//   * a pool in pools() has its device in devices() and holds its claim;
//   * every volume of an open pool is in devices() under its name, with the alias "<pool>/<name>",
//     unless that name was taken when the pool was opened (logged then);
//   * a recorded pool that start() could not open, or not yet, is in unavailable() until it is
//     opened, exported or destroyed;
//   * a pool whose device was taken away under it is faulted, and stays in pools() until then.
// Lifetimes: env and log outlive the engine; services hold the engine by reference.
// Thread-safety: core 0.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "core/env.h"
#include "core/log.h"
#include "core/scope.h"
#include "core/sync.h"
#include "core/task.h"
#include "services/call_locks.h"
#include "services/disk_watch.h"
#include "services/event_bus.h"
#include "services/node_state.h"
#include "services/pool_restore.h"
#include "services/remote_devices.h"
#include "services/resource_locks.h"
#include "services/shares.h"
#include "storage/device/registry.h"
#include "storage/pool/pool.h"

namespace capstan::services {

struct LoadedPool {
  std::unique_ptr<storage::Pool> pool;
  std::string disk;  // URI that creates its device
};

// A volume together with its pool; both null or both set.
struct FoundReplica {
  LoadedPool* pool = nullptr;
  std::shared_ptr<storage::Replica> replica;
  explicit operator bool() const { return replica != nullptr; }
};

class Engine final : private storage::DeviceRegistry::Observer {
 public:
  enum class Phase { kStarting, kReady, kDraining };
  using Pools = std::map<std::string, LoadedPool, std::less<>>;

  // `state_directory` empty: nothing is remembered.
  Engine(core::Env& env, const core::Log& log, std::string state_directory);
  ~Engine() override;

  // Reads the node state and, when `restore`, opens the recorded pools. Pools that cannot be opened
  // are logged and become unavailable(), and those that hang are opened later (pool_restore.h);
  // only an unreadable state is an error.
  core::Task<Result<void>> start(bool restore);
  // Refuses to look ready, ends all shares, then closes every pool cleanly. What is recorded stays
  // recorded.
  core::Task<void> stop();

  core::Env& env() { return env_; }
  core::Log& log() { return log_; }
  storage::DeviceRegistry& devices() { return devices_; }
  const storage::DeviceRegistry& devices() const { return devices_; }
  ResourceLocks& locks() { return locks_; }
  EventBus& events() { return events_; }
  NodeState& state() { return state_; }
  Shares& shares() { return shares_; }
  const Shares& shares() const { return shares_; }
  RemoteDevices& remotes() { return remotes_; }

  // Calls of one service follow each other (io-engine-behaviour section 3.1), here only those that
  // are about one pool: creating, opening and ending pools, by name; changes of their replicas, by
  // the pool's name; devices, by name, for whoever takes one or takes one away. In this order.
  CallLocks& pool_calls() { return pool_calls_; }
  CallLocks& replica_calls() { return replica_calls_; }
  CallLocks& device_calls() { return device_calls_; }
  // How many pools are being opened, which pools() does not have yet.
  std::size_t& opening() { return opening_; }
  // Changes that outlive their calls (carry_on.h).
  core::Scope& changes() { return changes_; }
  PoolRestore& restore() { return restore_; }
  const PoolRestore& restore() const { return restore_; }
  // Not started by start(): programs do that.
  DiskWatch& disks() { return disks_; }

  Pools& pools() { return pools_; }
  const Pools& pools() const { return pools_; }
  LoadedPool* find_pool(std::string_view name);
  LoadedPool* find_pool(const Uuid& uuid);
  // Volumes of all pools, snapshots included.
  FoundReplica find_replica(const Uuid& uuid);
  FoundReplica find_replica_named(std::string_view name);

  // Why recorded pools are not open, by name.
  std::map<std::string, std::string, std::less<>>& unavailable() { return unavailable_; }

  Phase phase() const { return phase_; }
  // Waits until the phase is another than `seen`, or the token fires.
  core::Task<Result<void>> phase_changed_from(Phase seen, core::CancelToken token);

 private:
  void set_phase(Phase phase);
  void device_added(const storage::DeviceEntry&) override {}
  void device_removed(const storage::Device& device) override;
  void device_resized(const storage::Device&) override {}

  core::Env& env_;
  core::Log log_;
  storage::DeviceRegistry devices_;
  Pools pools_;
  std::map<std::string, std::string, std::less<>> unavailable_;
  ResourceLocks locks_;
  EventBus events_;
  NodeState state_;
  Shares shares_;
  RemoteDevices remotes_;
  DiskWatch disks_;
  CallLocks pool_calls_{"pool"}, replica_calls_{"the replicas of pool"}, device_calls_{"device"};
  std::size_t opening_ = 0;
  core::Scope changes_;
  PoolRestore restore_{*this};
  Phase phase_ = Phase::kStarting;
  core::Event phase_event_;
};

}  // namespace capstan::services
