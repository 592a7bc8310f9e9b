// Why this file exists: the node's name space of devices: creating and destroying by URI with the
// codes of io-engine-behaviour section 4.1, aliases, limits, and calls that meet.
#include "storage/device/registry.h"

#include "base/limits.h"
#include "core/scope.h"
#include "storage/device/memory_device.h"
#include "storage/device/test_support.h"

namespace capstan::storage {
namespace {

constexpr char kUuid[] = "11111111-2222-4333-8444-555555555555";

class Registry : public DeviceTest {
 protected:
  std::shared_ptr<Device> create(const std::string& uri) {
    auto device = run(registry_.create(uri));
    EXPECT_TRUE(device) << device.error().text();
    return device ? *device : nullptr;
  }
  // Creating fails with the code and with a text that holds `hint`.
  void refused(const std::string& uri, Code code, const std::string& hint) {
    const auto device = run(registry_.create(uri));
    ASSERT_FALSE(device) << uri;
    EXPECT_EQ(code_name(device.error().code), code_name(code)) << uri;
    EXPECT_NE(device.error().text().find(hint), std::string::npos) << device.error().text();
  }
  Code destroy(const std::string& uri) { return code_of(registry_.destroy(uri)); }

  DeviceRegistry registry_{env_};
};

TEST_F(Registry, EverySupportedSchemeMakesItsDevice) {
  env_.add_disk("/dev/sda", {.size_bytes = 8U << 20});
  env_.add_disk("/dev/sdb", {.size_bytes = 8U << 20});
  EXPECT_EQ(create("aio:///dev/sda?blk_size=4096")->block_size(), 4096U);
  EXPECT_EQ(create("uring:///dev/sdb")->size_bytes(), 8U << 20);
  EXPECT_EQ(create("malloc:///m0?size_mb=64&uuid=" + std::string(kUuid))->uuid().text(), kUuid);
  EXPECT_EQ(create("null:///n0?num_blocks=10")->num_blocks(), 10U);
  EXPECT_EQ(create("bdev:///m0").get(), registry_.find("m0").get());
  std::vector<std::string> names;
  for (const auto* entry : registry_.list()) names.push_back(entry->device->name());
  EXPECT_EQ(names, (std::vector<std::string>{"/dev/sda", "/dev/sdb", "m0", "n0"}));
  EXPECT_EQ(registry_.entry("n0")->uri, "null:///n0?num_blocks=10");
}

TEST_F(Registry, DevicesAreFoundByNameUriAndUuid) {
  const auto device = create("malloc:///m0?size_mb=1");
  EXPECT_EQ(registry_.find("m0"), device);
  EXPECT_EQ(registry_.find("malloc:///m0?size_mb=1"), device);
  EXPECT_EQ(registry_.find_uuid(device->uuid()), device);
  EXPECT_EQ(registry_.find("m1"), nullptr);
  EXPECT_EQ(registry_.find_uuid(Uuid::from_name("x")), nullptr);
  EXPECT_EQ(registry_.entry("m1"), nullptr);
}

TEST_F(Registry, FailedCreationsCarryTheSentenceClientsMatch) {
  env_.add_disk("/dev/sda");
  refused("aio:///missing", Code::kNotFound, "Failed to create a BDEV '/missing'");
  refused("aio:///dev/sda?blk_size=1238513", Code::kInvalidArgument,
          "Failed to create a BDEV '/dev/sda'");
  refused("uring:///missing", Code::kNotFound, "Failed to create a BDEV");
  refused("uring:///dev/sda?blk_size=1238513", Code::kNotFound, "Failed to create a BDEV");
  refused("null:///n0", Code::kInvalidArgument, "Failed to create a BDEV 'n0'");
  refused("malloc:///m0?size_mb=99999999", Code::kInvalidArgument, "Failed to create a BDEV 'm0'");
  refused("malloc:///m0", Code::kInvalidArgument, "size_mb");
  refused("foo:///m0", Code::kInvalidArgument, "Unsupported URI scheme");
  EXPECT_TRUE(registry_.list().empty());
}

TEST_F(Registry, SchemesWithoutADriverSaySo) {
  refused("nvmf+tcp://10.0.0.1:8420/nqn.x", Code::kUnimplemented, "nvmf+tcp:// devices are not");
  refused("pcie:///0000:00:1e.0", Code::kUnimplemented, "aio:///dev/nvme0n1");
  refused("nexus:///n?size=1MiB&children=a", Code::kUnimplemented, "nexus://");
  refused("lvol:///v?size=1MiB&lvs=lvs:///p&disk=malloc:///d?size_mb=1", Code::kUnimplemented,
          "bdev:///<name>");
}

TEST_F(Registry, ANameIsTakenOnce) {
  const auto device = create("malloc:///m0?size_mb=1");
  refused("malloc:///m0?size_mb=1", Code::kAlreadyExists, "'m0' exists");
  refused("null:///m0?size_mb=1", Code::kAlreadyExists, "'m0' exists");
  refused("null:///n0?size_mb=1&uuid=" + device->uuid().text(), Code::kInvalidArgument, "'m0'");
  env_.add_disk("/dev/sda");
  create("aio:///dev/sda");
  refused("uring:///dev/sda", Code::kAlreadyExists, "exists");
  refused("aio:///dev/../dev/sda", Code::kAlreadyExists, "exists");
}

TEST_F(Registry, ReferencesToExistingDevices) {
  const auto device = create("malloc:///m0?size_mb=1&uuid=" + std::string(kUuid));
  EXPECT_EQ(create("loopback:///m0?uuid=" + std::string(kUuid)), device);
  refused("bdev:///m0?uuid=" + Uuid::from_name("x").text(), Code::kInvalidArgument, kUuid);
  refused("bdev:///m1", Code::kNotFound, "'m1' not found");
  EXPECT_EQ(destroy("bdev:///m0"), Code::kOk);
  EXPECT_EQ(destroy("loopback:///nothing"), Code::kOk);
  EXPECT_EQ(registry_.find("m0"), device);
  EXPECT_FALSE(device->retired());
}

TEST_F(Registry, DestroyedDevicesFailUnderTheirUsersAndFreeTheirName) {
  const auto device = create("malloc:///m0?size_mb=1");
  ASSERT_TRUE(device->claim("pool 'p'"));
  EXPECT_EQ(destroy("malloc:///m0?size_mb=1"), Code::kOk);
  EXPECT_EQ(code_of(device->flush()), Code::kUnavailable);
  EXPECT_EQ(registry_.find("m0"), nullptr);
  EXPECT_EQ(registry_.find("malloc:///m0?size_mb=1"), nullptr);
  EXPECT_EQ(destroy("malloc:///m0?size_mb=1"), Code::kNotFound);
  EXPECT_EQ(destroy("malloc:///m0"), Code::kInvalidArgument);
  EXPECT_NE(create("malloc:///m0?size_mb=1"), device);
}

TEST_F(Registry, DestroyTakesOnlyDevicesOfItsScheme) {
  create("malloc:///m0?size_mb=1");
  EXPECT_EQ(destroy("null:///m0"), Code::kNotFound);
  auto replica = std::make_shared<MemoryDevice>("r1", Uuid::from_name("r1"), 512, 2);
  ASSERT_TRUE(registry_.add({replica, "", {"p0/r1"}}));
  EXPECT_EQ(destroy("malloc:///r1?size_mb=1"), Code::kNotFound);
  EXPECT_EQ(registry_.find("r1"), replica);
}

TEST_F(Registry, OwnersRegisterTheirOwnDevices) {
  auto replica = std::make_shared<MemoryDevice>("r1", Uuid::from_name("r1"), 512, 2);
  ASSERT_TRUE(registry_.add({replica, "", {"p0/r1"}}));
  EXPECT_EQ(registry_.find("p0/r1"), replica);
  EXPECT_EQ(create("bdev:///p0/r1"), replica);
  EXPECT_EQ(registry_.add({replica, "", {}}).error().code, Code::kAlreadyExists);
  auto other = std::make_shared<MemoryDevice>("r2", Uuid::from_name("r2"), 512, 2);
  EXPECT_EQ(registry_.add({other, "", {"p0/r1"}}).error().code, Code::kAlreadyExists);
  EXPECT_EQ(registry_.add({other, "", {"r1"}}).error().code, Code::kAlreadyExists);
  EXPECT_EQ(registry_.list().size(), 1U);
  registry_.remove(registry_.entry("r1")->device->name());
  EXPECT_EQ(registry_.find("p0/r1"), nullptr);
  EXPECT_TRUE(registry_.add({other, "", {"p0/r1"}}));
  registry_.remove("never there");
}

TEST_F(Registry, RescanActsOnTheExistingDevice) {
  auto& disk = env_.add_disk("/dev/sda", {.size_bytes = 1U << 20});
  const auto device = create("aio:///dev/sda?rescan");
  disk.grow(2U << 20);
  EXPECT_EQ(create("aio:///dev/sda?rescan"), device);
  EXPECT_EQ(device->size_bytes(), 2U << 20);
  create("malloc:////dev/m?size_mb=1");
  refused("aio:///dev/m?rescan", Code::kAlreadyExists, "exists");
}

TEST_F(Registry, ResizeActsOnTheExistingDevice) {
  const auto device = create("malloc:///m0?size_mb=1");
  EXPECT_EQ(create("malloc:///m0?size_mb=2&resize"), device);
  EXPECT_EQ(device->size_bytes(), 2U << 20);
  ASSERT_TRUE(device->claim("pool 'p'"));
  refused("malloc:///m0?size_mb=1&resize", Code::kInvalidArgument, "cannot shrink");
  refused("malloc:///m0?size_mb=99999999&resize", Code::kInvalidArgument, "memory");
  create("null:///n0?size_mb=1");
  refused("malloc:///n0?size_mb=2&resize", Code::kAlreadyExists, "exists");
}

TEST_F(Registry, MallocDevicesShareOneLimit) {
  const auto half = std::to_string(limits::kMallocDeviceBytesMax >> 21);
  create("malloc:///m0?size_mb=" + half);
  create("malloc:///m1?size_mb=" + half);
  refused("malloc:///m2?size_mb=1", Code::kInvalidArgument, "together");
  EXPECT_EQ(destroy("malloc:///m0?size_mb=1"), Code::kOk);
  create("malloc:///m2?size_mb=1");
}

TEST_F(Registry, TheNumberOfDevicesIsLimited) {
  for (std::size_t i = 0; i < limits::kDevicesMax; ++i) {
    ASSERT_TRUE(run(registry_.create("null:///n" + std::to_string(i) + "?size_mb=1")));
  }
  refused("null:///one-more?size_mb=1", Code::kResourceExhausted, "devices already");
}

core::Task<void> create_counted(DeviceRegistry& registry, std::string uri, int& made, int& exists) {
  const auto device = co_await registry.create(std::move(uri));
  if (device) ++made;
  if (!device && device.error().code == Code::kAlreadyExists) ++exists;
}
core::Task<void> create_at_once(DeviceRegistry& registry, int& made, int& exists) {
  core::Scope scope;
  for (const char* uri : {"aio:///dev/sda", "uring:///dev/sda", "aio:///dev/sda?blk_size=4096"}) {
    scope.spawn(create_counted(registry, uri, made, exists));
  }
  co_await scope.join();
}
TEST_F(Registry, CallsForOneNameFollowEachOther) {
  env_.add_disk("/dev/sda");
  int made = 0, exists = 0;
  world_.run(create_at_once(registry_, made, exists));
  EXPECT_EQ(made, 1);
  EXPECT_EQ(exists, 2);
  EXPECT_EQ(registry_.list().size(), 1U);
}

}  // namespace
}  // namespace capstan::storage
