// Why this file exists: Task<T>, the one coroutine type of Capstan. A Task is lazy (it runs when it
// is awaited), has exactly one owner, and resumes its caller by symmetric transfer, so a chain of
// calls that never suspends costs neither stack nor a trip through the reactor.
//
// Rules (docs/architecture.md, "Coroutines"):
//   * values in: a coroutine copies what it needs; a reference parameter is used after the first
//     await only when its type promises to outlive the call (Call&, Reactor&, this of an owner);
//   * no capturing lambda coroutines; * no lock or guard across an await unless its type says so;
//   * a Task with work in flight is never destroyed: the kernel may still write into its frame.
//
// [[clang::coro_only_destroy_when_complete]] is deliberately absent: a Task that was never started
// (its caller returned early) is destroyed at its first suspension point, which is legal here.
// [[clang::coro_return_type]] is absent as well: it forbids std::function and lambdas that hand on
// the Task of a named coroutine, which is how handlers are bound and how on() crosses cores.
// g++ 12 miscompiles coroutines silently, hence the refusal below.
#pragma once

#if !defined(__clang__) || __clang_major__ < 19
#error "Capstan needs clang 19 or newer: g++ 12 and older clang miscompile coroutines"
#endif

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "core/frame_pool.h"

namespace capstan::core {

template <class T>
class Task;

namespace internal {

struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
    auto caller = self.promise().caller;
    return caller ? caller : std::noop_coroutine();
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> caller;

  static void* operator new(std::size_t size) { return frame_allocate(size); }
  static void operator delete(void* frame, std::size_t size) { frame_free(frame, size); }

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  // Exceptions do not cross our code: one that arrives here is a programmer error.
  void unhandled_exception() { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U = T>  // so that "co_return {};" works
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace internal

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;

  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().caller = caller;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

namespace internal {
template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}
}  // namespace internal

}  // namespace capstan::core
