// Why this file exists: nvmf:// URIs from the registry to a target on another simulated node:
// names, refusals, sizes that change, letting go, and a pool on such a device that outlives its
// connection and is the same pool on the other side.
#include "services/remote_devices.h"

#include <gtest/gtest.h>

#include <optional>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "storage/device/memory_device.h"
#include "storage/nvme/target.h"
#include "storage/pool/pool.h"

namespace capstan::services {
namespace {

using core::NoLog;

class Observer final : public storage::DeviceRegistry::Observer {
 public:
  void device_added(const storage::DeviceEntry&) override {}
  void device_removed(const storage::Device&) override {}
  void device_resized(const storage::Device& device) override { resized.push_back(device.name()); }
  std::vector<std::string> resized;
};

class RemoteDevicesTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kBlocks = 64U << 11;  // 64 MiB

  RemoteDevicesTest()
      : memory_(std::make_shared<storage::MemoryDevice>("m", Uuid::from_name("m"), 512, kBlocks)),
        target_(node_, log_),
        registry_(host_),
        remotes_(host_, log_, registry_) {}

  template <class Test>
  void run(Test test) {
    world_.run(whole(this, test));
  }
  template <class Test>
  static core::Task<void> whole(RemoteDevicesTest* self, Test test) {
    EXPECT_TRUE(self->target_.listen(core::Address::tcp(self->node_.address(), 8420)));
    const auto added = self->target_.add({.nqn = "nqn.x:r1"});
    EXPECT_TRUE(added);
    self->subsystem_ = *added;
    EXPECT_TRUE(self->subsystem_->add_namespace(self->memory_));
    co_await test(*self);
    co_await self->remotes_.shutdown();
    co_await self->target_.shutdown();
  }
  std::string uri(const std::string& query = "") const {
    return "nvmf://" + node_.address() + ":8420/nqn.x:r1" + query;
  }
  std::string name() const { return node_.address() + ":8420/nqn.x:r1n1"; }

  NoLog sink_;
  core::Log log_{sink_, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                 nullptr};
  core::SimWorld world_{1};
  core::SimEnv node_{world_}, host_{world_};
  std::shared_ptr<storage::MemoryDevice> memory_;
  storage::nvme::Target target_;
  std::shared_ptr<storage::nvme::Subsystem> subsystem_;
  storage::DeviceRegistry registry_;
  RemoteDevices remotes_;
};

void expect_code(const Result<std::shared_ptr<storage::Device>>& made, Code code,
                 const std::string& says) {
  EXPECT_FALSE(made) << says;
  if (made) return;
  EXPECT_EQ(made.error().code, code) << made.error().text();
  EXPECT_NE(made.error().text().find(says), std::string::npos) << made.error().text();
}

struct CreateAndDestroy : RemoteDevicesTest {
  core::Task<void> go() {
    const std::string with_uuid = uri("?uuid=" + memory_->uuid().text());
    const auto made = co_await registry_.create(with_uuid);
    EXPECT_TRUE(made) << made.error().text();
    if (!made) co_return;
    EXPECT_EQ((*made)->name(), name());
    EXPECT_EQ((*made)->uuid(), memory_->uuid());
    EXPECT_EQ(registry_.find(with_uuid), *made);
    EXPECT_EQ(remotes_.list().size(), 1U);
    EXPECT_EQ(subsystem_->controllers().begin()->second->association().host,
              "nqn.2019-05.io.openebs:node-name:n1");
    expect_code(co_await registry_.create(uri()), Code::kAlreadyExists, name());
    EXPECT_TRUE(co_await registry_.destroy(uri()));
    std::vector<std::uint8_t> block(512);
    const auto retired = co_await (*made)->read(0, block);
    EXPECT_EQ(retired ? Code::kOk : retired.error().code, Code::kUnavailable);
  }
};
TEST_F(CreateAndDestroy, ByUri) {
  remotes_.configure({.host_nqn = "nqn.2019-05.io.openebs:node-name:n1", .host_id = {}});
  run([](RemoteDevicesTest& t) { return static_cast<CreateAndDestroy&>(t).go(); });
}

struct Refusals : RemoteDevicesTest {
  core::Task<void> go() {
    expect_code(co_await registry_.create(uri("x")), Code::kNotFound, "no such subsystem");
    expect_code(co_await registry_.create(uri("?nsid=2")), Code::kNotFound, "no namespace 2");
    expect_code(co_await registry_.create("nvmf://10.0.0.1:9/nqn.x:r1"), Code::kInvalidArgument,
                "Failed to create a BDEV '10.0.0.1:9/nqn.x:r1n1'");
    expect_code(co_await registry_.create(uri("?uuid=" + Uuid::from_name("other").text())),
                Code::kInvalidArgument, "has UUID");
    EXPECT_TRUE(registry_.add({memory_, "", {}}));
    expect_code(co_await registry_.create(uri()), Code::kInvalidArgument,
                "is what this node has as device 'm'");
    EXPECT_TRUE(remotes_.list().empty());
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    EXPECT_TRUE(remotes_.initiator().controllers().empty());  // nothing stays connected
    EXPECT_TRUE(subsystem_->controllers().empty());
  }
};
TEST_F(Refusals, LeaveNothingBehind) {
  run([](RemoteDevicesTest& t) { return static_cast<Refusals&>(t).go(); });
}

// Whoever listens there never answers.
struct Silence : RemoteDevicesTest {
  using Made = std::optional<Result<std::shared_ptr<storage::Device>>>;
  static core::Task<void> create(Silence* self, core::CancelToken token, Made* into) {
    const std::string uri =
        "nvmf://" + self->node_.address() + ":9000/nqn.x:r1?connect_timeout_ms=60000";
    into->emplace(co_await self->registry_.create(uri, token));
  }
  core::Task<void> go() {
    const auto silent = node_.network().listen(core::Address::tcp(node_.address(), 9000));
    EXPECT_TRUE(silent);
    core::Scope scope;
    core::CancelSource client;
    Made first, second, after;
    scope.spawn(create(this, client.token(), &first));
    scope.spawn(create(this, client.token(), &second));  // waits for the first
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    EXPECT_FALSE(first || second);
    client.fire(Code::kDeadlineExceeded);
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    for (const Made* made : {&first, &second}) {
      EXPECT_TRUE(*made && !**made) << "the call is over";
      if (*made && !**made) EXPECT_EQ((*made)->error().code, Code::kDeadlineExceeded);
    }
    EXPECT_TRUE(remotes_.initiator().controllers().empty());
    first.reset();
    scope.spawn(create(this, {}, &first));
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    EXPECT_FALSE(first);
    remotes_.stop_connecting();
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    EXPECT_TRUE(first && !*first) << "the node stops";
    co_await create(this, {}, &after);
    EXPECT_FALSE(*after);
    EXPECT_TRUE(remotes_.list().empty());
    co_await scope.join();
  }
};
TEST_F(Silence, IsWaitedForByNoCallThatIsOverAndNoNodeThatStops) {
  run([](RemoteDevicesTest& t) { return static_cast<Silence&>(t).go(); });
}

struct Resized : RemoteDevicesTest {
  core::Task<void> go() {
    Observer observer;
    registry_.observe(observer);
    const auto made = co_await registry_.create(uri());
    EXPECT_TRUE(made);
    EXPECT_TRUE(memory_->resize(2 * kBlocks));
    subsystem_->namespace_resized(1);
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    EXPECT_EQ(observer.resized, std::vector<std::string>{name()});
    EXPECT_EQ((*made)->num_blocks(), 2 * kBlocks);
    registry_.unobserve(observer);
  }
};
TEST_F(Resized, IsTold) {
  run([](RemoteDevicesTest& t) { return static_cast<Resized&>(t).go(); });
}

struct FarPool : RemoteDevicesTest {
  core::Task<Result<void>> go() {
    const Uuid replica_id = Uuid::from_name("v");
    std::vector<std::uint8_t> data(3U << 20, 0x5A), read(data.size());
    {
      CO_TRY_SET(const auto device, co_await registry_.create(uri("?hdr_digest&data_digest")));
      CO_TRY_SET(auto pool,
                 co_await storage::Pool::create(host_, device, "far", Uuid::from_name("p"), {}));
      storage::ReplicaOptions wanted;
      wanted.name = "v";
      wanted.uuid = replica_id;
      wanted.size_bytes = 16U << 20;
      CO_TRY_SET(auto replica, co_await pool->create_replica(wanted));
      CO_TRY(co_await replica->write(4096, data));
      world_.network().reset(node_.address(), host_.address());
      CO_TRY(co_await replica->read(4096, read));
      EXPECT_TRUE(read == data);
      EXPECT_EQ(remotes_.list().front()->paths().front()->reconnects(), 1U);
      CO_TRY(co_await replica->flush());
      replica.reset();
      CO_TRY(co_await pool->unload());
    }
    // The disk itself, without the network.
    CO_TRY_SET(auto pool, co_await storage::Pool::load(host_, memory_));
    const auto replica = pool->find(replica_id);
    EXPECT_TRUE(replica);
    CO_TRY(co_await replica->read(4096, read));
    EXPECT_TRUE(read == data);
    co_return co_await pool->unload();
  }
  core::Task<void> checked() {
    const auto done = co_await go();
    EXPECT_TRUE(done) << done.error().text();
  }
};
TEST_F(FarPool, OutlivesItsConnection) {
  run([](RemoteDevicesTest& t) { return static_cast<FarPool&>(t).checked(); });
}

}  // namespace
}  // namespace capstan::services
