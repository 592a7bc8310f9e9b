// Why this file exists: a device that fails says so, one that hangs says nothing: a request goes in
// and never comes back. The requests of a pool stand in a list, oldest first, while they are in
// flight, and a timer that runs only then looks at the oldest. Who waits goes on waiting (the
// kernel holds the buffer until it answers); but the pool says what is wrong meanwhile.
// Ownership: entries stand in the frames of the requests; the watch outlives them.
// Thread-safety: one core.
#pragma once

#include <functional>
#include <utility>

#include "core/reactor.h"

namespace capstan::storage::lvs {

// Longer than a loaded disk takes, shorter than the kernel's own time-out of a disk (30 s).
inline constexpr core::Nanos kStalledAfter = 10 * core::kSecond;

class RequestWatch {
 public:
  // `stalled` is called once, when a request has been in flight for kStalledAfter.
  explicit RequestWatch(std::move_only_function<void()> stalled)
      : stalled_(std::move(stalled)), timer_([this] { look(); }) {}
  ~RequestWatch() { CAPSTAN_ASSERT(!oldest_); }
  RequestWatch(const RequestWatch&) = delete;
  RequestWatch& operator=(const RequestWatch&) = delete;

  // A request, from here to the end of its scope.
  class Entry {
   public:
    explicit Entry(RequestWatch& watch) : watch_(watch), older_(watch.newest_) {
      core::Reactor& reactor = *core::Reactor::current();
      begun_ = reactor.now();
      (older_ ? older_->newer_ : watch_.oldest_) = this;
      watch_.newest_ = this;
      if (watch_.stalled_ && !watch_.timer_.armed())
        watch_.timer_.arm_at(reactor, begun_ + kStalledAfter);
    }
    ~Entry() {
      (older_ ? older_->newer_ : watch_.oldest_) = newer_;
      (newer_ ? newer_->older_ : watch_.newest_) = older_;
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    friend class RequestWatch;
    RequestWatch& watch_;
    Entry* older_;
    Entry* newer_ = nullptr;
    core::Nanos begun_ = 0;
  };

 private:
  // Whoever comes while the timer runs is younger than what it was set for, so it is set anew for
  // the oldest that is left, and rests when there is none.
  void look() {
    if (!oldest_ || !stalled_) return;
    core::Reactor& reactor = *core::Reactor::current();
    const core::Nanos due = oldest_->begun_ + kStalledAfter;
    if (due > reactor.now()) return timer_.arm_at(reactor, due);
    std::exchange(stalled_, {})();
  }

  std::move_only_function<void()> stalled_;  // empty once it was called
  core::Timer timer_;
  Entry* oldest_ = nullptr;
  Entry* newest_ = nullptr;
};

}  // namespace capstan::storage::lvs
