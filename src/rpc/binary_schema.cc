// Why this file exists: the layout of octet-stream as a document (http-rpc section 13.4), so that a
// client can decode answers without our declarations. Every message and enum is a sub-encoding
// "X_n", numbered in the order in which it is first met; so are the elements of lists of texts.
#include <map>
#include <vector>

#include "rpc/binary_format.h"
#include "rpc/json_text.h"
#include "rpc/schema.h"

namespace capstan::rpc {

namespace {

namespace pb = google::protobuf;
using internal::BinaryShape;
using pb::Descriptor;
using pb::FieldDescriptor;

constexpr std::string_view kDyn = R"({"kind":"dyn","num_fields":1,"size":"Uint30"})";
constexpr std::string_view kDynamic = R"({"kind":"Dynamic"})";
constexpr std::string_view kVariable = R"({"kind":"Variable"})";

std::string fixed(std::size_t bytes) {
  return R"({"size":)" + std::to_string(bytes) + R"(,"kind":"Fixed"})";
}

std::string integer(std::string_view size) {
  return R"({"size":")" + std::string(size) + R"(","kind":"Int"})";
}

// The bytes of a value that always has the same number of them; 0: it has not.
std::size_t fixed_bytes(const Descriptor& type);
std::size_t fixed_bytes(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return 1;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_UINT32: return 4;
    case FieldDescriptor::CPPTYPE_ENUM:
      return internal::enum_bytes(internal::enum_cases(*field.enum_type()).size());
    case FieldDescriptor::CPPTYPE_STRING: return 0;
    case FieldDescriptor::CPPTYPE_MESSAGE: return fixed_bytes(*field.message_type());
    default: return 8;
  }
}

std::size_t fixed_bytes(const Descriptor& type) {
  switch (internal::binary_shape(type)) {
    case BinaryShape::kWrapped: return fixed_bytes(*type.field(0));
    case BinaryShape::kTime: return 12;
    case BinaryShape::kObject: break;
    default: return 0;
  }
  std::size_t sum = 0;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::size_t bytes = field.is_repeated() || field.has_presence() ? 0 : fixed_bytes(field);
    if (bytes == 0) return 0;
    sum += bytes;
  }
  return sum;
}

class SchemaWriter {
 public:
  // The fields of a body, as a list of F.
  std::string body(const BodyShape& shape);
  std::string document(const std::string& fields) const;

 private:
  struct Layout {
    bool sized = false;  // a length goes before it
    std::string layout, kind;
  };
  Layout value(const FieldDescriptor& field);
  Layout message(const Descriptor& type);
  Layout list(const FieldDescriptor& field);
  static std::string written(const Layout& layout, std::string_view name);
  std::string fields(const Descriptor& type, const HiddenFields& hidden);
  static Layout text() { return {true, R"({"kind":"String"})", std::string(kVariable)}; }
  // Makes a sub-encoding on first sight; `make` gives its D.
  template <class Make>
  std::string reference(const std::string& key, Make make);

  std::map<std::string, std::size_t> numbers_;
  std::vector<std::pair<std::string, std::string>> made_;  // what it is, D
};

template <class Make>
std::string SchemaWriter::reference(const std::string& key, Make make) {
  const auto [at, fresh] = numbers_.emplace(key, made_.size());
  const std::size_t number = at->second;
  if (fresh) {
    made_.emplace_back(key, "");
    made_[number].second = make();
  }
  return R"({"name":"X_)" + std::to_string(number) + R"(","kind":"Ref"})";
}

std::string SchemaWriter::written(const Layout& layout, std::string_view name) {
  std::string text = layout.sized ? std::string(kDyn) + "," : "";
  if (name.empty()) {
    return text + R"({"layout":)" + layout.layout + R"(,"kind":"anon","data_kind":)" + layout.kind +
           "}";
  }
  text += R"({"name":)";
  append_json_string(name, text);
  return text + R"(,"layout":)" + layout.layout + R"(,"data_kind":)" + layout.kind +
         R"(,"kind":"named"})";
}

std::string enum_cases_text(const pb::EnumDescriptor& type) {
  const auto cases = internal::enum_cases(type);
  std::string text = R"({"size":")";
  text += internal::enum_bytes(cases.size()) == 1 ? "Uint8" : "Uint16";
  text += R"(","cases":[)";
  for (std::size_t i = 0; i < cases.size(); ++i) {
    text += (i > 0 ? ",[" : "[") + std::to_string(i) + ",\"" + cases[i]->name() + "\"]";
  }
  return text + "]}";
}

SchemaWriter::Layout SchemaWriter::value(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return {false, R"({"kind":"Bool"})", fixed(1)};
    case FieldDescriptor::CPPTYPE_INT32: return {false, integer("Int32"), fixed(4)};
    case FieldDescriptor::CPPTYPE_UINT32:
      return {false, R"({"min":0,"max":4294967295,"kind":"RangedInt"})", fixed(4)};
    case FieldDescriptor::CPPTYPE_INT64: return {false, integer("Int64"), fixed(8)};
    case FieldDescriptor::CPPTYPE_UINT64: return {false, integer("Uint64"), fixed(8)};
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: return {false, R"({"kind":"Float"})", fixed(8)};
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto& type = *field.enum_type();
      return {false, reference(type.full_name(), [&] { return enum_cases_text(type); }),
              fixed(fixed_bytes(field))};
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (field.type() != FieldDescriptor::TYPE_BYTES) return text();
      return {true, R"({"kind":"Bytes"})", std::string(kVariable)};
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return message(*field.message_type());
}

SchemaWriter::Layout SchemaWriter::message(const Descriptor& type) {
  switch (internal::binary_shape(type)) {
    case BinaryShape::kWrapped: return value(*type.field(0));
    case BinaryShape::kDynamic:
    case BinaryShape::kNone: return text();  // a JSON value, as BSON
    case BinaryShape::kTime:
      return {false,
              reference("seconds and nanoseconds",
                        [] {
                          return R"({"fields":[)" +
                                 written({false, integer("Int64"), fixed(8)}, "seconds") + "," +
                                 written({false, integer("Int32"), fixed(4)}, "nanoseconds") + "]}";
                        }),
              fixed(12)};
    case BinaryShape::kObject: break;
  }
  const bool nothing = internal::takes_no_bytes(type);
  const std::size_t bytes = fixed_bytes(type);
  return {false,
          reference(type.full_name(), [&] { return R"({"fields":[)" + fields(type, {}) + "]}"; }),
          bytes > 0 || nothing ? fixed(bytes) : std::string(kDynamic)};
}

// Of a list whose elements have a length each.
std::string element_name(const FieldDescriptor& field) {
  const bool is_dynamic = field.message_type() &&
                          internal::binary_shape(*field.message_type()) != BinaryShape::kWrapped;
  if (is_dynamic) return "a JSON value, as BSON";
  const auto& text = field.message_type() ? *field.message_type()->field(0) : field;
  return text.type() == FieldDescriptor::TYPE_BYTES ? "bytes" : "a text";
}

SchemaWriter::Layout SchemaWriter::list(const FieldDescriptor& field) {
  std::string element;
  if (field.is_map()) {
    element = reference(field.message_type()->full_name(), [&] {
      return R"({"fields":[)" + written(text(), "key") + "," +
             written(value(*field.message_type()->map_value()), "value") + "]}";
    });
  } else {
    const Layout one = value(field);
    element = one.sized ? reference(element_name(field),
                                    [&] { return R"({"fields":[)" + written(one, "") + "]}"; })
                        : one.layout;
  }
  return {true, R"({"layout":)" + element + R"(,"kind":"Seq"})", std::string(kVariable)};
}

std::string SchemaWriter::fields(const Descriptor& type, const HiddenFields& hidden) {
  std::string text;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (hidden.hides(field)) continue;
    if (!text.empty()) text += ',';
    if (!field.is_repeated() && field.has_presence()) {
      text += R"({"kind":"option_indicator","name":")" + field.name() + R"("},)";
    }
    if (field.is_repeated()) {
      text += written(list(field), field.name());
      continue;
    }
    const HiddenFields inner = hidden.none() ? HiddenFields() : hidden.inside(field);
    if (inner.none() || !field.message_type()) {
      text += written(value(field), field.name());
      continue;
    }
    // A message without some of its fields is an encoding of its own.
    text += written(
        {false,
         reference(field.full_name() + " of this body",
                   [&] { return R"({"fields":[)" + fields(*field.message_type(), inner) + "]}"; }),
         std::string(kDynamic)},
        field.name());
  }
  return text;
}

std::string SchemaWriter::body(const BodyShape& shape) {
  if (!shape.field) {
    if (internal::binary_shape(*shape.type) == BinaryShape::kObject) {
      return fields(*shape.type, HiddenFields(shape.hidden));
    }
    return written(message(*shape.type), "");
  }
  const bool whole_list = shape.field->is_repeated() && !shape.element;
  return written(whole_list ? list(*shape.field) : value(*shape.field), "");
}

std::string SchemaWriter::document(const std::string& fields) const {
  std::string text = R"({"toplevel":{"fields":[)" + fields + R"(]},"fields":[)";
  for (std::size_t i = 0; i < made_.size(); ++i) {
    text += i > 0 ? "," : "";
    text += R"({"description":{"title":"X_)" + std::to_string(i) + R"(","description":)";
    append_json_string(made_[i].first, text);
    text += R"(},"encoding":)" + made_[i].second + "}";
  }
  return text + "]}";
}

}  // namespace

std::string binary_schema(const BodyShape& shape) {
  SchemaWriter writer;
  const std::string fields = writer.body(shape);
  return writer.document(fields);
}

}  // namespace capstan::rpc
