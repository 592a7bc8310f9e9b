// Why this file exists: the opening half of pool_ops.h: CreatePool and ImportPool with their checks
// in the order clients rely on (io-engine-behaviour sections 7.2 and 7.4). The steps are numbered
// as there. A failure takes back the base device that this call created, so a retry starts clean.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>

#include "base/limits.h"
#include "services/errors.h"
#include "services/pool_ops.h"
#include "services/subsystems.h"
#include "services/uris.h"
#include "storage/device/signature.h"

namespace capstan::services {
namespace {

constexpr std::uint32_t kMiB = 1U << 20;
constexpr std::string_view kDiscarded = "io-engine.discarded_snapshot";
constexpr std::string_view kCreateTime = "io-engine.snapshot_create_time";

struct BaseDevice {
  std::shared_ptr<storage::Device> device;
  std::string uri;
  bool created = false;  // by this call, so a failure takes it back
};

// A pool of that name is recorded, and not open. Its disk may have another name by now: what has
// the recorded UUID is that pool, wherever it is; but only who asks for it by name knows that it is
// not a copy.
Result<void> check_record(Engine& engine, PoolArguments& arguments, const std::string& device_name,
                          bool format) {
  const auto unavailable = engine.unavailable().find(arguments.name);
  if (unavailable == engine.unavailable().end()) return {};
  const auto& record = engine.state().pools().at(arguments.name);
  const auto recorded = storage::device_name_of(record.disk());
  if (recorded && *recorded == device_name) return {};
  const auto uuid = Uuid::parse(record.uuid());
  const bool asked_for = !format && !arguments.examined;
  if (asked_for && uuid && arguments.uuid.value_or(*uuid) == *uuid) {
    arguments.uuid = uuid;
    return {};
  }
  return fail(Code::kInvalidArgument,
              "pool '" + arguments.name + "' belongs to disk '" + record.disk() +
                  "', which could not be opened (" + unavailable->second +
                  "); import it if this is the same disk under another name, export it to forget "
                  "it, or choose another name");
}

// Steps 7 to 9: the URI of the one disk, checked.
Result<std::string> check_disk(Engine& engine, PoolArguments& arguments, bool format) {
  if (arguments.disks.size() != 1) {
    std::string list;
    for (const auto& disk : arguments.disks) list += (list.empty() ? "" : ", ") + disk;
    return fail_field("disks", "invalid number " + std::to_string(arguments.disks.size()) +
                                   " of devices [" + list + "]: a pool has exactly one disk");
  }
  const std::string& disk = arguments.disks.front();
  std::string uri = storage::normalize_disk(disk);
  if (uri != disk && !disk.empty() && !disk.starts_with('/')) {
    return fail_field("disks", "disk '" + disk +
                                   "' is neither a URI nor an absolute path: write it as "
                                   "in /dev/sdb, or as in malloc:///m0?size_mb=64");
  }
  TRY_SET(const std::string device_name, storage::device_name_of(uri));
  if (const auto* loaded = engine.find_pool(arguments.name)) {
    if (loaded->pool->device()->name() == device_name) {
      return fail(Code::kAlreadyExists,
                  "pool '" + arguments.name + "' is open already on this disk");
    }
    return fail(Code::kInvalidArgument, "pool '" + arguments.name + "' is open on another disk, '" +
                                            loaded->pool->device()->name() +
                                            "'; choose another name or export that pool first");
  }
  TRY(check_record(engine, arguments, device_name, format));
  if (engine.pools().size() + engine.opening() >= limits::kPoolsMax) {
    return fail(Code::kResourceExhausted, "the node has its " + std::to_string(limits::kPoolsMax) +
                                              " pools already; export one first");
  }
  return uri;
}

core::Task<void> close_base(Engine& engine, BaseDevice base) {
  base.device.reset();
  if (!base.created) co_return;
  const auto closed = co_await engine.devices().destroy(base.uri);
  if (!closed && closed.error().code != Code::kNotFound) {
    engine.log().warn("device_not_closed", {{"uri", base.uri}, {"error", closed.error().text()}});
  }
}

// Steps 10 and 11.
core::Task<Result<BaseDevice>> open_base(Engine& engine, std::string uri) {
  CO_TRY_SET(const std::string name, storage::device_name_of(uri));
  BaseDevice base{engine.devices().find(name), uri, false};
  const bool existed = base.device != nullptr;
  auto created = co_await engine.devices().create(uri);
  if (created) {
    base.device = *created;
    base.created = !existed;
  } else if (created.error().code != Code::kAlreadyExists || !base.device) {
    co_return std::unexpected(std::move(created).error());
  }
  const auto* entry = engine.devices().entry(base.device->name());
  if (entry && !entry->uri.empty()) base.uri = entry->uri;
  if (base.device->claimed()) {
    auto busy = fail(Code::kInvalidArgument, "volume is busy: device '" + base.device->name() +
                                                 "' is in use by " + base.device->claimed_by());
    co_await close_base(engine, std::move(base));
    co_return busy;
  }
  co_return base;
}

// Steps 12 and 13, on what stands on the disk.
Result<void> check_found(const PoolArguments& arguments, const storage::PoolInfo& found) {
  if (found.name != arguments.name) {
    return fail(Code::kInvalidArgument, "existing pool disk has different name '" + found.name +
                                            "', not '" + arguments.name + "'");
  }
  if (arguments.uuid && *arguments.uuid != found.uuid) {
    return fail(Code::kInvalidArgument, "pool '" + found.name + "' on this disk has UUID " +
                                            found.uuid.text() + ", not " + arguments.uuid->text());
  }
  return {};
}

// Calls that name a pool by its UUID could not tell two open ones of one UUID apart. The guard is
// for as long as the pool is being opened.
Result<ResourceLocks::Guard> reserve_uuid(Engine& engine, const Uuid& uuid) {
  const auto* other = engine.find_pool(uuid);
  if (!other) return engine.locks().try_lock("pool UUID " + uuid.text());
  return fail(Code::kAlreadyExists,
              "UUID " + uuid.text() + " is that of the open pool '" + other->pool->name() +
                  "'; choose another one, or export that pool first",
              EEXIST);
}

// The node's state says that there is a pool on this disk. If it has vanished, its first bytes may
// be all that is lost, and formatting would take the rest.
Result<void> check_nothing_vanished(Engine& engine, const PoolArguments& arguments) {
  if (arguments.force || !engine.unavailable().contains(arguments.name)) return {};
  const auto& record = engine.state().pools().at(arguments.name);
  if (record.destroying()) return {};
  return fail(Code::kFailedPrecondition,
              "this node knows disk '" + record.disk() + "' as pool '" + arguments.name +
                  "' with UUID " + record.uuid() +
                  ", but no pool is on it now; nothing was changed: bring the right disk back, or "
                  "export the pool to forget it and create a new one");
}

// Steps 15 to 17.
Result<storage::PoolOptions> format_options(const PoolArguments& arguments) {
  storage::PoolOptions options;
  options.force = arguments.force;
  if (arguments.cluster_size_bytes) options.cluster_size_bytes = *arguments.cluster_size_bytes;
  const std::uint32_t cluster = options.cluster_size_bytes;
  if (cluster == 0) {
    return fail(Code::kInvalidArgument, "cluster size 0 is too small: give at least 1 MiB");
  }
  if (cluster % kMiB != 0) {
    return fail(Code::kInternal,
                "cluster size " + std::to_string(cluster) + " is not multiple of 1MiB");
  }
  if (cluster > limits::kClusterBytesMax) {
    return fail(Code::kInternal, "cluster size " + std::to_string(cluster) +
                                     " is larger than max limit " +
                                     std::to_string(limits::kClusterBytesMax));
  }
  if (!arguments.md_resv_ratio) return options;
  const float ratio = *arguments.md_resv_ratio;
  if (!(ratio > 0)) {
    return fail(Code::kInternal,
                "bad metadata reservation ratio: " + std::to_string(ratio) + " is not above 0");
  }
  const double percent = std::floor(static_cast<double>(ratio) * 100);
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  const auto chosen = percent >= kMost ? kMost : static_cast<std::uint32_t>(percent);
  if (chosen != 0) options.md_resv_percent = chosen;
  return options;
}

core::Task<Result<std::unique_ptr<storage::Pool>>> load(Engine& engine, BaseDevice base) {
  storage::PoolOptions options;
  options.cluster_unmap = true;
  auto pool = co_await storage::Pool::load(engine.env(), base.device, options);
  if (!pool) co_return std::unexpected(pool_import_error(std::move(pool).error()));
  co_return pool;
}

struct Opened {
  std::unique_ptr<storage::Pool> pool;
  bool formatted = false;
  ResourceLocks::Guard uuid;
};

// Of a disk without a pool, for who wants to import one from it.
core::Task<std::string> what_is_there(std::shared_ptr<storage::Device> device) {
  const auto foreign = co_await storage::foreign_signature(device);
  if (!foreign) co_return "";
  if (*foreign) co_return "; it holds " + **foreign + ": is it the right disk?";
  co_return "; nothing known is on it: is it the right disk? A new pool is made with 'create'";
}

core::Task<Result<Opened>> open_only(Engine& engine, const PoolArguments& arguments,
                                     BaseDevice base) {
  auto found = co_await storage::Pool::probe(base.device);
  if (!found) {
    Error error = std::move(found).error();
    if (error.code == Code::kNotFound) error.message += co_await what_is_there(base.device);
    co_return std::unexpected(
        pool_import_error(std::move(error)).within("import pool '" + arguments.name + "'"));
  }
  CO_TRY(check_found(arguments, *found));
  CO_TRY_SET(auto reserved, reserve_uuid(engine, found->uuid));
  CO_TRY_SET(auto pool, co_await load(engine, base));
  co_return Opened{std::move(pool), false, std::move(reserved)};
}

core::Task<Result<Opened>> open_or_format(Engine& engine, const PoolArguments& arguments,
                                          BaseDevice base) {
  auto found = co_await storage::Pool::probe(base.device);
  if (found) {
    CO_TRY(check_found(arguments, *found));
    CO_TRY_SET(auto reserved, reserve_uuid(engine, found->uuid));
    CO_TRY_SET(auto pool, co_await load(engine, base));
    co_return Opened{std::move(pool), false, std::move(reserved)};
  }
  const Code why = found.error().code;
  const bool unusable = why == Code::kDataLoss || why == Code::kFailedPrecondition;
  if (unusable && !arguments.force) {
    Error error = std::move(found).error();
    error.code = Code::kFailedPrecondition;
    error.message +=
        "; nothing was changed: choose another disk, or give up what is on this one "
        "with 'capstan pool create --force' (metadata 'capstan-force: true')";
    co_return std::unexpected(std::move(error).within("create pool '" + arguments.name + "'"));
  }
  if (why != Code::kNotFound && !unusable) {
    co_return std::unexpected(
        pool_create_error(std::move(found).error()).within("create pool '" + arguments.name + "'"));
  }
  CO_TRY(check_nothing_vanished(engine, arguments));
  CO_TRY_SET(auto options, format_options(arguments));
  options.cluster_unmap = true;
  const Uuid uuid = arguments.uuid ? *arguments.uuid : engine.env().random_uuid();
  CO_TRY_SET(auto reserved, reserve_uuid(engine, uuid));
  auto pool =
      co_await storage::Pool::create(engine.env(), base.device, arguments.name, uuid, options);
  if (!pool) {
    co_return std::unexpected(
        pool_create_error(std::move(pool).error()).within("create pool '" + arguments.name + "'"));
  }
  co_return Opened{*std::move(pool), true, std::move(reserved)};
}

// Section 7.4, what follows a successful import.
core::Task<void> after_import(Engine& engine, LoadedPool& loaded) {
  for (const auto& note : loaded.pool->notes()) {
    engine.log().info("pool_recovered", {{"pool", loaded.pool->name()}, {"note", note}});
  }
  for (const auto& damaged : loaded.pool->faulted()) {
    engine.log().error("volume_damaged", {{"pool", loaded.pool->name()},
                                          {"volume", damaged.name},
                                          {"uuid", damaged.uuid.text()},
                                          {"reason", damaged.reason}});
  }
  std::vector<Uuid> discarded;
  for (const auto& replica : loaded.pool->replicas()) {
    restore_share(engine, replica);
    if (replica->attribute(kCreateTime) && replica->attribute(kDiscarded) == "true") {
      discarded.push_back(replica->uuid());
    }
  }
  for (const auto& uuid : discarded) co_await drop_discarded_snapshot(engine, loaded, uuid);
}

// The log and whoever listens hear of it the moment the pool gets worse.
void tell_health(Engine& engine, const std::string& name, const storage::PoolHealth& health) {
  const bool faulted = health.state == storage::PoolHealth::State::kFaulted;
  engine.log().error(faulted ? "pool_faulted" : "pool_degraded",
                     {{"pool", name}, {"reason", health.reason}});
  engine.events().publish("pool", "state_change", name,
                          {{"state", faulted ? "faulted" : "degraded"}, {"reason", health.reason}});
}

// Pools that are opened side by side come in any order. Of two volumes with one name it must be the
// same one after every start that has the name, and is shared under it: at the start of the node
// that of the pool whose name comes first, then that of the pool file's earlier pool.
bool comes_before(Engine& engine, const PoolArguments& arguments, const std::string& other) {
  if (engine.phase() == Engine::Phase::kStarting) return arguments.name < other;
  // What hosts may have found already stays.
  const bool late = arguments.token.fired() || engine.shares().check();
  return !late && std::ranges::count(arguments.ahead_of, other) != 0;
}

// Another pool may do the same whenever this waits.
core::Task<Result<void>> register_in_order(Engine& engine, const PoolArguments& arguments,
                                           std::shared_ptr<storage::Replica> replica) {
  while (true) {
    auto registered = register_replica(engine, replica);
    if (registered) co_return {};
    const auto other =
        std::dynamic_pointer_cast<storage::Replica>(engine.devices().find(replica->name()));
    if (!other || !comes_before(engine, arguments, other->pool_name())) co_return registered;
    if (!other->claimed()) {
      unregister_replica(engine, other);
      engine.log().warn(
          "replica_name_taken",
          {{"pool", other->pool_name()}, {"replica", other->name()}, {"by_pool", arguments.name}});
      co_return register_replica(engine, replica);
    }
    // A share goes with the name; what a pool or a stacked device stands on stays.
    if (other->claimed_by() != kTargetOwner) co_return registered;
    static_cast<void>(co_await engine.shares().take_away(other));
    if (other->claimed()) co_return registered;
  }
}

// The pool joins the node: recorded, its volumes known by name.
core::Task<Result<LoadedPool*>> adopt(Engine& engine, const PoolArguments& arguments, Opened opened,
                                      BaseDevice base) {
  const std::string name = opened.pool->name();
  if (!is_volatile(base.uri)) {
    node::v1::PoolRecord record;
    record.set_name(name);
    record.set_uuid(opened.pool->uuid().text());
    record.set_disk(base.uri);
    auto recorded = co_await engine.state().put(std::move(record));
    if (!recorded) {
      const auto closed = co_await opened.pool->unload();
      if (!closed) engine.log().warn("pool_not_closed", {{"pool", name}});
      Error error = std::move(recorded).error();
      error.code = Code::kInternal;
      error.message += "; the pool is on the disk and is opened when the call is repeated";
      co_return std::unexpected(std::move(error).within("pool '" + name + "'"));
    }
  }
  engine.unavailable().erase(name);
  const auto [position, added] =
      engine.pools().emplace(name, LoadedPool{std::move(opened.pool), base.uri});
  CAPSTAN_ASSERT(added);
  LoadedPool& loaded = position->second;
  loaded.pool->on_health_change(
      [&engine, name](const storage::PoolHealth& health) { tell_health(engine, name, health); });
  if (base.device->retired()) {  // pulled since the pool was read: nobody could tell it then
    loaded.pool->device_lost("device '" + base.device->name() + "' was removed from the node");
  }
  for (const auto& replica : loaded.pool->replicas()) {
    const auto registered = co_await register_in_order(engine, arguments, replica);
    if (!registered) {
      engine.log().warn("replica_name_taken",
                        {{"pool", name}, {"error", registered.error().text()}});
    }
  }
  co_return &loaded;
}

// Counts a pool that is being opened.
class Opening {
 public:
  explicit Opening(Engine& engine) : count_(engine.opening()) { ++count_; }
  ~Opening() { --count_; }
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;

 private:
  std::size_t& count_;
};

// The name under which the node knows the device that the URI names, or would know it.
Result<std::string> known_name(Engine& engine, const std::string& uri) {
  TRY_SET(std::string name, storage::device_name_of(uri));
  const auto device = engine.devices().find(name);
  return device ? device->name() : name;
}

core::Task<Result<LoadedPool*>> open_pool(Engine& engine, PoolArguments arguments, bool format) {
  const std::string name = arguments.name;
  if (!arguments.restoring) CO_TRY(engine.restore().check(name));
  CO_TRY_SET(const auto lock, engine.locks().try_lock(name));
  CO_TRY_SET(std::string uri, check_disk(engine, arguments, format));
  const Opening opening(engine);
  CallLocks::Guard device = std::move(arguments.device);
  if (!device.owns()) {
    CO_TRY_SET(const std::string known, known_name(engine, uri));
    CO_TRY_SET(device, co_await engine.device_calls().lock(known, arguments.token));
  }
  CO_TRY_SET(const BaseDevice base, co_await open_base(engine, std::move(uri)));
  auto opened = format ? co_await open_or_format(engine, arguments, base)
                       : co_await open_only(engine, arguments, base);
  if (!opened) {
    co_await close_base(engine, base);
    co_return std::unexpected(std::move(opened).error());
  }
  const bool formatted = opened->formatted;
  auto loaded = co_await adopt(engine, arguments, *std::move(opened), base);
  if (!loaded) {
    co_await close_base(engine, base);
    co_return std::unexpected(std::move(loaded).error());
  }
  if (!formatted) co_await after_import(engine, **loaded);
  engine.log().info(formatted ? "pool_created" : "pool_imported",
                    {{"pool", name}, {"disk", base.uri}});
  engine.events().publish("pool", formatted ? "create" : "import", name,
                          {{"uuid", (*loaded)->pool->uuid().text()}, {"disk", base.uri}});
  co_return *loaded;
}

}  // namespace

core::Task<Result<LoadedPool*>> create_pool(Engine& engine, PoolArguments arguments) {
  return open_pool(engine, std::move(arguments), true);
}

core::Task<Result<LoadedPool*>> import_pool(Engine& engine, PoolArguments arguments) {
  return open_pool(engine, std::move(arguments), false);
}

core::Task<bool> nothing_left(Engine& engine, std::string disk) {
  const auto known = known_name(engine, disk);
  if (!known) co_return false;
  const auto device = co_await engine.device_calls().lock(*known, {});
  if (!device) co_return false;
  auto base = co_await open_base(engine, std::move(disk));
  if (!base) co_return false;
  const auto found = co_await storage::Pool::probe(base->device);
  co_await close_base(engine, *std::move(base));
  co_return !found && found.error().code == Code::kNotFound;
}

}  // namespace capstan::services
