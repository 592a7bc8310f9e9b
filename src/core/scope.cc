// Why this file exists: the self-destroying driver coroutine that owns each child of a Scope.
#include "core/scope.h"

namespace capstan::core {

struct Scope::Driver {
  struct promise_type {
    static void* operator new(std::size_t size) { return frame_allocate(size); }
    static void operator delete(void* frame, std::size_t size) { frame_free(frame, size); }
    Driver get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<> handle;
};

Scope::Driver Scope::drive(Task<void> task) {
  {
    Task<void> owned = std::move(task);  // destroyed before the joiner may run
    co_await std::move(owned);
  }
  child_ended();
}

void Scope::spawn(Task<void> task) {
  ++children_;
  Reactor::current()->make_ready(drive(std::move(task)).handle);
}

void Scope::child_ended() {
  --children_;
  if (children_ == 0 && joiner_) Reactor::current()->make_ready(std::exchange(joiner_, {}));
}

namespace {
struct Park {
  Suspended& slot;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    CAPSTAN_ASSERT(!slot);
    slot = Suspended(handle);
  }
  void await_resume() const noexcept {}
};
}  // namespace

Task<void> Scope::join() {
  while (children_ != 0) co_await Park{joiner_};
}

}  // namespace capstan::core
