// Why this file exists: Call is what a handler may know of the invocation it serves. It names no
// wire's types; a wire that needs more keeps it in its own session object.
// Lifetime: a Call& given to a handler is valid until the handler's task ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cancel.h"
#include "core/env.h"
#include "core/reactor.h"

namespace capstan::rpc {

class Operation;

// Key/value pairs as received (keys lower case, "-bin" values already decoded). On wires that can
// carry them `initial` leaves before the first answer (set later, it is lost), `trailers` after the
// last.
struct Metadata {
  std::vector<std::pair<std::string, std::string>> request;
  std::vector<std::pair<std::string, std::string>> initial;
  std::vector<std::pair<std::string, std::string>> trailers;
  // The first value of `key`, or an empty view.
  std::string_view get(std::string_view key) const;
};

struct Call {
  const Operation* operation = nullptr;
  core::PeerInfo peer;
  core::Nanos deadline = 0;  // of the reactor's clock; 0 = none
  core::CancelToken token;   // fires at the deadline or when the client is gone
  Metadata metadata;
  std::string trace_id;   // W3C trace id as hex, empty when there is none
  std::string_view wire;  // "grpc", "jsonrpc" …; a literal
};

}  // namespace capstan::rpc
