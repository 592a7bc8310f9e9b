// Why this file exists: see reachable.h.
#include "core/reachable.h"

#include <utility>

namespace capstan::core {

Task<Address> reachable(Env& env, std::vector<Address> addresses, Nanos patience,
                        CancelToken token) {
  auto& reactor = *Reactor::current();
  for (std::size_t i = 0; i + 1 < addresses.size(); ++i) {
    CancelSource late(token);
    Timer timer([&late] { late.fire(Code::kDeadlineExceeded); });
    timer.arm_at(reactor, reactor.now() + patience);
    const auto stream = co_await env.network().connect(addresses[i], late.token());
    if (stream || token.fired()) co_return addresses[i];
  }
  co_return addresses.back();
}

}  // namespace capstan::core
