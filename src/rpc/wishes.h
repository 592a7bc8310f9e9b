// Why this file exists: what a call may want beyond what its message can say. Messages of the
// Mayastor API are somebody else's, so such a wish is metadata. The HTTP bindings that have one
// declare it (`set: "@name=value"`, {argument=@name} in api/rpc/options.proto), so one operation
// keeps the API's manners on gRPC and http-rpc section 20's over HTTP; a gateway passes it on; and
// a client of another wire may send it.
#pragma once

#include <string_view>

#include "rpc/call.h"

namespace capstan::rpc {

// The pool, by name or UUID, in which the replica must be: elsewhere there is none of that UUID.
inline constexpr char kWishPool[] = "capstan-pool";
// "equal": making what is there already, with arguments equal to its own, answers it.
inline constexpr char kWishExisting[] = "capstan-existing";
// "error": listing what is in a thing that is not there is NOT_FOUND instead of nothing.
inline constexpr char kWishMissing[] = "capstan-missing";
// "name": the argument is a name, and a URI only if nothing is called so.
inline constexpr char kWishBy[] = "capstan-by";
// "own": errors have the code of what happened, not the one that the API has for it.
inline constexpr char kWishErrors[] = "capstan-errors";
// "abort": a stream whose client is too slow ends with an error instead of telling what it left
// out.
inline constexpr char kWishOverflow[] = "capstan-overflow";

inline bool wishes(const Call& call, std::string_view wish, std::string_view value) {
  return call.metadata.get(wish) == value;
}

}  // namespace capstan::rpc
