// Why this file exists: arms one timer per call that has a deadline (rpc/interceptors/deadline.h).
// A call without one costs nothing here.
#include "rpc/interceptors/deadline.h"

#include <string>
#include <utility>

#include "rpc/operation.h"

namespace capstan::rpc {

namespace {

constexpr std::string_view kBare = "deadline exceeded";  // all that a token can say

// `cause`: what the handler says of it, "" or " (…)".
std::unexpected<Error> exceeded(const Call& call, std::string_view cause = {}) {
  return fail(Code::kDeadlineExceeded, "deadline exceeded in " + call.operation->full_name() +
                                           std::string(cause) +
                                           "; allow more time or ask for less");
}

// Whoever only heard of it from the token does not know what was asked for.
bool is_bare(const Error& error) {
  const std::string_view text = error.message;
  return text == kBare || (text.starts_with(kBare) && text.substr(kBare.size()).starts_with(" ("));
}

core::Task<Result<void>> answer_late(Call& call) {
  co_return exceeded(call);
}

core::Task<Result<void>> until_deadline(Call& call, Next& next, core::Reactor& reactor) {
  core::CancelSource source(call.token);
  core::Timer timer([&source] { source.fire(Code::kDeadlineExceeded); });
  timer.arm_at(reactor, call.deadline);
  const core::CancelToken outer = std::exchange(call.token, source.token());
  auto result = co_await next.run(call);
  timer.disarm();
  call.token = outer;
  // The timer may be due in this very turn without having fired.
  const bool late = reactor.now() >= call.deadline;
  if (!late) co_return result;
  if (result || result.error().code != Code::kDeadlineExceeded) co_return exceeded(call);
  if (!is_bare(result.error())) co_return result;
  co_return exceeded(call, std::string_view(result.error().message).substr(kBare.size()));
}

}  // namespace

core::Task<Result<void>> DeadlineInterceptor::around(Call& call, Next& next) {
  core::Reactor& reactor = *core::Reactor::current();
  if (call.deadline == 0 && call.operation->default_deadline != 0) {
    call.deadline = reactor.now() + call.operation->default_deadline;
  }
  if (call.deadline == 0) return next.run(call);
  if (reactor.now() >= call.deadline) return answer_late(call);
  return until_deadline(call, next, reactor);
}

}  // namespace capstan::rpc
