// Why this file exists: see targets.h.
#include "services/targets.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace capstan::services {

namespace {

// Control and devices are on core 0; the others have the connections of hosts.
std::vector<core::Reactor*> other_cores(core::Env& env) {
  std::vector<core::Reactor*> out;
  for (unsigned core = 1; core < env.cores(); ++core) out.push_back(&env.reactor(core));
  return out;
}

}  // namespace

NamedTarget::NamedTarget(core::Env& env, const core::Log& log, std::string called)
    : name(std::move(called)),
      target(env, log, storage::nvme::limits::kBufferBytes, other_cores(env)),
      subsystems(target) {}

Targets::Targets(core::Env& env, const core::Log& log) : env_(env), log_(log) {
  list_.push_back(std::make_shared<NamedTarget>(env_, log_, kNodeTarget));
}

std::shared_ptr<NamedTarget> Targets::find(std::string_view name) const {
  const auto called = name.empty() ? std::string_view(kNodeTarget) : name;
  for (const auto& each : list_) {
    if (each->name == called && !each->ending) return each;
  }
  return nullptr;
}

std::vector<std::shared_ptr<NamedTarget>> Targets::list() const {
  std::vector<std::shared_ptr<NamedTarget>> out;
  for (const auto& each : list_) {
    if (!each->ending) out.push_back(each);
  }
  return out;
}

Result<std::shared_ptr<NamedTarget>> Targets::create(std::string name) {
  if (name.empty() || name.size() > kTargetNameBytes) {
    return fail(Code::kInvalidArgument, "a target's name has 1 to " +
                                            std::to_string(kTargetNameBytes) + " bytes, not " +
                                            std::to_string(name.size()));
  }
  for (const auto& each : list_) {
    if (each->name != name) continue;
    if (each->ending) {
      return fail(Code::kUnavailable, "target '" + name + "' is still being deleted; try again");
    }
    return fail(Code::kAlreadyExists, "there is a target '" + name + "' already", EEXIST);
  }
  if (list_.size() >= kTargets) {
    return fail(Code::kResourceExhausted, "there are " + std::to_string(list_.size()) +
                                              " targets, the most there can be; delete one");
  }
  auto made = std::make_shared<NamedTarget>(env_, log_, std::move(name));
  made->target.set_firmware(node().target.firmware());
  made->target.set_connections_max(node().target.connections_max());
  if (metrics_) made->target.publish(*metrics_, {{"target", made->name}});
  list_.push_back(made);
  return made;
}

core::Task<bool> Targets::remove(std::string name) {
  const auto found = find(name);
  if (!found) co_return false;
  CAPSTAN_ASSERT(found.get() != &node());
  co_await end(found);
  co_return true;
}

core::Task<void> Targets::end(std::shared_ptr<NamedTarget> target) {
  if (std::exchange(target->ending, true)) {
    co_await target->gone.wait();
    co_return;
  }
  co_await target->target.shutdown();
  co_await target->subsystems.shutdown();
  std::erase(list_, target);
  target->gone.set();
}

// --- devices -------------------------------------------------------------------------------------

core::Task<std::vector<Subsystems::Place>> Targets::take_out(
    std::shared_ptr<storage::Device> device) {
  std::vector<Subsystems::Place> places;
  const auto all = list_;  // one may go while another is waited for
  for (const auto& each : all) {
    auto taken = co_await each->subsystems.take_out(device);
    std::ranges::move(taken, std::back_inserter(places));
  }
  co_return places;
}

void Targets::put_back(const Subsystems::Place& place) {
  for (const auto& each : list_) each->subsystems.put_back(place);
}

void Targets::device_removed(const std::shared_ptr<storage::Device>& device) {
  for (const auto& each : list_) each->subsystems.device_removed(device);
}

void Targets::device_resized(const storage::Device& device) {
  for (const auto& each : list_) each->subsystems.device_resized(device);
}

// --- the whole -----------------------------------------------------------------------------------

void Targets::publish(core::Metrics& metrics) {
  metrics_ = &metrics;
  for (const auto& each : list_) {
    each->target.publish(
        metrics, each.get() == &node() ? core::Labels() : core::Labels{{"target", each->name}});
  }
}

core::Task<void> Targets::shutdown() {
  while (list_.size() > 1) {
    const auto last = list_.back();
    co_await end(last);
  }
  co_await node().target.shutdown();
  co_await node().subsystems.shutdown();
}

}  // namespace capstan::services
