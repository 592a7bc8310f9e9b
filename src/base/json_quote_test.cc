// Why this file exists: what the small programs print is JSON whatever a name holds.
#include "base/json_quote.h"

#include <gtest/gtest.h>

namespace capstan {
namespace {

TEST(JsonQuote, IsAsciiAndReadsBack) {
  EXPECT_EQ(json_quote(""), R"("")");
  EXPECT_EQ(json_quote("a b~"), R"("a b~")");
  EXPECT_EQ(json_quote(R"(say "\")"), R"("say \"\\\"")");
  EXPECT_EQ(json_quote(std::string_view("\0\n\x1f", 3)), R"("\u0000\u000a\u001f")");
  EXPECT_EQ(json_quote("\x7f\xc3\xa9"), R"("\u007f\u00c3\u00a9")");
}

}  // namespace
}  // namespace capstan
