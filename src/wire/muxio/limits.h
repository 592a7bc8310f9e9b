// What bounds the memory and the patience of a Muxio connection, beside base/limits.h.
#pragma once

#include <cstddef>

#include "core/reactor.h"

namespace capstan::wire::muxio {

// Requests of one connection that wait or run; then nothing is read until some have ended.
inline constexpr std::size_t kHeldBytes = 64U << 20;
// Arguments up to this size count as they came, larger ones as what they were decoded to.
inline constexpr std::size_t kSmallArguments = 4096;
// Of one write: its end shows that the peer still reads.
inline constexpr std::size_t kWriteBytes = 256U << 10;
// A write that took this long has waited for the peer.
inline constexpr core::Nanos kBlockedWrite = 10 * core::kMillisecond;
// For each write once the connection is to end.
inline constexpr core::Nanos kFarewell = 10 * core::kSecond;

}  // namespace capstan::wire::muxio
