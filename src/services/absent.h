// Why this file exists: services of the Mayastor API that this build does not have yet are declared
// all the same, with every method absent: a client gets UNIMPLEMENTED with the operation's name,
// and reflection lists them.
#pragma once

#include "rpc/directory.h"

namespace capstan::services {

// Nexus, snapshot, snapshot rebuild, stats and test services of v1 when `v1`; all of v0 when `v0`
// but what is declared already.
Result<void> declare_absent(rpc::Directory& directory, bool v0, bool v1);

}  // namespace capstan::services
