// Why this file exists: the bounds of everything that decides who may call and how often: access
// lists, tokens, clients that are remembered, spans that wait. Units are in the names.
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::rpc::access_limits {

inline constexpr std::size_t kAclFileBytes = 1U << 20;
inline constexpr std::size_t kAclEntries = 1024;
inline constexpr std::size_t kAclMatchers = 4096;  // of one entry

inline constexpr std::size_t kJwkFileBytes = 64U << 10;
inline constexpr std::size_t kJwkKeys = 32;
inline constexpr std::size_t kTokenBytes = 8U << 10;
inline constexpr std::size_t kVerifiedTokens = 1024;  // remembered, the least used one goes
inline constexpr std::size_t kSubjectBytes = 1024;    // of a token's subject

inline constexpr std::uint64_t kTokenLookNanos = 60'000'000'000;  // at least so often at `exp`

inline constexpr std::size_t kLimitedClients = 4096;  // remembered, the least used one goes

inline constexpr std::size_t kSpansWaiting = 4096;  // then the newest are dropped and counted
inline constexpr std::size_t kSpansPerExport = 512;
inline constexpr std::uint64_t kExportPauseNanos = 1'000'000'000;  // at most one request in it
inline constexpr std::uint64_t kExportNanos = 10'000'000'000;      // one request
inline constexpr std::uint64_t kExportBackoffNanosMax = 60'000'000'000;  // collector is away
inline constexpr std::size_t kExportAnswerBytes = 16U << 10;

}  // namespace capstan::rpc::access_limits
