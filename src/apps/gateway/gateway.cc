// Why this file exists: see gateway.h.
#include "apps/gateway/gateway.h"

#include <utility>

#include "base/limits.h"
#include "capstan_version.h"

namespace capstan::gateway {

Gateway::Gateway(core::Env& env, const core::Log& log, const GatewayConfig& config)
    : env_(env),
      log_(log),
      config_(config),
      reactors_(env, metrics_),
      link_(env, log, config.node),
      local_service_(link_, metrics_, reactors_),
      router_(env, log, link_, local_, metrics_,
              {.streams_max = config.gate.streams_max,
               .answer_timeout = config.upstream_timeout,
               .may = [this](const rpc::Call& call) { return gate_.may(call); }}),
      gate_(env, log, config.gate, metrics_) {}

Result<void> Gateway::assemble() {
  TRY(bind_local(local_, local_service_));
  TRY(router_.bind(directory_));
  gate_.add_to(directory_, config_.access,
               {"capstan-gateway", CAPSTAN_VERSION, link_.facts().version.node_name()},
               {.spare_streams = 1});
  apps::HttpWire::About about;
  about.title = "Capstan storage node";
  about.missing = [this] { return link_.missing(); };
  TRY_SET(http_, apps::HttpWire::create(directory_, log_, config_.http, gate_, std::move(about)));
  http_->server().publish(metrics_);
  wire::ServerOptions grpc;
  grpc.guest = http_->guest();
  grpc.refused = &gate_.refused();
  grpc.connections_max = config_.connections_max;
  grpc_ = std::make_unique<wire::GrpcServer>(env_, directory_, log_, grpc);
  grpc_->publish(metrics_);
  TRY_SET(muxio_methods_, wire::muxio::MethodTable::make(directory_));
  wire::muxio::ServerOptions muxio;
  muxio.origins = config_.ws_origins;
  muxio.session.refused = &gate_.refused();
  muxio_ = std::make_unique<wire::muxio::Server>(env_, directory_, muxio_methods_, log_, muxio);
  muxio_->publish(metrics_);
  door_ = std::make_unique<apps::Door>(env_, log_, *grpc_, *muxio_, http_->server(),
                                       config_.connections_max);
  door_->publish(metrics_);
  link_.publish(metrics_);
  return {};
}

Result<void> Gateway::listen() {
  for (const core::Address& address : config_.listen) {
    const bool encrypted = address.kind == core::Address::Kind::kTcp;
    TRY_SET(const core::Address bound, door_->listen(address, encrypted ? config_.tls : nullptr));
    gate_.listening(bound, true);
    http_->listening(bound, true);
    listening_.push_back(bound);
  }
  for (const core::Address& address : config_.http.metrics_listen) {
    TRY_SET(const core::Address bound, door_->listen_metrics(address));
    gate_.listening_metrics(bound);
    http_->listening_metrics(bound);
  }
  return {};
}

core::Task<Result<void>> Gateway::start(core::CancelToken stop, std::function<void()> outdated,
                                        bool read_again) {
  core::name_task("start of the gateway");
  CO_TRY(co_await link_.bootstrap(std::move(stop)));
  CO_TRY(assemble());
  if (read_again) co_await reload();
  scope_.spawn(link_.run(std::move(outdated)));
  scope_.spawn(gate_.run());
  scope_.spawn(grpc_->run());
  scope_.spawn(muxio_->run());
  scope_.spawn(http_->server().run());
  CO_TRY(listen());
  scope_.spawn(door_->run());
  co_return Result<void>();
}

core::Task<void> Gateway::reload() {
  if (config_.tls) {
    auto read = co_await apps::read_certificates(env_.files(), config_.tls_files);
    const auto renewed =
        read ? config_.tls->renew(*read) : Result<void>(std::unexpected(read.error()));
    gate_.report("certificates", config_.tls_files.certificate, renewed);
  }
  co_await gate_.reload();
}

core::Task<void> Gateway::stop() {
  core::name_task("stop of the gateway");
  gate_.stop();
  if (door_) {
    door_->stop();
    grpc_->stop(limits::kShutdownNanos);
    muxio_->stop(limits::kShutdownNanos);
    http_->server().stop(limits::kShutdownNanos);
  }
  link_.stop_following();
  co_await scope_.join();
  co_await link_.close();
}

}  // namespace capstan::gateway
