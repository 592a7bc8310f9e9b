// Why this file exists: NVMe commands and completions as bytes: the 64-byte submission entry, the
// 16-byte completion entry, status codes with their "do not retry" bit, and the data of Connect and
// Dataset Management. Bytes in, values out; no I/O. Source: nvme-tcp sections 4, 6.1 and 14.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace capstan::storage::nvme {

inline constexpr std::size_t kCommandBytes = 64;
inline constexpr std::size_t kCompletionBytes = 16;
inline constexpr std::size_t kConnectDataBytes = 1024;
inline constexpr std::size_t kNqnBytes = 256;     // a field that holds one
inline constexpr std::size_t kNqnBytesMax = 223;  // of the name itself
inline constexpr std::size_t kDsmRangeBytes = 16;
inline constexpr std::uint32_t kBroadcastNamespace = 0xFFFFFFFF;
inline constexpr std::uint16_t kAnyController = 0xFFFF;
inline constexpr std::string_view kDiscoveryNqn = "nqn.2014-08.org.nvmexpress.discovery";

namespace opcode {
inline constexpr std::uint8_t kFabrics = 0x7F;
// admin queue
inline constexpr std::uint8_t kGetLogPage = 0x02, kIdentify = 0x06, kAbort = 0x08,
                              kSetFeatures = 0x09, kGetFeatures = 0x0A, kAsyncEvent = 0x0C,
                              kKeepAlive = 0x18;
// I/O queues
inline constexpr std::uint8_t kFlush = 0x00, kWrite = 0x01, kRead = 0x02, kCompare = 0x05,
                              kWriteZeroes = 0x08, kDatasetManagement = 0x09,
                              kReservationRegister = 0x0D, kReservationReport = 0x0E,
                              kReservationAcquire = 0x11, kReservationRelease = 0x15;
}  // namespace opcode

namespace fabrics {
inline constexpr std::uint8_t kPropertySet = 0x00, kConnect = 0x01, kPropertyGet = 0x04;
}

namespace property {
inline constexpr std::uint32_t kCap = 0x00, kVs = 0x08, kCc = 0x14, kCsts = 0x1C, kNssr = 0x20,
                               kAqa = 0x24, kAsq = 0x28, kAcq = 0x30, kCrto = 0x68;
}

namespace feature {
inline constexpr std::uint8_t kArbitration = 0x01, kPower = 0x02, kTemperature = 0x04,
                              kErrorRecovery = 0x05, kWriteCache = 0x06, kQueues = 0x07,
                              kInterruptCoalescing = 0x08, kInterruptVector = 0x09,
                              kWriteAtomicity = 0x0A, kAsyncEvents = 0x0B, kKeepAlive = 0x0F,
                              kHostBehavior = 0x16, kHostId = 0x81, kReservationMask = 0x82,
                              kReservationPersistence = 0x83;
}

namespace log_page {
inline constexpr std::uint8_t kSupported = 0x00, kErrors = 0x01, kHealth = 0x02, kFirmware = 0x03,
                              kChangedNamespaces = 0x04, kEffects = 0x05, kAna = 0x0C,
                              kFeatures = 0x12, kDiscovery = 0x70, kReservation = 0x80;
}

// SCT, SC and whether the host had better not repeat the command.
struct Status {
  std::uint8_t type = 0, code = 0;
  bool do_not_retry = false;
  std::uint8_t retry_delay = 0;  // CRD
  bool ok() const { return type == 0 && code == 0; }
  bool operator==(const Status&) const = default;
};

namespace status {
inline constexpr Status kSuccess{};
inline constexpr Status kInvalidOpcode{0, 0x01, true};
inline constexpr Status kInvalidField{0, 0x02, true};
inline constexpr Status kCommandIdConflict{0, 0x03, true};
inline constexpr Status kDataTransferError{0, 0x04};
inline constexpr Status kInternalError{0, 0x06};
inline constexpr Status kAborted{0, 0x07};
inline constexpr Status kFusedFailed{0, 0x09};   // the other half of the pair has
inline constexpr Status kFusedMissing{0, 0x0A};  // the other half of the pair
inline constexpr Status kInvalidNamespace{0, 0x0B, true};
inline constexpr Status kCommandSequence{0, 0x0C};
inline constexpr Status kFeatureSequence{0, 0x0C, true};  // never at this time: Set Host Identifier
inline constexpr Status kDataLengthInvalid{0, 0x0F, true};
inline constexpr Status kHostIdFormat{0, 0x18, true};
inline constexpr Status kKeepAliveInvalid{0, 0x1A, true};
inline constexpr Status kTransientTransport{0, 0x22};
inline constexpr Status kLbaOutOfRange{0, 0x80, true};
inline constexpr Status kCapacityExceeded{0, 0x81};
inline constexpr Status kNamespaceNotReady{0, 0x82};
inline constexpr Status kReservationConflict{0, 0x83};
inline constexpr Status kInvalidQueueId{1, 0x01, true};
inline constexpr Status kAsyncEventLimit{1, 0x05, true};
inline constexpr Status kInvalidLogPage{1, 0x09, true};
inline constexpr Status kFeatureNotSaveable{1, 0x0D, true};
inline constexpr Status kFeatureNotChangeable{1, 0x0E, true};
inline constexpr Status kConnectFormat{1, 0x80};
inline constexpr Status kConnectBusy{1, 0x81};
inline constexpr Status kConnectParameter{1, 0x82};  // also: property that cannot be set or read
inline constexpr Status kConnectHost{1, 0x84};
inline constexpr Status kWriteFault{2, 0x80};
inline constexpr Status kReadError{2, 0x81};
inline constexpr Status kCompareFailure{2, 0x85, true};
inline constexpr Status kAnaPersistentLoss{3, 0x01};
inline constexpr Status kAnaInaccessible{3, 0x02};
inline constexpr Status kAnaTransition{3, 0x03};
}  // namespace status

enum class Direction : std::uint8_t { kNone = 0, kToController = 1, kToHost = 2, kBoth = 3 };

// A submission entry. Fields are read from its bytes, so nothing is lost on the way.
struct Command {
  std::array<std::uint8_t, kCommandBytes> bytes{};

  static Command load(const std::uint8_t* from) {
    Command command;
    std::memcpy(command.bytes.data(), from, kCommandBytes);
    return command;
  }
  template <class T>
  T get(std::size_t offset) const {
    return load_le<T>(bytes.data() + offset);
  }
  template <class T>
  void set(std::size_t offset, T value) {
    store_le(bytes.data() + offset, value);
  }
  std::uint8_t opcode() const { return bytes[0]; }
  std::uint8_t fused() const { return bytes[1] & 3; }  // kFusedFirst, kFusedSecond or 0
  std::uint16_t id() const { return get<std::uint16_t>(2); }
  std::uint32_t nsid() const { return get<std::uint32_t>(4); }
  std::uint8_t fabrics_type() const { return bytes[4]; }  // when opcode() is kFabrics
  std::uint64_t data_address() const { return get<std::uint64_t>(24); }
  std::uint32_t data_length() const { return get<std::uint32_t>(32); }
  std::uint8_t data_type() const { return bytes[39]; }
  // n from 10 to 15
  std::uint32_t dword(unsigned n) const { return get<std::uint32_t>(std::size_t{n} * 4); }
  std::uint64_t first_block() const { return get<std::uint64_t>(40); }
  std::uint32_t blocks() const { return get<std::uint16_t>(48) + 1U; }
  bool is_fabrics() const { return opcode() == opcode::kFabrics; }
  Direction direction() const {
    return static_cast<Direction>((is_fabrics() ? fabrics_type() : opcode()) & 3);
  }
};
inline constexpr std::uint8_t kFusedFirst = 1, kFusedSecond = 2;  // FUSE
inline constexpr std::uint8_t kSglInCapsule = 0x01;               // data block, offset
inline constexpr std::uint8_t kSglTransport = 0x5A;               // moved by R2T or C2HData
inline constexpr std::uint32_t kForceUnitAccess = 1U << 30;       // CDW12
inline constexpr std::uint32_t kDeallocate = 1U << 25;            // CDW12 of Write Zeroes
inline constexpr std::uint32_t kDsmDeallocate = 1U << 2;          // CDW11

struct Completion {
  std::uint32_t dword0 = 0, dword1 = 0;
  std::uint16_t queue_head = 0, command = 0;
  Status status;
  bool operator==(const Completion&) const = default;
};
std::array<std::uint8_t, kCompletionBytes> store_completion(const Completion& completion);
Completion load_completion(const std::uint8_t* from);

// Connect: the fields of its entry and of its data.
struct ConnectCommand {
  std::uint16_t format = 0, queue = 0, queue_size = 0;  // queue_size: zero-based
  std::uint8_t attributes = 0;
  std::uint32_t keep_alive_ms = 0;
  bool flow_control_disabled() const { return (attributes & 4) != 0; }
};
ConnectCommand load_connect(const Command& command);
void store_connect(Command& command, const ConnectCommand& connect);

using HostId = std::array<std::uint8_t, 16>;
struct ConnectData {
  HostId host_id{};
  std::uint16_t controller = kAnyController;
  std::optional<std::string> subsystem, host;  // nothing when not terminated within its field
};
ConnectData load_connect_data(const std::uint8_t* from);             // kConnectDataBytes
void store_connect_data(std::uint8_t* to, const ConnectData& data);  // kConnectDataBytes

struct DsmRange {
  std::uint32_t attributes = 0, blocks = 0;
  std::uint64_t first_block = 0;
};
// As many ranges as `bytes` holds.
std::vector<DsmRange> load_dsm_ranges(ByteView bytes);

// `text` into a field, the rest filled with `fill`; longer texts are cut.
void store_text(MutableBytes field, std::string_view text, char fill);
// Whether `nqn` may name a subsystem or host: 1 to 223 bytes, "nqn." first, printable.
bool valid_nqn(std::string_view nqn);

}  // namespace capstan::storage::nvme
