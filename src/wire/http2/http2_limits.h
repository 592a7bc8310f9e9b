// Why this file exists: bounds of HTTP/2 that only its session knows. Those that others share are
// in base/limits.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/limits.h"

namespace capstan::limits {

// Frames that ask for nothing and get nothing done (PING, SETTINGS, PRIORITY, DATA without bytes),
// counted between two things that we send: a client that is being answered may ping as often as its
// bandwidth estimate likes.
inline constexpr std::uint32_t kHttp2ChatterBurst = 1000;  // then ENHANCE_YOUR_CALM
inline constexpr std::uint32_t kHttp2ChatterPerSecond = 5;

// What a peer may go on sending of a request that is answered, and for how long it may send nothing
// of it, before it is told to stop. A body that is refused for its size fits.
inline constexpr std::size_t kHttp2UnwantedBytes = kHttp2ConnectionWindowBytes;
inline constexpr std::uint64_t kHttp2UnwantedNanos = 1'000'000'000;

}  // namespace capstan::limits
