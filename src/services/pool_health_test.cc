// Why this file exists: a pool whose device fails or is taken away says so the moment it happens,
// in the list of pools, the node's health, the log, an event and a kept notification.
#include "core/scope.h"
#include "services/services_test_support.h"
#include "storage/device/error_device.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;

constexpr std::uint64_t kMiB = 1U << 20;

class PoolHealthTest : public ServicesTest, public EventBus::Listener {
 protected:
  void SetUp() override {
    start();
    node_->engine.events().listen(*this);
    spdk::MallocCreateRequest memory;
    memory.set_name("m0");
    memory.set_num_blocks(64 * kMiB / 512);
    memory.set_block_size(512);
    ASSERT_TRUE(call<spdk::BdevName>("spdk.BdevModules/MallocCreate", memory));
    spdk::ErrorCreateRequest failing;
    failing.set_base_name("m0");
    ASSERT_TRUE(call<google::protobuf::Empty>("spdk.BdevModules/ErrorCreate", failing));
    const auto made = create_pool("p", "bdev:///EE_m0");
    ASSERT_TRUE(made) << text_of(made);
    const auto added = create_replica("r", "p", 8 * kMiB, true);
    ASSERT_TRUE(added) << text_of(added);
    replica_ = node_->engine.find_replica_named("r").replica;
    ASSERT_TRUE(run(replica_->write(0, std::vector<std::uint8_t>(4096, 7))));
    device_ = std::dynamic_pointer_cast<storage::ErrorInjectingDevice>(
        node_->engine.devices().find("EE_m0"));
    ASSERT_NE(device_, nullptr);
    seen_.clear();
  }
  void TearDown() override {
    replica_ = nullptr;
    device_ = nullptr;
    if (node_) node_->engine.events().forget(*this);
    ServicesTest::TearDown();
  }
  void published(std::string_view category, std::string_view action, std::string_view target,
                 const EventBus::Details& details) override {
    if (category != "pool" || action != "state_change") return;
    EXPECT_EQ(target, "p");
    EXPECT_FALSE(details.at("reason").empty());
    seen_.push_back(details.at("state"));
  }
  v1::PoolState state() {
    const auto pools = list_pools();
    return pools.size() == 1 ? pools[0].state() : v1::POOL_UNKNOWN;
  }
  std::string trouble() {
    const auto health =
        call<node::v1::Health>("capstan.node.v1.NodeRpc/GetHealth", node::v1::GetHealthRequest());
    for (const auto& part : health->parts()) {
      if (part.name() == "pool p" && !part.healthy()) return part.detail();
    }
    return {};
  }
  std::vector<std::string> notified() {
    std::vector<std::string> types;
    const auto kept =
        call<spdk::Notifications>("spdk.Notify/GetNotifications", spdk::GetNotificationsRequest());
    for (const auto& one : kept->notifications()) {
      if (one.ctx() == "p") types.push_back(one.type());
    }
    return types;
  }
  long logged(std::string_view event) {
    return std::ranges::count(node_->sink.events, std::string(event));
  }
  Result<Pool> import_again() {
    replica_ = nullptr;
    v1::ExportPoolRequest request;
    request.set_name("p");
    const auto done = call<google::protobuf::Empty>("mayastor.v1.PoolRpc/ExportPool", request);
    EXPECT_TRUE(done) << text_of(done);
    v1::ImportPoolRequest again;
    again.set_name("p");
    again.add_disks("bdev:///EE_m0");
    return call<Pool>("mayastor.v1.PoolRpc/ImportPool", again);
  }

  std::shared_ptr<storage::Replica> replica_;
  std::shared_ptr<storage::ErrorInjectingDevice> device_;
  std::vector<std::string> seen_;
};

TEST_F(PoolHealthTest, AFailingDeviceIsToldEverywhereAtOnce) {
  EXPECT_EQ(state(), v1::POOL_ONLINE);
  std::vector<std::uint8_t> block(4096);
  device_->inject({.kinds = {storage::IoKind::kRead}, .count = 2});
  EXPECT_FALSE(run(replica_->read(0, block)));
  EXPECT_FALSE(run(replica_->read(0, block)));
  EXPECT_EQ(seen_, std::vector<std::string>{"degraded"});
  EXPECT_EQ(state(), v1::POOL_DEGRADED);
  EXPECT_TRUE(trouble().starts_with("degraded: 2 failed reads or writes")) << trouble();
  EXPECT_EQ(notified(), std::vector<std::string>{"lvs_degraded"});
  EXPECT_EQ(logged("pool_degraded"), 1);
  EXPECT_TRUE(run(replica_->write(4096, block))) << "it goes on";

  device_->inject({.kinds = {storage::IoKind::kFlush}, .count = 1});
  EXPECT_FALSE(run(replica_->flush()));
  EXPECT_EQ(seen_.back(), "faulted");
  EXPECT_EQ(state(), v1::POOL_FAULTED);
  EXPECT_TRUE(trouble().starts_with("faulted: its metadata could not be written")) << trouble();
  EXPECT_EQ(notified(), (std::vector<std::string>{"lvs_degraded", "lvs_faulted"}));
  EXPECT_EQ(logged("pool_faulted"), 1);
  EXPECT_FALSE(create_replica("more", "p", kMiB, true));

  device_->clear();
  const auto again = import_again();
  ASSERT_TRUE(again) << text_of(again);
  EXPECT_EQ(again->state(), v1::POOL_ONLINE);
  EXPECT_EQ(trouble(), "");
  replica_ = node_->engine.find_replica_named("r").replica;
  ASSERT_TRUE(run(replica_->read(0, block)));
  EXPECT_EQ(block, std::vector<std::uint8_t>(4096, 7));
}

TEST_F(PoolHealthTest, ADeviceTakenAwayFaultsThePoolOnIt) {
  device_ = nullptr;
  // The device below the one that the pool is on: nothing closes the pool first.
  v1::DestroyBdevRequest request;
  request.set_uri("malloc:///m0?size_mb=64");
  const auto destroyed = call<google::protobuf::Empty>("mayastor.v1.BdevRpc/Destroy", request);
  ASSERT_TRUE(destroyed) << text_of(destroyed);
  EXPECT_EQ(seen_, std::vector<std::string>{"faulted"});
  EXPECT_EQ(state(), v1::POOL_FAULTED);
  EXPECT_NE(trouble().find("its device is gone"), std::string::npos) << trouble();
  EXPECT_EQ(notified(), std::vector<std::string>{"lvs_faulted"});
  replica_ = nullptr;
  v1::ExportPoolRequest out;
  out.set_name("p");
  EXPECT_TRUE(call<google::protobuf::Empty>("mayastor.v1.PoolRpc/ExportPool", out));
  EXPECT_TRUE(list_pools().empty());
}

}  // namespace
}  // namespace capstan::services
