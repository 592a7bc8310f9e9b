// Why this file exists: for wires that do not do it themselves: a call's token and its deadline as
// one token. Thread-safety: one core.
#pragma once

#include "core/cancel.h"
#include "core/reactor.h"
#include "wire/grpc/client_session.h"

namespace capstan::client {

class Patience {
 public:
  explicit Patience(const wire::CallOptions& options)
      : source_(options.token), timer_([this] { source_.fire(Code::kDeadlineExceeded); }) {
    if (options.deadline != 0) timer_.arm_at(*core::Reactor::current(), options.deadline);
  }
  core::CancelToken token() const { return source_.token(); }

 private:
  core::CancelSource source_;
  core::Timer timer_;
};

}  // namespace capstan::client
