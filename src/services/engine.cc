// Why this file exists: see engine.h.
#include "services/engine.h"

#include "base/limits.h"
#include "services/pool_ops.h"
#include "services/restore_limits.h"

namespace capstan::services {
namespace {

// Who stops a node with a disk that hangs wants to know why it goes on.
void tell_later(core::Timer& timer) {
  core::Reactor& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + capstan::limits::kShutdownNanos);
}

std::string what_stop_waits_for(const Engine& engine) {
  std::string text;
  for (const auto& [name, loaded] : engine.pools()) {
    text += (text.empty() ? "pool '" : ", pool '") + name + "' on " + loaded.disk;
  }
  if (const auto opening = engine.restore().check_all(); !opening) {
    text += (text.empty() ? "" : "; ") + opening.error().message;
  }
  return text.empty() ? "changes that have begun" : text;
}

}  // namespace

Engine::Engine(core::Env& env, const core::Log& log, std::string state_directory)
    : env_(env),
      log_(log.child("engine")),
      devices_(env),
      events_(env),
      state_(env, std::move(state_directory)),
      shares_(env, log_, devices_),
      remotes_(env, log_, devices_),
      disks_(env, log_, devices_, events_) {
  devices_.observe(*this);
}

Engine::~Engine() {
  devices_.unobserve(*this);
}

core::Task<Result<void>> Engine::start(bool restore) {
  core::Timer stuck([this] { log_.warn("node_state_hangs", {{"error", state_.trouble()}}); });
  core::Reactor& reactor = *core::Reactor::current();
  stuck.arm_at(reactor, reactor.now() + limits::kStateStalledNanos);
  CO_TRY(co_await state_.load());
  stuck.disarm();
  if (restore) co_await restore_.start();
  set_phase(Phase::kReady);
  events_.publish("node", "start", "");
  log_.info("started", {{"pools", pools_.size()}, {"unavailable_pools", unavailable_.size()}});
  co_return {};
}

core::Task<void> Engine::stop() {
  core::Timer waiting([this, &waiting] {
    log_.warn("stop_waits", {{"for", what_stop_waits_for(*this)},
                             {"effect",
                              "the node ends when their disks answer; killing it loses "
                              "nothing that was acknowledged"}});
    tell_later(waiting);
  });
  tell_later(waiting);
  set_phase(Phase::kDraining);
  remotes_.stop_connecting();
  restore_.give_up();
  co_await pool_calls_.close();
  co_await replica_calls_.close();
  co_await device_calls_.close();
  co_await changes_.join();
  co_await restore_.join();
  co_await disks_.stop();
  // What waits for devices that cannot be reached would hold the others' last writes up.
  for (const auto& device : remotes_.list()) {
    if (!device->current()) device->give_up();
  }
  co_await shares_.shutdown();
  co_await close_pools(*this);
  co_await remotes_.shutdown();
  events_.publish("node", "stop", "");
  log_.info("stopped");
}

LoadedPool* Engine::find_pool(std::string_view name) {
  const auto it = pools_.find(name);
  return it == pools_.end() ? nullptr : &it->second;
}

LoadedPool* Engine::find_pool(const Uuid& uuid) {
  for (auto& [name, loaded] : pools_) {
    if (loaded.pool->uuid() == uuid) return &loaded;
  }
  return nullptr;
}

FoundReplica Engine::find_replica(const Uuid& uuid) {
  for (auto& [name, loaded] : pools_) {
    if (auto replica = loaded.pool->find(uuid)) return {&loaded, std::move(replica)};
  }
  return {};
}

FoundReplica Engine::find_replica_named(std::string_view name) {
  for (auto& [pool_name, loaded] : pools_) {
    if (auto replica = loaded.pool->find(name)) return {&loaded, std::move(replica)};
  }
  return {};
}

core::Task<Result<void>> Engine::phase_changed_from(Phase seen, core::CancelToken token) {
  while (phase_ == seen) {
    CO_TRY(token.check());
    const core::CancelCallback wake(token, [this] { phase_event_.notify_all(); });
    co_await phase_event_.wait();
  }
  co_return {};
}

void Engine::device_removed(const storage::Device& device) {
  for (auto& [name, loaded] : pools_) {
    if (loaded.pool->device().get() != &device) continue;
    loaded.pool->device_lost("device '" + device.name() + "' was removed from the node");
  }
}

void Engine::set_phase(Phase phase) {
  phase_ = phase;
  phase_event_.notify_all();
}

}  // namespace capstan::services
