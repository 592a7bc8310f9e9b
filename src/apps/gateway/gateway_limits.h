// Why this file exists: the bounds of a gateway (http-rpc sections 19.3, 19.10 and 20.6).
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::limits {

inline constexpr std::uint64_t kGatewayBackoffNanosMin = 100'000'000;
inline constexpr std::uint64_t kGatewayBackoffNanosMax = 5'000'000'000;
// The node says at least so often that nothing changed; one that is silent for longer than the
// second does not answer.
inline constexpr std::uint32_t kGatewayHeartbeatMs = 1000;
inline constexpr std::uint64_t kGatewaySilenceNanos = 3'500'000'000;
// Fewer streams than their windows together fill a connection's, so that clients who do not read
// hold up nobody else (limits::kHttp2ConnectionWindowBytes / kHttp2StreamWindowBytes).
inline constexpr std::size_t kGatewayStreamsPerConnection = 15;
// A connection beyond the first is closed when it had no stream for that long.
inline constexpr std::uint64_t kGatewayStreamIdleNanos = 60'000'000'000;
// The whole model of a node is one message, and so is the largest value (512 MiB) with its name.
inline constexpr std::size_t kGatewayModelBytes = 640U << 20;
inline constexpr std::uint64_t kGatewayBootstrapNanos = 10'000'000'000;  // of one question
inline constexpr std::uint64_t kGatewayBusyRetryNanos = 1'000'000'000;   // in retry-after

}  // namespace capstan::limits
