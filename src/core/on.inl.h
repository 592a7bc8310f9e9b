// Why this file exists: the body of core::on() (core/env.h): ownership moves with the message, and
// the caller is resumed by a message back. Included only by core/env.h.
#pragma once

namespace capstan::core {

namespace internal {

template <class T>
struct Crossing {
  std::move_only_function<Task<T>()> function;
  std::optional<T> result;
  Suspended caller;
  Reactor* home = nullptr;

  static Task<void> body(Crossing* self) { self->result.emplace(co_await self->function()); }
  static Task<void> finish(Crossing* self) {
    co_await body(self);
    // From the hand-over on *self belongs to the home core; only this frame is still ours.
    Reactor* home = self->home;
    home->post([self] { Reactor::current()->make_ready(self->caller); });
  }
};

}  // namespace internal

template <class T>
Task<T> on(Reactor& target, std::move_only_function<Task<T>()> function) {
  internal::Crossing<T> crossing{std::move(function), {}, {}, Reactor::current()};
  struct Awaiter {
    internal::Crossing<T>& crossing;
    Reactor& target;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      crossing.caller = handle;
      target.post([this_crossing = &crossing, reactor = &target] {
        name_task(this_crossing->caller.name());
        reactor->spawn_root(internal::Crossing<T>::finish(this_crossing));
      });
    }
    void await_resume() const noexcept {}
  };
  co_await Awaiter{crossing, target};
  co_return std::move(*crossing.result);
}

}  // namespace capstan::core
