// Why this file exists: octet-stream into messages, for bytes from anybody: a list's length bounds
// what is in it, every object counts against kBinaryObjects, nesting is bounded, and nothing is
// taken that JSON would refuse (texts that are not UTF-8, two members of one oneof, keys twice).
#include <cmath>
#include <limits>
#include <set>

#include "base/assert.h"
#include "base/utf8.h"
#include "rpc/binary_format.h"
#include "rpc/bson_codec.h"
#include "rpc/json_text.h"
#include "rpc/json_value.h"
#include "rpc/media.h"
#include "rpc/media_limits.h"

namespace capstan::rpc {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using internal::BinaryShape;
using internal::JsonPlace;

class Reader {
 public:
  explicit Reader(ByteView bytes) : bytes_(bytes), end_(bytes.size()) {}
  Result<void> body(Message& into, const BodyShape& shape);

 private:
  Result<void> message(Message& into, const HiddenFields& hidden, const JsonPlace& place);
  Result<void> fields(Message& into, const HiddenFields& hidden, const JsonPlace& place);
  Result<void> list(Message& into, const FieldDescriptor& field, const JsonPlace& place);
  using Keys = std::set<std::string_view>;
  Result<void> map_entry(Message& into, const FieldDescriptor& field, Keys& keys,
                         const JsonPlace& place);
  // Sets a singular field or adds one element to a repeated one.
  Result<void> value(Message& into, const FieldDescriptor& field, const HiddenFields& hidden,
                     const JsonPlace& place);
  Result<void> time(Message& into, const JsonPlace& place);
  Result<void> dynamic(Message& into, const JsonPlace& place);
  Result<int> enumeration(const FieldDescriptor& field, const JsonPlace& place);
  Result<void> count_object(const JsonPlace& place);

  Result<ByteView> take(std::size_t size, const JsonPlace& place) {
    if (size > end_ - at_) return internal::refuse(place, "not enough data");
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }
  template <class T>
  Result<T> number(const JsonPlace& place);
  // Behind its length.
  Result<ByteView> sized(const JsonPlace& place);

  ByteView bytes_;
  std::size_t at_ = 0, end_;
  std::size_t objects_ = 0;
};

template <class T>
Result<T> Reader::number(const JsonPlace& place) {
  TRY_SET(const ByteView from, take(sizeof(T), place));
  std::uint64_t value = 0;
  for (const std::uint8_t byte : from) value = value << 8 | byte;
  return static_cast<T>(value);
}

Result<ByteView> Reader::sized(const JsonPlace& place) {
  TRY_SET(const auto size, number<std::uint32_t>(place));
  return take(size, place);
}

Result<void> Reader::body(Message& into, const BodyShape& shape) {
  JsonPlace root;
  root.name = "$";
  TRY_SET(const auto size, number<std::uint32_t>(root));
  if (size > bytes_.size() - at_) return internal::refuse(root, "not enough data");
  if (size < bytes_.size() - at_) return internal::refuse(root, "extra bytes after the value");
  if (!shape.field) {
    TRY(message(into, HiddenFields(shape.hidden), root));
  } else if (shape.field->is_repeated() && !shape.element) {
    TRY(list(into, *shape.field, root));
  } else {
    TRY(value(into, *shape.field, {}, root));
  }
  if (at_ != end_) return internal::refuse(root, "extra bytes in the value");
  return {};
}

Result<void> Reader::count_object(const JsonPlace& place) {
  if (++objects_ <= limits::kBinaryObjects) return {};
  return fail(Code::kResourceExhausted, place.text() + ": more than " +
                                            std::to_string(limits::kBinaryObjects) +
                                            " objects in one body");
}

Result<void> Reader::message(Message& into, const HiddenFields& hidden, const JsonPlace& place) {
  const Descriptor& type = *into.GetDescriptor();
  TRY(count_object(place));
  switch (internal::binary_shape(type)) {
    case BinaryShape::kWrapped: return value(into, *type.field(0), {}, place);
    case BinaryShape::kDynamic: return dynamic(into, place);
    case BinaryShape::kTime: return time(into, place);
    case BinaryShape::kNone:
      return internal::refuse(place, type.full_name() + " has no binary form here");
    case BinaryShape::kObject: break;
  }
  if (place.depth > limits::kJsonNestingDepth) return internal::refuse(place, "nested too deep");
  return fields(into, hidden, place);
}

Result<void> Reader::fields(Message& into, const HiddenFields& hidden, const JsonPlace& place) {
  const Descriptor& type = *into.GetDescriptor();
  const Reflection& r = *into.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (hidden.hides(field)) continue;
    const JsonPlace here = place.member(field.name());
    if (field.is_repeated()) {
      TRY(list(into, field, here));
      continue;
    }
    if (field.has_presence()) {
      TRY_SET(const auto present, number<std::uint8_t>(here));
      if (present == 0) continue;
      const auto* choice = field.real_containing_oneof();
      const auto* other = choice ? r.GetOneofFieldDescriptor(into, choice) : nullptr;
      if (other) {
        return internal::refuse(here, "'" + other->name() +
                                          "' is already given, and only one of '" + choice->name() +
                                          "' may be");
      }
    }
    TRY(value(into, field, hidden.none() ? HiddenFields() : hidden.inside(field), here));
  }
  return {};
}

Result<void> Reader::list(Message& into, const FieldDescriptor& field, const JsonPlace& place) {
  TRY_SET(const auto size, number<std::uint32_t>(place));
  if (size > end_ - at_) return internal::refuse(place, "not enough data");
  if (size > 0 && field.message_type() && internal::takes_no_bytes(*field.message_type())) {
    return internal::refuse(place, "a list of empty objects has no binary form");
  }
  const std::size_t outer = std::exchange(end_, at_ + size);
  Keys keys;
  for (std::size_t index = 0; at_ < end_; ++index) {
    const JsonPlace here = place.element(index);
    if (field.is_map()) {
      TRY(map_entry(into, field, keys, here));
    } else {
      TRY(value(into, field, {}, here));
    }
  }
  end_ = outer;
  return {};
}

Result<void> Reader::map_entry(Message& into, const FieldDescriptor& field, Keys& keys,
                               const JsonPlace& place) {
  TRY(count_object(place));
  TRY_SET(const ByteView key, sized(place));
  if (!is_utf8(key)) return internal::refuse(place, "a key must be UTF-8");
  if (!keys.insert(as_text(key)).second) return internal::refuse(place, "the key appears twice");
  const Reflection& r = *into.GetReflection();
  const auto& key_field = *field.message_type()->map_key();
  Message& entry = *r.AddMessage(&into, &field);
  TRY(internal::set_map_key(entry, key_field, as_text(key), place));
  return value(entry, *field.message_type()->map_value(), {}, place);
}

Result<void> Reader::time(Message& into, const JsonPlace& place) {
  const Descriptor& type = *into.GetDescriptor();
  SecondsNanos time;
  TRY_SET(time.seconds, number<std::int64_t>(place));
  TRY_SET(time.nanos, number<std::int32_t>(place));
  std::string shown;
  const bool fits = type.well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP
                        ? append_timestamp(time, shown)
                        : append_duration(time, shown);
  if (!fits) return internal::refuse(place, "a time out of range");
  into.GetReflection()->SetInt64(&into, type.FindFieldByNumber(1), time.seconds);
  into.GetReflection()->SetInt32(&into, type.FindFieldByNumber(2), time.nanos);
  return {};
}

Result<void> Reader::dynamic(Message& into, const JsonPlace& place) {
  TRY_SET(const ByteView bson, sized(place));
  BsonTop top = BsonTop::kGuess;
  const auto kind = into.GetDescriptor()->well_known_type();
  if (kind == Descriptor::WELLKNOWNTYPE_STRUCT) top = BsonTop::kObject;
  if (kind == Descriptor::WELLKNOWNTYPE_LISTVALUE) top = BsonTop::kArray;
  std::string json;
  if (auto read = bson_to_json(bson, top, json); !read) {
    return internal::refuse(place, read.error().message);
  }
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(json).get(root)) return internal::refuse(place, "a value JSON cannot hold");
  return read_json_value(root, into, place.text());
}

Result<int> Reader::enumeration(const FieldDescriptor& field, const JsonPlace& place) {
  const auto cases = internal::enum_cases(*field.enum_type());
  std::size_t index = 0;
  if (internal::enum_bytes(cases.size()) == 1) {
    TRY_SET(index, number<std::uint8_t>(place));
  } else {
    TRY_SET(index, number<std::uint16_t>(place));
  }
  if (index < cases.size()) return cases[index]->number();
  return internal::refuse(place, "unexpected tag " + std::to_string(index) + ": " +
                                     field.enum_type()->full_name() + " has " +
                                     std::to_string(cases.size()) + " values");
}

Result<void> Reader::value(Message& into, const FieldDescriptor& field, const HiddenFields& hidden,
                           const JsonPlace& place) {
  const Reflection& r = *into.GetReflection();
  const FieldDescriptor* f = &field;
  const bool add = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      TRY_SET(const auto n, number<std::int32_t>(place));
      return add ? r.AddInt32(&into, f, n) : r.SetInt32(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      TRY_SET(const auto n, number<std::uint32_t>(place));
      return add ? r.AddUInt32(&into, f, n) : r.SetUInt32(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      TRY_SET(const auto n, number<std::int64_t>(place));
      return add ? r.AddInt64(&into, f, n) : r.SetInt64(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      TRY_SET(const auto n, number<std::uint64_t>(place));
      return add ? r.AddUInt64(&into, f, n) : r.SetUInt64(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      TRY_SET(const auto bits, number<std::uint64_t>(place));
      const auto n = std::bit_cast<double>(bits);
      return add ? r.AddDouble(&into, f, n) : r.SetDouble(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      TRY_SET(const auto bits, number<std::uint64_t>(place));
      const auto wide = std::bit_cast<double>(bits);
      if (std::isfinite(wide) && std::abs(wide) > std::numeric_limits<float>::max()) {
        return internal::refuse(place, "number out of range of a float");
      }
      const auto n = static_cast<float>(wide);
      return add ? r.AddFloat(&into, f, n) : r.SetFloat(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      TRY_SET(const auto n, number<std::uint8_t>(place));
      return add ? r.AddBool(&into, f, n != 0) : r.SetBool(&into, f, n != 0), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      TRY_SET(const int n, enumeration(field, place));
      return add ? r.AddEnumValue(&into, f, n) : r.SetEnumValue(&into, f, n), Result<void>();
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      TRY_SET(const ByteView content, sized(place));
      if (field.type() != FieldDescriptor::TYPE_BYTES && !is_utf8(content)) {
        return internal::refuse(place, "a text must be UTF-8");
      }
      std::string text(as_text(content));
      return add ? r.AddString(&into, f, std::move(text)) : r.SetString(&into, f, std::move(text)),
             Result<void>();
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return message(add ? *r.AddMessage(&into, f) : *r.MutableMessage(&into, f), hidden, place);
}

}  // namespace

Result<void> decode_binary(ByteView bytes, Message& into, const BodyShape& shape,
                           std::size_t limit_bytes) {
  CAPSTAN_ASSERT(into.GetDescriptor() == shape.type);
  into.Clear();
  if (bytes.size() > limit_bytes) {
    return fail(Code::kResourceExhausted,
                "an octet-stream value of " + std::to_string(bytes.size()) +
                    " bytes exceeds the limit of " + std::to_string(limit_bytes) + " bytes");
  }
  return Reader(bytes).body(into, shape);
}

}  // namespace capstan::rpc
