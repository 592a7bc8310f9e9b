// Why this file exists: what closing and destroying leaves behind, and what it must not take along:
// a refused destruction changes nothing that hosts see, a destroyed pool leaves no reservations,
// and a device that cannot be reached holds nobody up.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "services/engine.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"
#include "storage/device/error_device.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/target.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kHand[] = "nqn.2019-05.io.openebs:hand";
constexpr char kHost[] = "nqn.2014-08.org.example:h";

class LetGoTest : public testing::Test {
 protected:
  void SetUp() override {
    engine_.shares().configure({.address = env_.address(), .reservation_directory = "/ptpl"});
    ASSERT_TRUE(run(engine_.start(true)));
    ASSERT_TRUE(run(listen(&engine_)));
  }
  void TearDown() override {
    device_ = nullptr;
    world_.run(engine_.stop());
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }
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

  void add_replica(const std::string& name) {
    ReplicaArguments wanted;
    wanted.name = name;
    wanted.uuid = uuid(name);
    wanted.pool = "p";
    wanted.size_bytes = 8 * kMiB;
    wanted.thin = true;
    const auto made = run(create_replica(engine_, wanted));
    ASSERT_TRUE(made) << made.error().text();
  }
  void add_pool(const std::string& disk) {
    PoolArguments wanted;
    wanted.name = "p";
    wanted.disks = {disk};
    const auto made = run(create_pool(engine_, std::move(wanted)));
    ASSERT_TRUE(made) << made.error().text();
  }
  // Pool "p" on a device that can fail, with "shared" and "by-hand" reachable by hosts.
  void make_pool() {
    device_ = std::make_shared<storage::ErrorInjectingDevice>(
        std::make_shared<storage::MemoryDevice>("m0", Uuid::from_name("m0"), 512, 64 * kMiB / 512));
    ASSERT_TRUE(engine_.devices().add({device_, "", {}}));
    add_pool("bdev:///" + device_->name());
    add_replica("shared");
    add_replica("by-hand");
    ASSERT_TRUE(run(share_replica(engine_, uuid("shared"), ShareKind::kNvmf, "NVMF", {kHost})));
    ASSERT_TRUE(subsystems().create({.nqn = kHand, .serial = "S"}));
    nvme::NamespaceOptions space;
    space.id = 7;
    space.nguid = Uuid::from_name("nguid");
    ASSERT_TRUE(subsystems().add_namespace(kHand, replica("by-hand"), space));
  }
  // Every change is refused from now on.
  void fail_pool() {
    const std::vector<std::uint8_t> block(4096, 7);
    ASSERT_TRUE(run(replica("shared")->write(0, block)));
    device_->inject({.kinds = {storage::IoKind::kFlush}, .count = 1});
    ASSERT_FALSE(run(replica("shared")->flush()));
  }
  void expect_all_there() {
    const auto hand = engine_.shares().target().find(kHand);
    ASSERT_TRUE(hand);
    const auto* space = hand->find_namespace(7);
    ASSERT_TRUE(space);
    EXPECT_EQ(space->device, replica("by-hand"));
    EXPECT_EQ(space->nguid, Uuid::from_name("nguid"));
    EXPECT_EQ(replica("by-hand")->claimed_by(), kTargetOwner);
    EXPECT_TRUE(engine_.shares().shared(*replica("shared")));
    EXPECT_EQ(engine_.shares().hosts(*replica("shared")), std::vector<std::string>{kHost});
  }
  static std::string uuid(const std::string& name) { return Uuid::from_name(name).text(); }
  std::shared_ptr<storage::Device> replica(const std::string& name) {
    return engine_.devices().find(name);
  }
  Subsystems& subsystems() { return engine_.shares().subsystems(); }
  bool destroy(const std::string& name) {
    const auto destroyed = run(destroy_replica(engine_, uuid(name), {}));
    return destroyed && !destroyed->gone;
  }
  bool destroy_it_all() { return run(destroy_pool(engine_, "p", {}, {})).has_value(); }

  core::EventLog sink_;
  core::Log log_{sink_, core::LogLevel::kTrace, [](const void*) -> std::uint64_t { return 0; },
                 nullptr};
  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  Engine engine_{env_, log_, "/state"};
  std::shared_ptr<storage::ErrorInjectingDevice> device_;
};

TEST_F(LetGoTest, ARefusedDestructionChangesNothingForHosts) {
  make_pool();
  fail_pool();
  for (const char* name : {"shared", "by-hand"}) {
    EXPECT_FALSE(destroy(name)) << name;
    expect_all_there();
  }
}

TEST_F(LetGoTest, APoolThatCannotBeDestroyedStaysAsItWas) {
  make_pool();
  device_->inject({.kinds = {storage::IoKind::kWrite, storage::IoKind::kFlush}, .count = 1000});
  EXPECT_FALSE(destroy_it_all());
  expect_all_there();
  device_->clear();
}

TEST_F(LetGoTest, WhatIsDestroyedIsTakenFromHosts) {
  make_pool();
  EXPECT_TRUE(destroy("by-hand"));
  EXPECT_EQ(engine_.shares().target().find(kHand)->find_namespace(7), nullptr);
  EXPECT_TRUE(subsystems().contains(kHand));
  EXPECT_TRUE(destroy("shared"));
  EXPECT_EQ(engine_.shares().size(), 0U);
}

core::Task<Result<void>> put(core::FileSystem* files, std::string path) {
  CO_TRY(co_await files->make_directories(path.substr(0, path.rfind('/'))));
  co_return co_await files->replace_file(path, "{}");
}

TEST_F(LetGoTest, ADestroyedPoolLeavesNoReservations) {
  make_pool();
  const std::string pool = engine_.find_pool("p")->pool->uuid().text();
  const std::string of_pool = "/ptpl/pool/" + pool + "/replica";
  const std::string other = "/ptpl/pool/" + uuid("other");
  const auto file = engine_.shares().reservation_file(*replica("shared"));
  EXPECT_EQ(file.path, of_pool + "/" + uuid("shared") + ".json");
  for (const auto& path : {file.path, of_pool + "/" + uuid("long gone") + ".json",
                           of_pool + "/x.json.tmp", other + "/replica/x.json"}) {
    ASSERT_TRUE(run(put(&env_.files(), path))) << path;
  }
  EXPECT_TRUE(destroy("shared"));
  EXPECT_EQ(run(env_.files().list(of_pool))->size(), 2U) << "its own file";
  EXPECT_TRUE(destroy_it_all());
  EXPECT_EQ(*run(env_.files().list("/ptpl/pool")), std::vector<std::string>{uuid("other")});
  EXPECT_EQ(run(env_.files().list(other + "/replica"))->size(), 1U);
  EXPECT_FALSE(sink_.has("reservation_left_behind"));
}

TEST_F(LetGoTest, APoolThatNeverHadReservationsIsDestroyedQuietly) {
  make_pool();
  EXPECT_TRUE(destroy_it_all());
  EXPECT_FALSE(sink_.has("reservation_left_behind"));
}

// --- devices of other nodes ----------------------------------------------------------------------

class FarDeviceTest : public LetGoTest {
 protected:
  void SetUp() override {
    LetGoTest::SetUp();
    ASSERT_TRUE(run(serve(&far_, far_env_.address(), memory_)));
    add_pool(uri());
    add_replica("r");
  }
  void TearDown() override {
    world_.run(heal(&world_));
    LetGoTest::TearDown();
    world_.run(far_.shutdown());
  }
  static core::Task<Result<void>> serve(nvme::Target* target, std::string address,
                                        std::shared_ptr<storage::Device> device) {
    CO_TRY(target->listen(core::Address::tcp(std::move(address), 8420)));
    CO_TRY_SET(const auto subsystem, target->add({.nqn = "nqn.x:far"}));
    CO_TRY(subsystem->add_namespace(std::move(device)));
    co_return {};
  }
  std::string uri() const { return "nvmf://" + far_env_.address() + ":8420/nqn.x:far"; }
  std::shared_ptr<storage::Device> far_device() { return engine_.find_pool("p")->pool->device(); }
  static core::Task<void> heal(core::SimWorld* world) {
    world->network().heal_all();
    co_return;
  }
  static core::Task<Result<void>> break_off(core::SimWorld* world, std::string a, std::string b) {
    world->network().partition(a, b);
    world->network().reset(a, b);
    co_return co_await core::sleep_for(10 * core::kMillisecond);
  }
  void cut() { EXPECT_TRUE(run(break_off(&world_, env_.address(), far_env_.address()))); }
  // How long something takes on the simulated clock.
  core::Nanos time_of(core::Task<Result<void>> task) {
    const core::Nanos begin = world_.reactor().read_clock();
    const auto done = run(std::move(task));
    EXPECT_TRUE(done) << done.error().text();
    return world_.reactor().read_clock() - begin;
  }

  core::SimEnv far_env_{world_};
  std::shared_ptr<storage::MemoryDevice> memory_ =
      std::make_shared<storage::MemoryDevice>("far", Uuid::from_name("far"), 512, 64 * kMiB / 512);
  nvme::Target far_{far_env_, log_};
};

TEST_F(FarDeviceTest, ExportDoesNotWaitForAnUnreachableOne) {
  cut();
  EXPECT_LT(time_of(export_pool(engine_, "p", {})), core::kSecond);
  EXPECT_TRUE(engine_.pools().empty());
  EXPECT_TRUE(sink_.has("pool_closed_uncleanly"));
}

TEST_F(FarDeviceTest, DestroyDoesNotWaitForAnUnreachableOne) {
  cut();
  EXPECT_LT(time_of(close_pool_on(engine_, far_device()->name())), core::kSecond);
  EXPECT_TRUE(run(engine_.devices().destroy(uri())));
}

core::Task<void> read_until_error(std::shared_ptr<storage::Device> device, Result<void>* into) {
  std::vector<std::uint8_t> block(512);
  *into = co_await device->read(0, block);
}
core::Task<Result<void>> remove_amid(Engine* engine, std::shared_ptr<storage::Device> device,
                                     Result<void>* read) {
  core::Scope scope;
  scope.spawn(read_until_error(device, read));
  CO_TRY(co_await core::sleep_for(core::kSecond));
  device->retire();
  engine->devices().remove(device->name());
  co_await scope.join();
  co_return {};
}
TEST_F(FarDeviceTest, WhoWaitsForAPathIsToldThatTheDeviceIsGone) {
  cut();
  Result<void> read;
  EXPECT_LT(time_of(remove_amid(&engine_, far_device(), &read)), 2 * core::kSecond);
  EXPECT_FALSE(read);
}

TEST_F(FarDeviceTest, AReachableOneIsClosedCleanly) {
  EXPECT_TRUE(run(export_pool(engine_, "p", {})));
  EXPECT_FALSE(sink_.has("pool_closed_uncleanly"));
}

// A pool on a device that somebody else made, as bdev_nvme_attach_controller does.
class FarReferenceTest : public FarDeviceTest {
 protected:
  void SetUp() override {
    LetGoTest::SetUp();
    ASSERT_TRUE(run(serve(&far_, far_env_.address(), memory_)));
    const auto made = run(engine_.remotes().make(storage::parse_device_uri(uri()).value(), {}));
    ASSERT_TRUE(made) << made.error().text();
    ASSERT_TRUE(engine_.devices().add({*made, "", {}}));
    add_pool("bdev:///" + (*made)->name());
    add_replica("r");
  }
};

TEST_F(FarReferenceTest, DestroyDoesNotWaitForAnUnreachableOne) {
  cut();
  EXPECT_LT(time_of(close_pool_on(engine_, far_device()->name())), core::kSecond);
  EXPECT_TRUE(engine_.pools().empty());
}

}  // namespace
}  // namespace capstan::services
