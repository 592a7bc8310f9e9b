// Why this file exists: the 4096-byte structures of the Identify command, field by field, from
// plain values. No I/O and no decisions: what a controller may do is decided where the values are
// made. Source: nvme-tcp section 8; everything that is not set here is zero.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/uuid.h"
#include "storage/nvme/transport_sizes.h"

namespace capstan::storage::nvme {

inline constexpr std::size_t kIdentifyBytes = 4096;
inline constexpr std::uint32_t kNvmeVersion = 0x00020000;  // 2.0

struct ControllerIdentity {
  bool discovery = false;
  std::string serial, model, firmware, subsystem;
  std::uint16_t id = 0;
  std::array<std::uint16_t, 3> retry_delays{};  // CRDT1 to 3, in 100 ms
  std::uint32_t namespaces = 0;                 // NN
  bool flush_matters = true;                    // a volatile cache is present
  bool unmap = true;                            // Dataset Management deallocates
  bool ana = false;                             // ANA states are reported
  TransportSizes sizes = {};
};
// `to` has kIdentifyBytes; so have the others.
void store_identify_controller(std::uint8_t* to, const ControllerIdentity& identity);

struct NamespaceIdentity {
  std::uint64_t blocks = 0;
  std::uint32_t block_bytes = 512;
  bool thin = false;
  Uuid nguid;
  std::array<std::uint8_t, 8> eui64{};  // all zeros: none
  bool durable_reservations = false;    // they may persist through power loss
  std::uint32_t ana_group = 0;          // 0: none
};
void store_identify_namespace(std::uint8_t* to, const NamespaceIdentity& identity);
struct NamespaceNames {
  std::array<std::uint8_t, 8> eui64{};  // all zeros: none
  Uuid nguid, uuid;
};
void store_namespace_descriptors(std::uint8_t* to, const NamespaceNames& names);
// Limits of the NVM command set (CNS 6).
void store_command_set_limits(std::uint8_t* to, std::uint32_t dsm_range_blocks,
                              std::uint8_t zeroes_size);
// What does not depend on a command set (CNS 8).
void store_independent_namespace(std::uint8_t* to, bool durable_reservations,
                                 std::uint32_t ana_group);

}  // namespace capstan::storage::nvme
