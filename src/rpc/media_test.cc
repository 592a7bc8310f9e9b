// Why this file exists: the vectors of http-rpc sections 6, 7 and 9 through the three media types,
// the same message through all of them, and bytes that nobody should accept.
#include "rpc/media.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <random>

#include "capstan_test_paths.h"
#include "rpc/bson_codec.h"
#include "rpc/json_testing.h"
#include "rpc/media_testing.h"

namespace capstan::rpc {
namespace {

using google::protobuf::Message;
using testing::bytes_of;
using testing::hex_of;

constexpr const char* kDemo = R"(
message Version { string version = 1; }
message Pool { string name = 1; int64 capacity = 2; int64 used = 3; }
message Ready { bool ready = 1; }
message Event { int32 seq = 1; }
message Nothing {}
message Texts { repeated string texts = 1; }
message Numbers { repeated int32 numbers = 1; }
message Optional { int32 a = 1; optional int32 b = 2; }
enum Level { FIRST = 0; SECOND = 1; OLD_SECOND = 1; }
message Kinds {
  bool yes = 1; uint32 wide = 2; int64 big = 3; uint64 huge = 4; double real = 5; float narrow = 6;
  bytes blob = 7; int32 negative = 9; map<string, int32> map = 10;
  google.protobuf.Value any = 11; google.protobuf.StringValue wrapped = 12;
  google.protobuf.Timestamp at = 13;
  oneof choice { string text = 14; int32 number = 15; }
}
message Empties { repeated Nothing nothings = 1; }
message Inner { string name = 1; int32 kind = 2; int32 size = 3; }
message Request { string pool = 1; Inner inner = 2; repeated Inner others = 3; int32 limit = 4; }
message Any { google.protobuf.Value any = 1; }
message Deep { Deep deep = 1; repeated Deep more = 2; }
message Levels { Level level = 1; }
)";

class MediaTest : public ::testing::Test {
 protected:
  // The octet-stream and BSON bytes in hex.
  std::string binary(const std::string& type, std::string_view json) {
    const auto message = protos_.make(type, json);
    const auto bytes = encode_binary(*message, BodyShape::of(*message));
    return bytes ? hex_of(*bytes) : bytes.error().text();
  }
  std::string bson(const std::string& type, std::string_view json) {
    const auto message = protos_.make(type, json);
    const auto bytes = encode_bson(*message, BodyShape::of(*message));
    return bytes ? hex_of(*bytes) : bytes.error().text();
  }
  BodyShape field(const std::string& type, const std::string& name, bool element = false) {
    BodyShape shape = BodyShape::whole(protos_.type(type));
    shape.field = shape.type->FindFieldByName(name);
    CAPSTAN_ASSERT(shape.field != nullptr);
    shape.element = element;
    return shape;
  }
  FieldPath path(const std::string& type, std::initializer_list<std::string> names) {
    FieldPath made;
    const auto* in = &protos_.type(type);
    for (const auto& name : names) {
      made.push_back(in->FindFieldByName(name));
      in = made.back()->message_type();
    }
    return made;
  }
  std::string refused(const std::string& type, std::string_view hex) {
    const auto message = protos_.make(type);
    const auto read = decode_binary(as_bytes(bytes_of(hex)), *message, BodyShape::of(*message));
    return read ? "accepted: " + message->ShortDebugString() : read.error().text();
  }

  testing::Protos protos_{kDemo};
  JsonReader reader_;
};

TEST_F(MediaTest, JsonVectors) {
  const auto text = [&](const std::string& type, std::string_view json) {
    const auto message = protos_.make(type, json);
    return encode_json(*message, BodyShape::of(*message)).value();
  };
  EXPECT_EQ(text("Version", R"({"version":"demo/1.0"})"), "{\"version\":\"demo/1.0\"}\n");
  EXPECT_EQ(text("Nothing", "{}"), "{}\n");
  EXPECT_EQ(text("Event", R"({"seq":1})"), "{\"seq\":1}\n");
  EXPECT_EQ(text("Pool", R"({"name":"n","capacity":5,"used":"6"})"),
            "{\"name\":\"n\",\"capacity\":\"5\",\"used\":\"6\"}\n");
  EXPECT_EQ(text("Pool", R"({"name":"n","capacity":5,"used":0})"),
            "{\"name\":\"n\",\"capacity\":\"5\"}\n")
      << "what equals its default is left out";
  EXPECT_EQ(text("Version", "{\"version\":\"\xC3\xA9\\u0001\\\"/\\\\\\n\\f\\b\\t\\r\x7F\"}"),
            "{\"version\":\"\xC3\xA9\\u0001\\\"/\\\\\\n\\u000c\\b\\t\\r\x7F\"}\n");
  EXPECT_EQ(text("Kinds", R"({"blob":"00ff","real":3e15,"narrow":0.1})"),
            "{\"real\":3000000000000000,\"narrow\":0.1,\"blob\":\"00ff\"}\n");
  EXPECT_EQ(text("Kinds", R"({"real":3.14159265358979,"narrow":16777216})"),
            "{\"real\":3.14159265358979,\"narrow\":16777216}\n");
}

TEST_F(MediaTest, TextThatIsNotUtf8IsAListOfBytes) {
  const auto message = protos_.make("Version");
  message->GetReflection()->SetString(message.get(), message->GetDescriptor()->field(0),
                                      "\xFF\xFE");
  EXPECT_EQ(encode_json(*message, BodyShape::of(*message)).value(),
            "{\"version\":{\"invalid_utf8_string\":[255,254]}}\n");
  const auto decode = [&](std::string_view text) {
    const auto into = protos_.make("Version");
    const auto read = decode_json(text, *into, BodyShape::of(*into), reader_);
    return read ? into->ShortDebugString() : read.error().text();
  };
  EXPECT_EQ(decode(R"({"version":{"invalid_utf8_string":[104,105]}})"), "version: \"hi\"");
  EXPECT_EQ(decode(R"({"version":{"invalid_utf8_string":[255,254]}})"),
            "$.version: a text must be UTF-8");
  EXPECT_EQ(decode(R"({"version":{"invalid_utf8_string":[256]}})"),
            "$.version: number out of range, it must be between 0 and 255");
  EXPECT_EQ(decode(R"({"version":{"a":[]}})"), "$.version: expected string, got object");
}

TEST_F(MediaTest, BsonVectors) {
  EXPECT_EQ(bson("Ready", R"({"ready":true})"),
            "0d0000000872656164790001"
            "00");
  EXPECT_EQ(bson("Nothing", "{}"), "0500000000");
  EXPECT_EQ(bson("Event", R"({"seq":1})"),
            "12000000"
            "01"
            "73657100"
            "000000000000f03f"
            "00");
  const auto texts = protos_.make("Texts", R"({"texts":["a","bc"]})");
  EXPECT_EQ(hex_of(encode_bson(*texts, field("Texts", "texts")).value()),
            "1800000002300002000000610002310003000000626300"
            "00");
  const auto number = protos_.make("Event", R"({"seq":3})");
  EXPECT_EQ(hex_of(encode_bson(*number, field("Event", "seq")).value()),
            "0e00000081000000000000084000");
  const auto text = protos_.make("Version", R"({"version":"id-of-main"})");
  EXPECT_EQ(hex_of(encode_bson(*text, field("Version", "version")).value()),
            "15000000820b00000069642d6f662d6d61696e0000");
}

TEST_F(MediaTest, BinaryVectors) {
  EXPECT_EQ(binary("Version", R"({"version":"demo/1.0"})"), "0000000c0000000864656d6f2f312e30");
  EXPECT_EQ(binary("Pool", R"({"name":"p1","capacity":1024})"),
            "00000016"
            "000000027031"
            "0000000000000400"
            "0000000000000000");
  EXPECT_EQ(binary("Nothing", "{}"), "00000000");
  EXPECT_EQ(binary("Event", R"({"seq":1})"), "0000000400000001");
  EXPECT_EQ(binary("Ready", R"({"ready":true})"), "00000001ff");
  EXPECT_EQ(binary("Texts", R"({"texts":["a","bc"]})"),
            "0000000f"
            "0000000b"
            "0000000161"
            "000000026263");
  EXPECT_EQ(binary("Optional", R"({"a":7,"b":9})"),
            "00000009"
            "00000007"
            "ff"
            "00000009");
  EXPECT_EQ(binary("Optional", R"({"a":7})"),
            "00000005"
            "00000007"
            "00");
  EXPECT_EQ(binary("Levels", R"({"level":"SECOND"})"), "0000000101");
}

TEST_F(MediaTest, BinaryOfEachKind) {
  const std::string none =
      "00"
      "00000000"
      "0000000000000000"
      "0000000000000000"
      "0000000000000000"
      "0000000000000000"
      "00000000"
      "00000000"
      "00000000"
      "00"
      "00"
      "00"
      "00"
      "00";
  EXPECT_EQ(binary("Kinds", "{}"), "00000036" + none);
  EXPECT_EQ(binary("Kinds", R"({"yes":true,"wide":4294967295,"big":"1099511627776",
                                "huge":"18446744073709551615","real":1.5,"narrow":1.5,
                                "blob":"616263","negative":-1,"map":{"k":1},
                                "any":{"a":1},"wrapped":"q","at":"1970-01-01T00:00:02.5Z",
                                "number":7})"),
            "0000006b"
            "ff"
            "ffffffff"
            "0000010000000000"
            "ffffffffffffffff"
            "3ff8000000000000"
            "3ff8000000000000"
            "00000003616263"
            "ffffffff"
            "00000009"
            "000000016b"
            "00000001"
            "ff"
            "00000010"
            "100000000161000000"
            "00000000f03f00"
            "ff"
            "0000000171"
            "ff"
            "0000000000000002"
            "1dcd6500"
            "00"
            "ff"
            "00000007");
}

TEST_F(MediaTest, OneFieldIsTheWholeBody) {
  const auto message = protos_.make(
      "Request", R"({"pool":"p","inner":{"name":"x"},"others":[{"name":"y"},{"name":"z"}]})");
  const BodyShape others = field("Request", "others"), first = field("Request", "others", true);
  EXPECT_EQ(encode_json(*message, others).value(), "[{\"name\":\"y\"},{\"name\":\"z\"}]\n");
  EXPECT_EQ(encode_json(*message, first).value(), "{\"name\":\"y\"}\n");
  EXPECT_EQ(hex_of(encode_binary(*message, first).value()),
            "0000000d"
            "0000000179"
            "00000000"
            "00000000");
  for (const Media media : {Media::kJson, Media::kBson, Media::kBinary}) {
    for (const BodyShape& shape :
         {others, first, field("Request", "pool"), field("Request", "inner")}) {
      const auto body = encode_body(media, *message, shape);
      ASSERT_TRUE(body) << body.error().text();
      const auto read = protos_.make("Request");
      const auto result = decode_body(media, *body, *read, shape, reader_);
      ASSERT_TRUE(result) << result.error().text();
      EXPECT_EQ(encode_body(media, *read, shape).value(), *body);
      EXPECT_FALSE(read->ShortDebugString().empty());
    }
  }
}

TEST_F(MediaTest, WhatThePathSaysIsNotInTheBody) {
  BodyShape shape = BodyShape::whole(protos_.type("Request"));
  shape.hidden = {path("Request", {"pool"}), path("Request", {"inner", "kind"})};
  const auto message = protos_.make(
      "Request", R"({"pool":"p","inner":{"name":"x","kind":5,"size":6},"others":[{"kind":1}]})");
  const auto expected =
      protos_.make("Request", R"({"inner":{"name":"x","size":6},"others":[{"kind":1}]})");
  EXPECT_EQ(encode_json(*message, shape).value(),
            "{\"inner\":{\"name\":\"x\",\"size\":6},\"others\":[{\"kind\":1}]}\n");
  EXPECT_EQ(hex_of(encode_binary(*message, shape).value()),
            "0000001e"
            "ff"
            "0000000178"
            "00000006"
            "0000000c"
            "00000000"
            "00000001"
            "00000000"
            "00000000");
  for (const Media media : {Media::kJson, Media::kBson, Media::kBinary}) {
    const auto read = protos_.make("Request");
    const auto result =
        decode_body(media, encode_body(media, *message, shape).value(), *read, shape, reader_);
    ASSERT_TRUE(result) << result.error().text();
    EXPECT_TRUE(testing::same(*read, *expected)) << read->ShortDebugString();
  }
  const auto into = protos_.make("Request");
  const auto twice = decode_json(R"({"inner":{"kind":5}})", *into, shape, reader_);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().text(),
            "$.inner.kind: the path or the query gives this; leave it out of the body");
}

// An enum without the number that nobody declares: it has no binary form.
void drop_unknown_enums(Message& message) {
  using google::protobuf::FieldDescriptor;
  const auto& r = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  r.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM && !field->is_map()) {
      for (int i = 0; field->is_repeated() && i < r.FieldSize(message, field); ++i) {
        if (r.GetRepeatedEnumValue(message, field, i) == 99) {
          r.SetRepeatedEnumValue(&message, field, i, 1);
        }
      }
      if (!field->is_repeated() && r.GetEnumValue(message, field) == 99) {
        r.SetEnumValue(&message, field, 1);
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const int size = field->is_repeated() ? r.FieldSize(message, field) : 0;
      for (int i = 0; i < size; ++i) {
        Message& inner = *r.MutableRepeatedMessage(&message, field, i);
        const auto* value = field->is_map() ? field->message_type()->map_value() : nullptr;
        if (value && value->cpp_type() == FieldDescriptor::CPPTYPE_ENUM &&
            inner.GetReflection()->GetEnumValue(inner, value) == 99) {
          inner.GetReflection()->SetEnumValue(&inner, value, 1);
        }
        if (!value || value->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          drop_unknown_enums(inner);
        }
      }
      if (!field->is_repeated()) drop_unknown_enums(*r.MutableMessage(&message, field));
    }
  }
}

TEST_F(MediaTest, EveryMediaTypeReadsBackEqual) {
  const testing::Everything types;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const auto message = types.make(), read = types.make();
    testing::Filler(seed).fill(*message, 3);
    drop_unknown_enums(*message);
    for (const Media media : {Media::kJson, Media::kBson, Media::kBinary}) {
      const auto body = encode_body(media, *message, BodyShape::of(*message));
      ASSERT_TRUE(body) << body.error().text();
      const auto result = decode_body(media, *body, *read, BodyShape::of(*message), reader_);
      ASSERT_TRUE(result) << media_name(media) << " seed " << seed << result.error().text();
      ASSERT_TRUE(testing::same(*message, *read)) << media_name(media) << " seed " << seed;
      ASSERT_EQ(encode_body(media, *read, BodyShape::of(*read)).value(), *body);
    }
  }
}

TEST_F(MediaTest, EveryCutAndEveryFlippedByteEnds) {
  const testing::Everything types;
  std::mt19937 random(7);
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const auto message = types.make(), read = types.make();
    testing::Filler(seed).fill(*message, 2);
    drop_unknown_enums(*message);
    for (const Media media : {Media::kBson, Media::kBinary}) {
      const std::string body = encode_body(media, *message, BodyShape::of(*message)).value();
      const std::size_t step = 1 + body.size() / 200;
      for (std::size_t cut = 0; cut < body.size(); cut += step) {
        const auto result = decode_body(media, std::string_view(body).substr(0, cut), *read,
                                        BodyShape::of(*message), reader_);
        ASSERT_FALSE(result) << media_name(media) << " cut at " << cut;
        ASSERT_EQ(result.error().code, Code::kInvalidArgument);
      }
      ASSERT_FALSE(decode_body(media, body + '\0', *read, BodyShape::of(*message), reader_));
      for (int i = 0; i < 200; ++i) {
        std::string wrong = body;
        wrong[random() % wrong.size()] ^= static_cast<char>(1U << random() % 8);
        (void)decode_body(media, wrong, *read, BodyShape::of(*message), reader_).has_value();
      }
    }
  }
}

TEST_F(MediaTest, BinaryRefusals) {
  EXPECT_EQ(refused("Event", ""), "$: not enough data");
  EXPECT_EQ(refused("Event", "00000004000000"), "$: not enough data");
  EXPECT_EQ(refused("Event", "0000000300000001"), "$: extra bytes after the value");
  EXPECT_EQ(refused("Event",
                    "00000005"
                    "00000001"
                    "00"),
            "$: extra bytes in the value");
  EXPECT_EQ(refused("Texts",
                    "00000008"
                    "00000004"
                    "00000009"),
            "$.texts[0]: not enough data");
  EXPECT_EQ(refused("Texts",
                    "00000009"
                    "00000005"
                    "00000001"
                    "ff"),
            "$.texts[0]: a text must be UTF-8");
  EXPECT_EQ(refused("Levels", "0000000102"), "$.level: unexpected tag 2: demo.Level has 2 values");
  EXPECT_EQ(refused("Empties",
                    "00000005"
                    "00000001"
                    "00"),
            "$.nothings: a list of empty objects has no binary form");
  EXPECT_EQ(refused("Ready", "0000000107"), "accepted: ready: true") << "any byte but 0 is true";
  EXPECT_EQ(refused("Kinds",
                    "0000003e"
                    "00"
                    "00000000" +
                        std::string(64, '0') +
                        "00000000"
                        "00000000"
                        "00000000"
                        "00"
                        "00"
                        "00"
                        "ff"
                        "00000000"
                        "ff"
                        "00000000"),
            "$.number: 'text' is already given, and only one of 'choice' may be");
  // One "present" byte per level.
  std::string deep = bytes_of("00000064") + std::string(100, '\xFF');
  const auto into = protos_.make("Deep");
  const auto result = decode_binary(as_bytes(deep), *into, BodyShape::of(*into));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().text().find("nested too deep"), std::string::npos);
}

TEST_F(MediaTest, LimitsAreAnswered) {
  const auto into = protos_.make("Version");
  for (const Media media : {Media::kJson, Media::kBson, Media::kBinary}) {
    const auto result = decode_body(media, std::string(100, ' '), *into, BodyShape::of(*into),
                                    reader_, JsonStyle::octez(), 99);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kResourceExhausted) << media_name(media);
  }
  // Millions of objects in a few megabytes: one byte each (no `deep`) and an empty list.
  std::string many;
  for (int i = 0; i < 3 << 20; ++i) many += bytes_of("0000000000");
  std::string body = bytes_of("00") + std::string(4, '\0') + many;
  store_be32(reinterpret_cast<std::uint8_t*>(body.data()) + 1,
             static_cast<std::uint32_t>(many.size()));
  std::string whole(4, '\0');
  store_be32(reinterpret_cast<std::uint8_t*>(whole.data()),
             static_cast<std::uint32_t>(body.size()));
  const auto deep = protos_.make("Deep");
  const auto result = decode_binary(as_bytes(whole + body), *deep, BodyShape::of(*deep));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kResourceExhausted) << result.error().text();
}

TEST_F(MediaTest, DynamicValuesAtTheTop) {
  for (const char* json :
       {R"({"any":[1,"x",null]})", R"({"any":{"0":1,"2":2}})", R"({"any":"text"})",
        R"({"any":null})", R"({"any":true})", R"({"any":{}})"}) {
    const auto message = protos_.make("Any", json), read = protos_.make("Any");
    for (const Media media : {Media::kJson, Media::kBson, Media::kBinary}) {
      const auto body = encode_body(media, *message, field("Any", "any")).value();
      const auto result = decode_body(media, body, *read, field("Any", "any"), reader_);
      ASSERT_TRUE(result) << result.error().text();
      EXPECT_TRUE(testing::same(*message, *read)) << json << read->ShortDebugString();
    }
  }
}

// The worked example of BINARY.md: its first word of each line is hex.
TEST_F(MediaTest, TheDocumentedExampleIsWhatIsSent) {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/rpc/BINARY.md");
  std::string line, hex;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line.starts_with("```")) {
      inside = !inside;
    } else if (inside) {
      hex += line.substr(0, line.find("  "));
    }
  }
  std::erase(hex, ' ');
  EXPECT_EQ(binary("Pool", R"({"name":"p1","capacity":1024})"), hex);
}

TEST(MediaName, IsFoundInAnyCase) {
  EXPECT_EQ(media_named("APPLICATION/JSON"), Media::kJson);
  EXPECT_EQ(media_named("application/octet-stream"), Media::kBinary);
  EXPECT_EQ(media_named("application/bson"), Media::kBson);
  EXPECT_FALSE(media_named("application/json; charset=utf-8"));
  EXPECT_FALSE(media_named(""));
}

}  // namespace
}  // namespace capstan::rpc
