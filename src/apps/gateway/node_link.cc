// Why this file exists: see node_link.h.
#include "apps/gateway/node_link.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "apps/gateway/gateway_limits.h"

namespace capstan::gateway {

namespace {

constexpr char kVersion[] = "capstan.node.v1.NodeRpc/GetVersion";
constexpr char kConfig[] = "capstan.node.v1.NodeRpc/GetConfig";
constexpr char kOperations[] = "capstan.node.v1.NodeRpc/DescribeOperations";
constexpr char kInfo[] = "mayastor.v1.HostRpc/GetMayastorInfo";
constexpr char kState[] = "capstan.monitor.v1.MonitorRpc/MonitorState";

client::ChannelOptions options_of(core::Address node) {
  client::ChannelOptions options;
  options.address = std::move(node);
  options.user_agent = "capstan-gateway";
  options.receive_message_bytes = limits::kGatewayModelBytes;
  options.backoff_max = limits::kGatewayBackoffNanosMax;
  return options;
}

// What to do about a node that cannot be asked.
std::string_view remedy_of(const Error& error) {
  switch (error.sys_errno) {
    case EACCES: return "run the gateway as the node's user or as root";
    case ENOENT:
    case ECONNREFUSED: return "start io-engine with this path as --gateway-socket";
    default: return "--node must be what the node got with --gateway-socket";
  }
}

bool serves(const node::v1::DescribeOperationsResponse& operations, std::string_view name) {
  return std::ranges::any_of(operations.operations(),
                             [&](const auto& one) { return one.full_name() == name; });
}

}  // namespace

NodeLink::NodeLink(core::Env& env, const core::Log& log, core::Address node)
    : env_(env),
      log_(log.child("node")),
      options_(options_of(std::move(node))),
      calls_(env, options_),
      feed_(env, options_),
      backoff_(limits::kGatewayBackoffNanosMin) {}

NodeLink::~NodeLink() = default;

std::string NodeLink::missing() const {
  if (mirror_.in_sync()) return {};
  return feed_.connected() ? "syncing" : "disconnected";
}

NodeLink::Lease NodeLink::stream_channel() {
  for (const auto& one : streams_) {
    if (one->streams < limits::kGatewayStreamsPerConnection) return Lease(*one);
  }
  streams_.push_back(std::make_unique<StreamChannel>(*this, env_, options_));
  return Lease(*streams_.back());
}

void NodeLink::StreamChannel::begin_stream() {
  ++streams;
  idle.disarm();
}

void NodeLink::StreamChannel::end_stream() {
  if (--streams != 0) return;
  auto& reactor = *core::Reactor::current();
  idle.arm_at(reactor, reactor.now() + limits::kGatewayStreamIdleNanos);
}

// The first one stays: the next stream need not wait for a connection.
void NodeLink::close_idle(StreamChannel& channel) {
  const auto found =
      std::ranges::find(streams_, &channel, [](const auto& one) { return one.get(); });
  if (found == streams_.begin() || found == streams_.end()) return;
  scope_.spawn(close_channel(std::move(*found)));
  streams_.erase(found);
}

core::Task<void> NodeLink::close_channel(std::unique_ptr<StreamChannel> channel) {
  co_await core::yield();  // its timer is what we are called from
  co_await channel->channel.close();
}

// --- what is asked ------------------------------------------------------------------------------

core::Task<Result<NodeFacts>> NodeLink::ask() {
  NodeFacts facts;
  client::CallOptions options;
  options.deadline = feed_.deadline_in(limits::kGatewayBootstrapNanos);
  options.token = closing_.token();
  CO_TRY(co_await feed_.unary(kVersion, node::v1::GetVersionRequest(), facts.version, options));
  CO_TRY(co_await feed_.unary(kConfig, node::v1::GetConfigRequest(), facts.config, options));
  CO_TRY(co_await feed_.unary(kOperations, node::v1::DescribeOperationsRequest(), facts.operations,
                              options));
  if (serves(facts.operations, kInfo)) {
    CO_TRY(co_await feed_.unary(kInfo, google::protobuf::Empty(), facts.info, options));
  }
  facts.asked = core::Reactor::current()->now();
  co_return facts;
}

core::Task<Result<void>> NodeLink::bootstrap(core::CancelToken stop) {
  const core::CancelCallback on_stop(stop, [this] { closing_.fire(); });
  core::Nanos pause = limits::kGatewayBackoffNanosMin;
  while (true) {
    feed_.retry_now();
    auto facts = co_await ask();
    CO_TRY(closing_.token().check());
    if (facts) {
      facts_ = *std::move(facts);
      log_.info("node_found", {{"address", options_.address.text()},
                               {"node", facts_.version.node_name()},
                               {"version", facts_.version.version()},
                               {"operations", facts_.operations.operations_size()}});
      co_return Result<void>();
    }
    log_.warn("node_not_found", {{"error", facts.error().text()},
                                 {"remedy", remedy_of(facts.error())},
                                 {"again_in_ms", pause / core::kMillisecond}});
    CO_TRY(co_await core::sleep_for(pause, closing_.token()));
    pause = std::min<core::Nanos>(pause * 2, limits::kGatewayBackoffNanosMax);
  }
}

core::Task<Result<void>> NodeLink::renew(const std::function<void()>* outdated) {
  client::CallOptions options;
  options.deadline = feed_.deadline_in(limits::kGatewayBootstrapNanos);
  options.token = closing_.token();
  node::v1::Version version;
  feed_.retry_now();
  CO_TRY(co_await feed_.unary(kVersion, node::v1::GetVersionRequest(), version, options));
  calls_.retry_now();
  for (const auto& one : streams_) one->channel.retry_now();
  if (version.instance_uuid() == facts_.version.instance_uuid()) co_return Result<void>();
  CO_TRY_SET(NodeFacts facts, co_await ask());
  const bool same = facts.operations.SerializeAsString() == facts_.operations.SerializeAsString();
  log_.info("node_restarted", {{"version", facts.version.version()}, {"same_operations", same}});
  if (!same) {
    (*outdated)();
    co_return fail(Code::kFailedPrecondition, "the node serves other operations than before");
  }
  facts_ = std::move(facts);
  co_return Result<void>();
}

// --- what is followed ---------------------------------------------------------------------------

core::Task<void> NodeLink::run(std::function<void()> outdated) {
  while (!closing_.fired()) {
    const auto ended = co_await follow(&outdated);
    const Error why =
        ended ? Error{Code::kUnavailable, 0, "the node ended the stream", {}} : ended.error();
    mirror_.lose(why);
    if (closing_.fired()) break;
    ++lost_;
    log_.warn("link_lost", {{"error", why.text()}, {"again_in_ms", backoff_ / core::kMillisecond}});
    const auto slept = co_await core::sleep_for(backoff_, closing_.token());
    if (!slept) break;
    backoff_ = std::min<core::Nanos>(backoff_ * 2, limits::kGatewayBackoffNanosMax);
  }
}

core::Task<Result<void>> NodeLink::follow(const std::function<void()>* outdated) {
  CO_TRY(co_await renew(outdated));
  co_return co_await take_changes();
}

core::Task<Result<void>> NodeLink::take_changes() {
  monitor::v1::MonitorStateRequest request;
  request.set_since(mirror_.since());
  request.set_heartbeat_ms(limits::kGatewayHeartbeatMs);
  client::CallOptions options;
  options.token = closing_.token();
  CO_TRY_SET(
      auto call,
      (co_await feed_.server_stream<monitor::v1::MonitorStateRequest, monitor::v1::StateChange>(
          kState, request, options)));
  bool silent = false;
  core::Timer silence([&] {
    silent = true;
    call.cancel();
  });
  auto& reactor = *core::Reactor::current();
  while (true) {
    silence.arm_at(reactor, reactor.now() + limits::kGatewaySilenceNanos);
    monitor::v1::StateChange change;
    auto got = co_await call.next(change);
    silence.disarm();
    if (silent) co_return fail(Code::kUnavailable, "the node has been silent for too long");
    CO_TRY(got);
    if (!*got) co_return fail(Code::kUnavailable, "the node ended the stream of its state");
    const bool was_in_sync = mirror_.in_sync();
    CO_TRY(mirror_.apply(change));
    if (!was_in_sync) report_sync();
    backoff_ = limits::kGatewayBackoffNanosMin;
  }
}

void NodeLink::report_sync() {
  ++synced_;
  log_.info("synchronised",
            {{"rev", mirror_.revision()}, {"objects", mirror_.model().objects().size()}});
}

core::Task<void> NodeLink::close() {
  closing_.fire();
  co_await feed_.close();
  co_await calls_.close();
  for (const auto& one : std::exchange(streams_, {})) {
    one->idle.disarm();
    co_await one->channel.close();
  }
  co_await scope_.join();
}

void NodeLink::publish(core::Metrics& metrics) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    handles_.push_back(metrics.add(Kind::kCounter, name, help, {},
                                   [value] { return static_cast<double>(*value); }));
  };
  counter("gateway_link_lost_total", "Times the gateway stopped following the node", &lost_);
  counter("gateway_synchronised_total", "Times the mirror came in sync", &synced_);
  handles_.push_back(metrics.add(Kind::kGauge, "gateway_in_sync", "Whether the mirror is shown", {},
                                 [this] { return mirror_.in_sync() ? 1.0 : 0.0; }));
  handles_.push_back(
      metrics.add(Kind::kGauge, "gateway_watchers", "Clients that watch the mirror", {},
                  [this] { return static_cast<double>(mirror_.model().watchers()); }));
  handles_.push_back(metrics.add(Kind::kGauge, "gateway_stream_connections",
                                 "Connections to the node for streams", {},
                                 [this] { return static_cast<double>(stream_connections()); }));
}

}  // namespace capstan::gateway
