// Why this file exists: every bound of the node in one place. Nothing here grows at run time;
// exceeding a limit is a defined error (usually RESOURCE_EXHAUSTED), never growth.
// Units are in the names.
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::limits {

// --- gRPC and HTTP/2 ---------------------------------------------------------------------------
inline constexpr std::size_t kGrpcReceiveMessageBytes = 4U << 20;  // answer: RESOURCE_EXHAUSTED
inline constexpr std::size_t kGrpcClientReceiveMessageBytes = 64U << 20;
inline constexpr std::uint32_t kHttp2MaxConcurrentStreams = 256;  // per connection
inline constexpr std::uint32_t kHttp2StreamWindowBytes = 1U << 20;
inline constexpr std::uint32_t kHttp2ConnectionWindowBytes = 16U << 20;
inline constexpr std::size_t kHttp2HeaderListBytes = 16U << 10;   // per request
inline constexpr std::size_t kHttp2OutputBufferBytes = 4U << 20;  // queued output per connection
inline constexpr std::size_t kStreamQueuedMessages = 16;          // undelivered, per stream
inline constexpr std::size_t kConnectionsMax = 1024;              // per listener
inline constexpr std::size_t kHttp2ReadBufferBytes = 64U << 10;   // per connection
inline constexpr std::size_t kHttp2WriteBytes = 256U << 10;       // one write to the socket
inline constexpr std::uint32_t kHttp2ResetBurst = 1000;           // then ENHANCE_YOUR_CALM
inline constexpr std::uint32_t kHttp2ResetsPerSecond = 50;        // refill of the burst
inline constexpr std::size_t kHttp2OutboundAcksMax = 1000;        // unsent PING/SETTINGS acks
inline constexpr std::size_t kHttp2SettingsEntriesMax = 32;       // per SETTINGS frame
inline constexpr std::uint64_t kHttp2KeepaliveNanos = 300'000'000'000;        // silence, then PING
inline constexpr std::uint64_t kHttp2KeepaliveTimeoutNanos = 20'000'000'000;  // then closed
inline constexpr std::uint64_t kHttp2LingerNanos = 1'000'000'000;  // last bytes of a closing one
inline constexpr std::size_t kGrpcCompressBytesMin = 1024;         // smaller answers stay plain
inline constexpr std::uint64_t kChannelBackoffNanosMin = 100'000'000;
inline constexpr std::uint64_t kChannelBackoffNanosMax = 10'000'000'000;

// --- calls -------------------------------------------------------------------------------------
inline constexpr std::size_t kCallsInFlight = 4096;           // whole node
inline constexpr std::size_t kLongLivedCallsInFlight = 1024;  // endless, bidirectional
inline constexpr std::size_t kErrorMessageBytes = 4096;       // longer texts are cut
inline constexpr std::size_t kJsonNestingDepth = 64;
inline constexpr std::size_t kJsonBytes = 16U << 20;  // one JSON text
inline constexpr std::size_t kEventSubscribers = 64;
inline constexpr std::size_t kEventQueueLength = 1024;      // per subscriber
inline constexpr std::size_t kNodeStateBytes = 16U << 20;   // the recorded state
inline constexpr std::size_t kMountTableBytes = 16U << 20;  // /proc/self/mounts

// --- runtime -----------------------------------------------------------------------------------
inline constexpr unsigned kReactorsMax = 64;
inline constexpr unsigned kRingEntries = 1024;
inline constexpr unsigned kRingCompletionEntries = 8192;
inline constexpr std::uint64_t kStallNanos = 25'000'000;  // a task that held a core

// --- devices and pools -------------------------------------------------------------------------
inline constexpr std::size_t kDevicesMax = 4096;
inline constexpr std::size_t kDeviceUriBytes = 4096;
inline constexpr std::uint64_t kMallocDeviceBytesMax = 64ULL << 30;
inline constexpr std::size_t kDeviceIoBytesMax = 32U << 20;  // one read or write
inline constexpr std::size_t kPoolsMax = 1024;
inline constexpr std::size_t kPoolNameBytesMax = 63;         // lvs-format section 8.1
inline constexpr std::size_t kReplicaNameBytesMax = 63;      // lvs-format section 15
inline constexpr std::size_t kReplicaChainDepthMax = 1024;   // snapshots below a replica
inline constexpr std::size_t kPoolScanReadBytes = 1U << 20;  // one read of a pool load
inline constexpr std::size_t kPoolScanKeptPages = 16384;     // pages a scan keeps in memory
inline constexpr std::size_t kPoolLoadReadsInFlight = 32;
inline constexpr std::size_t kPoolCopyBytes = 1U << 20;      // one step of copy-on-write
inline constexpr std::size_t kReplicaSegmentsInFlight = 64;  // clusters of one request
inline constexpr std::uint64_t kClusterBytesMax = 1ULL << 30;
inline constexpr std::size_t kImageChunkBytes = 1U << 20;       // ImportImage / ExportImage
inline constexpr std::uint64_t kImageWindowBytes = 1ULL << 30;  // looked at for holes at once

}  // namespace capstan::limits
