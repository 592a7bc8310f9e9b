// Why this file exists: memory for messages. It is never zeroed, because every byte of it is about
// to be overwritten, and what all sessions of a server hold together is bounded by one budget, so
// that peers who stop reading or die in the middle of a message cost a known amount.
// Thread-safety: one core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"

namespace capstan::wire::drpc {

// Bytes that a server's sessions may hold at once.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t limit) : left_(limit) {}
  bool take(std::size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }
  void give(std::size_t bytes) { left_ += bytes; }
  std::size_t left() const { return left_; }

 private:
  std::size_t left_;
};

// A block that grows. With a budget its size is charged to it; without, nobody counts.
class Memory {
 public:
  explicit Memory(MemoryBudget* budget = nullptr) : budget_(budget) {}
  Memory(Memory&& other) noexcept
      : budget_(other.budget_),
        block_(std::move(other.block_)),
        size_(std::exchange(other.size_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    if (this != &other) {
      reset();
      budget_ = other.budget_;
      block_ = std::move(other.block_);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Memory() { reset(); }

  // Keeps the content up to the smaller size. False, unchanged, when the budget or the machine has
  // no more.
  bool resize(std::size_t bytes) {
    if (bytes > size_ && budget_ && !budget_->take(bytes - size_)) return false;
    void* block = std::realloc(block_.get(), bytes == 0 ? 1 : bytes);
    if (!block) {
      if (bytes > size_ && budget_) budget_->give(bytes - size_);
      return false;
    }
    (void)block_.release();
    block_.reset(static_cast<std::uint8_t*>(block));
    if (bytes < size_ && budget_) budget_->give(size_ - bytes);
    size_ = bytes;
    return true;
  }
  void reset() {
    if (budget_) budget_->give(size_);
    size_ = 0;
    block_.reset();
  }
  std::uint8_t* data() { return block_.get(); }
  std::size_t size() const { return size_; }
  MutableBytes bytes() { return {block_.get(), size_}; }
  ByteView view() const { return {block_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::uint8_t* block) const { std::free(block); }
  };
  MemoryBudget* budget_;
  std::unique_ptr<std::uint8_t, Free> block_;
  std::size_t size_ = 0;
};

// The body of a reply or of a response: bytes it owns, or bytes of somebody who keeps them longer.
class Body {
 public:
  Body() = default;
  // A part of `memory`, which the body owns from now on.
  Body(Memory memory, ByteView part) : memory_(std::move(memory)), view_(part) {}
  explicit Body(Memory memory) : memory_(std::move(memory)), view_(memory_.view()) {}
  // `bytes` must stay until the body is gone. A handler may borrow from its request.
  static Body borrow(ByteView bytes) {
    Body body;
    body.view_ = bytes;
    return body;
  }
  static Body copy(ByteView bytes) {
    Memory memory;
    const bool made = memory.resize(bytes.size());
    CAPSTAN_ASSERT(made);  // unbudgeted: only a machine without memory says no
    if (!bytes.empty()) std::memcpy(memory.data(), bytes.data(), bytes.size());
    return Body(std::move(memory));
  }
  ByteView view() const { return view_; }

 private:
  Memory memory_;
  ByteView view_;
};

}  // namespace capstan::wire::drpc
