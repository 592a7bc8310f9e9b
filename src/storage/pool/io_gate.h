// Why this file exists: a replica may only be unloaded or destroyed when no request of it is in
// flight, and no request may begin afterwards. Every request holds a Pass from its first to its
// last step; close() refuses new ones, drained() waits for the old ones. turn_over() waits for
// those that are inside now and lets new ones in meanwhile: a volume that shrinks has told them its
// new end. Thread-safety: one core.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "core/sync.h"

namespace capstan::storage::lvs {

class IoGate {
 public:
  class Pass {
   public:
    Pass(IoGate* gate, std::size_t turn) : gate_(gate), turn_(turn) { ++gate_->inside_[turn_]; }
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)), turn_(other.turn_) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ && --gate_->inside_[turn_] == 0) gate_->idle_.notify_all();
    }

   private:
    IoGate* gate_;
    std::size_t turn_;
  };

  bool open() const { return open_; }
  Pass enter() {
    CAPSTAN_ASSERT(open_);
    return Pass(this, turn_);
  }
  void close() { open_ = false; }
  void reopen() { open_ = true; }
  core::Task<void> drained() {
    while (inside_[0] + inside_[1] != 0) co_await idle_.wait();
  }
  // One caller at a time.
  core::Task<void> turn_over() {
    const std::size_t before = std::exchange(turn_, 1 - turn_);
    while (inside_[before] != 0) co_await idle_.wait();
  }

 private:
  bool open_ = true;
  std::array<std::size_t, 2> inside_{};
  std::size_t turn_ = 0;
  core::Event idle_;
};

}  // namespace capstan::storage::lvs
