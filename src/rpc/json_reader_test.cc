// Why this file exists: every rule of reading JSON with the exact error a client sees, because
// those texts are what people debug with.
#include "rpc/json_reader.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/json_testing.h"
#include "rpc/json_writer.h"
#include "rpc/options.pb.h"

namespace capstan::rpc {
namespace {

class JsonReaderTest : public ::testing::Test {
 protected:
  // What the canonical style writes of what was read, or the error.
  std::string read(std::string_view text, const JsonReadOptions& options = {}) {
    const auto message = types_.make();
    const auto result = reader_.read(text, *message, options);
    if (!result) {
      EXPECT_EQ(result.error().code, Code::kInvalidArgument);
      return result.error().text();
    }
    std::string out;
    EXPECT_TRUE(write_json(*message, JsonStyle::canonical(), out));
    return out;
  }
  testing::Everything types_;
  JsonReader reader_;
};

TEST_F(JsonReaderTest, NamesAreUnderstoodInEverySpelling) {
  EXPECT_EQ(read(R"({"anInt32": 1})"), R"({"anInt32":1})");
  EXPECT_EQ(read(R"({"an_int32": 1})"), R"({"anInt32":1})");
  EXPECT_EQ(read(R"({"mixedCase": "x"})"), R"({"mixedCase":"x"})");
  EXPECT_EQ(read(R"({"other-name": "x"})"), R"({"other-name":"x"})");
  EXPECT_EQ(read(R"({"renamed": "x"})"), R"({"other-name":"x"})");
  EXPECT_EQ(read(R"({"an\u0049nt32": 1})"), R"({"anInt32":1})");
}

TEST_F(JsonReaderTest, NullMeansAbsent) {
  EXPECT_EQ(read(R"({"anInt32":null,"child":null,"strings":null,"texts":null,"at":null,
                     "wInt32":null,"maybeBool":null,"chosenText":null,"chosenNumber":5})"),
            R"({"chosenNumber":5})");
  EXPECT_EQ(read(R"({"strings":["a",null]})"), "$.strings[1]: expected string, got null");
  EXPECT_EQ(read(R"({"texts":{"a":null}})"), R"($.texts['a']: expected string, got null)");
}

TEST_F(JsonReaderTest, IntegersStandAsNumbersOrText) {
  for (const char* text : {"7", "\"7\"", "7.0", "7e0", "0.7e1", "\"7.0\"", "\"70e-1\""}) {
    EXPECT_EQ(read("{\"anInt32\":" + std::string(text) + "}"), R"({"anInt32":7})") << text;
    EXPECT_EQ(read("{\"aUint64\":" + std::string(text) + "}"), R"({"aUint64":"7"})") << text;
  }
  EXPECT_EQ(read(R"({"anInt64":-9223372036854775808})"), R"({"anInt64":"-9223372036854775808"})");
  EXPECT_EQ(read(R"({"aUint64":18446744073709551615})"), R"({"aUint64":"18446744073709551615"})");
  EXPECT_EQ(read(R"({"aUint64":1e19})"), R"({"aUint64":"10000000000000000000"})");
}

TEST_F(JsonReaderTest, NumbersThatDoNotFitAreRefused) {
  const std::string int32_range =
      "number out of range, it must be between -2147483648 and 2147483647";
  EXPECT_EQ(read(R"({"anInt32":2147483648})"), "$.anInt32: " + int32_range);
  EXPECT_EQ(read(R"({"anInt32":"-2147483649"})"), "$.anInt32: " + int32_range);
  EXPECT_EQ(read(R"({"anInt32":1e300})"), "$.anInt32: " + int32_range);
  EXPECT_EQ(read(R"({"int32s":[1,2.5]})"), "$.int32s[1]: expected integer, got a fraction");
  EXPECT_EQ(read(R"({"aUint32":-1})"),
            "$.aUint32: number out of range, it must be between 0 and 4294967295");
  EXPECT_EQ(read(R"({"aUint64":"18446744073709551616"})"),
            "$.aUint64: number out of range, it must be between 0 and 18446744073709551615");
  EXPECT_EQ(read(R"({"anInt64":9223372036854775808})"),
            "$.anInt64: number out of range, it must be between -9223372036854775808 and "
            "9223372036854775807");
  EXPECT_EQ(read(R"({"anInt64":9.3e18})").substr(0, 30), "$.anInt64: number out of range");
  EXPECT_EQ(read(R"({"aFloat":3.5e38})"), "$.aFloat: number out of range of a float");
  EXPECT_EQ(read(R"({"aDouble":"1e400"})"), "$.aDouble: number out of range of a double");
  for (const char* text : {"\"\"", "\" 1\"", "\"1 \"", "\"01\"", "\"0x1\"", "\"+1\"", "\"one\""}) {
    EXPECT_TRUE(read("{\"anInt32\":" + std::string(text) + "}")
                    .starts_with("$.anInt32: expected integer, got '"))
        << text;
  }
}

TEST_F(JsonReaderTest, FloatingPointKnowsTheNonNumbers) {
  EXPECT_EQ(read(R"({"aDouble":"NaN","aFloat":"-Infinity"})"),
            R"({"aFloat":"-Infinity","aDouble":"NaN"})");
  EXPECT_EQ(read(R"({"aDouble":"1.5","aFloat":3.4028235e38})"),
            R"({"aFloat":3.4028235e+38,"aDouble":1.5})");
  EXPECT_EQ(read(R"({"aDouble":"nan"})"), "$.aDouble: expected number, got 'nan'");
  EXPECT_EQ(read(R"({"aDouble":true})"), "$.aDouble: expected number, got boolean");
}

TEST_F(JsonReaderTest, EnumsStandAsNamesOrNumbers) {
  EXPECT_EQ(read(R"({"colours":["RED",2,-3,99]})"),
            R"({"colours":["RED","GREEN","DARK_BLUE",99]})");
  EXPECT_EQ(read(R"({"colour":"PINK"})"),
            "$.colour: 'PINK' is not a value of test.Colour: COLOUR_NONE, RED, GREEN, DARK_BLUE");
  EXPECT_EQ(read(R"({"colour":[]})"), "$.colour: expected an enum's name or number, got array");
  EXPECT_EQ(read(R"({"colour":4294967296})").substr(0, 29), "$.colour: number out of range");
}

TEST_F(JsonReaderTest, MapsOneofsAndWellKnownTypes) {
  EXPECT_EQ(read(R"({"byBool":{"true":{"aBool":true}},"byInt32":{"-5":"RED"}})"),
            R"({"byInt32":{"-5":"RED"},"byBool":{"true":{"aBool":true}}})");
  EXPECT_EQ(read(R"({"byBool":{"yes":{}}})"),
            R"($.byBool['yes']: a key of this map must be "true" or "false")");
  EXPECT_EQ(read(R"({"byUint32":{"-1":1}})").substr(0, 37),
            "$.byUint32['-1']: number out of range");
  EXPECT_EQ(read(R"({"texts":{"a":"1","a":"2"}})"), "$.texts['a']: the key appears twice");
  EXPECT_EQ(read(R"({"texts":[]})"), "$.texts: expected object, got array");
  EXPECT_EQ(read(R"({"chosenText":"a","chosen_number":1})"),
            "$.chosen_number: 'chosen_text' is already given, and only one of 'choice' may be");
  EXPECT_EQ(
      read(R"({"at":"2024-02-29T12:00:00+01:00","took":"-1.5s","wUint64":"9","wBool":false})"),
      R"({"at":"2024-02-29T11:00:00Z","took":"-1.500s","wUint64":"9","wBool":false})");
  EXPECT_EQ(read(R"({"at":"yesterday"})"),
            "$.at: expected a time like '2024-01-31T08:30:00Z', got 'yesterday'");
  EXPECT_EQ(read(R"({"pauses":["1s","1"]})"),
            "$.pauses[1]: expected a duration like '1.5s', got '1'");
}

TEST_F(JsonReaderTest, BytesFollowTheStyle) {
  EXPECT_EQ(read(R"({"someBytes":"_-8"})"), R"({"someBytes":"/+8="})");
  EXPECT_EQ(read(R"({"someBytes":"x"})"), "$.someBytes: expected bytes in base64, got 'x'");
  JsonReadOptions hex;
  hex.bytes = JsonStyle::Bytes::kHex;
  EXPECT_EQ(read(R"({"someBytes":"fFeF"})", hex), R"({"someBytes":"/+8="})");
  EXPECT_EQ(read(R"({"someBytes":"f"})", hex), "$.someBytes: expected bytes in hex, got 'f'");
}

TEST_F(JsonReaderTest, ErrorsNameThePlace) {
  EXPECT_EQ(read(R"({"children":[{},{"strings":["a",7]}]})"),
            "$.children[1].strings[1]: expected string, got number");
  EXPECT_EQ(read(R"({"byBool":{"true":{"aBool":1}}})"),
            "$.byBool['true'].aBool: expected boolean, got number");
  EXPECT_EQ(read(R"({"child":[]})"), "$.child: expected object, got array");
  EXPECT_EQ(read(R"({"strings":"a"})"), "$.strings: expected array, got string");
  EXPECT_EQ(read(R"({"nope":1})"), "$.nope: unknown field of test.Everything");
  EXPECT_EQ(read(R"({"child":{"no pe":1}})"), "$.child['no pe']: unknown field of test.Everything");
  EXPECT_EQ(read(R"({"anInt32":1,"an_int32":1})"), "$.an_int32: the field appears twice");
  EXPECT_EQ(read("[]"), "$: expected object, got array");
  EXPECT_EQ(read("null"), "$: expected object, got null");
  EXPECT_LT(read("{\"" + std::string(100'000, 'x') + "\":1}").size(), 256U);
}

TEST_F(JsonReaderTest, UnknownFieldsCanBeIgnored) {
  JsonReadOptions lenient;
  lenient.ignore_unknown = true;
  EXPECT_EQ(read(R"({"nope":{"a":[1,2]},"child":{"nope":null,"aBool":true}})", lenient),
            R"({"child":{"aBool":true}})");
}

TEST_F(JsonReaderTest, WhatIsNotJsonIsRefused) {
  for (const char* text : {"", " ", "{", "{}x", "{'a':1}", "{\"aBool\":tru}", "{\"anInt32\":01}",
                           "{\"anInt32\":1,}", "{\"aString\":\"\\ud800\"}", "\xEF\xBB\xBF{}x",
                           "{\"aString\":\"\x01\"}", "nul", "{\"anInt32\":NaN}"}) {
    EXPECT_TRUE(read(text).starts_with("$: ")) << text << " gives " << read(text);
  }
  EXPECT_EQ(read("{\"aString\":\"\xFF\"}"), "$: the JSON text is not valid UTF-8");
  EXPECT_EQ(read("{\"aDouble\":123456789012345678901234}"),
            "$: malformed JSON: a number is wrong or beyond 64 bits");
}

std::string nested(std::size_t levels) {
  std::string text;
  for (std::size_t i = 1; i < levels; ++i) text += "{\"child\":";
  text += "{}";
  return text + std::string(levels - 1, '}');
}

TEST_F(JsonReaderTest, DepthIsBounded) {
  EXPECT_EQ(read(nested(limits::kJsonNestingDepth)), nested(limits::kJsonNestingDepth));
  EXPECT_TRUE(
      read(nested(limits::kJsonNestingDepth + 1)).ends_with(": nested deeper than 64 levels"));
  EXPECT_EQ(read(nested(limits::kJsonNestingDepth + 2)), "$: nested deeper than 64 levels");
  EXPECT_EQ(read(std::string(100'000, '[')).substr(0, 3), "$: ");
  // A reader that has refused something reads on.
  EXPECT_EQ(read("{}"), "{}");

  simdjson::dom::parser parser;  // a wire's own parser knows nothing of our bound
  const simdjson::padded_string deep(nested(limits::kJsonNestingDepth + 1));
  simdjson::dom::element root;
  ASSERT_EQ(parser.parse(deep).get(root), simdjson::SUCCESS);
  const auto message = types_.make();
  const auto result = read_json_value(root, *message, "$.params");
  ASSERT_FALSE(result);
  EXPECT_TRUE(result.error().text().ends_with(": nested deeper than 64 levels"));
  EXPECT_TRUE(result.error().text().starts_with("$.params.child.child"));
}

TEST_F(JsonReaderTest, SizeIsBounded) {
  JsonReadOptions options;
  options.limit_bytes = 10;
  const auto message = types_.make();
  EXPECT_TRUE(reader_.read("{        }", *message, options));
  const auto result = reader_.read("{         }", *message, options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kResourceExhausted);
}

TEST_F(JsonReaderTest, HeapObjectsAreCounted) {
  constexpr std::size_t kLimit = 1U << 20;
  const auto list = [](std::string_view name, std::string_view element, std::size_t count) {
    std::string text = "{\"" + std::string(name) + "\":[";
    for (std::size_t i = 0; i < count; ++i) {
      if (i != 0) text += ',';
      text += element;
    }
    return text + "]}";
  };
  // Of truths only: a million messages of this many fields take more than a gigabyte.
  const auto truths = [&](std::size_t count) { return list("bools", "true", count); };
  const auto message = types_.make();
  EXPECT_TRUE(reader_.read(truths(kLimit), *message));
  const auto more = reader_.read(truths(kLimit + 1), *message);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::kResourceExhausted);
  EXPECT_TRUE(more.error().text().contains("$.bools[1048576]: ")) << more.error().text();
  EXPECT_TRUE(more.error().text().contains(std::to_string(kLimit))) << more.error().text();
  // Lists, maps and messages count together, wherever they stand: here 64 times a message of a
  // list, an entry of a map with its key, a message inside, and as many truths as are missing.
  constexpr std::size_t kParts = 64, kOthers = 3;
  const auto part = [&](std::size_t count) {
    return R"({"child":{},"texts":{"a":"b"},)" + truths(count).substr(1);
  };
  const std::string full = part(kLimit / kParts - kOthers);
  EXPECT_TRUE(reader_.read(list("children", full, kParts), *message));
  const std::string over = list("children", full, kParts - 1);
  EXPECT_FALSE(reader_.read(
      over.substr(0, over.size() - 2) + "," + part(kLimit / kParts - kOthers + 1) + "]}",
      *message));
  EXPECT_TRUE(reader_.read("{}", *message));
}

TEST_F(JsonReaderTest, OldContentDoesNotStay) {
  node::v1::Event event;
  event.set_id("old");
  ASSERT_TRUE(reader_.read(R"({"category":"pool"})", event));
  EXPECT_EQ(event.ShortDebugString(), R"(category: "pool")");
}

}  // namespace
}  // namespace capstan::rpc
