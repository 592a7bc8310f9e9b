// Why this file exists: a name may stand for several addresses, and a server listens at one of
// them: `localhost` may be ::1 before it is 127.0.0.1. Here a program finds out which.
#pragma once

#include <vector>

#include "core/env.h"

namespace capstan::core {

// The first address at which somebody listens, else the last one. An address that says nothing is
// waited for a second, unless it is the last, and all together no longer than `within` (0: no
// limit). A single address is not tried. `addresses` has at least one, `env` outlives the call.
Task<Address> reachable(Env& env, std::vector<Address> addresses, Nanos within, CancelToken token);

}  // namespace capstan::core
