// Why this file exists: a name may stand for several addresses, and a server listens at one of
// them: `localhost` may be ::1 before it is 127.0.0.1. Here a program finds out which.
#pragma once

#include <vector>

#include "core/env.h"

namespace capstan::core {

// The first address at which somebody listens, else the last one. An address that says nothing is
// waited for as long as `patience`, unless it is the only one. `addresses` has at least one, `env`
// outlives the call.
Task<Address> reachable(Env& env, std::vector<Address> addresses, Nanos patience,
                        CancelToken token);

}  // namespace capstan::core
