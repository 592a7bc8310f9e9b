// Why this file exists: bounds of HTTP/2 that only its session knows. Those that others share are
// in base/limits.h.
#pragma once

#include <cstdint>

namespace capstan::limits {

// Frames that ask for nothing and get nothing done (PING, SETTINGS, PRIORITY, DATA without bytes),
// counted between two things that we send: a client that is being answered may ping as often as its
// bandwidth estimate likes.
inline constexpr std::uint32_t kHttp2ChatterBurst = 1000;  // then ENHANCE_YOUR_CALM
inline constexpr std::uint32_t kHttp2ChatterPerSecond = 5;

}  // namespace capstan::limits
