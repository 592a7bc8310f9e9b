// Why this file exists: one request of any path of an HTTP server and its answer as it comes, for
// paths that stand for no operation, and for who wants to see what the server says and not what it
// means (http-rpc sections 14.1 and 15.1). Typed calls are remote.h's. A connection of its own;
// redirects and 502 as there.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "client/http_origin.h"

namespace capstan::client {

struct HttpAsk {
  std::string method, target;  // path and query as they go over the wire, below the base path
  std::optional<std::string> body = {};
  std::optional<rpc::Media> media = rpc::Media::kJson;  // of the body; nothing: bytes
  bool endless =
      false;            // the deadline is for the answer to begin; its pieces are logged one by one
  bool secret = false;  // bodies are bytes of users: a log says only how many
  bool repeatable = false;  // may be sent again after a 502, as a GET may
};

// Told of the head and a piece of the body, which may be empty; `last` once, with the last one. An
// error ends the exchange and is its result.
using HttpTake =
    std::function<Result<void>(const wire::Http1Response& head, std::string_view piece, bool last)>;

// OK: the answer, whatever its status, was given as a whole. kUnavailable: no answer, or one that
// was cut.
core::Task<Result<void>> http_exchange(core::Env& env, RemoteOptions options, HttpAsk ask,
                                       CallOptions call, HttpTake take);

}  // namespace capstan::client
