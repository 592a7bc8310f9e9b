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

}  // namespace

WebSocketAnswer websocket_answer(const WebSocketRequest& request) {
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

std::string websocket_request(std::string_view host, std::string_view path, std::string_view key) {
  std::string text = "GET ";
  text.append(path).append(" HTTP/1.1\r\nHost: ").append(host);
  text.append("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  return text.append("Sec-WebSocket-Key: ").append(key).append("\r\n\r\n");
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
