// Why this file exists: messages as octet-stream (http-rpc section 7.5, rpc/BINARY.md), by
// reflection. Lengths of lists are written as zeros first and filled in behind the last element.
#include <algorithm>
#include <cmath>
#include <memory>

#include "base/assert.h"
#include "base/limits.h"
#include "rpc/binary_format.h"
#include "rpc/bson_codec.h"
#include "rpc/error_text.h"
#include "rpc/json_text.h"
#include "rpc/json_writer.h"
#include "rpc/media.h"

namespace capstan::rpc {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using internal::BinaryShape;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  Result<void> message(const Message& message, const HiddenFields& hidden);
  Result<void> list(const Message& message, const Reflection& r, const FieldDescriptor& field);
  // One element of a repeated field, or the singular one for `index` -1.
  Result<void> value(const Message& message, const Reflection& r, const FieldDescriptor& field,
                     int index, const HiddenFields& hidden = {});
  std::size_t open() {
    out_.append(4, '\0');
    return out_.size();
  }
  Result<void> close(std::size_t start);

 private:
  Result<void> fields(const Message& message, const HiddenFields& hidden);
  Result<void> map_entries(const Message& message, const Reflection& r,
                           const FieldDescriptor& field);
  Result<void> time(const Message& message);
  Result<void> dynamic(const Message& message);
  Result<void> enumeration(const FieldDescriptor& field, int number);
  Result<void> text(std::string_view content) {
    const std::size_t start = open();
    out_ += content;
    return close(start);
  }
  template <class T>
  void number(T value);

  std::string& out_;
  std::size_t depth_ = 0;
};

template <class T>
void Writer::number(T value) {
  for (int shift = static_cast<int>(sizeof value) * 8 - 8; shift >= 0; shift -= 8) {
    out_ += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xFF);
  }
}

Result<void> Writer::close(std::size_t start) {
  const std::size_t size = out_.size() - start;
  if (size > UINT32_MAX) {
    return fail(Code::kResourceExhausted,
                "a value of " + std::to_string(size) + " bytes has no binary form; ask for JSON");
  }
  store_be32(reinterpret_cast<std::uint8_t*>(out_.data()) + start - 4,
             static_cast<std::uint32_t>(size));
  return {};
}

Result<void> Writer::message(const Message& message, const HiddenFields& hidden) {
  const Descriptor& type = *message.GetDescriptor();
  switch (internal::binary_shape(type)) {
    case BinaryShape::kWrapped: return value(message, *message.GetReflection(), *type.field(0), -1);
    case BinaryShape::kDynamic: return dynamic(message);
    case BinaryShape::kTime: return time(message);
    case BinaryShape::kNone:
      return fail(Code::kUnimplemented,
                  type.full_name() + " has no binary form here; use a message of its own");
    case BinaryShape::kObject: break;
  }
  if (++depth_ > limits::kJsonNestingDepth) {
    return fail(Code::kResourceExhausted,
                "a message of type " + type.full_name() + " is nested deeper than " +
                    std::to_string(limits::kJsonNestingDepth) + " levels and has no binary form");
  }
  TRY(fields(message, hidden));
  --depth_;
  return {};
}

Result<void> Writer::fields(const Message& message, const HiddenFields& hidden) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& r = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (hidden.hides(field)) continue;
    if (field.is_repeated()) {
      TRY(list(message, r, field));
      continue;
    }
    if (field.has_presence()) {
      const bool has = r.HasField(message, &field);
      out_ += has ? '\xFF' : '\0';
      if (!has) continue;
    }
    TRY(value(message, r, field, -1, hidden.none() ? HiddenFields() : hidden.inside(field)));
  }
  return {};
}

Result<void> Writer::list(const Message& message, const Reflection& r,
                          const FieldDescriptor& field) {
  const int size = r.FieldSize(message, &field);
  if (field.message_type() && internal::takes_no_bytes(*field.message_type()) && size > 0) {
    return fail(Code::kUnimplemented, "a list of " + field.message_type()->full_name() +
                                          ", which is empty, has no binary form; ask for JSON");
  }
  const std::size_t start = open();
  if (field.is_map()) {
    TRY(map_entries(message, r, field));
  } else {
    for (int i = 0; i < size; ++i) TRY(value(message, r, field, i));
  }
  return close(start);
}

// As text, which is what a key is in JSON.
std::string key_text(const Message& entry, const FieldDescriptor& key) {
  const Reflection& r = *entry.GetReflection();
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return std::to_string(r.GetInt32(entry, &key));
    case FieldDescriptor::CPPTYPE_INT64: return std::to_string(r.GetInt64(entry, &key));
    case FieldDescriptor::CPPTYPE_UINT32: return std::to_string(r.GetUInt32(entry, &key));
    case FieldDescriptor::CPPTYPE_UINT64: return std::to_string(r.GetUInt64(entry, &key));
    case FieldDescriptor::CPPTYPE_BOOL: return r.GetBool(entry, &key) ? "true" : "false";
    default: return r.GetString(entry, &key);
  }
}

Result<void> Writer::map_entries(const Message& message, const Reflection& r,
                                 const FieldDescriptor& field) {
  const FieldDescriptor& key = *field.message_type()->map_key();
  const FieldDescriptor& mapped = *field.message_type()->map_value();
  std::vector<std::pair<std::string, const Message*>> entries;
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    const Message& entry = r.GetRepeatedMessage(message, &field, i);
    entries.emplace_back(key_text(entry, key), &entry);
  }
  std::ranges::sort(entries);
  for (const auto& [name, entry] : entries) {
    TRY(text(name));
    TRY(value(*entry, *entry->GetReflection(), mapped, -1));
  }
  return {};
}

Result<void> Writer::time(const Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const SecondsNanos time{message.GetReflection()->GetInt64(message, type.FindFieldByNumber(1)),
                          message.GetReflection()->GetInt32(message, type.FindFieldByNumber(2))};
  std::string shown;  // what has no JSON form has no binary form
  const bool fits = type.well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP
                        ? append_timestamp(time, shown)
                        : append_duration(time, shown);
  if (!fits) {
    return fail(Code::kOutOfRange, type.full_name() + " of " + std::to_string(time.seconds) +
                                       " s and " + std::to_string(time.nanos) +
                                       " ns is out of range");
  }
  number(time.seconds);
  number(time.nanos);
  return {};
}

Result<void> Writer::dynamic(const Message& message) {
  std::string json;
  TRY(write_json(message, JsonStyle::octez(), json));
  const std::size_t start = open();
  TRY(json_to_bson(json, out_));
  return close(start);
}

Result<void> Writer::enumeration(const FieldDescriptor& field, int number) {
  const auto cases = internal::enum_cases(*field.enum_type());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (cases[i]->number() != number) continue;
    if (internal::enum_bytes(cases.size()) == 1) {
      this->number(static_cast<std::uint8_t>(i));
    } else {
      this->number(static_cast<std::uint16_t>(i));
    }
    return {};
  }
  return fail(Code::kInternal, field.full_name() + " is " + std::to_string(number) + ", which " +
                                   field.enum_type()->full_name() +
                                   " does not declare: it has no binary form; ask for JSON");
}

Result<void> Writer::value(const Message& message, const Reflection& r,
                           const FieldDescriptor& field, int index, const HiddenFields& hidden) {
  const FieldDescriptor* f = &field;
  const bool one = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      number(one ? r.GetInt32(message, f) : r.GetRepeatedInt32(message, f, index));
      return {};
    case FieldDescriptor::CPPTYPE_UINT32:
      number(one ? r.GetUInt32(message, f) : r.GetRepeatedUInt32(message, f, index));
      return {};
    case FieldDescriptor::CPPTYPE_INT64:
      number(one ? r.GetInt64(message, f) : r.GetRepeatedInt64(message, f, index));
      return {};
    case FieldDescriptor::CPPTYPE_UINT64:
      number(one ? r.GetUInt64(message, f) : r.GetRepeatedUInt64(message, f, index));
      return {};
    case FieldDescriptor::CPPTYPE_DOUBLE:
      number(std::bit_cast<std::uint64_t>(one ? r.GetDouble(message, f)
                                              : r.GetRepeatedDouble(message, f, index)));
      return {};
    case FieldDescriptor::CPPTYPE_FLOAT:
      number(std::bit_cast<std::uint64_t>(static_cast<double>(
          one ? r.GetFloat(message, f) : r.GetRepeatedFloat(message, f, index))));
      return {};
    case FieldDescriptor::CPPTYPE_BOOL:
      out_ += (one ? r.GetBool(message, f) : r.GetRepeatedBool(message, f, index)) ? '\xFF' : '\0';
      return {};
    case FieldDescriptor::CPPTYPE_ENUM:
      return enumeration(
          field, one ? r.GetEnumValue(message, f) : r.GetRepeatedEnumValue(message, f, index));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return text(one ? r.GetStringReference(message, f, &scratch)
                      : r.GetRepeatedStringReference(message, f, index, &scratch));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return this->message(one ? r.GetMessage(message, f) : r.GetRepeatedMessage(message, f, index),
                           hidden);
  }
  return {};
}

}  // namespace

Result<std::string> encode_binary(const Message& message, const BodyShape& shape) {
  CAPSTAN_ASSERT(message.GetDescriptor() == shape.type);
  const Reflection& r = *message.GetReflection();
  std::string out;
  Writer writer(out);
  const std::size_t start = writer.open();
  if (!shape.field) {
    TRY(writer.message(message, HiddenFields(shape.hidden)));
  } else if (shape.element) {
    CAPSTAN_ASSERT(r.FieldSize(message, shape.field) > 0);
    TRY(writer.value(message, r, *shape.field, 0));
  } else if (shape.field->is_repeated()) {
    TRY(writer.list(message, r, *shape.field));
  } else {
    TRY(writer.value(message, r, *shape.field, -1));
  }
  TRY(writer.close(start));
  return out;
}

}  // namespace capstan::rpc
