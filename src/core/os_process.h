// Why this file exists: what the system tells a process about itself.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace capstan::core {

// The counters of getrusage(2) since the process began.
struct ProcessUsage {
  std::int64_t soft_faults = 0, hard_faults = 0, swaps = 0;
  std::int64_t in_block_ops = 0, out_block_ops = 0;
  std::int64_t ipc_sent = 0, ipc_received = 0, signals = 0;
  std::int64_t voluntary_switches = 0, involuntary_switches = 0;
};
Result<ProcessUsage> process_usage();

}  // namespace capstan::core
