// Why this file exists: bounds how many calls the node works on at once, over all wires, so that a
// flood is answered with RESOURCE_EXHAUSTED instead of memory. Calls that stay open by nature
// (endless and bidirectional) have a bound of their own: a hundred watchers must not starve
// CreatePool, nor the other way round.
#pragma once

#include <cstddef>

#include "base/limits.h"
#include "rpc/acl_operation.h"
#include "rpc/interceptor.h"

namespace capstan::rpc {

class ConcurrencyInterceptor final : public Interceptor {
 public:
  // Long-lived calls of gateways, of which `acl` knows the listeners, are not bounded here: a
  // gateway counts its clients, and without its own one every answer of it would cost the node.
  explicit ConcurrencyInterceptor(std::size_t calls = limits::kCallsInFlight,
                                  std::size_t long_lived = limits::kLongLivedCallsInFlight,
                                  const Acl* acl = nullptr)
      : calls_{0, calls}, long_lived_{0, long_lived}, acl_(acl) {}
  Place place() const override { return Place::kConcurrency; }
  core::Task<Result<void>> around(Call& call, Next& next) override;
  std::size_t in_flight() const { return calls_.used; }
  std::size_t long_lived_in_flight() const { return long_lived_.used; }

 private:
  struct Slots {
    std::size_t used, limit;
  };
  Slots calls_, long_lived_;
  const Acl* acl_;
};

}  // namespace capstan::rpc
