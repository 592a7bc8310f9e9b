// Why this file exists: see replica_ops.h. The numbers in create_replica() are those of
// io-engine-behaviour section 8.2.
#include "services/replica_ops.h"

#include <algorithm>
#include <utility>

#include "services/allowed_hosts.h"
#include "services/errors.h"
#include "services/pool_ops.h"
#include "services/share_kind.h"

namespace capstan::services {
namespace {

constexpr std::uint64_t kWipeBytes = 8ULL << 20;
constexpr std::string_view kSource = "io-engine.source_uuid";
constexpr std::string_view kShared = "shared";
constexpr std::string_view kAllowedHosts = "allowed-hosts";
constexpr std::string_view kEntityId = "entity_id";

std::unexpected<Error> no_pool(Engine& engine, const std::string& text) {
  const std::string why = why_not_open(engine, text);
  return fail(Code::kFailedPrecondition,
              "Pool " + text + " not found" +
                  (why.empty() ? std::string("; create or import the pool first") : why));
}

LoadedPool* find_pool_by_text(Engine& engine, const std::string& text) {
  if (const auto uuid = Uuid::parse(text)) {
    if (auto* loaded = engine.find_pool(*uuid)) return loaded;
  }
  return engine.find_pool(text);
}

// Steps 4 to 7. The UUID's text may be unparsable: that is found later, as upstream does.
Result<void> check_new(Engine& engine, const LoadedPool& loaded, const ReplicaArguments& wanted,
                       const std::optional<Uuid>& uuid) {
  if (uuid && (engine.devices().find_uuid(*uuid) || engine.find_replica(*uuid))) {
    return fail(Code::kAlreadyExists, "a device with UUID " + uuid->text() + " exists already");
  }
  if (engine.devices().find(wanted.name)) {
    return fail(Code::kAlreadyExists, "a device named '" + wanted.name + "' exists already");
  }
  const auto info = loaded.pool->info();
  const std::uint64_t free_bytes =
      info.capacity_bytes - std::min(info.used_bytes, info.capacity_bytes);
  if (!loaded.pool->device()->supports_unmap() && free_bytes < kWipeBytes) {
    return fail(Code::kResourceExhausted,
                "pool '" + info.name + "' has " + std::to_string(free_bytes) +
                    " free bytes; a new replica needs " + std::to_string(kWipeBytes) +
                    " because its disk cannot unmap");
  }
  if (wanted.size_bytes > info.capacity_bytes) {
    return fail(Code::kInvalidArgument, "replica '" + wanted.name + "' of " +
                                            std::to_string(wanted.size_bytes) +
                                            " bytes is larger than pool '" + info.name + "' with " +
                                            std::to_string(info.capacity_bytes) + " bytes");
  }
  return {};
}

// Step 10: what stood at the start of the clusters must not be taken for a file system.
core::Task<Result<void>> wipe_super(std::shared_ptr<storage::Replica> replica) {
  const std::uint64_t length = std::min(replica->size_bytes(), kWipeBytes);
  CO_TRY(co_await replica->write_zeroes(0, length));
  co_return co_await replica->flush();
}

core::Task<void> take_back(Engine& engine, LoadedPool& loaded,
                           std::shared_ptr<storage::Replica> replica) {
  const Uuid uuid = replica->uuid();
  const std::string name = replica->name();
  replica.reset();
  const auto destroyed = co_await loaded.pool->destroy_replica(uuid);
  if (!destroyed) {
    engine.log().error("replica_left_behind",
                       {{"replica", name}, {"error", destroyed.error().text()}});
  }
}

// A replica by UUID, snapshots left out when `snapshots` is false.
FoundReplica find_by_text(Engine& engine, const std::string& uuid, bool snapshots) {
  const auto parsed = Uuid::parse(uuid);
  if (!parsed) return {};
  auto found = engine.find_replica(*parsed);
  if (found && !snapshots && found.replica->is_snapshot()) return {};
  return found;
}

// The pool in which a volume of that UUID is known but damaged; null when there is none.
LoadedPool* find_damaged(Engine& engine, const Uuid& uuid) {
  for (auto& [name, loaded] : engine.pools()) {
    for (const auto& damaged : loaded.pool->faulted()) {
      if (damaged.uuid == uuid && !uuid.is_nil()) return &loaded;
    }
  }
  return nullptr;
}

// Stores one attribute as upstream does, with a NUL behind it, unless it says so already.
core::Task<Result<void>> store_text(FoundReplica found, std::string_view key, std::string text) {
  if (found.replica->attribute(key).value_or("") == text) co_return {};
  text.push_back('\0');
  auto stored = co_await found.pool->pool->set_attribute(found.replica->uuid(), std::string(key),
                                                         std::move(text));
  if (stored) co_return {};
  co_return std::unexpected(
      attribute_error(std::move(stored).error())
          .within("store '" + std::string(key) + "' of replica '" + found.replica->name() + "'"));
}

// The hosts come first: a crash in between must not leave a share that is open to all. An empty
// list means any host, so a share that lets nobody in is stored as none.
core::Task<Result<void>> store_share(FoundReplica found, ShareAccess access) {
  CO_TRY_SET(std::string text, stored_hosts(access.hosts));
  if (found.replica->is_snapshot()) co_return {};  // nothing is stored on snapshots
  if (access.nobody()) co_return co_await store_text(found, kShared, "false");
  if (access.any_host) text.clear();
  CO_TRY(co_await store_text(found, kAllowedHosts, std::move(text)));
  co_return co_await store_text(found, kShared, "true");
}

// They are stored first: when that fails, hosts find the share as it was, and so after a restart.
core::Task<Result<void>> give_hosts(Engine& engine, FoundReplica found,
                                    std::vector<std::string> hosts) {
  Shares& shares = engine.shares();
  const std::string nqn = share_nqn(found.replica->name());
  const auto subsystem = shares.target().find(nqn);
  if (subsystem) {
    const ShareAccess given{false, {hosts.begin(), hosts.end()}};
    // Without hosts nothing changes but what is stored.
    CO_TRY(co_await store_share(found, hosts.empty() ? share_access(*subsystem) : given));
  }
  // Its device may have been taken away, also while that was stored.
  if (!subsystem || shares.target().find(nqn) != subsystem) {
    co_return fail(Code::kUnavailable, "it is just being unshared; try again");
  }
  co_return shares.set_hosts(*found.replica, hosts);
}

// Shares it, or gives the share new hosts; durable when it returns.
core::Task<Result<void>> make_share(Engine& engine, FoundReplica found,
                                    std::vector<std::string> hosts) {
  Shares& shares = engine.shares();
  const std::string what = "share replica '" + found.replica->name() + "'";
  if (shares.shared(*found.replica)) {
    auto changed = co_await give_hosts(engine, found, std::move(hosts));
    if (!changed) co_return std::unexpected(std::move(changed).error().within(what));
    co_return {};
  }
  CO_TRY(shares.check());
  const ShareAccess access{hosts.empty(), {hosts.begin(), hosts.end()}};
  const auto storable = stored_hosts(access.hosts);
  if (!storable) co_return std::unexpected(Error(storable.error()).within(what));
  auto shared = shares.share(found.replica, {.hosts = std::move(hosts), .replica = true});
  if (!shared) co_return std::unexpected(share_error(std::move(shared).error()).within(what));
  auto stored = co_await store_share(found, access);
  if (!stored) co_await shares.unshare(found.replica);
  co_return stored;
}

Error not_found(const std::string& uuid) {
  return fail(Code::kNotFound, "Replica " + uuid + " not found").error();
}

// Fails while a pool is being opened: what is in no open pool may be in that one.
Result<void> check_all_open(Engine& engine, const std::string& uuid) {
  auto opening = engine.restore().check_all();
  if (opening) return {};
  return std::unexpected(std::move(opening).error().within(
      "Replica " + uuid + " is in no open pool, but may be in one that is not open yet"));
}

std::unexpected<Error> no_replica(Engine& engine, const std::string& uuid) {
  if (auto all = check_all_open(engine, uuid); !all) return std::unexpected(all.error());
  return std::unexpected(not_found(uuid));
}

}  // namespace

core::Task<Result<FoundReplica>> create_replica(Engine& engine, ReplicaArguments wanted) {
  LoadedPool* loaded = find_pool_by_text(engine, wanted.pool);  // 2
  if (!loaded) co_return no_pool(engine, wanted.pool);
  const std::string pool_name = loaded->pool->name();
  CO_TRY_SET(const auto lock, engine.locks().try_lock(pool_name));  // 3
  const auto uuid = Uuid::parse(wanted.uuid);
  CO_TRY(check_new(engine, *loaded, wanted, uuid));  // 4 to 7
  // Another pool's replica of that name or UUID may be in the making.
  CO_TRY_SET(const auto name_lock, engine.locks().try_lock("replica " + wanted.name));
  if (!wanted.uuid.empty() && !uuid) {  // 8
    co_return fail_field("uuid", "invalid replica UUID '" + wanted.uuid + "'");
  }
  ResourceLocks::Guard uuid_lock;
  if (uuid) {
    CO_TRY_SET(uuid_lock, engine.locks().try_lock("replica UUID " + uuid->text()));
  }
  if (wanted.share_nvmf) {
    // Nothing is made for arguments that cannot be.
    auto hosts = stored_hosts({wanted.allowed_hosts.begin(), wanted.allowed_hosts.end()});
    if (!hosts) {
      co_return std::unexpected(
          std::move(hosts).error().within("share replica '" + wanted.name + "'"));
    }
    auto reachable = engine.shares().check();
    if (!reachable) {
      reachable.error().code = Code::kInternal;  // as of any share that fails, 11
      co_return std::unexpected(std::move(reachable).error());
    }
  }
  storage::ReplicaOptions options;
  options.name = wanted.name;
  if (uuid) options.uuid = *uuid;
  options.size_bytes = wanted.size_bytes;
  options.thin = wanted.thin;
  options.entity_id = wanted.entity_id;  // 9: stored together with the replica
  auto created = co_await loaded->pool->create_replica(std::move(options));
  if (!created) {
    co_return std::unexpected(replica_create_error(std::move(created).error())
                                  .within("create replica '" + wanted.name + "'"));
  }
  const auto replica = *std::move(created);
  if (!loaded->pool->device()->supports_unmap()) {  // 10
    auto wiped = co_await wipe_super(replica);
    if (!wiped) {
      co_await take_back(engine, *loaded, replica);
      Error error = std::move(wiped).error();
      error.code = Code::kInternal;
      co_return std::unexpected(std::move(error).within("clear new replica '" + wanted.name + "'"));
    }
  }
  auto registered = register_replica(engine, replica);
  if (!registered) {
    co_await take_back(engine, *loaded, replica);
    co_return std::unexpected(std::move(registered).error());
  }
  if (wanted.share_nvmf) {  // 11
    auto shared = co_await make_share(engine, {loaded, replica}, std::move(wanted.allowed_hosts));
    if (!shared) {
      unregister_replica(engine, replica);
      co_await take_back(engine, *loaded, replica);
      shared.error().code = Code::kInternal;
      co_return std::unexpected(std::move(shared).error());
    }
  }
  engine.events().publish("replica", "create", replica->uuid().text(),
                          {{"name", replica->name()}, {"pool", pool_name}});
  co_return FoundReplica{loaded, replica};
}

namespace {

// What is to be destroyed: a replica, or a damaged volume, which has no object.
struct Target {
  LoadedPool* pool = nullptr;
  std::shared_ptr<storage::Replica> replica;  // null: damaged
};

Result<Target> find_target(Engine& engine, const std::string& text) {
  if (const auto found = find_by_text(engine, text, false))
    return Target{found.pool, found.replica};
  const auto uuid = Uuid::parse(text);
  if (!uuid) return Target{};
  if (auto* pool = find_damaged(engine, *uuid)) return Target{pool, nullptr};
  const auto other = engine.devices().find_uuid(*uuid);
  if (other && !std::dynamic_pointer_cast<storage::Replica>(other)) {
    return fail(Code::kInternal, "UUID " + text + " is that of device '" + other->name() +
                                     "', which is not a replica");
  }
  return Target{};
}

core::Task<Result<void>> destroy_target(Engine& engine, Target target, Uuid uuid) {
  Shares::Taken taken;
  if (target.replica) {
    auto unused = check_not_in_use(engine, *target.replica);
    if (!unused) {
      co_return std::unexpected(replica_destroy_error(std::move(unused).error())
                                    .within("destroy replica " + uuid.text()));
    }
    taken = co_await engine.shares().take_away(target.replica);
    unregister_replica(engine, target.replica);
  }
  auto destroyed = co_await target.pool->pool->destroy_replica(uuid);
  if (destroyed) {
    co_await engine.shares().forget_reservations(target.pool->pool->uuid(), uuid);
    co_return {};
  }
  Error error = replica_destroy_error(std::move(destroyed).error());
  if (target.replica && error.code != Code::kNotFound) {
    const auto registered = register_replica(engine, target.replica);
    if (!registered) engine.log().warn("replica_name_taken", {{"replica", target.replica->name()}});
    engine.shares().give_back(target.replica, std::move(taken));
  }
  co_return std::unexpected(std::move(error).within("destroy replica " + uuid.text()));
}

}  // namespace

std::string pool_named(Engine& engine, const std::string& text) {
  const LoadedPool* loaded = find_pool_by_text(engine, text);
  return loaded ? loaded->pool->name() : std::string();
}

std::string pool_of_replica(Engine& engine, const std::string& text, const PoolChoice& choice) {
  const auto uuid = Uuid::parse(text);
  FoundReplica found = uuid ? engine.find_replica(*uuid) : engine.find_replica_named(text);
  if (!found && uuid) found = engine.find_replica_named(text);
  if (found) return found.pool->pool->name();
  if (const LoadedPool* damaged = uuid ? find_damaged(engine, *uuid) : nullptr)
    return damaged->pool->name();
  if (choice.name) return pool_named(engine, *choice.name);
  return choice.uuid ? pool_named(engine, *choice.uuid) : std::string();
}

Result<void> check_not_in_use(const Engine& engine, const storage::Replica& replica) {
  for (const auto& [name, loaded] : engine.pools()) {
    if (loaded.pool->device().get() != &replica) continue;
    return fail(Code::kFailedPrecondition,
                "replica '" + replica.name() + "' is in use by pool '" + name + "'", EBUSY);
  }
  return {};
}

core::Task<Result<Destroyed>> destroy_replica(Engine& engine, std::string text, PoolChoice choice) {
  LoadedPool* chosen = nullptr;
  ResourceLocks::Guard lock;
  if (choice.given()) {
    const auto parsed = Uuid::parse(choice.uuid.value_or(""));
    chosen = choice.name ? engine.find_pool(*choice.name)
                         : (parsed ? engine.find_pool(*parsed) : nullptr);
    if (!chosen) co_return no_pool(engine, choice.name ? *choice.name : *choice.uuid);
    CO_TRY_SET(lock, engine.locks().try_lock(chosen->pool->name()));
  }
  CO_TRY_SET(const Target target, find_target(engine, text));
  if (!target.pool) {
    if (!chosen) CO_TRY(check_all_open(engine, text));
    co_return Destroyed{true, not_found(text)};
  }
  if (chosen && chosen != target.pool) {
    co_return fail(Code::kAborted, "replica " + text + " is in pool '" + target.pool->pool->name() +
                                       "', not in '" + chosen->pool->name() + "'");
  }
  if (!chosen) {
    CO_TRY_SET(lock, engine.locks().try_lock(target.pool->pool->name()));
  }
  const bool clone = target.replica && target.replica->is_clone();
  const auto source =
      clone ? Uuid::parse(target.replica->attribute(kSource).value_or("")) : std::nullopt;
  const Uuid uuid = *Uuid::parse(text);
  auto destroyed = co_await destroy_target(engine, target, uuid);
  if (!destroyed) {
    if (destroyed.error().code != Code::kNotFound) co_return std::unexpected(destroyed.error());
    co_return Destroyed{true, std::move(destroyed).error()};
  }
  engine.events().publish("replica", "delete", uuid.text(), {{"pool", target.pool->pool->name()}});
  if (source) co_await drop_discarded_snapshot(engine, *target.pool, *source);
  co_return Destroyed{};
}

namespace {

void tell_share(Engine& engine, const FoundReplica& found, std::string share) {
  engine.events().publish("replica", "state_change", found.replica->uuid().text(),
                          {{"pool", found.pool->pool->name()}, {"share", std::move(share)}});
}

}  // namespace

core::Task<Result<FoundReplica>> share_replica(Engine& engine, std::string uuid,
                                               std::optional<ShareKind> kind, std::string kind_text,
                                               std::vector<std::string> hosts) {
  auto found = find_by_text(engine, uuid, true);
  if (!found) co_return no_replica(engine, uuid);
  CO_TRY_SET(const auto lock, engine.locks().try_lock(found.pool->pool->name()));
  if (!kind) {
    co_return fail_field(
        "share", "invalid replica share protocol value: " + kind_text + "; use NONE or NVMF");
  }
  if (*kind == ShareKind::kNone) {
    if (!engine.shares().shared(*found.replica)) co_return found;
    co_return fail(Code::kInvalidArgument, "Invalid share protocol NONE: replica '" +
                                               found.replica->name() +
                                               "' is shared; use UnshareReplica");
  }
  CO_TRY(co_await make_share(engine, found, std::move(hosts)));
  tell_share(engine, found, "nvmf");
  co_return found;
}

core::Task<Result<FoundReplica>> unshare_replica(Engine& engine, std::string uuid) {
  auto found = find_by_text(engine, uuid, true);
  if (!found) co_return no_replica(engine, uuid);
  CO_TRY_SET(const auto lock, engine.locks().try_lock(found.pool->pool->name()));
  const bool shared = co_await engine.shares().unshare(found.replica);
  if (found.replica->attribute(kShared) == "true" && !found.replica->is_snapshot()) {
    CO_TRY(co_await store_text(found, kShared, "false"));
  }
  if (shared) tell_share(engine, found, "none");
  co_return found;
}

ShareAccess share_access(const storage::nvme::Subsystem& subsystem) {
  return {subsystem.options().any_host, {subsystem.hosts().begin(), subsystem.hosts().end()}};
}

core::Task<Result<void>> store_share_access(Engine& engine,
                                            std::shared_ptr<storage::Replica> replica,
                                            ShareAccess from, ShareAccess to) {
  // One that lets nobody in is stored as none, if it is stored at all.
  const auto subsystem = engine.shares().target().find(share_nqn(replica->name()));
  const bool none_stored = from.nobody() && subsystem && is_replica_share(*subsystem);
  if (replica->attribute(kShared) != "true" && !none_stored) co_return {};
  const auto found = engine.find_replica(replica->uuid());
  if (found.replica != replica) co_return no_replica(engine, replica->uuid().text());
  CO_TRY_SET(const auto lock, engine.locks().try_lock(found.pool->pool->name()));
  co_return co_await store_share(found, std::move(to));
}

core::Task<Result<FoundReplica>> resize_replica(Engine& engine, std::string uuid,
                                                std::uint64_t size_bytes) {
  auto found = find_by_text(engine, uuid, false);
  if (!found) co_return no_replica(engine, uuid);
  CO_TRY_SET(const auto lock, engine.locks().try_lock(found.pool->pool->name()));
  const std::uint64_t before = found.replica->size_bytes();
  auto resized = co_await found.pool->pool->resize_replica(found.replica->uuid(), size_bytes);
  if (!resized) co_return std::unexpected(replica_resize_error(std::move(resized).error()));
  if (found.replica->size_bytes() == before) co_return found;
  engine.devices().announce_resized(*found.replica);
  engine.events().publish("replica", "resize", found.replica->uuid().text(),
                          {{"pool", found.pool->pool->name()},
                           {"size_bytes", std::to_string(found.replica->size_bytes())}});
  co_return found;
}

core::Task<Result<FoundReplica>> set_entity_id(Engine& engine, std::string uuid,
                                               std::string entity_id) {
  auto found = find_by_text(engine, uuid, true);
  if (!found) co_return no_replica(engine, uuid);
  CO_TRY_SET(const auto lock, engine.locks().try_lock(found.pool->pool->name()));
  if (found.replica->is_snapshot()) co_return found;  // nothing is stored on snapshots
  if (found.replica->attribute(kEntityId) == entity_id) co_return found;
  entity_id.push_back('\0');
  auto stored = co_await found.pool->pool->set_attribute(
      found.replica->uuid(), std::string(kEntityId), std::move(entity_id));
  if (!stored) {
    co_return std::unexpected(
        attribute_error(std::move(stored).error())
            .within("set the entity of replica '" + found.replica->name() + "'"));
  }
  engine.events().publish("replica", "state_change", found.replica->uuid().text(),
                          {{"pool", found.pool->pool->name()}});
  co_return found;
}

}  // namespace capstan::services
