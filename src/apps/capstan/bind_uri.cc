// Why this file exists: see bind_uri.h.
#include "apps/capstan/bind_uri.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace capstan::apps {

namespace {
constexpr std::pair<std::string_view, client::Wire> kSockets[] = {
    {"unix:", client::Wire::kGrpc},      {"grpc+unix:", client::Wire::kGrpc},
    {"http+unix:", client::Wire::kHttp}, {"unix+jsonrpc:", client::Wire::kJsonRpc},
    {"muxio:", client::Wire::kMuxio},    {"jsonrpc:", client::Wire::kJsonRpc},
    {"drpc:", client::Wire::kDrpc},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// `text` for people to see: what stands before '@' may be a password.
std::string without_user(std::string_view text) {
  const auto at = text.rfind('@');
  if (at == std::string_view::npos) return std::string(text);
  const auto scheme = text.substr(0, at).find("://");
  const auto kept = scheme == std::string_view::npos ? 0 : scheme + 3;
  return std::string(text.substr(0, kept)) + "…" + std::string(text.substr(at));
}

// False for an unknown scheme. `name` is in lower case.
bool take_scheme(std::string_view name, AddressFlag flag, BindUri& uri) {
  uri.tls = name == "https" || name == "wss" || name == "grpcs";
  if (name == "ws" || name == "wss") {
    uri.wire = client::Wire::kMuxio;
  } else if (name == "http" || name == "https") {
    if (flag == AddressFlag::kEndpoint) uri.wire = client::Wire::kHttp;
  } else if (name != "grpc" && name != "grpcs") {
    return false;
  }
  return true;
}

}  // namespace

Result<BindUri> parse_bind_uri(std::string_view text, AddressFlag flag) {
  const auto bad = [&](std::string_view why) {
    return fail(Code::kInvalidArgument,
                std::string(flag == AddressFlag::kBind ? "--bind" : "--endpoint") + ": '" +
                    without_user(text) + "' is no address of a node: " + std::string(why) +
                    ". Write it as in http://127.0.0.1:10124 or unix:/run/capstan.sock");
  };
  BindUri uri;
  std::string_view rest = text;
  for (const auto& [scheme, wire] : kSockets) {
    if (lower(rest.substr(0, scheme.size())) != scheme) continue;
    rest.remove_prefix(scheme.size());
    if (rest.starts_with("//")) rest.remove_prefix(2);
    if (rest.empty()) return bad("the path is missing");
    uri.path = rest;
    uri.wire = wire;
    return uri;
  }
  const auto scheme = rest.find("://");
  const bool named = scheme != std::string_view::npos;
  if (!take_scheme(named ? lower(rest.substr(0, scheme)) : "http", flag, uri)) {
    return bad("unknown scheme");
  }
  if (named) rest = rest.substr(scheme + 3);
  if (rest.find('@') != std::string_view::npos) {
    return bad("it has user information, which no node takes; --token says who calls");
  }
  if (rest.find('?') != std::string_view::npos) return bad("it has a query");
  if (rest.find('#') != std::string_view::npos) return bad("it has a fragment");
  if (uri.wire == client::Wire::kMuxio && rest.ends_with("/ws")) rest.remove_suffix(3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
    if (uri.wire != client::Wire::kHttp) return bad("it has a path, which only HTTP has");
    uri.base_path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const auto close = rest.find(']');
    if (close == std::string_view::npos) return bad("']' is missing");
    uri.host = rest.substr(1, close - 1);
    port = rest.substr(close + 1);
  } else {
    const auto colon = rest.find(':');
    uri.host = rest.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : rest.substr(colon);
  }
  if (uri.host.empty()) return bad("the host is missing");
  uri.port = 10124;
  if (!port.empty()) {
    const auto read = std::from_chars(port.data() + 1, port.data() + port.size(), uri.port);
    if (port.front() != ':' || port.size() < 2 || read.ec != std::errc() ||
        read.ptr != port.data() + port.size() || uri.port == 0) {
      return bad("the port is no number between 1 and 65535");
    }
  }
  return uri;
}

}  // namespace capstan::apps
