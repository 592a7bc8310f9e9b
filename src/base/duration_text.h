// Why this file exists: durations as people write them on command lines and in environment
// variables: numbers with units that add up, as in "10s", "500ms", "1m 30s" (humantime syntax).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan {

// Nanoseconds. Units: ns, us, ms, s/sec, m/min, h/hr, d/day and their plurals. A number without a
// unit is kInvalidArgument, except 0.
Result<std::uint64_t> parse_duration(std::string_view text);

// The largest unit that divides it: 10'000'000'000 → "10s", 1'500'000'000 → "1500ms".
std::string format_duration(std::uint64_t nanos);

}  // namespace capstan
