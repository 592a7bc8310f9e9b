// Why this file exists: one disk that does not answer holds up changes of its own pool and nothing
// else; whoever called is answered when its time is up, and what was begun ends properly when the
// disk comes back or is taken away.
#include "core/scope.h"
#include "services/services_test_support.h"
#include "storage/device/error_device.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr core::Nanos kSoon = core::kMillisecond * 100;

class StalledDisk : public ServicesTest {
 protected:
  struct Asked {
    bool answered = false;
    Result<void> result;
    core::CancelSource caller;
  };
  void SetUp() override {
    start();
    for (const std::string name : {"a", "b"}) {
      spdk::MallocCreateRequest memory;
      memory.set_name(name);
      memory.set_num_blocks(64 * kMiB / 512);
      memory.set_block_size(512);
      ASSERT_TRUE(call<spdk::BdevName>("spdk.BdevModules/MallocCreate", memory));
      spdk::ErrorCreateRequest failing;
      failing.set_base_name(name);
      ASSERT_TRUE(call<Empty>("spdk.BdevModules/ErrorCreate", failing));
    }
    disk_ = std::dynamic_pointer_cast<storage::ErrorInjectingDevice>(
        node_->engine.devices().find("EE_a"));
    ASSERT_NE(disk_, nullptr);
  }
  void TearDown() override {
    disk_ = nullptr;
    ServicesTest::TearDown();  // stops the node: nothing may be left that it would wait for
  }
  void stall() { disk_->inject({.kinds = {}, .action = storage::InjectedFault::Action::kHold}); }
  void answer() {
    disk_->clear();
    disk_->resume_held();
  }
  template <class Response, class Request>
  static core::Task<void> ask(StalledDisk* self, std::string operation, Request request,
                              Asked* asked) {
    rpc::Call call;
    call.token = asked->caller.token();
    const auto* entry = self->node_->directory.find(operation);
    CAPSTAN_ASSERT(entry);
    Response response;
    asked->result = co_await self->node_->directory.run(*entry, call, request, response);
    asked->answered = true;
  }
  static v1::CreatePoolRequest pool(const std::string& name, const std::string& disk) {
    v1::CreatePoolRequest request;
    request.set_name(name);
    request.add_disks("bdev:///" + disk);
    return request;
  }
  static core::Task<void> create(StalledDisk* self, std::string name, std::string disk,
                                 Asked* asked) {
    return ask<Pool>(self, "mayastor.v1.PoolRpc/CreatePool", pool(name, disk), asked);
  }
  static core::Task<void> destroy(StalledDisk* self, std::string name, Asked* asked) {
    v1::DestroyPoolRequest request;
    request.set_name(name);
    return ask<Empty>(self, "mayastor.v1.PoolRpc/DestroyPool", request, asked);
  }
  static core::Task<void> add(StalledDisk* self, std::string name, std::string pool, Asked* asked) {
    v1::CreateReplicaRequest request;
    request.set_name(name);
    request.set_uuid(Uuid::from_name(name).text());
    request.set_pooluuid(pool);
    request.set_size(kMiB);
    request.set_thin(true);
    return ask<Replica>(self, "mayastor.v1.ReplicaRpc/CreateReplica", request, asked);
  }
  static core::Task<void> all_ended(StalledDisk* self) {
    while (self->node_->engine.changes().children() != 0) {
      (void)co_await core::sleep_for(core::kMillisecond);
    }
  }
  // A pool's whole life on the other disk, in little time.
  static core::Task<void> others_go_on(StalledDisk* self) {
    const core::Nanos begun = core::Reactor::current()->now();
    for (const std::string name : {"q1", "q2"}) {
      Asked made, added, exported, imported, gone;
      co_await create(self, name, "EE_b", &made);
      EXPECT_TRUE(made.result) << text_of(made.result);
      co_await add(self, "r" + name, name, &added);
      EXPECT_TRUE(added.result) << text_of(added.result);
      v1::ListPoolsResponse pools;
      Asked listed;
      co_await ask<v1::ListPoolsResponse>(self, "mayastor.v1.PoolRpc/ListPools",
                                          v1::ListPoolOptions(), &listed);
      EXPECT_TRUE(listed.result);
      EXPECT_NE(self->node_->engine.find_pool(name), nullptr);
      v1::ExportPoolRequest out;
      out.set_name(name);
      co_await ask<Empty>(self, "mayastor.v1.PoolRpc/ExportPool", out, &exported);
      EXPECT_TRUE(exported.result) << text_of(exported.result);
      v1::ImportPoolRequest in;
      in.set_name(name);
      in.add_disks("bdev:///EE_b");
      co_await ask<Pool>(self, "mayastor.v1.PoolRpc/ImportPool", in, &imported);
      EXPECT_TRUE(imported.result) << text_of(imported.result);
      co_await destroy(self, name, &gone);
      EXPECT_TRUE(gone.result) << text_of(gone.result);
    }
    EXPECT_LT(core::Reactor::current()->now() - begun, core::kSecond);
  }

  static core::Task<void> creation(StalledDisk* self, bool pulled) {
    core::Scope scope;
    Asked hung, again, second;
    self->stall();
    scope.spawn(create(self, "p", "EE_a", &hung));
    scope.spawn(create(self, "p", "EE_a", &again));    // waits for the name
    scope.spawn(create(self, "p2", "EE_a", &second));  // waits for the disk
    (void)co_await core::sleep_for(kSoon);
    EXPECT_GE(self->disk_->held(), 1U);
    co_await others_go_on(self);
    EXPECT_FALSE(hung.answered || again.answered || second.answered);
    for (Asked* asked : {&second, &again, &hung}) {
      asked->caller.fire(Code::kDeadlineExceeded);
      (void)co_await core::sleep_for(kSoon);
      EXPECT_TRUE(asked->answered);
      EXPECT_EQ(code_of(asked->result), Code::kDeadlineExceeded) << text_of(asked->result);
    }
    co_await scope.join();
    EXPECT_EQ(self->node_->engine.changes().children(), 1U) << "the creation itself";
    if (pulled) {
      v1::DestroyBdevRequest away;
      away.set_uri("malloc:///a?size_mb=64");
      Asked gone;
      co_await ask<Empty>(self, "mayastor.v1.BdevRpc/Destroy", away, &gone);
      EXPECT_TRUE(gone.result) << text_of(gone.result);
    } else {
      self->answer();
    }
    co_await all_ended(self);
  }
  static core::Task<void> destruction(StalledDisk* self) {
    core::Scope scope;
    Asked hung, waiting;
    self->stall();
    scope.spawn(destroy(self, "p", &hung));
    scope.spawn(add(self, "late", "p", &waiting));
    (void)co_await core::sleep_for(kSoon);
    EXPECT_GE(self->disk_->held(), 1U);
    co_await others_go_on(self);
    EXPECT_FALSE(hung.answered);
    EXPECT_EQ(code_of(waiting.result), Code::kAborted) << "at once, as upstream does";
    self->answer();
    co_await scope.join();
    EXPECT_TRUE(hung.result) << text_of(hung.result);
    Asked free_again;
    co_await create(self, "p3", "EE_a", &free_again);
    EXPECT_TRUE(free_again.result) << text_of(free_again.result);
  }
  static core::Task<void> replica(StalledDisk* self) {
    core::Scope scope;
    Asked hung, behind;
    self->stall();
    scope.spawn(add(self, "r1", "p", &hung));
    scope.spawn(add(self, "r2", "p", &behind));
    (void)co_await core::sleep_for(kSoon);
    EXPECT_GE(self->disk_->held(), 1U);
    EXPECT_EQ(self->node_->engine.replica_calls().waiting("p"), 1U);
    co_await others_go_on(self);
    EXPECT_FALSE(hung.answered || behind.answered);
    behind.caller.fire(Code::kCancelled);
    (void)co_await core::sleep_for(kSoon);
    EXPECT_EQ(code_of(behind.result), Code::kCancelled);
    hung.caller.fire(Code::kDeadlineExceeded);
    co_await scope.join();
    EXPECT_EQ(code_of(hung.result), Code::kDeadlineExceeded);
    self->answer();
    co_await all_ended(self);
    EXPECT_TRUE(self->node_->engine.find_replica_named("r1"));
    EXPECT_FALSE(self->node_->engine.find_replica_named("r2"));
  }
  static core::Task<void> same_uuid(StalledDisk* self) {
    core::Scope scope;
    Asked hung, other;
    self->stall();
    auto first = pool("p", "EE_a"), second = pool("q", "EE_b");
    first.mutable_uuid()->set_value(Uuid::from_name("one").text());
    second.mutable_uuid()->set_value(Uuid::from_name("one").text());
    // The disk is read before the UUID is taken: let that pass.
    self->disk_->clear();
    self->disk_->inject(
        {.kinds = {storage::IoKind::kWrite}, .action = storage::InjectedFault::Action::kHold});
    scope.spawn(ask<Pool>(self, "mayastor.v1.PoolRpc/CreatePool", first, &hung));
    (void)co_await core::sleep_for(kSoon);
    EXPECT_GE(self->disk_->held(), 1U);
    co_await ask<Pool>(self, "mayastor.v1.PoolRpc/CreatePool", second, &other);
    EXPECT_EQ(code_of(other.result), Code::kAborted) << text_of(other.result);
    self->answer();
    co_await scope.join();
    EXPECT_TRUE(hung.result) << text_of(hung.result);
  }

  std::shared_ptr<storage::ErrorInjectingDevice> disk_;
};

TEST_F(StalledDisk, HoldsUpOnlyTheCreationOfItsPool) {
  world_.run(creation(this, false));
  const auto pools = list_pools();
  ASSERT_EQ(pools.size(), 1U) << "what was begun came to its end";
  EXPECT_EQ(pools[0].name(), "p");
  EXPECT_TRUE(create_replica("r", "p", kMiB, true));
}

TEST_F(StalledDisk, LeavesNothingBehindWhenItIsPulledMeanwhile) {
  world_.run(creation(this, true));
  EXPECT_TRUE(list_pools().empty());
  EXPECT_EQ(node_->engine.devices().find("EE_a"), nullptr);
  EXPECT_FALSE(disk_->claimed());
  EXPECT_EQ(std::ranges::count(node_->sink.events, std::string("change_failed_late")), 1);
  EXPECT_TRUE(create_pool("p", "bdev:///EE_b")) << "the name is free";
}

TEST_F(StalledDisk, HoldsUpOnlyTheDestructionOfItsPool) {
  ASSERT_TRUE(create_pool("p", "bdev:///EE_a"));
  world_.run(destruction(this));
}

TEST_F(StalledDisk, HoldsUpOnlyReplicasOfItsPool) {
  ASSERT_TRUE(create_pool("p", "bdev:///EE_a"));
  world_.run(replica(this));
}

TEST_F(StalledDisk, KeepsTheUuidOfThePoolInTheMaking) {
  world_.run(same_uuid(this));
}

}  // namespace
}  // namespace capstan::services
