// Why this file exists: see identify.h.
#include "storage/nvme/identify.h"

#include <algorithm>
#include <bit>

#include "storage/nvme/limits.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint8_t kUuidType = 3, kNguidType = 2;
constexpr std::uint32_t kSgls = 0x00100001;  // data blocks, offsets within capsules
constexpr std::uint32_t kNamespaceEvents = 1U << 8, kDiscoveryEvents = 1U << 31;

void store_common_part(std::uint8_t* to, const ControllerIdentity& identity) {
  store_text({to + 64, 8}, identity.firmware, ' ');
  to[77] = limits::kMdts;
  store_le(to + 78, identity.id);
  store_le(to + 80, kNvmeVersion);
  store_le(to + 92, identity.discovery ? kDiscoveryEvents : kNamespaceEvents);
  to[111] = identity.discovery ? 2 : 1;
  to[258] = 3;  // Abort commands at once, zero-based
  to[259] = limits::kAsyncEvents - 1;
  store_le<std::uint16_t>(to + 320, limits::kKeepAliveUnitMillis / 100);
  store_le<std::uint16_t>(to + 514, limits::kIoQueueEntries);
  store_le(to + 536, kSgls);
  store_text({to + 768, kNqnBytes}, identity.subsystem, '\0');
}

}  // namespace

void store_identify_controller(std::uint8_t* to, const ControllerIdentity& identity) {
  std::memset(to, 0, kIdentifyBytes);
  store_common_part(to, identity);
  if (identity.discovery) {
    to[261] = 4;  // log pages may be read in parts
    return;
  }
  store_text({to + 4, 20}, identity.serial, ' ');
  store_text({to + 24, 40}, identity.model, ' ');
  to[72] = 6;
  to[76] = 3;                           // several ports, several controllers
  store_le<std::uint32_t>(to + 96, 1);  // 128-bit host identifiers
  for (std::size_t i = 0; i < identity.retry_delays.size(); ++i) {
    store_le(to + 128 + 2 * i, identity.retry_delays[i]);
  }
  to[260] = 3;    // one firmware slot, read-only
  to[261] = 6;    // effects log, parts of log pages
  to[262] = 127;  // error log entries, zero-based
  store_le<std::uint16_t>(to + 266, 343);
  store_le<std::uint16_t>(to + 268, 373);
  to[512] = 0x66;
  to[513] = 0x44;
  store_le(to + 516, identity.namespaces);
  // Compare, Write Zeroes, and Dataset Management when it has an effect.
  store_le<std::uint16_t>(to + 520, identity.unmap ? 0x000D : 0x0009);
  to[525] = identity.flush_matters ? 5 : 4;
  store_le(to + 540, identity.namespaces);
  store_le<std::uint32_t>(to + 1792, (kCommandBytes + limits::kInCapsuleBytes) / 16);
  store_le<std::uint32_t>(to + 1796, kCompletionBytes / 16);
  to[1803] = 1;
}

void store_identify_namespace(std::uint8_t* to, const NamespaceIdentity& identity) {
  std::memset(to, 0, kIdentifyBytes);
  store_le(to, identity.blocks);
  store_le(to + 8, identity.blocks);
  store_le(to + 16, identity.blocks);
  to[24] = identity.thin ? 1 : 0;
  to[30] = 1;  // may be reached over several controllers
  to[33] = 8;  // Write Zeroes may deallocate
  std::ranges::copy(identity.uuid.bytes, to + 104);
  to[130] = static_cast<std::uint8_t>(std::countr_zero(identity.block_bytes));
}

void store_namespace_descriptors(std::uint8_t* to, const Uuid& uuid) {
  std::memset(to, 0, kIdentifyBytes);
  for (const std::uint8_t type : {kNguidType, kUuidType}) {
    to[0] = type;
    to[1] = static_cast<std::uint8_t>(uuid.bytes.size());
    std::ranges::copy(uuid.bytes, to + 4);
    to += 4 + uuid.bytes.size();
  }
}

void store_command_set_limits(std::uint8_t* to) {
  std::memset(to, 0, kIdentifyBytes);
  to[1] = 12;  // Write Zeroes up to 2^12 * 4 KiB
  to[3] = limits::kDsmRangesTold;
  store_le(to + 4, limits::kDsmRangeBlocks);
  store_le(to + 8, std::uint64_t{limits::kDsmRangesTold} * limits::kDsmRangeBlocks);
}

void store_independent_namespace(std::uint8_t* to) {
  std::memset(to, 0, kIdentifyBytes);
  to[1] = 1;
  to[14] = 1;  // ready
}

}  // namespace capstan::storage::nvme
