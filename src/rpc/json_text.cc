// Why this file exists: see rpc/json_text.h. Calendar arithmetic is std::chrono's civil calendar;
// no clock and no time zone database is involved.
#include "rpc/json_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>

#include "rpc/error_text.h"

namespace capstan::rpc {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::int64_t kSecondsMin = -62'135'596'800;  // 0001-01-01T00:00:00Z
constexpr std::int64_t kSecondsMax = 253'402'300'799;  // 9999-12-31T23:59:59Z
constexpr std::int64_t kDurationSecondsMax = 315'576'000'000;
constexpr std::int32_t kNanosMax = 999'999'999;

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes exactly `count` digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!digit(text[i])) return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text[0] != expected) return false;
  text.remove_prefix(1);
  return true;
}

// ".5" to 500000000: one to nine digits after a point; no point is 0.
std::optional<std::int32_t> take_fraction(std::string_view& text) {
  if (!take(text, '.')) return 0;
  std::int32_t nanos = 0;
  int digits = 0;
  for (; !text.empty() && digit(text[0]) && digits < 9; ++digits, text.remove_prefix(1)) {
    nanos = nanos * 10 + (text[0] - '0');
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

// Exactly `width` digits; where they end.
char* put_digits(char* at, std::uint32_t value, int width) {
  for (int i = width; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + width;
}

char* put_fraction(char* at, std::uint32_t nanos) {
  if (nanos == 0) return at;
  *at++ = '.';
  if (nanos % 1'000'000 == 0) return put_digits(at, nanos / 1'000'000, 3);
  if (nanos % 1'000 == 0) return put_digits(at, nanos / 1'000, 6);
  return put_digits(at, nanos, 9);
}

void append_fraction(std::int32_t nanos, std::string& out) {
  std::array<char, 10> text;
  out.append(text.data(), put_fraction(text.data(), static_cast<std::uint32_t>(nanos)));
}

// "Z" or "+01:30": seconds east of UTC.
std::optional<int> take_zone(std::string_view& text) {
  if (take(text, 'Z')) return 0;
  const bool west = !text.empty() && text[0] == '-';
  if (!west && (text.empty() || text[0] != '+')) return std::nullopt;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (!hours || *hours > 23 || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  const int seconds = (*hours * 60 + *minutes) * 60;
  return west ? -seconds : seconds;
}

void append_escape(char c, std::string& out, JsonEscapes escapes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  if (c == '\f' && escapes != JsonEscapes::kOctez) return void(out += "\\f");
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default:
      out += "\\u00";
      out += kDigits[static_cast<std::uint8_t>(c) >> 4];
      out += kDigits[static_cast<std::uint8_t>(c) & 15];
  }
}

void append_code_unit(std::uint32_t unit, std::string& out) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[(unit >> shift) & 15];
}

// One valid UTF-8 character as one \uXXXX, or as a pair of them beyond U+FFFF.
void append_unicode_escape(std::string_view character, std::string& out) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(character[i]); };
  std::uint32_t code = byte(0);
  if (character.size() > 1) code &= 0x7FU >> character.size();
  for (std::size_t i = 1; i < character.size(); ++i) code = code << 6 | (byte(i) & 0x3F);
  if (code < 0x10000) return append_code_unit(code, out);
  append_code_unit(0xD800 + ((code - 0x10000) >> 10), out);
  append_code_unit(0xDC00 + ((code - 0x10000) & 0x3FF), out);
}

// Whether one of eight characters cannot stay as it is. `first_special` is 0x7F or 0x80.
bool any_special(const char* at, std::uint8_t first_special) {
  constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x80 * kOnes;
  std::uint64_t eight;
  std::memcpy(&eight, at, sizeof(eight));
  // A character of 0 after the exclusive or borrows from its highest bit; so do control characters.
  const auto is = [eight](char c) {
    return (eight ^ (kOnes * static_cast<std::uint8_t>(c))) - kOnes;
  };
  std::uint64_t special = eight | (eight - 0x20 * kOnes) | is('"') | is('\\');
  if (first_special == 0x7F) special |= is('\x7F');
  return (special & kHigh) != 0;
}

// Everything up to the first character that cannot stay as it is.
std::size_t plain_run(std::string_view text, std::uint8_t first_special) {
  std::size_t at = 0;
  while (text.size() - at >= 8 && !any_special(text.data() + at, first_special)) at += 8;
  const auto plain = std::ranges::find_if(text.substr(at), [first_special](char c) {
    return static_cast<std::uint8_t>(c) < 0x20 || c == '"' || c == '\\' ||
           static_cast<std::uint8_t>(c) >= first_special;
  });
  return at + static_cast<std::size_t>(plain - (text.begin() + static_cast<std::ptrdiff_t>(at)));
}

// False when the text was not UTF-8.
bool append_escaped(std::string_view text, std::string& out, JsonEscapes escapes) {
  const std::uint8_t first_special = escapes == JsonEscapes::kAscii ? 0x7F : 0x80;
  bool valid = true;
  while (!text.empty()) {
    const std::size_t run = plain_run(text, first_special);
    out += text.substr(0, run);
    text.remove_prefix(run);
    if (text.empty()) break;
    if (static_cast<std::uint8_t>(text[0]) < first_special) {
      append_escape(text[0], out, escapes);
      text.remove_prefix(1);
      continue;
    }
    const std::size_t length = utf8_character(text);
    valid = valid && length != 0;
    const std::string_view character = length != 0 ? text.substr(0, length) : "\xEF\xBF\xBD";
    if (escapes == JsonEscapes::kAscii) {
      append_unicode_escape(character, out);
    } else {
      out += character;
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return valid;
}

template <class T>
void append_number(T value, std::string& out) {
  if (std::isnan(value)) return void(out += R"("NaN")");
  if (std::isinf(value)) return void(out += value < 0 ? R"("-Infinity")" : R"("Infinity")");
  std::array<char, 32> digits;
  char* const begin = digits.data();
  char* const end = begin + digits.size();
  char* last = nullptr;
  const bool integral = value == std::trunc(value);
  if (integral && std::abs(value) < T(0x1p63)) {
    last = std::to_chars(begin, end, static_cast<std::int64_t>(value)).ptr;
  } else if (integral && value > 0 && value < T(0x1p64)) {
    last = std::to_chars(begin, end, static_cast<std::uint64_t>(value)).ptr;
  } else if (std::abs(value) < T(1e15)) {
    last = std::to_chars(begin, end, value).ptr;
  } else {
    last = std::to_chars(begin, end, value, std::chars_format::scientific).ptr;
  }
  out.append(begin, last);
}

}  // namespace

bool append_json_string(std::string_view text, std::string& out, JsonEscapes escapes) {
  out += '"';
  const bool valid = append_escaped(text, out, escapes);
  out += '"';
  return valid;
}

void append_json_text(std::string_view text, std::string& out, JsonEscapes escapes) {
  append_escaped(text, out, escapes);
}

void append_json_text_bytes(std::string_view bytes, std::string& out) {
  out += R"({"invalid_utf8_string":[)";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(static_cast<std::uint8_t>(bytes[i]));
  }
  out += "]}";
}

void append_json_number(double value, std::string& out) {
  append_number(value, out);
}

void append_json_number(float value, std::string& out) {
  append_number(value, out);
}

void append_base64(std::string_view bytes, std::string& out) {
  const auto at = [&](std::size_t i) -> std::uint32_t {
    return i < bytes.size() ? static_cast<std::uint8_t>(bytes[i]) : 0;
  };
  out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    out += kAlphabet[group >> 18];
    out += kAlphabet[group >> 12 & 63];
    out += i + 1 < bytes.size() ? kAlphabet[group >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kAlphabet[group & 63] : '=';
  }
}

std::optional<std::string> parse_base64(std::string_view text) {
  if (text.ends_with('=')) {  // padding, if any, must be complete
    if (text.size() % 4 != 0) return std::nullopt;
    text.remove_suffix(text.ends_with("==") ? 2 : 1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    group = group << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(group >> bits & 0xFF);
  }
  return out;
}

void append_hex(std::string_view bytes, std::string& out) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

std::optional<std::string> parse_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]), low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

bool append_timestamp(SecondsNanos time, std::string& out) {
  using namespace std::chrono;
  if (time.seconds < kSecondsMin || time.seconds > kSecondsMax || time.nanos < 0 ||
      time.nanos > kNanosMax) {
    return false;
  }
  const sys_seconds instant{seconds(time.seconds)};
  const auto day = floor<days>(instant);
  const year_month_day date(day);
  const hh_mm_ss clock(instant - day);
  std::array<char, 32> text;  // 2026-11-21T23:59:59.123456789Z
  char* at = put_digits(text.data(), static_cast<std::uint32_t>(static_cast<int>(date.year())), 4);
  const auto part = [&at](char before, auto value) {
    *at++ = before;
    at = put_digits(at, static_cast<std::uint32_t>(value), 2);
  };
  part('-', static_cast<unsigned>(date.month()));
  part('-', static_cast<unsigned>(date.day()));
  part('T', clock.hours().count());
  part(':', clock.minutes().count());
  part(':', clock.seconds().count());
  at = put_fraction(at, static_cast<std::uint32_t>(time.nanos));
  *at++ = 'Z';
  out.append(text.data(), at);
  return true;
}

std::optional<SecondsNanos> parse_timestamp(std::string_view text) {
  using namespace std::chrono;
  std::array<int, 6> part{};  // year, month, day, hour, minute, second
  static constexpr std::array<char, 6> kBefore = {0, '-', '-', 'T', ':', ':'};
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (i > 0 && !take(text, kBefore[i])) return std::nullopt;
    const auto value = take_digits(text, i == 0 ? 4 : 2);
    if (!value) return std::nullopt;
    part[i] = *value;
  }
  const auto nanos = take_fraction(text);
  if (!nanos) return std::nullopt;
  const auto zone = take_zone(text);
  const year_month_day date(year(part[0]), month(static_cast<unsigned>(part[1])),
                            day(static_cast<unsigned>(part[2])));
  if (!zone || !text.empty() || !date.ok()) return std::nullopt;
  if (part[3] > 23 || part[4] > 59 || part[5] > 59) return std::nullopt;
  const std::int64_t days_since = sys_days(date).time_since_epoch().count();
  const std::int64_t seconds =
      days_since * 86'400 + part[3] * 3'600 + part[4] * 60 + part[5] - *zone;
  if (seconds < kSecondsMin || seconds > kSecondsMax) return std::nullopt;
  return SecondsNanos{seconds, *nanos};
}

bool append_duration(SecondsNanos duration, std::string& out) {
  const auto [seconds, nanos] = duration;
  if (seconds < -kDurationSecondsMax || seconds > kDurationSecondsMax || nanos < -kNanosMax ||
      nanos > kNanosMax || (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0)) {
    return false;
  }
  if (seconds < 0 || nanos < 0) out += '-';
  out += std::to_string(seconds < 0 ? -seconds : seconds);
  append_fraction(nanos < 0 ? -nanos : nanos, out);
  out += 's';
  return true;
}

std::optional<SecondsNanos> parse_duration(std::string_view text) {
  const bool negative = take(text, '-');
  std::int64_t seconds = 0;
  if (text.empty() || !digit(text[0])) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || seconds > kDurationSecondsMax) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  const auto nanos = take_fraction(text);
  if (!nanos || text != "s") return std::nullopt;
  if (seconds == kDurationSecondsMax && *nanos != 0) return std::nullopt;
  return negative ? SecondsNanos{-seconds, -*nanos} : SecondsNanos{seconds, *nanos};
}

bool is_json_number(std::string_view text) {
  const auto digits = [&text] {
    std::size_t count = 0;
    for (; !text.empty() && digit(text[0]); ++count) text.remove_prefix(1);
    return count;
  };
  take(text, '-');
  if (text.starts_with('0') ? (text.remove_prefix(1), false) : digits() == 0) return false;
  if (take(text, '.') && digits() == 0) return false;
  if (take(text, 'e') || take(text, 'E')) {
    if (!take(text, '+')) take(text, '-');
    if (digits() == 0) return false;
  }
  return text.empty();
}

}  // namespace capstan::rpc
