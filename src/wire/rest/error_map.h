// Why this file exists: what an Error is over HTTP: a status that Octez's clients know and a trace
// (http-rpc sections 6 and 20.3); under /v0 a status and a RestJsonError as Mayastor's control
// plane has them. Both tables are printed into docs/errors.md and checked by tests/errors.
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
// Whether an argument of a path of that type ("pool_id") is an object that a trace names, by a
// field called so (http-rpc section 20.3).
bool names_object(std::string_view argument);

struct V0Status {
  unsigned status;
  std::string_view kind;  // "NotFound"
};
// By the reason in the error's details where it is one that the control plane knows apart
// ("ALREADY_SHARED"), else by its code.
V0Status v0_status(const Error& error);
// {"details":…,"message":…,"kind":…} and a line feed.
std::string v0_error(std::string_view kind, std::string_view message, std::string_view details);

// What a client makes of an answer that is no success.
Error error_of_status(unsigned status, std::string message);

}  // namespace capstan::wire::rest
