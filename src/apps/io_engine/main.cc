// Why this file exists: the storage node as a program: configuration, then the parts in order, then
// waiting for a signal. Exit codes: 0 done, 1 something is in the way, 2 wrong usage.
#include <csignal>
#include <cstdio>

#include "apps/io_engine/config.h"
#include "apps/io_engine/daemon.h"
#include "apps/serving/process.h"
#include "capstan_version.h"
#include "core/os_file.h"
#include "core/os_heap.h"
#include "core/os_lock.h"
#include "core/os_signal.h"
#include "core/uring_env.h"
#include "rpc/describe.h"
#include "rpc/quiet_protobuf.h"

namespace capstan::apps {
namespace {

Result<core::FileLock> lock_state(const std::string& directory) {
  auto made = core::make_directories_now(directory);
  if (!made) {
    return std::unexpected(
        std::move(made).error().within("state directory (choose another with --state-dir)"));
  }
  auto lock = core::FileLock::acquire(directory + "/lock");
  if (!lock && lock.error().code == Code::kFailedPrecondition) {
    lock.error().message +=
        "; a node runs on this state directory already: stop it or give "
        "another --state-dir";
  }
  return lock;
}

// The next signal that ends the node. A terminal that closes is one, except for a node with
// files that it reads again: to that SIGHUP says that they have changed.
core::Task<Result<int>> until_stopped(Daemon& daemon, core::SignalSet& signals, bool reloads) {
  while (true) {
    const auto signal = co_await signals.wait();
    if (!signal || *signal != SIGHUP || !reloads) co_return signal;
    co_await daemon.reload();
  }
}

core::Task<void> serve(Daemon& daemon, core::SignalSet& signals, core::Log& log, bool reloads,
                       int& exit_code) {
  auto started = co_await daemon.start();
  if (started) {
    const auto signal = co_await until_stopped(daemon, signals, reloads);
    log.info("stopping", {{"signal", signal ? *signal : 0}});
    if (!signal) started = std::unexpected(signal.error());
  }
  co_await daemon.stop();
  exit_code = started ? kDone : report(started.error(), kFailed);  // the last line says why
}

int run(NodeConfig config, bool print_operations) {
  auto signals = core::SignalSet::create();  // before any other thread exists
  if (!signals) return report(signals.error(), kFailed);
  const auto sink = core::make_stderr_sink(config.log_format, config.node_name);
  auto env = core::UringEnv::create(
      {config.reactors, config.poll_us, stall_log(*sink), config.cpus, config.zero_copy_bytes});
  if (!env) return report(env.error(), kFailed);
  core::Log log(*sink, config.log_level, &core::UringEnv::wall_clock, nullptr);

  if (!print_operations) {
    const auto most = connections_by_descriptors(log, config.shares.connections_max);
    config.connections_max = most.clients;
    config.shares.connections_max = most.hosts;
  }
  Daemon daemon(**env, log, config);
  if (auto assembled = daemon.assemble(); !assembled) return report(assembled.error(), kFailed);
  if (print_operations) return print(rpc::operations_page(daemon.directory().operations()));

  auto lock = lock_state(config.state_dir);
  if (!lock) return report(lock.error(), kFailed);
  log.info("starting", {{"release", CAPSTAN_RELEASE},
                        {"version", CAPSTAN_VERSION},
                        {"node", config.node_name},
                        {"state", config.state_dir},
                        {"reactors", config.reactors}});
  for (const std::string& alarm : config.alarms) log.error("config", {{"message", alarm}});
  for (const std::string& warning : config.warnings) log.warn("config", {{"message", warning}});
  int exit_code = kFailed;
  (*env)->run(
      serve(daemon, **signals, log, config.tls != nullptr || config.gate.has_files(), exit_code));
  return exit_code;
}

int main(int argc, char** argv) {
  rpc::quiet_protobuf();
  core::keep_freed_memory();
  const Surroundings surroundings = system_surroundings();
  auto line =
      parse_command_line(std::vector<std::string>(argv + 1, argv + argc), surroundings.variables);
  if (!line) return report(line.error(), kUsage);
  if (line->print) return print(*line->print);
  const bool check_only = line->settings.on("check-config");
  const bool print_operations = line->settings.on("print-operations");
  auto config = make_config(std::move(line->settings), surroundings);
  if (!config) return report(config.error(), kUsage);
  if (check_only) {
    for (const auto* said : {&config->alarms, &config->warnings}) {
      for (const std::string& text : *said) std::fprintf(stderr, "warning: %s\n", text.c_str());
    }
    return print("configuration is valid\n");
  }
  return run(*std::move(config), print_operations);
}

}  // namespace
}  // namespace capstan::apps

int main(int argc, char** argv) {
  return capstan::apps::main(argc, argv);
}
