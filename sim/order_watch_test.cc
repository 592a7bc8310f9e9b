// Why this file exists: the watcher of order_watch.h must notice each kind of wrong order, and say
// nothing of the right one. A sound pool is made, and then somebody writes past it.
#include "sim/order_watch.h"

#include <gtest/gtest.h>

#include "base/checksum.h"
#include "core/buffer.h"
#include "core/sim_env.h"
#include "storage/device/file_device.h"
#include "storage/pool/pool.h"

namespace capstan::sim {
namespace {

constexpr std::uint32_t kCluster = 64U << 10;

class OrderWatchTest : public testing::Test {
 protected:
  OrderWatchTest() {
    core::SimDiskOptions options{.size_bytes = 4U << 20};
    options.physical_block_bytes = 4096;
    disk_ = &env_.add_disk("/disk0", options);
    world_.run(fill(this));
    watch_.emplace(*disk_, true, [this](std::string text) { found_ = std::move(text); });
  }
  // A pool, loaded and dirty, with a thin volume of a long chain and one mapped cluster, durable.
  static core::Task<void> fill(OrderWatchTest* self) {
    auto device = co_await storage::FileDevice::open(self->env_, {.path = "/disk0"});
    self->device_ = *device;
    storage::PoolOptions options;
    options.cluster_size_bytes = kCluster;
    auto pool = co_await storage::Pool::create(self->env_, *device, "p", Uuid{}, options);
    self->pool_ = std::move(*pool);
    auto made = co_await self->pool_->create_replica({"v", {}, 8 * kCluster, true, {}});
    self->replica_ = *made;
    for (const char* key : {"a", "b"}) {
      auto set = co_await self->pool_->set_attribute((*made)->uuid(), key, std::string(3000, 'x'));
      EXPECT_TRUE(set);
    }
    core::Buffer data = core::Buffer::zeroed(4096);
    data.data()[7] = 7;
    EXPECT_TRUE(co_await (*made)->write(0, data.view()));
    EXPECT_TRUE(co_await (*made)->flush());
  }
  static core::Task<void> into(core::Task<Result<void>> task, Result<void>* result) {
    *result = co_await std::move(task);
  }
  void run(core::Task<Result<void>> task) {
    Result<void> result;
    world_.run(into(std::move(task), &result));
    EXPECT_TRUE(result) << result.error().text();
  }
  LvsImage image() {
    return read_lvs([this](std::uint64_t at, MutableBytes to) { disk_->peek(at, to); },
                    disk_->size());
  }
  std::vector<std::uint8_t> page(std::uint64_t number) {
    std::vector<std::uint8_t> bytes(4096);
    disk_->peek(number * 4096, bytes);
    return bytes;
  }
  void write_page(std::uint64_t number, std::vector<std::uint8_t> bytes, bool sealed = true) {
    if (sealed) store_le(bytes.data() + 4092, crc32c(ByteView(bytes).first(4092)));
    run(device_->write(number * 4096, bytes));
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  core::SimDisk* disk_ = nullptr;
  std::shared_ptr<storage::FileDevice> device_;
  std::unique_ptr<storage::Pool> pool_;
  std::shared_ptr<storage::Replica> replica_;
  std::string found_;
  std::optional<OrderWatch> watch_;
};

TEST_F(OrderWatchTest, ThePoolWritesInOrder) {
  core::Buffer data = core::Buffer::zeroed(4096);
  run(replica_->write(2 * kCluster, data.view()));
  run(replica_->unmap(0, kCluster));
  run(pool_->set_attribute(replica_->uuid(), "a", std::string(2000, 'y')));
  run(pool_->destroy_replica(replica_->uuid()));
  run(pool_->unload());
  EXPECT_EQ(found_, "");
  EXPECT_GT(watch_->readings(), 5U);
}

TEST_F(OrderWatchTest, MetadataUnderACleanSuperBlock) {
  run(pool_->unload());
  ASSERT_EQ(found_, "");
  write_page(image().md_start + 40, std::vector<std::uint8_t>(4096, 1), false);
  EXPECT_NE(found_.find("I1"), std::string::npos) << found_;
}

TEST_F(OrderWatchTest, AChainPageIsOverwritten) {
  const LvsImage now = image();
  ASSERT_GT(now.blobs[0].chain_pages, 1U);
  const std::uint64_t chain = now.md_start + now.blobs[0].pages[1];
  write_page(chain, page(chain));
  EXPECT_NE(found_.find("I2"), std::string::npos) << found_;
}

TEST_F(OrderWatchTest, AnExtentPageNamesAClusterBeforeItsContent) {
  const LvsImage now = image();
  const std::uint64_t extents = now.md_start + now.blobs[0].pages.back();
  run(device_->write(40ULL * kCluster, std::vector<std::uint8_t>(kCluster, 9)));
  ASSERT_EQ(found_, "");
  auto bytes = page(extents);
  store_le<std::uint32_t>(bytes.data() + 25 + 4 * 3, 40);
  write_page(extents, bytes);
  EXPECT_NE(found_.find("I3: cluster 40"), std::string::npos) << found_;
}

TEST_F(OrderWatchTest, ARootNamesAPageBeforeItIsDurable) {
  const LvsImage now = image();
  const std::uint64_t root = now.md_start + now.blobs[0].pages[0];
  const std::uint64_t chain = now.md_start + now.blobs[0].pages[1];
  write_page(now.md_start + 40, page(chain));  // a new version of the chain
  auto bytes = page(root);
  store_le<std::uint32_t>(bytes.data() + 4088, 40);
  write_page(root, bytes);
  EXPECT_NE(found_.find("I3: metadata page 40"), std::string::npos) << found_;
}

TEST_F(OrderWatchTest, ThingsOfAVolumeThatIsGoneButNotDurably) {
  const LvsImage now = image();
  const auto& blob = now.blobs[0];
  const std::uint64_t root = now.md_start + blob.pages[0], chain = now.md_start + blob.pages[1];
  write_page(root, std::vector<std::uint8_t>(4096), false);
  ASSERT_EQ(found_, "");
  run(device_->flush());
  write_page(chain, std::vector<std::uint8_t>(4096), false);  // now it is free
  EXPECT_EQ(found_, "");
}

TEST_F(OrderWatchTest, AClusterIsUsedAgainTooEarly) {
  const LvsImage now = image();
  const auto& blob = now.blobs[0];
  write_page(now.md_start + blob.pages[0], std::vector<std::uint8_t>(4096), false);
  run(device_->write_zeroes(std::uint64_t{blob.clusters[0]} * kCluster, 4096));
  EXPECT_NE(found_.find("I4: cluster"), std::string::npos) << found_;
}

TEST_F(OrderWatchTest, APageIsUsedAgainTooEarly) {
  const LvsImage now = image();
  const auto& blob = now.blobs[0];
  write_page(now.md_start + blob.pages[0], std::vector<std::uint8_t>(4096), false);
  write_page(now.md_start + blob.pages[1], std::vector<std::uint8_t>(4096, 3), false);
  EXPECT_NE(found_.find("I4: metadata page"), std::string::npos) << found_;
}

}  // namespace
}  // namespace capstan::sim
