// Why this file exists: see daemon.h.
#include "apps/io_engine/daemon.h"

#include <algorithm>
#include <cerrno>

#include "apps/io_engine/pool_file_open.h"
#include "capstan_version.h"
#include "core/os_file.h"
#include "core/os_thread.h"
#include "services/absent.h"

namespace capstan::apps {
namespace {

// A control plane makes use of the features that a node announces, so a node announces what it was
// asked for only as far as this build has it.
constexpr bool kHasAna = false, kHasLvm = false, kHasSnapshotRebuild = false, kHasRdma = false;

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
    info.host_nqn = node_nqn(*config.registration_name);
  }
  info.cpus = config.cpus;
  info.registers = config.registration_uri.has_value();
  info.api_v0 = config.api_v0;
  info.api_v1 = config.api_v1;
  info.ana = kHasAna && config.ana;
  info.lvm = kHasLvm && config.lvm;
  info.snapshot_rebuild = kHasSnapshotRebuild && config.snapshot_rebuild;
  info.rdma = kHasRdma && config.rdma;
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
      reactors_(env, metrics_),
      info_(node_info(env, config)),
      engine_(env, log, config.state_dir),
      gate_(env, log, config.gate, metrics_),
      pools_(engine_),
      replicas_(engine_),
      bdevs_(engine_),
      host_(info_, engine_),
      mayastor_v0_(engine_, info_, host_),
      bdevs_v0_(bdevs_),
      stats_(engine_),
      rest_v0_(engine_, info_, pools_, host_, directory_, config.rpcs_allowed),
      monitors_(engine_),
      node_(engine_, directory_, info_, metrics_, reactors_, config_values(config)),
      images_(engine_),
      stores_(engine_, metrics_),
      health_(engine_, directory_),
      reflection_(directory_),
      spdk_(engine_, log_, info_, directory_, config.rpcs_allowed, spdk_options()),
      jsonrpc_(env, log, directory_, config, [this] { return start_engine(); }),
      gateways_(log, config) {}

services::SpdkOptions Daemon::spdk_options() {
  services::SpdkOptions options;
  options.signal = &core::signal_self;
  if (config_.config_file.empty()) return options;
  options.write_config = [this] {
    return env_.files().replace_file(config_.config_file, config_.engine.yaml());
  };
  return options;
}

Result<void> Daemon::bind_services() {
  if (config_.api_v1) {
    TRY(services::bind_pool_v1(directory_, pools_));
    TRY(services::bind_replica_v1(directory_, replicas_));
    TRY(services::bind_bdev_v1(directory_, bdevs_));
    TRY(services::bind_host_v1(directory_, host_));
    TRY(services::bind_stats_v1(directory_, stats_));
  }
  TRY(services::bind_rest_v0(directory_, rest_v0_));
  TRY(services::bind_monitor(directory_, monitors_));
  if (config_.api_v0) TRY(services::bind_mayastor_v0(directory_, mayastor_v0_, bdevs_v0_));
  TRY(services::bind_node(directory_, node_));
  TRY(services::bind_image(directory_, images_));
  TRY(services::bind_datastore(directory_, stores_));
  TRY(services::bind_health(directory_, health_));
  TRY(services::bind_reflection(directory_, reflection_));
  TRY(spdk_.bind(directory_, config_.api_v1, config_.api_v0));
  TRY(jsonrpc_.bind(directory_));
  TRY(services::declare_absent(directory_, config_.api_v0, config_.api_v1));
  return directory_.check_complete();
}

Result<void> Daemon::assemble() {
  services::ShareSettings shares = config_.shares;
  shares.reservation_directory = config_.ptpl_dir.value_or("");
  shares.ana = config_.ana;
  shares.firmware = CAPSTAN_RELEASE;
  engine_.shares().configure(std::move(shares));
  engine_.remotes().configure(
      {.host_nqn = config_.initiator_nqn, .host_id = config_.host_id, .defaults = config_.remotes});
  engine_.shares().targets().publish(metrics_);
  TRY(bind_services());
  gate_.add_to(directory_, config_.access, {"io-engine", CAPSTAN_VERSION, config_.node_name},
               {.newest = [this] { return monitors_.feed().settle(); }});
  TRY_SET(http_, HttpWire::create(directory_, log_, config_.http, gate_,
                                  {.title = "Capstan storage node"}));
  http_->server().publish(metrics_);
  wire::ServerOptions grpc;
  grpc.guest = http_->guest();
  grpc.refused = &gate_.refused();
  grpc.connection.max_age = config_.grpc_max_age;
  grpc.connections_max = config_.connections_max;
  grpc.gateway_message_bytes = limits::gateway_message_bytes(config_.http.body_bytes);
  server_ = std::make_unique<wire::GrpcServer>(env_, directory_, log_, grpc);
  server_->publish(metrics_);
  TRY_SET(muxio_methods_, wire::muxio::MethodTable::make(directory_));
  wire::muxio::ServerOptions muxio;
  muxio.listen.existing = core::ExistingPath::kReplaceStale;
  muxio.origins = config_.ws_origins;
  muxio.session.refused = &gate_.refused();
  muxio.session.header_bytes = config_.muxio_header_bytes;
  muxio.session.request_bytes = config_.muxio_request_bytes;
  muxio.session.link.silence_limit = config_.muxio_timeout_ns;
  muxio_ = std::make_unique<wire::muxio::Server>(env_, directory_, muxio_methods_, log_, muxio);
  muxio_->publish(metrics_);
  door_ = std::make_unique<Door>(env_, log_, *server_, *muxio_, http_->server(),
                                 config_.connections_max);
  door_->publish(metrics_);
  jsonrpc_.assemble(metrics_, gate_.refused());
  TRY_SET(drpc_, DrpcService::create(env_, log_, config_, directory_, metrics_));
  return {};
}

// After the pools: a host that comes back finds what it had. Nodes beside each other on one machine
// all have the same default port, so only who asked for it cannot start without.
Result<void> Daemon::open_target() {
  auto listening = engine_.shares().listen();
  if (listening || !config_.shares_are_default) return listening;
  log_.warn("no_nvme_target", {{"error", engine_.shares().trouble()}});
  return {};
}

namespace {

bool is_family_missing(const Error& error) {
  return error.sys_errno == EAFNOSUPPORT || error.sys_errno == EADDRNOTAVAIL;
}

// Whether the same port is also asked for at another loopback address, as for "localhost", which
// has an IPv6 address also where there is no IPv6.
bool stands_beside(const std::vector<core::Address>& all, const core::Address& one) {
  return one.host == "::1" && std::ranges::any_of(all, [&](const core::Address& each) {
           return each.host == "127.0.0.1" && each.port == one.port;
         });
}

}  // namespace

Result<core::Address> Daemon::listen() {
  auto bound = door_->listen(config_.listen, config_.tls);
  if (!bound && config_.listen_is_default && is_family_missing(bound.error())) {
    log_.warn("no_ipv6", {{"instead", "0.0.0.0"}});
    bound = door_->listen(core::Address::tcp("0.0.0.0", config_.listen.port), config_.tls);
  }
  return bound;
}

Result<void> Daemon::listen_http() {
  for (const core::Address& http : config_.http_listen) {
    const bool encrypted = http.kind == core::Address::Kind::kTcp;
    const auto bound = door_->listen_http(http, encrypted ? config_.tls : nullptr);
    if (!bound && is_family_missing(bound.error()) && stands_beside(config_.http_listen, http)) {
      log_.warn("no_such_address_here", {{"address", http.text()}});
      continue;
    }
    if (!bound) return std::unexpected(bound.error());
    gate_.listening(*bound, true);
    http_->listening(*bound, true);
  }
  for (const core::Address& metrics : config_.http.metrics_listen) {
    TRY_SET(const core::Address bound, door_->listen_metrics(metrics));
    gate_.listening_metrics(bound);
    http_->listening_metrics(bound);
  }
  return {};
}

Result<void> Daemon::listen_for_gateways() {
  if (config_.gateway_socket.empty()) return {};
  TRY_SET(const core::Address bound,
          door_->listen_gateways(core::Address::unix_path(config_.gateway_socket)));
  gate_.listening_trusted(bound);
  return {};
}

core::Task<Result<void>> Daemon::start() {
  core::name_task("start of the node");
  CO_TRY(jsonrpc_.reserve());
  scope_.spawn(gate_.run());
  if (!config_.wait_for_rpc) CO_TRY(co_await start_engine());
  CO_TRY(jsonrpc_.listen());
  scope_.spawn(jsonrpc_.run());
  co_return Result<void>();
}

core::Task<Result<void>> Daemon::start_engine() {
  if (config_.ptpl_dir) {
    if (auto made = core::make_directories_now(*config_.ptpl_dir); !made) {
      log_.warn("no_ptpl_dir", {{"error", made.error().text()}});
    }
  }
  engine_.disks().start();  // before the first disk is opened
  // With a control plane it decides which pools to open.
  CO_TRY(co_await engine_.start(!config_.registration_uri));
  co_await open_file_pools(engine_, log_, config_.pools);
  CO_TRY(open_target());
  CO_TRY(co_await stores_.start(config_.stores));
  CO_TRY_SET(const core::Address address, listen());
  info_.grpc_endpoint = address.text();
  gate_.listening(address, false);
  scope_.spawn(server_->run());  // listen() has logged the address
  CO_TRY(listen_http());
  CO_TRY(listen_for_gateways());
  if (config_.muxio_socket) {
    CO_TRY(muxio_->listen(core::Address::unix_path(*config_.muxio_socket)));
  }
  scope_.spawn(muxio_->run());
  scope_.spawn(http_->server().run());
  scope_.spawn(door_->run());
  CO_TRY(drpc_->start());
  gateways_.start();
  co_return Result<void>();
}

core::Task<void> Daemon::reload_certificates() {
  core::name_task("reload of certificates");
  auto read = co_await read_certificates(env_.files(), config_.tls_files);
  Result<void> renewed;
  if (read) {
    renewed = config_.tls->renew(*read);
  } else {
    renewed = std::unexpected(std::move(read).error());
  }
  if (renewed) {
    log_.info("certificates_reloaded", {{"certificate", config_.tls_files.certificate}});
  } else {
    log_.error("certificates_not_reloaded",
               {{"error", renewed.error().text()}, {"instead", "the former ones stay in use"}});
  }
}

core::Task<void> Daemon::reload() {
  if (config_.tls) co_await reload_certificates();
  co_await gate_.reload();
  gateways_.reload();  // who was revoked here is revoked there
}

core::Task<void> Daemon::stop() {
  core::name_task("stop of the node");
  // The servers wait for their calls, and those may wait for other nodes.
  engine_.remotes().stop_connecting();
  co_await gateways_.stop();  // before the servers, so that their streams end in order
  gate_.stop();
  door_->stop();
  server_->stop(limits::kShutdownNanos);
  muxio_->stop(limits::kShutdownNanos);
  http_->server().stop(limits::kShutdownNanos);
  scope_.spawn(drpc_->stop());
  jsonrpc_.stop(limits::kShutdownNanos);
  co_await scope_.join();
  co_await jsonrpc_.release();
  co_await stores_.stop();
  spdk_.leave();
  co_await engine_.stop();
  co_await spdk_.join();
}

}  // namespace capstan::apps
