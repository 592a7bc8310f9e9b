// Why this file exists: the walk over a parsed JSON text behind JsonReader. Depth is bounded by the
// parser for whole texts and by JsonPlace::depth for values out of somebody else's parser.
#include "rpc/json_reader.h"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "base/utf8.h"
#include "rpc/json_text.h"
#include "rpc/json_value.h"

namespace capstan::rpc {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using internal::JsonPlace;
using internal::Value;
using simdjson::dom::element_type;

template <class T>
constexpr T kMin = std::numeric_limits<T>::min();
template <class T>
constexpr T kMax = std::numeric_limits<T>::max();

// Elements, entries and messages of one text. Each is an object on the heap, of which a text of few
// bytes can name very many.
constexpr std::size_t kJsonItems = 1U << 20;

constexpr const char* kTooDeep = "nested deeper than 64 levels";
static_assert(limits::kJsonNestingDepth == 64);

const FieldDescriptor* field_named(const Descriptor& descriptor, std::string_view name) {
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor* member = descriptor.field(i);
    if (member->name() == name || member->json_name() == name) return member;
  }
  return nullptr;
}

class Reader {
 public:
  explicit Reader(const JsonReadOptions& options) : options_(options) {}
  Result<void> message(const Value& value, Message& into, const JsonPlace& place);
  Result<void> member(const Value& value, Message& into, const FieldDescriptor& field,
                      const JsonPlace& place);
  // Sets a singular field or adds one element to a repeated one.
  Result<void> value(const Value& value, Message& into, const FieldDescriptor& field,
                     const JsonPlace& place);

 private:
  Result<void> well_known(const Value& value, Message& into, const JsonPlace& place);
  // google.protobuf.Value.
  Result<void> dynamic(const Value& value, Message& into, const JsonPlace& place);
  Result<void> refuse_text_number(const Value& value, const FieldDescriptor& field,
                                  const JsonPlace& place) const;
  Result<void> list(const Value& value, Message& into, const FieldDescriptor& field,
                    const JsonPlace& place);
  Result<void> map(const Value& value, Message& into, const FieldDescriptor& field,
                   const JsonPlace& place);
  Result<void> text(const Value& value, Message& into, const FieldDescriptor& field,
                    const JsonPlace& place);
  Result<int> enumeration(const Value& value, const FieldDescriptor& field, const JsonPlace& place);
  Result<void> charge(const JsonPlace& place);

  const JsonReadOptions& options_;
  std::size_t items_ = 0;
};

Result<void> Reader::charge(const JsonPlace& place) {
  if (++items_ <= kJsonItems) return {};
  return fail(Code::kResourceExhausted,
              place.text() + ": a JSON text may have " + std::to_string(kJsonItems) +
                  " list elements, map entries and messages together; send it in several parts");
}

Result<void> Reader::message(const Value& value, Message& into, const JsonPlace& place) {
  const Descriptor& descriptor = *into.GetDescriptor();
  if (descriptor.well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
    return well_known(value, into, place);
  }
  simdjson::dom::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return internal::mismatch(place, "object", value);
  }
  if (place.depth > limits::kJsonNestingDepth) return internal::refuse(place, kTooDeep);
  std::vector<bool> seen(static_cast<std::size_t>(descriptor.field_count()));
  for (const auto& [name, content] : object) {
    const FieldDescriptor* field = field_named(descriptor, name);
    if (!field) {
      if (options_.ignore_unknown) continue;
      return internal::refuse(place.member(name), "unknown field of " + descriptor.full_name());
    }
    const auto index = static_cast<std::size_t>(field->index());
    if (seen[index]) return internal::refuse(place.member(name), "the field appears twice");
    seen[index] = true;
    TRY(member(content, into, *field, place.member(name)));
  }
  return {};
}

Result<void> Reader::well_known(const Value& value, Message& into, const JsonPlace& place) {
  const Descriptor& descriptor = *into.GetDescriptor();
  const auto kind = descriptor.well_known_type();
  if (kind >= Descriptor::WELLKNOWNTYPE_DOUBLEVALUE &&
      kind <= Descriptor::WELLKNOWNTYPE_BOOLVALUE) {
    return this->value(value, into, *descriptor.field(0), place);
  }
  if (kind == Descriptor::WELLKNOWNTYPE_VALUE) return dynamic(value, into, place);
  if (kind == Descriptor::WELLKNOWNTYPE_STRUCT) {
    return map(value, into, *descriptor.field(0), place);
  }
  if (kind == Descriptor::WELLKNOWNTYPE_LISTVALUE) {
    return list(value, into, *descriptor.field(0), place);
  }
  const bool timestamp = kind == Descriptor::WELLKNOWNTYPE_TIMESTAMP;
  if (!timestamp && kind != Descriptor::WELLKNOWNTYPE_DURATION) {
    return internal::refuse(place, descriptor.full_name() + " has no JSON form here");
  }
  TRY_SET(const auto text, internal::read_text(value, place));
  const auto time = timestamp ? parse_timestamp(text) : parse_duration(text);
  if (!time) {
    return internal::refuse(
        place, std::string(timestamp ? "expected a time like '2024-01-31T08:30:00Z', got "
                                     : "expected a duration like '1.5s', got ") +
                   internal::excerpt(text));
  }
  into.GetReflection()->SetInt64(&into, descriptor.FindFieldByNumber(1), time->seconds);
  into.GetReflection()->SetInt32(&into, descriptor.FindFieldByNumber(2), time->nanos);
  return {};
}

Result<void> Reader::dynamic(const Value& value, Message& into, const JsonPlace& place) {
  const Descriptor& type = *into.GetDescriptor();
  const auto set = [&](int number) { return type.FindFieldByNumber(number); };
  const Reflection& r = *into.GetReflection();
  if (place.depth > limits::kJsonNestingDepth) return internal::refuse(place, kTooDeep);
  switch (value.type()) {
    case element_type::NULL_VALUE: r.SetEnumValue(&into, set(1), 0); return {};
    case element_type::STRING: return text(value, into, *set(3), place);
    case element_type::BOOL: return this->value(value, into, *set(4), place);
    case element_type::OBJECT: return message(value, *r.MutableMessage(&into, set(5)), place);
    case element_type::ARRAY: return message(value, *r.MutableMessage(&into, set(6)), place);
    default: break;
  }
  TRY_SET(const double number, internal::read_double(value, place));
  std::int64_t narrow = 0;
  std::uint64_t wide = 0;
  const bool exact = value.get_int64().get(narrow) == simdjson::SUCCESS
                         ? std::abs(number) < 0x1p63 && static_cast<std::int64_t>(number) == narrow
                         : value.get_uint64().get(wide) != simdjson::SUCCESS ||
                               (number < 0x1p64 && static_cast<std::uint64_t>(number) == wide);
  if (!exact) return internal::refuse(place, "an integer that large cannot be kept exactly");
  r.SetDouble(&into, set(2), number);
  return {};
}

// google.protobuf.Value may be null, and so may what the lenient styles leave out.
static bool takes_null(const FieldDescriptor& field) {
  return !field.is_repeated() && field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE;
}

Result<void> Reader::refuse_text_number(const Value& value, const FieldDescriptor& field,
                                        const JsonPlace& place) const {
  if (!options_.strict || value.type() != element_type::STRING) return {};
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return internal::mismatch(place, "an unsigned integer", value);
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64: return internal::mismatch(place, "an integer", value);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: return internal::mismatch(place, "a number", value);
    default: return {};
  }
}

Result<void> Reader::member(const Value& value, Message& into, const FieldDescriptor& field,
                            const JsonPlace& place) {
  if (value.type() == element_type::NULL_VALUE && !takes_null(field)) {
    if (!options_.strict) return {};
    return internal::refuse(place, "null is not a value here; leave the member out");
  }
  if (const auto* choice = field.real_containing_oneof()) {
    const auto* other = into.GetReflection()->GetOneofFieldDescriptor(into, choice);
    if (other) {
      return internal::refuse(place, "'" + other->name() + "' is already given, and only one of '" +
                                         choice->name() + "' may be");
    }
  }
  if (field.is_map()) return map(value, into, field, place);
  if (field.is_repeated()) return list(value, into, field, place);
  return this->value(value, into, field, place);
}

Result<void> Reader::list(const Value& value, Message& into, const FieldDescriptor& field,
                          const JsonPlace& place) {
  simdjson::dom::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) {
    return internal::mismatch(place, "array", value);
  }
  std::size_t index = 0;
  for (const Value element : array) {
    const JsonPlace here = place.element(index++);
    TRY(charge(here));
    TRY(this->value(element, into, field, here));
  }
  return {};
}

Result<void> Reader::map(const Value& value, Message& into, const FieldDescriptor& field,
                         const JsonPlace& place) {
  simdjson::dom::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return internal::mismatch(place, "object", value);
  }
  const Descriptor& type = *field.message_type();
  std::set<std::string_view> seen;
  for (const auto& [key, content] : object) {
    const JsonPlace here = place.key(key);
    TRY(charge(here));
    if (!seen.insert(key).second) return internal::refuse(here, "the key appears twice");
    Message& entry = *into.GetReflection()->AddMessage(&into, &field);
    TRY(internal::set_map_key(entry, *type.map_key(), key, here));
    TRY(this->value(content, entry, *type.map_value(), here));
  }
  return {};
}

Result<int> Reader::enumeration(const Value& value, const FieldDescriptor& field,
                                const JsonPlace& place) {
  std::string_view name;
  if (value.get_string().get(name) != simdjson::SUCCESS) {
    if (value.type() != element_type::INT64 && value.type() != element_type::UINT64 &&
        value.type() != element_type::DOUBLE) {
      return internal::mismatch(place, "an enum's name or number", value);
    }
    TRY_SET(const auto number,
            internal::read_signed(value, place, kMin<std::int32_t>, kMax<std::int32_t>));
    return static_cast<int>(number);
  }
  const auto& type = *field.enum_type();
  if (const auto* known = type.FindValueByName(std::string(name))) return known->number();
  std::string what = internal::excerpt(name) + " is not a value of " + type.full_name() + ":";
  constexpr int kNamed = 16;
  for (int i = 0; i < std::min(type.value_count(), kNamed); ++i) {
    what += (i > 0 ? ", " : " ") + type.value(i)->name();
  }
  if (type.value_count() > kNamed) what += ", ...";
  return internal::refuse(place, what);
}

// {"invalid_utf8_string":[104,105]}.
Result<std::string> text_of_bytes(const Value& value, const JsonPlace& place) {
  simdjson::dom::array bytes;
  simdjson::dom::object object = value.get_object().value_unsafe();
  if (object.size() != 1 ||
      object.at_key("invalid_utf8_string").get_array().get(bytes) != simdjson::SUCCESS) {
    return internal::mismatch(place, "string", value);
  }
  std::string content;
  for (const Value byte : bytes) {
    TRY_SET(const auto number, internal::read_unsigned(byte, place, 255));
    content += static_cast<char>(number);
  }
  if (!is_utf8(as_bytes(content))) return internal::refuse(place, "a text must be UTF-8");
  return content;
}

Result<void> Reader::text(const Value& value, Message& into, const FieldDescriptor& field,
                          const JsonPlace& place) {
  const bool is_text = field.type() != FieldDescriptor::TYPE_BYTES;
  const Reflection& r = *into.GetReflection();
  if (is_text && options_.octez_texts && value.type() == element_type::OBJECT) {
    TRY_SET(auto content, text_of_bytes(value, place));
    field.is_repeated() ? r.AddString(&into, &field, std::move(content))
                        : r.SetString(&into, &field, std::move(content));
    return {};
  }
  TRY_SET(const auto given, internal::read_text(value, place));
  std::string content;
  if (is_text) {
    content = given;
  } else {
    const bool hex = options_.bytes == JsonStyle::Bytes::kHex;
    auto decoded = hex ? parse_hex(given) : parse_base64(given);
    if (!decoded) {
      return internal::refuse(place, std::string("expected bytes in ") + (hex ? "hex" : "base64") +
                                         ", got " + internal::excerpt(given));
    }
    content = *std::move(decoded);
  }
  field.is_repeated() ? r.AddString(&into, &field, std::move(content))
                      : r.SetString(&into, &field, std::move(content));
  return {};
}

Result<void> Reader::value(const Value& value, Message& into, const FieldDescriptor& field,
                           const JsonPlace& place) {
  const Reflection& r = *into.GetReflection();
  const FieldDescriptor* f = &field;
  const bool add = field.is_repeated();
  TRY(refuse_text_number(value, field, place));
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      TRY_SET(const auto wide,
              internal::read_signed(value, place, kMin<std::int32_t>, kMax<std::int32_t>));
      const auto n = static_cast<std::int32_t>(wide);
      add ? r.AddInt32(&into, f, n) : r.SetInt32(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      TRY_SET(const auto wide, internal::read_unsigned(value, place, kMax<std::uint32_t>));
      const auto n = static_cast<std::uint32_t>(wide);
      add ? r.AddUInt32(&into, f, n) : r.SetUInt32(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      TRY_SET(const auto n,
              internal::read_signed(value, place, kMin<std::int64_t>, kMax<std::int64_t>));
      add ? r.AddInt64(&into, f, n) : r.SetInt64(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      TRY_SET(const auto n, internal::read_unsigned(value, place, kMax<std::uint64_t>));
      add ? r.AddUInt64(&into, f, n) : r.SetUInt64(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      TRY_SET(const auto n, internal::read_double(value, place));
      add ? r.AddDouble(&into, f, n) : r.SetDouble(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      TRY_SET(const auto n, internal::read_float(value, place));
      add ? r.AddFloat(&into, f, n) : r.SetFloat(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      TRY_SET(const auto truth, internal::read_bool(value, place));
      add ? r.AddBool(&into, f, truth) : r.SetBool(&into, f, truth);
      return {};
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      TRY_SET(const int n, enumeration(value, field, place));
      add ? r.AddEnumValue(&into, f, n) : r.SetEnumValue(&into, f, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_STRING: return text(value, into, field, place);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (!add) TRY(charge(place));  // an element was counted by its list
      return message(value, add ? *r.AddMessage(&into, f) : *r.MutableMessage(&into, f), place);
  }
  return {};
}

std::unexpected<Error> not_json(simdjson::error_code error) {
  switch (error) {
    case simdjson::DEPTH_ERROR: return fail(Code::kInvalidArgument, std::string("$: ") + kTooDeep);
    case simdjson::UTF8_ERROR:
      return fail(Code::kInvalidArgument, "$: the JSON text is not valid UTF-8");
    case simdjson::EMPTY: return fail(Code::kInvalidArgument, "$: expected JSON, got nothing");
    case simdjson::NUMBER_ERROR:
      return fail(Code::kInvalidArgument, "$: malformed JSON: a number is wrong or beyond 64 bits");
    case simdjson::MEMALLOC:
    case simdjson::CAPACITY:
      return fail(Code::kResourceExhausted, "not enough memory to read a JSON text");
    default:
      return fail(Code::kInvalidArgument,
                  std::string("$: malformed JSON: ") + simdjson::error_message(error));
  }
}

}  // namespace

struct JsonReader::Parser {
  simdjson::dom::parser parser;

  Result<Value> parse(std::string_view text, std::size_t limit_bytes);
};

JsonReader::JsonReader() : parser_(std::make_unique<Parser>()) {}
JsonReader::~JsonReader() = default;

Result<Value> JsonReader::Parser::parse(std::string_view text, std::size_t limit_bytes) {
  if (text.size() > limit_bytes) {
    return fail(Code::kResourceExhausted, "a JSON text of " + std::to_string(text.size()) +
                                              " bytes exceeds the limit of " +
                                              std::to_string(limit_bytes) + " bytes");
  }
  if (parser.capacity() < text.size() || parser.capacity() == 0) {
    const auto error =
        parser.allocate(std::max<std::size_t>(text.size(), 4096), limits::kJsonNestingDepth + 1);
    if (error) return not_json(error);
  }
  Value root;
  // simdjson reads beyond the end; `true` makes it copy the text into padded memory of its own.
  if (const auto error = parser.parse(text.data(), text.size(), true).get(root)) {
    return not_json(error);
  }
  return root;
}

Result<void> JsonReader::read(std::string_view text, Message& into,
                              const JsonReadOptions& options) {
  TRY_SET(const Value root, parser_->parse(text, options.limit_bytes));
  return read_json_value(root, into, "$", options);
}

Result<void> JsonReader::read_field(std::string_view text, Message& into,
                                    const FieldDescriptor& field, bool element,
                                    const JsonReadOptions& options) {
  TRY_SET(const Value root, parser_->parse(text, options.limit_bytes));
  into.Clear();
  JsonPlace place;
  place.name = "$";
  return element ? Reader(options).value(root, into, field, place)
                 : Reader(options).member(root, into, field, place);
}

Result<void> read_json_value(const Value& value, Message& into, std::string_view at,
                             const JsonReadOptions& options) {
  into.Clear();
  JsonPlace root;
  root.name = at;
  return Reader(options).message(value, into, root);
}

}  // namespace capstan::rpc
