// Why this file exists: see gateways.h.
#include "apps/io_engine/gateways.h"

#include <algorithm>
#include <cmath>
#include <csignal>

namespace capstan::apps {
namespace {

constexpr core::Nanos kStays = 10 * core::kSecond;  // then a gateway counts as started
constexpr core::Nanos kPatience = 5 * core::kSecond;
constexpr core::Nanos kPauseMax = 30 * core::kSecond;
constexpr double kFirstPauseSeconds = 0.5, kGrowth = 1.2;
constexpr unsigned kFailuresCounted = 64;  // the pause is the longest long before

}  // namespace

core::Nanos restart_pause(unsigned failures) {
  if (failures == 0) return 0;
  const double seconds =
      kFirstPauseSeconds * std::pow(kGrowth, std::min(failures, kFailuresCounted));
  return std::min(static_cast<core::Nanos>(seconds * 1e9), kPauseMax);
}

Gateways::Gateways(const core::Log& log, const NodeConfig& config)
    : log_(log.child("gateways")), config_(config), patience_([this] {
        for (auto* child : running_) child->signal(SIGKILL);
      }) {}

Gateways::~Gateways() = default;

void Gateways::start() {
  for (const core::Address& address : config_.gateways) scope_.spawn(keep(address));
}

void Gateways::reload() {
  for (auto* child : running_) child->signal(SIGHUP);
}

core::Task<void> Gateways::stop() {
  scope_.cancel();
  for (auto* child : running_) child->signal(SIGTERM);
  auto& reactor = *core::Reactor::current();
  patience_.arm_at(reactor, reactor.now() + kPatience);
  co_await scope_.join();
  patience_.disarm();
}

Result<std::unique_ptr<core::ChildProcess>> Gateways::launch(const core::Address& address) const {
  std::vector<std::string> arguments = {"--node",        "unix:" + config_.gateway_socket,
                                        "--listen",      address.text(),
                                        "--with-parent", std::to_string(core::own_pid())};
  arguments.insert(arguments.end(), config_.gateway_arguments.begin(),
                   config_.gateway_arguments.end());
  // What is set for the node is in the arguments, as far as it is meant for gateways.
  std::vector<std::string> variables = core::environment_variables();
  std::erase_if(variables, [](const std::string& one) { return one.starts_with("CAPSTAN_"); });
  return core::ChildProcess::start("capstan-gateway", arguments, variables, config_.cpus_allowed);
}

// Started is who listens.
core::Task<void> Gateways::tell_of_start(core::ChildProcess* child, std::string address) {
  log_.debug("gateway_starting", {{"address", address}, {"pid", child->pid()}});
  if (!co_await child->ready()) co_return;  // what ended it is told with its end
  log_.info("gateway_started", {{"address", address}, {"pid", child->pid()}});
}

core::Task<void> Gateways::keep(core::Address address) {
  auto& reactor = *core::Reactor::current();
  const auto token = scope_.token();
  unsigned failures = 0;
  while (!token.fired()) {
    const core::Nanos begun = reactor.now();
    auto child = launch(address);
    if (child) {
      core::Scope told;
      told.spawn(tell_of_start(child->get(), address.text()));
      running_.insert(child->get());
      const auto ended = co_await (*child)->wait();
      co_await told.join();
      running_.erase(child->get());
      log_.warn("gateway_exited", {{"address", address.text()},
                                   {"pid", (*child)->pid()},
                                   {"status", ended ? *ended : ended.error().text()}});
    } else {
      log_.error("gateway_not_started",
                 {{"address", address.text()}, {"error", child.error().text()}});
    }
    if (token.fired()) break;
    if (reactor.now() - begun >= kStays) failures = 0;
    const core::Nanos pause = restart_pause(failures++);
    log_.info("gateway_restarting",
              {{"address", address.text()}, {"in_ms", pause / core::kMillisecond}});
    const auto slept = co_await core::sleep_for(pause, token);
    if (!slept) break;
  }
}

}  // namespace capstan::apps
