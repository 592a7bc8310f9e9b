// Why this file exists: how one simulated node ends. It counts I/O, ends the node at the ordered
// one, and tells every medium of it, so that each decides what survived: a power cut loses what was
// not synced; killing the process (kill -9) loses only its own I/O in flight, if that.
// An epoch counts the lives of the node: a handle of an older epoch is dead for good.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::core {

class SimPower {
 public:
  enum class Cut : std::uint8_t { kPower, kKill };
  // What notices. Listeners outlive the power.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void power_failed(Cut cut) = 0;
  };

  bool on() const { return on_; }
  std::uint64_t epoch() const { return epoch_; }
  std::uint64_t io_count() const { return io_count_; }
  void cut_after(std::uint64_t ios, Cut cut) {
    cut_at_ = ios == 0 ? 0 : io_count_ + ios;
    ordered_ = cut;
  }
  void add(Listener& listener) { listeners_.push_back(&listener); }
  void remove(Listener& listener) { std::erase(listeners_, &listener); }

  void cut(Cut cut) {
    if (!on_) return;
    on_ = false;
    ++epoch_;
    cut_at_ = 0;
    const auto listeners = listeners_;
    for (auto* listener : listeners) {  // one may take others along (contents of lost files)
      if (std::find(listeners_.begin(), listeners_.end(), listener) != listeners_.end()) {
        listener->power_failed(cut);
      }
    }
  }
  void restore() { on_ = true; }

  // Called once per I/O after it was registered as in flight: the power may fail here.
  void count_io() {
    ++io_count_;
    if (cut_at_ != 0 && io_count_ >= cut_at_) cut(ordered_);
  }
  // EIO unless a handle opened in `epoch` may still work.
  Result<void> check(std::uint64_t epoch, const std::string& object) const;

 private:
  bool on_ = true;
  std::uint64_t epoch_ = 0, io_count_ = 0, cut_at_ = 0;
  Cut ordered_ = Cut::kPower;
  std::vector<Listener*> listeners_;
};

}  // namespace capstan::core
