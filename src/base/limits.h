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
inline constexpr std::size_t kConnectionsMax = 16384;             // per listener
inline constexpr std::size_t kHttp2ReadBufferBytes = 64U << 10;   // per connection
inline constexpr std::size_t kHttp2WriteBytes = 256U << 10;       // one write to the socket
inline constexpr std::uint32_t kHttp2ResetBurst = 1000;           // then ENHANCE_YOUR_CALM
inline constexpr std::uint32_t kHttp2ResetsPerSecond = 50;        // refill of the burst
inline constexpr std::size_t kHttp2OutboundAcksMax = 1000;        // unsent PING/SETTINGS acks
inline constexpr std::size_t kHttp2SettingsEntriesMax = 32;       // per SETTINGS frame
inline constexpr std::uint64_t kHttp2KeepaliveNanos = 300'000'000'000;        // silence, then PING
inline constexpr std::uint64_t kHttp2KeepaliveTimeoutNanos = 20'000'000'000;  // then closed
inline constexpr std::uint64_t kHttp2LingerNanos = 1'000'000'000;  // last bytes of a closing one
inline constexpr std::uint64_t kHttp2HandshakeNanos = 10'000'000'000;  // until the first SETTINGS
inline constexpr std::uint64_t kHttp2DrainNanos = 1'000'000'000;       // for the PING of a drain
inline constexpr std::size_t kGrpcCompressBytesMin = 1024;             // smaller answers stay plain
// Requests of unary calls, received or being received, of calls that have not ended.
inline constexpr std::size_t kGrpcRequestBytesPerConnection = 32U << 20;
inline constexpr std::size_t kGrpcRequestBytes = 128U << 20;     // all connections of a server
inline constexpr std::size_t kGrpcStatusMessageBytes = 4096;     // as sent, percent-encoded
inline constexpr std::size_t kGrpcRunningCalls = 512;            // per connection, also left ones
inline constexpr std::uint64_t kAcceptPauseNanos = 100'000'000;  // after a failed accept
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
inline constexpr std::size_t kSpdkNotifications = 1024;     // kept for notify_get_notifications
inline constexpr std::size_t kNodeStateBytes = 16U << 20;   // the recorded state
inline constexpr std::size_t kMountTableBytes = 16U << 20;  // /proc/self/mounts

// --- HTTP --------------------------------------------------------------------------------------
inline constexpr std::size_t kHttpPathSteps = 32;  // of a declared path

// --- JSON-RPC ----------------------------------------------------------------------------------
inline constexpr std::size_t kJsonRpcTextBytes = 256U << 10;   // one request or batch; then closed
inline constexpr std::size_t kJsonRpcValues = 8192;            // JSON values of one text
inline constexpr std::size_t kJsonRpcConnections = 64;         // later ones wait to be accepted
inline constexpr std::size_t kJsonRpcReadBytes = 64U << 10;    // read buffer of a connection
inline constexpr std::size_t kJsonRpcAnswerBytes = 32U << 20;  // larger: an error instead
inline constexpr std::size_t kJsonRpcOutputPauseBytes = 1U << 20;  // unread answers: no reading
inline constexpr std::size_t kJsonRpcOutputBytes = 64U << 20;      // unread answers: cut off
inline constexpr std::size_t kJsonRpcCallsInFlight = 2048;  // per connection, then no reading
inline constexpr std::size_t kJsonRpcCallBytes = 4U << 20;  // of parameters of running calls
inline constexpr std::uint64_t kJsonRpcLingerNanos = 1'000'000'000;   // until the client closes too
inline constexpr std::size_t kJsonRpcAcceptPauseNanos = 100'000'000;  // after a failed accept

// --- dRPC --------------------------------------------------------------------------------------
inline constexpr std::size_t kDrpcMessageBytes = 64U << 20;      // one call or reply
inline constexpr std::size_t kDrpcMessagesBytes = 512U << 20;    // all that sessions hold at once
inline constexpr std::size_t kDrpcKeptBytes = 4U << 20;          // buffer kept for the next message
inline constexpr std::size_t kDrpcReserveBytes = 1U << 20;       // ahead of what has arrived
inline constexpr std::size_t kDrpcLegacyPacketBytes = 1U << 20;  // one unframed call
inline constexpr std::size_t kDrpcSessions = 1024;
inline constexpr std::size_t kDrpcBatchMessages = 65536;         // answers collected into one reply
inline constexpr std::uint64_t kDrpcGraceNanos = 5'000'000'000;  // calls at shutdown
inline constexpr std::uint64_t kDrpcAcceptPauseNanos = 100'000'000;  // after a failed accept

// --- WebSocket, Muxio and bitcode ---------------------------------------------------------------
inline constexpr std::uint64_t kWebSocketFrameBytes = 16U << 20;  // larger: close code 1009
inline constexpr std::uint64_t kWebSocketMessageBytes = 64U << 20;
inline constexpr std::size_t kHttp1HeadBytes = 16U << 10;  // request line and headers
inline constexpr std::size_t kHttp1Headers = 100;
inline constexpr std::uint64_t kDoorNanos = 10'000'000'000;  // from connecting to the first request
inline constexpr std::size_t kMuxioChunkBytes = 64U << 10;   // payload of one frame we send
inline constexpr std::size_t kMuxioFrameBytes = 16U << 20;   // payload of one frame we accept
inline constexpr std::size_t kMuxioStreams = 1024;           // unfinished, per connection
inline constexpr std::size_t kMuxioWaitingFrames = 1024;     // out of order, per connection
inline constexpr std::size_t kMuxioWaitingBytes = 64U << 20;
inline constexpr std::size_t kMuxioRequestBytes = 256U << 20;     // one call
inline constexpr std::size_t kMuxioUnfinishedBytes = 1U << 30;    // all calls that arrive at once
inline constexpr std::size_t kMuxioCallsInFlight = 1024;          // per connection, then no reading
inline constexpr std::size_t kMuxioReadBytes = 128U << 10;        // read buffer of a connection
inline constexpr std::size_t kMuxioOutputPauseBytes = 4U << 20;   // unread answers: no reading
inline constexpr std::size_t kMuxioStreamQueuedBytes = 1U << 20;  // unread messages of one call
inline constexpr std::uint64_t kMuxioPingNanos = 5'000'000'000;   // silence, then a ping
inline constexpr std::uint64_t kMuxioLingerNanos = 1'000'000'000;    // until the peer closes too
inline constexpr std::size_t kBitcodeListItems = 1U << 20;           // keys or entries of a request
inline constexpr std::size_t kBitcodeUnpackedBytes = 2048ULL << 20;  // of one request

// --- runtime -----------------------------------------------------------------------------------
inline constexpr unsigned kReactorsMax = 64;
inline constexpr unsigned kRingEntries = 1024;
inline constexpr unsigned kRingCompletionEntries = 8192;
inline constexpr std::size_t kZeroCopySendBytes = 32U << 10;     // less is copied for less
inline constexpr std::uint64_t kKeptSendsNanos = 1'000'000'000;  // of a ring that ends
inline constexpr std::uint64_t kStallNanos = 25'000'000;         // a task that held a core
inline constexpr unsigned kLogRecordsPerSecond = 50;             // of one event of one logger
inline constexpr std::uint64_t kShutdownNanos = 10'000'000'000;  // for calls in flight

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
inline constexpr std::size_t kPoolScanKeptPages =
    8192;  // metadata pages that a load keeps in memory
inline constexpr std::size_t kPoolScanReadsInFlight = 4;
inline constexpr std::size_t kPoolLoadReadsInFlight = 32;
inline constexpr std::size_t kPoolLoadBlobsAtOnce = 1024;       // chains followed side by side
inline constexpr std::size_t kPoolLoadPagesAtOnce = 4096;       // extent pages in memory
inline constexpr std::uint64_t kPoolClustersMax = 1ULL << 28;   // 1 PiB of 4 MiB; 32 MiB of bitmap
inline constexpr std::uint64_t kPoolMdPagesMax = 1ULL << 28;    // likewise
inline constexpr std::uint64_t kPoolMapGroupsMax = 4ULL << 20;  // 512 clusters each, all volumes
inline constexpr std::size_t kPoolDamagedVolumesMax = 4096;     // more: the masks are not believed
inline constexpr std::size_t kVolumeChainPagesMax = 65536;      // metadata without extent pages
inline constexpr std::size_t kVolumeAttributesMax = 1024;
inline constexpr std::size_t kPoolCopyBytes = 1U << 20;      // one step of copy-on-write
inline constexpr std::size_t kReplicaSegmentsInFlight = 64;  // clusters of one request
inline constexpr std::uint64_t kClusterBytesMax = 1ULL << 30;
inline constexpr std::size_t kImageChunkBytes = 1U << 20;       // ImportImage / ExportImage
inline constexpr std::size_t kImageExportsInFlight = 64;        // each holds about three chunks
inline constexpr std::uint64_t kImageWindowBytes = 1ULL << 30;  // looked at for holes at once

// --- stores ------------------------------------------------------------------------------------
inline constexpr std::size_t kKvStoresMax = 64;                 // per node
inline constexpr std::uint64_t kKvMapBytesMin = 1ULL << 36;     // address space of a store; grows
inline constexpr std::size_t kKvInlineWriteBytes = 256U << 10;  // larger ones leave the core
inline constexpr std::size_t kKvGroupBytes = 16U << 20;         // written and synced together
inline constexpr std::size_t kKvGroupBufferBytes = 1U << 20;    // kept between groups
inline constexpr std::size_t kKvStreamMemoryBytes = 1U << 20;   // of one stream; more goes to disk
inline constexpr std::uint64_t kKvTornBytesMax = 64ULL << 20;   // of a torn tail that are kept
inline constexpr std::size_t kKvRepairBytes = 64U << 20;        // newest bytes verified on open
inline constexpr std::size_t kKvStreamPieceBytes = 1U << 20;    // of ReadStream and WriteStream
inline constexpr std::size_t kKvListEntries = 1024;             // in one message of ListKeys
inline constexpr std::size_t kKvBatchEntries = 1U << 20;        // of one batch over the wires
inline constexpr std::size_t kKvWatchers = 64;                  // per store
inline constexpr std::size_t kKvWatchQueue = 4096;              // changes not taken, per watcher

}  // namespace capstan::limits
