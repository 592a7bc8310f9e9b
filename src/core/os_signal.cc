// Why this file exists: see os_signal.h.
#include "core/os_signal.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace capstan::core {

Result<std::unique_ptr<SignalSet>> SignalSet::create() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  if (const int rc = pthread_sigmask(SIG_BLOCK, &set, nullptr); rc != 0) {
    return fail_errno(rc, "block SIGINT, SIGTERM and SIGHUP");
  }
  std::signal(SIGPIPE, SIG_IGN);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "make a signalfd");
  return std::unique_ptr<SignalSet>(new SignalSet(fd));
}

SignalSet::~SignalSet() {
  CAPSTAN_ASSERT(!reading_.in_flight());
  close(fd_);
}

Task<Result<int>> SignalSet::wait() {
  auto& reactor = static_cast<UringReactor&>(*Reactor::current());
  while (!cancelled_) {
    signalfd_siginfo info{};
    io_uring_prep_read(reactor.prepare(reading_), fd_, &info, sizeof info, 0);
    const int rc = co_await reading_;
    if (rc == static_cast<int>(sizeof info)) co_return static_cast<int>(info.ssi_signo);
    if (rc < 0 && rc != -EINTR && rc != -EAGAIN && !cancelled_) {
      co_return fail_errno(-rc, "wait for a signal");
    }
  }
  co_return fail(Code::kCancelled, "no longer waiting for signals");
}

void SignalSet::cancel() {
  cancelled_ = true;
  static_cast<UringReactor&>(*Reactor::current()).request_cancel(reading_);
}

}  // namespace capstan::core
