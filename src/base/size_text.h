// Why this file exists: sizes as people write and read them. Parsing takes plain bytes and decimal
// (kB = 1000) and binary (KiB = 1024) units; a bare "K" or "M" is refused because half of its
// readers mean the other one. Formatting is what tables show.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan {

enum class SizeUnits : std::uint8_t { kBytes, kBinary, kDecimal };

// "64", "64B", "64MB", "64MiB", "1.5 GiB"; upper and lower case are the same, fractions of a byte
// are cut. kInvalidArgument names the text and shows the accepted forms.
Result<std::uint64_t> parse_size(std::string_view text);

// 4194304 → "4194304", "4.00 MiB", "4.19 MB": two decimals and the largest unit that does not give
// a value below 1; "512 B" below the first unit.
std::string format_size(std::uint64_t bytes, SizeUnits units);

}  // namespace capstan
