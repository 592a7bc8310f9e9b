// Why this file exists: the part of the loop that real and simulated reactors share: the ready
// queue, timers, the stall detector, and which reactor the thread is running (the one thread_local
// that is state: a coroutine must find its core's ready queue without carrying it everywhere).
#include "core/reactor.h"

#include <algorithm>

#include "base/limits.h"
#include "core/scope.h"

namespace capstan::core {

namespace {
thread_local Reactor* current_reactor = nullptr;
// Asking for CPU time is a system call, so nobody asks before every task: a stall is measured from
// the last look, which was at most this long before it.
constexpr Nanos kCpuSampleNanos = 5 * kMillisecond;
}  // namespace

Reactor::Reactor() = default;
Reactor::~Reactor() = default;

Reactor* Reactor::current() {
  return current_reactor;
}

Reactor::Current::Current(Reactor* reactor) : previous_(std::exchange(current_reactor, reactor)) {}
Reactor::Current::~Current() {
  current_reactor = previous_;
}

Suspended::Suspended(std::coroutine_handle<> handle)
    : handle_(handle), name_(current_reactor ? current_reactor->task_name_ : nullptr) {}

void Reactor::make_ready(Suspended suspended) {
  ready_.push_back(suspended);
}

void Reactor::spawn_root(Task<void> task) {
  CAPSTAN_ASSERT(roots_);  // only inside run()
  roots_->spawn(std::move(task));
}

bool Reactor::turn() {
  ++counters_.turns;
  set_now(read_clock());
  sample_cpu(now_);
  running_.swap(ready_);
  const bool worked = !running_.empty();
  Nanos before = now_;
  for (const auto& suspended : running_) {
    task_name_ = suspended.name_;
    suspended.handle_.resume();
    before = account(before);
  }
  counters_.resumed += running_.size();
  running_.clear();
  return fire_timers() || worked;
}

Nanos Reactor::account(Nanos before) {
  const Nanos after = read_clock();
  const Nanos held = after - before;
  counters_.busy_ns += held;
  if (held > limits::kStallNanos) {
    report_stall(held, after);
  } else {
    sample_cpu(after);
  }
  task_name_ = nullptr;
  return after;
}

void Reactor::sample_cpu(Nanos now) {
  if (now - cpu_sampled_at_ < kCpuSampleNanos) return;
  cpu_ = read_cpu();
  cpu_sampled_at_ = now;
}

// Little CPU time alone is no excuse: a task that waits in a system call holds the core as well.
void Reactor::report_stall(Nanos held, Nanos now) {
  const CpuUse before = std::exchange(cpu_, read_cpu());
  cpu_sampled_at_ = now;
  Stall stall{task_name_ ? task_name_ : "unnamed", held, 0, false};
  stall.cpu_ns = std::min(held, cpu_.cpu_ns - before.cpu_ns);
  stall.preempted = stall.cpu_ns <= limits::kStallNanos &&
                    cpu_.involuntary_switches != before.involuntary_switches;
  ++(stall.preempted ? counters_.preempted : counters_.stalls);
  if (stall_observer_) stall_observer_(stall);
}

void Reactor::run(Task<void> task) {
  Current current(this);
  set_now(read_clock());
  CAPSTAN_ASSERT(!roots_);
  roots_ = std::make_unique<Scope>();
  roots_->spawn(std::move(task));
  while (roots_->children() != 0) {
    const bool worked = turn();
    if (roots_->children() == 0) break;
    wait(!worked && ready_.empty(), next_deadline());
  }
  roots_.reset();
}

Nanos Reactor::next_deadline() const {
  return timers_.empty() ? 0 : timers_.begin()->first;
}

bool Reactor::fire_timers() {
  bool fired = false;
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    Timer* timer = timers_.begin()->second;
    timers_.erase(timers_.begin());
    timer->reactor_ = nullptr;
    fired = true;
    measured([timer] { timer->function_(); });
  }
  return fired;
}

void Timer::arm_at(Reactor& reactor, Nanos when) {
  disarm();
  reactor_ = &reactor;
  position_ = reactor.timers_.emplace(when == 0 ? 1 : when, this);
}

void Timer::disarm() {
  if (reactor_) std::exchange(reactor_, nullptr)->timers_.erase(position_);
}

void name_task(const char* name) {
  if (auto* reactor = Reactor::current()) reactor->task_name_ = name;
}

Task<Result<void>> sleep_for(Nanos duration, CancelToken token) {
  struct Sleep {
    CancelToken& token;
    Nanos when;
    Suspended waiter;
    std::optional<Timer> timer;
    std::optional<CancelCallback> callback;

    bool await_ready() const { return token.fired(); }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter = handle;
      timer.emplace([this] { wake(); });
      timer->arm_at(*Reactor::current(), when);
      callback.emplace(token, [this] { wake(); });
    }
    void wake() {
      timer->disarm();
      if (auto handle = std::exchange(waiter, {})) Reactor::current()->make_ready(handle);
    }
    void await_resume() const {}
  };
  Sleep sleep{token, Reactor::current()->read_clock() + duration, {}, {}, {}};
  co_await sleep;
  co_return token.check();
}

}  // namespace capstan::core
