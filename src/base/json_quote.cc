// Why this file exists: see json_quote.h.
#include "base/json_quote.h"

namespace capstan {

std::string json_quote(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte >= 0x20 && byte < 0x7F) {
      out += c;
    } else {
      out += std::string("\\u00") + kHex[byte / 16] + kHex[byte % 16];
    }
  }
  return out + '"';
}

}  // namespace capstan
