// Why this file exists: the numeric rules of canonical JSON: an integer may stand as a number, as
// text, with a fraction of zeros or an exponent, as long as its value is one and fits; floating
// point knows "NaN", "Infinity" and "-Infinity" as text.
#include "rpc/json_value.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "rpc/error_text.h"
#include "rpc/json_text.h"

namespace capstan::rpc::internal {

namespace {

using simdjson::dom::element_type;

template <class T>
constexpr T kLeast = std::numeric_limits<T>::min();
template <class T>
constexpr T kMost = std::numeric_limits<T>::max();
constexpr std::size_t kExcerptBytes = 64;
constexpr std::size_t kPlaceBytes = 512;

std::string_view kind_name(const Value& value) {
  switch (value.type()) {
    case element_type::ARRAY: return "array";
    case element_type::OBJECT: return "object";
    case element_type::STRING: return "string";
    case element_type::BOOL: return "boolean";
    case element_type::NULL_VALUE: return "null";
    default: return "number";
  }
}

bool identifier(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (c < '0' || c > '9')) return false;
  }
  return true;
}

template <class T>
std::unexpected<Error> outside(const JsonPlace& place, T min, T max) {
  return refuse(place, "number out of range, it must be between " + std::to_string(min) + " and " +
                           std::to_string(max));
}

// An integral double within [min, max]. Both powers of two are exact as double.
template <class T>
Result<T> integral(double number, const JsonPlace& place, T min, T max) {
  if (number != std::trunc(number)) return refuse(place, "expected integer, got a fraction");
  const double above = std::is_signed_v<T> ? 0x1p63 : 0x1p64;
  const double lowest = std::is_signed_v<T> ? -0x1p63 : 0.0;
  if (!(number >= lowest && number < above)) return outside(place, min, max);
  const T value = static_cast<T>(number);
  if (value < min || value > max) return outside(place, min, max);
  return value;
}

template <class T>
Result<T> parse_integer(std::string_view text, const JsonPlace& place, T min, T max) {
  if (!is_json_number(text)) return refuse(place, "expected integer, got " + excerpt(text));
  T value = 0;
  const char* end = text.data() + text.size();
  const auto plain = std::from_chars(text.data(), end, value);
  if (plain.ptr == end) {
    if (plain.ec != std::errc() || value < min || value > max) return outside(place, min, max);
    return value;
  }
  double number = 0;  // "1e3", "1.0", or "-1" for an unsigned one
  if (std::from_chars(text.data(), end, number).ec != std::errc()) return outside(place, min, max);
  return integral(number, place, min, max);
}

template <class T>
Result<T> read_integer(const Value& value, const JsonPlace& place, T min, T max) {
  switch (value.type()) {
    case element_type::INT64: {
      const std::int64_t number = value.get_int64().value_unsafe();
      if (std::cmp_less(number, min) || std::cmp_greater(number, max)) {
        return outside(place, min, max);
      }
      return static_cast<T>(number);
    }
    case element_type::UINT64: {
      const std::uint64_t number = value.get_uint64().value_unsafe();
      if (std::cmp_greater(number, max)) return outside(place, min, max);
      return static_cast<T>(number);
    }
    case element_type::DOUBLE: return integral(value.get_double().value_unsafe(), place, min, max);
    case element_type::STRING:
      return parse_integer(value.get_string().value_unsafe(), place, min, max);
    default: return mismatch(place, "integer", value);
  }
}

}  // namespace

std::string excerpt(std::string_view text) {
  if (text.size() <= kExcerptBytes) return "'" + valid_utf8(text) + "'";
  std::size_t end = kExcerptBytes;
  while (end > 0 && (static_cast<std::uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return "'" + valid_utf8(text.substr(0, end)) + "...'";
}

std::string JsonPlace::text() const {
  if (kind == Kind::kRoot) return std::string(name);
  std::string out = parent->text();
  if (out.size() > kPlaceBytes) return out;
  switch (kind) {
    case Kind::kElement: return out + "[" + std::to_string(index) + "]";
    case Kind::kMember:
      if (identifier(name)) return out + "." + std::string(name.substr(0, kExcerptBytes));
      [[fallthrough]];
    default: return out + "[" + excerpt(name) + "]";
  }
}

std::unexpected<Error> refuse(const JsonPlace& place, std::string_view what) {
  std::string text = place.text();
  text += ": ";
  text += what;
  return fail(Code::kInvalidArgument, std::move(text));
}

std::unexpected<Error> mismatch(const JsonPlace& place, std::string_view expected,
                                const Value& got) {
  std::string what("expected ");
  what += expected;
  what += ", got ";
  what += kind_name(got);
  return refuse(place, what);
}

Result<std::int64_t> read_signed(const Value& value, const JsonPlace& place, std::int64_t min,
                                 std::int64_t max) {
  return read_integer(value, place, min, max);
}

Result<std::uint64_t> read_unsigned(const Value& value, const JsonPlace& place, std::uint64_t max) {
  return read_integer<std::uint64_t>(value, place, 0, max);
}

Result<std::int64_t> parse_signed(std::string_view text, const JsonPlace& place, std::int64_t min,
                                  std::int64_t max) {
  return parse_integer(text, place, min, max);
}

Result<std::uint64_t> parse_unsigned(std::string_view text, const JsonPlace& place,
                                     std::uint64_t max) {
  return parse_integer<std::uint64_t>(text, place, 0, max);
}

Result<double> read_double(const Value& value, const JsonPlace& place) {
  double number = 0;
  if (value.get_double().get(number) == simdjson::SUCCESS) return number;  // integers as well
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return mismatch(place, "number", value);
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (!is_json_number(text)) return refuse(place, "expected number, got " + excerpt(text));
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
    return refuse(place, "number out of range of a double");
  }
  return number;
}

Result<float> read_float(const Value& value, const JsonPlace& place) {
  TRY_SET(const double number, read_double(value, place));
  constexpr double kMax = std::numeric_limits<float>::max();
  constexpr double kRoundsToMax = 0x1.ffffffp127;  // half a step above the largest float
  if (!std::isfinite(number) || std::abs(number) <= kMax) return static_cast<float>(number);
  if (std::abs(number) >= kRoundsToMax) return refuse(place, "number out of range of a float");
  return static_cast<float>(std::copysign(kMax, number));
}

Result<bool> read_bool(const Value& value, const JsonPlace& place) {
  bool truth = false;
  if (value.get_bool().get(truth) != simdjson::SUCCESS) return mismatch(place, "boolean", value);
  return truth;
}

Result<std::string_view> read_text(const Value& value, const JsonPlace& place) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return mismatch(place, "string", value);
  return text;
}

Result<void> set_map_key(google::protobuf::Message& entry,
                         const google::protobuf::FieldDescriptor& key, std::string_view text,
                         const JsonPlace& place) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& r = *entry.GetReflection();
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      TRY_SET(const auto n, parse_signed(text, place, kLeast<std::int32_t>, kMost<std::int32_t>));
      r.SetInt32(&entry, &key, static_cast<std::int32_t>(n));
      return {};
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      TRY_SET(const auto n, parse_signed(text, place, kLeast<std::int64_t>, kMost<std::int64_t>));
      r.SetInt64(&entry, &key, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      TRY_SET(const auto n, parse_unsigned(text, place, kMost<std::uint32_t>));
      r.SetUInt32(&entry, &key, static_cast<std::uint32_t>(n));
      return {};
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      TRY_SET(const auto n, parse_unsigned(text, place, kMost<std::uint64_t>));
      r.SetUInt64(&entry, &key, n);
      return {};
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") {
        return refuse(place, "a key of this map must be \"true\" or \"false\"");
      }
      r.SetBool(&entry, &key, text == "true");
      return {};
    default: r.SetString(&entry, &key, std::string(text)); return {};
  }
}

}  // namespace capstan::rpc::internal
