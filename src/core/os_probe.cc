// Why this file exists: see os_probe.h. The only user of libblkid's low-level probing.
#include "core/os_probe.h"

#include <blkid/blkid.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

namespace capstan::core {
namespace {

class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("capstan-probe", MFD_CLOEXEC)) {}
  ~MemoryFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }

  Result<void> put(std::uint64_t offset, ByteView bytes) const {
    while (!bytes.empty()) {
      const auto written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0) return fail_errno(errno, "fill a memory file for probing");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
    }
    return {};
  }

 private:
  int fd_;
};

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<blkid_struct_probe, FreeProbe>;

// The value as printable ASCII: it ends up in messages and logs.
std::string value_of(blkid_probe probe, const char* name) {
  const char* data = nullptr;
  std::size_t size = 0;
  if (blkid_probe_lookup_value(probe, name, &data, &size) != 0 || data == nullptr) return {};
  std::string out;
  for (const char* c = data; c < data + size && *c != '\0'; ++c) {
    out += (*c >= 0x20 && *c < 0x7F) ? *c : '?';
  }
  return out;
}

std::string describe_content(blkid_probe probe, const std::string& type) {
  struct Known {
    std::string_view type, text;
  };
  static constexpr auto kKnown = std::to_array<Known>({
      {"LVM2_member", "LVM physical volume"},
      {"LVM1_member", "LVM physical volume"},
      {"linux_raid_member", "Linux RAID member"},
      {"crypto_LUKS", "LUKS encrypted volume"},
      {"zfs_member", "ZFS pool member"},
      {"ceph_bluestore", "Ceph OSD"},
      {"swap", "Linux swap area"},
      {"swsuspend", "Linux hibernation image"},
  });
  std::string text;
  for (const auto& known : kKnown) {
    if (known.type == type) text = known.text;
  }
  if (text.empty()) {
    const std::string usage = value_of(probe, "USAGE");
    if (usage == "filesystem")
      text = type + " file system";
    else if (usage == "raid")
      text = type + " member";
    else if (usage == "crypto")
      text = type + " encrypted volume";
    else
      text = type + " signature";
  }
  const std::string label = value_of(probe, "LABEL");
  if (!label.empty()) text += " labelled '" + label + "'";
  return text;
}

void add_findings(blkid_probe probe, std::vector<std::string>& found) {
  const std::string type = value_of(probe, "TYPE");
  if (!type.empty()) found.push_back(describe_content(probe, type));
  const std::string table = value_of(probe, "PTTYPE");
  if (table == "gpt") {
    found.emplace_back("GPT partition table");
  } else if (table == "PMBR") {  // the table itself is damaged, or made for another sector size
    found.emplace_back("protective MBR of a GPT partition table");
  } else if (table == "dos") {
    found.emplace_back("DOS (MBR) partition table");
  } else if (!table.empty()) {
    found.push_back(table + " partition table");
  }
}

constexpr int kAmbivalent = -2;  // of blkid_do_safeprobe; 0 found, 1 nothing, -1 error

Result<std::vector<std::string>> findings(blkid_probe probe) {
  blkid_probe_enable_superblocks(probe, 1);
  blkid_probe_set_superblocks_flags(
      probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_MAGIC);
  blkid_probe_enable_partitions(probe, 1);
  std::vector<std::string> found;
  int answer = blkid_do_safeprobe(probe);
  if (answer == 0) {
    add_findings(probe, found);
  } else if (answer == kAmbivalent) {  // several file systems at once: name them all
    blkid_reset_probe(probe);
    while ((answer = blkid_do_probe(probe)) == 0) add_findings(probe, found);
    if (found.empty()) found.emplace_back("contradictory signatures");
  }
  if (answer < 0 && answer != kAmbivalent) {
    return fail(Code::kInternal, "libblkid failed while looking for signatures", EIO);
  }
  return found;
}

}  // namespace

Result<std::optional<std::string>> probe_signature(ByteView head, ByteView tail,
                                                   std::uint64_t size_bytes,
                                                   std::uint32_t sector_bytes) {
  const MemoryFile file;
  if (file.fd() < 0) return fail_errno(errno, "make a memory file for probing");
  if (::ftruncate(file.fd(), static_cast<off_t>(size_bytes)) != 0) {
    return fail_errno(errno, "size a memory file for probing");
  }
  TRY(file.put(0, head));
  TRY(file.put(size_bytes - tail.size(), tail));

  const Probe probe(blkid_new_probe());
  if (!probe) return fail_errno(ENOMEM, "make a libblkid probe");
  if (blkid_probe_set_device(probe.get(), file.fd(), 0, static_cast<blkid_loff_t>(size_bytes)) !=
          0 ||
      blkid_probe_set_sectorsize(probe.get(), sector_bytes) != 0) {
    return fail(Code::kInternal, "libblkid refused the memory file", EIO);
  }
  TRY_SET(const auto found, findings(probe.get()));
  if (found.empty()) return std::optional<std::string>();
  std::string text;
  for (std::size_t i = 0; i < found.size(); ++i) text += (i ? " and " : "") + found[i];
  return std::optional(std::move(text));
}

}  // namespace capstan::core
