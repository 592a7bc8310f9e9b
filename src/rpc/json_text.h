// Why this file exists: JSON's strings and numbers, and the texts that protobuf's JSON puts in
// place of bytes, timestamps and durations. Pure functions; the parsers accept exactly the
// documented forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan::rpc {

enum class JsonEscapes : std::uint8_t {
  kStandard,
  kAscii,  // what is beyond ASCII, and DEL, as \uXXXX
  kOctez,  // \u000c instead of \f
};

// Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. False
// when there were some.
bool append_json_string(std::string_view text, std::string& out, JsonEscapes escapes);
inline void append_json_string(std::string_view text, std::string& out, bool ascii = false) {
  append_json_string(text, out, ascii ? JsonEscapes::kAscii : JsonEscapes::kStandard);
}
// The same without the quotes and for UTF-8 only, for texts that are written in pieces.
void append_json_text(std::string_view text, std::string& out, JsonEscapes escapes);
// {"invalid_utf8_string":[255,254]} (http-rpc section 7.4).
void append_json_text_bytes(std::string_view bytes, std::string& out);

// Appends the shortest number that reads back the same. Integral ones below 2^64 have no point and
// no exponent, larger ones an exponent (our reader refuses longer digit strings); NaN and the
// infinities are "NaN", "Infinity", "-Infinity" in quotes.
void append_json_number(double value, std::string& out);
void append_json_number(float value, std::string& out);

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
