// Why this file exists: checks parse_size() and format_size(), the forms users type and read
// (io-engine-behaviour section 21.1), with the edges: fractions, overflow, ambiguous units.
#include "base/size_text.h"

#include <gtest/gtest.h>

namespace capstan {
namespace {

TEST(SizeText, AcceptsBytesAndUnits) {
  const std::pair<const char*, std::uint64_t> cases[] = {
      {"64", 64},
      {"0", 0},
      {"64B", 64},
      {"64MB", 64'000'000},
      {"64MiB", 64ULL << 20},
      {"64mib", 64ULL << 20},
      {"1.5 GiB", 3ULL << 29},
      {" 2 TiB ", 2ULL << 40},
      {"0.1kB", 100},
      {"0.0009kB", 0},
      {"16EB", 16'000'000'000'000'000'000ULL},
      {"18446744073709551615", 18446744073709551615ULL},
  };
  for (const auto& [text, bytes] : cases) {
    auto parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().text();
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(SizeText, RefusesWhatIsNoSizeAndSaysWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "does not start with a number"},
      {"MiB", "does not start with a number"},
      {"-1", "does not start with a number"},
      {"1.MiB", "digits are missing"},
      {"64M", "alone can mean"},
      {"64 parsecs", "unknown unit 'parsecs'"},
      {"64MiBs", "unknown unit"},
      {"18446744073709551616", "too large"},
      {"16EiB", "too large"},
  };
  for (const auto& [text, why] : cases) {
    auto parsed = parse_size(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_NE(parsed.error().text().find(why), std::string::npos) << parsed.error().text();
    EXPECT_NE(parsed.error().text().find("Bad size '"), std::string::npos);
  }
}

TEST(SizeText, FormatsWithTwoDecimalsInTheLargestUnit) {
  EXPECT_EQ(format_size(4194304, SizeUnits::kBytes), "4194304");
  EXPECT_EQ(format_size(4194304, SizeUnits::kBinary), "4.00 MiB");
  EXPECT_EQ(format_size(4194304, SizeUnits::kDecimal), "4.19 MB");
  EXPECT_EQ(format_size(1000ULL << 20, SizeUnits::kBinary), "1000.00 MiB");
  EXPECT_EQ(format_size(1024ULL << 20, SizeUnits::kBinary), "1.00 GiB");
  EXPECT_EQ(format_size(512, SizeUnits::kBinary), "512 B");
  EXPECT_EQ(format_size(1500, SizeUnits::kDecimal), "1.50 kB");
  EXPECT_EQ(format_size(18446744073709551615ULL, SizeUnits::kBinary), "16.00 EiB");
}

}  // namespace
}  // namespace capstan
