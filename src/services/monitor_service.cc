// Why this file exists: see monitor_service.h.
#include "services/monitor_service.h"

#include "services/monitor_limits.h"
#include "services/stats_v1.h"

namespace capstan::services {

namespace m1 = monitor::v1;

m1::StatsSample MonitorService::sample(const std::set<std::string>& what) const {
  m1::StatsSample out;
  out.set_time_ms(engine_.env().wall_clock_ns() / 1'000'000);
  for (const auto& [name, loaded] : engine_.pools()) {
    if (what.empty() || what.contains("pools")) *out.add_pools() = pool_io_stats(loaded);
    if (!what.empty() && !what.contains("replicas")) continue;
    for (const auto& replica : loaded.pool->replicas()) {
      *out.add_replicas() = replica_io_stats(*replica);
    }
  }
  return out;
}

MonitorService::Done MonitorService::stats(rpc::Call& call, const m1::MonitorStatsRequest& request,
                                           Sink<m1::StatsSample> sink) {
  const auto interval =
      request.interval_ms() == 0 ? limits::kStatsIntervalMs : request.interval_ms();
  if (interval < limits::kStatsIntervalMsMin) {
    co_return fail(Code::kInvalidArgument,
                   "interval_ms " + std::to_string(interval) + " is too short; ask for " +
                       std::to_string(limits::kStatsIntervalMsMin) + " or more");
  }
  const std::set<std::string> what(request.what().begin(), request.what().end());
  for (const auto& one : what) {
    if (one == "pools" || one == "replicas") continue;
    co_return fail(Code::kInvalidArgument,
                   "there are no statistics of '" + one + "'; known are pools and replicas");
  }
  while (true) {
    CO_TRY(co_await sink.send(sample(what)));
    CO_TRY(co_await core::sleep_for(interval * core::kMillisecond, call.token));
  }
}

Result<void> bind_monitor(rpc::Directory& directory, MonitorService& service) {
  TRY(directory.declare(m1::PoolChange::descriptor()->file()->FindServiceByName("MonitorRpc")));
  using S = MonitorService;
  using M = model::StateMonitors;
  const std::string prefix = "capstan.monitor.v1.MonitorRpc/";
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorBootstrapped", service.state(),
                              &M::bootstrapped));
  TRY(rpc::bind_shared_stream(directory, prefix + "MonitorPools", service.state(), &M::pools));
  TRY(rpc::bind_shared_stream(directory, prefix + "MonitorReplicas", service.state(),
                              &M::replicas));
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorStats", service, &S::stats));
  return rpc::bind_server_stream(directory, prefix + "MonitorState", service.state(), &M::state);
}

}  // namespace capstan::services
