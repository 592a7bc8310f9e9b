// Why this file exists: the deciding half of block_devices.h.
#include "services/block_devices.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace capstan::services {

namespace v1 = ::mayastor::v1;

namespace {

constexpr std::string_view kGptLinuxData = "0fc63daf-8483-4772-8e79-3d69d8477de4";
constexpr std::string_view kDosLinux = "0x83";

template <class T>
T number(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? value : T{0};
}

std::string_view attribute(const UdevDevice& device, std::string_view key) {
  const auto it = device.attributes.find(key);
  return it == device.attributes.end() ? std::string_view() : it->second;
}

// Kinds of disks pools may stand on: loop, SCSI, NBD, local/experimental range, NVMe and virtio.
bool usable_major(std::uint32_t major) {
  static constexpr std::uint32_t kSingle[] = {7, 8, 43, 259};
  return std::ranges::find(kSingle, major) != std::end(kSingle) || (major >= 240 && major <= 255);
}

// A disk that is in truth one of our own volumes.
bool is_ours(std::string_view model) {
  return model == "Mayastor NVMe controller" || model == "Nexus_CAS_Driver";
}

bool usable_partition_type(const v1::BlockDevice::Partition& partition) {
  return (partition.scheme() == "gpt" && partition.typeid_() == kGptLinuxData) ||
         (partition.scheme() == "dos" && partition.typeid_() == kDosLinux);
}

void describe_filesystem(const UdevDevice& device, const std::vector<Mount>& mounts,
                         v1::BlockDevice& out) {
  v1::BlockDevice::Filesystem filesystem;
  filesystem.set_fstype(std::string(device.property("ID_FS_TYPE")));
  filesystem.set_label(std::string(device.property("ID_FS_LABEL")));
  filesystem.set_uuid(std::string(device.property("ID_FS_UUID")));
  for (const auto& mount : mounts) {
    if (mount.source != out.devname()) continue;
    if (filesystem.fstype().empty()) filesystem.set_fstype(mount.type);
    filesystem.add_mountpoints(mount.target);
  }
  if (filesystem.ByteSizeLong() != 0) *out.mutable_filesystem() = std::move(filesystem);
}

void describe_partition(const UdevDevice& device, std::string_view parent, v1::BlockDevice& out) {
  auto* partition = out.mutable_partition();
  partition->set_parent(std::string(parent));
  partition->set_number(number<std::uint32_t>(device.property("PARTN")));
  partition->set_name(std::string(device.property("PARTNAME")));
  partition->set_scheme(std::string(device.property("ID_PART_ENTRY_SCHEME")));
  partition->set_typeid_(std::string(device.property("ID_PART_ENTRY_TYPE")));
  partition->set_uuid(std::string(device.property("ID_PART_ENTRY_UUID")));
}

void add_links(std::string_view links, v1::BlockDevice& out) {
  while (!links.empty()) {
    const auto blank = links.find(' ');
    if (blank != 0) out.add_devlinks(std::string(links.substr(0, blank)));
    links = blank == std::string_view::npos ? std::string_view() : links.substr(blank + 1);
  }
}

// `disk` is null for a disk itself.
v1::BlockDevice describe(const UdevDevice& device, const UdevDevice* disk,
                         const std::vector<Mount>& mounts) {
  v1::BlockDevice out;
  out.set_devname(std::string(device.property("DEVNAME")));
  out.set_devtype(std::string(device.property("DEVTYPE")));
  out.set_devmajor(number<std::uint32_t>(device.property("MAJOR")));
  out.set_devminor(number<std::uint32_t>(device.property("MINOR")));
  out.set_model(std::string(device.property("ID_MODEL")));
  out.set_devpath(std::string(device.property("DEVPATH")));
  add_links(device.property("DEVLINKS"), out);
  out.set_size(number<std::uint64_t>(attribute(device, "size")));
  out.set_connection_type(std::string(device.property("ID_BUS")));
  if (device.attributes.contains("queue/rotational")) {
    out.set_is_rotational(attribute(device, "queue/rotational") == "1");
  }
  if (disk) describe_partition(device, disk->property("DEVNAME"), out);
  describe_filesystem(device, mounts, out);
  const bool whole_or_data =
      disk ? usable_partition_type(out.partition()) : device.partitions.empty();
  out.set_available(whole_or_data && out.size() > 0 && !is_ours(out.model()) &&
                    usable_major(out.devmajor()) && !out.has_filesystem());
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const bool escaped = text[i] == '\\' && i + 3 < text.size();
    const char* end = text.data() + i + 4;
    if (escaped && std::from_chars(text.data() + i + 1, end, value, 8).ptr == end && value < 256) {
      out.push_back(static_cast<char>(value));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

std::string_view UdevDevice::property(std::string_view key) const {
  const auto it = properties.find(key);
  return it == properties.end() ? std::string_view() : it->second;
}

std::vector<Mount> parse_mounts(std::string_view text) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    std::string_view fields[3];
    std::string_view rest = line;
    for (auto& field : fields) {
      field = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(field.size() + 1, rest.size()));
    }
    if (fields[2].empty()) continue;
    mounts.push_back({unescape(fields[0]), unescape(fields[1]), unescape(fields[2])});
  }
  return mounts;
}

std::vector<v1::BlockDevice> describe_block_devices(const std::vector<UdevDevice>& disks,
                                                    const std::vector<Mount>& mounts, bool all) {
  std::vector<v1::BlockDevice> out;
  const auto keep = [&](v1::BlockDevice device) {
    if (all || device.available()) out.push_back(std::move(device));
  };
  for (const auto& disk : disks) {
    keep(describe(disk, nullptr, mounts));
    for (const auto& partition : disk.partitions) keep(describe(partition, &disk, mounts));
  }
  return out;
}

}  // namespace capstan::services
