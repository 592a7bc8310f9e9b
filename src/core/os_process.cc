// Why this file exists: see os_process.h.
#include "core/os_process.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

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

Error become_sibling(const std::string& name, const std::vector<std::string>& arguments) {
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  if (length <= 0) return fail_errno(errno, "find the folder of this program").error();
  std::string path(self, static_cast<std::size_t>(length));
  path = path.substr(0, path.rfind('/') + 1) + name;
  std::vector<std::string> words = {path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(path.c_str(), pointers.data());
  return fail_errno(errno, "run '" + path + "', which belongs beside this program").error();
}

void yield_thread() {
  ::sched_yield();
}

Result<std::uint64_t> raise_descriptor_limit() {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno(errno, "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return fail_errno(errno, "raise the limit of open files to " + std::to_string(limit.rlim_max));
  }
  return limit.rlim_cur;
}

}  // namespace capstan::core
