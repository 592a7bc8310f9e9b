// Why this file exists: schemas as http-rpc sections 13.3 and 13.4 have them, byte by byte.
#include "rpc/schema.h"

#include <gtest/gtest.h>

#include "rpc/json_testing.h"
#include "rpc/media.h"
#include "rpc/media_testing.h"

namespace capstan::rpc {
namespace {

constexpr const char* kProtos = R"(
message Example { int32 a = 1; optional bool b = 2; }
message Texts { repeated string texts = 1; map<string, int32> map = 2; bytes blob = 3; }
enum Switch { ON = 0; OFF = 1; }
message Nested { Example one = 1; repeated Example many = 2; Switch state = 3; Nested self = 4; }
message Wide { int64 n = 1; uint64 u = 2; uint32 w = 3; double d = 4; string s = 5; }
message Times { google.protobuf.Timestamp at = 1; google.protobuf.StringValue name = 2;
                google.protobuf.Value any = 3; }
message Nothing {}
)";
const std::string kHead = R"({"$schema":"http://json-schema.org/draft-04/schema#",)";

class SchemaTest : public ::testing::Test {
 protected:
  BodyShape whole(const char* type) { return BodyShape::whole(protos_.type(type)); }
  BodyShape field(const char* type, const char* name) {
    BodyShape shape = whole(type);
    shape.field = shape.type->FindFieldByName(name);
    return shape;
  }
  testing::Protos protos_{kProtos};
};

TEST_F(SchemaTest, JsonOfObjectsAndScalars) {
  EXPECT_EQ(json_schema(whole("Example")),
            kHead +
                R"("type":"object","properties":{"a":{"type":"integer","minimum":-2147483648,)"
                R"("maximum":2147483647},"b":{"type":"boolean"}},"additionalProperties":false})");
  EXPECT_EQ(json_schema(whole("Nothing")),
            kHead + R"("type":"object","additionalProperties":false})");
  EXPECT_EQ(json_schema(field("Wide", "n")),
            kHead + R"("title":"64 bit integers","description":"Decimal representation of 64 bit )"
                    R"(integers","type":"string"})");
  EXPECT_EQ(json_schema(field("Nested", "state")),
            kHead + R"("type":"string","enum":["ON","OFF"]})");
  EXPECT_EQ(json_schema(field("Times", "any")),
            R"({"$schema":"http://json-schema.org/draft-04/schema#"})");
  EXPECT_EQ(json_schema(field("Texts", "blob")),
            kHead + R"("type":"string","pattern":"^([a-zA-Z0-9][a-zA-Z0-9])*$"})");
}

TEST_F(SchemaTest, JsonRefersToNamedTypes) {
  const auto schema = json_schema(field("Texts", "texts"));
  EXPECT_TRUE(schema.starts_with(
      kHead + R"("type":"array","items":{"$ref":"#/definitions/unistring"},"definitions":{)"))
      << schema;
  EXPECT_NE(schema.find(R"("unistring":{"title":"Universal string representation")"),
            std::string::npos);
  const auto nested = json_schema(whole("Nested"));
  EXPECT_NE(nested.find(R"("self":{"$ref":"#/definitions/demo.Nested"})"), std::string::npos);
  EXPECT_NE(nested.find(R"("demo.Example":{"title":"demo.Example","type":"object")"),
            std::string::npos);
  EXPECT_NE(json_schema(whole("Wide")).find(R"("n":{"$ref":"#/definitions/int64"})"),
            std::string::npos);
  EXPECT_NE(json_schema(whole("Wide"), JsonStyle::v0()).find(R"("n":{"type":"integer")"),
            std::string::npos);
}

TEST_F(SchemaTest, HiddenFieldsAreInNeither) {
  BodyShape shape = whole("Nested");
  const auto* one = shape.type->FindFieldByName("one");
  shape.hidden = {{one, one->message_type()->FindFieldByName("a")},
                  {shape.type->FindFieldByName("self")}};
  const auto json = json_schema(shape), binary = binary_schema(shape);
  EXPECT_NE(json.find(R"("one":{"type":"object","properties":{"b":{"type":"boolean"}})"),
            std::string::npos)
      << json;
  EXPECT_EQ(json.find("self"), std::string::npos);
  EXPECT_EQ(binary.find("self"), std::string::npos);
  EXPECT_NE(binary.find(R"("description":"demo.Nested.one of this body"},"encoding":{"fields":)"
                        R"([{"kind":"option_indicator","name":"b"})"),
            std::string::npos)
      << binary;
}

TEST_F(SchemaTest, BinaryOfAnObject) {
  EXPECT_EQ(binary_schema(whole("Example")),
            R"({"toplevel":{"fields":[{"name":"a","layout":{"size":"Int32","kind":"Int"},)"
            R"("data_kind":{"size":4,"kind":"Fixed"},"kind":"named"},)"
            R"({"kind":"option_indicator","name":"b"},{"name":"b","layout":{"kind":"Bool"},)"
            R"("data_kind":{"size":1,"kind":"Fixed"},"kind":"named"}]},"fields":[]})");
  EXPECT_EQ(binary_schema(whole("Nothing")), R"({"toplevel":{"fields":[]},"fields":[]})");
}

TEST_F(SchemaTest, BinaryOfListsAndReferences) {
  EXPECT_EQ(binary_schema(field("Texts", "texts")),
            R"({"toplevel":{"fields":[{"kind":"dyn","num_fields":1,"size":"Uint30"},)"
            R"({"layout":{"layout":{"name":"X_0","kind":"Ref"},"kind":"Seq"},"kind":"anon",)"
            R"("data_kind":{"kind":"Variable"}}]},"fields":[{"description":{"title":"X_0",)"
            R"("description":"a text"},"encoding":{"fields":[{"kind":"dyn",)"
            R"("num_fields":1,"size":"Uint30"},{"layout":{"kind":"String"},"kind":"anon",)"
            R"("data_kind":{"kind":"Variable"}}]}}]})");
  const auto nested = binary_schema(whole("Nested"));
  EXPECT_NE(nested.find(R"({"size":"Uint8","cases":[[0,"ON"],[1,"OFF"]]})"), std::string::npos);
  EXPECT_NE(nested.find(R"({"name":"self","layout":{"name":"X_2","kind":"Ref"},)"),
            std::string::npos)
      << nested;
  EXPECT_NE(nested.find(R"("title":"X_2","description":"demo.Nested")"), std::string::npos);
}

TEST_F(SchemaTest, AllAreJson) {
  const testing::Everything types;
  const auto message = types.make();
  const BodyShape shape = BodyShape::of(*message);
  simdjson::dom::parser parser;
  OpenApiSchemas openapi(JsonStyle::octez());
  for (const auto& text :
       {json_schema(shape), json_schema(shape, JsonStyle::v0()), binary_schema(shape),
        both_schemas(shape).text(), error_schemas(), nothing_schemas().text(),
        bytes_schemas().text(), any_json_schemas("any \"JSON\"").text(), openapi.schema(shape)}) {
    EXPECT_EQ(parser.parse(text).error(), simdjson::SUCCESS) << text;
  }
  for (int i = 0; i < shape.type->field_count(); ++i) {
    BodyShape part = shape;
    part.field = shape.type->field(i);
    EXPECT_EQ(parser.parse(both_schemas(part).text()).error(), simdjson::SUCCESS);
  }
  EXPECT_EQ(openapi.schema(shape), R"({"$ref":"#/components/schemas/test.Everything"})");
  EXPECT_EQ(openapi.collected().count("test.Everything"), 1U);
}

}  // namespace
}  // namespace capstan::rpc
