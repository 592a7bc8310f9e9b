// Why this file exists: see node.h.
#include "services/node.h"

#include <algorithm>
#include <array>

#include "rpc/condition.h"
#include "rpc/describe.h"
#include "rpc/wishes.h"

namespace capstan::services {

namespace n1 = node::v1;

namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

// By core::LogLevel.
constexpr std::array<std::string_view, 5> kLogLevels = {"trace", "debug", "info", "warn", "error"};

void add_part(n1::Health& health, std::string name, std::string trouble, std::string detail) {
  auto* part = health.add_parts();
  part->set_name(std::move(name));
  part->set_healthy(trouble.empty());
  part->set_detail(trouble.empty() ? std::move(detail) : std::move(trouble));
  if (!part->healthy()) health.set_healthy(false);
}

std::string_view phase_name(Engine::Phase phase) {
  switch (phase) {
    case Engine::Phase::kStarting: return "starting";
    case Engine::Phase::kReady: return "ready";
    case Engine::Phase::kDraining: return "stopping";
  }
  return "";
}

std::string trouble_of(const storage::Pool& pool) {
  const storage::PoolHealth health = pool.info().health;
  if (health.state == storage::PoolHealth::State::kFaulted) {
    return "faulted: " + health.reason +
           ": data can be read as far as the disk goes, changes are refused; check the disk, then "
           "export and import the pool";
  }
  if (health.state == storage::PoolHealth::State::kDegraded) {
    return "degraded: " + std::to_string(health.io_errors) +
           " failed reads or writes; it began with: " + health.reason +
           "; check the disk, then export and import the pool";
  }
  constexpr std::size_t kShown = 8;
  const auto faulted = pool.faulted();
  std::string damaged;
  for (std::size_t i = 0; i < std::min(faulted.size(), kShown); ++i) {
    damaged += (i == 0 ? "damaged volumes, which can only be destroyed: '" : ", '") +
               faulted[i].name + "' " + faulted[i].uuid.text() + " (" + faulted[i].reason + ")";
  }
  if (faulted.size() > kShown)
    damaged += " and " + std::to_string(faulted.size() - kShown) + " more";
  return damaged;
}

// What is wrong with a recorded pool that is not open, and what helps.
std::string why_absent(const Engine& engine, const std::string& name, const std::string& reason) {
  if (const auto busy = engine.restore().check(name); !busy) return busy.error().message;
  return "not open: " + reason +
         (engine.restore().expects(name)
              ? "; it is opened by itself once its disk is there; export it to forget it"
              : "; make its disk available and import it, or export it to forget it");
}

}  // namespace

NodeService::NodeService(Engine& engine, const rpc::Directory& directory, const NodeInfo& info,
                         const core::Metrics& metrics, core::ReactorMetrics& reactors,
                         ConfigValues config)
    : engine_(engine),
      directory_(directory),
      info_(info),
      metrics_(metrics),
      reactors_(reactors),
      config_(std::move(config)) {}

core::Task<Result<void>> NodeService::get_version(rpc::Call&, const n1::GetVersionRequest&,
                                                  n1::Version& out) {
  out.set_node_name(info_.node_name);
  out.set_version(info_.version);
  out.set_release(info_.release);
  info_.instance_uuid.append_to(*out.mutable_instance_uuid());
  out.mutable_started()->set_seconds(
      static_cast<std::int64_t>(info_.started_wall_ns / kNanosPerSecond));
  out.mutable_started()->set_nanos(
      static_cast<std::int32_t>(info_.started_wall_ns % kNanosPerSecond));
  out.set_uptime_ms((core::Reactor::current()->now() - info_.started) / core::kMillisecond);
  co_return Result<void>();
}

core::Task<Result<n1::Health>> NodeService::get_health(rpc::Call&, const n1::GetHealthRequest&) {
  n1::Health health;
  health.set_healthy(true);
  const bool ready = engine_.phase() == Engine::Phase::kReady;
  const std::string phase(phase_name(engine_.phase()));
  add_part(health, "node", ready ? "" : phase, phase);
  if (const auto stuck = engine_.state().trouble(); !stuck.empty()) {
    add_part(health, "node state", stuck, "");
  }
  for (const auto& [name, loaded] : engine_.pools()) {
    add_part(health, "pool " + name, trouble_of(*loaded.pool), "open on " + loaded.disk);
  }
  for (const auto& [name, reason] : engine_.unavailable()) {
    add_part(health, "pool " + name, why_absent(engine_, name, reason), "");
  }
  if (engine_.shares().enabled()) {
    add_part(health, "nvme target", engine_.shares().trouble(), engine_.shares().summary());
  }
  co_await reactors_.refresh();
  unsigned core = 0;
  for (const auto& counters : reactors_.counters()) {
    add_part(health, "reactor " + std::to_string(core++), "",
             std::to_string(counters.stalls) + " stalls");
  }
  co_return health;
}

core::Task<Result<n1::DescribeOperationsResponse>> NodeService::describe_operations(
    rpc::Call&, const n1::DescribeOperationsRequest& request) {
  n1::DescribeOperationsResponse out;
  for (const auto* operation : directory_.operations()) {
    if (!operation->full_name().starts_with(request.prefix())) continue;
    rpc::describe(*operation, *out.add_operations());
  }
  co_return out;
}

core::Task<Result<n1::Config>> NodeService::get_config(rpc::Call&, const n1::GetConfigRequest&) {
  n1::Config out;
  for (const auto& value : config_) *out.add_values() = value;
  co_return out;
}

core::Task<Result<n1::Logging>> NodeService::set_logging(rpc::Call& call,
                                                         const n1::SetLoggingRequest& request) {
  const n1::GetConfigRequest all;
  CO_TRY_SET(const auto config, co_await get_config(call, all));
  CO_TRY(rpc::check_condition(call, &config, "values"));  // nothing is waited for after this
  core::Log& log = engine_.log();
  const auto known = log.modules();
  for (const auto& [module, everything] : request.modules()) {  // all of it or nothing
    if (known.contains(module)) continue;
    std::string names;
    for (const auto& [name, value] : known) names += (names.empty() ? "" : ", ") + name;
    co_return fail_field("modules", "the log has no module '" + module + "'; there are " + names);
  }
  if (request.has_level()) {
    const auto level = std::ranges::find(kLogLevels, request.level());
    if (level == kLogLevels.end()) {
      co_return fail_field("level", "'" + request.level() +
                                        "' is no level of the log; use trace, debug, info, warn "
                                        "or error");
    }
    log.set_level(static_cast<core::LogLevel>(level - kLogLevels.begin()));
  }
  for (const auto& [module, everything] : request.modules()) log.set_module(module, everything);
  n1::Logging out;
  out.set_level(std::string(kLogLevels[static_cast<std::size_t>(log.level())]));
  for (const auto& [module, everything] : log.modules()) {
    (*out.mutable_modules())[module] = everything;
  }
  co_return out;
}

core::Task<Result<void>> NodeService::monitor_events(rpc::Call& call,
                                                     const n1::MonitorEventsRequest& request,
                                                     rpc::Sink<n1::Event> sink) {
  EventBus::Interest interest;
  interest.categories = {request.categories().begin(), request.categories().end()};
  interest.since = request.since();
  interest.abort_when_slow = rpc::wishes(call, rpc::kWishOverflow, "abort");
  CO_TRY_SET(const auto subscription, engine_.events().subscribe(std::move(interest)));
  while (true) {
    CO_TRY_SET(const auto event, co_await subscription->next(call.token));
    CO_TRY(co_await sink.send(event));
  }
}

core::Task<Result<n1::MetricsText>> NodeService::get_metrics(rpc::Call&,
                                                             const n1::GetMetricsRequest&) {
  co_await reactors_.refresh();
  n1::MetricsText out;
  out.set_text(metrics_.prometheus_text());
  co_return out;
}

Result<void> bind_node(rpc::Directory& directory, NodeService& service) {
  TRY(directory.declare(n1::Version::descriptor()->file()->FindServiceByName("NodeRpc")));
  using S = NodeService;
  const std::string prefix = "capstan.node.v1.NodeRpc/";
  TRY(rpc::bind_unary(directory, prefix + "GetVersion", service, &S::get_version));
  TRY(rpc::bind_unary(directory, prefix + "GetHealth", service, &S::get_health));
  TRY(rpc::bind_unary(directory, prefix + "DescribeOperations", service, &S::describe_operations));
  TRY(rpc::bind_unary(directory, prefix + "GetConfig", service, &S::get_config));
  TRY(rpc::bind_unary(directory, prefix + "SetLogging", service, &S::set_logging));
  TRY(rpc::bind_server_stream(directory, prefix + "MonitorEvents", service, &S::monitor_events));
  return rpc::bind_unary(directory, prefix + "GetMetrics", service, &S::get_metrics);
}

}  // namespace capstan::services
