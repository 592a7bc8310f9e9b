// Why this file exists: clients must get bounded, valid UTF-8 whatever an error carries.
#include "rpc/error_text.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace capstan::rpc {
namespace {

TEST(Utf8, AcceptsExactlyTheFormsOfRfc3629) {
  const std::pair<std::string_view, std::size_t> cases[] = {
      {"a", 1},
      {"\xC3\xA9", 2},
      {"\xE2\x82\xAC", 3},
      {"\xF0\x9F\x92\xBE", 4},
      {"", 0},
      {"\x80", 0},              // a continuation byte alone
      {"\xC0\xAF", 0},          // overlong
      {"\xC1\xBF", 0},          // overlong
      {"\xE0\x80\x80", 0},      // overlong
      {"\xED\xA0\x80", 0},      // a surrogate
      {"\xED\x9F\xBF", 3},      // the last before the surrogates
      {"\xF0\x8F\xBF\xBF", 0},  // overlong
      {"\xF4\x90\x80\x80", 0},  // above U+10FFFF
      {"\xF4\x8F\xBF\xBF", 4},
      {"\xF5\x80\x80\x80", 0},
      {"\xE2\x82", 0},  // cut
      {"\xE2\x28\xA1", 0},
  };
  for (const auto& [text, length] : cases) EXPECT_EQ(utf8_character(text), length) << text;
}

TEST(Utf8, ReplacesOnlyWhatIsWrong) {
  EXPECT_EQ(valid_utf8("pool \xFFp\xC3\xA9"), "pool \xEF\xBF\xBDp\xC3\xA9");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(ErrorText, HoldsContextAndIsBoundedBetweenCharacters) {
  Error error{Code::kInternal, 0, "cause", {"inner", "outer"}};
  EXPECT_EQ(error_text(error), "outer: inner: cause");
  for (int shift = 0; shift < 3; ++shift) {
    error = {Code::kInternal, 0, std::string(static_cast<std::size_t>(shift), 'x'), {}};
    while (error.message.size() < 2 * limits::kErrorMessageBytes) error.message += "\xE2\x82\xAC";
    const std::string text = error_text(error);
    EXPECT_LE(text.size(), limits::kErrorMessageBytes);
    EXPECT_GT(text.size(), limits::kErrorMessageBytes - 6);
    EXPECT_TRUE(text.ends_with("\xE2\x82\xAC..."));
    EXPECT_EQ(valid_utf8(text), text);
  }
  error.message.assign(limits::kErrorMessageBytes, 'x');
  EXPECT_EQ(error_text(error), error.message);
}

}  // namespace
}  // namespace capstan::rpc
