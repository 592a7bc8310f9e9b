// Bounds of opening recorded pools (pool_restore.h).
#pragma once

#include <cstddef>

#include "core/reactor.h"

namespace capstan::limits {

// Pools that are read side by side; those that have had their time do not count.
inline constexpr std::size_t kPoolRestoresAtOnce = 16;
// How long the start of the node waits for one pool. As long as a disk may take to answer before
// its pool is degraded (storage/pool/request_watch.h).
inline constexpr core::Nanos kPoolRestoreNanos = 10 * core::kSecond;
// From a try that found no disk to the next one.
inline constexpr core::Nanos kPoolRetryNanos = 10 * core::kSecond;

// How long the node's state may take to be read or written before the node says that it hangs.
inline constexpr core::Nanos kStateStalledNanos = 5 * core::kSecond;

}  // namespace capstan::limits
