// Why this file exists: see gate.h.
#include "apps/serving/gate.h"

#include <utility>

#include "rpc/access_limits.h"
#include "rpc/interceptors/concurrency.h"
#include "rpc/interceptors/deadline.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "rpc/interceptors/rate_limit.h"
#include "rpc/interceptors/trace.h"

namespace capstan::apps {

Gate::Gate(core::Env& env, const core::Log& log, const GateConfig& config, core::Metrics& metrics)
    : env_(env),
      log_(log.child("gate")),
      config_(config),
      metrics_(metrics),
      acl_(config.acl),
      refused_(log_.child("call"), metrics) {}

void Gate::add_to(rpc::Directory& directory, std::vector<rpc::AccessRule> rules,
                  rpc::SpanOrigin origin, Extras extras) {
  const auto clock = [env = &env_] { return env->wall_clock_ns(); };
  const auto add_outer = [&](std::unique_ptr<rpc::Interceptor> interceptor) {
    refused_.add(*interceptor);
    directory.add_interceptor(std::move(interceptor));
  };
  add_outer(std::make_unique<rpc::LogInterceptor>(log_.child("call")));
  if (config_.trace) {
    std::array<std::uint8_t, 8> seed;
    env_.fill_random(seed);
    add_outer(std::make_unique<rpc::TraceInterceptor>(spans_, config_.trace_ratio, clock,
                                                      load_le<std::uint64_t>(seed.data())));
    exporter_ =
        std::make_unique<SpanExporter>(env_, log_, *config_.trace, std::move(origin), spans_);
    const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
      handles_.push_back(metrics_.add(core::Metrics::Kind::kCounter, name, help, {},
                                      [value] { return static_cast<double>(*value); }));
    };
    counter("spans_dropped_total", "Spans the collector did not take in time", &spans_.dropped());
    counter("spans_exported_total", "Spans given to the collector", &spans_.exported());
  } else {
    add_outer(std::make_unique<rpc::TraceInterceptor>());
  }
  add_outer(std::make_unique<rpc::MetricsInterceptor>(metrics_));
  auto authenticate = std::make_unique<rpc::AuthenticateInterceptor>(config_.keys, clock);
  authenticate_ = authenticate.get();
  directory.add_interceptor(std::move(authenticate));
  auto access = std::make_unique<rpc::AccessInterceptor>(std::move(rules), &acl_);
  access_ = access.get();
  directory.add_interceptor(std::move(access));
  if (config_.rates.any()) {
    auto limiter = std::make_unique<rpc::RateLimitInterceptor>(config_.rates, &acl_);
    limiter->publish(metrics_);
    directory.add_interceptor(std::move(limiter));
  }
  directory.add_interceptor(std::make_unique<rpc::DeadlineInterceptor>());
  directory.add_interceptor(std::make_unique<rpc::ConcurrencyInterceptor>(
      limits::kCallsInFlight, config_.streams_max + extras.spare_streams, &acl_));
  if (extras.newest) {
    directory.add_interceptor(std::make_unique<rpc::RevisionInterceptor>(std::move(extras.newest)));
  }
}

Result<void> Gate::authenticate(const core::PeerInfo& peer, std::string_view authorization) {
  TRY(authenticate_->check(peer, authorization));
  return {};
}

void Gate::log_policy(const std::string& address, bool tokens) {
  log_.info("access_list", {{"address", address},
                            {"http", acl_.policy(address, rpc::kHttpWire).type_name()},
                            {"other", acl_.policy(address, "grpc").type_name()},
                            {"tokens", tokens}});
}

void Gate::listening(const core::Address& address, bool http) {
  const std::string text = address.text();
  if (http) acl_.add_http_listener(text);
  log_policy(text, config_.keys.has_value());
}

void Gate::listening_metrics(const core::Address& address) {
  const std::string text = address.text();
  acl_.add_metrics_listener(text);
  if (authenticate_) authenticate_->exempt(text);
  log_policy(text, false);
}

void Gate::listening_trusted(const core::Address& address) {
  acl_.add_trusted_listener(address.text());
  log_policy(address.text(), false);
}

core::Task<void> Gate::run() {
  if (exporter_) co_await exporter_->run();
}

void Gate::stop() {
  if (exporter_) exporter_->stop();
}

core::Task<Result<void>> Gate::reload_acl() {
  CO_TRY_SET(const std::string text,
             co_await env_.files().read_file(config_.acl_file, rpc::access_limits::kAclFileBytes));
  // The resolver blocks, so names are those of the start.
  const auto known = [this](const std::string& host) -> Result<std::vector<std::string>> {
    const auto found = config_.names.find(host);
    if (found != config_.names.end()) return found->second;
    return fail(
        Code::kFailedPrecondition,
        "the name '" + host + "' was not in the list when the node started; write its address");
  };
  CO_TRY_SET(auto table, make_acl(text, config_.allow_all, known));
  acl_.replace({std::move(table), config_.acl.secure});
  co_return Result<void>();
}

core::Task<Result<void>> Gate::reload_keys() {
  CO_TRY_SET(const std::string text,
             co_await env_.files().read_file(config_.jwk_file, rpc::access_limits::kJwkFileBytes));
  CO_TRY_SET(auto keys, rpc::JwkSet::parse(text));
  authenticate_->replace(std::move(keys));
  co_return Result<void>();
}

void Gate::report(std::string_view what, const std::string& file, const Result<void>& result) {
  if (result) {
    log_.info("reloaded", {{"what", what}, {"file", file}});
  } else {
    log_.error("not_reloaded", {{"what", what},
                                {"file", file},
                                {"error", result.error().text()},
                                {"instead", "what was read before stays in force"}});
  }
}

core::Task<void> Gate::reload() {
  if (!config_.acl_file.empty()) report("access list", config_.acl_file, co_await reload_acl());
  if (!config_.jwk_file.empty()) report("keys", config_.jwk_file, co_await reload_keys());
}

}  // namespace capstan::apps
