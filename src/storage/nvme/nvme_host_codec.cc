// Why this file exists: see nvme_host_codec.h.
#include "storage/nvme/nvme_host_codec.h"

#include <algorithm>
#include <cstdio>

#include "storage/nvme/identify.h"

namespace capstan::storage::nvme {

namespace {

// A field of text: up to the first zero byte, without blanks at its end.
std::string load_text(const std::uint8_t* from, std::size_t size) {
  const auto* end = static_cast<const std::uint8_t*>(std::memchr(from, 0, size));
  std::string text(from, end ? end : from + size);
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

Uuid load_uuid(const std::uint8_t* from) {
  Uuid uuid;
  std::copy_n(from, uuid.bytes.size(), uuid.bytes.begin());
  return uuid;
}

constexpr unsigned kBlockShiftMin = 9, kBlockShiftMax = 16;

struct StatusName {
  std::uint8_t type, code;
  const char* text;
};
constexpr StatusName kStatusNames[] = {
    {0, 0x00, "success"},
    {0, 0x01, "invalid opcode"},
    {0, 0x02, "invalid field"},
    {0, 0x03, "command id conflict"},
    {0, 0x04, "data transfer error"},
    {0, 0x06, "internal error"},
    {0, 0x07, "aborted"},
    {0, 0x0B, "invalid namespace"},
    {0, 0x0C, "command out of sequence"},
    {0, 0x0F, "data length invalid"},
    {0, 0x18, "host identifier in another format"},
    {0, 0x1A, "keep alive time invalid"},
    {0, 0x22, "data damaged on the way"},
    {0, 0x80, "LBA out of range"},
    {0, 0x81, "capacity exceeded"},
    {0, 0x82, "namespace not ready"},
    {0, 0x83, "reservation conflict"},
    {1, 0x01, "invalid queue"},
    {1, 0x05, "too many event requests"},
    {1, 0x09, "invalid log page"},
    {1, 0x0D, "feature not saveable"},
    {1, 0x0E, "feature not changeable"},
    {1, 0x80, "connect: incompatible format"},
    {1, 0x81, "connect: controller busy"},
    {1, 0x82, "connect: invalid parameters"},
    {1, 0x83, "connect: restart discovery"},
    {1, 0x84, "connect: host not allowed"},
    {1, 0x91, "authentication required"},
    {2, 0x80, "write fault"},
    {2, 0x81, "unrecovered read error"},
    {2, 0x85, "compare failure"},
    {3, 0x01, "asymmetric access persistently lost"},
    {3, 0x02, "asymmetric access inaccessible"},
    {3, 0x03, "asymmetric access in transition"},
};

}  // namespace

ControllerData load_controller_data(const std::uint8_t* from) {
  ControllerData data;
  data.serial = load_text(from + 4, 20);
  data.model = load_text(from + 24, 40);
  data.firmware = load_text(from + 64, 8);
  data.multipath = from[76];
  data.transfer_shift = from[77];
  data.id = load_le<std::uint16_t>(from + 78);
  data.version = load_le<std::uint32_t>(from + 80);
  data.events = load_le<std::uint32_t>(from + 92);
  data.attributes = load_le<std::uint32_t>(from + 96);
  data.type = from[111];
  for (std::size_t i = 0; i < data.retry_delays.size(); ++i) {
    data.retry_delays[i] = load_le<std::uint16_t>(from + 128 + 2 * i);
  }
  data.async_events = from[259];
  data.keep_alive_unit = load_le<std::uint16_t>(from + 320);
  data.ana_seconds = from[342];
  data.ana_groups_max = load_le<std::uint32_t>(from + 344);
  data.ana_groups = load_le<std::uint32_t>(from + 348);
  data.queue_entry_bytes = from[512];
  data.namespaces = load_le<std::uint32_t>(from + 516);
  data.commands = load_le<std::uint16_t>(from + 520);
  data.fused_compare = (from[522] & 1) != 0;
  data.cache = from[525];
  data.sgl = load_le<std::uint32_t>(from + 536);
  data.subsystem = load_text(from + 768, kNqnBytes);
  data.capsule_units = load_le<std::uint32_t>(from + 1792);
  data.response_units = load_le<std::uint32_t>(from + 1796);
  data.capsule_data_offset = load_le<std::uint16_t>(from + 1800);
  return data;
}

NamespaceData load_namespace_data(const std::uint8_t* from) {
  NamespaceData data;
  data.blocks = load_le<std::uint64_t>(from);
  data.reservations = from[31];
  data.deallocation = from[33];
  data.ana_group = load_le<std::uint32_t>(from + 92);
  data.nguid = load_uuid(from + 104);
  data.eui = load_le<std::uint64_t>(from + 120);
  // The format in use: the low four bits of FLBAS, with bits 5 and 6 above them.
  const std::size_t format = (from[26] & 0xFU) | (from[26] >> 5 & 3U) << 4;
  const std::uint8_t* lba = from + 128 + format * 4;
  data.metadata_bytes = load_le<std::uint16_t>(lba);
  const unsigned shift = lba[2];
  if (shift >= kBlockShiftMin && shift <= kBlockShiftMax) data.block_bytes = 1U << shift;
  return data;
}

NamespaceIds load_namespace_ids(const std::uint8_t* from) {
  NamespaceIds ids;
  std::size_t at = 0;
  while (at + 4 <= kIdentifyBytes && from[at] != 0) {
    const std::uint8_t type = from[at];
    const std::size_t size = from[at + 1];
    if (size == 0 || at + 4 + size > kIdentifyBytes) break;
    const std::uint8_t* value = from + at + 4;
    if (type == 2 && size == 16) ids.nguid = load_uuid(value);
    if (type == 3 && size == 16) ids.uuid = load_uuid(value);
    if (type == 4 && size == 1) ids.command_set = *value;
    at += 4 + size;
  }
  return ids;
}

CommandSetLimits load_command_set_limits(const std::uint8_t* from) {
  return {from[1], from[3], load_le<std::uint32_t>(from + 4)};
}

std::vector<std::uint32_t> load_namespace_list(const std::uint8_t* from) {
  std::vector<std::uint32_t> ids;
  for (std::size_t at = 0; at < kIdentifyBytes; at += 4) {
    const auto id = load_le<std::uint32_t>(from + at);
    if (id == 0 || (!ids.empty() && id <= ids.back())) break;
    ids.push_back(id);
  }
  return ids;
}

std::string status_text(const Status& status) {
  std::array<char, 16> number;
  std::snprintf(number.data(), number.size(), "%u.%02X", status.type, status.code);
  std::string text = number.data();
  for (const auto& known : kStatusNames) {
    if (known.type == status.type && known.code == status.code) {
      return text + " (" + known.text + ")";
    }
  }
  return text;
}

}  // namespace capstan::storage::nvme
