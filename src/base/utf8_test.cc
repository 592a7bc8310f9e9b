// Why this file exists: every boundary of UTF-8, whole and byte by byte.
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace capstan {
namespace {

void expect(std::string_view text, bool good) {
  EXPECT_EQ(is_utf8(as_bytes(text)), good) << ::testing::PrintToString(std::string(text));
  Utf8Check check;
  bool single = true;
  for (const char& c : text) single = single && check.add(as_bytes({&c, 1}));
  EXPECT_EQ(single && check.complete(), good) << ::testing::PrintToString(std::string(text));
}

TEST(Utf8, Good) {
  for (const char* text : {"", "a", "plain text longer than a word of the machine", "\xC2\x80",
                           "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
                           "12345678\xC3\xA9"
                           "12345678"}) {
    expect(text, true);
  }
  expect(std::string_view("\0", 1), true);
}

TEST(Utf8, Bad) {
  for (const char* text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xE0\xA0",
        "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xFF", "\xFE", "12345678\xC3", "\xF0\x90\x80"}) {
    expect(text, false);
  }
}

}  // namespace
}  // namespace capstan
