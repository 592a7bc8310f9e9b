// Why this file exists: the exact text that clients of the JSON bridge get (jsonrpc section C.1).
#include "rpc/json_pretty.h"

#include <gtest/gtest.h>

namespace capstan::rpc {
namespace {

TEST(JsonPretty, IndentsAndSorts) {
  EXPECT_EQ(*pretty_sorted_json(R"({"b":[1,{"z":true,"a":null}],"a":{},"c":[]})"),
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"a\": null,\n      \"z\": true\n"
            "    }\n  ],\n  \"c\": []\n}");
}

TEST(JsonPretty, ScalarsStandBareAndTextStaysText) {
  EXPECT_EQ(*pretty_sorted_json("true"), "true");
  EXPECT_EQ(*pretty_sorted_json(" null "), "null");
  EXPECT_EQ(*pretty_sorted_json("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(*pretty_sorted_json("-5"), "-5");
  EXPECT_EQ(*pretty_sorted_json(R"("\u00e9\n")"), "\"é\\n\"");
}

TEST(JsonPretty, RefusesWhatIsNoJson) {
  EXPECT_FALSE(pretty_sorted_json(""));
  EXPECT_FALSE(pretty_sorted_json("{"));
  EXPECT_FALSE(pretty_sorted_json("{} {}"));
  EXPECT_FALSE(pretty_sorted_json(std::string(200, '[')));
}

}  // namespace
}  // namespace capstan::rpc
