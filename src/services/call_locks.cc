// Why this file exists: see call_locks.h.
#include "services/call_locks.h"

namespace capstan::services {

Result<void> CallLocks::refused(const std::string& name, const core::CancelToken& token) const {
  if (closed_) {
    return fail(Code::kUnavailable,
                "the node is stopping and changes nothing more; ask again "
                "when it runs");
  }
  if (!token.fired()) return {};
  return fail(token.reason(), "another call on " + what_ + " '" + name +
                                  "' has not ended, and this one waited for it; look after the "
                                  "disk, then try again");
}

core::Task<Result<CallLocks::Guard>> CallLocks::lock(std::string name, core::CancelToken token) {
  if (name.empty()) co_return Guard();
  CO_TRY(refused(name, token));
  const auto [held, first] = held_.try_emplace(name);
  if (first) co_return Guard(this, std::move(name));
  Waiter waiter;
  auto& queue = held->second;
  queue.push_back(&waiter);
  const core::CancelCallback give_up(token, [&] {
    if (waiter.done.is_set()) return;
    std::erase(queue, &waiter);
    waiter.done.set();
  });
  co_await waiter.done.wait();
  if (waiter.granted) co_return Guard(this, std::move(name));
  co_return std::unexpected(refused(name, token).error());
}

void CallLocks::unlock(const std::string& name) {
  const auto held = held_.find(name);
  if (held->second.empty()) {
    held_.erase(held);
    changed_.notify_all();
    return;
  }
  Waiter* next = held->second.front();
  held->second.pop_front();
  next->granted = true;
  next->done.set();
}

core::Task<void> CallLocks::close() {
  closed_ = true;
  for (auto& [name, queue] : held_) {
    for (Waiter* waiter : std::exchange(queue, {})) waiter->done.set();
  }
  while (!held_.empty()) co_await changed_.wait();
}

std::size_t CallLocks::waiting(const std::string& name) const {
  const auto held = held_.find(name);
  return held == held_.end() ? 0 : held->second.size();
}

}  // namespace capstan::services
