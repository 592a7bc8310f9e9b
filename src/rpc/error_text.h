// Why this file exists: what clients read of an Error is bounded and valid UTF-8, also when a part
// of it came from a disk or a file name.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::rpc {

// error.text(), at most limits::kErrorMessageBytes long (cut between characters, ending in "...").
std::string error_text(const Error& error);
// `text` with every byte sequence that is not UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string_view text);
// The length of the valid UTF-8 character `text` starts with; 0 when it does not start with one.
std::size_t utf8_character(std::string_view text);

}  // namespace capstan::rpc
