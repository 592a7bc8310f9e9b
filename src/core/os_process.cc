// Why this file exists: see os_process.h.
#include "core/os_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>

#include "base/assert.h"
#include "core/os_thread.h"
#include "core/uring_reactor.h"

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

namespace {

Result<std::string> sibling_path(const std::string& name) {
  char self[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  if (length <= 0) return fail_errno(errno, "find the folder of this program");
  const std::string path(self, static_cast<std::size_t>(length));
  return path.substr(0, path.rfind('/') + 1) + name;
}

// As exec takes them; `words` outlives it.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::unexpected<Error> cannot_run(int number, const std::string& path) {
  return fail_errno(number, "run '" + path + "', which belongs beside this program");
}

}  // namespace

Error become_sibling(const std::string& name, const std::vector<std::string>& arguments) {
  auto path = sibling_path(name);
  if (!path) return path.error();
  std::vector<std::string> words = {*path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  ::execv(path->c_str(), pointers_to(words).data());
  return cannot_run(errno, *path).error();
}

// --- children -----------------------------------------------------------------------------------

namespace {

// posix_spawn in the state a child begins with. A child inherits the CPUs of the thread that starts
// it, and has no other way to be given some before it runs.
int spawn(pid_t& pid, const std::string& path, std::vector<std::string> words,
          std::vector<std::string> names, const std::vector<unsigned>& cpus, int ready) {
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ready, kReadyDescriptor);
  const std::vector<unsigned> own = cpus.empty() ? cpus : thread_cpus();
  if (!cpus.empty()) (void)keep_thread_on(cpus);  // else it runs where we do
  const int failed = ::posix_spawn(&pid, path.c_str(), &actions, &attributes,
                                   pointers_to(words).data(), pointers_to(names).data());
  if (!own.empty()) (void)keep_thread_on(own);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  return failed;
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const std::string& name,
                                                          const std::vector<std::string>& arguments,
                                                          const std::vector<std::string>& variables,
                                                          const std::vector<unsigned>& cpus) {
  TRY_SET(const std::string path, sibling_path(name));
  std::vector<std::string> words = {path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  pid_t pid = 0;
  int told[2];
  if (::pipe2(told, O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe to '" + name + "'");
  const int failed = spawn(pid, path, std::move(words), variables, cpus, told[1]);
  ::close(told[1]);
  if (failed != 0) {
    ::close(told[0]);
    return cannot_run(failed, path);
  }
  const auto descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (descriptor < 0) {
    const int number = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    ::close(told[0]);
    return fail_errno(number, "watch process " + std::to_string(pid));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, descriptor, told[0]));
}

ChildProcess::~ChildProcess() {
  if (!ended_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(descriptor_);
  ::close(told_);
}

void ChildProcess::signal(int number) {
  if (!ended_) ::kill(pid_, number);  // not reaped, so the number is still its own
}

namespace {

// Until there is something to read; OK also when that was interrupted.
Task<int> readable(int descriptor) {
  auto& reactor = static_cast<UringReactor&>(*Reactor::current());
  UringOp ready;
  io_uring_prep_poll_add(reactor.prepare(ready), descriptor, POLLIN);
  const int result = co_await ready;
  co_return result == -EINTR || result == -EAGAIN ? 0 : result;
}

}  // namespace

Task<bool> ChildProcess::ready() {
  char said = 0;
  if (co_await readable(told_) < 0) co_return false;
  co_return ::read(told_, &said, 1) == 1;  // 0: the other end is closed
}

void report_ready() {
  struct stat info{};
  if (::fstat(kReadyDescriptor, &info) != 0 || !S_ISFIFO(info.st_mode)) return;
  const char said = 1;
  (void)!::write(kReadyDescriptor, &said, 1);
  ::close(kReadyDescriptor);
}

Task<Result<std::string>> ChildProcess::wait() {
  int status = 0;
  while (true) {
    const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
    if (reaped == pid_) break;
    if (reaped < 0) co_return fail_errno(errno, "wait for process " + std::to_string(pid_));
    const int result = co_await readable(descriptor_);
    if (result < 0) {
      co_return fail_errno(-result, "wait for process " + std::to_string(pid_));
    }
  }
  ended_ = true;
  if (WIFSIGNALED(status)) co_return "signal " + std::to_string(WTERMSIG(status));
  co_return "exit code " + std::to_string(WEXITSTATUS(status));
}

std::vector<std::string> environment_variables() {
  std::vector<std::string> all;
  for (char** variable = ::environ; *variable; ++variable) all.emplace_back(*variable);
  return all;
}

int own_pid() {
  return ::getpid();
}

Result<void> end_with_parent(int parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return fail_errno(errno, "prctl(PR_SET_PDEATHSIG)");
  if (::getppid() == parent) return {};
  return fail(Code::kFailedPrecondition, "process " + std::to_string(parent) +
                                             ", with which this one was to end, is not its parent");
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
