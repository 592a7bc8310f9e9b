// Why this file exists: a timer for limits that are set anew with every request and hardly ever
// reached. A Timer pays for its place in the reactor's order each time it is armed or disarmed;
// this one stays where it is when it is set to a later time or stopped, and looks when it gets
// there whether its time has come. The price is one wake-up too many when it was stopped.
// Thread-safety: one core, like core::Timer.
#pragma once

#include <utility>

#include "core/reactor.h"

namespace capstan::core {

class MovingTimer {
 public:
  explicit MovingTimer(std::move_only_function<void()> function)
      : function_(std::move(function)), timer_([this] { look(); }) {}

  void arm_at(Reactor& reactor, Nanos when) {
    reactor_ = &reactor;
    when_ = when == 0 ? 1 : when;
    if (!timer_.armed() || when_ < place_) move_to(when_);
  }
  // The function is not called before it is armed again.
  void disarm() { when_ = 0; }
  bool armed() const { return when_ != 0; }

 private:
  void move_to(Nanos when) {
    place_ = when;
    timer_.arm_at(*reactor_, when);
  }
  void look() {
    if (when_ == 0) return;
    if (reactor_->now() < when_) return move_to(when_);
    when_ = 0;
    function_();
  }

  std::move_only_function<void()> function_;
  Reactor* reactor_ = nullptr;
  Nanos when_ = 0;   // 0: stopped
  Nanos place_ = 0;  // of timer_, while it is armed
  Timer timer_;
};

}  // namespace capstan::core
