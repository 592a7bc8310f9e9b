// Why this file exists: a change that waits for a disk cannot be given up: the kernel holds its
// buffers. Its caller can. So the change runs as a child of the engine and the call waits beside
// it: when the deadline passes or the client goes, the call is answered at once, and the change
// goes on to its own end, which the log tells.
// Lifetimes: `work` refers to the engine and to nothing of the call. Thread-safety: core 0.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/cancel.h"
#include "core/sync.h"
#include "services/engine.h"

namespace capstan::services {

template <class T>
struct CarriedOn {
  std::optional<Result<T>> result;
  bool left = false;  // nobody waits for it any more
  core::Event ended;
};

template <class T>
core::Task<void> drive_on(Engine& engine, core::Task<Result<T>> work, std::string what,
                          std::shared_ptr<CarriedOn<T>> shared) {
  shared->result.emplace(co_await work);
  if (shared->left && !*shared->result) {
    engine.log().warn("change_failed_late",
                      {{"change", what}, {"error", shared->result->error().text()}});
  }
  shared->ended.set();
}

// The result of `work`, or the token's code when that fires first. `what` names the change for
// messages: "create pool 'p'".
template <class T>
core::Task<Result<T>> carry_on(Engine& engine, core::Task<Result<T>> work, core::CancelToken token,
                               std::string what) {
  auto shared = std::make_shared<CarriedOn<T>>();
  engine.changes().spawn(drive_on(engine, std::move(work), what, shared));
  const core::CancelCallback wake(token, [&shared] { shared->ended.notify_all(); });
  while (!shared->result && !token.fired()) co_await shared->ended.wait();
  // What only waited for others hears of the token as well, and has changed nothing.
  if (!shared->result) co_await core::yield();
  if (shared->result) co_return std::move(*shared->result);
  shared->left = true;
  const std::string state = engine.state().trouble();
  co_return fail(token.reason(), what + ": " +
                                     (state.empty() ? "its disk has not answered yet" : state) +
                                     "; it goes on, and the lists show when it has ended");
}

// Asked right before a change begins; it refers to nothing of the call. Empty: there is nothing to
// ask.
using Precheck = std::move_only_function<Result<void>()>;

// `change` once it is its turn among the calls on `name`, if `check` has no objection by then.
template <class T>
core::Task<Result<T>> in_turn(CallLocks& locks, std::string name, core::Task<Result<T>> change,
                              core::CancelToken token, Precheck check = {}) {
  CO_TRY_SET(const auto guard, co_await locks.lock(std::move(name), std::move(token)));
  if (check) CO_TRY(check());
  co_return co_await change;
}

}  // namespace capstan::services
