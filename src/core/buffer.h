// Why this file exists: memory that O_DIRECT accepts: 4096-byte aligned, with an owner. Devices
// copy through it when a caller's memory is not aligned.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "base/assert.h"
#include "base/bytes.h"

namespace capstan::core {

inline constexpr std::size_t kBufferAlignment = 4096;

class Buffer {
 public:
  Buffer() = default;
  // Not initialised; the allocation is rounded up to the alignment.
  explicit Buffer(std::size_t size)
      : size_(size),
        data_(static_cast<std::uint8_t*>(std::aligned_alloc(
            kBufferAlignment,
            (size + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment))) {
    CAPSTAN_ASSERT(data_ || size == 0);
  }
  static Buffer zeroed(std::size_t size) {
    Buffer buffer(size);
    if (size) std::memset(buffer.data(), 0, size);
    return buffer;
  }
  std::uint8_t* data() { return data_.get(); }
  const std::uint8_t* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  MutableBytes bytes() { return {data(), size_}; }
  ByteView view() const { return {data(), size_}; }

 private:
  struct Free {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
  };
  std::size_t size_ = 0;
  std::unique_ptr<std::uint8_t, Free> data_;
};

}  // namespace capstan::core
