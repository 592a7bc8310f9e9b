// Why this file exists: what a connection of a gateway may do. It carries the calls of many
// clients, so what bounds one client would let one of them end or hold up the calls of all.
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::limits {

inline constexpr std::uint32_t kGatewayConcurrentStreams = 4096;
// Every client that leaves or is late is a reset.
inline constexpr std::uint32_t kGatewayResetBurst = 1'000'000;
inline constexpr std::uint32_t kGatewayResetsPerSecond = 1'000'000;
// The largest body of an HTTP request (limits::kRestBodyBytes) as a message.
inline constexpr std::size_t kGatewayMessageBytes = 80U << 20;

}  // namespace capstan::limits
