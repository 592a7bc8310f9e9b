// Why this file exists: the two counters behind rpc/interceptors/concurrency.h.
#include "rpc/interceptors/concurrency.h"

#include "rpc/operation.h"

namespace capstan::rpc {

core::Task<Result<void>> ConcurrencyInterceptor::around(Call& call, Next& next) {
  const Kind kind = call.operation->kind;
  const bool stays_open = kind == Kind::kEndless || kind == Kind::kBidirectional;
  if (stays_open && acl_ && acl_->trusted(call.peer.listener)) co_return co_await next.run(call);
  Slots& slots = stays_open ? long_lived_ : calls_;
  if (slots.used >= slots.limit) {
    co_return fail_until(Code::kResourceExhausted,
                         "the node already works on " + std::to_string(slots.limit) +
                             (stays_open ? " long-lived calls" : " calls") +
                             "; repeat the call later or close others" +
                             (stays_open ? ", or raise --max-streams" : ""),
                         core::kSecond / (stays_open ? 1 : 10));
  }
  ++slots.used;
  auto result = co_await next.run(call);
  --slots.used;
  co_return result;
}

}  // namespace capstan::rpc
