// Why this file exists: see state_monitors.h.
#include "model/state_monitors.h"

#include <utility>

#include "model/model_limits.h"

namespace capstan::model {

namespace m1 = monitor::v1;

std::string revision_text(std::uint64_t epoch, std::uint64_t rev) {
  return std::to_string(epoch) + "-" + std::to_string(rev);
}

namespace {

using What = StateModel::What;
using Event = StateModel::Event;

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

m1::PoolChange message_of(const StateModel::Change& change) {
  m1::PoolChange out;
  out.set_rev(change.rev);
  out.set_event(std::string(event_name(change.event)));
  if (change.object.pool) *out.mutable_pool() = *change.object.pool;
  out.set_synced(change.synced);
  return out;
}

m1::ReplicaChange replica_message_of(const StateModel::Change& change) {
  m1::ReplicaChange out;
  out.set_rev(change.rev);
  out.set_event(std::string(event_name(change.event)));
  if (change.object.replica) *out.mutable_replica() = *change.object.replica;
  out.set_synced(change.synced);
  return out;
}

// What is not wanted is left out, but not what it says about the state of the stream.
void drop_object(StateModel::Change& change) {
  change.event = Event::kNone;
  change.object = {};
}

void add(m1::StateChange& out, const StateModel::Change& change) {
  const bool gone = change.event == Event::kDestroyed;
  if (change.event == Event::kNone) return;
  if (change.key.what == What::kPool) {
    gone ? out.add_removed_pools(change.key.id) : void(*out.add_pools() = *change.object.pool);
  } else {
    gone ? out.add_removed_replicas(change.key.id)
         : void(*out.add_replicas() = *change.object.replica);
  }
}

}  // namespace

StateMonitors::Done StateMonitors::pools(rpc::Call& call, const m1::MonitorPoolsRequest& request,
                                         Sink<m1::PoolChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  const std::set<std::string> wanted(request.pool().begin(), request.pool().end());
  CO_TRY_SET(const auto subscription, source_.subscribe({What::kPool}));
  Patience patience(heartbeat);
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, patience.left()));
    if (!change) {
      m1::PoolChange beat;
      beat.set_rev(source_.rev());
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

StateMonitors::Done StateMonitors::replicas(rpc::Call& call,
                                            const m1::MonitorReplicasRequest& request,
                                            Sink<m1::ReplicaChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  const std::set<std::string> pools(request.pool().begin(), request.pool().end());
  const std::set<std::string> wanted(request.replica().begin(), request.replica().end());
  CO_TRY_SET(const auto subscription, source_.subscribe({What::kReplica}));
  Patience patience(heartbeat);
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, patience.left()));
    if (!change) {
      m1::ReplicaChange beat;
      beat.set_rev(source_.rev());
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

StateMonitors::Done StateMonitors::state(rpc::Call& call, const m1::MonitorStateRequest& request,
                                         Sink<m1::StateChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  CO_TRY_SET(const auto subscription, source_.subscribe({What::kPool, What::kReplica}));
  const std::string newest = revision_text(source_.epoch(), source_.rev());
  bool full = true;
  std::uint64_t base = 0;
  if (request.since() == newest) {
    while (subscription->try_next()) {
    }
    full = false;
    base = source_.rev();
  }
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, heartbeat));
    m1::StateChange out;
    out.set_epoch(source_.epoch());
    out.set_heartbeat(!change);
    for (; change; change = subscription->try_next()) add(out, *change);
    out.set_rev(source_.rev());
    out.set_base_rev(std::exchange(base, out.rev()));
    out.set_full(std::exchange(full, false));
    CO_TRY(co_await sink.send(out));
  }
}

}  // namespace capstan::model
