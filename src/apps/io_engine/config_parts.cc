// Why this file exists: the values of options that have an inner syntax: endpoints, core masks and
// lists, log formats, retry delays. Pure text in, value out.
#include <arpa/inet.h>

#include <algorithm>
#include <bitset>
#include <charconv>

#include "apps/io_engine/config.h"
#include "base/limits.h"

namespace capstan::apps {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& number, int base = 10) {
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number, base);
  return !text.empty() && read.ec == std::errc() && read.ptr == end;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text = text.substr(at + 1);
  }
}

bool is_ip(const std::string& text, int family) {
  unsigned char bytes[16];
  return ::inet_pton(family, text.c_str(), bytes) == 1;
}

Result<unsigned> checked_count(std::size_t count, std::string_view text) {
  if (count == 0) {
    return fail(Code::kInvalidArgument,
                "'" + std::string(text) + "' names no core. Name at least core 0");
  }
  if (count > limits::kReactorsMax) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) + "' names more than " +
                                            std::to_string(limits::kReactorsMax) + " cores");
  }
  return static_cast<unsigned>(count);
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
  if (!port.empty() && !read_number(port.substr(1), number)) return bad("the port is no number");
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
                                            "or unix:PATH; port 0 is any free one");
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

Result<unsigned> count_list(std::string_view list) {
  std::bitset<1024> cores;
  for (const std::string_view part : split(list, ',')) {
    const auto dash = part.find('-');
    std::size_t first = 0, last = 0;
    bool good = read_number(part.substr(0, dash), first);
    last = first;
    if (dash != std::string_view::npos) good = good && read_number(part.substr(dash + 1), last);
    if (!good || first > last || last >= cores.size()) {
      return fail(Code::kInvalidArgument,
                  "'" + std::string(list) + "' is no list of cores. Write it as in 0,2-4");
    }
    for (std::size_t core = first; core <= last; ++core) cores.set(core);
  }
  return checked_count(cores.count(), list);
}

Result<unsigned> count_mask(std::string_view mask) {
  if (mask.starts_with('[') && mask.ends_with(']')) {
    return count_list(mask.substr(1, mask.size() - 2));
  }
  std::string_view digits = mask;
  if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
  std::size_t count = 0;
  for (const char& digit : digits) {
    unsigned bits = 0;
    if (!read_number(std::string_view(&digit, 1), bits, 16)) {
      return fail(Code::kInvalidArgument, "'" + std::string(mask) +
                                              "' is no core mask. Write hexadecimal digits, as in "
                                              "0x3 for cores 0 and 1");
    }
    count += std::bitset<4>(bits).count();
  }
  return checked_count(count, mask);
}

Result<std::array<std::uint16_t, 3>> parse_crdt(std::string_view text) {
  std::array<std::uint16_t, 3> delays{};
  const auto parts = split(text, ',');
  bool good = parts.size() == 1 || parts.size() == 3;
  for (std::size_t i = 0; good && i < parts.size(); ++i) {
    good = read_number(parts[i], delays[i]) && delays[i] <= 100;
  }
  if (!good) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) +
                                            "' is not accepted. Give one or three whole numbers up "
                                            "to 100, as in 20 or 20,0,0");
  }
  return delays;
}

}  // namespace capstan::apps
