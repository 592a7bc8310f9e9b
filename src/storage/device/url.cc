// Why this file exists: see url.h. The text is first made acceptable to the strict parser (bytes
// that a URL cannot hold are percent-encoded), then parsed, then copied into plain values.
#include "storage/device/url.h"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>

#include "base/utf8.h"

namespace capstan::storage {
namespace {

bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool allowed_in_url(char c) {
  return is_alpha(c) || is_digit(c) ||
         std::string_view("-._~:/?@!$&'()*+,;=").find(c) != std::string_view::npos;
}

void append_encoded(std::string& out, char c) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

// Where the authority ends; 0 when there is none. Brackets are legal only before it.
std::size_t authority_end(std::string_view text) {
  const auto slashes = text.find("://");
  if (slashes == std::string_view::npos) return 0;
  return std::min(text.find_first_of("/?#", slashes + 3), text.size());
}

Result<std::string> made_acceptable(std::string_view text) {
  const std::size_t host_end = authority_end(text);
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      return fail(Code::kInvalidArgument, "a control character at byte " + std::to_string(i));
    }
    if (c == '#') {
      return fail(Code::kInvalidArgument,
                  "a fragment ('#') means nothing here; write %23 for a "
                  "'#' that belongs to the name");
    }
    if (c == '%') {
      const bool complete = i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2]);
      if (complete && text[i + 1] == '0' && text[i + 2] == '0') {
        return fail(Code::kInvalidArgument, "an encoded NUL byte (%00)");
      }
      out += complete ? "%" : "%25";
    } else if (allowed_in_url(c) || (i < host_end && (c == '[' || c == ']'))) {
      out += c;
    } else {
      append_encoded(out, c);
    }
  }
  return out;
}

// RFC 3986 section 5.2.4 on decoded segments; keeps empty segments and a trailing slash.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  const bool absolute = path.starts_with('/');
  if (absolute) path.remove_prefix(1);
  while (true) {
    const auto slash = path.find('/');
    const auto segment = path.substr(0, slash);
    const bool last = slash == std::string_view::npos;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (segment != ".") {
      kept.push_back(segment);
    }
    if (last) {
      if (segment == "." || segment == "..") kept.emplace_back();
      break;
    }
    path.remove_prefix(slash + 1);
  }
  std::string out;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i > 0 || absolute) out += '/';
    out += kept[i];
  }
  return out;
}

// Names end up in messages whose texts are UTF-8.
Result<void> check_text(const char* what, std::string_view text) {
  if (is_utf8({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()})) return {};
  return fail(Code::kInvalidArgument, std::string("the ") + what +
                                          " is not UTF-8 once its %xx are decoded; encode its "
                                          "characters as UTF-8, as in %C3%BC");
}

template <class View>
std::string copied(const View& view) {
  return {view.data(), view.size()};
}

}  // namespace

bool has_scheme(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos || !is_alpha(text[0])) return false;
  return std::ranges::all_of(text.substr(0, colon), [](char c) {
    return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

std::string without_user_info(std::string_view text) {
  const auto slashes = text.find("://");
  const auto at = text.rfind('@');
  if (slashes == std::string_view::npos || at == std::string_view::npos) return std::string(text);
  const auto start = slashes + 3;
  if (at < start || text[start] == '/') return std::string(text);  // no host, and so no user
  return std::string(text.substr(0, start)) + "\xE2\x80\xA6" + std::string(text.substr(at));
}

Result<Url> parse_url(std::string_view text) {
  if (!has_scheme(text)) {
    return fail(Code::kInvalidArgument,
                "no scheme; a device URI starts with one, as in "
                "aio:///dev/sdb or malloc:///m0?size_mb=64");
  }
  TRY_SET(const std::string acceptable, made_acceptable(text));
  const auto parsed = boost::urls::parse_uri(acceptable);
  if (!parsed) return fail(Code::kInvalidArgument, "not a URL: " + parsed.error().message());
  const boost::urls::url_view& view = *parsed;

  if (view.has_userinfo()) {
    return fail(Code::kInvalidArgument,
                "no device takes a user or a password; write the host without what ends in '@'");
  }

  Url url;
  url.scheme = copied(view.scheme());
  std::ranges::transform(url.scheme, url.scheme.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  url.authority = copied(view.encoded_authority());
  url.host = view.host_address();
  TRY(check_text("host", url.host));
  if (view.has_port() && !view.port().empty()) {
    // Boost.URL 1.81 keeps only 16 bits of some longer numbers.
    const std::string digits = copied(view.port());
    std::uint16_t port = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (port == 0 || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) {
      return fail(Code::kInvalidArgument, "port " + digits + " is not in 1..65535");
    }
    url.port = port;
  }
  url.encoded_path = copied(view.encoded_path());
  // Boost.URL 1.81 lets "h:x/n" pass as host "h" and path "x/n".
  if (view.has_authority() && !url.encoded_path.empty() && url.encoded_path[0] != '/') {
    return fail(Code::kInvalidArgument, "not a URL: no valid host and port stand before the path");
  }
  url.path = without_dots(view.path());
  TRY(check_text("path", url.path));
  for (const auto& param : view.params()) {
    if (param.key.empty() && param.value.empty()) continue;  // "?" or "&&"
    TRY(check_text("query", param.key));
    TRY(check_text("query", param.value));
    url.params.push_back({param.key, param.value});
  }
  return url;
}

}  // namespace capstan::storage
