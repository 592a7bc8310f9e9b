// Why this file exists: see websocket_handshake.h.
#include "wire/websocket/websocket_handshake.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cctype>

#include "base/assert.h"

namespace capstan::wire {

namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool same(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Takes the text up to `separator` off the front.
std::string_view cut(std::string_view& text, std::string_view separator) {
  const auto end = std::min(text.find(separator), text.size());
  const auto head = text.substr(0, end);
  text.remove_prefix(std::min(end + separator.size(), text.size()));
  return head;
}

bool has_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    if (same(trimmed(cut(list, ",")), token)) return true;
  }
  return false;
}

std::string base64(const unsigned char* bytes, std::size_t size) {
  std::string out((size + 2) / 3 * 4 + 1, '\0');  // OpenSSL writes a zero after the text
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes, static_cast<int>(size));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

WebSocketAnswer refuse(unsigned status, std::string body, std::string_view headers = {}) {
  return {false, status, headers, std::move(body)};
}

// The host of "HOST[:PORT]", without brackets; nothing for what is no such thing.
std::string_view host_of(std::string_view authority) {
  const bool brackets = authority.starts_with('[');
  const auto end = authority.find(brackets ? ']' : ':');
  const std::string_view host = authority.substr(brackets ? 1 : 0, end - (brackets ? 1 : 0));
  std::string_view port;
  if (end != std::string_view::npos) port = authority.substr(end + (brackets ? 1 : 0));
  const bool good_port = port.empty() || (port.size() > 1 && port[0] == ':' &&
                                          port.find_first_not_of("0123456789", 1) == port.npos);
  if ((brackets && end == authority.npos) || !good_port) return {};
  if (host.find_first_of("/@?#\\, \t[]") != host.npos) return {};
  return host;
}

std::string_view host_of_origin(std::string_view origin) {
  const auto scheme = origin.find("://");
  return scheme == origin.npos || scheme == 0 ? std::string_view()
                                              : host_of(origin.substr(scheme + 3));
}

bool is_loopback(std::string_view host) {
  if (same(host, "localhost") || host == "::1") return true;
  std::size_t parts = 0;  // of an IPv4 address: a name may begin with "127." as well
  for (std::string_view rest = host; !rest.empty() || parts == 0; ++parts) {
    const std::string_view part = cut(rest, ".");
    if (part.empty() || part.size() > 3 || part.find_first_not_of("0123456789") != part.npos) {
      return false;
    }
    if (parts == 0 && part != "127") return false;
  }
  return parts == 4 && !host.ends_with('.');
}

}  // namespace

bool websocket_origin_allowed(std::string_view origin, std::string_view host,
                              std::span<const std::string> origins) {
  origin = trimmed(origin);
  for (const std::string& listed : origins) {
    if (listed == "*" || same(listed, origin)) return true;
  }
  const std::string_view page = host_of_origin(origin);
  return !page.empty() && (is_loopback(page) || same(page, host_of(trimmed(host))));
}

Result<void> websocket_check_origin(std::string_view origin) {
  if (origin == "*" || origin == "null" || !host_of_origin(origin).empty()) return {};
  return fail(Code::kInvalidArgument,
              "'" + std::string(origin) +
                  "' is no origin. Give SCHEME://HOST[:PORT] without a path, as in "
                  "https://console.example:8443, or * for any");
}

WebSocketAnswer websocket_answer(const WebSocketRequest& request,
                                 std::span<const std::string> origins) {
  if (request.method != "GET") return refuse(405, "", "allow: GET,HEAD\r\n");
  if (!has_token(request.connection, "upgrade")) {
    return refuse(400, "Connection header did not include 'upgrade'");
  }
  if (!same(trimmed(request.upgrade), "websocket")) {
    return refuse(400, "`Upgrade` header did not include 'websocket'");
  }
  if (request.key.empty()) return refuse(400, "`Sec-WebSocket-Key` header missing");
  if (trimmed(request.version) != "13") {
    return refuse(400, "`Sec-WebSocket-Version` header did not include '13'",
                  "sec-websocket-version: 13\r\n");
  }
  if (request.http10) {
    return refuse(426, "WebSocket request couldn't be upgraded since no upgrade state was present",
                  "upgrade: websocket\r\n");
  }
  if (!request.origin.empty() && !websocket_origin_allowed(request.origin, request.host, origins)) {
    return refuse(403, "Pages of the origin '" + std::string(request.origin.substr(0, 200)) +
                           "' may not connect to this node. Its option --ws-origin allows them");
  }
  return {true, 101, {}, {}};
}

std::string websocket_accept(std::string_view key) {
  const std::string text = std::string(trimmed(key)) + std::string(kGuid);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  CAPSTAN_ASSERT(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) ==
                 1);
  return base64(digest.data(), size);
}

std::string websocket_accept_response(std::string_view key) {
  return "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-accept: " +
         websocket_accept(key) + "\r\n\r\n";
}

std::string websocket_key(const std::array<std::uint8_t, 16>& random) {
  return base64(random.data(), random.size());
}

std::string websocket_request(std::string_view host, std::string_view path, std::string_view key,
                              std::string_view headers) {
  std::string text = "GET ";
  text.append(path).append(" HTTP/1.1\r\nHost: ").append(host);
  text.append("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  text.append("Sec-WebSocket-Key: ").append(key).append("\r\n");
  return text.append(headers).append("\r\n");
}

Result<void> websocket_check_response(std::string_view head, std::string_view key) {
  const auto refused = [](std::string_view why) {
    return fail(Code::kUnavailable, "the server does not open a WebSocket: " + std::string(why));
  };
  const std::string_view status = trimmed(cut(head, "\n"));
  if (!status.starts_with("HTTP/1.1 101")) {
    return refused("it answers '" + std::string(status.substr(0, 80)) + "'");
  }
  bool upgrade = false, connection = false, accept = false;
  while (!head.empty()) {
    std::string_view line = trimmed(cut(head, "\n"));
    if (line.empty()) break;
    const std::string_view name = trimmed(cut(line, ":"));
    const std::string_view value = trimmed(line);
    if (same(name, "upgrade")) upgrade = same(value, "websocket");
    if (same(name, "connection")) connection = has_token(value, "upgrade");
    if (same(name, "sec-websocket-accept")) accept = value == websocket_accept(key);
    if (same(name, "sec-websocket-extensions")) return refused("it uses an unasked extension");
    if (same(name, "sec-websocket-protocol")) return refused("it uses an unasked subprotocol");
  }
  if (!upgrade || !connection) return refused("its answer lacks the upgrade headers");
  if (!accept) return refused("its Sec-WebSocket-Accept does not fit the key");
  return {};
}

}  // namespace capstan::wire
