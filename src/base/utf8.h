// Why this file exists: whether bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates,
// nothing above U+10FFFF), also when they arrive in pieces that cut characters: WebSocket text
// messages, bitcode strings.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace capstan {

class Utf8Check {
 public:
  // False as soon as the bytes so far cannot be the beginning of UTF-8 text.
  bool add(ByteView bytes);
  // No character is cut off at the end.
  bool complete() const { return missing_ == 0; }
  void reset() { *this = Utf8Check(); }

 private:
  std::uint8_t missing_ = 0;                    // continuation bytes of the present character
  std::uint8_t least_ = 0x80, largest_ = 0xBF;  // of the next one
};

inline bool is_utf8(ByteView bytes) {
  Utf8Check check;
  return check.add(bytes) && check.complete();
}

}  // namespace capstan
