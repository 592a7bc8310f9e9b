// Why this file exists: see uring_reactor.h. The order of one round is: reap completions, run what
// is ready, submit, timers, sleep decision (docs/architecture.md, "Runtime").
#include "core/uring_reactor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/limits.h"

namespace capstan::core {

namespace {

constexpr unsigned kFullScore = 256;
constexpr unsigned kSpinBelow = kFullScore / 4;  // stop spinning when less than 25 % pay
constexpr unsigned kRetryEvery = 64;             // then re-try one wait in 64
constexpr unsigned kCheckEvery = 64;             // spins between looks at context switches
constexpr long kPreemptedLimit = 16;             // that many since the last look: core is shared
constexpr unsigned kPauseWaits = 4096;
// More than two at a time are held back by the kernel until the last of them is prepared.
constexpr unsigned kHandOver = 2;
// A chore waits that many turns at most when the core is never without work.
constexpr std::uint64_t kChoreTurns = 8;
// In an entry's user data, beside the address.
constexpr std::uint64_t kOfWatch = 1, kOfKept = 2;
constexpr unsigned kUsageCopied = 1U
                                  << 31;  // IORING_NOTIF_USAGE_ZC_COPIED, which liburing 2.3 lacks

std::unexpected<Error> refused(int err) {
  return fail(Code::kFailedPrecondition,
              "the kernel refuses io_uring (" + std::string(std::strerror(err)) +
                  "); enable it: 'sysctl kernel.io_uring_disabled=0', allow the io_uring system "
                  "calls in the container's seccomp profile, or raise the locked-memory limit "
                  "('ulimit -l'); Linux 6.1 or newer is needed",
              err);
}

}  // namespace

Result<std::unique_ptr<UringReactor>> UringReactor::create(int poll_us) {
  std::unique_ptr<UringReactor> reactor(new UringReactor(poll_us));
  TRY(reactor->set_up());
  return reactor;
}

Result<void> UringReactor::set_up() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                 IORING_SETUP_SUBMIT_ALL;
  params.cq_entries = limits::kRingCompletionEntries;
  int rc = io_uring_queue_init_params(limits::kRingEntries, &ring_, &params);
  if (rc == -EINVAL) {
    params = {};
    params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE |
                   IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
    params.cq_entries = limits::kRingCompletionEntries;
    rc = io_uring_queue_init_params(limits::kRingEntries, &ring_, &params);
  }
  if (rc < 0) return refused(-rc);
  ring_ready_ = true;
  io_uring_register_ring_fd(&ring_);
  unsigned workers[2] = {4, 4};  // bounds of the kernel's helper threads: file I/O, everything else
  io_uring_register_iowq_max_workers(&ring_, workers);
  event_fd_ = eventfd(0, EFD_CLOEXEC);
  if (event_fd_ < 0) return fail_errno(errno, "create the wake-up eventfd of a reactor");
  return {};
}

UringReactor::~UringReactor() {
  if (wakeup_armed_) {
    // The kernel holds event_value_ until the read completes.
    request_cancel(wakeup_);
    while (!wakeup_.done_) {
      io_uring_submit_and_wait(&ring_, 1);
      reap();
    }
  }
  end_kept();
  while (watches_) {  // the ring's end is theirs
    watches_->reactor = nullptr;
    watches_->armed = false;
    forget(*watches_);
  }
  if (ring_ready_) io_uring_queue_exit(&ring_);
  if (event_fd_ >= 0) close(event_fd_);
  for (auto* item = posted_.exchange(nullptr); item;) delete std::exchange(item, item->next);
}

Nanos UringReactor::read_clock() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<Nanos>(now.tv_sec) * kSecond + static_cast<Nanos>(now.tv_nsec);
}

Reactor::CpuUse UringReactor::read_cpu() const {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return {static_cast<Nanos>(used.tv_sec) * kSecond + static_cast<Nanos>(used.tv_nsec),
          static_cast<std::uint64_t>(usage.ru_nivcsw)};
}

void UringReactor::post(std::move_only_function<void()> work) {
  auto* item = new Posted{std::move(work), posted_.load(std::memory_order_relaxed)};
  while (!posted_.compare_exchange_weak(item->next, item, std::memory_order_seq_cst)) {
  }
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(event_fd_, &one, sizeof one);
  }
}

io_uring_sqe* UringReactor::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (!sqe) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

io_uring_sqe* UringReactor::prepare(UringOp& op) {
  return prepare(op, reinterpret_cast<std::uint64_t>(&op));
}

io_uring_sqe* UringReactor::prepare(UringOp& op, std::uint64_t entry) {
  CAPSTAN_ASSERT(Reactor::current() == this);
  io_uring_sqe* sqe = next_sqe();
  op = UringOp();
  op.prepared_ = true;
  op.entry_ = entry;
  // The caller fills the entry next; io_uring_prep_* leaves user_data alone.
  sqe->user_data = entry;
  return sqe;
}

void UringReactor::hand_over() {
  if (io_uring_sq_ready(&ring_) >= kHandOver) io_uring_submit(&ring_);
}

void UringReactor::request_cancel(UringOp& op) {
  if (!op.in_flight()) return;
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_cancel64(sqe, op.entry_, 0);
  sqe->user_data = 0;
}

void UringReactor::complete(UringOp& op, int result) {
  op.result_ = result;
  op.done_ = true;
  if (&op == &wakeup_) wakeup_armed_ = false;
  if (op.waiter_) make_ready(op.waiter_);
}

// --- sends that keep memory ---------------------------------------------------------------------

io_uring_sqe* UringReactor::prepare_kept(UringOp& op, std::shared_ptr<const void> memory,
                                         std::shared_ptr<KeptSends> sends) {
  auto* kept = new Kept{&op, std::move(memory), std::move(sends)};
  ++kept->sends->outstanding;
  kept->next = std::exchange(kept_, kept);
  if (kept->next) kept->next->previous = kept;
  return prepare(op, reinterpret_cast<std::uint64_t>(kept) | kOfKept);
}

// The kernel answers the request first, and says with that answer whether another word follows:
// that it is done with the memory.
void UringReactor::told(Kept& kept, int result, unsigned flags) {
  if ((flags & IORING_CQE_F_NOTIF) != 0) {
    if ((static_cast<unsigned>(result) & kUsageCopied) != 0) kept.sends->copied = true;
    return forget(kept);
  }
  complete(*std::exchange(kept.op, nullptr), faults_ ? faults_(result) : result);
  if ((flags & IORING_CQE_F_MORE) == 0) forget(kept);
}

void UringReactor::forget(Kept& kept) {
  const std::unique_ptr<Kept> ended(&kept);
  (kept.previous ? kept.previous->next : kept_) = kept.next;
  if (kept.next) kept.next->previous = kept.previous;
  --kept.sends->outstanding;
}

// Connections are gone by now and have been reset, so nobody repeats what they sent: only what
// lies in a device's queue is waited for. What does not come back is pinned by the kernel, and
// read for a packet that its receiver throws away.
void UringReactor::end_kept() {
  const Nanos until = kept_ ? read_clock() + limits::kKeptSendsNanos : 0;
  while (kept_ && read_clock() < until) {
    __kernel_timespec patience{0, 10'000'000};
    io_uring_cqe* cqe = nullptr;
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &patience, nullptr);
    reap();
  }
  while (kept_) forget(*kept_);
}

// --- watches ------------------------------------------------------------------------------------

UringWatch::State& UringWatch::state() {
  if (state_) return *state_;
  auto& reactor = static_cast<UringReactor&>(*Reactor::current());
  state_ = new State();
  state_->reactor = &reactor;
  state_->fd = fd_;
  state_->next = std::exchange(reactor.watches_, state_);
  if (state_->next) state_->next->previous = state_;
  return *state_;
}

void UringWatch::end() {
  State* const ended = std::exchange(state_, nullptr);
  if (!ended) return;
  CAPSTAN_ASSERT(!ended->waiter);
  ended->abandoned = true;
  if (ended->reactor) {
    ended->reactor->abandon(*ended);
  } else {
    delete ended;
  }
}

void UringWatch::drained(bool maybe_end) {
  State& now = state();
  if (!maybe_end) now.ended = false;
  now.readable = now.ended;
}

void UringWatch::await_suspend(std::coroutine_handle<> handle) {
  State& now = state();
  CAPSTAN_ASSERT(Reactor::current() == now.reactor && !now.waiter);
  now.waiter = Suspended(handle);
  if (!now.armed) now.reactor->arm(now);
}

void UringWatch::wake() {
  if (awaited()) state_->reactor->make_ready(std::exchange(state_->waiter, {}));
}

void UringReactor::arm(UringWatch::State& watch) {
  io_uring_sqe* sqe = next_sqe();
  constexpr unsigned kEvents = POLLIN | POLLRDHUP;
  if (multishot_) {
    io_uring_prep_poll_multishot(sqe, watch.fd, kEvents);
  } else {
    io_uring_prep_poll_add(sqe, watch.fd, kEvents);
  }
  sqe->user_data = reinterpret_cast<std::uint64_t>(&watch) | kOfWatch;
  watch.armed = true;
}

// The kernel holds the socket as long as it has the request: a connection would not be closed with
// its descriptor. So it is taken back at once; that it has ended is read later.
void UringReactor::abandon(UringWatch::State& watch) {
  if (!watch.armed) return forget(watch);
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_cancel64(sqe, reinterpret_cast<std::uint64_t>(&watch) | kOfWatch, 0);
  sqe->user_data = 0;
  io_uring_submit_and_get_events(&ring_);
}

void UringReactor::told(UringWatch::State& watch, int events, bool more) {
  watch.armed = more;
  if (watch.abandoned) {
    if (!more) forget(watch);
    return;
  }
  if (events == -EINVAL) multishot_ = false;
  // After an error the next receive finds out what is the matter.
  watch.readable = true;
  if (events > 0 && (events & (POLLRDHUP | POLLHUP | POLLERR)) != 0) watch.ended = true;
  if (watch.waiter) make_ready(std::exchange(watch.waiter, {}));
}

void UringReactor::forget(UringWatch::State& watch) {
  (watch.previous ? watch.previous->next : watches_) = watch.next;
  if (watch.next) watch.next->previous = watch.previous;
  watch.previous = watch.next = nullptr;
  if (watch.abandoned) delete &watch;
}

// --- chores -------------------------------------------------------------------------------------

void Chore::drop() {
  if (!previous_) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  previous_ = next_ = nullptr;
}

void UringReactor::put_off(Chore& chore) {
  if (chore.previous_) return;
  chore.turn_ = counters_.turns;
  chore.next_ = &chores_;
  chore.previous_ = std::exchange(chores_.previous_, &chore);
  chore.previous_->next_ = &chore;
}

void UringReactor::run_chores(std::uint64_t last_turn) {
  while (chores_.next_ != &chores_ && chores_.next_->turn_ <= last_turn) {
    Chore& chore = *chores_.next_;
    chore.drop();
    chore.run();
  }
}

void UringReactor::arm_wakeup() {
  if (wakeup_armed_) return;
  wakeup_ = UringOp();
  wakeup_.prepared_ = true;
  wakeup_.entry_ = reinterpret_cast<std::uint64_t>(&wakeup_);
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_read(sqe, event_fd_, &event_value_, sizeof event_value_, 0);
  sqe->user_data = wakeup_.entry_;
  wakeup_armed_ = true;
}

unsigned UringReactor::reap() {
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++count;
    if (cqe->user_data == 0) continue;
    if ((cqe->user_data & kOfKept) != 0) {
      told(*reinterpret_cast<Kept*>(cqe->user_data & ~kOfKept), cqe->res, cqe->flags);
      continue;
    }
    const int result = faults_ ? faults_(cqe->res) : cqe->res;
    if ((cqe->user_data & kOfWatch) != 0) {
      auto* watch = reinterpret_cast<UringWatch::State*>(cqe->user_data & ~kOfWatch);
      told(*watch, result, (cqe->flags & IORING_CQE_F_MORE) != 0);
      continue;
    }
    complete(*reinterpret_cast<UringOp*>(cqe->user_data), result);
  }
  if (count != 0) io_uring_cq_advance(&ring_, count);
  return count;
}

bool UringReactor::run_posted() {
  Posted* stack = posted_.exchange(nullptr, std::memory_order_seq_cst);
  if (!stack) return false;
  Posted* ordered = nullptr;  // the stack is last in, first out: reverse it
  while (stack) {
    auto* next = stack->next;
    stack->next = ordered;
    ordered = stack;
    stack = next;
  }
  while (ordered) {
    std::unique_ptr<Posted> item(ordered);
    ordered = item->next;
    measured(item->work);
  }
  return true;
}

void UringReactor::wait(bool block, Nanos deadline) {
  if (run_posted()) block = false;
  if (!block) {
    const unsigned flags = IO_URING_READ_ONCE(*ring_.sq.kflags);
    constexpr unsigned kWaiting = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    if (io_uring_sq_ready(&ring_) != 0 || (flags & kWaiting) != 0) {
      io_uring_submit_and_get_events(&ring_);
    }
    reap();
    if (counters_.turns > kChoreTurns) run_chores(counters_.turns - kChoreTurns);
    return;
  }
  if (reap() != 0) return;
  run_chores(counters_.turns);
  const Nanos now = read_clock();
  if (deadline != 0 && deadline <= now) {
    if (io_uring_sq_ready(&ring_) != 0) io_uring_submit(&ring_);
    return;
  }
  if (poll_us_ != 0 && worth_spinning()) {
    Nanos until = poll_us_ < 0 ? ~Nanos{0} : now + static_cast<Nanos>(poll_us_) * 1000;
    if (deadline != 0) until = std::min(until, deadline);
    if (spin(until) || poll_us_ < 0) return;
  }
  sleep(deadline);
}

// Spinning is kept only while it pays (docs/performance.md): the average of hits must stay above a
// quarter, and the thread must not be pre-empted by its own client.
bool UringReactor::worth_spinning() {
  if (poll_us_ < 0) return true;
  if (spin_pause_ != 0) {
    --spin_pause_;
    return false;
  }
  if (spin_success_ < kSpinBelow && ++spin_sample_ % kRetryEvery != 0) return false;
  if (++spins_since_check_ >= kCheckEvery) {
    spins_since_check_ = 0;
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    const long switches = usage.ru_nivcsw - std::exchange(involuntary_switches_, usage.ru_nivcsw);
    if (switches >= kPreemptedLimit) {
      spin_pause_ = kPauseWaits;
      return false;
    }
  }
  return true;
}

bool UringReactor::spin(Nanos until) {
  ++counters_.spins;
  bool hit = false;
  do {
    io_uring_submit_and_get_events(&ring_);
    hit = reap() != 0 || run_posted();
  } while (!hit && read_clock() < until);
  if (hit) ++counters_.spin_hits;
  spin_success_ += (hit ? kFullScore : 0) / 8;
  spin_success_ -= spin_success_ / 8;
  return hit;
}

void UringReactor::sleep(Nanos deadline) {
  arm_wakeup();
  asleep_.store(true, std::memory_order_seq_cst);
  // A message posted before the store saw "awake" and wrote no event: look once more.
  if (posted_.load(std::memory_order_seq_cst) == nullptr) {
    ++counters_.sleeps;
    io_uring_cqe* cqe = nullptr;
    if (deadline == 0) {
      io_uring_submit_and_wait(&ring_, 1);
    } else {
      const Nanos now = read_clock();
      const Nanos left = deadline > now ? deadline - now : 0;
      __kernel_timespec timeout{static_cast<long long>(left / kSecond),
                                static_cast<long long>(left % kSecond)};
      io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
    }
  }
  asleep_.store(false, std::memory_order_seq_cst);
  reap();
  run_posted();
}

}  // namespace capstan::core
