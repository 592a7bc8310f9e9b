// Why this file exists: the node opens its pools again after a restart without anybody asking. What
// it must know for that is one small JSON file (api/node/state.proto), replaced as a whole and
// durable before the call that changed it is answered. A file that cannot be read is an error,
// never an empty state: it is not written over. With an empty directory nothing is read or written
// and the node starts bare. Thread-safety: core 0. Changes are serialised inside.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "core/env.h"
#include "core/reactor.h"
#include "core/sync.h"
#include "core/task.h"
#include "node/state.pb.h"

namespace capstan::services {

class NodeState {
 public:
  NodeState(core::Env& env, std::string directory);

  // Reads the file; a missing one is an empty state.
  core::Task<Result<void>> load();
  // Records a pool under its name, in place of an older record.
  core::Task<Result<void>> put(node::v1::PoolRecord record);
  core::Task<Result<void>> remove(std::string name);  // fine when there is none

  // The disk of the file has not answered for limits::kStateStalledNanos: what it holds up and what
  // to do; empty while all is well.
  std::string trouble() const;

  bool persistent() const { return !directory_.empty(); }
  std::string path() const { return directory_ + "/node.json"; }
  using Pools = std::map<std::string, node::v1::PoolRecord, std::less<>>;
  const Pools& pools() const { return pools_; }

 private:
  core::Task<Result<void>> replace(Pools pools);

  core::Env& env_;
  std::string directory_;
  Pools pools_;  // what the file says
  core::Mutex writing_;
  std::optional<core::Nanos> busy_since_;  // reading or writing the file
};

}  // namespace capstan::services
