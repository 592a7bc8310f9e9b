// Why this file exists: changes of one object follow each other, and those of others go on beside
// them, also while one waits for a disk that does not answer. Locks have names (of pools, of
// devices); who comes later waits, first come, first served, until the caller's token fires.
// This is about the order of calls; ResourceLocks says what may not be at the same time at all.
// Lifetimes: guards and waiting calls do not outlive the locks. Thread-safety: core 0.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "base/result.h"
#include "core/cancel.h"
#include "core/sync.h"
#include "core/task.h"
#include "services/name_guard.h"

namespace capstan::services {

class CallLocks {
 public:
  using Guard = NameGuard<CallLocks>;

  // `what` the names are of, for messages ("pool").
  explicit CallLocks(std::string what) : what_(std::move(what)) {}
  ~CallLocks() { CAPSTAN_ASSERT(held_.empty()); }
  CallLocks(const CallLocks&) = delete;
  CallLocks& operator=(const CallLocks&) = delete;

  // An empty name is that of nothing: its guard holds nothing. The token's code (kCancelled,
  // kDeadlineExceeded) when it fires first; kUnavailable once closed.
  core::Task<Result<Guard>> lock(std::string name, core::CancelToken token);
  // Refuses whoever comes or waits from now on, and waits until every guard is back.
  core::Task<void> close();
  std::size_t waiting(const std::string& name) const;

 private:
  friend Guard;
  struct Waiter {
    core::Event done;
    bool granted = false;
  };
  Result<void> refused(const std::string& name, const core::CancelToken& token) const;
  void unlock(const std::string& name);

  std::string what_;
  std::map<std::string, std::deque<Waiter*>> held_;  // by name: who waits for it
  bool closed_ = false;
  core::Event changed_;
};

}  // namespace capstan::services
