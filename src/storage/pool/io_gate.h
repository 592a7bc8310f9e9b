// Why this file exists: a replica may only be unloaded or destroyed when no request of it is in
// flight, and no request may begin afterwards. Every request holds a Pass from its first to its
// last step; close() refuses new ones, drained() waits for the old ones. Thread-safety: one core.
#pragma once

#include <cstddef>
#include <utility>

#include "core/sync.h"

namespace capstan::storage::lvs {

class IoGate {
 public:
  class Pass {
   public:
    explicit Pass(IoGate* gate) : gate_(gate) { ++gate_->inside_; }
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ && --gate_->inside_ == 0) gate_->idle_.notify_all();
    }

   private:
    IoGate* gate_;
  };

  bool open() const { return open_; }
  Pass enter() {
    CAPSTAN_ASSERT(open_);
    return Pass(this);
  }
  void close() { open_ = false; }
  void reopen() { open_ = true; }
  core::Task<void> drained() {
    while (inside_ != 0) co_await idle_.wait();
  }

 private:
  bool open_ = true;
  std::size_t inside_ = 0;
  core::Event idle_;
};

}  // namespace capstan::storage::lvs
