// Why this file exists: controllers of other nodes by SPDK's names, over two paths: which path I/O
// takes as bdev_nvme_attach_controller and bdev_nvme_set_multipath_policy say, what of that is
// saved, and the calls that have nothing to do here.
#include "services/spdk_nvme.h"

#include <gtest/gtest.h>

#include <optional>

#include "core/sim_env.h"
#include "services/spdk_framework.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/target.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using google::protobuf::Empty;
using Choice = nvme::PathPolicy::Choice;

constexpr char kNqn[] = "nqn.x:far";

class NoLog final : public core::LogSink {
 public:
  void write(const core::LogRecord&) override {}
};

class SpdkNvmeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(run(engine_.start(true)));
    ASSERT_TRUE(run(serve(&far_, far_env_.address())));
  }
  void TearDown() override {
    world_.run(engine_.stop());
    world_.run(far_.shutdown());
  }
  static core::Task<Result<void>> serve(nvme::Target* target, std::string address) {
    for (const std::uint16_t port : {std::uint16_t{8420}, std::uint16_t{4421}}) {
      CO_TRY(target->listen(core::Address::tcp(address, port)));
    }
    CO_TRY_SET(const auto subsystem, target->add({.nqn = kNqn}));
    CO_TRY(subsystem->add_namespace(
        std::make_shared<storage::MemoryDevice>("far", Uuid::from_name("far"), 512, 8192)));
    co_return {};
  }
  template <class T>
  static core::Task<void> keep(core::Task<T> task, std::optional<T>* into) {
    into->emplace(co_await std::move(task));
  }
  template <class T>
  T run(core::Task<T> task) {
    std::optional<T> result;
    world_.run(keep(std::move(task), &result));
    return *std::move(result);
  }

  // "Nvme0n1" over two paths.
  void attach(spdk::BdevNvmePathOptions options = {}) {
    for (const char* port : {"8420", "4421"}) {
      spdk::BdevNvmeAttachRequest request;
      request.set_name("Nvme0");
      request.set_trtype("tcp");
      request.set_traddr(far_env_.address());
      request.set_trsvcid(port);
      request.set_subnqn(kNqn);
      *request.mutable_multipath_opts() = options;
      const auto made = run(service_.attach(call_, request));
      ASSERT_TRUE(made) << made.error().text();
    }
  }
  bool set(const std::string& policy, const std::string& selector = {}, std::uint32_t commands = 0,
           const std::string& device = "Nvme0n1") {
    spdk::BdevNvmePolicyRequest request;
    request.set_name(device);
    request.set_policy(policy);
    if (!selector.empty()) request.set_selector(selector);
    if (commands != 0) request.set_rr_min_io(commands);
    return run(service_.set_policy(call_, request)).has_value();
  }
  nvme::PathPolicy policy() {
    const auto devices = engine_.remotes().list();
    EXPECT_EQ(devices.size(), 1U);
    return devices.empty() ? nvme::PathPolicy() : devices.front()->policy();
  }

  NoLog sink_;
  core::Log log_{sink_, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                 nullptr};
  core::SimWorld world_{1};
  core::SimEnv env_{world_}, far_env_{world_};
  nvme::Target far_{far_env_, log_};
  Engine engine_{env_, log_, "/state"};
  SpdkDevices devices_{engine_};
  SpdkNvmeService service_{devices_};
  rpc::Call call_;
};

TEST_F(SpdkNvmeTest, APolicyForTheBestPaths) {
  attach();
  EXPECT_EQ(policy().choice, Choice::kOne);
  EXPECT_TRUE(set("active_active"));
  EXPECT_EQ(policy().choice, Choice::kInTurn);
  EXPECT_EQ(policy().commands, 1U);
  EXPECT_TRUE(set("active_active", "round_robin", 16));
  EXPECT_EQ(policy().commands, 16U);
  const std::string saved = saved_devices(devices_).DebugString();
  EXPECT_NE(saved.find("multipath_opts"), std::string::npos) << saved;
  EXPECT_TRUE(set("active_active", "queue_depth"));
  EXPECT_EQ(policy().choice, Choice::kLeastBusy);
  EXPECT_FALSE(set("active_active", "queue_depth", 2)) << "a number of what?";
  EXPECT_FALSE(set("active_passive", "round_robin"));
  EXPECT_FALSE(set("active_active", "by_name"));
  EXPECT_FALSE(set("both"));
  EXPECT_FALSE(set("active_active", {}, 0, "Nvme9n1"));
  EXPECT_EQ(policy().choice, Choice::kLeastBusy);
  EXPECT_TRUE(set("active_passive"));
  EXPECT_EQ(policy().choice, Choice::kOne);
}

TEST_F(SpdkNvmeTest, APolicyFromTheStart) {
  spdk::BdevNvmePathOptions options;
  options.set_policy("active_active");
  options.set_min_io(4);
  attach(options);
  EXPECT_EQ(policy().choice, Choice::kInTurn);
  EXPECT_EQ(policy().commands, 4U);
}

TEST_F(SpdkNvmeTest, CallsWithNothingToDo) {
  const auto statistics = run(service_.get_statistics(call_, Empty()));
  EXPECT_TRUE(statistics && statistics->poll_groups_size() == 0);
  spdk::BdevNvmeHotplugRequest request;
  EXPECT_FALSE(run(service_.set_hotplug(call_, request)));
  request.set_enable(true);
  EXPECT_TRUE(run(service_.set_hotplug(call_, request)));
}

}  // namespace
}  // namespace capstan::services
