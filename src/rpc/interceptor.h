// Why this file exists: cross-cutting work happens once, here, for every wire. The chain runs in
// the order of Place, outermost first; Directory::add_interceptor insists on it:
//   log          one record per call, also of refused ones
//   trace        the caller's trace goes on with a span of ours, or one begins
//   metrics      counts what the client saw, therefore outside of everything that refuses
//   authenticate who is calling
//   access       whether they may
//   rate limit   how often
//   deadline     until when; outside of the concurrency limit, so that a late call takes no slot
//   concurrency  how many at once
//   revision     up to which change of the node's state an answer goes
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>

#include "base/result.h"
#include "core/task.h"
#include "rpc/call.h"

namespace capstan::rpc {

enum class Place : std::uint8_t {
  kLog,
  kTrace,
  kMetrics,
  kAuthenticate,
  kAccess,
  kRateLimit,
  kDeadline,
  kConcurrency,
  kRevision,
};

// The rest of the chain, ending in the handler.
class Next {
 public:
  virtual ~Next() = default;
  virtual core::Task<Result<void>> run(Call& call) = 0;
  // The request where it is at hand before the handler runs: of a unary call that the wire has
  // read. Else null.
  virtual const google::protobuf::Message* request() const { return nullptr; }
};

class Interceptor {
 public:
  virtual ~Interceptor() = default;
  virtual Place place() const = 0;
  // Either answers an error or awaits next.run(call) exactly once and returns what it answered.
  virtual core::Task<Result<void>> around(Call& call, Next& next) = 0;
};

}  // namespace capstan::rpc
