// Why this file exists: a pool that nobody writes to is never repaired on its disk; tools that are
// asked to repair one say so here. Errors are those of the first change (a full or failing disk).
#pragma once

#include "storage/pool/pool.h"

namespace capstan::storage {

// Writes what the load found to be repaired; unload() afterwards leaves the pool clean.
core::Task<Result<void>> write_repairs(Pool& pool);

}  // namespace capstan::storage
