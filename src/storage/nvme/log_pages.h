// Why this file exists: the content of log pages, from plain values, and the entries of the
// discovery log. No I/O. Source: nvme-tcp sections 9 and 12.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

inline constexpr std::size_t kDiscoveryRecordBytes = 1024;  // the header is as long

using LogPage = std::vector<std::uint8_t>;

struct Health {
  std::uint64_t reads = 0, writes = 0;              // commands
  std::uint64_t read_bytes = 0, written_bytes = 0;  // of data
};
LogPage health_page(const Health& health);
LogPage firmware_page(std::string_view firmware);
LogPage effects_page();
LogPage supported_pages_page(bool discovery, bool ana);
LogPage supported_features_page(bool discovery);
LogPage error_page();
// At most 1024 ids are told one by one.
LogPage changed_namespaces_page(const std::vector<std::uint32_t>& ids);

struct DiscoveryRecord {
  std::string subsystem;
  std::string host;                     // numeric address to connect to
  std::uint16_t service = 0, port = 0;  // TCP port; number of the listener
  bool discovery = false;               // a discovery service
  bool referral = false;                // of somebody else's
  std::uint32_t admin_entries = limits::kAdminQueueEntries;
};
LogPage discovery_page(std::uint64_t generation, const std::vector<DiscoveryRecord>& records);
// The other way round; nothing for a record that is no TCP subsystem.
std::vector<DiscoveryRecord> load_discovery_records(ByteView page);

}  // namespace capstan::storage::nvme
