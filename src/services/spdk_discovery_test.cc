// Why this file exists: a discovery service alone, with callers that the test makes; with the real
// ones it is tried in spdk_nvme_test.cc.
#include "services/spdk_discovery.h"

#include <gtest/gtest.h>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/target.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;

class SpdkDiscoveryTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.run([](SpdkDiscoveryTest* test) -> core::Task<void> {
      EXPECT_TRUE(co_await test->engine_.start(true));
      EXPECT_TRUE(test->far_.listen(core::Address::tcp(test->far_env_.address(), 8420)));
      const auto subsystem = test->far_.add({.nqn = "nqn.x:far"});
      CAPSTAN_ASSERT(subsystem.has_value());
      EXPECT_TRUE((*subsystem)
                      ->add_namespace(std::make_shared<storage::MemoryDevice>(
                          "far", Uuid::from_name("far"), 512, 8192)));
    }(this));
  }
  void TearDown() override {
    world_.run([](SpdkDiscoveryTest* test) -> core::Task<void> {
      co_await test->engine_.stop();
      co_await test->far_.shutdown();
    }(this));
  }

  core::NoLog sink_;
  core::Log log_{sink_, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                 nullptr};
  core::SimWorld world_{1};
  core::SimEnv env_{world_}, far_env_{world_};
  nvme::Target far_{far_env_, log_};
  Engine engine_{env_, log_, "/state"};
};

// Who waits for nothing else than to be stopped.
class WaitingControllers final : public SpdkDiscovery::Controllers {
 public:
  bool waiting = false;
  bool has_controller(const std::string&) const override { return false; }
  core::Task<Result<void>> attach_found(std::string, nvme::HostOptions,
                                        core::CancelToken token) override {
    waiting = true;
    const auto slept = co_await core::sleep_for(3600 * core::kSecond, token);
    waiting = false;
    co_return slept;
  }
  core::Task<Result<void>> detach_found(std::string, nvme::HostOptions) override {
    co_return Result<void>();
  }
};

core::Task<void> stop_while_attaching(Engine* engine, core::Address address) {
  WaitingControllers controllers;
  nvme::HostOptions options = engine->remotes().options();
  options.address = std::move(address);
  SpdkDiscovery discovery(*engine, controllers, "Far", options);
  core::Scope scope;
  scope.spawn(discovery.run());
  (void)co_await core::sleep_for(core::kSecond);
  EXPECT_TRUE(controllers.waiting);
  discovery.stop(true);
  (void)co_await core::sleep_for(core::kSecond);
  EXPECT_TRUE(discovery.ended().is_set()) << "waits for the subsystem";
  co_await scope.join();
}
TEST_F(SpdkDiscoveryTest, StoppingEndsWhatItIsAttaching) {
  world_.run(stop_while_attaching(&engine_, core::Address::tcp(far_env_.address(), 8420)));
}

}  // namespace
}  // namespace capstan::services
