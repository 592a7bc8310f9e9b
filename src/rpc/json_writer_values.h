// Why this file exists: how single values look in JSON, shared by the two walks over a message: by
// reflection (json_writer.cc) and by a plan (json_plan.cc). Nothing else includes this.
#pragma once

#include <google/protobuf/descriptor.h>

#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "base/result.h"
#include "rpc/json_style.h"
#include "rpc/json_text.h"

namespace capstan::rpc::internal {

// Of a field of type string; escapes and what is not UTF-8 as the style says.
void append_text_value(std::string_view value, const JsonStyle& style, std::string& out);
void append_bytes_value(std::string_view value, const JsonStyle& style, std::string& out);
void append_enum_value(const google::protobuf::EnumDescriptor& type, int number,
                       const JsonStyle& style, std::string& out);

// Of google.protobuf.Timestamp or Duration. After an error `out` has a part of it.
Result<void> append_time_value(const google::protobuf::Descriptor& type, SecondsNanos time,
                               std::string& out);

template <class T>
void append_integer_value(T value, bool as_text, std::string& out) {
  std::array<char, 24> digits;
  char* const begin = digits.data() + 1;
  char* end = std::to_chars(begin, digits.data() + digits.size() - 1, value).ptr;
  if (!as_text) return void(out.append(begin, end));
  digits[0] = *end++ = '"';
  out.append(digits.data(), end);
}
inline void append_bool_value(bool value, std::string& out) {
  value ? out.append("true", 4) : out.append("false", 5);
}

}  // namespace capstan::rpc::internal
