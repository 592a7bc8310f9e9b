// Why this file exists: see state_monitors.h.
#include "model/state_monitors.h"

#include <memory>
#include <utility>

#include "base/uuid.h"
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

// The keys of replicas that a client means, in whichever form it writes their UUIDs.
std::set<std::string> replica_keys(const google::protobuf::RepeatedPtrField<std::string>& asked) {
  std::set<std::string> keys;
  for (const auto& text : asked) {
    const auto uuid = Uuid::parse(text);
    keys.insert(uuid ? uuid->text() : text);
  }
  return keys;
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

// The events of one kind of object differ only in where the object goes.
template <class Message>
std::unique_ptr<Message> message_of(const StateModel::Change& change) {
  auto out = std::make_unique<Message>();
  out->set_rev(change.rev);
  out->set_event(std::string(event_name(change.event)));
  out->set_synced(change.synced);
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
  if (change.key.what == What::kProgress) {
    if (!gone) *out.mutable_progress() = *change.object.progress;
  } else if (change.key.what == What::kPool) {
    gone ? out.add_removed_pools(change.key.id) : void(*out.add_pools() = *change.object.pool);
  } else {
    gone ? out.add_removed_replicas(change.key.id)
         : void(*out.add_replicas() = *change.object.replica);
  }
}

bool is_same(const StateModel::Change& a, const StateModel::Change& b) {
  return a.rev == b.rev && a.event == b.event && a.synced == b.synced && a.key == b.key &&
         a.object.pool == b.object.pool && a.object.replica == b.object.replica;
}

}  // namespace

// The kind is not the change's: without an object a change has none.
StateMonitors::Told StateMonitors::told(What kind, const Change& change) {
  if (told_ && kind == newest_kind_ && is_same(change, newest_)) return told_;
  newest_kind_ = kind;
  newest_ = change;
  if (kind == What::kPool) {
    auto out = message_of<m1::PoolChange>(change);
    if (change.object.pool) *out->mutable_pool() = *change.object.pool;
    told_ = std::make_shared<const rpc::SharedMessage>(std::move(out));
  } else {
    auto out = message_of<m1::ReplicaChange>(change);
    if (change.object.replica) *out->mutable_replica() = *change.object.replica;
    told_ = std::make_shared<const rpc::SharedMessage>(std::move(out));
  }
  return told_;
}

StateMonitors::Done StateMonitors::bootstrapped(rpc::Call& call,
                                                const m1::MonitorBootstrappedRequest&,
                                                Sink<m1::Bootstrapped> sink) {
  CO_TRY_SET(const auto subscription, source_.subscribe({What::kProgress}));
  while (true) {
    CO_TRY_SET(const auto change, co_await subscription->next(call.token, 0));
    if (!change || !change->object.progress) continue;
    CO_TRY(co_await sink.send(*change->object.progress));
    if (change->object.progress->state() == kReadyState) co_return Result<void>();
  }
}

StateMonitors::Done StateMonitors::pools(rpc::Call& call, const m1::MonitorPoolsRequest& request,
                                         rpc::SharedAnswers<m1::PoolChange> answers) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  const std::set<std::string> wanted(request.pool().begin(), request.pool().end());
  CO_TRY_SET(const auto subscription, source_.subscribe({What::kPool}));
  const auto is_wanted = [&](const StateModel::Key& key, const StateModel::Object&) {
    return wanted.empty() || wanted.contains(key.id);
  };
  subscription->narrow(is_wanted);
  Patience patience(heartbeat);
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, patience.left()));
    if (!change) {
      m1::PoolChange beat;
      beat.set_rev(source_.rev());
      beat.set_heartbeat(true);
      CO_TRY(co_await answers.send(beat));
      patience.renew();
      continue;
    }
    if (!is_wanted(change->key, change->object)) drop_object(*change);
    if (change->event == Event::kNone && !change->synced) continue;
    CO_TRY(co_await answers.send(told(What::kPool, *change)));
    patience.renew();
  }
}

StateMonitors::Done StateMonitors::replicas(rpc::Call& call,
                                            const m1::MonitorReplicasRequest& request,
                                            rpc::SharedAnswers<m1::ReplicaChange> answers) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  const std::set<std::string> pools(request.pool().begin(), request.pool().end());
  const std::set<std::string> wanted = replica_keys(request.replica());
  CO_TRY_SET(const auto subscription, source_.subscribe({What::kReplica}));
  const auto is_wanted = [&](const StateModel::Key& key, const StateModel::Object& object) {
    return !object.replica || ((wanted.empty() || wanted.contains(key.id)) &&
                               (pools.empty() || pools.contains(object.replica->poolname())));
  };
  subscription->narrow(is_wanted);
  Patience patience(heartbeat);
  while (true) {
    CO_TRY_SET(auto change, co_await subscription->next(call.token, patience.left()));
    if (!change) {
      m1::ReplicaChange beat;
      beat.set_rev(source_.rev());
      beat.set_heartbeat(true);
      CO_TRY(co_await answers.send(beat));
      patience.renew();
      continue;
    }
    if (!is_wanted(change->key, change->object)) drop_object(*change);
    if (change->event == Event::kNone && !change->synced) continue;
    CO_TRY(co_await answers.send(told(What::kReplica, *change)));
    patience.renew();
  }
}

StateMonitors::Done StateMonitors::state(rpc::Call& call, const m1::MonitorStateRequest& request,
                                         Sink<m1::StateChange> sink) {
  CO_TRY_SET(const auto heartbeat, heartbeat_of(request.heartbeat_ms()));
  CO_TRY_SET(const auto subscription,
             source_.subscribe({What::kPool, What::kReplica, What::kProgress}));
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
