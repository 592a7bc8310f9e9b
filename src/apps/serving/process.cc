// Why this file exists: see process.h.
#include "apps/serving/process.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/limits.h"
#include "core/os_file.h"
#include "core/os_interfaces.h"
#include "core/os_process.h"
#include "core/os_resolve.h"
#include "core/os_thread.h"
#include "core/uring_env.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kConfigFileBytesMax = 1U << 20;
constexpr std::size_t kOtherFiles = 1024;  // descriptors that connections leave to others

}  // namespace

int report(const Error& error, Exit exit) {
  const char* help = exit == kUsage ? "\n\nFor more information try --help" : "";
  std::fprintf(stderr, "error: %s%s\n", error.text().c_str(), help);
  return exit;
}

int print(const std::string& text) {
  return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? kDone : kFailed;
}

Surroundings system_surroundings() {
  return {[](std::string_view name) -> std::optional<std::string> {
            const char* value = std::getenv(std::string(name).c_str());
            if (!value) return std::nullopt;
            return std::string(value);
          },
          [](const std::string& path) { return core::read_small_file(path, kConfigFileBytesMax); },
          ::geteuid() == 0,
          &core::ipv4_addresses,
          &core::resolve_all,
          core::thread_cpus()};
}

core::Reactor::StallObserver stall_log(core::LogSink& sink) {
  return [&sink](const core::Reactor::Stall& stall) {  // called on the reactor that stalled
    core::Log log(sink, core::LogLevel::kInfo, &core::UringEnv::wall_clock, nullptr, "reactor");
    log.warn(stall.preempted ? "preempted" : "stall",
             {{"task", stall.task},
              {"held_ms", stall.held_ns / core::kMillisecond},
              {"cpu_ms", stall.cpu_ns / core::kMillisecond}});
  };
}

// Every connection is a descriptor, and so are disks, stores and logs. Hosts have a quarter at
// most (of each NVMe target, of which there usually is one), so that a crowd of them leaves room
// for whoever wants to know why.
ConnectionLimits share_descriptors(std::uint64_t files, std::size_t hosts_max) {
  ConnectionLimits out;
  out.hosts = std::min<std::size_t>(hosts_max, files / 4);
  const std::uint64_t rest = files - out.hosts;
  out.clients = rest > 2 * kOtherFiles ? rest - kOtherFiles : rest / 2;
  out.clients = std::min<std::size_t>(out.clients, limits::kConnectionsMax);
  return out;
}

// A process that may have few takes fewer connections, and says so.
ConnectionLimits connections_by_descriptors(core::Log& log, std::size_t hosts_max) {
  const auto files = core::raise_descriptor_limit();
  if (!files) {
    log.warn("descriptor_limit", {{"error", files.error().text()}});
    return {.hosts = hosts_max};
  }
  const ConnectionLimits out = share_descriptors(*files, hosts_max);
  if (out.clients == limits::kConnectionsMax && out.hosts == hosts_max) return out;
  const std::size_t wanted =
      std::max(limits::kConnectionsMax + hosts_max + kOtherFiles, 4 * hosts_max);
  log.warn("descriptor_limit",
           {{"files", *files},
            {"wanted", wanted},
            {"connections", out.clients},
            {"hosts", out.hosts},
            {"remedy", "raise the hard limit: LimitNOFILE= of systemd, ulimit -Hn of a shell"}});
  return out;
}

}  // namespace capstan::apps
