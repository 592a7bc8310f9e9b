// Why this file exists: the bounds of state monitors, on a node and on a gateway.
#pragma once

#include <cstdint>

namespace capstan::limits {

inline constexpr std::uint32_t kHeartbeatMsMin = 100;

}  // namespace capstan::limits
