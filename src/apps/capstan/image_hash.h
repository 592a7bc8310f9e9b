// Why this file exists: the SHA-256 of a whole image of which only the data is at hand: what lies
// between the extents is zeros. Both ends of a transfer compute it on their own and compare.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "core/task.h"

namespace capstan::apps {

using Sha256 = std::array<std::uint8_t, 32>;

class ImageHash {
 public:
  ImageHash();
  ~ImageHash();
  ImageHash(const ImageHash&) = delete;
  ImageHash& operator=(const ImageHash&) = delete;

  // Bytes at the present position.
  void add(ByteView bytes);
  // Zeros up to `position`, yielding to the reactor on the way. Going back is a programmer error.
  core::Task<void> zeros_to(std::uint64_t position);
  std::uint64_t position() const { return position_; }
  // Once, at the end.
  Sha256 finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
  std::uint64_t position_ = 0;
};

std::string hex_text(ByteView bytes);

}  // namespace capstan::apps
