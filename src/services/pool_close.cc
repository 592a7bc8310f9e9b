// Why this file exists: the other half of pool_ops.h: growth, export, destroy, shutdown, and the
// upkeep of volumes while a pool is open (io-engine-behaviour sections 7.5 and 8.4).
#include <algorithm>
#include <set>

#include "services/allowed_hosts.h"
#include "services/errors.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"
#include "services/uris.h"
#include "storage/device/error_device.h"
#include "storage/device/stacked_device.h"
#include "storage/nvme/initiator_device.h"

namespace capstan::services {
namespace {

constexpr std::string_view kSource = "io-engine.source_uuid";
constexpr std::string_view kDiscarded = "io-engine.discarded_snapshot";

std::unexpected<Error> not_found(Engine& engine, const std::string& name) {
  if (auto busy = engine.restore().check(name); !busy) return std::unexpected(busy.error());
  return fail(Code::kNotFound, "Pool " + name + " not found" + why_not_open(engine, name));
}

// By name; the UUID must agree when it is given.
Result<LoadedPool*> find(Engine& engine, const std::string& name,
                         const std::optional<std::string>& uuid) {
  auto* loaded = engine.find_pool(name);
  if (!loaded) return not_found(engine, name);
  if (uuid && Uuid::parse(*uuid) != loaded->pool->uuid()) {
    return fail(Code::kNotFound, "Pool " + name + " with UUID " + *uuid +
                                     " not found; the open pool of that name has UUID " +
                                     loaded->pool->uuid().text());
  }
  return loaded;
}

using Unregistered = std::vector<std::pair<std::shared_ptr<storage::Replica>, Shares::Taken>>;

// What the volumes' attributes say of their shares stays, so that an import makes them again.
core::Task<Unregistered> unregister_all(Engine& engine, LoadedPool& loaded) {
  Unregistered all;
  for (const auto& replica : loaded.pool->replicas()) {
    all.emplace_back(replica, co_await engine.shares().take_away(replica));
    unregister_replica(engine, replica);
  }
  co_return all;
}

void register_again(Engine& engine, Unregistered all) {
  for (auto& [replica, taken] : all) {
    const auto registered = register_replica(engine, replica);
    if (!registered) {
      engine.log().warn("replica_name_taken", {{"error", registered.error().text()}});
    }
    engine.shares().give_back(replica, std::move(taken));
  }
}

// What changing or closing a pool takes.
struct HeldPool {
  LoadedPool* pool = nullptr;
  CallLocks::Guard device;
  ResourceLocks::Guard lock;
};

core::Task<Result<HeldPool>> hold(Engine& engine, std::string name, std::optional<std::string> uuid,
                                  core::CancelToken token) {
  HeldPool held;
  CO_TRY_SET(held.pool, find(engine, name, uuid));
  const std::string device = held.pool->pool->device()->name();
  CO_TRY_SET(held.device, co_await engine.device_calls().lock(device, std::move(token)));
  CO_TRY_SET(held.pool, find(engine, name, uuid));  // its device may have been destroyed meanwhile
  CO_TRY_SET(held.lock, engine.locks().try_lock(name));
  co_return held;
}

// The pool object is done with: forget it and close its device.
core::Task<void> drop(Engine& engine, std::string name, bool keep_device = false) {
  const auto it = engine.pools().find(name);
  const std::string disk = it->second.disk;
  engine.pools().erase(it);
  if (keep_device) co_return;
  const auto closed = co_await engine.devices().destroy(disk);
  if (!closed && closed.error().code != Code::kNotFound) {
    engine.log().warn("device_not_closed", {{"uri", disk}, {"error", closed.error().text()}});
  }
}

// The pool is gone from the node; now from its record. While that fails, exporting it again
// retries.
core::Task<Result<void>> forget(Engine& engine, std::string name) {
  auto removed = co_await engine.state().remove(name);
  if (removed) co_return {};
  engine.unavailable()[name] = "it is closed, but its record could not be removed";
  co_return std::unexpected(pool_close_error(std::move(removed).error())
                                .within("pool '" + name + "' is closed; export it again"));
}

// A pool on a device that cannot be reached gets no last writes: waiting for the device's return
// would hold every other pool up. Not when the device stays after the pool (a reference to it).
void let_go_of_unreachable(LoadedPool& loaded, bool device_may_stay) {
  const auto device = loaded.pool->device();
  auto* remote = dynamic_cast<storage::nvme::RemoteDevice*>(device.get());
  if (!remote || remote->current()) return;
  const auto uri = storage::parse_device_uri(loaded.disk);
  const bool stays = uri && uri->scheme == storage::DeviceUri::Scheme::kExisting;
  if (!device_may_stay || !stays) remote->give_up();
}

// Closes the pool itself; its data stays. It is closed in any case: when its last writes fail, what
// was acknowledged is on the disk all the same and the next import recovers it.
core::Task<void> close(Engine& engine, LoadedPool& loaded, bool device_may_stay) {
  let_go_of_unreachable(loaded, device_may_stay);
  static_cast<void>(co_await unregister_all(engine, loaded));
  const auto unloaded = co_await loaded.pool->unload();
  if (!unloaded) {
    engine.log().warn("pool_closed_uncleanly",
                      {{"pool", loaded.pool->name()}, {"error", unloaded.error().text()}});
  }
}

}  // namespace

core::Task<Result<void>> export_pool(Engine& engine, std::string name,
                                     std::optional<std::string> uuid, core::CancelToken token) {
  const auto unavailable = engine.unavailable().find(name);
  if (!engine.find_pool(name) && unavailable != engine.unavailable().end()) {
    CO_TRY(engine.restore().check(name));
    CO_TRY_SET(const auto lock, engine.locks().try_lock(name));
    CO_TRY(co_await engine.state().remove(name));
    engine.unavailable().erase(name);
    engine.events().publish("pool", "export", name, {{"state", "unavailable"}});
    co_return {};
  }
  CO_TRY_SET(const HeldPool held, co_await hold(engine, name, std::move(uuid), std::move(token)));
  co_await close(engine, *held.pool, true);
  co_await drop(engine, name);
  engine.log().info("pool_exported", {{"pool", name}});
  engine.events().publish("pool", "export", name);
  co_return co_await forget(engine, name);
}

core::Task<Result<void>> destroy_pool(Engine& engine, std::string name,
                                      std::optional<std::string> uuid, DestroyOptions options) {
  CO_TRY_SET(const HeldPool held,
             co_await hold(engine, name, std::move(uuid), std::move(options.token)));
  LoadedPool* const loaded = held.pool;
  if (options.check) CO_TRY(options.check());
  for (const auto& replica : loaded->pool->replicas()) {
    auto unused = check_not_in_use(engine, *replica);
    if (unused) continue;
    co_return std::unexpected(
        pool_close_error(std::move(unused).error()).within("destroy pool '" + name + "'"));
  }
  // After a crash in between, the start finds either the pool, whole, or this mark and nothing.
  const auto recorded = engine.state().pools().find(name);
  if (recorded != engine.state().pools().end()) {
    node::v1::PoolRecord record = recorded->second;
    record.set_destroying(true);
    CO_TRY(co_await engine.state().put(std::move(record)));
  }
  const Uuid pool = loaded->pool->uuid();
  auto unregistered = co_await unregister_all(engine, *loaded);
  auto destroyed = co_await loaded->pool->destroy();
  if (!destroyed) {
    register_again(engine, std::move(unregistered));
    co_return std::unexpected(
        pool_close_error(std::move(destroyed).error()).within("destroy pool '" + name + "'"));
  }
  unregistered.clear();
  co_await engine.shares().forget_reservations(pool);
  co_await drop(engine, name, options.keep_device);
  engine.log().info("pool_destroyed", {{"pool", name}});
  engine.events().publish("pool", "delete", name);
  co_return co_await forget(engine, name);
}

core::Task<Result<GrownPool>> grow_pool(Engine& engine, std::string name,
                                        std::optional<std::string> uuid) {
  CO_TRY_SET(LoadedPool * loaded, find(engine, name, uuid));
  CO_TRY_SET(const auto lock, engine.locks().try_lock(name));
  GrownPool grown{loaded->pool->info(), loaded};
  const auto device = loaded->pool->device();
  const auto failed = [&](Error error) {
    return std::unexpected(pool_grow_error(std::move(error)).within("grow pool '" + name + "'"));
  };
  auto rescanned = co_await device->rescan();
  if (!rescanned) co_return failed(std::move(rescanned).error());
  if (*rescanned) engine.devices().announce_resized(*device);
  auto larger = co_await loaded->pool->grow();
  if (!larger) co_return failed(std::move(larger).error());
  if (*larger) {
    const std::string capacity = std::to_string(loaded->pool->info().capacity_bytes);
    engine.log().info("pool_grown", {{"pool", name}, {"capacity_bytes", capacity}});
    engine.events().publish("pool", "grow", name, {{"capacity_bytes", capacity}});
  }
  co_return grown;
}

core::Task<Result<DeviceHold>> hold_device(Engine& engine, std::string device_name,
                                           core::CancelToken token) {
  std::vector<std::string> names;
  names.push_back(std::move(device_name));
  CO_TRY_SET(auto held, co_await hold_devices(engine, std::move(names), std::move(token)));
  DeviceHold hold;
  if (!held.pools.empty()) hold.pool = std::move(held.pools.front());
  hold.device = std::move(held.devices.front());
  co_return hold;
}

// All pools before all devices, each in the order of their names, as everybody takes them.
core::Task<Result<DevicesHold>> hold_devices(Engine& engine, std::vector<std::string> device_names,
                                             core::CancelToken token) {
  const std::set<std::string> devices(device_names.begin(), device_names.end());
  std::vector<std::string> pools;
  for (const auto& [name, loaded] : engine.pools()) {
    if (devices.contains(loaded.pool->device()->name())) pools.push_back(name);
  }
  DevicesHold hold;
  for (std::string& name : pools) {
    CO_TRY_SET(auto guard, co_await engine.pool_calls().lock(std::move(name), token));
    hold.pools.push_back(std::move(guard));
  }
  for (const std::string& name : devices) {
    CO_TRY_SET(auto guard, co_await engine.device_calls().lock(name, token));
    hold.devices.push_back(std::move(guard));
  }
  co_return hold;
}

core::Task<Result<void>> close_pool_on(Engine& engine, std::string device_name) {
  for (auto& [name, loaded] : engine.pools()) {
    if (loaded.pool->device()->name() != device_name) continue;
    const std::string pool = name;
    CO_TRY_SET(const auto lock, engine.locks().try_lock(pool));
    co_await close(engine, loaded, false);
    engine.pools().erase(pool);
    if (engine.state().pools().contains(pool)) {
      engine.unavailable()[pool] = "its device '" + device_name + "' was destroyed by a client";
    }
    engine.log().warn("pool_closed", {{"pool", pool}, {"reason", "its device was destroyed"}});
    engine.events().publish("pool", "state_change", pool, {{"state", "unavailable"}});
    co_return {};
  }
  co_return {};
}

namespace {
core::Task<void> close_one(Engine& engine, std::string name) {
  co_await close(engine, engine.pools().find(name)->second, false);
  co_await drop(engine, std::move(name));
}

// What the pool stands on below all stacked devices.
const storage::Device* lowest_device(const LoadedPool& loaded) {
  const storage::Device* device = loaded.pool->device().get();
  while (true) {
    if (const auto* stacked = dynamic_cast<const storage::StackedDevice*>(device)) {
      device = stacked->below().get();
    } else if (const auto* failing = dynamic_cast<const storage::ErrorInjectingDevice*>(device)) {
      device = failing->inner().get();
    } else {
      return device;
    }
  }
}
}  // namespace

// Side by side: none waits for the disk of another one. Those that stand on replicas go before the
// pools of these.
core::Task<void> close_pools(Engine& engine) {
  while (!engine.pools().empty()) {
    std::set<const storage::Device*> below;
    for (const auto& [name, loaded] : engine.pools()) below.insert(lowest_device(loaded));
    std::vector<std::string> names;
    for (const auto& [name, loaded] : engine.pools()) {
      const auto carries = [&](const auto& replica) { return below.contains(replica.get()); };
      if (std::ranges::none_of(loaded.pool->replicas(), carries)) names.push_back(name);
    }
    CAPSTAN_ASSERT(!names.empty());  // no pool stands on itself
    core::Scope scope;
    for (auto& name : names) scope.spawn(close_one(engine, std::move(name)));
    co_await scope.join();
  }
}

std::string why_not_open(Engine& engine, std::string_view name_or_uuid) {
  for (const auto& [name, record] : engine.state().pools()) {
    if (name != name_or_uuid && record.uuid() != name_or_uuid) continue;
    const auto why = engine.unavailable().find(name);
    if (why == engine.unavailable().end()) continue;
    const auto busy = engine.restore().check(name);
    return ": pool '" + name + "' is not open: " + (busy ? why->second : busy.error().message);
  }
  return {};
}

core::Task<void> drop_discarded_snapshot(Engine& engine, LoadedPool& loaded, Uuid uuid) {
  const auto snapshot = loaded.pool->find(uuid);
  if (!snapshot || !snapshot->is_snapshot() || snapshot->attribute(kDiscarded) != "true") co_return;
  for (const auto& other : loaded.pool->replicas()) {
    if (other->is_clone() && other->attribute(kSource) == uuid.text()) co_return;
  }
  auto taken = co_await engine.shares().take_away(snapshot);
  unregister_replica(engine, snapshot);
  const auto destroyed = co_await loaded.pool->destroy_replica(uuid);
  if (destroyed) co_return;
  engine.log().warn("snapshot_not_destroyed",
                    {{"snapshot", snapshot->name()}, {"error", destroyed.error().text()}});
  const auto registered = register_replica(engine, snapshot);
  if (!registered) engine.log().warn("replica_name_taken", {{"replica", snapshot->name()}});
  engine.shares().give_back(snapshot, std::move(taken));
}

Result<void> register_replica(Engine& engine, const std::shared_ptr<storage::Replica>& replica) {
  return engine.devices().add({replica, "", {replica->pool_name() + "/" + replica->name()}});
}

void unregister_replica(Engine& engine, const std::shared_ptr<storage::Replica>& replica) {
  const auto* entry = engine.devices().entry(replica->name());
  if (entry && entry->device == replica) engine.devices().remove(replica->name());
}

void restore_share(Engine& engine, const std::shared_ptr<storage::Replica>& replica) {
  if (replica->attribute("shared") != "true" || replica->is_snapshot()) return;
  if (engine.devices().find(replica->name()) != replica) return;  // its name was taken: logged
  ShareOptions options;
  options.replica = true;
  options.hosts = parse_stored_hosts(replica->attribute("allowed-hosts").value_or(""));
  // A target that does not listen yet will, one that is switched off will not.
  auto shared = engine.shares().enabled() ? Result<void>() : engine.shares().check();
  if (shared) shared = engine.shares().share(replica, std::move(options));
  if (shared) return;
  engine.log().warn("replica_not_shared",
                    {{"replica", replica->name()}, {"reason", shared.error().text()}});
}

}  // namespace capstan::services
