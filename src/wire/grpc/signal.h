// Why this file exists: wakes the one coroutine that waits for "something changed": a session's
// writer, a call's reader. Setting before waiting is not lost. core::Event serves many waiters and
// costs an allocation; a call has three of these.
// Thread-safety: one core.
#pragma once

#include <coroutine>
#include <utility>

#include "base/assert.h"
#include "core/reactor.h"

namespace capstan::wire {

class Signal {
 public:
  Signal() = default;
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal() { CAPSTAN_ASSERT(!waiter_); }

  void notify() {
    if (waiter_) {
      core::Reactor::current()->make_ready(std::exchange(waiter_, {}));
    } else {
      set_ = true;
    }
  }
  bool waited_for() const { return static_cast<bool>(waiter_); }
  void clear() { set_ = false; }

  struct Wait {
    Signal& signal;
    bool await_ready() const noexcept { return std::exchange(signal.set_, false); }
    void await_suspend(std::coroutine_handle<> handle) {
      CAPSTAN_ASSERT(!signal.waiter_);
      signal.waiter_ = core::Suspended(handle);
    }
    void await_resume() const noexcept {}
  };
  // Waiters loop: a wake-up says that something changed, not what.
  Wait wait() { return Wait{*this}; }

 private:
  core::Suspended waiter_;
  bool set_ = false;
};

}  // namespace capstan::wire
