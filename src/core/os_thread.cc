// Why this file exists: see os_thread.h.
#include "core/os_thread.h"

#include <sched.h>
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

// What the kernel counts CPUs in; machines with more than 1024 have several of the usual words.
class CpuMask {
 public:
  static constexpr unsigned kCpusMax = 8192;  // CONFIG_NR_CPUS of the largest kernels
  CpuMask() : set_(CPU_ALLOC(kCpusMax)) {
    CAPSTAN_ASSERT(set_ != nullptr);
    CPU_ZERO_S(bytes(), set_);
  }
  ~CpuMask() { CPU_FREE(set_); }
  CpuMask(const CpuMask&) = delete;
  CpuMask& operator=(const CpuMask&) = delete;

  void add(unsigned cpu) {
    if (cpu < kCpusMax) CPU_SET_S(cpu, bytes(), set_);
  }
  bool has(unsigned cpu) const { return CPU_ISSET_S(cpu, bytes(), set_) != 0; }
  int read() { return ::sched_getaffinity(0, bytes(), set_); }
  int apply() const { return ::sched_setaffinity(0, bytes(), set_); }

 private:
  static std::size_t bytes() { return CPU_ALLOC_SIZE(kCpusMax); }
  cpu_set_t* set_;
};

}  // namespace

ThreadUsage thread_usage() {
  struct rusage usage{};
  const int got = ::getrusage(RUSAGE_THREAD, &usage);
  CAPSTAN_ASSERT(got == 0);
  return {static_cast<std::uint64_t>(::gettid()), nanos(usage.ru_utime), nanos(usage.ru_stime)};
}

std::vector<unsigned> thread_cpus() {
  CpuMask mask;
  const int got = mask.read();
  CAPSTAN_ASSERT(got == 0);
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CpuMask::kCpusMax; ++cpu) {
    if (mask.has(cpu)) cpus.push_back(cpu);
  }
  return cpus;
}

Result<void> keep_thread_on(std::span<const unsigned> cpus) {
  CpuMask mask;
  std::string names;
  for (const unsigned cpu : cpus) {
    mask.add(cpu);
    names += (names.empty() ? "" : ",") + std::to_string(cpu);
  }
  if (mask.apply() != 0) return fail_errno(errno, "run on CPU " + names + " alone");
  return {};
}

std::uint64_t process_id() {
  return static_cast<std::uint64_t>(::getpid());
}

Result<void> signal_self(int signal) {
  if (::kill(::getpid(), signal) != 0) return fail_errno(errno, "kill");
  return {};
}

}  // namespace capstan::core
