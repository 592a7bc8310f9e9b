// Why this file exists: UUIDs as values, with the text forms clients send (RFC 4122 hyphenated,
// simple, braced, urn) and the one form we print (hyphenated lower case). Random bytes come from
// the caller (core/env.h), never from here.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan {

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  static std::optional<Uuid> parse(std::string_view text);
  // Version 4, variant 1, from 16 random bytes.
  static Uuid from_random(std::array<std::uint8_t, 16> random);
  // Name-based (SHA-1, version 5) for things that need a stable UUID across restarts.
  static Uuid from_name(std::string_view name);
  bool is_nil() const { return *this == Uuid{}; }
  std::string text() const;
  void append_to(std::string& out) const;  // the same, to what is there
  auto operator<=>(const Uuid&) const = default;
};

}  // namespace capstan
