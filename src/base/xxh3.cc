// Why this file exists: see xxh3.h.
#include "base/xxh3.h"

#define XXH_INLINE_ALL  // short inputs, which keys are, do not pay for a call into the library
#include <xxhash.h>

namespace capstan {
std::uint64_t xxh3_64(ByteView bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}
}  // namespace capstan
