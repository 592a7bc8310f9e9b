// Why this file exists: every bound of the HTTP wire (http-rpc sections 5.1, 9 and 10).
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::limits {

inline constexpr std::size_t kRestConnections = 100;           // per listener, when not configured
inline constexpr std::size_t kRestBodyBytes = 64U << 20;       // of one request; else 413
inline constexpr std::size_t kRestElementBytes = 16U << 20;    // of a body that is a sequence
inline constexpr std::size_t kRestBodiesBytes = 512U << 20;    // being received, all connections
inline constexpr std::size_t kRestPathSegments = 128;          // more: 404
inline constexpr std::size_t kRestQueryFields = 256;           // more: 400
inline constexpr std::size_t kRestSpareBytes = 512U << 10;     // answers whose message is kept
inline constexpr std::size_t kRestReadBytes = 64U << 10;       // read buffer, and read ahead
inline constexpr std::size_t kRestReadBytesMin = 4U << 10;     // of a connection that says little
inline constexpr std::size_t kRestWriteBytes = 64U << 10;      // small answers that leave together
inline constexpr std::size_t kRestRawPieceBytes = 256U << 10;  // of a body that is bytes
inline constexpr std::size_t kRestSkippedBytes = 64U << 10;    // of a body nobody wants
inline constexpr std::uint64_t kRestHeaderNanos = 30'000'000'000;    // from its first byte
inline constexpr std::uint64_t kRestBodyNanos = 30'000'000'000;      // between two bytes of it
inline constexpr std::uint64_t kRestIdleNanos = 120'000'000'000;     // between requests
inline constexpr std::uint64_t kRestStalledNanos = 120'000'000'000;  // an answer nobody reads
inline constexpr std::uint64_t kRestLingerNanos = 1'000'000'000;     // until the client closes too
// An endless answer shows that it has begun when nothing happened for that long.
inline constexpr std::uint64_t kRestAnnounceNanos = 20'000'000;
// Of a client's connection.
inline constexpr std::size_t kRestClientReadBytes = 32U << 10;
inline constexpr std::size_t kRestClientBufferBytes = 256U << 10;   // of an answer nobody takes
inline constexpr std::size_t kRestClientQueuedBytes = 256U << 10;   // of a request nobody reads
inline constexpr std::uint64_t kRestTimeoutMillisMax = 86'400'000;  // of x-timeout-ms

}  // namespace capstan::limits
