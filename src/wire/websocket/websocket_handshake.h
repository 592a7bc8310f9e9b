// Why this file exists: the opening handshake of RFC 6455 as values: what an HTTP/1.1 request must
// say to become a WebSocket, the answers, and both from the client's side. Parsing HTTP is
// wire/http1's business; whoever composes the two copies the few headers over.
//
// The refusals and their order are those of the server that the DataStore clients know (muxio-wire
// section 9.1): method, Connection, Upgrade, key, version. Subprotocols and extensions
// (permessage-deflate) that a client offers are ignored, which refuses them politely: the answer
// names none, so none is used.
//
// Browsers let any page open a WebSocket to any address and say in Origin which page it is; that is
// all that keeps a foreign page from using a server that its user can reach. Programs send none.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::wire {

// What a request says. `connection` and `upgrade` are header values, empty when absent.
struct WebSocketRequest {
  std::string_view method;
  bool http10 = false;
  std::string_view connection, upgrade, key, version;
  std::string_view host = {}, origin = {};
};

struct WebSocketAnswer {
  bool accepted = false;
  unsigned status = 0;       // 101 when accepted
  std::string_view headers;  // whole lines to add to a refusal, "" for most
  std::string body;          // text/plain, of a refusal
};

// Decides on a request for the WebSocket's path. A request with an Origin must come from the host
// that it is made to, from a loopback one or from one of `origins`.
WebSocketAnswer websocket_answer(const WebSocketRequest& request,
                                 std::span<const std::string> origins = {});

// Whether pages of `origin` may connect to `host`: those of the same host, whatever the port, those
// of loopback names and addresses, and those listed; "*" lists all.
bool websocket_origin_allowed(std::string_view origin, std::string_view host,
                              std::span<const std::string> origins);
// What may be listed: SCHEME://HOST[:PORT] as browsers send it, "null" or "*".
Result<void> websocket_check_origin(std::string_view origin);

// base64(SHA-1(key + the RFC's GUID)).
std::string websocket_accept(std::string_view key);
// The whole 101 answer.
std::string websocket_accept_response(std::string_view key);

// A client's key from 16 random bytes, and its request.
std::string websocket_key(const std::array<std::uint8_t, 16>& random);
// `headers`: further ones, as whole lines.
std::string websocket_request(std::string_view host, std::string_view path, std::string_view key,
                              std::string_view headers = {});

// Whether `head` (everything up to and with the empty line) accepts the request made with `key`.
// kUnavailable, naming what the server said, when it does not.
Result<void> websocket_check_response(std::string_view head, std::string_view key);

}  // namespace capstan::wire
