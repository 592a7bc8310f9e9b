// Why this file exists: see log_pages.h.
#include "storage/nvme/log_pages.h"

#include <algorithm>
#include <charconv>

#include "storage/nvme/limits.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::size_t kChangedIdsMax = 1024;
constexpr std::uint8_t kTcp = 3, kIpv4 = 1, kIpv6 = 2;
constexpr std::uint8_t kSubtypeReferral = 1, kSubtypeSubsystem = 2, kSubtypeCurrentDiscovery = 3;
// Says nothing about a secure channel (nvme-cli takes "not required" for a request), and that flow
// control can be switched off.
constexpr std::uint8_t kRequirements = 4;

std::string load_padded(ByteView field) {
  std::string_view text = as_text(field);
  text = text.substr(0, text.find('\0'));
  const auto end = text.find_last_not_of(' ');
  return std::string(text.substr(0, end == std::string_view::npos ? 0 : end + 1));
}

}  // namespace

LogPage health_page(const Health& health) {
  constexpr std::uint64_t kUnitBytes = 512'000;  // a thousand sectors, rounded up
  LogPage page(512);
  store_le<std::uint16_t>(page.data() + 1, 310);
  page[3] = 100;
  page[4] = 10;
  store_le(page.data() + 32, (health.read_bytes + kUnitBytes - 1) / kUnitBytes);
  store_le(page.data() + 48, (health.written_bytes + kUnitBytes - 1) / kUnitBytes);
  store_le(page.data() + 64, health.reads);
  store_le(page.data() + 80, health.writes);
  return page;
}

LogPage firmware_page(std::string_view firmware) {
  LogPage page(512);
  page[0] = 1;
  store_text({page.data() + 8, 8}, firmware, ' ');
  return page;
}

LogPage effects_page() {
  constexpr std::uint32_t kAdmin = 0x00300001, kReads = 0x00100001, kChanges = 0x00100003;
  LogPage page(4096);
  for (const std::uint8_t code :
       {opcode::kGetLogPage, opcode::kIdentify, opcode::kAbort, opcode::kSetFeatures,
        opcode::kGetFeatures, opcode::kAsyncEvent, opcode::kKeepAlive}) {
    store_le(page.data() + std::size_t{code} * 4, kAdmin);
  }
  for (const std::uint8_t code :
       {opcode::kFlush, opcode::kRead, opcode::kCompare, opcode::kReservationRegister,
        opcode::kReservationReport, opcode::kReservationAcquire, opcode::kReservationRelease}) {
    store_le(page.data() + 1024 + std::size_t{code} * 4, kReads);
  }
  for (const std::uint8_t code :
       {opcode::kWrite, opcode::kWriteZeroes, opcode::kDatasetManagement}) {
    store_le(page.data() + 1024 + std::size_t{code} * 4, kChanges);
  }
  return page;
}

LogPage supported_pages_page(bool discovery, bool ana) {
  using namespace log_page;
  LogPage page(1024);
  for (const std::uint8_t id : {kSupported, kFeatures}) {
    store_le<std::uint32_t>(page.data() + std::size_t{id} * 4, 1);
  }
  if (discovery) {
    store_le<std::uint32_t>(page.data() + std::size_t{kDiscovery} * 4, 1);
    return page;
  }
  for (const std::uint8_t id :
       {kErrors, kHealth, kFirmware, kChangedNamespaces, kEffects, kReservation}) {
    store_le<std::uint32_t>(page.data() + std::size_t{id} * 4, 1);
  }
  if (ana) store_le<std::uint32_t>(page.data() + std::size_t{kAna} * 4, 1);
  return page;
}

LogPage supported_features_page(bool discovery) {
  using namespace feature;
  LogPage page(1024);
  for (const std::uint8_t id : {kAsyncEvents, kKeepAlive}) {
    store_le<std::uint32_t>(page.data() + std::size_t{id} * 4, 1);
  }
  if (discovery) return page;
  for (const std::uint8_t id :
       {kArbitration, kPower, kTemperature, kErrorRecovery, kWriteCache, kQueues, kWriteAtomicity,
        kHostBehavior, kHostId, kReservationMask, kReservationPersistence}) {
    store_le<std::uint32_t>(page.data() + std::size_t{id} * 4, 1);
  }
  return page;
}

LogPage error_page() {
  return LogPage(128 * 64);  // there never was an error to tell
}

LogPage changed_namespaces_page(const std::vector<std::uint32_t>& ids) {
  LogPage page(kChangedIdsMax * 4);
  if (ids.size() > kChangedIdsMax) {
    store_le(page.data(), kBroadcastNamespace);
    return page;
  }
  for (std::size_t i = 0; i < ids.size(); ++i) store_le(page.data() + i * 4, ids[i]);
  return page;
}

LogPage discovery_page(std::uint64_t generation, const std::vector<DiscoveryRecord>& records) {
  LogPage page(kDiscoveryRecordBytes * (1 + records.size()));
  store_le(page.data(), generation);
  store_le<std::uint64_t>(page.data() + 8, records.size());
  std::uint8_t* at = page.data() + kDiscoveryRecordBytes;
  for (const auto& record : records) {
    at[0] = kTcp;
    at[1] = record.host.contains(':') ? kIpv6 : kIpv4;
    at[2] = record.referral    ? kSubtypeReferral
            : record.discovery ? kSubtypeCurrentDiscovery
                               : kSubtypeSubsystem;
    at[3] = kRequirements;
    store_le(at + 4, record.port);
    store_le(at + 6, kAnyController);
    store_le(at + 8, static_cast<std::uint16_t>(record.admin_entries));
    store_le<std::uint16_t>(at + 10, record.discovery && !record.referral ? 3 : 0);
    store_text({at + 32, 32}, std::to_string(record.service), ' ');
    store_text({at + 256, kNqnBytes}, record.subsystem, '\0');
    store_text({at + 512, 256}, record.host, ' ');
    at += kDiscoveryRecordBytes;
  }
  return page;
}

std::vector<DiscoveryRecord> load_discovery_records(ByteView page) {
  std::vector<DiscoveryRecord> records;
  if (page.size() < kDiscoveryRecordBytes) return records;
  const auto count = load_le<std::uint64_t>(page.data() + 8);
  page = page.subspan(kDiscoveryRecordBytes);
  for (std::uint64_t i = 0; i < count && page.size() >= kDiscoveryRecordBytes; ++i) {
    const std::uint8_t* at = page.data();
    const std::string service = load_padded({at + 32, 32});
    DiscoveryRecord record{load_padded({at + 256, kNqnBytes}),
                           load_padded({at + 512, 256}),
                           0,
                           load_le<std::uint16_t>(at + 4),
                           at[2] != kSubtypeSubsystem,
                           at[2] == kSubtypeReferral};
    const auto [end, failure] =
        std::from_chars(service.data(), service.data() + service.size(), record.service);
    const bool known =
        at[0] == kTcp && at[2] >= kSubtypeReferral && at[2] <= kSubtypeCurrentDiscovery;
    if (known && failure == std::errc() && end == service.data() + service.size()) {
      records.push_back(std::move(record));
    }
    page = page.subspan(kDiscoveryRecordBytes);
  }
  return records;
}

}  // namespace capstan::storage::nvme
