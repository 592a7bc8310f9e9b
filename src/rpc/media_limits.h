// Why this file exists: the bounds of the HTTP media types.
#pragma once

#include <cstddef>

namespace capstan::limits {

// Objects and map entries in one octet-stream body: an empty object takes one byte there and much
// more in memory.
inline constexpr std::size_t kBinaryObjects = 2U << 20;
inline constexpr std::size_t kTraceErrors = 64;       // of a trace that a client reads
inline constexpr std::size_t kTraceBytes = 1U << 20;  // likewise

}  // namespace capstan::limits
