// Why this file exists: see header_replay.h.
#include "wire/http2/header_replay.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace capstan::wire {

namespace {
constexpr std::size_t kPrefixMax = 0x7F;  // lengths below it are one byte
}

// A byte with the top bit set is a reference, or the beginning of one when all bits are; so if all
// bytes are such, each is one of its own.
bool block_is_references(ByteView block) {
  return !block.empty() &&
         std::ranges::all_of(block, [](std::uint8_t byte) { return byte >= 0x80 && byte != 0xFF; });
}

bool block_is_empty(ByteView block) {
  while (!block.empty()) {
    if ((block[0] & 0xE0U) != 0x20U) return false;
    std::size_t used = 1;
    if ((block[0] & 0x1FU) == 0x1FU) {
      while (used < block.size() && (block[used] & 0x80U) != 0) ++used;
      ++used;
    }
    if (used > block.size()) return false;
    block = block.subspan(used);
  }
  return true;
}

void ReplayedBlock::learn(ByteView block) {
  if (block.size() > bytes_.size() || !block_is_references(block)) return;
  std::ranges::copy(block, bytes_.begin());
  size_ = static_cast<std::uint8_t>(block.size());
}

void append_plain_header(ByteQueue& to, std::string_view name, std::string_view value) {
  CAPSTAN_ASSERT(name.size() < kPrefixMax && value.size() < kPrefixMax);
  const std::size_t size = 3 + name.size() + value.size();
  std::uint8_t* at = to.reserve(size);
  *at++ = 0;  // without indexing, new name
  *at++ = static_cast<std::uint8_t>(name.size());
  at = std::ranges::copy(name, at).out;
  *at++ = static_cast<std::uint8_t>(value.size());
  std::ranges::copy(value, at);
  to.commit(size);
}

void append_frame_header(ByteQueue& to, std::size_t length, std::uint8_t type, std::uint8_t flags,
                         std::int32_t stream) {
  constexpr std::size_t kSize = 9;
  std::uint8_t* at = to.reserve(kSize);
  store_be32(at, static_cast<std::uint32_t>(length << 8 | type));
  at[4] = flags;
  store_be32(at + 5, static_cast<std::uint32_t>(stream));
  to.commit(kSize);
}

}  // namespace capstan::wire
