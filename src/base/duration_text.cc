// Why this file exists: see duration_text.h.
#include "base/duration_text.h"

#include <limits>

namespace capstan {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t nanos;
};
constexpr std::uint64_t kSecondNanos = 1'000'000'000;
constexpr Unit kUnits[] = {
    {"ns", 1},
    {"nsec", 1},
    {"us", 1000},
    {"usec", 1000},
    {"ms", 1'000'000},
    {"msec", 1'000'000},
    {"s", kSecondNanos},
    {"sec", kSecondNanos},
    {"secs", kSecondNanos},
    {"second", kSecondNanos},
    {"seconds", kSecondNanos},
    {"m", 60 * kSecondNanos},
    {"min", 60 * kSecondNanos},
    {"mins", 60 * kSecondNanos},
    {"minute", 60 * kSecondNanos},
    {"minutes", 60 * kSecondNanos},
    {"h", 3600 * kSecondNanos},
    {"hr", 3600 * kSecondNanos},
    {"hrs", 3600 * kSecondNanos},
    {"hour", 3600 * kSecondNanos},
    {"hours", 3600 * kSecondNanos},
    {"d", 86400 * kSecondNanos},
    {"day", 86400 * kSecondNanos},
    {"days", 86400 * kSecondNanos},
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::unexpected<Error> bad_duration(std::string_view text, std::string_view why) {
  return fail(Code::kInvalidArgument, "bad duration '" + std::string(text) +
                                          "': " + std::string(why) +
                                          "; write a number with a unit, as in 10s, 500ms, 1m 30s");
}

}  // namespace

Result<std::uint64_t> parse_duration(std::string_view text) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  if (text == "0") return 0;
  std::uint64_t total = 0;
  bool any = false;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    if (!is_digit(text[at])) return bad_duration(text, "a number is expected");
    std::uint64_t number = 0;
    while (at < text.size() && is_digit(text[at])) {
      const auto digit = static_cast<std::uint64_t>(text[at++] - '0');
      if (number > (kMax - digit) / 10) return bad_duration(text, "it is too large");
      number = number * 10 + digit;
    }
    while (at < text.size() && text[at] == ' ') ++at;
    const std::size_t first = at;
    while (at < text.size() && is_letter(text[at])) ++at;
    const std::string_view name = text.substr(first, at - first);
    if (name.empty()) return bad_duration(text, "the unit is missing");
    std::uint64_t nanos = 0;
    for (const Unit& unit : kUnits) {
      if (unit.name == name) nanos = unit.nanos;
    }
    if (nanos == 0) return bad_duration(text, "unknown unit '" + std::string(name) + "'");
    if (number > (kMax - total) / nanos) return bad_duration(text, "it is too large");
    total += number * nanos;
    any = true;
  }
  if (!any) return bad_duration(text, "it is empty");
  return total;
}

std::string format_duration(std::uint64_t nanos) {
  constexpr Unit kShown[] = {{"d", 86400 * kSecondNanos}, {"h", 3600 * kSecondNanos},
                             {"m", 60 * kSecondNanos},    {"s", kSecondNanos},
                             {"ms", 1'000'000},           {"us", 1000}};
  for (const Unit& unit : kShown) {
    if (nanos != 0 && nanos % unit.nanos == 0) {
      return std::to_string(nanos / unit.nanos) + std::string(unit.name);
    }
  }
  return nanos == 0 ? "0s" : std::to_string(nanos) + "ns";
}

}  // namespace capstan
