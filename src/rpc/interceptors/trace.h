// Why this file exists: a call is one span of its caller's trace. The caller says which in the
// metadata "traceparent" (W3C Trace Context) on every wire that has metadata; the trace's id then
// stands in the call's log record, and calls that a handler makes onward carry the trace further.
//
// With a queue, every call becomes a span: the caller's flag decides whether it is exported; where
// no trace came in one begins, and a share of those (`ratio`) is. Without a queue nothing is made
// and a call without a traceparent costs nothing here.
// Thread-safety: as the directory's interceptors.
#pragma once

#include <cstdint>
#include <functional>

#include "rpc/interceptor.h"
#include "rpc/span.h"

namespace capstan::rpc {

class TraceInterceptor final : public Interceptor {
 public:
  using WallClock = std::function<std::uint64_t()>;  // nanoseconds since the Unix epoch

  TraceInterceptor() = default;
  // `queue` outlives this. `seed` is random; ids need to be unique, not secret.
  TraceInterceptor(SpanQueue& queue, double ratio, WallClock clock, std::uint64_t seed)
      : queue_(&queue), ratio_(ratio), clock_(std::move(clock)), state_(seed) {}
  Place place() const override { return Place::kTrace; }
  core::Task<Result<void>> around(Call& call, Next& next) override;

 private:
  core::Task<Result<void>> traced(Call& call, Next& next, std::optional<TraceContext> caller);
  std::uint64_t random();

  SpanQueue* queue_ = nullptr;
  double ratio_ = 0;
  WallClock clock_;
  std::uint64_t state_ = 0;
};

}  // namespace capstan::rpc
