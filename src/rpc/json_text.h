// Why this file exists: the texts that protobuf's JSON puts in place of bytes, timestamps and
// durations, in both directions. Pure functions; the parsers accept exactly the documented forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan::rpc {

// Standard alphabet with padding. Decoding also takes the URL alphabet and missing padding, as the
// canonical mapping demands.
void append_base64(std::string_view bytes, std::string& out);
std::optional<std::string> parse_base64(std::string_view text);
// Lower case; decoding takes both cases.
void append_hex(std::string_view bytes, std::string& out);
std::optional<std::string> parse_hex(std::string_view text);

struct SecondsNanos {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
  bool operator==(const SecondsNanos&) const = default;
};

// RFC 3339, years 1 to 9999, nanos 0 to 999999999; written in UTC with 0, 3, 6 or 9 digits.
// False when out of range.
bool append_timestamp(SecondsNanos time, std::string& out);
std::optional<SecondsNanos> parse_timestamp(std::string_view text);
// "-1.5s", at most 10000 years; seconds and nanos must not have opposite signs.
bool append_duration(SecondsNanos duration, std::string& out);
std::optional<SecondsNanos> parse_duration(std::string_view text);

// Whether `text` is a number by JSON's grammar (RFC 8259 section 6).
bool is_json_number(std::string_view text);

}  // namespace capstan::rpc
