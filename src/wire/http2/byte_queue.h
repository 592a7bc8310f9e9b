// Why this file exists: the bytes waiting to be sent, of a stream or of a connection. Appending
// never zero-fills, taking from the front moves nothing until the space is needed again, and
// clear() gives back memory that one large message took.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "base/bytes.h"

namespace capstan::wire {

class ByteQueue {
 public:
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  ByteView view() const { return {memory_.get() + begin_, size()}; }

  // Space for `count` more bytes at the end; commit() makes them part of the queue. Valid until the
  // next call.
  std::uint8_t* reserve(std::size_t count) {
    if (capacity_ - end_ < count) make_room(count);
    return memory_.get() + end_;
  }
  void commit(std::size_t count) {
    CAPSTAN_ASSERT(count <= capacity_ - end_);
    end_ += count;
  }
  void append(ByteView bytes) {
    if (bytes.empty()) return;
    std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  void pop(std::size_t count) {
    CAPSTAN_ASSERT(count <= size());
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // `kept`: memory beyond that is given back. Making room anew costs copies, so whoever is full
  // again soon keeps what it needs then.
  void clear(std::size_t kept = kKeptBytes) {
    begin_ = end_ = 0;
    if (capacity_ > kept) {
      memory_.reset();
      capacity_ = 0;
    }
  }

 private:
  static constexpr std::size_t kKeptBytes = 64U << 10;

  void make_room(std::size_t count) {
    const std::size_t used = size();
    if (capacity_ >= (used + count) * 2) {  // half empty: moving down is cheap
      std::memmove(memory_.get(), memory_.get() + begin_, used);
    } else {
      const std::size_t capacity = std::max<std::size_t>({used + count, capacity_ * 2, 512});
      auto larger = std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
      if (used != 0) std::memcpy(larger.get(), memory_.get() + begin_, used);
      memory_ = std::move(larger);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<std::uint8_t[]> memory_;
  std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace capstan::wire
