#include "base/bytes.h"

namespace capstan {
bool all_zero(ByteView bytes) {
  if (bytes.empty()) return true;
  // A buffer is all zero when its first byte is and it equals itself shifted by one.
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}
}  // namespace capstan
