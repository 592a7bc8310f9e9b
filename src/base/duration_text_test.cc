#include "base/duration_text.h"

#include <gtest/gtest.h>

namespace capstan {
namespace {

TEST(DurationText, AddsUpNumbersWithUnits) {
  EXPECT_EQ(parse_duration("10s").value_or(1), 10'000'000'000ULL);
  EXPECT_EQ(parse_duration("500ms").value_or(1), 500'000'000ULL);
  EXPECT_EQ(parse_duration("1m 30s").value_or(1), 90'000'000'000ULL);
  EXPECT_EQ(parse_duration("2hours1min").value_or(1), 7260'000'000'000ULL);
  EXPECT_EQ(parse_duration("0").value_or(1), 0ULL);
}

TEST(DurationText, RefusesTheRest) {
  for (const char* text :
       {"", "10", "s", "10 parsecs", "-1s", "1.5s", "99999999999999999999s", "300000000000d"}) {
    auto parsed = parse_duration(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().text().find("as in 10s"), std::string::npos);
  }
}

TEST(DurationText, FormatsInTheLargestExactUnit) {
  EXPECT_EQ(format_duration(10'000'000'000), "10s");
  EXPECT_EQ(format_duration(1'500'000'000), "1500ms");
  EXPECT_EQ(format_duration(120'000'000'000), "2m");
  EXPECT_EQ(format_duration(7), "7ns");
  EXPECT_EQ(format_duration(0), "0s");
}

}  // namespace
}  // namespace capstan
