// Why this file exists: see visible.h.
#include "base/visible.h"

#include <array>
#include <cstdio>

namespace capstan {
namespace {

void append_escape(unsigned code, std::string& out) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "\\u%04x", code);
  out += text.data();
}

std::string escaped(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if ((byte < 0x20 || byte == 0x7F) && !kept.contains(text[i])) {
      append_escape(byte, out);
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F
      append_escape(next, out);
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string visible(std::string_view text) {
  return escaped(text, {});
}

std::string visible_lines(std::string_view text) {
  return escaped(text, "\n\t");
}

}  // namespace capstan
