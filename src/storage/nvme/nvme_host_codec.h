// Why this file exists: what a host reads from a controller: the structures of Identify, as plain
// values, and the texts of status codes. The other direction is in identify.h. Bytes in, values
// out; no I/O, and no trust: what contradicts itself is left out. Source: nvme-tcp sections 4.3 and
// 8.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

// Identify, CNS 1. Texts are without the blanks at their end.
struct ControllerData {
  std::string serial, model, firmware, subsystem;
  std::uint8_t multipath = 0;       // CMIC
  std::uint8_t transfer_shift = 0;  // MDTS; 0: no limit
  std::uint16_t id = 0;
  std::uint32_t version = 0, events = 0, attributes = 0;  // VER, OAES, CTRATT
  std::uint8_t type = 0;                                  // 1 I/O, 2 discovery, 0 not said
  bool fused_compare = false;                             // FUSES: Compare and Write
  std::array<std::uint16_t, 3> retry_delays{};            // CRDT1 to 3, in 100 ms
  std::uint8_t async_events = 0;                          // AERL, zero-based
  std::uint16_t keep_alive_unit = 0;                      // KAS, in 100 ms
  std::uint8_t ana_seconds = 0;                           // ANATT
  std::uint32_t ana_groups_max = 0, ana_groups = 0;       // ANAGRPMAX, NANAGRPID
  std::uint8_t queue_entry_bytes = 0;                     // SQES
  std::uint32_t namespaces = 0;                           // NN
  std::uint16_t commands = 0;                             // ONCS
  std::uint8_t cache = 0;                                 // VWC
  std::uint32_t sgl = 0;                                  // SGLS
  std::uint32_t capsule_units = 0;                        // IOCCSZ, in 16 bytes
  std::uint32_t response_units = 0;                       // IORCSZ
  std::uint16_t capsule_data_offset = 0;                  // ICDOFF

  bool ana() const { return (multipath & 8) != 0; }
  bool compare() const { return (commands & 1) != 0; }
  bool unmap() const { return (commands & 4) != 0; }
  bool write_zeroes() const { return (commands & 8) != 0; }
  bool reservations() const { return (commands & 0x20) != 0; }
  bool volatile_cache() const { return (cache & 1) != 0; }
};
ControllerData load_controller_data(const std::uint8_t* from);  // kIdentifyBytes

// Identify, CNS 0.
struct NamespaceData {
  std::uint64_t blocks = 0;
  std::uint32_t block_bytes = 0;     // 0: not a power of two from 512 to 64 KiB
  std::uint16_t metadata_bytes = 0;  // of each block
  std::uint8_t reservations = 0;     // RESCAP
  std::uint8_t deallocation = 0;     // DLFEAT
  std::uint32_t ana_group = 0;
  Uuid nguid;             // nil: none
  std::uint64_t eui = 0;  // big-endian as it stands there; 0: none
  bool zeroes_when_deallocated() const { return (deallocation & 7) == 1; }
  bool write_zeroes_deallocates() const { return (deallocation & 8) != 0; }
};
NamespaceData load_namespace_data(const std::uint8_t* from);  // kIdentifyBytes

// Identify, CNS 3.
struct NamespaceIds {
  Uuid uuid, nguid;  // nil: none
  std::uint8_t command_set = 0;
};
NamespaceIds load_namespace_ids(const std::uint8_t* from);  // kIdentifyBytes

// Identify, CNS 6 with command set 0. 0: no limit of its own.
struct CommandSetLimits {
  std::uint8_t zeroes_shift = 0;   // WZSL
  std::uint8_t ranges = 0;         // DMRL
  std::uint32_t range_blocks = 0;  // DMRSL
};
CommandSetLimits load_command_set_limits(const std::uint8_t* from);  // kIdentifyBytes

// Identify, CNS 2: ascending ids up to the first zero.
std::vector<std::uint32_t> load_namespace_list(const std::uint8_t* from);  // kIdentifyBytes

// "2.81 (unrecovered read error)"
std::string status_text(const Status& status);

}  // namespace capstan::storage::nvme
