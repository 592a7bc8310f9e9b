// Why this file exists: one JSON string for the small programs that print facts and link no
// protobuf (src/rpc/json_text.h is for messages).
#pragma once

#include <string>
#include <string_view>

namespace capstan {

// In quotes. The result is ASCII: a byte that is no printable ASCII character stands as \u00xx, so
// names on disks, which may hold any bytes, can be told apart and read back.
std::string json_quote(std::string_view text);

}  // namespace capstan
