// Why this file exists: group commit (barrier.h). Whoever finds no flush running starts one for all
// who are waiting; tickets say which flush is late enough for whom.
#include "storage/pool/barrier.h"

namespace capstan::storage::lvs {

core::Task<Result<void>> Barrier::pass() {
  if (failure_) co_return std::unexpected(*failure_);
  if (!device_.volatile_cache()) {
    auto actions = std::exchange(actions_, {});
    for (auto& action : actions) action();
    co_return Result<void>{};
  }
  const std::uint64_t ticket = started_ + 1;  // the first flush that starts after this moment
  while (finished_ < ticket && !failure_) {
    if (running_) {
      co_await changed_.wait();
      continue;
    }
    running_ = true;
    const std::uint64_t number = ++started_;
    auto actions = std::exchange(actions_, {});
    Result<void> flushed;
    {
      const RequestWatch::Entry watched(watch_);
      flushed = co_await device_.flush();
    }
    running_ = false;
    finished_ = number;
    if (!flushed)
      failure_ = std::move(flushed.error());
    else
      for (auto& action : actions) action();
    changed_.notify_all();
  }
  if (failure_) co_return std::unexpected(*failure_);
  co_return Result<void>{};
}

void Barrier::after(std::move_only_function<void()> action) {
  if (!device_.volatile_cache())
    action();
  else
    actions_.push_back(std::move(action));
}

}  // namespace capstan::storage::lvs
