// Why this file exists: the state machine behind json_scanner.h. UTF-8 follows the table of RFC
// 3629 section 4, escapes RFC 8259 section 7.
#include "wire/jsonrpc/json_scanner.h"

#include "base/assert.h"

namespace capstan::wire::jsonrpc {

namespace {

bool is_space(std::uint8_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(std::uint8_t c) {
  return c >= '0' && c <= '9';
}
// What stands for itself within a string.
bool is_plain(std::uint8_t c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

}  // namespace

bool JsonScanner::ends_number(State state) {
  return state == State::kZero || state == State::kDigits || state == State::kFraction ||
         state == State::kExponentDigits;
}

bool JsonScanner::at_end_of_number() const {
  return length_ != 0 && depth_ == 0 && ends_number(state_);
}

JsonScanner::Step JsonScanner::scan(std::string_view bytes, std::size_t& used) {
  used = 0;
  const auto finish = [&] {
    *this = JsonScanner(limits_);
    return Step::kComplete;
  };
  for (; used < bytes.size(); ++used) {
    const auto c = static_cast<std::uint8_t>(bytes[used]);
    if (state_ == State::kText && is_plain(c)) {  // the common case, kept short
      if (++length_ == limits_.bytes) return ++used, Step::kTooLong;
      continue;
    }
    // A number ends with the byte after it, which is not its own.
    if (depth_ == 0 && ends_number(state_) && in_number(c) == State::kBad) {
      const bool glued = c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-' || is_digit(c);
      if (glued) return Step::kMalformed;
      return finish();
    }
    state_ = next(c);
    if (state_ == State::kBad) return Step::kMalformed;
    ++length_;
    if (state_ == State::kDone) return ++used, finish();
    if (length_ == limits_.bytes) return ++used, Step::kTooLong;
  }
  return Step::kMore;
}

JsonScanner::State JsonScanner::next(std::uint8_t c) {
  switch (state_) {
    case State::kText:
      if (is_plain(c)) return State::kText;
      if (c == '"') return end_of_text();
      if (c == '\\') return State::kEscape;
      return begin_utf8(c);
    case State::kUtf8:
      if (c < low_ || c > high_) return State::kBad;
      low_ = 0x80, high_ = 0xBF;
      return --left_ == 0 ? State::kText : State::kUtf8;
    case State::kEscape: return after_escape(c);
    case State::kHex: return in_hex(c);
    case State::kLowEscape: return c == '\\' ? State::kLowU : State::kBad;
    case State::kLowU: low_wanted_ = true; return c == 'u' ? after_escape(c) : State::kBad;
    case State::kLiteral:
      if (c != static_cast<std::uint8_t>(literal_.front())) return State::kBad;
      literal_.remove_prefix(1);
      return literal_.empty() ? end_of_value() : State::kLiteral;
    case State::kMinus:
    case State::kZero:
    case State::kDigits:
    case State::kPoint:
    case State::kFraction:
    case State::kExponent:
    case State::kExponentSign:
    case State::kExponentDigits: {
      const State number = in_number(c);
      if (number != State::kBad || !ends_number(state_)) return number;
      state_ = State::kAfterValue;  // only in containers: scan() saw to the others
      return between(c);
    }
    default: return between(c);
  }
}

// Whitespace and punctuation.
JsonScanner::State JsonScanner::between(std::uint8_t c) {
  if (is_space(c)) return state_;
  switch (state_) {
    case State::kValueOrEnd: return c == ']' ? close(false) : begin_value(c);
    case State::kValue: return begin_value(c);
    case State::kNameOrEnd:
    case State::kName:
      if (c == '}' && state_ == State::kNameOrEnd) return close(true);
      if (c != '"') return State::kBad;
      in_name_ = true;
      return count(State::kText);
    case State::kColon: in_name_ = false; return c == ':' ? State::kValue : State::kBad;
    case State::kAfterValue:
      if (c == ',') return objects_[depth_ - 1] ? State::kName : State::kValue;
      if (c == '}' || c == ']') return close(c == '}');
      return State::kBad;
    default: return State::kBad;
  }
}

JsonScanner::State JsonScanner::begin_value(std::uint8_t c) {
  if (c == '{' || c == '[') return open(c == '{');
  if (c == '"') return count(State::kText);
  if (c == '-') return count(State::kMinus);
  if (c == '0') return count(State::kZero);
  if (is_digit(c)) return count(State::kDigits);
  if (c == 't') {
    literal_ = "rue";
  } else if (c == 'f') {
    literal_ = "alse";
  } else if (c == 'n') {
    literal_ = "ull";
  } else {
    return State::kBad;
  }
  return count(State::kLiteral);
}

JsonScanner::State JsonScanner::in_number(std::uint8_t c) {
  switch (state_) {
    case State::kMinus:
      if (c == '0') return State::kZero;
      return is_digit(c) ? State::kDigits : State::kBad;
    case State::kDigits:
      if (is_digit(c)) return State::kDigits;
      [[fallthrough]];
    case State::kZero:
      if (c == '.') return State::kPoint;
      return c == 'e' || c == 'E' ? State::kExponent : State::kBad;
    case State::kPoint: return is_digit(c) ? State::kFraction : State::kBad;
    case State::kFraction:
      if (is_digit(c)) return State::kFraction;
      return c == 'e' || c == 'E' ? State::kExponent : State::kBad;
    case State::kExponent:
      if (c == '+' || c == '-') return State::kExponentSign;
      [[fallthrough]];
    case State::kExponentSign:
    case State::kExponentDigits: return is_digit(c) ? State::kExponentDigits : State::kBad;
    default: return State::kBad;
  }
}

JsonScanner::State JsonScanner::after_escape(std::uint8_t c) {
  constexpr std::string_view kSimple = "\"\\/bfnrt";
  if (c == 'u') {
    unit_ = 0;
    left_ = 4;
    return State::kHex;
  }
  return kSimple.find(static_cast<char>(c)) != std::string_view::npos ? State::kText : State::kBad;
}

JsonScanner::State JsonScanner::in_hex(std::uint8_t c) {
  const std::uint8_t letter = c | 0x20;
  if (!is_digit(c) && (letter < 'a' || letter > 'f')) return State::kBad;
  unit_ = unit_ << 4 | static_cast<std::uint32_t>(is_digit(c) ? c - '0' : letter - 'a' + 10);
  if (--left_ != 0) return State::kHex;
  const bool low = unit_ >= 0xDC00 && unit_ <= 0xDFFF;
  if (low != low_wanted_) return State::kBad;
  low_wanted_ = false;
  return unit_ >= 0xD800 && unit_ <= 0xDBFF ? State::kLowEscape : State::kText;
}

JsonScanner::State JsonScanner::begin_utf8(std::uint8_t c) {
  low_ = 0x80, high_ = 0xBF;
  if (c >= 0xC2 && c <= 0xDF) {
    left_ = 1;
  } else if (c >= 0xE0 && c <= 0xEF) {
    left_ = 2;
    if (c == 0xE0) low_ = 0xA0;
    if (c == 0xED) high_ = 0x9F;
  } else if (c >= 0xF0 && c <= 0xF4) {
    left_ = 3;
    if (c == 0xF0) low_ = 0x90;
    if (c == 0xF4) high_ = 0x8F;
  } else {
    return State::kBad;
  }
  return State::kUtf8;
}

JsonScanner::State JsonScanner::count(State state) {
  return ++values_ > limits_.values ? State::kBad : state;
}

JsonScanner::State JsonScanner::open(bool object) {
  CAPSTAN_ASSERT(limits_.depth <= kDepthMax);
  if (depth_ == limits_.depth || count(State::kValue) == State::kBad) return State::kBad;
  objects_[depth_++] = object;
  return object ? State::kNameOrEnd : State::kValueOrEnd;
}

JsonScanner::State JsonScanner::close(bool object) {
  if (objects_[depth_ - 1] != object || count(State::kValue) == State::kBad) return State::kBad;
  --depth_;
  return end_of_value();
}

}  // namespace capstan::wire::jsonrpc
