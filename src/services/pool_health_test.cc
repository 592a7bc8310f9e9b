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

  // A call beside others.
  template <class Response, class Request>
  static core::Task<void> ask(PoolHealthTest* self, std::string operation, Request request,
                              Response* response) {
    rpc::Call call;
    const auto* entry = self->node_->directory.find(operation);
    EXPECT_NE(entry, nullptr) << operation;
    if (!entry) co_return;
    const auto done = co_await self->node_->directory.run(*entry, call, request, *response);
    EXPECT_TRUE(done) << operation << ": " << text_of(done);
  }
  static core::Task<void> write(storage::Replica* replica, bool* done) {
    const std::vector<std::uint8_t> block(4096, 8);
    *done = (co_await replica->write(0, block)).has_value();
  }
  static void hold(storage::ErrorInjectingDevice& device) {
    device.inject({.kinds = {}, .action = storage::InjectedFault::Action::kHold});
  }
  static void release(storage::ErrorInjectingDevice& device) {
    device.clear();
    device.resume_held();
  }
  static core::Task<void> while_stalled(PoolHealthTest* self, bool* ended) {
    auto& device = *self->device_;
    auto& other =
        dynamic_cast<storage::ErrorInjectingDevice&>(*self->node_->engine.devices().find("EE_m1"));
    hold(device);
    hold(other);
    core::Scope scope;
    bool written = false;
    Replica replica;
    Pool pool;
    scope.spawn(write(self->replica_.get(), &written));
    v1::CreateReplicaRequest second;
    second.set_name("r2");
    second.set_uuid(Uuid::from_name("r2").text());
    second.set_pooluuid("p");
    second.set_size(kMiB);
    scope.spawn(ask(self, "mayastor.v1.ReplicaRpc/CreateReplica", second, &replica));
    v1::CreatePoolRequest create;
    create.set_name("q");
    create.add_disks("bdev:///EE_m1");
    scope.spawn(ask(self, "mayastor.v1.PoolRpc/CreatePool", create, &pool));
    (void)co_await core::sleep_for(9 * core::kSecond);
    EXPECT_GE(device.held(), 1U);
    EXPECT_GE(other.held(), 1U);
    EXPECT_TRUE(self->seen_.empty());
    (void)co_await core::sleep_for(2 * core::kSecond);
    EXPECT_EQ(self->seen_, std::vector<std::string>{"degraded"});
    co_await look(self);
    EXPECT_FALSE(written);
    release(device);
    release(other);
    co_await scope.join();
    EXPECT_TRUE(written);
    EXPECT_EQ(replica.name(), "r2");
    EXPECT_EQ(pool.name(), "q");
    EXPECT_EQ(self->seen_.size(), 1U);
    *ended = true;
  }
  // Everything that only looks.
  static core::Task<void> look(PoolHealthTest* self) {
    v1::ListPoolsResponse pools;
    co_await ask(self, "mayastor.v1.PoolRpc/ListPools", v1::ListPoolOptions(), &pools);
    EXPECT_EQ(pools.pools_size(), 1);
    EXPECT_EQ(pools.pools(0).state(), v1::POOL_DEGRADED);
    v1::ListReplicasResponse replicas;
    co_await ask(self, "mayastor.v1.ReplicaRpc/ListReplicas", v1::ListReplicaOptions(), &replicas);
    EXPECT_EQ(replicas.replicas_size(), 1);
    ::mayastor::ListPoolsReply old_pools;
    co_await ask(self, "mayastor.Mayastor/ListPools", ::mayastor::Null(), &old_pools);
    EXPECT_EQ(old_pools.pools_size(), 1);
    ::mayastor::ListReplicasReply old_replicas;
    co_await ask(self, "mayastor.Mayastor/ListReplicas", ::mayastor::Null(), &old_replicas);
    EXPECT_EQ(old_replicas.replicas_size(), 1);
    v1::PoolIoStatsResponse pool_stats;
    co_await ask(self, "mayastor.v1.StatsRpc/GetPoolIoStats", v1::ListStatsOption(), &pool_stats);
    EXPECT_EQ(pool_stats.stats_size(), 1);
    v1::ReplicaIoStatsResponse stats;
    co_await ask(self, "mayastor.v1.StatsRpc/GetReplicaIoStats", v1::ListStatsOption(), &stats);
    EXPECT_EQ(stats.stats_size(), 1);
    node::v1::Health health;
    co_await ask(self, "capstan.node.v1.NodeRpc/GetHealth", node::v1::GetHealthRequest(), &health);
    const auto part = std::ranges::find(health.parts(), "pool p", &node::v1::Health::Part::name);
    EXPECT_TRUE(part != health.parts().end() &&
                part->detail().find("has not answered a request for 10 s") != std::string::npos);
    spdk::Lvstores stores;
    co_await ask(self, "spdk.Lvol/GetLvstores", spdk::LvstoreSelector(), &stores);
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

// Its requests and two changes wait; the pool says so, and nothing that only looks waits with them.
TEST_F(PoolHealthTest, WhatIsListedAnswersWhileADeviceDoesNot) {
  spdk::MallocCreateRequest memory;
  memory.set_name("m1");
  memory.set_num_blocks(64 * kMiB / 512);
  memory.set_block_size(512);
  ASSERT_TRUE(call<spdk::BdevName>("spdk.BdevModules/MallocCreate", memory));
  spdk::ErrorCreateRequest other;
  other.set_base_name("m1");
  ASSERT_TRUE(call<google::protobuf::Empty>("spdk.BdevModules/ErrorCreate", other));
  bool ended = false;
  world_.run(while_stalled(this, &ended));
  EXPECT_TRUE(ended);
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
