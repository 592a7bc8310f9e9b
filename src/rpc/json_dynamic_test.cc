// Why this file exists: JSON whose shape no .proto knows (google.protobuf.Struct, Value, ListValue)
// in and out, ASCII output, and the strict way of reading parameters.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include "rpc/json_reader.h"
#include "rpc/json_testing.h"
#include "rpc/json_writer.h"

namespace capstan::rpc {
namespace {

std::string round_trip(std::string_view text) {
  google::protobuf::Value value;
  JsonReader reader;
  const auto read = reader.read(text, value);
  if (!read) return read.error().message;
  std::string out;
  const auto written = write_json(value, JsonStyle::spdk(), out);
  return written ? out : written.error().message;
}

TEST(JsonDynamic, ValuesComeBackAsTheyWere) {
  for (const char* text :
       {"null", "true", "false", "\"\"", "\"a\\nb\"", "0", "-1", "4096", "100000", "1000000000000",
        "9007199254740992", "-9007199254740992", "18446744073709549568", "0.5", "-1.25e-07", "[]",
        "{}", "[1,[2,{\"a\":null}],\"x\"]", "{\"a\":{\"b\":[true,{}]},\"c\":1}"}) {
    EXPECT_EQ(round_trip(text), text);
  }
  EXPECT_EQ(round_trip("1e3"), "1000");
  EXPECT_EQ(round_trip("{\"b\":1,\"a\":2}"), "{\"a\":2,\"b\":1}") << "maps are sorted";
}

TEST(JsonDynamic, WhatADoubleCannotHoldIsRefused) {
  for (const char* text :
       {"9007199254740993", "-9007199254740993", "9223372036854775807", "18446744073709551615"}) {
    EXPECT_NE(round_trip(text).find("kept exactly"), std::string::npos) << text;
  }
}

TEST(JsonDynamic, StructsAndLists) {
  google::protobuf::Struct object;
  google::protobuf::ListValue list;
  JsonReader reader;
  EXPECT_TRUE(reader.read(R"({"a":[1,"2"]})", object));
  EXPECT_TRUE(reader.read("[1,null]", list));
  std::string out;
  EXPECT_TRUE(write_json(object, JsonStyle::canonical(), out));
  EXPECT_TRUE(write_json(list, JsonStyle::canonical(), out));
  EXPECT_EQ(out, R"({"a":[1,"2"]}[1,null])");
  EXPECT_FALSE(reader.read("[1]", object));
  EXPECT_FALSE(reader.read("{}", list));
  EXPECT_FALSE(reader.read(R"({"a":1,"a":2})", object));
}

TEST(JsonDynamic, DepthIsBoundedBothWays) {
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  EXPECT_EQ(round_trip(deep), deep);
  EXPECT_NE(round_trip("[" + deep + "]").find("nested deeper"), std::string::npos);
  google::protobuf::Value value;
  google::protobuf::Value* inner = &value;
  for (int i = 0; i < 65; ++i) inner = inner->mutable_list_value()->add_values();
  std::string out;
  EXPECT_FALSE(write_json(value, JsonStyle::spdk(), out));
  EXPECT_EQ(out, "");
}

TEST(JsonDynamic, AsciiOnly) {
  std::string out;
  append_json_string("\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBF\x7F/\b\f\n\r\t\"\\\x01\xFF", out, true);
  EXPECT_EQ(out, R"("\u00E9\uD83D\uDE00\uFFFF\u007F/\b\f\n\r\t\"\\\u0001\uFFFD")");
}

TEST(JsonDynamic, StrictReading) {
  testing::Everything everything;
  const auto message = everything.make();
  JsonReader reader;
  JsonReadOptions strict;
  strict.strict = true;
  const auto complaint = [&](std::string_view text) {
    const auto read = reader.read(text, *message, strict);
    return read ? "" : read.error().message;
  };
  EXPECT_EQ(complaint(R"({"a_uint64":1e2,"an_int32":-1.0,"a_string":"1","a_bool":true})"), "");
  EXPECT_EQ(complaint(R"({"a_uint64":"1"})"),
            "$.a_uint64: expected an unsigned integer, got string");
  EXPECT_EQ(complaint(R"({"an_int32":"1"})"), "$.an_int32: expected an integer, got string");
  EXPECT_EQ(complaint(R"({"a_double":"NaN"})"), "$.a_double: expected a number, got string");
  EXPECT_EQ(complaint(R"({"uint64s":[1,"2"]})"),
            "$.uint64s[1]: expected an unsigned integer, got string");
  EXPECT_EQ(complaint(R"({"a_string":null})"),
            "$.a_string: null is not a value here; leave the member out");
  EXPECT_TRUE(reader.read(R"({"a_string":null,"a_uint64":"1"})", *message));
}

}  // namespace
}  // namespace capstan::rpc
