// Why this file exists: pins the four styles byte by byte, and what the writer refuses.
#include "rpc/json_writer.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/limits.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/json_reader.h"
#include "rpc/json_testing.h"

namespace capstan::rpc {
namespace {

std::string written(const google::protobuf::Message& message, const JsonStyle& style) {
  std::string out = "before ";
  const auto result = write_json(message, style, out);
  if (!result) EXPECT_EQ(out, "before ");
  return result ? out.substr(7) : "error: " + result.error().text();
}

node::v1::ImportImageResponse sample() {
  node::v1::ImportImageResponse message;
  message.set_replica("r1");
  message.set_size_bytes(1ULL << 60);
  message.set_sha256("\xFB\xFF");
  return message;
}

TEST(JsonWriter, NegativeZeroKeepsItsSign) {
  google::protobuf::DoubleValue number, back;
  number.set_value(-0.0);
  EXPECT_EQ(written(number, JsonStyle::canonical()), "-0.0");
  ASSERT_TRUE(JsonReader().read("-0.0", back));
  EXPECT_TRUE(std::signbit(back.value()));
  number.set_value(0.0);
  EXPECT_EQ(written(number, JsonStyle::canonical()), "0");
}

TEST(JsonWriter, StylesDiffer) {
  const auto message = sample();
  EXPECT_EQ(written(message, JsonStyle::canonical()),
            R"({"replica":"r1","sizeBytes":"1152921504606846976","sha256":"+/8="})");
  EXPECT_EQ(written(message, JsonStyle::octez()),
            R"({"replica":"r1","size_bytes":"1152921504606846976","sha256":"fbff"})");
  EXPECT_EQ(written(message, JsonStyle::spdk()),
            R"({"replica":"r1","size_bytes":1152921504606846976,"data_bytes":0,"sha256":"+/8="})");
  EXPECT_EQ(written(message, JsonStyle::v0()),
            R"({"replica":"r1","sizeBytes":1152921504606846976,"dataBytes":0,"sha256":"+/8="})");
}

TEST(JsonWriter, EnumsAsNamesOrNumbers) {
  const testing::Everything types;
  const auto message = types.make();
  const auto* field = message->GetDescriptor()->FindFieldByName("colours");
  for (const int number : {1, -3, 99}) {
    message->GetReflection()->AddEnumValue(message.get(), field, number);
  }
  JsonStyle style;
  EXPECT_EQ(written(*message, style), R"({"colours":["RED","DARK_BLUE",99]})");
  style.enums = JsonStyle::Enums::kNumbers;
  EXPECT_EQ(written(*message, style), R"({"colours":[1,-3,99]})");
}

TEST(JsonWriter, PresenceIsKeptAndDefaultsAreHiddenOrShown) {
  const testing::Everything types;
  const auto message = types.make();
  EXPECT_EQ(written(*message, JsonStyle::canonical()), "{}");
  const auto& reflection = *message->GetReflection();
  const auto* descriptor = message->GetDescriptor();
  reflection.SetInt32(message.get(), descriptor->FindFieldByName("maybe_int32"), 0);
  reflection.SetString(message.get(), descriptor->FindFieldByName("chosen_text"), "");
  reflection.MutableMessage(message.get(), descriptor->FindFieldByName("w_bool"));
  EXPECT_EQ(written(*message, JsonStyle::canonical()),
            R"({"maybeInt32":0,"chosenText":"","wBool":false})");
  JsonStyle all;
  all.show_defaults = true;
  const std::string text = written(*message, all);
  EXPECT_NE(text.find(R"("anInt32":0,)"), std::string::npos);
  EXPECT_NE(text.find(R"("strings":[],)"), std::string::npos);
  EXPECT_NE(text.find(R"("texts":{},)"), std::string::npos);
  EXPECT_EQ(text.find("maybeString"), std::string::npos);
  EXPECT_EQ(text.find("chosenNumber"), std::string::npos);
  EXPECT_EQ(text.find("\"child\""), std::string::npos);
}

TEST(JsonWriter, TextIsEscapedAndAlwaysUtf8) {
  std::string out;
  append_json_string(std::string_view("\"\\/\b\f\n\r\t\x01\x1F\x7F\0\xC3\xA9\xFF\xE2\x82", 17),
                     out);
  EXPECT_EQ(out,
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\\u0000\xC3\xA9"
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(JsonWriter, MapsAreSortedByKey) {
  node::v1::Event event;
  for (const char* key : {"b", "a", "", "c\""}) (*event.mutable_details())[key] = key;
  EXPECT_EQ(written(event, JsonStyle::canonical()),
            R"({"details":{"":"","a":"a","b":"b","c\"":"c\""}})");
}

TEST(JsonWriter, NumbersAreShortAndReadable) {
  const testing::Everything types;
  const auto message = types.make();
  const auto* field = message->GetDescriptor()->FindFieldByName("doubles");
  for (const double number :
       {0.1, 1.0, -2.5e-9, 999999999999999.0, 1e15, 123456789012345678901.0}) {
    message->GetReflection()->AddDouble(message.get(), field, number);
  }
  EXPECT_EQ(written(*message, JsonStyle::canonical()),
            R"({"doubles":[0.1,1,-2.5e-09,999999999999999,1e+15,1.2345678901234568e+20]})");
}

TEST(JsonWriter, RefusesWhatHasNoForm) {
  google::protobuf::Any any;
  EXPECT_TRUE(written(any, JsonStyle::canonical()).starts_with("error: google.protobuf.Any has"));
  node::v1::Version version;
  version.set_version("v");
  version.mutable_started()->set_nanos(-1);
  EXPECT_TRUE(
      written(version, JsonStyle::canonical()).starts_with("error: google.protobuf.Timestamp of"));
  EXPECT_EQ(written(google::protobuf::Empty(), JsonStyle::canonical()), "{}");
}

TEST(JsonWriter, DepthIsBoundedAsInTheReader) {
  const testing::Everything types;
  for (const std::size_t levels : {limits::kJsonNestingDepth, limits::kJsonNestingDepth + 1}) {
    const auto message = types.make();
    auto* innermost = message.get();
    for (std::size_t i = 1; i < levels; ++i) {
      const auto* child = innermost->GetDescriptor()->FindFieldByName("child");
      innermost = innermost->GetReflection()->MutableMessage(innermost, child);
    }
    const bool right = !written(*message, JsonStyle::canonical()).starts_with("error");
    EXPECT_EQ(right, levels == limits::kJsonNestingDepth);
    const bool right_with_defaults = !written(*message, JsonStyle::spdk()).starts_with("error");
    EXPECT_EQ(right_with_defaults, right);
  }
}

}  // namespace
}  // namespace capstan::rpc
