// Why this file exists: structured concurrency. A Scope starts children and is joined before it is
// destroyed; nothing in Capstan runs detached. cancel() asks the children to end through the
// scope's token, join() waits until the last one has.
// Thread-safety: one core.
#pragma once

#include <cstddef>

#include "core/cancel.h"
#include "core/reactor.h"
#include "core/task.h"

namespace capstan::core {

class Scope {
 public:
  Scope() = default;
  explicit Scope(const CancelToken& parent) : source_(parent) {}
  ~Scope() { CAPSTAN_ASSERT(children_ == 0); }  // join() first
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Takes ownership of the task and starts it in the current turn of the reactor.
  void spawn(Task<void> task);
  void cancel(Code reason = Code::kCancelled) { source_.fire(reason); }
  CancelToken token() const { return source_.token(); }
  std::size_t children() const { return children_; }
  // Waits until no child runs. One waiter at a time.
  Task<void> join();

 private:
  struct Driver;
  friend struct Driver;
  Driver drive(Task<void> task);
  void child_ended();

  CancelSource source_;
  std::size_t children_ = 0;
  Suspended joiner_;
};

}  // namespace capstan::core
