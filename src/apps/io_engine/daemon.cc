// Why this file exists: see daemon.h.
#include "apps/io_engine/daemon.h"

#include <cerrno>

#include "capstan_version.h"
#include "core/os_file.h"
#include "rpc/interceptors/concurrency.h"
#include "rpc/interceptors/deadline.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "services/absent.h"
#include "services/pool_ops.h"

namespace capstan::apps {
namespace {

constexpr core::Nanos kPatience = 10 * core::kSecond;  // for calls in flight at shutdown

services::NodeInfo node_info(core::Env& env, const NodeConfig& config) {
  services::NodeInfo info;
  info.node_name = config.node_name;
  info.version = CAPSTAN_VERSION;
  info.release = CAPSTAN_RELEASE;
  info.instance_uuid = env.random_uuid();
  info.started_wall_ns = env.wall_clock_ns();
  info.started = env.reactor(0).read_clock();
  info.grpc_endpoint = config.listen.text();
  // Only an explicit name counts for the NQN that others see (io-engine-behaviour section 1.1).
  if (config.host_nqn)
    info.host_nqn = *config.host_nqn;
  else if (config.registration_name) {
    info.host_nqn = "nqn.2019-05.io.openebs:node-name:" + *config.registration_name;
  }
  info.registers = config.registration_uri.has_value();
  info.api_v0 = config.api_v0;
  info.api_v1 = config.api_v1;
  info.ana = config.ana;
  info.lvm = config.lvm;
  info.snapshot_rebuild = config.snapshot_rebuild;
  info.rdma = config.rdma;
  return info;
}

services::NodeService::ConfigValues config_values(const NodeConfig& config) {
  services::NodeService::ConfigValues values;
  for (const ConfigRow& row : config.rows) {
    node::v1::Config::Value& value = values.emplace_back();
    value.set_name(row.name);
    value.set_value(row.value);
    value.set_source(std::string(source_name(row.source)));
    value.set_help(row.help);
    value.set_restart_needed(row.restart_needed);
  }
  return values;
}

}  // namespace

Daemon::Daemon(core::Env& env, const core::Log& log, const NodeConfig& config)
    : env_(env),
      log_(log),
      config_(config),
      info_(node_info(env, config)),
      engine_(env, log, config.state_dir),
      pools_(engine_),
      replicas_(engine_),
      bdevs_(engine_),
      host_(info_),
      node_(engine_, directory_, info_, metrics_, config_values(config)),
      images_(engine_),
      health_(engine_, directory_),
      reflection_(directory_) {}

Result<void> Daemon::bind_services() {
  if (config_.api_v1) {
    TRY(services::bind_pool_v1(directory_, pools_));
    TRY(services::bind_replica_v1(directory_, replicas_));
    TRY(services::bind_bdev_v1(directory_, bdevs_));
    TRY(services::bind_host_v1(directory_, host_));
  }
  TRY(services::bind_node(directory_, node_));
  TRY(services::bind_image(directory_, images_));
  TRY(services::bind_health(directory_, health_));
  TRY(services::bind_reflection(directory_, reflection_));
  TRY(services::declare_absent(directory_, config_.api_v0));
  return directory_.check_complete();
}

Result<void> Daemon::assemble() {
  TRY(bind_services());
  directory_.add_interceptor(std::make_unique<rpc::LogInterceptor>(log_.child("call")));
  directory_.add_interceptor(std::make_unique<rpc::MetricsInterceptor>(metrics_));
  directory_.add_interceptor(std::make_unique<rpc::DeadlineInterceptor>());
  directory_.add_interceptor(std::make_unique<rpc::ConcurrencyInterceptor>());
  server_ = std::make_unique<wire::GrpcServer>(env_, directory_, log_, wire::ServerOptions());
  server_->publish(metrics_);
  publish_reactor();
  return {};
}

void Daemon::publish_reactor() {
  using Counters = core::Reactor::Counters;
  const std::tuple<const char*, const char*, std::uint64_t Counters::*> counters[] = {
      {"reactor_turns_total", "Turns of the loop", &Counters::turns},
      {"reactor_resumed_total", "Coroutines resumed", &Counters::resumed},
      {"reactor_sleeps_total", "Times the core went to sleep", &Counters::sleeps},
      {"reactor_spins_total", "Times the core looked for work before sleeping", &Counters::spins},
      {"reactor_spin_hits_total", "Times that found work", &Counters::spin_hits},
      {"reactor_stalls_total", "Turns that held the core too long", &Counters::stalls},
  };
  const core::Reactor* reactor = &env_.reactor(0);
  const core::Labels labels = {{"core", "0"}};
  for (const auto& [name, help, field] : counters) {
    reactor_metrics_.push_back(
        metrics_.add(core::Metrics::Kind::kCounter, name, help, labels,
                     [reactor, field] { return static_cast<double>(reactor->counters().*field); }));
  }
  reactor_metrics_.push_back(metrics_.add(
      core::Metrics::Kind::kCounter, "reactor_busy_seconds_total", "Time spent working", labels,
      [reactor] { return static_cast<double>(reactor->counters().busy_ns) / 1e9; }));
}

core::Task<void> Daemon::open_pool_file() {
  unsigned errors = 0;
  for (const PoolFileEntry& entry : config_.pools) {
    if (engine_.find_pool(entry.name)) continue;  // restored from the node's state
    services::PoolArguments arguments;
    arguments.name = entry.name;
    arguments.disks = entry.disks;
    Result<void> opened;
    if (entry.lvm) {
      opened = fail(Code::kFailedPrecondition, "pools on LVM are not supported");
    } else {
      const auto guard = co_await engine_.pool_calls().lock();
      auto pool = co_await services::create_pool(engine_, std::move(arguments));
      if (!pool) opened = std::unexpected(std::move(pool).error());
    }
    if (opened) continue;
    ++errors;
    log_.error("pool_not_opened", {{"pool", entry.name}, {"error", opened.error().text()}});
  }
  if (errors == 0) co_return;
  log_.error("pool_file_incomplete", {{"message", "Not all pools were imported successfully (" +
                                                      std::to_string(errors) + " errors)"}});
}

Result<core::Address> Daemon::listen() {
  auto bound = server_->listen(config_.listen);
  if (!bound && config_.listen_is_default &&
      (bound.error().sys_errno == EAFNOSUPPORT || bound.error().sys_errno == EADDRNOTAVAIL)) {
    log_.warn("no_ipv6", {{"instead", "0.0.0.0"}});
    bound = server_->listen(core::Address::tcp("0.0.0.0", config_.listen.port));
  }
  return bound;
}

core::Task<Result<void>> Daemon::start() {
  if (config_.ptpl_dir) {
    if (auto made = core::make_directories_now(*config_.ptpl_dir); !made) {
      log_.warn("no_ptpl_dir", {{"error", made.error().text()}});
    }
  }
  // With a control plane it decides which pools to open.
  CO_TRY(co_await engine_.start(!config_.registration_uri));
  co_await open_pool_file();
  CO_TRY_SET(const core::Address address, listen());
  info_.grpc_endpoint = address.text();
  scope_.spawn(server_->run());  // listen() has logged the address
  co_return Result<void>();
}

core::Task<void> Daemon::stop() {
  server_->stop(kPatience);
  co_await scope_.join();
  co_await engine_.stop();
}

}  // namespace capstan::apps
