// Why this file exists: file devices on simulated disks and files, and once on the real system with
// a real file, O_DIRECT and memory that O_DIRECT refuses.
#include "storage/device/file_device.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/untorn.h"
#include "core/uring_env.h"
#include "storage/device/test_support.h"

namespace capstan::storage {
namespace {

class FileDeviceTest : public DeviceTest {
 protected:
  Result<std::shared_ptr<FileDevice>> open(std::string path, std::uint32_t block_size = 0) {
    return run(FileDevice::open(env_, {.path = std::move(path), .block_size = block_size}));
  }
  std::shared_ptr<FileDevice> must_open(std::string path, std::uint32_t block_size = 0) {
    auto device = open(std::move(path), block_size);
    EXPECT_TRUE(device) << device.error().text();
    return device ? *device : nullptr;
  }
  void expect_refused(const std::string& path, std::uint32_t block_size, const std::string& hint) {
    const auto device = open(path, block_size);
    ASSERT_FALSE(device) << block_size;
    EXPECT_EQ(device.error().sys_errno, EINVAL);
    EXPECT_NE(device.error().text().find(hint), std::string::npos) << device.error().text();
  }
};

TEST_F(FileDeviceTest, BlockSizes) {
  env_.add_disk("/fine", {.size_bytes = 8U << 20, .block_bytes = 512});
  env_.add_disk("/coarse", {.size_bytes = 8U << 20, .block_bytes = 4096});
  EXPECT_EQ(must_open("/fine")->block_size(), 512U);
  EXPECT_EQ(must_open("/fine")->num_blocks(), 16384U);
  EXPECT_EQ(must_open("/fine", 4096)->block_size(), 4096U);
  EXPECT_EQ(must_open("/coarse")->block_size(), 4096U);
  expect_refused("/coarse", 512, "logical block of 4096");
  expect_refused("/fine", 1238513, "not a power of two");
  expect_refused("/fine", 256, "not a power of two from 512");
  expect_refused("/fine", 131072, "to 65536");
}

TEST_F(FileDeviceTest, OnlyPhysicalBlocksMakeFourKilobytesAtomic) {
  env_.add_disk("/plain", {.block_bytes = 512, .physical_block_bytes = 512});
  env_.add_disk("/emulated", {.block_bytes = 512, .physical_block_bytes = 4096});
  env_.add_disk("/native", {.block_bytes = 4096, .physical_block_bytes = 4096});
  EXPECT_FALSE(must_open("/plain")->atomic_4k());
  EXPECT_FALSE(must_open("/plain", 4096)->atomic_4k());
  EXPECT_TRUE(must_open("/emulated")->atomic_4k());
  EXPECT_TRUE(must_open("/native")->atomic_4k());
}

TEST_F(FileDeviceTest, IdentityIsStable) {
  env_.add_disk("/disk0");
  const Uuid first = must_open("/disk0")->uuid();
  EXPECT_EQ(must_open("/disk0")->uuid(), first);
  EXPECT_EQ(first, Uuid::from_name("/disk0"));
  const Uuid chosen = Uuid::from_name("chosen");
  const auto device = run(FileDevice::open(env_, {.path = "/disk0", .uuid = chosen}));
  ASSERT_TRUE(device);
  EXPECT_EQ((*device)->uuid(), chosen);
  EXPECT_EQ((*device)->name(), "/disk0");
  EXPECT_EQ((*device)->product(), "AIO disk");
}

TEST_F(FileDeviceTest, MissingAndBusy) {
  EXPECT_EQ(open("/missing").error().sys_errno, ENOENT);
  env_.add_disk("/disk0");
  const auto device = must_open("/disk0");
  EXPECT_EQ(open("/disk0").error().sys_errno, EBUSY);
}

TEST_F(FileDeviceTest, AnyMemoryWillDo) {
  env_.add_disk("/disk0", {.size_bytes = 16U << 20});
  const auto device = must_open("/disk0");
  const Bytes content = pattern((2U << 20) + 1536, 5);
  for (const std::size_t shift : {0U, 1U, 511U}) {
    Bytes memory(content.size() + shift);
    std::copy(content.begin(), content.end(), memory.begin() + static_cast<std::ptrdiff_t>(shift));
    ASSERT_TRUE(run(device->write(512, ByteView(memory).subspan(shift))));
    Bytes back(content.size() + shift);
    ASSERT_TRUE(run(device->read(512, MutableBytes(back).subspan(shift))));
    EXPECT_TRUE(std::equal(content.begin(), content.end(),
                           back.begin() + static_cast<std::ptrdiff_t>(shift)));
  }
  EXPECT_EQ(device->stats().write.ops, 3U);
  EXPECT_EQ(device->stats().write.bytes, 3 * content.size());
  EXPECT_EQ(device->stats().read.ops, 3U);
  EXPECT_GT(device->stats().read.min_latency_ns, 0U);
  EXPECT_GE(device->stats().read.max_latency_ns, device->stats().read.min_latency_ns);
}

TEST_F(FileDeviceTest, RangesAreCheckedBeforeTheDiskSeesThem) {
  env_.add_disk("/disk0", {.size_bytes = 1U << 20});
  const auto device = must_open("/disk0");
  Bytes memory(1024);
  const auto ios = env_.io_count();
  EXPECT_EQ(code_of(device->read(100, memory)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(device->write(1U << 20, memory)), Code::kOutOfRange);
  EXPECT_EQ(code_of(device->unmap(0, 2U << 20)), Code::kOutOfRange);
  EXPECT_EQ(code_of(device->write_zeroes(0, 100)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(device->read(0, {})), Code::kOk);
  EXPECT_EQ(env_.io_count(), ios);
}

TEST_F(FileDeviceTest, ZeroesAndUnmap) {
  env_.add_disk("/disk0");
  const auto device = must_open("/disk0");
  EXPECT_TRUE(device->supports_unmap());
  EXPECT_TRUE(device->volatile_cache());
  write(*device, 0, pattern(16384, 1));
  ASSERT_TRUE(run(device->write_zeroes(0, 4096)));
  ASSERT_TRUE(run(device->unmap(8192, 4096)));
  EXPECT_TRUE(all_zero(read_all(*device, 0, 4096)));
  EXPECT_TRUE(all_zero(read_all(*device, 8192, 4096)));
  EXPECT_EQ(device->stats().unmap.bytes, 4096U);

  env_.add_disk("/solid", {.volatile_cache = false, .discard = false});
  const auto solid = must_open("/solid");
  EXPECT_FALSE(solid->supports_unmap());
  EXPECT_FALSE(solid->volatile_cache());
  EXPECT_EQ(code_of(solid->unmap(0, 4096)), Code::kUnimplemented);
}

TEST_F(FileDeviceTest, FlushedDataSurvivesThePower) {
  env_.add_disk("/disk0");
  const Bytes content = pattern(65536, 4);
  {
    const auto device = must_open("/disk0");
    write(*device, 4096, content);
    ASSERT_TRUE(run(device->flush()));
  }
  env_.power_cut();
  env_.power_on();
  EXPECT_EQ(read_all(*must_open("/disk0"), 4096, content.size()), content);
}

TEST_F(FileDeviceTest, ErrorsOfTheDiskComeThrough) {
  auto& disk = env_.add_disk("/disk0");
  const auto device = must_open("/disk0");
  disk.inject({.kind = core::SimFault::Kind::kWrite});
  const auto failed = run(device->write(0, pattern(512, 1)));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().sys_errno, EIO);
  EXPECT_EQ(device->stats().write.ops, 0U);
  EXPECT_TRUE(run(device->write(0, pattern(512, 1))));
}

TEST_F(FileDeviceTest, RescanSeesADiskThatGrew) {
  auto& disk = env_.add_disk("/disk0", {.size_bytes = 1U << 20});
  const auto device = must_open("/disk0");
  EXPECT_FALSE(*run(device->rescan()));
  disk.grow(2U << 20);
  EXPECT_EQ(device->size_bytes(), 1U << 20);
  EXPECT_TRUE(*run(device->rescan()));
  EXPECT_EQ(device->size_bytes(), 2U << 20);
  write(*device, (2U << 20) - 512, pattern(512, 2));
}

TEST_F(FileDeviceTest, SizesThatAreNoWholeBlocksAreCutOff) {
  auto file = run(env_.files().open("/image", {.write = true, .create = true}));
  ASSERT_TRUE(file);
  ASSERT_TRUE(run((*file)->truncate(100)));
  expect_refused("/image", 0, "less than one block");
  ASSERT_TRUE(run((*file)->truncate(1000)));
  EXPECT_EQ(must_open("/image")->size_bytes(), 512U);
  ASSERT_TRUE(run((*file)->truncate(0)));
  expect_refused("/image", 0, "truncate -s");
}

core::Task<void> real_round_trip(core::Env& env, std::string path) {
  auto opened = co_await FileDevice::open(env, {.path = path});
  EXPECT_TRUE(opened) << opened.error().text();
  if (!opened) co_return;
  const auto device = *opened;
  EXPECT_EQ(device->size_bytes(), 8U << 20);
  EXPECT_EQ(device->block_size(), 512U);
  const Bytes content = pattern((1U << 20) + 512 + 1, 8);
  Bytes back(content.size());
  EXPECT_TRUE(co_await device->write(1536, ByteView(content).subspan(1)));
  EXPECT_TRUE(co_await device->flush());
  EXPECT_TRUE(co_await device->read(1536, MutableBytes(back).subspan(1)));
  EXPECT_TRUE(std::equal(content.begin() + 1, content.end(), back.begin() + 1));
  EXPECT_TRUE(co_await device->write_zeroes(1536, 512));
  EXPECT_TRUE(co_await device->unmap(8192, 65536));
  EXPECT_TRUE(co_await device->read(1536, MutableBytes(back).first(512)));
  EXPECT_TRUE(all_zero(ByteView(back).first(512)));
  EXPECT_TRUE(co_await device->read(8192, MutableBytes(back).first(65536)));
  EXPECT_TRUE(all_zero(ByteView(back).first(65536)));
  const auto missing = co_await FileDevice::open(env, {.path = path + ".missing"});
  EXPECT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  const auto directory = co_await FileDevice::open(env, {.path = testing::TempDir()});
  EXPECT_FALSE(directory);
}

TEST(FileDevice, RealFiles) {
  auto env = core::UringEnv::create({});
  ASSERT_TRUE(env) << env.error().text();
  const std::string path = testing::TempDir() + "capstan_file_device_" + std::to_string(getpid());
  std::ofstream(path).close();
  std::filesystem::resize_file(path, 8U << 20);
  (*env)->run(real_round_trip(**env, path));
  std::filesystem::remove(path);
}

// A file on a file system of 1 KiB blocks, and a partition that begins at sector 63, were taken for
// as untearable as the disk below: pools on them left shadow pages out.
TEST(FileDevice, FixedBugWhatADiskKeepsTogetherMayBeSpreadAbove) {
  EXPECT_EQ(core::untorn_bytes({512, 4096, "0", 0}), 4096U);
  EXPECT_EQ(core::untorn_bytes({512, 4096, "0", 4096}), 4096U);
  EXPECT_EQ(core::untorn_bytes({512, 4096, "0", 1024}), 1024U);
  EXPECT_EQ(core::untorn_bytes({512, 512, "0", 4096}), 512U);
  EXPECT_EQ(core::untorn_bytes({512, 4096, "3584", 0}), 512U);
  EXPECT_EQ(core::untorn_bytes({512, 4096, "-1", 4096}), 512U);
  EXPECT_EQ(core::untorn_bytes({512, 512, "", 4096}), 512U);
  EXPECT_EQ(core::untorn_bytes({4096, 4096, "0", 0}), 4096U);
}

}  // namespace
}  // namespace capstan::storage
