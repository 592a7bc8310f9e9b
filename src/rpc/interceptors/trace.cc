// Why this file exists: see trace.h.
#include "rpc/interceptors/trace.h"

#include <algorithm>

#include "base/bytes.h"

namespace capstan::rpc {
namespace {

constexpr std::string_view kTraceparent = "traceparent";

// The span that onward calls of this one belong to.
void set_parent(Call& call, const TraceContext& context) {
  auto& metadata = call.metadata.request;
  const auto found = std::ranges::find(
      metadata, kTraceparent, [](const auto& pair) { return std::string_view(pair.first); });
  if (found != metadata.end()) {
    found->second = context.text();
  } else {
    metadata.emplace_back(kTraceparent, context.text());
  }
}

}  // namespace

std::uint64_t TraceInterceptor::random() {  // splitmix64 (Steele, Lea, Flood 2014)
  std::uint64_t mixed = state_ += 0x9E3779B97F4A7C15ULL;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31);
}

core::Task<Result<void>> TraceInterceptor::traced(Call& call, Next& next,
                                                  std::optional<TraceContext> caller) {
  Span span;
  if (caller) {
    span.context = *caller;
    span.parent = caller->span;
  } else {
    store_le(span.context.trace.data(), random());
    const std::uint64_t chosen = random() | 1;  // an id is not zero
    store_le(span.context.trace.data() + 8, chosen);
    span.context.sampled =
        ratio_ >= 1 || static_cast<double>(chosen) < ratio_ * static_cast<double>(UINT64_MAX);
  }
  store_le(span.context.span.data(), random() | 1);
  call.trace_id = span.context.trace_text();
  set_parent(call, span.context);
  if (!span.context.sampled) co_return co_await next.run(call);

  span.operation = call.operation;
  span.wire = call.wire;
  span.peer = call.peer.address;
  span.started_ns = clock_();
  const core::Nanos started = core::Reactor::current()->read_clock();
  auto result = co_await next.run(call);
  span.ended_ns = span.started_ns + (core::Reactor::current()->read_clock() - started);
  span.code = result ? Code::kOk : result.error().code;
  queue_->push(std::move(span));
  co_return result;
}

core::Task<Result<void>> TraceInterceptor::around(Call& call, Next& next) {
  const std::string_view sent = call.metadata.get(kTraceparent);
  auto caller = sent.empty() ? std::nullopt : TraceContext::parse(sent);
  if (queue_) return traced(call, next, caller);
  if (caller) call.trace_id = caller->trace_text();
  return next.run(call);
}

}  // namespace capstan::rpc
