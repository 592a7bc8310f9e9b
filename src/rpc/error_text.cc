// Why this file exists: UTF-8 by the table of RFC 3629 section 4: no overlong forms, no surrogates,
// nothing above U+10FFFF.
#include "rpc/error_text.h"

#include <cstdint>

#include "base/limits.h"

namespace capstan::rpc {

std::size_t utf8_character(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  std::uint8_t low = 0x80, high = 0xBF;  // the bounds of the second byte
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_character(text);
    length != 0 ? out += text.substr(0, length) : out += "\xEF\xBF\xBD";
    text.remove_prefix(length != 0 ? length : 1);
  }
  return out;
}

std::string error_text(const Error& error) {
  std::string text = valid_utf8(error.text());
  if (text.size() <= limits::kErrorMessageBytes) return text;
  std::size_t end = limits::kErrorMessageBytes - 3;
  while ((static_cast<std::uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text += "...";
}

}  // namespace capstan::rpc
