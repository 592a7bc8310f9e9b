// Why this file exists: a request that is answered before its operation runs: what the client sees,
// in the words of the tree that it asked (native: http-rpc section 4.3, /v0: 20.3), and what logs
// and metrics call it. No I/O. Thread-safety: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "rpc/media.h"
#include "wire/rest/exchange.h"

namespace capstan::wire::rest {

struct Refusal {
  // What the native tree's answer holds.
  enum class Body : std::uint8_t { kNothing, kText, kExact, kList, kTyped, kTrace, kException };

  unsigned status = 400;
  Code code = Code::kInvalidArgument;  // for logs and metrics, and of /v0's kind
  std::string text;                    // what is wrong, without a line end
  Body body = Body::kText;             // kExact: no line end; kList: no type either; kTyped:
                                       // nothing but a type
  Http1Headers headers = {};           // besides content-type
};

Refusal bad_request(std::string text);
Refusal bad_query(const Error& error);
// 404, 405, 501: there is nothing of that kind.
Refusal not_there(unsigned status, std::string text);
// The builder of a dynamic directory failed.
Refusal failed(const Error& error);
// Who calls is not known; an error of authentication as it is.
Refusal unauthenticated(const Error& error);
// A body that cannot be read: 413, 408, 503, or 400.
Refusal bad_body(const Error& error);

// `media` is what the client accepts, `uri` what it asked for.
Reply native_reply(const Refusal& refusal, rpc::Media media);
Reply v0_reply(const Refusal& refusal, std::string_view uri);

// Whether a path belongs to /v0.
bool is_v0(std::string_view first_segment);
bool is_v0_path(std::string_view path);  // "/v0/pools"

}  // namespace capstan::wire::rest
