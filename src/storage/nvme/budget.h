// Why this file exists: the memory that the data of running commands may take, over all connections
// of a target, and the part of it that one connection may have. A command that finds none left
// waits, and with it only its connection: who has nothing may always take for one command, so that
// hosts which do not read their answers never stop the others.
// Memory of an answer that leaves on another core is counted there by a Budget of that core, which
// reports what is given back (away.h). Thread-safety: one core.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "base/assert.h"
#include "core/sync.h"

namespace capstan::storage::nvme {

class Budget {
 public:
  explicit Budget(std::size_t bytes) : whole_(static_cast<std::ptrdiff_t>(bytes)), left_(whole_) {}
  // A part of `parent`, which outlives it.
  Budget(Budget& parent, std::size_t bytes) : Budget(bytes) { parent_ = &parent; }
  // Calls `given` with all that is given back.
  Budget(std::size_t bytes, std::move_only_function<void(std::size_t)> given) : Budget(bytes) {
    given_ = std::move(given);
  }
  ~Budget() { CAPSTAN_ASSERT(left_ == whole_); }
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  bool try_take(std::size_t bytes) {
    const auto wanted = static_cast<std::ptrdiff_t>(bytes);
    const bool first = left_ == whole_;
    if (wanted > left_) return false;
    if (parent_ && !first && parent_->left_ < wanted) return false;
    if (parent_) parent_->left_ -= wanted;
    left_ -= wanted;
    return true;
  }
  // Whether there is room or not: for what must not wait while it holds a share already.
  void take(std::size_t bytes) {
    if (parent_) parent_->left_ -= static_cast<std::ptrdiff_t>(bytes);
    left_ -= static_cast<std::ptrdiff_t>(bytes);
  }
  void give(std::size_t bytes) {
    left_ += static_cast<std::ptrdiff_t>(bytes);
    if (parent_) parent_->left_ += static_cast<std::ptrdiff_t>(bytes);
    if (room().waiters() != 0) room().notify_all();
    if (given_) given_(bytes);
  }
  // What is left for those who have something; less than nothing when many took their first.
  std::ptrdiff_t left() const { return left_; }
  // Wakes when something was given back, or when somebody who waits should look around.
  core::Event& room() { return parent_ ? parent_->room_ : room_; }

  // What was taken; given back when it goes.
  class Share {
   public:
    Share() = default;
    Share(Budget& budget, std::size_t bytes) : budget_(&budget), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      if (this != &other) {
        reset();
        budget_ = std::exchange(other.budget_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
      }
      return *this;
    }
    ~Share() { reset(); }
    void reset() {
      if (budget_) std::exchange(budget_, nullptr)->give(std::exchange(bytes_, 0));
    }
    // What was taken of `budget` (0 when it is none of its): whoever asks gives it back.
    std::size_t detach(const Budget& budget) {
      if (budget_ != &budget) return 0;
      budget_ = nullptr;
      return std::exchange(bytes_, 0);
    }

   private:
    Budget* budget_ = nullptr;
    std::size_t bytes_ = 0;
  };

 private:
  Budget* parent_ = nullptr;
  std::ptrdiff_t whole_, left_;
  core::Event room_;
  std::move_only_function<void(std::size_t)> given_;
};

}  // namespace capstan::storage::nvme
