// Why this file exists: see os_process.h.
#include "core/os_process.h"

#include <sys/resource.h>

#include <cerrno>

namespace capstan::core {

Result<ProcessUsage> process_usage() {
  struct rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return fail_errno(errno, "getrusage");
  ProcessUsage out;
  out.soft_faults = usage.ru_minflt;
  out.hard_faults = usage.ru_majflt;
  out.swaps = usage.ru_nswap;
  out.in_block_ops = usage.ru_inblock;
  out.out_block_ops = usage.ru_oublock;
  out.ipc_sent = usage.ru_msgsnd;
  out.ipc_received = usage.ru_msgrcv;
  out.signals = usage.ru_nsignals;
  out.voluntary_switches = usage.ru_nvcsw;
  out.involuntary_switches = usage.ru_nivcsw;
  return out;
}

}  // namespace capstan::core
