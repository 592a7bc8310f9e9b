// Why this file exists: what the main functions of server programs share: what configuration may
// ask the system for, how errors and texts are shown, and what is said about the machine.
#pragma once

#include <string>

#include "apps/serving/config.h"
#include "base/result.h"
#include "core/log.h"
#include "core/reactor.h"

namespace capstan::apps {

enum Exit { kDone = 0, kFailed = 1, kUsage = 2 };

// To standard error; answers `exit`.
int report(const Error& error, Exit exit);
// To standard output.
int print(const std::string& text);

// The real ones.
Surroundings system_surroundings();

// Logs tasks that hold a core for too long. The sink outlives the reactors.
core::Reactor::StallObserver stall_log(core::LogSink& sink);

// How many connections there may be: of clients, and of hosts to each NVMe target.
struct ConnectionLimits {
  std::size_t clients = limits::kConnectionsMax, hosts = 0;
};
// What so many descriptors are enough for, when hosts would have `hosts_max`.
ConnectionLimits share_descriptors(std::uint64_t files, std::size_t hosts_max);
// Raises the limit of descriptors; answers what that is enough for, and says so when it is few.
ConnectionLimits connections_by_descriptors(core::Log& log, std::size_t hosts_max = 0);

}  // namespace capstan::apps
