// Why this file exists: the walk over a message behind write_json(). Few reflection calls for each
// field (a message's Reflection is asked for once); nothing is copied but what goes out.
#include "rpc/json_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/limits.h"
#include "rpc/error_text.h"
#include "rpc/json_text.h"
#include "rpc/json_writer_values.h"

namespace capstan::rpc {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// `r` is the message's: asking for it costs as much as asking for a field.
bool shows(const Message& message, const Reflection& r, const FieldDescriptor& field,
           const JsonStyle& style) {
  if (style.show_defaults && !field.has_presence()) return true;
  if (field.is_repeated()) return r.FieldSize(message, &field) != 0;
  return r.HasField(message, &field);
}

class Writer {
 public:
  Writer(const JsonStyle& style, std::string& out, std::size_t depth = 0)
      : style_(style), out_(out), depth_(depth) {}
  Result<void> message(const Message& message);
  Result<void> field(const Message& message, const FieldDescriptor& field);
  // One element of a repeated field, or the singular one for `index` -1.
  Result<void> value(const Message& message, const Reflection& r, const FieldDescriptor& field,
                     int index);

 private:
  Result<void> empty(std::string_view brackets) {
    out_ += brackets;
    return {};
  }
  // Every object and array counts as a level, as it does when reading.
  Result<void> enter(const Message& message);
  Result<void> fields(const Message& message);
  Result<void> well_known(const Message& message);
  // google.protobuf.Value, by the member that is set.
  Result<void> dynamic(const Message& message);
  void text(std::string_view value) { internal::append_text_value(value, style_, out_); }
  // `r` is the message's.
  Result<void> field(const Message& message, const Reflection& r, const FieldDescriptor& field);
  Result<void> list(const Message& message, const Reflection& r, const FieldDescriptor& field);
  Result<void> map(const Message& message, const Reflection& r, const FieldDescriptor& field);
  Result<void> value(const Message& message, const FieldDescriptor& field) {
    return value(message, *message.GetReflection(), field, -1);
  }
  void map_key(const Message& entry, const FieldDescriptor& key);
  template <class T>
  void integer(T value, bool as_text) {
    internal::append_integer_value(value, as_text, out_);
  }
  template <class T>
  void floating(T value);

  const JsonStyle& style_;
  std::string& out_;
  std::size_t depth_;
};

JsonEscapes escapes_of(const JsonStyle& style) {
  if (style.octez_texts) return JsonEscapes::kOctez;
  return style.ascii ? JsonEscapes::kAscii : JsonEscapes::kStandard;
}

template <class T>
void Writer::floating(T value) {
  if (style_.octez_texts && (value != 0 || !std::signbit(value))) {
    return append_json_number(value, out_);
  }
  if (std::isnan(value)) return append_json_string("NaN", out_);
  if (std::isinf(value)) return append_json_string(value < 0 ? "-Infinity" : "Infinity", out_);
  if (value == 0 && std::signbit(value)) return void(out_ += "-0.0");  // "-0" reads as an integer
  // The shortest text that reads back the same. Long digit strings are avoided: some readers, ours
  // included, take a number without point and exponent for an integer and refuse it above 2^64.
  std::array<char, 32> digits;
  const auto end =
      std::abs(value) < T(1e15)
          ? std::to_chars(digits.begin(), digits.end(), value).ptr
          : std::to_chars(digits.begin(), digits.end(), value, std::chars_format::scientific).ptr;
  out_.append(digits.data(), end);
}

Result<void> Writer::enter(const Message& message) {
  if (++depth_ <= limits::kJsonNestingDepth) return {};
  return fail(Code::kResourceExhausted,
              "a message of type " + message.GetDescriptor()->full_name() +
                  " is nested deeper than " + std::to_string(limits::kJsonNestingDepth) +
                  " levels and has no JSON form");
}

Result<void> Writer::message(const Message& message) {
  if (message.GetDescriptor()->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
    return well_known(message);
  }
  TRY(enter(message));
  TRY(fields(message));
  --depth_;
  return {};
}

Result<void> Writer::fields(const Message& message) {
  const Descriptor& descriptor = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  out_ += '{';
  bool first = true;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& member = *descriptor.field(i);
    if (!shows(message, reflection, member, style_)) continue;
    if (!first) out_ += ',';
    first = false;
    append_json_name(member, style_, out_);
    TRY(field(message, reflection, member));
  }
  out_ += '}';
  return {};
}

Result<void> Writer::well_known(const Message& message) {
  const Descriptor& descriptor = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  const auto kind = descriptor.well_known_type();
  if (kind >= Descriptor::WELLKNOWNTYPE_DOUBLEVALUE &&
      kind <= Descriptor::WELLKNOWNTYPE_BOOLVALUE) {
    return value(message, *descriptor.field(0));
  }
  if (kind == Descriptor::WELLKNOWNTYPE_VALUE) return dynamic(message);
  if (kind == Descriptor::WELLKNOWNTYPE_STRUCT || kind == Descriptor::WELLKNOWNTYPE_LISTVALUE) {
    return field(message, *descriptor.field(0));
  }
  if (kind != Descriptor::WELLKNOWNTYPE_TIMESTAMP && kind != Descriptor::WELLKNOWNTYPE_DURATION) {
    return fail(Code::kUnimplemented,
                descriptor.full_name() + " has no JSON form here; use a message of its own");
  }
  const SecondsNanos time{reflection.GetInt64(message, descriptor.FindFieldByNumber(1)),
                          reflection.GetInt32(message, descriptor.FindFieldByNumber(2))};
  return internal::append_time_value(descriptor, time, out_);
}

Result<void> Writer::dynamic(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const auto* kind = message.GetDescriptor()->oneof_decl(0);
  const FieldDescriptor* set = reflection.GetOneofFieldDescriptor(message, kind);
  // Nothing set is what a new message holds; null is the only JSON for it.
  if (!set || set->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    out_ += "null";
    return {};
  }
  if (set->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE) return value(message, *set);
  append_json_number(reflection.GetDouble(message, set), out_);
  return {};
}

Result<void> Writer::field(const Message& message, const FieldDescriptor& member) {
  return field(message, *message.GetReflection(), member);
}

Result<void> Writer::field(const Message& message, const Reflection& r,
                           const FieldDescriptor& member) {
  if (!member.is_repeated()) return value(message, r, member, -1);
  return member.is_map() ? map(message, r, member) : list(message, r, member);
}

Result<void> Writer::list(const Message& message, const Reflection& r,
                          const FieldDescriptor& member) {
  const int size = r.FieldSize(message, &member);
  if (size == 0) return empty("[]");
  TRY(enter(message));
  for (int i = 0; i < size; ++i) {
    out_ += i == 0 ? '[' : ',';
    TRY(value(message, r, member, i));
  }
  out_ += ']';
  --depth_;
  return {};
}

Result<void> Writer::map(const Message& message, const Reflection& reflection,
                         const FieldDescriptor& member) {
  const FieldDescriptor& key = *member.message_type()->map_key();
  const FieldDescriptor& mapped = *member.message_type()->map_value();
  const std::size_t start = out_.size();
  std::vector<std::pair<std::string, const Message*>> entries;
  const int size = reflection.FieldSize(message, &member);
  if (size == 0) return empty("{}");
  for (int i = 0; i < size; ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &member, i);
    map_key(entry, key);
    entries.emplace_back(out_.substr(start), &entry);
    out_.resize(start);
  }
  std::ranges::sort(entries);
  TRY(enter(message));
  char separator = '{';
  for (const auto& [name, entry] : entries) {
    out_ += separator;
    out_ += name;
    out_ += ':';
    TRY(value(*entry, mapped));
    separator = ',';
  }
  out_ += '}';
  --depth_;
  return {};
}

void Writer::map_key(const Message& entry, const FieldDescriptor& key) {
  const Reflection& reflection = *entry.GetReflection();
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return integer(reflection.GetInt32(entry, &key), true);
    case FieldDescriptor::CPPTYPE_INT64: return integer(reflection.GetInt64(entry, &key), true);
    case FieldDescriptor::CPPTYPE_UINT32: return integer(reflection.GetUInt32(entry, &key), true);
    case FieldDescriptor::CPPTYPE_UINT64: return integer(reflection.GetUInt64(entry, &key), true);
    case FieldDescriptor::CPPTYPE_BOOL:
      return append_json_string(reflection.GetBool(entry, &key) ? "true" : "false", out_);
    default: {
      std::string scratch;
      append_json_string(reflection.GetStringReference(entry, &key, &scratch), out_,
                         escapes_of(style_));
      return;
    }
  }
}

Result<void> Writer::value(const Message& message, const Reflection& r,
                           const FieldDescriptor& member, int index) {
  const FieldDescriptor* f = &member;
  const bool one = index < 0;
  const bool wide_text = style_.wide == JsonStyle::Wide::kText;
  switch (member.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      integer(one ? r.GetInt32(message, f) : r.GetRepeatedInt32(message, f, index), false);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      integer(one ? r.GetUInt32(message, f) : r.GetRepeatedUInt32(message, f, index), false);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      integer(one ? r.GetInt64(message, f) : r.GetRepeatedInt64(message, f, index), wide_text);
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      integer(one ? r.GetUInt64(message, f) : r.GetRepeatedUInt64(message, f, index), wide_text);
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      floating(one ? r.GetDouble(message, f) : r.GetRepeatedDouble(message, f, index));
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      floating(one ? r.GetFloat(message, f) : r.GetRepeatedFloat(message, f, index));
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      internal::append_bool_value(
          one ? r.GetBool(message, f) : r.GetRepeatedBool(message, f, index), out_);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      internal::append_enum_value(
          *member.enum_type(),
          one ? r.GetEnumValue(message, f) : r.GetRepeatedEnumValue(message, f, index), style_,
          out_);
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      const std::string& content = one ? r.GetStringReference(message, f, &scratch)
                                       : r.GetRepeatedStringReference(message, f, index, &scratch);
      if (member.type() == FieldDescriptor::TYPE_BYTES) {
        internal::append_bytes_value(content, style_, out_);
      } else {
        text(content);
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return this->message(one ? r.GetMessage(message, f)
                               : r.GetRepeatedMessage(message, f, index));
  }
  return {};
}

}  // namespace

void internal::append_text_value(std::string_view value, const JsonStyle& style, std::string& out) {
  const std::size_t start = out.size();
  if (append_json_string(value, out, escapes_of(style)) || !style.octez_texts) return;
  out.resize(start);
  append_json_text_bytes(value, out);
}

void internal::append_bytes_value(std::string_view value, const JsonStyle& style,
                                  std::string& out) {
  out += '"';
  style.bytes == JsonStyle::Bytes::kHex ? append_hex(value, out) : append_base64(value, out);
  out += '"';
}

Result<void> internal::append_time_value(const Descriptor& type, SecondsNanos time,
                                         std::string& out) {
  out += '"';
  const bool timestamp = type.well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP;
  if (!(timestamp ? append_timestamp(time, out) : append_duration(time, out))) {
    return fail(Code::kOutOfRange, type.full_name() + " of " + std::to_string(time.seconds) +
                                       " s and " + std::to_string(time.nanos) +
                                       " ns is outside of what its JSON form can say");
  }
  out += '"';
  return {};
}

void internal::append_enum_value(const google::protobuf::EnumDescriptor& type, int number,
                                 const JsonStyle& style, std::string& out) {
  const auto* known = type.FindValueByNumber(number);
  if (known && style.enums == JsonStyle::Enums::kNames) {
    append_text_value(known->name(), style, out);
  } else {
    append_integer_value(number, false, out);
  }
}

Result<void> write_json(const google::protobuf::Message& message, const JsonStyle& style,
                        std::string& out) {
  const std::size_t start = out.size();
  Writer writer(style, out);
  auto result = writer.message(message);
  if (!result) out.resize(start);
  return result;
}

Result<void> write_json_field(const google::protobuf::Message& message,
                              const google::protobuf::FieldDescriptor& field,
                              const JsonStyle& style, std::string& out, std::size_t depth) {
  const std::size_t start = out.size();
  auto result = Writer(style, out, depth).field(message, field);
  if (!result) out.resize(start);
  return result;
}

Result<void> write_json_value(const google::protobuf::Message& message,
                              const google::protobuf::FieldDescriptor& field, int index,
                              const JsonStyle& style, std::string& out) {
  const std::size_t start = out.size();
  auto result = Writer(style, out).value(message, *message.GetReflection(), field, index);
  if (!result) out.resize(start);
  return result;
}

bool json_shows(const google::protobuf::Message& message,
                const google::protobuf::FieldDescriptor& field, const JsonStyle& style) {
  return shows(message, *message.GetReflection(), field, style);
}

// Names of fields are identifiers: nothing in them needs an escape. A json_name may be anything.
void append_json_name(const google::protobuf::FieldDescriptor& field, const JsonStyle& style,
                      std::string& out) {
  if (style.names == JsonStyle::Names::kCamelCase) {
    append_json_string(field.json_name(), out, style.ascii);
  } else {
    out += '"';
    out += field.name();
    out += '"';
  }
  out += ':';
}

}  // namespace capstan::rpc
