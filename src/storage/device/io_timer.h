// Why this file exists: one way to time an operation for IoStats. Made when the operation starts,
// done() when it has succeeded; failed operations are not counted.
#pragma once

#include "core/reactor.h"
#include "storage/device/device.h"

namespace capstan::storage {

class IoTimer {
 public:
  IoTimer() : reactor_(core::Reactor::current()), start_(reactor_->read_clock()) {}
  void done(IoStats::Kind& kind, std::uint64_t bytes) const {
    kind.add(bytes, reactor_->read_clock() - start_);
  }

 private:
  core::Reactor* reactor_;
  core::Nanos start_;
};

}  // namespace capstan::storage
