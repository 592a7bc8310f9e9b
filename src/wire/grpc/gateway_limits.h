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
// The headers of an HTTP/1.1 request (limits::kHttp1HeaderBytes), 32 bytes more for each as HTTP/2
// counts them, and what a gateway adds. A block of that size fits into as many CONTINUATION frames
// as nghttp2 takes.
inline constexpr std::size_t kGatewayHeaderListBytes = 128U << 10;
// The largest body of an HTTP request as a message.
constexpr std::size_t gateway_message_bytes(std::size_t body_bytes) {
  return body_bytes + body_bytes / 4;
}
inline constexpr std::size_t kGatewayMessageBytes = gateway_message_bytes(64U << 20);
// All bodies that a gateway holds (limits::kRestBodiesBytes) as messages; of all gateways.
inline constexpr std::size_t kGatewayRequestBytes = gateway_message_bytes(512U << 20);

}  // namespace capstan::limits
