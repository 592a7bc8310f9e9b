// Why this file exists: every bound of the NVMe/TCP target in one place. What has more to ask for
// than this gets a defined answer: a status, or the end of its connection. Units are in the names.
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::storage::nvme::limits {

// --- what a target tells its hosts (nvme-tcp section 1) -----------------------------------------
inline constexpr std::uint32_t kIoQueueEntries = 128;     // per I/O queue, MQES + 1
inline constexpr std::uint32_t kAdminQueueEntries = 128;  // of an admin queue
inline constexpr std::uint16_t kIoQueues = 64;            // per controller, without the admin queue
inline constexpr std::uint32_t kInCapsuleBytes = 8192;    // data that travels within a command
inline constexpr std::uint32_t kIoBytes = 128U << 10;     // one command: MDTS
inline constexpr std::uint32_t kAsyncEvents = 4;          // requests that may wait, AERL + 1
inline constexpr std::uint32_t kNamespaces = 32;          // NN of a subsystem that asks for none
inline constexpr std::uint32_t kNamespacesMax = 1024;     // NN of any
inline constexpr std::uint32_t kDsmRanges = 256;          // what one command can say
inline constexpr std::uint32_t kDsmRangesTold = 16;       // DMRL
inline constexpr std::uint32_t kDsmRangeBlocks = 2U << 20;     // DMRSL
inline constexpr std::uint64_t kZeroesStepBytes = 16U << 20;   // WZSL 12; larger ones go in steps
inline constexpr std::uint32_t kKeepAliveUnitMillis = 10'000;  // KAS 100, and the least KATO
inline constexpr std::uint32_t kDiscoveryKeepAliveMillis = 120'000;  // when a host asks for none

// --- what a host may cost -----------------------------------------------------------------------
inline constexpr std::size_t kConnections = 16384;  // per target, if that many files may be open
inline constexpr std::size_t kNewcomersShare = 8;   // of these, one in so many before Connect
inline constexpr std::size_t kSubsystems = 2048;    // per target
inline constexpr std::size_t kAllowedHosts = 256;   // per subsystem
inline constexpr std::size_t kListeners = 64;       // per target
inline constexpr std::size_t kReferrals = 64;       // other discovery services, per target
inline constexpr std::size_t kRegistrants = 64;     // of a namespace's reservation
inline constexpr std::size_t kReservationNotices = 64;  // unread ones, per controller
inline constexpr std::size_t kReservationFileBytes = 64U << 10;
inline constexpr std::size_t kReadBytes = 32U << 10;        // read buffer of a connection
inline constexpr std::size_t kDirectReadBytes = 16U << 10;  // more goes to its place unbuffered
inline constexpr std::size_t kHeaderReadBytes = 256;        // what is read behind such data
inline constexpr std::size_t kBufferBytes = 256U << 20;     // data of all running commands
inline constexpr std::size_t kConnectionBufferBytes = 4U << 20;  // of these, for one connection
inline constexpr std::size_t kOutputPauseBytes = 1U << 20;       // unread answers, then no reading
inline constexpr std::size_t kOutputJoinBytes = 16U << 10;  // answers up to this leave together
inline constexpr std::size_t kOutputChunkBytes = 128U << 10;
inline constexpr std::size_t kOutputWriteBytes = 256U << 10;  // of one write, unless one piece
inline constexpr std::size_t kTurnBytes = 32U << 10;  // moved, then the answers gathered leave
inline constexpr std::uint32_t kEarlyCommands = 32;   // before Connect said how many

// --- times --------------------------------------------------------------------------------------
inline constexpr std::uint64_t kHandshakeNanos = 30'000'000'000;     // until ICReq
inline constexpr std::uint64_t kConnectNanos = 120'000'000'000;      // from there to Connect
inline constexpr std::uint64_t kTerminateNanos = 30'000'000'000;     // for the host to close
inline constexpr std::uint64_t kStallNanos = 60'000'000'000;         // data or answers not moving
inline constexpr std::uint64_t kAssociationNanos = 120'000'000'000;  // not enabled for so long
inline constexpr std::uint64_t kResetNanos = 15'000'000'000;         // I/O queues must be gone
inline constexpr std::uint64_t kAcceptPauseNanos = 100'000'000;      // after a failed accept

}  // namespace capstan::storage::nvme::limits
