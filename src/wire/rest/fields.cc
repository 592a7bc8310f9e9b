// Why this file exists: see fields.h.
#include "wire/rest/fields.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <set>

#include "base/limits.h"
#include "base/uuid.h"
#include "rpc/body_shape.h"
#include "rpc/error_text.h"
#include "rpc/json_text.h"

namespace capstan::wire::rest {

namespace {

namespace pb = google::protobuf;
using Type = pb::FieldDescriptor::CppType;

std::unexpected<Error> wrong(std::string what) {
  return fail(Code::kInvalidArgument, std::move(what));
}

template <class T>
Result<T> integer(std::string_view text) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char kind = digits[1];
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (base != 10) digits.remove_prefix(2);
  }
  T value{};
  std::string signed_digits = (negative ? "-" : "") + std::string(digits);
  const char* end = signed_digits.data() + signed_digits.size();
  const auto parsed = std::from_chars(signed_digits.data(), end, value, base);
  const bool clean = !digits.empty() && std::isxdigit(static_cast<unsigned char>(digits[0])) != 0;
  if (clean && parsed.ec == std::errc() && parsed.ptr == end) return value;
  if (parsed.ec == std::errc::result_out_of_range) {
    return wrong("Cannot parse integer value: it is out of range");
  }
  return wrong("Cannot parse integer value");
}

template <class T>
Result<T> floating(std::string_view text) {
  T value{};
  const bool negative = text.starts_with('-');
  std::string_view digits = text.substr(negative ? 1 : 0);
  const bool hex = digits.starts_with("0x");
  if (hex) digits.remove_prefix(2);
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value,
                                      hex ? std::chars_format::hex : std::chars_format::general);
  if (parsed.ec == std::errc() && parsed.ptr == end && !digits.starts_with('-')) {
    return negative ? -value : value;
  }
  return wrong("Cannot parse float value");
}

Result<bool> truth(std::string_view text) {
  std::string word(text);
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* yes : {"", "true", "t", "yes", "y"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"false", "f", "no", "n"}) {
    if (word == no) return false;
  }
  return wrong("Cannot parse boolean value");
}

Result<const pb::EnumValueDescriptor*> enumerated(const pb::EnumDescriptor& type,
                                                  std::string_view text) {
  const auto* value = type.FindValueByName(std::string(text));
  if (!value) {
    if (const auto number = integer<std::int32_t>(text)) value = type.FindValueByNumber(*number);
  }
  if (value) return value;
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    names += (i == 0 ? "" : ", ") + std::string(type.value(i)->name());
  }
  return wrong("it is none of " + names);
}

// google.protobuf.Timestamp and Duration: both have seconds = 1 and nanos = 2.
Result<void> set_time(rpc::Message& message, std::string_view text) {
  const auto& type = *message.GetDescriptor();
  const auto parsed = type.full_name() == "google.protobuf.Timestamp" ? rpc::parse_timestamp(text)
                                                                      : rpc::parse_duration(text);
  if (!parsed) return wrong("Cannot parse time value");
  const auto* r = message.GetReflection();
  r->SetInt64(&message, type.FindFieldByNumber(1), parsed->seconds);
  r->SetInt32(&message, type.FindFieldByNumber(2), parsed->nanos);
  return {};
}

Result<void> set_value(rpc::Message& message, const pb::FieldDescriptor& field,
                       std::string_view text);

Result<void> set_message(rpc::Message& inner, std::string_view text) {
  const auto& type = *inner.GetDescriptor();
  if (type.full_name() == "google.protobuf.Timestamp" ||
      type.full_name() == "google.protobuf.Duration") {
    return set_time(inner, text);
  }
  const auto* value = type.FindFieldByName("value");
  if (value && type.field_count() == 1 && !value->message_type()) {
    return set_value(inner, *value, text);
  }
  return wrong("it cannot be written as text");
}

// A protobuf setter for both singular and repeated fields.
#define CAPSTAN_SET(Kind, value)                              \
  field.is_repeated() ? r->Add##Kind(&message, &field, value) \
                      : r->Set##Kind(&message, &field, value)

Result<void> set_number(rpc::Message& message, const pb::FieldDescriptor& field,
                        std::string_view text) {
  const auto* r = message.GetReflection();
  switch (field.cpp_type()) {
    case Type::CPPTYPE_INT32: {
      TRY_SET(const auto value, integer<std::int32_t>(text));
      CAPSTAN_SET(Int32, value);
      return {};
    }
    case Type::CPPTYPE_INT64: {
      TRY_SET(const auto value, integer<std::int64_t>(text));
      CAPSTAN_SET(Int64, value);
      return {};
    }
    case Type::CPPTYPE_UINT32: {
      TRY_SET(const auto value, integer<std::uint32_t>(text));
      CAPSTAN_SET(UInt32, value);
      return {};
    }
    case Type::CPPTYPE_UINT64: {
      TRY_SET(const auto value, integer<std::uint64_t>(text));
      CAPSTAN_SET(UInt64, value);
      return {};
    }
    case Type::CPPTYPE_DOUBLE: {
      TRY_SET(const auto value, floating<double>(text));
      CAPSTAN_SET(Double, value);
      return {};
    }
    default: {
      TRY_SET(const auto value, floating<float>(text));
      CAPSTAN_SET(Float, value);
      return {};
    }
  }
}

Result<void> set_value(rpc::Message& message, const pb::FieldDescriptor& field,
                       std::string_view text) {
  const auto* r = message.GetReflection();
  switch (field.cpp_type()) {
    case Type::CPPTYPE_BOOL: {
      TRY_SET(const bool value, truth(text));
      CAPSTAN_SET(Bool, value);
      return {};
    }
    case Type::CPPTYPE_ENUM: {
      TRY_SET(const auto* value, enumerated(*field.enum_type(), text));
      CAPSTAN_SET(Enum, value);
      return {};
    }
    case Type::CPPTYPE_STRING: {
      if (field.type() == pb::FieldDescriptor::TYPE_STRING && rpc::valid_utf8(text) != text) {
        return wrong("it is not UTF-8");
      }
      CAPSTAN_SET(String, std::string(text));
      return {};
    }
    case Type::CPPTYPE_MESSAGE:
      return set_message(field.is_repeated() ? *r->AddMessage(&message, &field)
                                             : *r->MutableMessage(&message, &field),
                         text);
    default: return set_number(message, field, text);
  }
}

#undef CAPSTAN_SET

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace

Result<void> check_text(const pb::FieldDescriptor& field, std::string_view text) {
  // Only types that refuse something are tried.
  if (field.type() == pb::FieldDescriptor::TYPE_BYTES) return {};
  pb::Arena arena;
  const auto* type = field.containing_type();
  rpc::Message* scratch = pb::MessageFactory::generated_factory()->GetPrototype(type)->New(&arena);
  return set_value(*scratch, field, text);
}

Result<void> set_text(rpc::Message& message, const rpc::FieldPath& path, std::string_view text) {
  rpc::Message* in = &message;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    in = in->GetReflection()->MutableMessage(in, path[i]);
  }
  return set_value(*in, *path.back(), text);
}

Result<void> check_argument(std::string_view type, std::string_view text) {
  if (type == "pool_id") {
    if (is_name(text)) return {};
    return wrong("a name has 1 to 64 of letters, digits, '.', '_' and '-'");
  }
  if (type == "replica_id" || type == "nexus_id" || type == "snapshot_id" || type == "clone_id") {
    if (Uuid::parse(text)) return {};
    return wrong("it is no UUID");
  }
  if (type == "key" && text.size() > 65535) return wrong("a key has at most 65535 bytes");
  return {};
}

std::vector<QueryField> query_fields_of(const rpc::HttpBinding& binding,
                                        const std::vector<rpc::FieldPath>& paths) {
  std::vector<QueryField> fields;
  for (const auto& path : paths) fields.push_back({rpc::query_name(binding, path), {}, path});
  for (auto& field : fields) {
    const auto& name = field.path.back()->name();
    const auto same = [&](const QueryField& other) { return other.path.back()->name() == name; };
    // Also what is called otherwise here may be asked for by its own name.
    if (field.name != name && std::ranges::count_if(fields, same) == 1) field.short_name = name;
  }
  return fields;
}

namespace {

std::unexpected<Error> given_twice(const std::string& name) {
  return wrong("Duplicate argument '" + name + "' in query string.");
}

std::unexpected<Error> unreadable(const std::string& name, const std::string& text,
                                  const Error& why) {
  return wrong("Failed to parse argument '" + name + "' (\"" + text + "\"): " + why.message);
}

}  // namespace

Result<bool> read_flag(const QueryFields& query, std::string_view name) {
  std::optional<bool> flag;
  for (const auto& [given, text] : query) {
    if (given != name) continue;
    if (flag) return given_twice(given);
    const auto value = truth(text);
    if (!value) return unreadable(given, text, value.error());
    flag = *value;
  }
  return flag.value_or(false);
}

Result<void> read_query(const QueryFields& query, const std::vector<QueryField>& fields,
                        rpc::Message& into) {
  std::set<const QueryField*> seen;
  for (const auto& [name, text] : query) {
    const auto position = std::ranges::find_if(fields, [&](const QueryField& field) {
      return field.name == name || (!field.short_name.empty() && field.short_name == name);
    });
    if (position == fields.end()) continue;
    const bool repeated = position->path.back()->is_repeated();
    if (!seen.insert(&*position).second && !repeated) {
      return given_twice(name);
    }
    if (auto set = set_text(into, position->path, text); !set) {
      return unreadable(name, text, set.error());
    }
  }
  return {};
}

}  // namespace capstan::wire::rest
