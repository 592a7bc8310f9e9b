// Why this file exists: see monitor_service.h.
#include "services/monitor_service.h"

#include <algorithm>

#include "services/monitor_limits.h"
#include "services/stats_v1.h"

namespace capstan::services {

namespace m1 = monitor::v1;

namespace {

using What = StateFeed::What;
using Event = StateFeed::Event;

Result<core::Nanos> heartbeat_of(std::uint32_t milliseconds) {
  if (milliseconds != 0 && milliseconds < limits::kHeartbeatMsMin) {
    return fail(Code::kInvalidArgument,
                "heartbeat_ms " + std::to_string(milliseconds) + " is too often; ask for " +
                    std::to_string(limits::kHeartbeatMsMin) + " or more, or 0 for none");
  }
  return milliseconds * core::kMillisecond;
}

// How long a stream may still be silent; changes that are not sent do not count.
class Patience {
 public:
  explicit Patience(core::Nanos heartbeat) : heartbeat_(heartbeat) { renew(); }
  void renew() { until_ = core::Reactor::current()->now() + heartbeat_; }
  // 0: for ever.
  core::Nanos left() const {
    const core::Nanos now = core::Reactor::current()->now();
    if (heartbeat_ == 0) return 0;
    return until_ > now ? until_ - now : 1;
  }

 private:
  core::Nanos heartbeat_, until_ = 0;
};

m1::PoolChange message_of(const StateFeed::Change& change) {
  m1::PoolChange out;
  out.set_rev(change.rev);
  out.set_event(std::string(event_name(change.event)));
  if (change.object.pool) *out.mutable_pool() = *change.object.pool;
  out.set_synced(change.synced);
  return out;
}

m1::ReplicaChange replica_message_of(const StateFeed::Change& change) {
  m1::ReplicaChange out;
  out.set_rev(change.rev);
  out.set_event(std::string(event_name(change.event)));
  if (change.object.replica) *out.mutable_replica() = *change.object.replica;
  out.set_synced(change.synced);
  return out;
}

// What is not wanted is left out, but not what it says about the state of the stream.
void drop_object(StateFeed::Change& change) {
  change.event = Event::kNone;
  change.object = {};
}

void add(m1::StateChange& out, const StateFeed::Change& change) {
  const bool gone = change.event == Event::kDestroyed;
  if (change.event == Event::kNone) return;
  if (change.key.what == What::kPool) {
    gone ? out.add_removed_pools(change.key.id) : void(*out.add_pools() = *change.object.pool);
  } else {
    gone ? out.add_removed_replicas(change.key.id)
         : void(*out.add_replicas() = *change.object.replica);
  }
}

std::string_view phase_name(Engine::Phase phase) {
  switch (phase) {
    case Engine::Phase::kStarting: return "starting";
    case Engine::Phase::kReady: return "ready";
    case Engine::Phase::kDraining: return "draining";
  }
  return "";
}

}  // namespace

m1::Bootstrapped MonitorService::progress() const {
  m1::Bootstrapped out;
  out.set_state(std::string(phase_name(engine_.phase())));
  out.set_imported_pools(static_cast<std::uint32_t>(engine_.pools().size()));
  out.set_total_pools(
      static_cast<std::uint32_t>(engine_.pools().size() + engine_.unavailable().size()));
  return out;
}

MonitorService::Done MonitorService::bootstrapped(rpc::Call& call,
                                                  const m1::MonitorBootstrappedRequest&,
                                                  Sink<m1::Bootstrapped> sink) {
  while (true) {
    const auto phase = engine_.phase();
    CO_TRY(co_await sink.send(progress()));
    if (phase == Engine::Phase::kReady) co_return Result<void>();
    CO_TRY(co_await engine_.phase_changed_from(phase, call.token));
  }
}

MonitorService::Done MonitorService::pools(rpc::Call& call, const m1::MonitorPoolsRequest& request,
                                           Sink<m1::PoolChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  const std::set<std::string> wanted(request.pool().begin(), request.pool().end());
  CO_TRY_SET(const auto subscription, feed_.subscribe({What::kPool}));
  Patience patience(heartbeat);
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, patience.left()));
    if (!change) {
      m1::PoolChange beat;
      beat.set_rev(feed_.rev());
      beat.set_heartbeat(true);
      CO_TRY(co_await sink.send(beat));
      patience.renew();
      continue;
    }
    if (!wanted.empty() && !wanted.contains(change->key.id)) drop_object(*change);
    if (change->event == Event::kNone && !change->synced) continue;
    CO_TRY(co_await sink.send(message_of(*change)));
    patience.renew();
  }
}

MonitorService::Done MonitorService::replicas(rpc::Call& call,
                                              const m1::MonitorReplicasRequest& request,
                                              Sink<m1::ReplicaChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  const std::set<std::string> pools(request.pool().begin(), request.pool().end());
  const std::set<std::string> wanted(request.replica().begin(), request.replica().end());
  CO_TRY_SET(const auto subscription, feed_.subscribe({What::kReplica}));
  Patience patience(heartbeat);
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, patience.left()));
    if (!change) {
      m1::ReplicaChange beat;
      beat.set_rev(feed_.rev());
      beat.set_heartbeat(true);
      CO_TRY(co_await sink.send(beat));
      patience.renew();
      continue;
    }
    const auto& replica = change->object.replica;
    if (replica && ((!wanted.empty() && !wanted.contains(change->key.id)) ||
                    (!pools.empty() && !pools.contains(replica->poolname())))) {
      drop_object(*change);
    }
    if (change->event == Event::kNone && !change->synced) continue;
    CO_TRY(co_await sink.send(replica_message_of(*change)));
    patience.renew();
  }
}

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

MonitorService::Done MonitorService::state(rpc::Call& call, const m1::MonitorStateRequest& request,
                                           Sink<m1::StateChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  CO_TRY_SET(const auto subscription, feed_.subscribe({What::kPool, What::kReplica}));
  const std::string newest = std::to_string(feed_.epoch()) + "-" + std::to_string(feed_.rev());
  bool full = true;
  if (request.since() == newest) {
    while (subscription->try_next()) {
    }
    full = false;
  }
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, heartbeat));
    m1::StateChange out;
    out.set_epoch(feed_.epoch());
    out.set_heartbeat(!change);
    for (; change; change = subscription->try_next()) add(out, *change);
    out.set_rev(feed_.rev());
    out.set_full(std::exchange(full, false));
    CO_TRY(co_await sink.send(out));
  }
}

Result<void> bind_monitor(rpc::Directory& directory, MonitorService& service) {
  TRY(directory.declare(m1::PoolChange::descriptor()->file()->FindServiceByName("MonitorRpc")));
  using S = MonitorService;
  const std::string prefix = "capstan.monitor.v1.MonitorRpc/";
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorBootstrapped", service,
                              &S::bootstrapped));
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorPools", service, &S::pools));
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorReplicas", service, &S::replicas));
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorStats", service, &S::stats));
  return rpc::bind_server_stream(directory, prefix + "MonitorState", service, &S::state);
}

}  // namespace capstan::services
