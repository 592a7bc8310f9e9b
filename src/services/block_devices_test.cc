// Why this file exists: which disks a pool could take is decided from udev's words alone; every
// rule of io-engine-behaviour section 16.3 has a case here.
#include "services/block_devices.h"

#include <gtest/gtest.h>

#include "core/sim_env.h"

namespace capstan::services {
namespace {

UdevDevice disk(const std::string& name = "/dev/sdb") {
  UdevDevice out;
  out.properties = {{"DEVNAME", name},
                    {"DEVTYPE", "disk"},
                    {"MAJOR", "8"},
                    {"MINOR", "16"},
                    {"ID_MODEL", "QEMU_DISK"},
                    {"DEVPATH", "/devices/x/block/sdb"},
                    {"ID_BUS", "scsi"},
                    {"DEVLINKS", "/dev/disk/a /dev/disk/b"}};
  out.attributes = {{"size", "2048"}, {"queue/rotational", "1"}};
  return out;
}

UdevDevice partition(const std::string& scheme, const std::string& type) {
  UdevDevice out = disk("/dev/sdb1");
  out.properties["DEVTYPE"] = "partition";
  out.properties["PARTN"] = "1";
  out.properties["PARTNAME"] = "data";
  out.properties["ID_PART_ENTRY_SCHEME"] = scheme;
  out.properties["ID_PART_ENTRY_TYPE"] = type;
  out.properties["ID_PART_ENTRY_UUID"] = "u-1";
  out.attributes = {{"size", "1024"}};
  return out;
}

bool available(const UdevDevice& device, const std::vector<Mount>& mounts = {}) {
  return describe_block_devices({device}, mounts, true).front().available();
}

TEST(BlockDevices, FieldsComeFromUdev) {
  const auto list = describe_block_devices({disk()}, {}, false);
  ASSERT_EQ(list.size(), 1U);
  const auto& device = list.front();
  EXPECT_EQ(device.devname(), "/dev/sdb");
  EXPECT_EQ(device.devtype(), "disk");
  EXPECT_EQ(device.devmajor(), 8U);
  EXPECT_EQ(device.devminor(), 16U);
  EXPECT_EQ(device.model(), "QEMU_DISK");
  EXPECT_EQ(device.devpath(), "/devices/x/block/sdb");
  ASSERT_EQ(device.devlinks_size(), 2);
  EXPECT_EQ(device.devlinks(1), "/dev/disk/b");
  EXPECT_EQ(device.size(), 2048U);
  EXPECT_EQ(device.connection_type(), "scsi");
  EXPECT_TRUE(device.is_rotational());
  EXPECT_FALSE(device.has_partition());
  EXPECT_FALSE(device.has_filesystem());
  EXPECT_TRUE(device.available());
}

TEST(BlockDevices, PartitionsFollowTheirDisk) {
  auto parent = disk();
  parent.partitions = {partition("gpt", "0fc63daf-8483-4772-8e79-3d69d8477de4")};
  const auto list = describe_block_devices({parent}, {}, true);
  ASSERT_EQ(list.size(), 2U);
  EXPECT_FALSE(list[0].available()) << "a disk with partitions";
  EXPECT_TRUE(list[1].available());
  EXPECT_EQ(list[1].partition().parent(), "/dev/sdb");
  EXPECT_EQ(list[1].partition().number(), 1U);
  EXPECT_EQ(list[1].partition().name(), "data");
  EXPECT_EQ(list[1].partition().uuid(), "u-1");
  EXPECT_FALSE(list[1].has_is_rotational()) << "absent when udev does not say";
  EXPECT_EQ(describe_block_devices({parent}, {}, false).size(), 1U);
  parent.partitions = {partition("dos", "0x83"), partition("dos", "0x82"),
                       partition("gpt", "0x83")};
  EXPECT_EQ(describe_block_devices({parent}, {}, false).size(), 1U);
}

TEST(BlockDevices, WhatMakesADiskUnavailable) {
  EXPECT_TRUE(available(disk()));
  auto device = disk();
  device.attributes["size"] = "0";
  EXPECT_FALSE(available(device));
  for (const char* model : {"Mayastor NVMe controller", "Nexus_CAS_Driver"}) {
    device = disk();
    device.properties["ID_MODEL"] = model;
    EXPECT_FALSE(available(device)) << model;
  }
  for (const auto& [major, usable] : std::vector<std::pair<const char*, bool>>{{"7", true},
                                                                               {"8", true},
                                                                               {"43", true},
                                                                               {"240", true},
                                                                               {"255", true},
                                                                               {"259", true},
                                                                               {"1", false},
                                                                               {"11", false},
                                                                               {"239", false},
                                                                               {"253", true},
                                                                               {"256", false}}) {
    device = disk();
    device.properties["MAJOR"] = major;
    EXPECT_EQ(available(device), usable) << major;
  }
  for (const char* key : {"ID_FS_TYPE", "ID_FS_LABEL", "ID_FS_UUID"}) {
    device = disk();
    device.properties[key] = "x";
    EXPECT_FALSE(available(device)) << key;
  }
  EXPECT_FALSE(available(disk(), {{"/dev/sdb", "/mnt", "ext4"}}));
  EXPECT_TRUE(available(disk(), {{"/dev/sdc", "/mnt", "ext4"}}));
}

TEST(BlockDevices, FilesystemsAndMounts) {
  auto device = disk();
  device.properties["ID_FS_UUID"] = "f-1";
  const auto list = describe_block_devices(
      {device}, {{"/dev/sdb", "/a", "xfs"}, {"/dev/sda", "/", "ext4"}, {"/dev/sdb", "/b", "xfs"}},
      true);
  const auto& filesystem = list.front().filesystem();
  EXPECT_EQ(filesystem.fstype(), "xfs") << "from the mount when udev has none";
  EXPECT_EQ(filesystem.uuid(), "f-1");
  ASSERT_EQ(filesystem.mountpoints_size(), 2);
  EXPECT_EQ(filesystem.mountpoints(1), "/b");
}

TEST(BlockDevices, MountTable) {
  const auto mounts = parse_mounts(
      "/dev/sda1 / ext4 rw,relatime 0 0\n"
      "/dev/sdb /with\\040blank\\134 xfs rw 0 0\n"
      "broken\n"
      "proc /proc proc rw 0 0");
  ASSERT_EQ(mounts.size(), 3U);
  EXPECT_EQ(mounts[1].target, "/with blank\\");
  EXPECT_EQ(mounts[1].type, "xfs");
  EXPECT_EQ(mounts[2].source, "proc");
}

core::Task<void> ask_udev(Result<std::vector<UdevDevice>>* disks) {
  *disks = co_await read_udev();
}

TEST(BlockDevices, UdevAnswersOnThisMachine) {
  core::SimWorld world(1);
  Result<std::vector<UdevDevice>> disks = fail(Code::kUnknown, "never asked");
  world.run(ask_udev(&disks));
  ASSERT_TRUE(disks) << disks.error().text();
  for (const auto& one : *disks) EXPECT_EQ(one.property("DEVTYPE"), "disk");
}

}  // namespace
}  // namespace capstan::services
