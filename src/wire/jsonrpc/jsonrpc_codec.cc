// Why this file exists: see jsonrpc_codec.h. The scanner has seen every byte before the envelope is
// read, so what walks here need not doubt the grammar, only the meaning.
#include "wire/jsonrpc/jsonrpc_codec.h"

#include <charconv>
#include <utility>

#include "base/assert.h"

namespace capstan::wire::jsonrpc {

namespace {

constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::size_t kBufferKept = 16U << 10;

void skip_spaces(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
}

// The string at the front, with its quotes.
std::string_view take_string(std::string_view& text) {
  std::size_t end = 1;
  while (text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  const auto taken = text.substr(0, end + 1);
  text.remove_prefix(taken.size());
  return taken;
}

// The value at the front.
std::string_view take_value(std::string_view& text) {
  const std::string_view whole = text;
  if (text.front() == '"') return take_string(text);
  if (text.front() != '{' && text.front() != '[') {
    const auto end = std::min(text.find_first_of(" \t\r\n,]}"), text.size());
    text.remove_prefix(end);
    return whole.substr(0, end);
  }
  std::size_t depth = 0;
  do {
    const auto at = text.find_first_of("\"{}[]");
    CAPSTAN_ASSERT(at != std::string_view::npos);
    text.remove_prefix(at);
    if (text.front() == '"') {
      take_string(text);
      continue;
    }
    text.front() == '{' || text.front() == '[' ? ++depth : --depth;
    text.remove_prefix(1);
  } while (depth != 0);
  return whole.substr(0, whole.size() - text.size());
}

// Calls visit(quoted name, value) for each member until it answers false.
template <class Visit>
bool each_member(std::string_view object, Visit visit) {
  object.remove_prefix(1);
  while (true) {
    skip_spaces(object);
    if (object.front() == '}') return true;
    if (object.front() == ',') {
      object.remove_prefix(1);
      skip_spaces(object);
    }
    const auto name = take_string(object);
    skip_spaces(object);
    object.remove_prefix(1);  // the colon
    skip_spaces(object);
    if (!visit(name, take_value(object))) return false;
  }
}

template <class Visit>
void each_element(std::string_view array, Visit visit) {
  array.remove_prefix(1);
  while (true) {
    skip_spaces(array);
    if (array.front() == ']') return;
    if (array.front() == ',') {
      array.remove_prefix(1);
      skip_spaces(array);
    }
    visit(take_value(array));
  }
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80 | (code >> shift & 0x3F));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    tail(12), tail(6), tail(0);
  }
}

std::uint32_t take_hex(std::string_view& text) {
  std::uint32_t unit = 0;
  std::from_chars(text.data(), text.data() + 4, unit, 16);
  text.remove_prefix(4);
  return unit;
}

// What follows a backslash.
void take_escape(std::string_view& text, std::string& out) {
  const char c = text.front();
  text.remove_prefix(1);
  switch (c) {
    case 'b': out += '\b'; return;
    case 'f': out += '\f'; return;
    case 'n': out += '\n'; return;
    case 'r': out += '\r'; return;
    case 't': out += '\t'; return;
    case 'u': {
      std::uint32_t code = take_hex(text);
      if (code >= 0xD800 && code <= 0xDBFF) {
        text.remove_prefix(2);
        code = 0x10000 + ((code - 0xD800) << 10) + (take_hex(text) - 0xDC00);
      }
      return append_utf8(code, out);
    }
    default: out += c;
  }
}

bool is_string(std::string_view value) {
  return value.front() == '"';
}

// False for what cannot be an id.
bool read_id(std::string_view value, Id& into) {
  const char c = value.front();
  if (c == '"') {
    into = {Id::Kind::kText, decode_json_string(value)};
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    into = {Id::Kind::kNumber, std::string(value)};
  } else {
    return c == 'n';
  }
  return true;
}

// The members of a request, by position in `seen`; -1 for any other name.
int member_index(std::string_view quoted) {
  constexpr std::string_view kNames[] = {"jsonrpc", "method", "id", "params"};
  std::string decoded;
  std::string_view name = quoted.substr(1, quoted.size() - 2);
  if (name.find('\\') != std::string_view::npos) name = decoded = decode_json_string(quoted);
  for (int i = 0; i < 4; ++i) {
    if (kNames[i] == name) return i;
  }
  return -1;
}

Request read_request(std::string_view text) {
  Request request;
  Id id;
  if (text.front() != '{') return request;
  std::string_view members[4];
  const bool known = each_member(text, [&](std::string_view name, std::string_view value) {
    const int index = member_index(name);
    if (index < 0 || !members[index].empty()) return false;
    members[index] = value;
    return true;
  });
  const auto& [version, method, id_text, params] = members;
  if (!known) return request;
  if (!version.empty() && (!is_string(version) || decode_json_string(version) != "2.0")) {
    return request;
  }
  if (method.empty() || !is_string(method)) return request;
  if (!id_text.empty() && !read_id(id_text, id)) return request;
  request.method = decode_json_string(method);
  request.id = std::move(id);
  // Only this mistake is answered under the request's own id (jsonrpc section A.4, row 9).
  const char first = params.empty() ? 'n' : params.front();
  request.valid = first == 'n' || first == '{' || first == '[';
  if (request.valid && first != 'n') request.params = params;
  return request;
}

bool read_error(std::string_view text, ReplyView& into) {
  if (text.front() != '{') return false;
  bool code = false, message = false;
  const bool sound = each_member(text, [&](std::string_view name, std::string_view value) {
    if (name == "\"code\"") {
      const auto end = value.data() + value.size();
      const auto read = std::from_chars(value.data(), end, into.code);
      code = read.ec == std::errc() && read.ptr == end;
    } else if (name == "\"message\"" && is_string(value)) {
      into.message = decode_json_string(value);
      message = true;
    }
    return true;
  });
  return sound && code && message;
}

std::optional<ReplyView> read_reply(std::string_view text) {
  ReplyView reply;
  if (text.front() != '{') return std::nullopt;
  const bool sound = each_member(text, [&](std::string_view name, std::string_view value) {
    if (name == "\"jsonrpc\"") return value == "\"2.0\"";
    if (name == "\"id\"") return read_id(value, reply.id);
    if (name == "\"result\"") reply.result = value;
    if (name == "\"error\"") return reply.failed = read_error(value, reply);
    return true;
  });
  if (!sound || reply.failed == !reply.result.empty()) return std::nullopt;
  return reply;
}

}  // namespace

std::string decode_json_string(std::string_view quoted) {
  std::string out;
  for (auto rest = quoted.substr(1, quoted.size() - 2); !rest.empty();) {
    const auto plain = std::min(rest.find('\\'), rest.size());
    out += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    take_escape(rest, out);
  }
  return out;
}

void read_requests(std::string_view text, Requests& into) {
  into.batch = text.front() == '[';
  into.all.clear();
  if (!into.batch) {
    into.all.push_back(read_request(text));
    return;
  }
  each_element(text, [&](std::string_view element) { into.all.push_back(read_request(element)); });
  if (!into.all.empty()) return;
  into.batch = false;
  into.all.emplace_back();
}

std::optional<std::vector<ReplyView>> read_replies(std::string_view text) {
  std::vector<ReplyView> replies;
  bool sound = true;
  const auto add = [&](std::string_view one) {
    auto reply = read_reply(one);
    sound = sound && reply;
    if (sound) replies.push_back(*std::move(reply));
  };
  text.front() == '[' ? each_element(text, add) : add(text);
  if (!sound || replies.empty()) return std::nullopt;
  return replies;
}

TextDecoder::TextDecoder(const JsonScanner::Limits& limits) : scanner_(limits) {}

TextDecoder::Event TextDecoder::next(std::string_view& input) {
  if (std::exchange(spent_, false)) {
    buffer_.clear();
    if (buffer_.capacity() > kBufferKept) buffer_.shrink_to_fit();
  }
  text_ = {};
  while (true) {
    if (!scanner_.inside()) skip_spaces(input);
    if (input.empty()) return Event::kNeedMore;
    std::size_t used = 0;
    const auto step = scanner_.scan(input, used);
    const auto part = input.substr(0, used);
    input.remove_prefix(used);
    switch (step) {
      case JsonScanner::Step::kMalformed: return Event::kMalformed;
      case JsonScanner::Step::kTooLong: return Event::kTooLong;
      case JsonScanner::Step::kMore:
        if (handed_out_) return Event::kNeedMore;
        buffer_ += part;
        if (!scanner_.at_end_of_number()) return Event::kNeedMore;
        handed_out_ = true;
        return finish({});
      case JsonScanner::Step::kComplete:
        if (std::exchange(handed_out_, false)) continue;
        return finish(part);
    }
  }
}

TextDecoder::Event TextDecoder::finish(std::string_view part) {
  if (buffer_.empty()) {
    text_ = part;  // the whole text in the caller's memory
    return Event::kText;
  }
  buffer_ += part;
  text_ = buffer_;
  spent_ = true;
  return Event::kText;
}

}  // namespace capstan::wire::jsonrpc
