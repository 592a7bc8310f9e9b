// Why this file exists: JSON-RPC on a stream has no delimiters: where a text ends is known only by
// reading it as JSON. The scanner does that byte by byte, so that a text cut anywhere costs no more
// than a whole one, and refuses everything that strict RFC 8259 refuses (jsonrpc section A.3):
// comments, trailing commas, raw control characters, unknown escapes, lone surrogates, overlong or
// invalid UTF-8, numbers like 01 or .5, too deep nesting, too many values.
// Thread-safety: plain object.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace capstan::wire::jsonrpc {

class JsonScanner {
 public:
  struct Limits {
    std::size_t bytes = 0;   // of one text, without the whitespace before it
    std::size_t values = 0;  // scalars and member names count one, containers two
    std::size_t depth = 0;   // containers in containers; at most kDepthMax
  };
  static constexpr std::size_t kDepthMax = 128;
  enum class Step : std::uint8_t { kMore, kComplete, kMalformed, kTooLong };

  explicit JsonScanner(const Limits& limits) : limits_(limits) {}

  // Reads on in a text, from its first byte (no whitespace before it) to its last. `used` is how
  // many bytes belong to it. kMore: all of them, and it goes on. After kComplete the next byte
  // starts a new text; after kMalformed and kTooLong the scanner is of no further use.
  Step scan(std::string_view bytes, std::size_t& used);
  bool inside() const { return length_ != 0; }
  // A number outside of any container, complete unless more digits follow.
  bool at_end_of_number() const;

 private:
  enum class State : std::uint8_t {
    kValue,       // a value must follow
    kValueOrEnd,  // after [
    kNameOrEnd,   // after {
    kName,        // after , in an object
    kColon,       // after a name
    kAfterValue,  // , or the end of the container
    kText,        // in a string
    kEscape,      // after a backslash
    kHex,         // in \uXXXX
    kLowEscape,   // after a high surrogate: a backslash must follow
    kLowU,        // then a u
    kUtf8,        // within a character of several bytes
    kMinus,       // in a number
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kLiteral,  // in true, false, null
    kDone,
    kBad,
  };

  static bool ends_number(State state);
  State next(std::uint8_t c);
  State begin_value(std::uint8_t c);
  State in_number(std::uint8_t c);
  State in_hex(std::uint8_t c);
  State after_escape(std::uint8_t c);
  State begin_utf8(std::uint8_t c);
  State between(std::uint8_t c);
  State open(bool object);
  State close(bool object);
  State count(State state);
  State end_of_value() const { return depth_ == 0 ? State::kDone : State::kAfterValue; }
  State end_of_text() const { return in_name_ ? State::kColon : end_of_value(); }

  Limits limits_;
  State state_ = State::kValue;
  std::size_t length_ = 0, values_ = 0, depth_ = 0;
  std::bitset<kDepthMax> objects_;   // by depth: an object, not an array
  bool in_name_ = false;             // the string is a member's name
  bool low_wanted_ = false;          // the escape is the second half of a pair
  std::uint32_t unit_ = 0;           // of \uXXXX
  unsigned left_ = 0;                // digits of \u, bytes of a character
  std::uint8_t low_ = 0, high_ = 0;  // bounds of the character's next byte
  std::string_view literal_;         // what is left of true, false, null
};

}  // namespace capstan::wire::jsonrpc
