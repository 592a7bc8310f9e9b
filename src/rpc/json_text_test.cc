// Why this file exists: vectors for base64, hex, times and durations, with the forms that must be
// refused.
#include "rpc/json_text.h"

#include <gtest/gtest.h>

#include <random>

namespace capstan::rpc {
namespace {

std::string base64(std::string_view bytes) {
  std::string out;
  append_base64(bytes, out);
  return out;
}

std::string timestamp(std::int64_t seconds, std::int32_t nanos) {
  std::string out;
  return append_timestamp({seconds, nanos}, out) ? out : "refused";
}

std::string duration(std::int64_t seconds, std::int32_t nanos) {
  std::string out;
  return append_duration({seconds, nanos}, out) ? out : "refused";
}

TEST(Base64, MatchesRfc4648AndTakesTheLooseForms) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(base64(plain), encoded);
    EXPECT_EQ(parse_base64(encoded), plain);
    const auto bare = encoded.substr(0, encoded.find('='));
    EXPECT_EQ(parse_base64(bare), plain);
  }
  EXPECT_EQ(base64("\xFB\xFF"), "+/8=");
  EXPECT_EQ(parse_base64("-_8"), "\xFB\xFF");
  for (const char* wrong : {"Z", "Zg=", "Zg===", "====", "=", "Zm 9", "Zm9v!", "Zg==Zg=="}) {
    EXPECT_FALSE(parse_base64(wrong)) << wrong;
  }
}

TEST(Hex, BothWays) {
  std::string out;
  append_hex(std::string_view("\x00\xAB\x0F", 3), out);
  EXPECT_EQ(out, "00ab0f");
  EXPECT_EQ(parse_hex("00AB0f"), std::string("\x00\xAB\x0F", 3));
  EXPECT_FALSE(parse_hex("0"));
  EXPECT_FALSE(parse_hex("0g"));
}

// Texts are looked through eight characters at a time: none may be overlooked in any place.
TEST(JsonTexts, EveryCharacterInEveryPlace) {
  for (const auto escapes : {JsonEscapes::kStandard, JsonEscapes::kAscii, JsonEscapes::kOctez}) {
    for (int c = 0; c < 256; ++c) {
      std::string alone;
      append_json_text(std::string(1, static_cast<char>(c)), alone, escapes);
      for (const char around : {'a', '!', '}', '"'}) {
        std::string neighbour;
        append_json_text(std::string(1, around), neighbour, escapes);
        for (std::size_t place = 0; place < 20; ++place) {
          std::string text(20, around), out, expected;
          text[place] = static_cast<char>(c);
          append_json_text(text, out, escapes);
          for (std::size_t i = 0; i < 20; ++i) expected += i == place ? alone : neighbour;
          ASSERT_EQ(out, expected) << c << " at " << place;
        }
      }
    }
  }
}

TEST(Timestamp, WritesTheDigitsThatAreNeeded) {
  EXPECT_EQ(timestamp(0, 0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(timestamp(1'709'164'800, 500'000'000), "2024-02-29T00:00:00.500Z");
  EXPECT_EQ(timestamp(-1, 1'000), "1969-12-31T23:59:59.000001Z");
  EXPECT_EQ(timestamp(1, 1), "1970-01-01T00:00:01.000000001Z");
  EXPECT_EQ(timestamp(-62'135'596'800, 0), "0001-01-01T00:00:00Z");
  EXPECT_EQ(timestamp(253'402'300'799, 999'999'999), "9999-12-31T23:59:59.999999999Z");
  EXPECT_EQ(timestamp(-62'135'596'801, 0), "refused");
  EXPECT_EQ(timestamp(253'402'300'800, 0), "refused");
  EXPECT_EQ(timestamp(0, -1), "refused");
  EXPECT_EQ(timestamp(0, 1'000'000'000), "refused");
}

TEST(Timestamp, ReadsRfc3339) {
  EXPECT_EQ(parse_timestamp("1970-01-01T00:00:00Z"), (SecondsNanos{0, 0}));
  EXPECT_EQ(parse_timestamp("1970-01-01T01:30:00.25+01:30"), (SecondsNanos{0, 250'000'000}));
  EXPECT_EQ(parse_timestamp("1969-12-31T23:00:00-01:00"), (SecondsNanos{0, 0}));
  for (const char* wrong :
       {"", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-1-01T00:00:00Z",
        "1970-02-29T00:00:00Z", "1970-13-01T00:00:00Z", "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z", "1970-01-01T00:00:60Z", "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.1234567891Z", "1970-01-01T00:00:00+1:00", "1970-01-01T00:00:00ZZ",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"}) {
    EXPECT_FALSE(parse_timestamp(wrong)) << wrong;
  }
}

TEST(Duration, BothWays) {
  const std::pair<SecondsNanos, const char*> cases[] = {{{0, 0}, "0s"},
                                                        {{1, 500'000'000}, "1.500s"},
                                                        {{-1, -500'000'000}, "-1.500s"},
                                                        {{0, -1}, "-0.000000001s"},
                                                        {{3, 1'000}, "3.000001s"},
                                                        {{315'576'000'000, 0}, "315576000000s"}};
  for (const auto& [value, text] : cases) {
    EXPECT_EQ(duration(value.seconds, value.nanos), text);
    EXPECT_EQ(parse_duration(text), value);
  }
  EXPECT_EQ(duration(1, -1), "refused");
  EXPECT_EQ(duration(-1, 1), "refused");
  EXPECT_EQ(duration(315'576'000'001, 0), "refused");
  EXPECT_EQ(parse_duration("1.5s"), (SecondsNanos{1, 500'000'000}));
  for (const char* wrong : {"", "s", "1", "1.s", "+1s", "1 s", "--1s", ".5s", "315576000001s",
                            "99999999999999999999s", "1e3s"}) {
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
  }
}

TEST(JsonText, RandomValuesSurviveBothWays) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(parse_base64(base64(bytes)), bytes);
    const SecondsNanos time{static_cast<std::int64_t>(random() % 315'537'897'600) - 62'135'596'800,
                            static_cast<std::int32_t>(random() % 1'000'000'000)};
    EXPECT_EQ(parse_timestamp(timestamp(time.seconds, time.nanos)), time);
    const SecondsNanos span{static_cast<std::int64_t>(random() % 315'576'000'000),
                            static_cast<std::int32_t>(random() % 1'000'000'000)};
    EXPECT_EQ(parse_duration(duration(span.seconds, span.nanos)), span);
  }
}

TEST(JsonNumber, FollowsTheGrammar) {
  for (const char* right : {"0", "-0", "10", "1.5", "1e3", "1E+3", "-1.25e-7", "0.0"}) {
    EXPECT_TRUE(is_json_number(right)) << right;
  }
  for (const char* wrong : {"", "-", "+1", "01", "1.", ".5", "1e", "1e+", " 1", "1 ", "0x1", "inf",
                            "NaN", "1_0", "--1"}) {
    EXPECT_FALSE(is_json_number(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace capstan::rpc
