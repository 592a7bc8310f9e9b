// Why this file exists: see identify.h.
#include "storage/nvme/identify.h"

#include <algorithm>
#include <bit>

#include "storage/nvme/limits.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint8_t kEui64Type = 1, kNguidType = 2, kUuidType = 3;
constexpr std::uint8_t kReservationTypes = 0xFE;  // all six; keys may be ignored as in 1.3
constexpr std::uint32_t kSgls = 0x00100001;       // data blocks, offsets within capsules
constexpr std::uint32_t kNamespaceEvents = 1U << 8, kAnaEvents = 1U << 11,
                        kDiscoveryEvents = 1U << 31;

std::uint8_t reservation_capabilities(bool durable) {
  return durable ? kReservationTypes | 1 : kReservationTypes;
}

void store_ana_part(std::uint8_t* to, const ControllerIdentity& identity) {
  to[76] |= 8;
  to[342] = 10;    // seconds that a change may take
  to[343] = 0x1F;  // all states; which group a namespace is in may change
  store_le(to + 344, identity.namespaces);
  store_le(to + 348, identity.namespaces);
}

template <std::size_t kSize>
std::uint8_t* store_descriptor(std::uint8_t* to, std::uint8_t type,
                               const std::array<std::uint8_t, kSize>& value) {
  to[0] = type;
  to[1] = kSize;
  std::ranges::copy(value, to + 4);
  return to + 4 + kSize;
}

void store_common_part(std::uint8_t* to, const ControllerIdentity& identity) {
  store_text({to + 64, 8}, identity.firmware, ' ');
  to[77] = identity.sizes.mdts();
  store_le(to + 78, identity.id);
  store_le(to + 80, kNvmeVersion);
  const std::uint32_t io_events = kNamespaceEvents | (identity.ana ? kAnaEvents : 0);
  store_le(to + 92, identity.discovery ? kDiscoveryEvents : io_events);
  to[111] = identity.discovery ? 2 : 1;
  to[258] = 3;  // Abort commands at once, zero-based
  to[259] = limits::kAsyncEvents - 1;
  store_le<std::uint16_t>(to + 320, limits::kKeepAliveUnitMillis / 100);
  store_le(to + 514, static_cast<std::uint16_t>(identity.sizes.io_queue_entries));
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
  to[76] = 3;  // several ports, several controllers
  if (identity.ana) store_ana_part(to, identity);
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
  // Compare, Write Zeroes, reservations, and Dataset Management when it has an effect.
  store_le<std::uint16_t>(to + 520, identity.unmap ? 0x002D : 0x0029);
  store_le<std::uint16_t>(to + 522, 1);  // Compare and Write may be fused
  to[525] = identity.flush_matters ? 5 : 4;
  store_le(to + 540, identity.namespaces);
  store_le<std::uint32_t>(to + 1792, (kCommandBytes + identity.sizes.in_capsule_bytes) / 16);
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
  to[31] = reservation_capabilities(identity.durable_reservations);
  to[33] = 8;  // Write Zeroes may deallocate
  store_le(to + 92, identity.ana_group);
  std::ranges::copy(identity.nguid.bytes, to + 104);
  std::ranges::copy(identity.eui64, to + 120);
  to[130] = static_cast<std::uint8_t>(std::countr_zero(identity.block_bytes));
}

void store_namespace_descriptors(std::uint8_t* to, const NamespaceNames& names) {
  std::memset(to, 0, kIdentifyBytes);
  if (!all_zero(names.eui64)) to = store_descriptor(to, kEui64Type, names.eui64);
  to = store_descriptor(to, kNguidType, names.nguid.bytes);
  store_descriptor(to, kUuidType, names.uuid.bytes);
}

void store_command_set_limits(std::uint8_t* to, std::uint32_t dsm_range_blocks,
                              std::uint8_t zeroes_size) {
  std::memset(to, 0, kIdentifyBytes);
  to[1] = zeroes_size;  // Write Zeroes up to 2^this * 4 KiB
  to[3] = limits::kDsmRangesTold;
  store_le(to + 4, dsm_range_blocks);
  store_le(to + 8, std::uint64_t{limits::kDsmRangesTold} * dsm_range_blocks);
}

void store_independent_namespace(std::uint8_t* to, bool durable_reservations,
                                 std::uint32_t ana_group) {
  std::memset(to, 0, kIdentifyBytes);
  to[1] = 1;
  to[2] = reservation_capabilities(durable_reservations);
  store_le(to + 4, ana_group);
  to[14] = 1;  // ready
}

}  // namespace capstan::storage::nvme
