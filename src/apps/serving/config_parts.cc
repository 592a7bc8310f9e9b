// Why this file exists: the values of options with an inner syntax that all servers have: addresses
// and log formats. Pure text in, value out.
#include <arpa/inet.h>

#include "apps/serving/config.h"
#include "apps/serving/text_parts.h"

namespace capstan::apps {
namespace {

bool is_ip(const std::string& text, int family) {
  unsigned char bytes[16];
  return ::inet_pton(family, text.c_str(), bytes) == 1;
}

}  // namespace

Result<core::Address> parse_endpoint(std::string_view text, std::uint16_t default_port) {
  const auto bad = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) +
                                            "' is no endpoint: " + std::string(why) +
                                            ". Write IP or IP:PORT, as in 127.0.0.1:10124 or "
                                            "[::]:10124");
  };
  std::string host;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return bad("']' is missing");
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && !port.starts_with(':')) return bad("':' is expected after ']'");
    if (!is_ip(host, AF_INET6)) return bad("the address is not IPv6");
  } else {
    const auto colon = text.find(':');
    host = text.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
    if (!is_ip(host, AF_INET)) return bad("the address is not IPv4");
  }
  std::uint16_t number = default_port;
  if (!port.empty() && !read_number(port.substr(1), number))
    return bad("the port is no number up to 65535");
  return core::Address::tcp(host, number);
}

Result<core::Address> parse_http_address(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  if (!text.starts_with(kUnix)) {
    TRY_SET(const auto address, parse_endpoint(text, 0));
    const bool named = text.find(':', text.starts_with('[') ? text.find(']') : 0) != text.npos;
    if (named) return address;
    return fail(Code::kInvalidArgument, "'" + std::string(text) +
                                            "' names no port. Write IP:PORT, as in 127.0.0.1:8080, "
                                            "HOST:PORT or unix:PATH; port 0 is any free one");
  }
  const std::string path(text.substr(kUnix.size()));
  if (path.empty() || path.size() > core::kSocketPathBytesMax) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) + "' has a path of " +
                                            std::to_string(path.size()) +
                                            " bytes. The path of a socket has 1 to " +
                                            std::to_string(core::kSocketPathBytesMax));
  }
  return core::Address::unix_path(path);
}

namespace {

// "HOST:PORT" with a letter in a host that could be a name; not an address with a mistake in it.
bool names_host(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || text.find(':', colon + 1) != text.npos) {
    return false;
  }
  const std::string_view host = text.substr(0, colon);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return std::ranges::any_of(host, is_letter) && std::ranges::all_of(host, [&](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
         });
}

}  // namespace

Result<std::vector<core::Address>> parse_http_addresses(
    std::string_view text,
    const std::function<Result<std::vector<std::string>>(const std::string&)>& resolve) {
  if (text.starts_with("unix:") || !names_host(text)) {
    TRY_SET(auto address, parse_http_address(text));
    return std::vector<core::Address>{std::move(address)};
  }
  const auto colon = text.find(':');
  std::uint16_t port = 0;
  if (!read_number(text.substr(colon + 1), port)) {
    return fail(Code::kInvalidArgument,
                "'" + std::string(text) + "' is no endpoint: the port is no number up to 65535. " +
                    "Write HOST:PORT, as in localhost:8080");
  }
  if (!resolve) return fail(Code::kUnavailable, "names are not resolved here");
  TRY_SET(const auto hosts, resolve(std::string(text.substr(0, colon))));
  std::vector<core::Address> addresses;
  for (const std::string& host : hosts) addresses.push_back(core::Address::tcp(host, port));
  return addresses;
}

Result<core::LogFormat> parse_log_format(std::string_view text) {
  core::LogFormat format;
  for (const std::string_view part : split(text, ',')) {
    using Style = core::LogFormat::Style;
    if (part == "default")
      format.style = Style::kDefault;
    else if (part == "compact")
      format.style = Style::kCompact;
    else if (part == "json")
      format.style = Style::kJson;
    else if (part == "color" || part == "nocolor")
      format.color = part == "color";
    else if (part == "date" || part == "nodate")
      format.date = part == "date";
    else if (part == "host" || part == "nohost")
      format.host = part == "host";
    else {
      return fail(Code::kInvalidArgument,
                  "Bad log format option: '" + std::string(part) +
                      "'. Use default, compact or json, [no]color, [no]date, [no]host");
    }
  }
  return format;
}

}  // namespace capstan::apps
