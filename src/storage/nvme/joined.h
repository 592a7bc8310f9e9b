// Why this file exists: many short pieces on their way out, one behind the other in one piece of
// memory, so that one write sends them. It grows without clearing what the writers fill anyway, and
// is used again. Thread-safety: one core.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace capstan::storage::nvme {

class Joined {
 public:
  // Room for `bytes`, not initialised, until the next call.
  std::uint8_t* extend(std::size_t bytes) {
    const std::size_t before = text_.size(), size = before + bytes;
    // The size that GCC 12's library hands to the function is the capacity after it has grown.
    text_.resize_and_overwrite(size, [size](char*, std::size_t) { return size; });
    return data() + before;
  }
  void shrink(std::size_t bytes) { text_.resize(text_.size() - bytes); }
  void clear() { text_.clear(); }
  bool empty() const { return text_.empty(); }
  std::size_t size() const { return text_.size(); }
  std::size_t capacity() const { return text_.capacity(); }
  ByteView view() const { return {reinterpret_cast<const std::uint8_t*>(text_.data()), size()}; }

 private:
  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(text_.data()); }
  std::string text_;  // the container that can grow without clearing
};

}  // namespace capstan::storage::nvme
