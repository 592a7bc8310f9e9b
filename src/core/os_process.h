// Why this file exists: what the system tells a process about itself, and what a process may ask
// for itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

// Raises the number of files and sockets this process may have open to what the system allows it
// (the usual default is a fraction of that) and answers it.
Result<std::uint64_t> raise_descriptor_limit();

// Goes on as the program `name` in the folder of this one, with these arguments behind its name;
// returns only when that fails. Before reactors and threads exist.
Error become_sibling(const std::string& name, const std::vector<std::string>& arguments);

// Lets another thread of this core run: for the rare short wait on a thread that was interrupted.
void yield_thread();

}  // namespace capstan::core
