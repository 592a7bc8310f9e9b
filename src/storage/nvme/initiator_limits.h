// Why this file exists: every bound of the NVMe/TCP initiator in one place. A target that says or
// asks for more gets a defined answer: less is used, or the connection ends. Units are in the
// names.
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::storage::nvme::limits {

// --- what a host asks for -----------------------------------------------------------------------
inline constexpr std::uint16_t kHostQueueEntries = 128;  // per I/O queue; a target may grant less
inline constexpr std::uint16_t kHostQueueEntriesMax = 1024;
inline constexpr std::uint16_t kHostAdminEntries = 32;
inline constexpr std::uint16_t kHostQueuesMax = 16;      // I/O queues of one controller
inline constexpr std::uint32_t kHostIoBytes = 1U << 20;  // one command, whatever a target takes
inline constexpr std::uint32_t kHostAdminCapsuleBytes = 8192;  // data within an admin command
inline constexpr std::uint32_t kHostCopyBytes = 16U << 10;     // data within a command, at most
inline constexpr std::size_t kHostSplitInFlight = 8;           // commands of one long request
inline constexpr unsigned kHostRetries = 5;                    // of a command that may pass
inline constexpr std::uint32_t kHostKeepAliveMillis = 10'000;

// --- what a target may cost ---------------------------------------------------------------------
inline constexpr std::size_t kHostControllers = 1024;       // per initiator
inline constexpr std::size_t kHostNamespaces = 1024;        // looked at, per controller
inline constexpr std::size_t kHostAnaLogBytes = 1U << 20;   // more groups: ANA is not used
inline constexpr std::size_t kHostDiscoveryRecords = 8192;  // of one discovery log
inline constexpr unsigned kHostDiscoveryTries = 4;          // of a log that changes meanwhile
inline constexpr std::size_t kHostR2tBytes = 512;  // data of an R2T, on the average of a command
inline constexpr std::size_t kHostR2tsFree = 8;    // that may be smaller
inline constexpr std::size_t kHostOutputCopyBytes = 1U << 20;  // unsent copies; then data is lent
inline constexpr std::size_t kHostReportBytes = 16U << 10;     // a reservation report

// --- times --------------------------------------------------------------------------------------
inline constexpr std::uint64_t kHostConnectNanos = 10'000'000'000;    // socket to usable controller
inline constexpr std::uint64_t kHostAdminNanos = 30'000'000'000;      // one admin command
inline constexpr std::uint64_t kHostIoNanos = 30'000'000'000;         // one I/O command
inline constexpr std::uint64_t kHostReconnectNanosMin = 100'000'000;  // doubled up to the one below
inline constexpr std::uint64_t kHostReconnectNanos = 10'000'000'000;
inline constexpr std::uint64_t kHostLossNanos = 600'000'000'000;  // then a controller is given up
inline constexpr std::uint64_t kHostFastFailNanos = 15'000'000'000;  // then its I/O fails
inline constexpr std::uint64_t kHostGoodbyeNanos = 2'000'000'000;    // an orderly shutdown
inline constexpr std::uint64_t kHostTermNanos = 1'000'000'000;       // to say why we hang up
inline constexpr std::uint64_t kHostReadyNanos = 10'000'000;         // between looks at CSTS

}  // namespace capstan::storage::nvme::limits
