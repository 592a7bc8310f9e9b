// Why this file exists: see utf8.h.
#include "base/utf8.h"

namespace capstan {

bool Utf8Check::add(ByteView bytes) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    if (missing_ == 0) {
      while (i + 8 <= bytes.size() &&
             (load_le<std::uint64_t>(bytes.data() + i) & 0x8080808080808080ULL) == 0) {
        i += 8;
      }
      if (i == bytes.size()) return true;
    }
    const std::uint8_t byte = bytes[i++];
    if (missing_ != 0) {
      if (byte < least_ || byte > largest_) return false;
      least_ = 0x80;
      largest_ = 0xBF;
      --missing_;
    } else if (byte >= 0x80) {
      if (byte < 0xC2 || byte > 0xF4) return false;
      missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
      if (byte == 0xE0) least_ = 0xA0;    // overlong below
      if (byte == 0xED) largest_ = 0x9F;  // surrogates above
      if (byte == 0xF0) least_ = 0x90;    // overlong below
      if (byte == 0xF4) largest_ = 0x8F;  // beyond U+10FFFF above
    }
  }
  return true;
}

}  // namespace capstan
