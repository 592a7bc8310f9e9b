// Why this file exists: the bounds of monitors (monitor_service.h, state_feed.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::limits {

inline constexpr std::size_t kStateSubscribers = 12'000;  // on the node itself
inline constexpr std::uint32_t kStatsIntervalMsMin = 100;
inline constexpr std::uint32_t kStatsIntervalMs = 1000;  // when none is given

// More objects than these are not looked at within a call: 20 ms of the core.
inline constexpr std::size_t kStateSettleObjects = 10'000;

}  // namespace capstan::limits
