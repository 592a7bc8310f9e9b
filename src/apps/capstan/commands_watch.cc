// Why this file exists: the `capstan watch` commands: the monitors of a node (http-rpc section
// 20.5), followed for as long as somebody looks. When the connection or the node goes away it is
// said on standard error, with the remark what that means for what was shown, and tried again with
// growing pauses; what can never work, or was never reached, is an error at once.
#include <cstdio>

#include "apps/capstan/commands.h"
#include "apps/capstan/connect.h"
#include "apps/capstan/session.h"
#include "apps/capstan/shown.h"
#include "apps/capstan/store_name.h"
#include "base/duration_text.h"
#include "base/visible.h"
#include "monitor/monitor.pb.h"

namespace capstan::apps {
namespace {

namespace m1 = ::capstan::monitor::v1;
namespace v1 = ::mayastor::v1;

constexpr core::Nanos kPauseMin = 100 * core::kMillisecond, kPauseMax = 5 * core::kSecond;

// Monitors of state begin with everything that is there; events that nobody heard are gone.
// Progress is state that is over when the node ends it.
enum class Kind { kState, kEvents, kProgress };

bool may_pass(Code code) {
  return code == Code::kUnavailable || code == Code::kAborted || code == Code::kDataLoss ||
         code == Code::kCancelled || code == Code::kDeadlineExceeded;
}

void say(const Session& session, const std::string& sentence) {
  if (!session.quiet()) std::fprintf(stderr, "%s\n", visible(sentence).c_str());
}

// What is followed and how an element is shown.
template <class Request, class Response>
struct Watched {
  const char* method;
  Kind kind;
  Request request;
  Result<void> (*print)(Printer&, const Response&);
};

// --timeout for the node to begin: what follows takes as long as it takes.
class Patience {
 public:
  explicit Patience(const Session& session)
      : session_(session),
        deadline_(session.within_timeout().deadline),
        end_(session.token()),
        timer_([this] { end_.fire(Code::kDeadlineExceeded); }) {
    if (deadline_ != 0) timer_.arm_at(*core::Reactor::current(), deadline_);
  }
  void begun() { timer_.disarm(); }
  client::CallOptions options() const {
    client::CallOptions options;
    options.token = end_.token();
    return options;
  }
  Error named(Error error) const {
    if (end_.token().reason() == Code::kDeadlineExceeded) error.code = Code::kDeadlineExceeded;
    return session_.timed_out(std::move(error), deadline_);
  }

 private:
  const Session& session_;
  core::Nanos deadline_;
  core::CancelSource end_;
  core::Timer timer_;
};

// Of events the first may never come, and on some wires nothing tells before it that the node is
// there. A gateway passes this question on.
Done ask_whether_there(client::Remote& remote, const Patience& patience) {
  node::v1::Health health;
  const node::v1::GetHealthRequest request;
  auto done = co_await remote.unary("capstan.node.v1.NodeRpc/GetHealth", request, health,
                                    patience.options());
  const bool silent = !done && may_pass(done.error().code);
  if (silent) co_return std::unexpected(patience.named(std::move(done).error()));
  co_return Result<void>();  // who may not ask this may still watch
}

template <class Request, class Response>
Done follow_once(Session& session, client::Remote& remote, const Watched<Request, Response>& what,
                 bool& reached, bool& lost) {
  Patience patience(session);
  const bool events = what.kind == Kind::kEvents;
  if (events) CO_TRY(co_await ask_whether_there(remote, patience));
  auto opened = co_await remote.open(what.method, &what.request, patience.options());
  if (!opened) co_return std::unexpected(patience.named(std::move(opened).error()));
  const auto call = *std::move(opened);
  if (events) {
    patience.begun();
    reached = true;
    if (std::exchange(lost, false)) {
      say(session, "connected again: what happened meanwhile is lost");
    }
  }
  Response element;
  while (true) {
    auto more = co_await call->next(element);
    if (!more) co_return std::unexpected(patience.named(std::move(more).error()));
    if (!*more && what.kind == Kind::kProgress) co_return Result<void>();
    if (!*more) co_return fail(Code::kUnavailable, "the node ended it");
    patience.begun();
    reached = true;
    session.heard();
    if (std::exchange(lost, false)) say(session, "in sync again: all that there is follows");
    CO_TRY(what.print(session.out(), element));
    CO_TRY(session.out().flush());
  }
}

template <class Request, class Response>
Done follow(Session& session, Watched<Request, Response> what) {
  if (!session.streams()) {
    co_return fail(Code::kUnimplemented,
                   "this wire has no streams. Watch over gRPC, HTTP or Muxio: --bind http://…");
  }
  auto& reactor = *core::Reactor::current();
  core::Nanos pause = kPauseMin;
  bool reached = false, lost = false;
  while (true) {
    const auto remote = session.connect_again();
    const core::Nanos begun = reactor.now();
    auto ended = co_await follow_once(session, *remote, what, reached, lost);
    co_await remote->close();
    if (ended || session.token().fired()) co_return Result<void>();  // interrupted: the usual end
    if (!reached || !may_pass(ended.error().code)) co_return ended;
    if (!std::exchange(lost, true)) {
      say(session, "lost sync: " + ended.error().text() + "; trying again until interrupted");
    }
    // A way that breaks as soon as it is there is no way yet.
    if (reactor.now() - begun > kPauseMax) pause = kPauseMin;
    if (!co_await core::sleep_for(pause, session.token())) co_return Result<void>();
    pause = std::min(2 * pause, kPauseMax);
  }
}

Result<void> print_progress(Printer& out, const m1::Bootstrapped& progress) {
  if (out.json()) return out.message(progress, true);
  out.line(visible(progress.state()) + "  " + std::to_string(progress.imported_pools()) + " of " +
           std::to_string(progress.total_pools()) + " pools open");
  return {};
}

Result<void> print_pool(Printer& out, const m1::PoolChange& change) {
  if (out.json()) return out.message(change, true);
  if (change.heartbeat()) return {};
  if (!change.has_pool()) return out.remark("No pools found"), Result<void>();
  const auto& pool = change.pool();
  out.line(change.event() + "  " + visible(pool.name()) + "  " +
           std::string(state_word(pool.state())) + "  " + out.size(pool.used()) + " of " +
           out.size(pool.capacity()) + " used (" + percent(pool.used(), pool.capacity()) + ")");
  return {};
}

Result<void> print_replica(Printer& out, const m1::ReplicaChange& change) {
  if (out.json()) return out.message(change, true);
  if (change.heartbeat()) return {};
  if (!change.has_replica()) return out.remark("No replicas found"), Result<void>();
  const auto& replica = change.replica();
  out.line(change.event() + "  " + visible(replica.name()) + "  " + replica.uuid() + "  in " +
           visible(replica.poolname()) + "  " + out.size(replica.size()) +
           (replica.thin() ? "  thin" : "") + "  " + visible(replica.uri()));
  return {};
}

Result<void> print_state(Printer& out, const m1::StateChange& change) {
  if (out.json()) return out.message(change, true);
  if (change.heartbeat()) return {};
  std::string line = std::to_string(change.epoch()) + "-" + std::to_string(change.rev()) +
                     (change.full() ? "  everything" : "  changed");
  for (const auto& pool : change.pools()) line += "  pool " + visible(pool.name());
  for (const auto& replica : change.replicas()) line += "  replica " + visible(replica.name());
  for (const auto& name : change.removed_pools()) line += "  gone: pool " + visible(name);
  for (const auto& uuid : change.removed_replicas()) line += "  gone: replica " + uuid;
  out.line(line);
  return {};
}

void print_counters(Printer& out, const std::string& when, const char* what,
                    const v1::IoStats& stats) {
  out.line(when + "  " + what + " " + visible(stats.name()) + "  read " +
           std::to_string(stats.num_read_ops()) + "/" + out.size(stats.bytes_read()) +
           "  written " + std::to_string(stats.num_write_ops()) + "/" +
           out.size(stats.bytes_written()) + "  unmapped " + std::to_string(stats.num_unmap_ops()) +
           "/" + out.size(stats.bytes_unmapped()));
}

Result<void> print_stats(Printer& out, const m1::StatsSample& sample) {
  if (out.json()) return out.message(sample, true);
  google::protobuf::Timestamp time;
  time.set_seconds(static_cast<std::int64_t>(sample.time_ms() / 1000));
  time.set_nanos(static_cast<std::int32_t>(sample.time_ms() % 1000 * 1'000'000));
  const std::string when = time_text(time, true);
  for (const auto& pool : sample.pools()) print_counters(out, when, "pool", pool);
  for (const auto& replica : sample.replicas()) {
    print_counters(out, when, "replica", replica.stats());
  }
  return {};
}

}  // namespace

Done watch_bootstrapped(Session& session, Arguments) {
  return follow(session, Watched<m1::MonitorBootstrappedRequest, m1::Bootstrapped>{
                             "capstan.monitor.v1.MonitorRpc/MonitorBootstrapped",
                             Kind::kProgress,
                             {},
                             print_progress});
}

Done watch_pools(Session& session, Arguments arguments) {
  m1::MonitorPoolsRequest request;
  for (const auto& name : arguments.list("POOL")) request.add_pool(name);
  return follow(session, Watched<m1::MonitorPoolsRequest, m1::PoolChange>{
                             "capstan.monitor.v1.MonitorRpc/MonitorPools", Kind::kState,
                             std::move(request), print_pool});
}

Done watch_replicas(Session& session, Arguments arguments) {
  m1::MonitorReplicasRequest request;
  for (const auto& uuid : arguments.list("REPLICA")) request.add_replica(uuid);
  for (const auto& name : arguments.list("pool")) request.add_pool(name);
  return follow(session, Watched<m1::MonitorReplicasRequest, m1::ReplicaChange>{
                             "capstan.monitor.v1.MonitorRpc/MonitorReplicas", Kind::kState,
                             std::move(request), print_replica});
}

Done watch_state(Session& session, Arguments) {
  return follow(session,
                Watched<m1::MonitorStateRequest, m1::StateChange>{
                    "capstan.monitor.v1.MonitorRpc/MonitorState", Kind::kState, {}, print_state});
}

Done watch_stats(Session& session, Arguments arguments) {
  m1::MonitorStatsRequest request;
  CO_TRY_SET(const core::Nanos interval, Session::usage(interval_of(arguments)));
  request.set_interval_ms(static_cast<std::uint32_t>(interval / core::kMillisecond));
  for (const auto& what : arguments.list("WHAT")) request.add_what(what);
  co_return co_await follow(session, Watched<m1::MonitorStatsRequest, m1::StatsSample>{
                                         "capstan.monitor.v1.MonitorRpc/MonitorStats", Kind::kState,
                                         std::move(request), print_stats});
}

Done watch_events(Session& session, Arguments arguments) {
  node::v1::MonitorEventsRequest request;
  for (const auto& category : arguments.list("CATEGORY")) request.add_categories(category);
  return follow(session, Watched<node::v1::MonitorEventsRequest, node::v1::Event>{
                             "capstan.node.v1.NodeRpc/MonitorEvents", Kind::kEvents,
                             std::move(request), print_event});
}

Done watch_kv(Session& session, Arguments arguments) {
  datastore::v1::WatchRequest request;
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  co_return co_await follow(session, Watched<datastore::v1::WatchRequest, datastore::v1::Change>{
                                         "capstan.datastore.v1.DataStoreRpc/Watch", Kind::kEvents,
                                         std::move(request), print_change});
}

}  // namespace capstan::apps
