// Why this file exists: see pool_file_open.h. A pool that the node restores by itself needs nothing
// from the file: it is open, or the node says why not.
// Pools are opened side by side, but what they share under one name is that of the first of them.
#include "apps/io_engine/pool_file_open.h"

#include <algorithm>
#include <deque>
#include <ranges>

#include "core/scope.h"
#include "services/carry_on.h"
#include "services/pool_ops.h"
#include "services/restore_limits.h"

namespace capstan::apps {
namespace {

using services::Engine;

struct Planned {
  PoolFileEntry entry;
  std::vector<std::string> ahead_of;  // the pools to open that are further down in the file
};

struct Work {
  Engine& engine;
  core::Log& log;
  std::deque<Planned> waiting;
  unsigned errors = 0;
};

core::Task<Result<services::LoadedPool*>> open_pool(Engine& engine, Planned planned) {
  const PoolFileEntry& entry = planned.entry;
  if (entry.lvm) co_return fail(Code::kFailedPrecondition, "pools on LVM are not supported");
  services::PoolArguments arguments;
  arguments.name = entry.name;
  arguments.disks = entry.disks;
  arguments.ahead_of = std::move(planned.ahead_of);
  core::CancelSource patience;
  core::Timer timer([&patience] { patience.fire(Code::kDeadlineExceeded); });
  core::Reactor& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + limits::kPoolRestoreNanos);
  arguments.token = patience.token();
  co_return co_await services::carry_on(
      engine,
      services::in_turn(engine.pool_calls(), entry.name,
                        services::create_pool(engine, std::move(arguments)), patience.token()),
      patience.token(), "open pool '" + entry.name + "' of the pool file");
}

core::Task<void> open_waiting(Work& work) {
  while (!work.waiting.empty()) {
    Planned planned = std::move(work.waiting.front());
    work.waiting.pop_front();
    const std::string name = planned.entry.name;
    if (work.engine.find_pool(name)) continue;
    const auto opened = co_await open_pool(work.engine, std::move(planned));
    if (opened) continue;
    ++work.errors;
    work.log.error("pool_not_opened", {{"pool", name}, {"error", opened.error().text()}});
  }
}

bool on_device_of_others(const PoolFileEntry& entry) {
  return std::ranges::any_of(entry.disks, [](const std::string& disk) {
    const auto uri = storage::parse_device_uri(storage::normalize_disk(disk));
    return uri && uri->scheme == storage::DeviceUri::Scheme::kExisting;
  });
}

}  // namespace

core::Task<void> open_file_pools(Engine& engine, core::Log& log,
                                 std::vector<PoolFileEntry> entries) {
  Work work{engine, log, {}};
  std::deque<Planned> later;
  std::vector<std::string> behind;
  for (PoolFileEntry& entry : std::views::reverse(entries)) {
    auto& queue = on_device_of_others(entry) ? later : work.waiting;
    const std::string name = entry.name;
    queue.push_front({std::move(entry), behind});
    if (!engine.find_pool(name)) behind.push_back(name);
  }
  core::Scope scope;
  const auto workers = std::min(work.waiting.size(), limits::kPoolRestoresAtOnce);
  for (std::size_t i = 0; i < workers; ++i) scope.spawn(open_waiting(work));
  co_await scope.join();
  work.waiting = std::move(later);
  co_await open_waiting(work);
  if (work.errors == 0) co_return;
  log.error("pool_file_incomplete", {{"message", "Not all pools were imported successfully (" +
                                                     std::to_string(work.errors) + " errors)"}});
}

}  // namespace capstan::apps
