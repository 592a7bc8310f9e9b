// Why this file exists: JSON Schema of messages. `describe` wants draft 4 with "definitions" and
// Octez's titles, OpenAPI 3.1 wants "components/schemas"; both walk the same declarations here.
#include <array>

#include "rpc/json_text.h"
#include "rpc/schema.h"
#include "rpc/schema_writer.h"

namespace capstan::rpc {

namespace internal {

namespace {

namespace pb = google::protobuf;
using pb::Descriptor;
using pb::FieldDescriptor;

constexpr std::string_view kBytes = R"("type":"string","pattern":"^([a-zA-Z0-9][a-zA-Z0-9])*$")";
constexpr std::string_view kUnistring =
    R"("title":"Universal string representation","description":"UTF-8 text, or the bytes of a )"
    R"(text that is not UTF-8","oneOf":[{"type":"string"},{"type":"object","properties":)"
    R"({"invalid_utf8_string":{"type":"array","items":{"type":"integer","minimum":0,)"
    R"("maximum":255}}},"required":["invalid_utf8_string"],"additionalProperties":false}])";
constexpr std::string_view kInt64 =
    R"("title":"64 bit integers","description":"Decimal representation of 64 bit integers",)"
    R"("type":"string")";
constexpr std::string_view kUint64 =
    R"("title":"Unsigned 64 bit integers","description":"Decimal representation of unsigned 64 )"
    R"(bit integers","type":"string")";

}  // namespace

std::string JsonSchemaWriter::braced(const std::string& members) {
  return "{" + members + "}";
}

std::string JsonSchemaWriter::named(const std::string& name, std::string_view members) {
  collected_.emplace(name, "{" + std::string(members) + "}");
  return R"("$ref":")" + prefix_ + name + '"';
}

std::string JsonSchemaWriter::wide(bool is_signed, bool root) {
  const std::string_view members = is_signed ? kInt64 : kUint64;
  if (style_.wide == JsonStyle::Wide::kNumber) {
    return is_signed
               ? R"("type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807)"
               : R"("type":"integer","minimum":0,"maximum":18446744073709551615)";
  }
  if (openapi_) {
    return is_signed ? R"("type":"string","pattern":"^-?[0-9]+$","format":"int64")"
                     : R"("type":"string","pattern":"^[0-9]+$","format":"uint64")";
  }
  return root ? std::string(members) : named(is_signed ? "int64" : "uint64", members);
}

std::string JsonSchemaWriter::text(const FieldDescriptor& field, bool root) {
  if (field.type() == FieldDescriptor::TYPE_BYTES) {
    if (style_.bytes == JsonStyle::Bytes::kHex) return std::string(kBytes);
    return R"("type":"string","contentEncoding":"base64")";
  }
  if (openapi_ || !style_.octez_texts) return R"("type":"string")";
  return root ? std::string(kUnistring) : named("unistring", kUnistring);
}

std::string JsonSchemaWriter::enumeration(const pb::EnumDescriptor& type) {
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    names += std::string(i > 0 ? "," : "") + '"' + type.value(i)->name() + '"';
  }
  return R"("type":"string","enum":[)" + names + "]";
}

std::string JsonSchemaWriter::value(const FieldDescriptor& field, bool root) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return R"("type":"integer","minimum":-2147483648,"maximum":2147483647)";
    case FieldDescriptor::CPPTYPE_UINT32:
      return R"("type":"integer","minimum":0,"maximum":4294967295)";
    case FieldDescriptor::CPPTYPE_INT64: return wide(true, root);
    case FieldDescriptor::CPPTYPE_UINT64: return wide(false, root);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: return R"("type":"number")";
    case FieldDescriptor::CPPTYPE_BOOL: return R"("type":"boolean")";
    case FieldDescriptor::CPPTYPE_ENUM: return enumeration(*field.enum_type());
    case FieldDescriptor::CPPTYPE_STRING: return text(field, root);
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return message(*field.message_type(), root, {});
}

std::string JsonSchemaWriter::message(const Descriptor& type, bool root,
                                      const HiddenFields& hidden) {
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: break;
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return R"("description":"a time, 2024-01-31T08:30:00Z","type":"string","format":"date-time")";
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return R"("description":"a duration, 1.5s","type":"string")";
    case Descriptor::WELLKNOWNTYPE_STRUCT: return R"("type":"object")";
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: return R"("type":"array")";
    case Descriptor::WELLKNOWNTYPE_VALUE:
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: return "";
    default: return value(*type.field(0), root);
  }
  if (root || !hidden.none()) return object(type, hidden);
  const std::string name = type.full_name();
  if (!collected_.contains(name)) {
    collected_[name] = "";  // a type that contains itself refers to this
    collected_[name] = R"({"title":")" + name + R"(",)" + object(type, {}) + "}";
  }
  return R"("$ref":")" + prefix_ + name + '"';
}

std::string JsonSchemaWriter::field(const FieldDescriptor& field, bool root) {
  if (field.is_map()) {
    return R"("type":"object","additionalProperties":)" +
           braced(value(*field.message_type()->map_value(), false));
  }
  if (field.is_repeated()) return R"("type":"array","items":)" + braced(value(field, false));
  return value(field, root);
}

// Nothing is required: what is absent has its default, in every message of this API.
std::string JsonSchemaWriter::object(const Descriptor& type, const HiddenFields& hidden) {
  std::string properties;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& member = *type.field(i);
    if (hidden.hides(member)) continue;
    if (!properties.empty()) properties += ',';
    append_json_string(
        style_.names == JsonStyle::Names::kDeclared ? member.name() : member.json_name(),
        properties);
    const bool inner = !hidden.none() && !member.is_repeated() && member.message_type();
    properties += ':';
    properties += braced(inner ? message(*member.message_type(), false, hidden.inside(member))
                               : field(member, false));
  }
  std::string members = R"("type":"object",)";
  if (!properties.empty()) members += R"("properties":{)" + properties + "},";
  return members + R"("additionalProperties":false)";
}

std::string JsonSchemaWriter::body(const BodyShape& shape, bool root) {
  if (!shape.field) return message(*shape.type, root, HiddenFields(shape.hidden));
  return shape.element ? value(*shape.field, root) : field(*shape.field, root);
}

}  // namespace internal

namespace {

constexpr std::string_view kDraft4 = R"("$schema":"http://json-schema.org/draft-04/schema#")";

std::string document(const std::string& members) {
  std::string text = "{" + std::string(kDraft4);
  if (!members.empty()) text += "," + members;
  return text + "}";
}

}  // namespace

std::string json_schema(const BodyShape& shape, const JsonStyle& style) {
  internal::JsonSchemaWriter writer(style, "#/definitions/", false);
  std::string members = writer.body(shape, true);
  if (!writer.collected().empty()) {
    std::string definitions;
    for (const auto& [name, schema] : writer.collected()) {
      definitions += (definitions.empty() ? "\"" : ",\"") + name + "\":" + schema;
    }
    members += (members.empty() ? "" : ",") + (R"("definitions":{)" + definitions + "}");
  }
  return document(members);
}

std::string BodySchemas::text() const {
  return R"({"json_schema":)" + json + R"(,"binary_schema":)" + binary + "}";
}

BodySchemas both_schemas(const BodyShape& shape, const JsonStyle& style) {
  return {json_schema(shape, style), binary_schema(shape)};
}

std::string error_schemas() {
  return any_json_schemas(
             "A list of errors, outermost cause first; GET /errors says which there are")
      .text();
}

BodySchemas nothing_schemas() {
  return {document(R"("type":"object","additionalProperties":false)"),
          R"({"toplevel":{"fields":[]},"fields":[]})"};
}

BodySchemas bytes_schemas() {
  return {document(std::string(internal::kBytes)),
          R"({"toplevel":{"fields":[{"layout":{"kind":"Bytes"},"kind":"anon",)"
          R"("data_kind":{"kind":"Variable"}}]},"fields":[]})"};
}

BodySchemas any_json_schemas(std::string_view description) {
  std::string quoted;
  append_json_string(description, quoted, JsonEscapes::kOctez);
  return {document(R"("description":)" + quoted),
          R"({"toplevel":{"fields":[{"kind":"dyn","num_fields":1,"size":"Uint30"},)"
          R"({"layout":{"kind":"String"},"kind":"anon","data_kind":{"kind":"Variable"}}]},)"
          R"("fields":[]})"};
}

OpenApiSchemas::OpenApiSchemas(JsonStyle style)
    : writer_(std::make_unique<internal::JsonSchemaWriter>(style, "#/components/schemas/", true)) {}
OpenApiSchemas::~OpenApiSchemas() = default;

std::string OpenApiSchemas::schema(const BodyShape& shape) {
  return "{" + writer_->body(shape, !shape.hidden.empty()) + "}";
}

std::string OpenApiSchemas::text_schema(const google::protobuf::FieldDescriptor& field) {
  return "{" + writer_->value(field, false) + "}";
}

const std::map<std::string, std::string>& OpenApiSchemas::collected() const {
  return writer_->collected();
}

}  // namespace capstan::rpc
