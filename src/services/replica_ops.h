// Why this file exists: what one can do with replicas, free of any API's messages
// (io-engine-behaviour section 8). Errors carry the status code that section 4.2 gives them.
// The caller holds Engine::replica_calls() of the pool, which keeps its changes in their order; the
// try-lock of the pool is taken in here.
// Lifetimes: the engine outlives the tasks.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "services/engine.h"

namespace capstan::services {

struct ReplicaArguments {
  std::string name;
  std::string uuid;  // text; empty: chosen at random
  std::string pool;  // UUID or name
  std::uint64_t size_bytes = 0;
  bool thin = false;
  bool share_nvmf = false;
  std::vector<std::string> allowed_hosts = {};  // of the share; empty: any
  std::optional<std::string> entity_id;
};
core::Task<Result<FoundReplica>> create_replica(Engine& engine, ReplicaArguments arguments);

// The name of the open pool that the text (UUID or name) means; empty: none.
std::string pool_named(Engine& engine, const std::string& text);

// kFailedPrecondition (EBUSY) when a pool stands on it. Asked before a replica is taken from the
// registry, which faults that pool; devices stacked on the replica just go with it.
Result<void> check_not_in_use(const Engine& engine, const storage::Replica& replica);

// Which pool the caller believes the replica to be in.
struct PoolChoice {
  std::optional<std::string> name, uuid;
  bool given() const { return name || uuid; }
};
// The name of the pool in which the volume of that UUID or name is; else that of the choice, if
// any.
std::string pool_of_replica(Engine& engine, const std::string& text, const PoolChoice& choice = {});
struct Destroyed {
  bool gone = false;  // there was no such replica, though its pool (if named) is open
  Error error;        // set when gone
};
// `gone` is told apart from every other error because clients must be able to tell.
core::Task<Result<Destroyed>> destroy_replica(Engine& engine, std::string uuid, PoolChoice pool);

enum class ShareKind { kNone, kNvmf };
// kInvalidArgument when `kind` is nothing (an unknown protocol). A replica that is shared already
// gets the new hosts. The share is stored with the replica: importing its pool makes it again.
core::Task<Result<FoundReplica>> share_replica(Engine& engine, std::string uuid,
                                               std::optional<ShareKind> kind, std::string kind_text,
                                               std::vector<std::string> hosts);
core::Task<Result<FoundReplica>> unshare_replica(Engine& engine, std::string uuid);

// Whom a share lets in: any host, or those on its list.
struct ShareAccess {
  bool any_host = false;
  std::set<std::string> hosts = {};
  bool nobody() const { return !any_host && hosts.empty(); }
};
ShareAccess share_access(const storage::nvme::Subsystem& subsystem);
// Stores whom the share of that replica is `to` let in, which the caller then changes at once. A
// share that lets nobody in is stored as none, because an empty list means any host; one that is
// not stored (a nexus's) stays so. kInvalidArgument for hosts that cannot be stored.
core::Task<Result<void>> store_share_access(Engine& engine,
                                            std::shared_ptr<storage::Replica> replica,
                                            ShareAccess from, ShareAccess to);

// A missing one, or a snapshot, is kNotFound.
core::Task<Result<FoundReplica>> resize_replica(Engine& engine, std::string uuid,
                                                std::uint64_t size_bytes);
core::Task<Result<FoundReplica>> set_entity_id(Engine& engine, std::string uuid,
                                               std::string entity_id);

}  // namespace capstan::services
