// Why this file exists: a disk that is pulled under a pool that nobody uses is noticed because the
// kernel says so, and nothing else that is said about disks does harm.
#include "services/disk_watch.h"

#include "core/sim_files.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;

constexpr std::uint64_t kMiB = 1U << 20;

class DiskWatchTest : public ServicesTest, public EventBus::Listener {
 protected:
  void SetUp() override {
    env_.add_disk("/dev/sda", {.size_bytes = 64 * kMiB});
    env_.add_disk("/dev/sdb", {.size_bytes = 64 * kMiB});
    start();
    node_->engine.events().listen(*this);
  }
  void TearDown() override {
    if (node_) node_->engine.events().forget(*this);
    ServicesTest::TearDown();
  }
  void published(std::string_view category, std::string_view action, std::string_view target,
                 const EventBus::Details& details) override {
    const auto state = details.find("state");
    seen_.push_back(std::string(category) + " " + std::string(action) + " " + std::string(target) +
                    (state == details.end() ? "" : " " + state->second));
  }
  core::SimFileSystem& files() { return dynamic_cast<core::SimFileSystem&>(env_.files()); }
  void watch() {
    run_now([this] { node_->engine.disks().start(); });
  }
  // Inside of the reactor, and long enough for all that follows.
  static core::Task<void> act(std::function<void()> what) {
    what();
    (void)co_await core::sleep_for(core::kMillisecond);
  }
  void run_now(std::function<void()> what) { world_.run(act(std::move(what))); }
  void say(const std::string& path, const std::string& action, const std::string& more = {}) {
    run_now([&] { files().announce(as_bytes(files().message_about(path, action, more))); });
  }
  v1::PoolState state(const std::string& name) {
    for (const auto& pool : list_pools()) {
      if (pool.name() == name) return pool.state();
    }
    return v1::POOL_UNKNOWN;
  }
  long logged(std::string_view event) {
    return std::ranges::count(node_->sink.events, std::string(event));
  }
  Result<google::protobuf::Empty> export_pool(const std::string& name) {
    v1::ExportPoolRequest request;
    request.set_name(name);
    return call<google::protobuf::Empty>("mayastor.v1.PoolRpc/ExportPool", request);
  }

  std::vector<std::string> seen_;
};

TEST_F(DiskWatchTest, APulledDiskFaultsAnIdlePoolAtOnce) {
  watch();
  ASSERT_TRUE(create_pool("p", "/dev/sda"));
  ASSERT_TRUE(create_pool("q", "/dev/sdb"));
  seen_.clear();
  const std::uint64_t ios = env_.io_count();
  run_now([this] { files().pull("/dev/sda"); });
  EXPECT_EQ(env_.io_count(), ios) << "nobody asked the disk";
  EXPECT_EQ(seen_,
            (std::vector<std::string>{"pool state_change p faulted", "device delete /dev/sda"}));
  EXPECT_EQ(state("p"), v1::POOL_FAULTED);
  EXPECT_EQ(state("q"), v1::POOL_ONLINE);
  EXPECT_EQ(logged("disk_gone"), 1);
  EXPECT_EQ(logged("pool_faulted"), 1);
  EXPECT_EQ(node_->engine.devices().find("/dev/sda"), nullptr);
  EXPECT_FALSE(create_replica("r", "p", kMiB, true));
  EXPECT_TRUE(create_replica("r", "q", kMiB, true));
  const auto closed = export_pool("p");
  EXPECT_TRUE(closed) << text_of(closed);
  EXPECT_EQ(env_.disk("/dev/sda").opens(), 0U) << "the kernel can give its number away";
}

TEST_F(DiskWatchTest, ADiskThatWasPulledBeforeIsFoundAtTheStart) {
  ASSERT_TRUE(create_pool("p", "/dev/sda"));
  run_now([this] { files().pull("/dev/sda"); });
  EXPECT_EQ(state("p"), v1::POOL_ONLINE) << "nobody listens yet";
  watch();
  EXPECT_EQ(state("p"), v1::POOL_FAULTED);
}

TEST_F(DiskWatchTest, WhatWasMadeUpDoesNoHarm) {
  watch();
  ASSERT_TRUE(create_pool("p", "/dev/sda"));
  seen_.clear();
  say("/dev/sda", "remove", "SYNTH_UUID=0");  // udevadm trigger --action=remove
  say("/dev/sda", "remove");
  say("/dev/sda", "change", "RESIZE=1");
  say("/dev/sdz", "remove");
  say("/dev/sda", "add");
  run_now([this] { files().announce({}); });  // some were lost
  run_now([this] { files().announce(as_bytes(std::string(9000, 'x'))); });
  EXPECT_TRUE(seen_.empty()) << seen_.front();
  EXPECT_EQ(state("p"), v1::POOL_ONLINE);
  EXPECT_EQ(logged("kernel_messages_lost"), 1);
  run_now([this] { files().pull("/dev/sda"); });
  EXPECT_EQ(state("p"), v1::POOL_FAULTED) << "it still listens";
}

TEST_F(DiskWatchTest, AMessageThatWasLostIsMadeUpFor) {
  watch();
  ASSERT_TRUE(create_pool("p", "/dev/sda"));
  env_.disk("/dev/sda").grow(128 * kMiB);
  run_now([this] { files().announce({}); });
  EXPECT_EQ(list_pools().at(0).disk_capacity(), 128 * kMiB);
}

TEST_F(DiskWatchTest, ADiskThatGrewIsMeasuredAgain) {
  watch();
  const auto made = create_pool("p", "/dev/sda");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->disk_capacity(), 64 * kMiB);
  env_.disk("/dev/sda").grow(128 * kMiB);
  say("/dev/sda", "change");
  EXPECT_EQ(list_pools().at(0).disk_capacity(), 64 * kMiB) << "no word of its size";
  say("/dev/sda", "change", "RESIZE=1");
  EXPECT_EQ(list_pools().at(0).disk_capacity(), 128 * kMiB);
  EXPECT_EQ(list_pools().at(0).capacity(), made->capacity()) << "growing the pool is asked for";
  EXPECT_EQ(logged("disk_resized"), 1);
}

TEST_F(DiskWatchTest, ANodeThatMayNotListenSaysSoOnce) {
  files().refuse_listening();
  watch();
  EXPECT_EQ(logged("disks_not_watched"), 1);
  ASSERT_TRUE(create_pool("p", "/dev/sda"));
  run_now([this] { files().pull("/dev/sda"); });
  EXPECT_EQ(state("p"), v1::POOL_ONLINE);
  EXPECT_FALSE(create_replica("r", "p", kMiB, true)) << "the next request finds out";
  EXPECT_EQ(state("p"), v1::POOL_FAULTED);
}

}  // namespace
}  // namespace capstan::services
