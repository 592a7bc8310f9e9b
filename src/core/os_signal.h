// Why this file exists: SIGINT, SIGTERM and SIGHUP as something a coroutine awaits (signalfd), so
// shutdown runs as ordinary code on core 0 and no code of ours runs inside a signal handler.
#pragma once

#include <memory>

#include "base/result.h"
#include "core/task.h"
#include "core/uring_reactor.h"

namespace capstan::core {

class SignalSet {
 public:
  // Blocks these signals for this thread and those it starts, and ignores SIGPIPE. Made before any
  // other thread exists.
  static Result<std::unique_ptr<SignalSet>> create();
  ~SignalSet();
  // The number of the next signal; kCancelled after cancel().
  Task<Result<int>> wait();
  void cancel();

 private:
  explicit SignalSet(int fd) : fd_(fd) {}
  int fd_;
  UringOp reading_;
  bool cancelled_ = false;
};

}  // namespace capstan::core
