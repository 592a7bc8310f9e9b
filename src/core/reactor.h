// Why this file exists: one Reactor runs one core: ready coroutines, timers, and messages from
// other cores. How it waits when there is nothing to do is the business of the two
// implementations: UringReactor (core/uring_reactor.h) sleeps in io_uring without a tick,
// SimReactor (core/sim_env.h) advances virtual time.
//
// Thread-safety: everything but post() belongs to the thread that runs the reactor. Objects of a
// core are touched only by that core; crossing is explicit: co_await on(reactor, function).
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/cancel.h"
#include "core/task.h"

namespace capstan::core {

using Nanos = std::uint64_t;  // monotonic clock, or a duration
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

class Timer;
class Scope;

// A suspended coroutine and the name it ran under (name_task()). Awaiters make one of their handle
// in await_suspend() and keep it, so that whoever is resumed has its own name again.
class Suspended {
 public:
  Suspended() = default;
  Suspended(std::coroutine_handle<> handle);  // NOLINT(google-explicit-constructor)
  explicit operator bool() const { return static_cast<bool>(handle_); }
  const char* name() const { return name_; }

 private:
  friend class Reactor;
  std::coroutine_handle<> handle_;
  const char* name_ = nullptr;
};

class Reactor {
 public:
  // A task, a timer or a message that held the core longer than limits::kStallNanos, or a core that
  // was taken away from it meanwhile. `task` is the name from name_task(), or "unnamed".
  struct Stall {
    const char* task;
    Nanos held_ns;   // on the clock
    Nanos cpu_ns;    // of these on a CPU; a few milliseconds too many at most
    bool preempted;  // the system ran other threads in this one's place: no fault of the task
  };
  using StallObserver = std::function<void(const Stall& stall)>;

  virtual ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // The reactor whose thread this is; null outside of one.
  static Reactor* current();

  // Queues a coroutine to be resumed in this turn or the next. Owner thread only.
  void make_ready(Suspended suspended);
  // Runs `work` on this reactor's thread soon. Any thread; wakes a sleeping reactor.
  virtual void post(std::move_only_function<void()> work) = 0;

  // Starts a task that the reactor itself owns until it ends; run() joins these. Only for what has
  // no narrower owner: the far side of on(). Owner thread only.
  void spawn_root(Task<void> task);

  // Monotonic time, constant during one turn of the loop.
  Nanos now() const { return now_; }
  // Monotonic time read afresh; for measuring.
  virtual Nanos read_clock() const = 0;

  void on_stall(StallObserver observer) { stall_observer_ = std::move(observer); }

  // Resumes everything that is ready, then fires due timers. True if anything ran.
  bool turn();
  // Runs until `task` is complete. The caller's thread becomes this reactor's thread.
  void run(Task<void> task);

  struct Counters {
    std::uint64_t turns = 0, resumed = 0, sleeps = 0, spins = 0, spin_hits = 0;
    std::uint64_t stalls = 0, preempted = 0;  // by Stall::preempted
    Nanos busy_ns = 0;
  };
  const Counters& counters() const { return counters_; }

 protected:
  Reactor();
  // Waits for I/O, a message, or `deadline` (0 = no deadline); completes what is complete. With
  // `block` false it only collects what is there.
  virtual void wait(bool block, Nanos deadline) = 0;
  void set_now(Nanos now) { now_ = now; }
  // What the thread has used so far. Dearer than the clock: read every few milliseconds.
  struct CpuUse {
    Nanos cpu_ns = 0;
    std::uint64_t involuntary_switches = 0;  // the system took the CPU away
  };
  virtual CpuUse read_cpu() const { return {read_clock(), 0}; }
  // Makes this the thread's current reactor for the lifetime of the object.
  class Current {
   public:
    explicit Current(Reactor* reactor);
    ~Current();

   private:
    Reactor* previous_;
  };
  // Runs `work`, counting its time and looking for a stall as for every task.
  template <class Work>
  void measured(Work&& work) {
    task_name_ = nullptr;
    const Nanos before = read_clock();
    sample_cpu(before);
    work();
    account(before);
  }
  Counters counters_;

 private:
  friend class Timer;
  friend class Suspended;
  friend void name_task(const char* name);
  Nanos next_deadline() const;
  bool fire_timers();
  // What has run since `before` was one task; answers the time now.
  Nanos account(Nanos before);
  void sample_cpu(Nanos now);
  void report_stall(Nanos held, Nanos now);

  std::vector<Suspended> ready_, running_;
  std::multimap<Nanos, Timer*> timers_;
  std::unique_ptr<Scope> roots_;
  Nanos now_ = 0;
  const char* task_name_ = nullptr;
  StallObserver stall_observer_;
  CpuUse cpu_;  // as of cpu_sampled_at_
  Nanos cpu_sampled_at_ = 0;
};

// A one-shot timer: calls `function` on the reactor that armed it, never after disarm().
class Timer {
 public:
  explicit Timer(std::move_only_function<void()> function) : function_(std::move(function)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm_at(Reactor& reactor, Nanos when);
  void disarm();
  bool armed() const { return reactor_ != nullptr; }

 private:
  friend class Reactor;
  std::move_only_function<void()> function_;
  Reactor* reactor_ = nullptr;
  std::multimap<Nanos, Timer*>::iterator position_;
};

// Names the running task, and what it spawns from here on, for the stall detector. `name` must
// outlive the task: a literal, or a name kept by an object that does.
void name_task(const char* name);

// Suspends until the reactor has run everything else that is ready: long loops call it.
struct Yield {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const {
    Reactor::current()->make_ready(handle);
  }
  void await_resume() const noexcept {}
};
inline Yield yield() {
  return {};
}

// Sleeps for `duration`, or fails with the token's code when the token fires first.
Task<Result<void>> sleep_for(Nanos duration, CancelToken token = {});

}  // namespace capstan::core
