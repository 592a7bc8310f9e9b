// Why this file exists: XXH3-64, the hash of store keys (datastore section 2.3) and of Muxio method
// names (muxio-wire section 6.1), inlined from libxxhash because most inputs are short.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace capstan {
// Default secret; the empty input gives 0x2d06800538d394c2 with seed 0, which both formats use.
std::uint64_t xxh3_64(ByteView bytes, std::uint64_t seed = 0);
}  // namespace capstan
