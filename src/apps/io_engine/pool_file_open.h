// Opens or creates the pools of the pool file (pool_file.h) at the start of the node.
// Thread-safety: core 0. `engine` and `log` outlive the task; what a disk holds up belongs to the
// engine's changes.
#pragma once

#include <vector>

#include "apps/io_engine/pool_file.h"
#include "core/log.h"
#include "core/task.h"
#include "services/engine.h"

namespace capstan::apps {

// Side by side, and then, in the order of the file, those on devices of others, which may be
// volumes of the first. No pool is waited for longer than limits::kPoolRestoreNanos: what takes
// longer goes on, and joins the node when its disk has answered. Failures are logged.
core::Task<void> open_file_pools(services::Engine& engine, core::Log& log,
                                 std::vector<PoolFileEntry> entries);

}  // namespace capstan::apps
