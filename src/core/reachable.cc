// Why this file exists: see reachable.h.
#include "core/reachable.h"

#include <algorithm>

namespace capstan::core {

constexpr Nanos kPatience = kSecond;  // for one address

Task<Address> reachable(Env& env, std::vector<Address> addresses, Nanos within, CancelToken token) {
  auto& reactor = *Reactor::current();
  const Nanos patience = within == 0 ? kPatience : std::min(kPatience, within / addresses.size());
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
