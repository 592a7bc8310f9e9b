// Why this file exists: whose a disk is, asked of disks that carry real and hand-made signatures.
#include "storage/device/signature.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "storage/device/error_device.h"
#include "storage/device/memory_device.h"
#include "storage/device/test_support.h"

namespace capstan::storage {
namespace {

constexpr std::size_t kDiskBytes = 16U << 20;
constexpr std::uint64_t kLastSector = kDiskBytes / 512 - 1;

class Signature : public DeviceTest {
 protected:
  void put(std::uint64_t offset, ByteView bytes) {
    Bytes sector =
        read_all(*disk_, offset / 512 * 512, (offset % 512 + bytes.size() + 511) / 512 * 512);
    std::copy(bytes.begin(), bytes.end(),
              sector.begin() + static_cast<std::ptrdiff_t>(offset % 512));
    write(*disk_, offset / 512 * 512, sector);
  }
  void put(std::uint64_t offset, std::string_view text) { put(offset, as_bytes(text)); }
  template <class T>
  void put_le(std::uint64_t offset, T value) {
    std::uint8_t bytes[sizeof value];
    store_le(bytes, value);
    put(offset, ByteView(bytes));
  }
  // What is found; "" when nothing is.
  std::string found() {
    const auto answer = run(foreign_signature(disk_));
    EXPECT_TRUE(answer) << answer.error().text();
    return answer ? answer->value_or("") : "error";
  }
  // The content of a file system as its own tool makes it.
  void put_ext4(const std::string& label) {
    const std::string path = testing::TempDir() + "capstan_ext4_" + std::to_string(getpid());
    std::ofstream(path).close();
    std::filesystem::resize_file(path, kDiskBytes);
    const std::string command =
        "PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -L '" + label + "' " + path + " >/dev/null 2>&1";
    ASSERT_EQ(std::system(command.c_str()), 0) << "mkfs.ext4 (e2fsprogs) is needed";
    std::ifstream in(path, std::ios::binary);
    Bytes image(kDiskBytes);
    in.read(reinterpret_cast<char*>(image.data()), static_cast<std::streamsize>(image.size()));
    ASSERT_EQ(in.gcount(), static_cast<std::streamsize>(image.size()));
    std::filesystem::remove(path);
    write(*disk_, 0, image);
  }
  void put_mbr(std::uint8_t type, std::uint32_t sectors) {
    put(446 + 4, ByteView(&type, 1));
    put_le<std::uint32_t>(446 + 8, type == 0xEE ? 1 : 2048);
    put_le<std::uint32_t>(446 + 12, sectors);
    put(510, "\x55\xAA");
  }
  void put_gpt(std::uint32_t sector);
  std::shared_ptr<MemoryDevice> disk_ =
      std::make_shared<MemoryDevice>("m0", Uuid::from_name("m0"), 512, kDiskBytes / 512);
};

// The CRC of zlib and of GPT, the slow way.
std::uint32_t crc32(ByteView bytes) {
  std::uint32_t crc = ~0U;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

// A GPT without backup and with one partition, for a disk of such sectors.
void Signature::put_gpt(std::uint32_t sector) {
  put_mbr(0xEE, static_cast<std::uint32_t>(kDiskBytes / sector - 1));
  Bytes entries(128 * 128);
  std::fill_n(entries.begin(), 32, std::uint8_t{0x5A});  // type and id
  store_le<std::uint64_t>(&entries[32], 1024);
  store_le<std::uint64_t>(&entries[40], 2047);
  Bytes header(92);
  std::copy_n("EFI PART", 8, header.begin());
  store_le<std::uint32_t>(&header[8], 0x00010000);
  store_le<std::uint32_t>(&header[12], 92);
  store_le<std::uint64_t>(&header[24], 1);
  store_le<std::uint64_t>(&header[32], kDiskBytes / sector - 1);
  store_le<std::uint64_t>(&header[40], 34);
  store_le<std::uint64_t>(&header[48], kDiskBytes / sector - 34);
  std::fill_n(header.begin() + 56, 16, std::uint8_t{0x77});
  store_le<std::uint64_t>(&header[72], 2);
  store_le<std::uint32_t>(&header[80], 128);
  store_le<std::uint32_t>(&header[84], 128);
  store_le<std::uint32_t>(&header[88], crc32(entries));
  store_le<std::uint32_t>(&header[16], crc32(header));
  put(sector, header);
  put(2 * sector, entries);
}

TEST_F(Signature, CleanDisksAndUnknownContentAreNobodys) {
  EXPECT_EQ(found(), "");
  write(*disk_, 0, pattern(kDiskBytes, 1));
  EXPECT_EQ(found(), "");
}

TEST_F(Signature, FileSystems) {
  put_ext4("old data");
  EXPECT_EQ(found(), "ext4 file system labelled 'old data'");
}

TEST_F(Signature, PartitionTables) {
  put_mbr(0x83, 8192);
  EXPECT_EQ(found(), "DOS (MBR) partition table");
}

TEST_F(Signature, GptOfBothSectorSizes) {
  put_gpt(512);
  EXPECT_EQ(found(), "GPT partition table");
  write(*disk_, 0, Bytes(1U << 20));
  EXPECT_EQ(found(), "");
  put_gpt(4096);
  EXPECT_EQ(found(), "protective MBR of a GPT partition table");
  Bytes image = read_all(*disk_, 0, kDiskBytes);
  disk_ = std::make_shared<MemoryDevice>("m1", Uuid::from_name("m1"), 4096, kDiskBytes / 4096);
  write(*disk_, 0, image);
  EXPECT_EQ(found(), "GPT partition table");
}

TEST_F(Signature, Encryption) {
  put(0, std::string_view("LUKS\xBA\xBE\0\1", 8));
  EXPECT_EQ(found(), "LUKS encrypted volume");
}

TEST_F(Signature, RaidMembersAreKnownByTheirLastBytes) {
  // Metadata version 1.0: 8 KiB before the end.
  const std::uint64_t super_sector = (kLastSector + 1) - 16;
  Bytes super(256);
  store_le<std::uint32_t>(&super[0], 0xA92B4EFC);
  store_le<std::uint32_t>(&super[4], 1);
  std::copy_n("array7", 6, super.begin() + 32);
  store_le<std::uint64_t>(&super[144], super_sector);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < super.size(); i += 4) sum += load_le<std::uint32_t>(&super[i]);
  store_le<std::uint32_t>(&super[216],
                          static_cast<std::uint32_t>(sum) + static_cast<std::uint32_t>(sum >> 32));
  put(super_sector * 512, super);
  EXPECT_EQ(found(), "Linux RAID member labelled 'array7'");
}

TEST_F(Signature, SeveralAtOnceAreAllNamed) {
  put_ext4("both");
  put(0, "hsqs");
  put_le<std::uint16_t>(28, 4);
  const std::string text = found();
  EXPECT_NE(text.find("ext4 file system labelled 'both'"), std::string::npos) << text;
  EXPECT_NE(text.find("squashfs"), std::string::npos) << text;
}

TEST_F(Signature, APoolIsNotForeign) {
  put_ext4("left over");
  Bytes super(4096);
  std::copy_n("SPDKBLOB", 8, super.begin());
  write(*disk_, 0, super);
  EXPECT_EQ(found(), "");
}

TEST_F(Signature, TinyDisks) {
  disk_ = std::make_shared<MemoryDevice>("m0", Uuid::from_name("m0"), 512, 1);
  EXPECT_EQ(found(), "");
  write(*disk_, 0, pattern(512, 1));
  EXPECT_EQ(found(), "");
}

TEST_F(Signature, AnUnreadableDiskIsAnErrorNeverACleanDisk) {
  for (const std::uint64_t offset : {std::uint64_t{0}, kLastSector * 512}) {
    auto bad = std::make_shared<ErrorInjectingDevice>(disk_);
    bad->inject({.kinds = {IoKind::kRead}, .offset = offset, .length = 512});
    const auto answer = run(foreign_signature(bad));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().sys_errno, EIO);
  }
}

}  // namespace
}  // namespace capstan::storage
