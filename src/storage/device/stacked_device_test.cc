// Why this file exists: a stacked device passes everything on under its own name, holds the claim
// of the device below, and a delaying one takes its time.
#include "storage/device/stacked_device.h"

#include "storage/device/memory_device.h"
#include "storage/device/null_device.h"
#include "storage/device/registry.h"
#include "storage/device/test_support.h"

namespace capstan::storage {
namespace {

class Stacked : public DeviceTest {
 protected:
  std::shared_ptr<MemoryDevice> memory_ =
      std::make_shared<MemoryDevice>("m0", Uuid::from_name("m0"), 512, 2048);
  Bytes block_ = pattern(512, 1);
};

TEST_F(Stacked, PassesEverythingOnUnderItsName) {
  {
    const auto made = StackedDevice::make(memory_, "PT", Uuid::from_name("PT"));
    ASSERT_TRUE(made);
    Device& device = **made;
    EXPECT_EQ(device.name(), "PT");
    EXPECT_EQ(device.product(), "passthru");
    EXPECT_EQ(device.num_blocks(), 2048U);
    write(device, 512, block_);
    EXPECT_EQ(read_all(*memory_, 512, 512), block_);
    EXPECT_EQ(read_all(device, 512, 512), block_);
    EXPECT_TRUE(run(device.flush()));
    EXPECT_TRUE(run(device.unmap(512, 512)));
    EXPECT_TRUE(run(device.write_zeroes(0, 512)));
    EXPECT_EQ(device.stats().read.ops, 1U);
    EXPECT_EQ(device.stats().unmap.ops, 1U);
    EXPECT_TRUE(memory_->claimed());
    EXPECT_FALSE(StackedDevice::make(memory_, "PT2", Uuid::from_name("PT2")));
    device.retire();
    EXPECT_FALSE(run(device.flush()));
  }
  EXPECT_FALSE(memory_->claimed());
}

TEST_F(Stacked, DelaysByKindAndEveryHundredthLonger) {
  constexpr core::Nanos kMs = core::kMillisecond;
  const auto made = DelayDevice::make(memory_, "DL", Uuid::from_name("DL"),
                                      {1 * kMs, 50 * kMs, 2 * kMs, 90 * kMs});
  ASSERT_TRUE(made);
  Device& device = **made;
  const auto& stats = device.stats();
  for (int i = 0; i < 99; ++i) write(device, 0, block_);
  EXPECT_GE(stats.write.min_latency_ns, 2 * kMs);
  EXPECT_LT(stats.write.max_latency_ns, 3 * kMs);
  write(device, 0, block_);
  EXPECT_GE(stats.write.max_latency_ns, 90 * kMs);
  EXPECT_EQ(read_all(device, 0, 512), block_);
  EXPECT_GE(stats.read.min_latency_ns, 1 * kMs);
  EXPECT_LT(stats.read.max_latency_ns, 2 * kMs);
}

TEST_F(Stacked, NullDevicesChangeSize) {
  NullDevice device("n0", Uuid::from_name("n0"), 512, 8);
  EXPECT_TRUE(device.resize(16));
  EXPECT_EQ(device.num_blocks(), 16U);
  EXPECT_FALSE(device.resize(0));
  ASSERT_TRUE(device.claim("a test"));
  EXPECT_FALSE(device.resize(8));
  EXPECT_TRUE(device.resize(32));
  device.release();
}

struct Seen final : DeviceRegistry::Observer {
  std::vector<std::string> events;
  void device_added(const DeviceEntry& entry) override {
    events.push_back("+" + entry.device->name());
  }
  void device_removed(const Device& device) override { events.push_back("-" + device.name()); }
  void device_resized(const Device& device) override { events.push_back("=" + device.name()); }
};

TEST_F(Stacked, ObserversOfTheRegistrySeeEveryChange) {
  DeviceRegistry registry(env_);
  Seen seen;
  registry.observe(seen);
  ASSERT_TRUE(run(registry.create("malloc:///m1?size_mb=1")));
  ASSERT_TRUE(run(registry.create("malloc:///m1?size_mb=2&resize")));
  ASSERT_TRUE(run(registry.destroy("malloc:///m1?size_mb=2")));
  registry.unobserve(seen);
  ASSERT_TRUE(run(registry.create("malloc:///m2?size_mb=1")));
  EXPECT_EQ(seen.events, (std::vector<std::string>{"+m1", "=m1", "-m1"}));
}

}  // namespace
}  // namespace capstan::storage
