// Why this file exists: the NVMe targets of a node by name. The node's own, "nvmf_tgt", is there
// from the start and has the shares; others are made by SPDK's nvmf_create_target (jsonrpc section
// B.7). Each has its own listeners, subsystems, discovery service and referrals; an address belongs
// to whoever listens there first, and a device to whoever has claimed it.
//
// Lifetimes: env, log and metrics outlive it; shutdown() comes before the destructor. Who works on
// a target across an await holds it by its pointer. Thread-safety: core 0.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/env.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/sync.h"
#include "services/subsystems.h"
#include "storage/nvme/target.h"

namespace capstan::services {

inline constexpr char kNodeTarget[] = "nvmf_tgt";
inline constexpr std::size_t kTargets = 16;           // the node's own among them
inline constexpr std::size_t kTargetNameBytes = 255;  // as in SPDK

struct NamedTarget {
  NamedTarget(core::Env& env, const core::Log& log, std::string called);

  const std::string name;
  storage::nvme::Target target;
  Subsystems subsystems;
  bool transport = false;  // TCP was asked for; only the node's own listens without
  bool ending = false;
  core::Event gone;
};

class Targets {
 public:
  Targets(core::Env& env, const core::Log& log);

  NamedTarget& node() { return *list_.front(); }
  const NamedTarget& node() const { return *list_.front(); }
  // An empty name means the node's own. Null when there is none, or it is just ending.
  std::shared_ptr<NamedTarget> find(std::string_view name) const;
  // Those that are not ending, in the order in which they were made.
  std::vector<std::shared_ptr<NamedTarget>> list() const;

  // kAlreadyExists; kInvalidArgument: no name for a target; kResourceExhausted; kUnavailable: one
  // of that name is just ending.
  Result<std::shared_ptr<NamedTarget>> create(std::string name);
  // Ends it with its hosts' connections, subsystems and listeners; returns when its devices are
  // free. False when there is none; the node's own is not for this.
  core::Task<bool> remove(std::string name);

  // See Subsystems; of all targets.
  core::Task<std::vector<Subsystems::Place>> take_out(std::shared_ptr<storage::Device> device);
  void put_back(const Subsystems::Place& place);
  void device_removed(const std::shared_ptr<storage::Device>& device);
  void device_resized(const storage::Device& device);

  // Registers the counters, with the name as a label for all but the node's own; of those that are
  // made later too.
  void publish(core::Metrics& metrics);
  core::Task<void> shutdown();

 private:
  core::Task<void> end(std::shared_ptr<NamedTarget> target);

  core::Env& env_;
  core::Log log_;
  core::Metrics* metrics_ = nullptr;
  std::vector<std::shared_ptr<NamedTarget>> list_;
};

}  // namespace capstan::services
