// Why this file exists: see size_text.h.
#include "base/size_text.h"

#include <array>
#include <cctype>
#include <cstdio>
#include <limits>
#include <optional>

namespace capstan {
namespace {

constexpr std::string_view kLetters = "KMGTPE";

std::unexpected<Error> bad_size(std::string_view text, std::string_view why) {
  return fail(Code::kInvalidArgument, "Bad size '" + std::string(text) + "': " + std::string(why) +
                                          "; write bytes or a unit, as in 64, 64MB, 64MiB, 1.5GiB");
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Bytes per unit; nothing when the unit is unknown or ambiguous.
std::optional<std::uint64_t> multiplier(std::string_view unit) {
  std::string upper;
  for (char c : unit) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper.empty() || upper == "B") return 1;
  const auto power = kLetters.find(upper.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = std::string_view(upper).substr(1);
  std::uint64_t step = 0;
  if (rest == "B") step = 1000;
  if (rest == "IB") step = 1024;
  if (step == 0) return std::nullopt;
  std::uint64_t value = 1;
  for (std::size_t i = 0; i <= power; ++i) value *= step;
  return value;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  const std::string_view trimmed = trim(text);
  std::size_t at = 0;
  std::uint64_t whole = 0;
  while (at < trimmed.size() && is_digit(trimmed[at])) {
    const auto digit = static_cast<std::uint64_t>(trimmed[at++] - '0');
    if (whole > (kMax - digit) / 10) return bad_size(text, "it is too large");
    whole = whole * 10 + digit;
  }
  if (at == 0) return bad_size(text, "it does not start with a number");

  std::uint64_t fraction = 0, scale = 1;
  if (at < trimmed.size() && trimmed[at] == '.') {
    const std::size_t first = ++at;
    for (; at < trimmed.size() && is_digit(trimmed[at]); ++at) {
      if (scale >= 1'000'000'000'000'000'000ULL) continue;  // further digits are below one byte
      fraction = fraction * 10 + static_cast<std::uint64_t>(trimmed[at] - '0');
      scale *= 10;
    }
    if (at == first) return bad_size(text, "digits are missing after the point");
  }
  const std::string_view unit = trim(trimmed.substr(at));
  const auto factor = multiplier(unit);
  if (!factor) {
    if (unit.size() == 1 &&
        kLetters.find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit.front())))) !=
            std::string_view::npos) {
      return bad_size(text, "'" + std::string(unit) + "' alone can mean 1000s or 1024s");
    }
    return bad_size(text, "unknown unit '" + std::string(unit) + "'");
  }
  if (whole > kMax / *factor) return bad_size(text, "it is too large");
  const auto part = static_cast<std::uint64_t>(static_cast<long double>(fraction) *
                                               static_cast<long double>(*factor) /
                                               static_cast<long double>(scale));
  if (whole * *factor > kMax - part) return bad_size(text, "it is too large");
  return whole * *factor + part;
}

std::string format_size(std::uint64_t bytes, SizeUnits units) {
  if (units == SizeUnits::kBytes) return std::to_string(bytes);
  const std::uint64_t step = units == SizeUnits::kBinary ? 1024 : 1000;
  if (bytes < step) return std::to_string(bytes) + " B";
  std::uint64_t unit = step;
  std::size_t power = 0;
  while (power + 1 < kLetters.size() && bytes / unit >= step) {
    unit *= step;
    ++power;
  }
  std::array<char, 48> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.2f",
                static_cast<double>(bytes) / static_cast<double>(unit));
  std::string text = std::string(buffer.data()) + " ";
  if (units == SizeUnits::kBinary) return text + kLetters[power] + "iB";
  return text + (power == 0 ? 'k' : kLetters[power]) + "B";
}

}  // namespace capstan
