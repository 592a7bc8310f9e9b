// Why this file exists: the gateway as a program: configuration, then a gateway for as long as the
// node serves the same operations, then the next one, until a signal. Exit codes: 0 done, 1
// something is in the way, 2 wrong usage.
#include <csignal>
#include <memory>
#include <utility>

#include "apps/gateway/config.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/options.h"
#include "apps/serving/process.h"
#include "capstan_version.h"
#include "core/os_heap.h"
#include "core/os_process.h"
#include "core/os_signal.h"
#include "core/sync.h"
#include "core/uring_env.h"
#include "rpc/quiet_protobuf.h"

namespace capstan::gateway {
namespace {

class Program {
 public:
  Program(core::Env& env, const core::Log& log, GatewayConfig config, core::SignalSet& signals)
      : env_(env), log_(log), config_(std::move(config)), signals_(signals) {}

  core::Task<void> run(int& exit_code) {
    core::Scope scope;
    scope.spawn(hear_signals());
    auto ended = co_await serve();
    signals_.cancel();
    co_await scope.join();
    exit_code = ended ? apps::kDone : apps::report(ended.error(), apps::kFailed);
  }

 private:
  core::Task<void> hear_signals() {
    while (true) {
      const auto signal = co_await signals_.wait();
      if (!signal) break;
      const bool reloads = config_.tls != nullptr || config_.gate.has_files();
      if (*signal == SIGHUP && reloads) {
        ++reloads_;
        const auto guard = co_await in_use_.lock();
        if (gateway_) co_await gateway_->reload();
        continue;
      }
      log_.info("stopping", {{"signal", *signal}});
      break;
    }
    stop_.fire();
    changed_.set();
  }

  core::Task<Result<void>> serve() {
    Result<void> started;
    while (started && !stop_.fired()) {
      Gateway gateway(env_, log_, config_);
      changed_.reset();
      const unsigned known = reloads_;
      started = co_await gateway.start(stop_.token(), [this] { changed_.set(); }, known != 0);
      if (started) {
        config_.listen = gateway.listening();  // the next one has the same ports
        if (reloads_ != known) co_await gateway.reload();
        gateway_ = &gateway;
        if (std::exchange(untold_, false)) core::report_ready();
        co_await changed_.wait();
        const auto guard = co_await in_use_.lock();  // a reload that is under way ends first
        gateway_ = nullptr;
      }
      co_await gateway.stop();
    }
    co_return stop_.fired() ? Result<void>() : std::move(started);
  }

  core::Env& env_;
  core::Log log_;
  GatewayConfig config_;
  core::SignalSet& signals_;
  core::CancelSource stop_;
  core::Event changed_;   // a signal, or the gateway is outdated
  core::Mutex in_use_;    // held while gateway_ reloads
  unsigned reloads_ = 0;  // asked for; what they read is younger than config_
  Gateway* gateway_ = nullptr;
  bool untold_ = config_.parent != 0;  // the node that started this one waits to hear of it
};

int run(GatewayConfig config) {
  auto signals = core::SignalSet::create();  // before any other thread exists
  if (!signals) return apps::report(signals.error(), apps::kFailed);
  if (config.parent != 0) {
    if (auto tied = core::end_with_parent(config.parent); !tied)
      return apps::report(tied.error(), apps::kFailed);
  }
  const auto sink = core::make_stderr_sink(config.log_format, "gateway");
  auto env = core::UringEnv::create({1, 0, apps::stall_log(*sink)});
  if (!env) return apps::report(env.error(), apps::kFailed);
  core::Log log(*sink, config.log_level, &core::UringEnv::wall_clock, nullptr, "gateway");
  config.connections_max = apps::connections_by_descriptors(log).clients;
  log.info("starting", {{"program", "capstan-gateway"},
                        {"release", CAPSTAN_RELEASE},
                        {"version", CAPSTAN_VERSION},
                        {"node", config.node.text()}});
  for (const std::string& alarm : config.alarms) log.error("config", {{"message", alarm}});
  for (const std::string& warning : config.warnings) log.warn("config", {{"message", warning}});
  int exit_code = apps::kFailed;
  Program program(**env, log, std::move(config), **signals);
  (*env)->run(program.run(exit_code));
  return exit_code;
}

int main(int argc, char** argv) {
  rpc::quiet_protobuf();
  core::keep_freed_memory();
  const apps::Surroundings surroundings = apps::system_surroundings();
  auto line =
      parse_command_line(std::vector<std::string>(argv + 1, argv + argc), surroundings.variables);
  if (!line) return apps::report(line.error(), apps::kUsage);
  if (line->print) return apps::print(*line->print);
  auto config = make_config(line->settings, surroundings);
  if (!config) return apps::report(config.error(), apps::kUsage);
  return run(*std::move(config));
}

}  // namespace
}  // namespace capstan::gateway

int main(int argc, char** argv) {
  return capstan::gateway::main(argc, argv);
}
