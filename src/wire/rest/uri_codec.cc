// Why this file exists: see uri_codec.h.
#include "wire/rest/uri_codec.h"

#include <algorithm>
#include <cctype>

#include "wire/rest/limits.h"

namespace capstan::wire::rest {

namespace {

int hex_digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool is_unreserved(unsigned char byte) {
  return std::isalnum(byte) != 0 || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

void append_escaped(unsigned char byte, std::string& out) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

// "http://host:1/path?query" to "/path?query"; nothing when it is no absolute URI.
std::optional<std::string_view> without_authority(std::string_view target) {
  const auto colon = target.find("://");
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  for (const unsigned char byte : target.substr(0, colon)) {
    if (std::isalnum(byte) == 0 && byte != '+' && byte != '-' && byte != '.') return std::nullopt;
  }
  target.remove_prefix(colon + 3);
  const auto end = target.find_first_of("/?");
  return end == std::string_view::npos ? std::string_view() : target.substr(end);
}

// Dots first, as RFC 3986 section 5.2.4 has it: ".." takes an empty segment away, too.
void split_path(std::string_view path, std::vector<std::string>& segments) {
  if (path.starts_with('/')) path.remove_prefix(1);
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto raw = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    std::string segment = percent_decode(raw, false);
    if (segment == ".") continue;
    if (segment == "..") {
      if (!segments.empty()) segments.pop_back();
      continue;
    }
    segments.push_back(std::move(segment));
  }
  std::erase(segments, "");
}

}  // namespace

namespace {

// The bytes that a text stands for, and where in it each of them begins.
struct Decoded {
  std::string bytes;
  std::vector<std::size_t> begins;  // one more than bytes: the text's end
};

Decoded decode_with_places(std::string_view text) {
  Decoded out;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view piece = text.substr(at, 3);
    const std::string byte = percent_decode(piece, false);
    const bool escape = piece.size() == 3 && byte.size() == 1;
    out.begins.push_back(at);
    out.bytes += escape ? byte[0] : text[at];
    at += escape ? 3 : 1;
  }
  out.begins.push_back(text.size());
  return out;
}

}  // namespace

std::string shown_target(std::string_view target) {
  const auto question = target.find('?');
  const std::string_view path = target.substr(0, question);
  std::string query(question == target.npos ? std::string_view() : target.substr(question));
  if (percent_decode(query, false).contains('@')) query = "?...";
  const Decoded decoded = decode_with_places(path);
  const auto end = decoded.bytes.rfind('@');
  if (end == std::string::npos) return std::string(path) + query;
  // Behind the scheme; without one the segment may be a host's as well.
  const auto slashes = decoded.bytes.find("//");
  const auto slash = decoded.bytes.rfind('/', end);
  const std::size_t from = slashes < end ? slashes + 2 : slash == std::string::npos ? 0 : slash + 1;
  return std::string(path.substr(0, decoded.begins[from])) + "..." +
         std::string(path.substr(decoded.begins[end])) + query;
}

std::string percent_decode(std::string_view text, bool plus) {
  if (text.find('%') == text.npos && !plus) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%' && at + 2 < text.size()) {
      const int high = hex_digit(text[at + 1]), low = hex_digit(text[at + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high << 4 | low);
        at += 2;
        continue;
      }
    }
    out += plus && text[at] == '+' ? ' ' : text[at];
  }
  return out;
}

QueryFields parse_query(std::string_view query) {
  QueryFields fields;
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto field = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (field.empty()) continue;
    const auto equals = field.find('=');
    const auto value =
        equals == std::string_view::npos ? std::string_view() : field.substr(equals + 1);
    fields.emplace_back(percent_decode(field.substr(0, equals), true), percent_decode(value, true));
    if (fields.size() > limits::kRestQueryFields) break;
  }
  return fields;
}

Result<Target> parse_target(std::string_view target) {
  Target parsed;
  if (target == "*") return parsed;
  if (!target.starts_with('/')) {
    const auto rest = without_authority(target);
    if (!rest) {
      return fail(Code::kInvalidArgument, "the target of the request is neither a path nor a URI");
    }
    target = *rest;
  }
  const auto question = target.find('?');
  const auto path = target.substr(0, question);
  const auto slashes = static_cast<std::size_t>(std::ranges::count(path, '/'));
  parsed.segments.reserve(std::min(slashes + 1, limits::kRestPathSegments));
  split_path(path, parsed.segments);
  if (question == std::string_view::npos) return parsed;
  parsed.query = parse_query(target.substr(question + 1));
  if (parsed.query.size() <= limits::kRestQueryFields) return parsed;
  return fail(Code::kInvalidArgument,
              "the query has more than " + std::to_string(limits::kRestQueryFields) + " fields");
}

std::optional<std::string> encode_segment(std::string_view segment) {
  if (segment.empty() || segment == "." || segment == "..") return std::nullopt;
  constexpr std::string_view kAlsoPlain = "!$&'()*+,;=:@";
  std::string out;
  for (const char byte : segment) {
    if (is_unreserved(static_cast<unsigned char>(byte)) ||
        kAlsoPlain.find(byte) != std::string_view::npos) {
      out += byte;
    } else {
      append_escaped(static_cast<unsigned char>(byte), out);
    }
  }
  return out;
}

std::string encode_query(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    if (is_unreserved(static_cast<unsigned char>(byte)) || byte == '/' || byte == ':') {
      out += byte;
    } else {
      append_escaped(static_cast<unsigned char>(byte), out);
    }
  }
  return out;
}

}  // namespace capstan::wire::rest
