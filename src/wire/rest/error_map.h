// Why this file exists: what an Error is over HTTP: a status that Octez's clients know and a trace
// (http-rpc sections 6 and 20.3). The table is printed into docs/errors.md and checked by
// tests/errors.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "rpc/error_trace.h"
#include "rpc/operation.h"

namespace capstan::wire::rest {

struct NativeStatus {
  unsigned status;
  std::string_view kind;  // "permanent" or "temporary"
  std::string_view name;  // "not_found": the last part of the id
};
NativeStatus native_status(Code code);
// The same for an error that may be a gateway's about the way to its node: 502 instead of 503
// (http-rpc section 19.8).
unsigned status_of(const Error& error);

// "pool" for mayastor.v1.PoolRpc: the first part of an error's id.
std::string error_domain(const rpc::Operation& operation);
rpc::ErrorTrace error_trace(const Error& error, const rpc::Operation& operation);
// What a client makes of an answer that is no success.
Error error_of_status(unsigned status, std::string message);

}  // namespace capstan::wire::rest
