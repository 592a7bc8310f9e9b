// Why this file exists: deadlines are kept here for every wire. A wire only writes what the client
// asked for into call.deadline; when that is 0 the operation's default applies. While the handler
// runs, call.token fires at the deadline (and still when the wire's own token does); whatever a
// handler says after it, the answer is DEADLINE_EXCEEDED.
#pragma once

#include "rpc/interceptor.h"

namespace capstan::rpc {

class DeadlineInterceptor final : public Interceptor {
 public:
  Place place() const override { return Place::kDeadline; }
  core::Task<Result<void>> around(Call& call, Next& next) override;
};

}  // namespace capstan::rpc
