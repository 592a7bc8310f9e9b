// Why this file exists: what a node makes of its recorded pools at its start: in which order, and
// that a disk that hangs or is missing holds up its own pool and nothing else. Disks hang here by
// taking minutes for every operation; the time is virtual.
#include "services/pool_restore.h"

#include "services/pool_ops.h"
#include "services/restore_limits.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

constexpr std::uint64_t kMiB = 1U << 20;

class PoolRestoreTest : public ServicesTest {
 protected:
  void SetUp() override { start(); }
  void add_disk(const std::string& path, core::Nanos latency = core::kMillisecond) {
    env_.add_disk(path, {.size_bytes = 128 * kMiB, .min_latency = latency, .max_latency = latency});
  }
  void crash() {
    env_.power_cut();
    node_.reset();
    env_.power_on();
  }
  // How long the start took.
  core::Nanos start_again() {
    const core::Nanos begun = world_.reactor().read_clock();
    start();
    return world_.reactor().read_clock() - begun;
  }
  void wait(core::Nanos duration) { world_.run(pause(duration)); }
  static core::Task<void> pause(core::Nanos duration) { (void)co_await core::sleep_for(duration); }
  bool open(const std::string& name) { return node_->engine.find_pool(name) != nullptr; }
  std::vector<std::string> listed() {
    std::vector<std::string> names;
    for (const auto& pool : list_pools()) names.push_back(pool.name());
    return names;
  }
  std::string trouble(const std::string& part) {
    const auto health =
        call<node::v1::Health>("capstan.node.v1.NodeRpc/GetHealth", node::v1::GetHealthRequest());
    for (const auto& one : health->parts()) {
      if (one.name() == part && !one.healthy()) return one.detail();
    }
    return {};
  }
  long logged(std::string_view event) {
    return std::ranges::count(node_->sink.events, std::string(event));
  }
  Result<Empty> export_pool(const std::string& name) {
    v1::ExportPoolRequest request;
    request.set_name(name);
    return call<Empty>("mayastor.v1.PoolRpc/ExportPool", request);
  }
  Result<Pool> import_pool(const std::string& name, const std::string& disk) {
    v1::ImportPoolRequest request;
    request.set_name(name);
    request.add_disks(disk);
    return call<Pool>("mayastor.v1.PoolRpc/ImportPool", request);
  }
  static core::Task<void> create_with(PoolRestoreTest* self, core::CancelToken token,
                                      Result<void>* into) {
    v1::CreatePoolRequest request;
    request.set_name("b");
    request.add_disks("aio:///disk1");
    rpc::Call call;
    call.token = std::move(token);
    Pool answer;
    const auto* entry = self->node_->directory.find("mayastor.v1.PoolRpc/CreatePool");
    *into = co_await self->node_->directory.run(*entry, call, request, answer);
  }
  static core::Task<void> while_the_state_hangs(PoolRestoreTest* self) {
    Engine& engine = self->node_->engine;
    core::Scope scope;
    core::CancelSource caller;
    Result<void> created;
    scope.spawn(create_with(self, caller.token(), &created));
    (void)co_await core::sleep_for(20 * core::kSecond);
    EXPECT_NE(engine.state().trouble().find("'/state/node.json'"), std::string::npos);
    caller.fire(Code::kDeadlineExceeded);
    co_await scope.join();
    EXPECT_EQ(code_of(created), Code::kDeadlineExceeded);
    EXPECT_NE(text_of(created).find("'/state/node.json'"), std::string::npos) << text_of(created);
    // What is recorded already stands.
    const core::Nanos before = core::Reactor::current()->now();
    const auto same = co_await engine.state().put(engine.state().pools().at("a"));
    EXPECT_TRUE(same) << text_of(same);
    EXPECT_EQ(core::Reactor::current()->now(), before);
    while (engine.changes().children() != 0) (void)co_await core::sleep_for(core::kSecond);
    EXPECT_EQ(engine.state().trouble(), "");
  }
  // With a target, which listens once the pools are open.
  void start_with_target() {
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address()});
    ASSERT_TRUE(run(node_->engine.start(true)));
    ASSERT_TRUE(run(listen(&node_->engine)));
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }
  // Pool b, whose disk is the faster one, has volume r first; then pool a comes with one.
  void two_volumes_with_one_name(v1::ShareProtocol share) {
    add_disk("/slow", 100 * core::kMillisecond);
    add_disk("/fast");
    v1::CreateReplicaRequest wanted;
    wanted.set_name("r");
    wanted.set_size(8 * kMiB);
    wanted.set_share(share);
    for (const bool first : {true, false}) {
      ASSERT_TRUE(create_pool(first ? "a" : "b", first ? "aio:///slow" : "aio:///fast"));
      wanted.set_uuid(Uuid::from_name(first ? "one" : "another").text());
      wanted.set_pooluuid(first ? "a" : "b");
      const auto made = call<Replica>("mayastor.v1.ReplicaRpc/CreateReplica", wanted);
      ASSERT_TRUE(made) << text_of(made);
      if (first) ASSERT_TRUE(export_pool("a"));
    }
    ASSERT_TRUE(import_pool("a", "aio:///slow"));
    EXPECT_EQ(has_name("r"), "b") << "it was there first";
  }
  // The pool whose volume has that name.
  std::string has_name(const std::string& name) {
    const auto device = node_->engine.devices().find(name);
    const auto* replica = dynamic_cast<const storage::Replica*>(device.get());
    return replica ? replica->pool_name() : "";
  }
  static core::Task<void> look(Engine* engine, std::string disk, std::optional<bool>* into) {
    *into = co_await nothing_left(*engine, std::move(disk));
  }
  static core::Task<void> look_at_a_disk_in_use(Engine* engine) {
    core::Scope scope;
    std::optional<bool> nothing;
    {
      const auto call = co_await engine->device_calls().lock("/disk0", {});
      EXPECT_TRUE(call);
      scope.spawn(look(engine, "aio:///disk0", &nothing));
      (void)co_await core::sleep_for(core::kSecond);
      EXPECT_FALSE(nothing) << "it waits for the call on the device";
    }
    co_await scope.join();
    EXPECT_EQ(nothing, true);
  }
  // The device of pool a comes, and somebody has it for a while.
  // Pool "a" on a stacked device on a replica of pool "z", after a restart; stacked devices are not
  // recorded. Answers how to make that one again.
  spdk::ErrorCreateRequest stack_and_restart() {
    add_disk("/disk0");
    EXPECT_TRUE(create_pool("z", "aio:///disk0"));
    EXPECT_TRUE(create_replica("on-z", "z", 64 * kMiB, false));
    spdk::ErrorCreateRequest between;
    between.set_base_name("on-z");
    EXPECT_TRUE(call<Empty>("spdk.BdevModules/ErrorCreate", between));
    EXPECT_TRUE(create_pool("a", "bdev:///EE_on-z"));
    stop();
    start();
    return between;
  }
  static core::Task<void> come_claimed(PoolRestoreTest* self, spdk::ErrorCreateRequest between) {
    rpc::Call call;
    Empty answer;
    const auto* entry = self->node_->directory.find("spdk.BdevModules/ErrorCreate");
    const auto created = co_await self->node_->directory.run(*entry, call, between, answer);
    EXPECT_TRUE(created) << text_of(created);
    const auto device = self->node_->engine.devices().find("EE_on-z");
    EXPECT_TRUE(device && device->claim("a test"));
    if (!device) co_return;
    (void)co_await core::sleep_for(2 * limits::kPoolRetryNanos);
    EXPECT_FALSE(self->open("a"));
    device->release();
  }
  // Pool `upper` on a replica of pool `lower`.
  void stack(const std::string& lower, const std::string& upper) {
    ASSERT_TRUE(create_replica("on-" + lower, lower, 64 * kMiB, false));
    const auto made = create_pool(upper, "bdev:///on-" + lower);
    ASSERT_TRUE(made) << text_of(made);
  }
};

TEST_F(PoolRestoreTest, APoolOnAReplicaComesAfterThePoolOfThatWhateverTheirNames) {
  add_disk("/disk0");
  ASSERT_TRUE(create_pool("z", "aio:///disk0"));
  stack("z", "b");
  ASSERT_TRUE(create_replica("on-b", "b", 32 * kMiB, false));
  const auto top = create_pool("a", "bdev:///on-b");
  ASSERT_TRUE(top) << text_of(top);
  for (const bool crashed : {false, true}) {
    crashed ? crash() : stop();
    start();
    EXPECT_EQ(listed(), (std::vector<std::string>{"a", "b", "z"}));
    EXPECT_EQ(logged("pool_unavailable"), 0);
    EXPECT_TRUE(node_->engine.unavailable().empty());
  }
}

TEST_F(PoolRestoreTest, WhatLiesOnAMissingDeviceIsReportedAndComesWithIt) {
  const auto between = stack_and_restart();
  EXPECT_EQ(listed(), (std::vector<std::string>{"z"}));
  EXPECT_NE(trouble("pool a").find("'EE_on-z' not found"), std::string::npos) << trouble("pool a");
  const auto refused = create_replica("r", "a", kMiB, true);
  EXPECT_NE(text_of(refused).find("'EE_on-z' not found"), std::string::npos) << text_of(refused);
  ASSERT_TRUE(call<Empty>("spdk.BdevModules/ErrorCreate", between));
  wait(core::kSecond);
  EXPECT_EQ(listed(), (std::vector<std::string>{"a", "z"}));
  EXPECT_EQ(trouble("pool a"), "");
}

TEST_F(PoolRestoreTest, ADiskThatHangsHoldsUpItsOwnPoolOnly) {
  add_disk("/good");
  add_disk("/slow", 60 * core::kSecond);
  ASSERT_TRUE(create_pool("a", "aio:///slow"));
  stack("a", "c");
  ASSERT_TRUE(create_pool("b", "aio:///good"));
  ASSERT_TRUE(create_replica("rb", "b", 8 * kMiB, true));
  const Uuid uuid = node_->engine.find_pool("a")->pool->uuid();
  crash();
  const core::Nanos took = start_again();
  EXPECT_GE(took, limits::kPoolRestoreNanos);
  EXPECT_LT(took, limits::kPoolRestoreNanos + core::kSecond);
  EXPECT_EQ(node_->engine.phase(), Engine::Phase::kReady);
  EXPECT_EQ(listed(), (std::vector<std::string>{"b"}));
  EXPECT_EQ(logged("pool_unavailable"), 2) << "the one that hangs and the one that lies on it";
  for (const std::string& said : {trouble("pool a"), node_->engine.unavailable()["a"]}) {
    EXPECT_NE(said.find("'aio:///slow' is slow or does not answer"), std::string::npos) << said;
  }
  EXPECT_NE(trouble("pool c").find("its device 'on-a' is not there yet"), std::string::npos);

  // Calls that are about it are told so at once, others go on.
  const core::Nanos before = world_.reactor().read_clock();
  EXPECT_EQ(code_of(export_pool("a")), Code::kUnavailable);
  EXPECT_EQ(code_of(import_pool("a", "aio:///slow")), Code::kUnavailable);
  EXPECT_EQ(code_of(create_pool("a", "aio:///slow")), Code::kUnavailable);
  v1::DestroyPoolRequest destroy;
  destroy.set_name("a");
  EXPECT_EQ(code_of(call<Empty>("mayastor.v1.PoolRpc/DestroyPool", destroy)), Code::kUnavailable);
  const auto replica = create_replica("r", uuid.text(), kMiB, true);
  EXPECT_EQ(code_of(replica), Code::kFailedPrecondition);
  EXPECT_NE(text_of(replica).find("is slow or does not answer"), std::string::npos);
  v1::DestroyReplicaRequest gone;
  gone.set_uuid(Uuid::from_name("on-a").text());
  EXPECT_EQ(code_of(call<Empty>("mayastor.v1.ReplicaRpc/DestroyReplica", gone)), Code::kUnavailable)
      << "it may be in the pool that is not open yet";
  EXPECT_TRUE(create_replica("r2", "b", kMiB, true));
  EXPECT_LT(world_.reactor().read_clock() - before, core::kSecond);

  wait(3600 * core::kSecond);
  EXPECT_EQ(listed(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(node_->engine.unavailable().empty());
  EXPECT_TRUE(node_->engine.find_replica_named("on-a"));
}

TEST_F(PoolRestoreTest, ManyDisksThatHangAreNotWaitedForOneAfterTheOther) {
  const std::size_t hanging = limits::kPoolRestoresAtOnce + 1;
  for (std::size_t i = 0; i < hanging; ++i) {
    const std::string name = "a" + std::to_string(i);
    add_disk("/" + name, 60 * core::kSecond);
    ASSERT_TRUE(create_pool(name, "aio:///" + name));
  }
  add_disk("/good");
  ASSERT_TRUE(create_pool("z", "aio:///good"));
  crash();
  const core::Nanos took = start_again();
  EXPECT_TRUE(open("z")) << "although it is the last by name";
  EXPECT_LT(took, 2 * limits::kPoolRestoreNanos + core::kSecond);
  EXPECT_EQ(node_->engine.unavailable().size(), hanging);
  wait(3600 * core::kSecond);
  EXPECT_EQ(listed().size(), hanging + 1);
}

TEST_F(PoolRestoreTest, StopsInTheMiddleOfAnOpening) {
  add_disk("/slow", 60 * core::kSecond);
  ASSERT_TRUE(create_pool("a", "aio:///slow"));
  stack("a", "b");
  crash();
  start_again();
  EXPECT_FALSE(open("a"));
  world_.run(node_->engine.stop());
  EXPECT_FALSE(open("a") || open("b"));
  EXPECT_GT(logged("stop_waits"), 0);
  node_.reset();
  start();
  wait(3600 * core::kSecond);
  EXPECT_TRUE(open("a") && open("b")) << "they are still recorded";
}

TEST_F(PoolRestoreTest, AMissingDiskIsLookedForAgain) {
  const auto file = [&](bool there) {
    if (!there) return run(env_.files().rename("/dir/disk", "/dir/away"));
    return run(env_.files().rename("/dir/away", "/dir/disk"));
  };
  ASSERT_TRUE(run(env_.files().make_directories("/dir")));
  ASSERT_TRUE(run(env_.files().replace_file("/dir/disk", std::string(64 * kMiB, '\0'))));
  const auto made = create_pool("p", "aio:///dir/disk");
  ASSERT_TRUE(made) << text_of(made);
  stop();
  ASSERT_TRUE(file(false));
  EXPECT_LT(start_again(), core::kSecond) << "nobody waits for what is not there";
  EXPECT_FALSE(open("p"));
  EXPECT_NE(trouble("pool p").find("opened by itself once its disk is there"), std::string::npos)
      << trouble("pool p");
  wait(10 * limits::kPoolRetryNanos);
  EXPECT_FALSE(open("p"));
  EXPECT_EQ(logged("pool_unavailable"), 1) << "the same is not said again and again";
  ASSERT_TRUE(file(true));
  wait(2 * limits::kPoolRetryNanos);
  EXPECT_TRUE(open("p"));
  EXPECT_EQ(trouble("pool p"), "");
}

TEST_F(PoolRestoreTest, AMissingPoolThatWasExportedIsNotLookedForAgain) {
  ASSERT_TRUE(run(env_.files().make_directories("/dir")));
  ASSERT_TRUE(run(env_.files().replace_file("/dir/disk", std::string(64 * kMiB, '\0'))));
  ASSERT_TRUE(create_pool("p", "aio:///dir/disk"));
  stop();
  ASSERT_TRUE(run(env_.files().rename("/dir/disk", "/dir/away")));
  start();
  EXPECT_TRUE(export_pool("p"));
  ASSERT_TRUE(run(env_.files().rename("/dir/away", "/dir/disk")));
  wait(3 * limits::kPoolRetryNanos);
  EXPECT_FALSE(open("p"));
  EXPECT_TRUE(node_->engine.state().pools().empty());
}

TEST_F(PoolRestoreTest, OfTwoVolumesWithOneNameTheSameHasItAfterEveryStart) {
  two_volumes_with_one_name(v1::NONE);
  for (int i = 0; i < 2; ++i) {
    stop();
    start();
    ASSERT_TRUE(open("a") && open("b"));
    EXPECT_EQ(has_name("r"), "a") << "not the pool whose disk is faster";
  }
}

TEST_F(PoolRestoreTest, OfTwoSharedVolumesWithOneNameHostsFindTheSame) {
  stop();
  start_with_target();
  two_volumes_with_one_name(v1::NVMF);
  for (int i = 0; i < 2; ++i) {
    stop();
    start_with_target();
    ASSERT_TRUE(open("a") && open("b"));
    EXPECT_EQ(has_name("r"), "a") << "not the pool whose disk is faster";
    const auto shared = node_->engine.shares().device_of(share_nqn("r"));
    ASSERT_TRUE(shared);
    EXPECT_EQ(shared->uuid(), Uuid::from_name("one"));
  }
}

TEST_F(PoolRestoreTest, ADiskWithAnotherNameIsImportedFromThere) {
  add_disk("/disk0");
  add_disk("/disk1");
  add_disk("/other");
  ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  ASSERT_TRUE(create_pool("q", "aio:///other"));
  ASSERT_TRUE(export_pool("q"));
  stop();
  env_.disk("/disk1").poke(0, env_.disk("/disk0").image());
  env_.disk("/disk0").poke(0, std::vector<std::uint8_t>(kMiB));
  start();
  EXPECT_FALSE(open("p"));
  EXPECT_EQ(code_of(create_pool("p", "aio:///disk1")), Code::kInvalidArgument)
      << "what might format another disk is refused";
  const auto nothing = import_pool("p", "aio:///disk0");
  EXPECT_NE(text_of(nothing).find("is it the right disk?"), std::string::npos) << text_of(nothing);
  EXPECT_EQ(code_of(import_pool("p", "aio:///other")), Code::kInvalidArgument);
  const auto imported = import_pool("p", "aio:///disk1");
  ASSERT_TRUE(imported) << text_of(imported);
  EXPECT_EQ(node_->engine.state().pools().at("p").disk(), "aio:///disk1");
  stop();
  start();
  EXPECT_TRUE(open("p"));
}

TEST_F(PoolRestoreTest, ACopyThatComesIsNotTakenForTheRecordedDisk) {
  add_disk("/disk0");
  add_disk("/copy");
  ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  stop();
  env_.disk("/copy").poke(0, env_.disk("/disk0").image());
  env_.disk("/disk0").poke(0, std::vector<std::uint8_t>(kMiB));
  start();
  spdk::AioCreateRequest copy;
  copy.set_name("copy");
  copy.set_filename("/copy");
  copy.set_block_size(512);
  const auto created = call<spdk::BdevName>("spdk.BdevModules/AioCreate", copy);
  ASSERT_TRUE(created) << text_of(created);
  EXPECT_FALSE(open("p"));
  EXPECT_EQ(logged("pool_not_opened"), 1);
  EXPECT_EQ(node_->engine.state().pools().at("p").disk(), "aio:///disk0");
  const auto imported = import_pool("p", "bdev:///copy");
  EXPECT_TRUE(imported) << text_of(imported) << ", although it was asked for";
}

TEST_F(PoolRestoreTest, ADeviceThatFailsIsTriedAgainAfterAWhile) {
  add_disk("/disk0");
  ASSERT_TRUE(create_pool("z", "aio:///disk0"));
  stack("z", "a");
  stop();
  node_ = std::make_unique<TestNode>(env_);
  {
    const auto in_the_way = node_->engine.locks().try_lock("a");
    ASSERT_TRUE(in_the_way);
    ASSERT_TRUE(run(node_->engine.start(true)));
    wait(3 * limits::kPoolRetryNanos);
    EXPECT_EQ(listed(), (std::vector<std::string>{"z"}));
  }
  wait(2 * limits::kPoolRetryNanos);
  EXPECT_EQ(listed(), (std::vector<std::string>{"a", "z"}));
}

TEST_F(PoolRestoreTest, ADeviceThatWasInUseIsTriedOnceItIsFree) {
  const auto between = stack_and_restart();
  world_.run(come_claimed(this, between));
  wait(2 * limits::kPoolRetryNanos);
  EXPECT_EQ(listed(), (std::vector<std::string>{"a", "z"})) << "nobody told that it was released";
}

TEST_F(PoolRestoreTest, WhetherAnythingIsLeftIsLookedAtInTurn) {
  add_disk("/disk0");
  world_.run(look_at_a_disk_in_use(&node_->engine));
}

TEST_F(PoolRestoreTest, AStateThatHangsIsNamed) {
  stop();
  auto& file = env_.add_disk(
      "/state/node.json",
      {.size_bytes = 4096, .min_latency = 60 * core::kSecond, .max_latency = 60 * core::kSecond});
  std::string text = R"({"version":1})";
  text.resize(4096, ' ');
  file.poke(0, as_bytes(text));
  start();
  EXPECT_EQ(logged("node_state_hangs"), 1);
  EXPECT_EQ(trouble("node state"), "") << "it was read in the end";
}

TEST_F(PoolRestoreTest, AStateThatCannotBeWrittenHoldsUpOnlyWhatIsRecorded) {
  add_disk("/disk0");
  add_disk("/disk1");
  ASSERT_TRUE(create_pool("a", "aio:///disk0"));
  env_.add_disk(
      "/state/node.json.new",
      {.size_bytes = 4096, .min_latency = 60 * core::kSecond, .max_latency = 60 * core::kSecond});
  world_.run(while_the_state_hangs(this));
}

}  // namespace
}  // namespace capstan::services
