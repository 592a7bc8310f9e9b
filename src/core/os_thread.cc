// Why this file exists: see os_thread.h.
#include "core/os_thread.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/assert.h"

namespace capstan::core {
namespace {

std::uint64_t nanos(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_usec) * 1000;
}

}  // namespace

ThreadUsage thread_usage() {
  struct rusage usage{};
  const int got = ::getrusage(RUSAGE_THREAD, &usage);
  CAPSTAN_ASSERT(got == 0);
  return {static_cast<std::uint64_t>(::gettid()), nanos(usage.ru_utime), nanos(usage.ru_stime)};
}

std::uint64_t process_id() {
  return static_cast<std::uint64_t>(::getpid());
}

Result<void> signal_self(int signal) {
  if (::kill(::getpid(), signal) != 0) return fail_errno(errno, "kill");
  return {};
}

}  // namespace capstan::core
