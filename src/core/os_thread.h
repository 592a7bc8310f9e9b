// Why this file exists: what the system knows of the calling thread, and signals to ourselves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace capstan::core {

struct ThreadUsage {
  std::uint64_t id = 0;                      // of the system
  std::uint64_t user_ns = 0, system_ns = 0;  // on a CPU since the thread began
};
ThreadUsage thread_usage();

// CPUs that the calling thread may run on, as the system numbers them, ascending.
std::vector<unsigned> thread_cpus();
// From now on the calling thread, and the threads and processes it starts, run on these alone.
// Fails when the system knows none of them, or keeps this process from all of them.
Result<void> keep_thread_on(std::span<const unsigned> cpus);

std::uint64_t process_id();
// Sends `signal` to this process; a fatal one may arrive before this returns.
Result<void> signal_self(int signal);

}  // namespace capstan::core
