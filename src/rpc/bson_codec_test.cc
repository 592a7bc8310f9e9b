// Why this file exists: BSON of http-rpc section 7.4 byte by byte, and documents that lie.
#include "rpc/bson_codec.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace capstan::rpc {
namespace {

using namespace std::string_view_literals;

std::string there_and_back(std::string_view json, BsonTop top = BsonTop::kObject) {
  std::string bson, out;
  const auto made = json_to_bson(json, bson);
  if (!made) return made.error().text();
  const auto read = bson_to_json(as_bytes(bson), top, out);
  return read ? out : read.error().text();
}

std::string read(std::string_view bson, BsonTop top = BsonTop::kObject) {
  std::string out;
  const auto result = bson_to_json(as_bytes(bson), top, out);
  if (!result) EXPECT_TRUE(out.empty());
  return result ? out : result.error().text();
}

TEST(BsonCodec, KeepsEveryValue) {
  for (const char* json : {R"({})", R"({"a":1,"b":[],"c":{"d":null},"e":[true,false,"x",[1.5]]})",
                           R"({"":"","key with \" quote":"\u0001\n"})", R"("text")", "3", "true",
                           "null", "-0.5", R"({"big":9007199254740992,"small":1e-300})"}) {
    EXPECT_EQ(there_and_back(json), json);
  }
  EXPECT_EQ(there_and_back(R"(["a",{"0":1}])", BsonTop::kArray), R"(["a",{"0":1}])");
  EXPECT_EQ(there_and_back(R"(["a",{"0":1}])", BsonTop::kGuess), R"(["a",{"0":1}])");
  EXPECT_EQ(there_and_back(R"({"0":1,"1":[{}]})", BsonTop::kGuess), R"([1,[{}]])");
  EXPECT_EQ(there_and_back(R"({"0":1,"2":2})", BsonTop::kGuess), R"({"0":1,"2":2})");
  EXPECT_EQ(there_and_back("[]", BsonTop::kArray), "[]");
  EXPECT_EQ(there_and_back("[]", BsonTop::kGuess), "{}") << "the bytes do not say which";
}

TEST(BsonCodec, TakesIntegersOfOtherWriters) {
  EXPECT_EQ(read("\x0C\0\0\0\x10"
                 "a\0\xFF\xFF\xFF\xFF\0"sv),
            R"({"a":-1})");
  EXPECT_EQ(read("\x10\0\0\0\x12"
                 "a\0\0\0\0\0\0\0\0\x80\0"sv),
            R"({"a":-9223372036854775808})");
}

TEST(BsonCodec, RefusesWhatIsWrong) {
  EXPECT_EQ(read(""sv), "malformed BSON at byte 0: not enough data");
  EXPECT_EQ(read("\5\0\0\0\1"sv),
            "malformed BSON at byte 0: a document does not end with a zero byte");
  EXPECT_EQ(read("\6\0\0\0\0"sv), "malformed BSON at byte 0: a document's length is wrong");
  EXPECT_EQ(read("\4\0\0\0\0"sv), "malformed BSON at byte 0: a document's length is wrong");
  EXPECT_EQ(read("\5\0\0\0\0x"sv), "malformed BSON at byte 4: extra bytes after the document");
  EXPECT_EQ(read("\7\0\0\0\x0A"
                 "a\0"sv),
            "malformed BSON at byte 5: a name does not end");
  EXPECT_EQ(read("\x08\0\0\0\x07"
                 "a\0\0"sv),
            "malformed BSON at byte 6: unexpected type 7");
  EXPECT_EQ(read("\x09\0\0\0\x08"
                 "a\0\2\0"sv),
            "malformed BSON at byte 7: a boolean is 0 or 1");
  EXPECT_EQ(read("\x0D\0\0\0\2a\0\0\0\0\0\0\0"sv),
            "malformed BSON at byte 11: a text's length is wrong");
  EXPECT_EQ(read("\x0E\0\0\0\2a\0\2\0\0\0\xFF\0\0"sv),
            "malformed BSON at byte 11: a text is not UTF-8");
  EXPECT_EQ(read("\x08\0\0\0\x0A"
                 "x\0\0"sv,
                 BsonTop::kArray),
            "malformed BSON at byte 7: an array's elements are not numbered from 0");
  EXPECT_EQ(read("\x07\0\0\0\x8A\0\0"sv), "malformed BSON at byte 5: extra bytes in a document");
  EXPECT_EQ(read("\x0B\0\0\0\x83\5\0\0\0\0\0"sv), "malformed BSON at byte 5: unexpected type");
}

TEST(BsonCodec, NestingIsBounded) {
  std::string json, deeper;
  for (std::size_t i = 0; i < limits::kJsonNestingDepth; ++i)
    json = "{\"a\":" + (json.empty() ? "1" : json) + "}";
  EXPECT_EQ(there_and_back(json), json);
  std::string bson("\5\0\0\0\0", 5);
  for (std::size_t i = 0; i < limits::kJsonNestingDepth; ++i) {
    std::string outer(4, '\0');
    outer += std::string("\3a\0", 3) + bson + '\0';
    store_le(reinterpret_cast<std::uint8_t*>(outer.data()),
             static_cast<std::uint32_t>(outer.size()));
    bson = outer;
  }
  EXPECT_NE(read(bson).find("too many levels"), std::string::npos);
  EXPECT_NE(there_and_back("{\"a\\u0000b\":1}").find("NUL"), std::string::npos);
}

}  // namespace
}  // namespace capstan::rpc
