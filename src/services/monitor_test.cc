// Why this file exists: what monitors tell: all that exists, then what changes, only the newest of
// it to a slow reader, and an end when the client leaves. And the counters of StatsRpc.
#include "services/monitor_service.h"

#include <algorithm>
#include <cctype>
#include <functional>

#include "core/scope.h"
#include "services/monitor_limits.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace m1 = monitor::v1;
namespace v1 = ::mayastor::v1;

constexpr std::uint64_t kMiB = 1 << 20;

class MonitorTest : public ServicesTest {
 protected:
  void SetUp() override { start(); }

  // Runs the monitor until `count` answers have come; `meanwhile` starts after the first ones.
  template <class Response, class Request>
  Result<void> watch(const std::string& operation, const Request& request, std::size_t count,
                     std::vector<Response>* out, std::function<core::Task<void>()> meanwhile = {}) {
    return run(watching(this, operation, request, count, out, std::move(meanwhile)));
  }

  core::Task<void> make_pool(std::string name) {
    v1::CreatePoolRequest request;
    request.set_name(name);
    request.add_disks("malloc:///" + name + "?size_mb=64");
    v1::Pool pool;
    rpc::Call call;
    const auto made = co_await node_->directory.run(
        *node_->directory.find("mayastor.v1.PoolRpc/CreatePool"), call, request, pool);
    EXPECT_TRUE(made) << made.error().text();
  }
  core::Task<void> drop_pool(std::string name) {
    v1::DestroyPoolRequest request;
    request.set_name(name);
    google::protobuf::Empty done;
    rpc::Call call;
    const auto gone = co_await node_->directory.run(
        *node_->directory.find("mayastor.v1.PoolRpc/DestroyPool"), call, request, done);
    EXPECT_TRUE(gone) << gone.error().text();
  }
  core::Task<void> make_then_drop(std::string name) {
    co_await make_pool(name);
    co_await world_.reactor().delay(core::kSecond);
    co_await drop_pool(name);
  }

  std::unique_ptr<StateFeed::Subscription> subscribe(std::set<StateFeed::What> kinds) {
    std::unique_ptr<StateFeed::Subscription> made;
    world_.run(subscribing(&node_->monitors.feed(), std::move(kinds), &made));
    return made;
  }
  void pass_a_second() { world_.run(a_second(&world_)); }

 private:
  static core::Task<void> subscribing(StateFeed* feed, std::set<StateFeed::What> kinds,
                                      std::unique_ptr<StateFeed::Subscription>* out) {
    auto made = feed->subscribe(std::move(kinds));
    EXPECT_TRUE(made);
    if (made) *out = *std::move(made);
    co_return;
  }
  static core::Task<void> a_second(core::SimWorld* world) {
    co_await world->reactor().delay(core::kSecond);
  }
  static core::Task<void> ignore(core::Task<Result<void>> task, Result<void>* into) {
    *into = co_await std::move(task);
  }
  template <class Response, class Request>
  static core::Task<Result<void>> watching(MonitorTest* test, std::string operation,
                                           Request request, std::size_t count,
                                           std::vector<Response>* out,
                                           std::function<core::Task<void>()> meanwhile) {
    core::CancelSource client;
    rpc::Call call;
    call.token = client.token();
    Requests<Request> source({request});
    Answers<Response> sink;
    sink.after = &client;
    sink.count = count;
    core::Scope scope;
    Result<void> ended;
    scope.spawn(ignore(
        test->node_->directory.run(*test->node_->directory.find(operation), call, source, sink),
        &ended));
    co_await test->world_.reactor().delay(core::kMillisecond);
    if (meanwhile) co_await meanwhile();
    co_await scope.join();
    *out = std::move(sink.messages);
    co_return ended;
  }
};

const std::string kPools = "capstan.monitor.v1.MonitorRpc/MonitorPools";
const std::string kReplicas = "capstan.monitor.v1.MonitorRpc/MonitorReplicas";
const std::string kState = "capstan.monitor.v1.MonitorRpc/MonitorState";

TEST_F(MonitorTest, AnEmptyNodeSaysSoAtOnce) {
  std::vector<m1::PoolChange> seen;
  EXPECT_EQ(code_of(watch(kPools, m1::MonitorPoolsRequest(), 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event(), "");
  EXPECT_FALSE(seen[0].has_pool());
  EXPECT_TRUE(seen[0].synced());
}

TEST_F(MonitorTest, WhatExistsThenWhatChanges) {
  ASSERT_TRUE(create_pool("a", "malloc:///a?size_mb=64"));
  ASSERT_TRUE(create_pool("b", "malloc:///b?size_mb=64"));
  std::vector<m1::PoolChange> seen;
  EXPECT_EQ(code_of(watch(kPools, m1::MonitorPoolsRequest(), 4, &seen,
                          [this] { return make_then_drop("c"); })),
            Code::kCancelled);
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].event(), "snapshot");
  EXPECT_EQ(seen[0].pool().name(), "a");
  EXPECT_FALSE(seen[0].synced());
  EXPECT_EQ(seen[1].pool().name(), "b");
  EXPECT_TRUE(seen[1].synced());
  EXPECT_EQ(seen[2].event(), "created");
  EXPECT_EQ(seen[2].pool().name(), "c");
  EXPECT_FALSE(seen[2].synced());
  EXPECT_EQ(seen[3].event(), "destroyed");
  EXPECT_EQ(seen[3].pool().name(), "c");
  EXPECT_LT(seen[1].rev(), seen[2].rev());
  EXPECT_LT(seen[2].rev(), seen[3].rev());
}

TEST_F(MonitorTest, FiltersKeepTheirStreamInSync) {
  ASSERT_TRUE(create_pool("a", "malloc:///a?size_mb=64"));
  ASSERT_TRUE(create_pool("b", "malloc:///b?size_mb=64"));
  m1::MonitorPoolsRequest request;
  request.add_pool("a");
  std::vector<m1::PoolChange> seen;
  EXPECT_EQ(code_of(watch(kPools, request, 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].pool().name(), "a");
  EXPECT_TRUE(seen[0].synced()) << "the last one that is wanted";
}

TEST_F(MonitorTest, AFilterThatLeavesNothingSaysSoAtOnce) {
  ASSERT_TRUE(create_pool("a", "malloc:///a?size_mb=64"));
  m1::MonitorPoolsRequest request;
  request.add_pool("other");
  std::vector<m1::PoolChange> seen;
  EXPECT_EQ(code_of(watch(kPools, request, 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event(), "");
  EXPECT_FALSE(seen[0].has_pool());
  EXPECT_TRUE(seen[0].synced());
}

// FixedBug: only the lower-case form was found.
TEST_F(MonitorTest, ReplicasAreNamedByUuidsInAnyForm) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=64"));
  const auto one = create_replica("r", "p", 16 * kMiB, true);
  ASSERT_TRUE(one);
  ASSERT_TRUE(create_replica("other", "p", 16 * kMiB, true));
  std::string capitals = one->uuid();
  std::ranges::transform(capitals, capitals.begin(),
                         [](unsigned char c) { return std::toupper(c); });
  m1::MonitorReplicasRequest request;
  request.add_replica(capitals);
  std::vector<m1::ReplicaChange> seen;
  EXPECT_EQ(code_of(watch(kReplicas, request, 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].replica().name(), "r");
}

TEST_F(MonitorTest, HeartbeatsWhenNothingHappens) {
  m1::MonitorPoolsRequest request;
  request.set_heartbeat_ms(500);
  std::vector<m1::PoolChange> seen;
  EXPECT_EQ(code_of(watch(kPools, request, 3, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_FALSE(seen[0].heartbeat());
  EXPECT_TRUE(seen[1].heartbeat());
  EXPECT_TRUE(seen[2].heartbeat());
  request.set_heartbeat_ms(1);
  EXPECT_EQ(code_of(watch(kPools, request, 1, &seen)), Code::kInvalidArgument);
}

// Space that a write takes has no event; the look once a second finds it.
TEST_F(MonitorTest, ReplicasTellTheSpaceTheyTake) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=128"));
  ASSERT_TRUE(create_replica("r", "p", 16 * kMiB, true));
  struct Writer {
    static core::Task<void> write(Engine* engine) {
      const std::string data(4096, 'x');
      const auto found = engine->find_replica_named("r");
      EXPECT_TRUE(co_await found.replica->write(0, as_bytes(data)));
    }
  };
  std::vector<m1::ReplicaChange> seen;
  m1::MonitorReplicasRequest request;
  request.add_pool("p");
  EXPECT_EQ(code_of(watch(kReplicas, request, 2, &seen,
                          [this] { return Writer::write(&node_->engine); })),
            Code::kCancelled);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].event(), "snapshot");
  EXPECT_EQ(seen[0].replica().usage().allocated_bytes(), 0U);
  EXPECT_EQ(seen[1].event(), "changed");
  EXPECT_GT(seen[1].replica().usage().allocated_bytes(), 0U);
}

TEST_F(MonitorTest, StateIsTheWholeModelThenDifferences) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=128"));
  ASSERT_TRUE(create_replica("r", "p", 16 * kMiB, true));
  std::vector<m1::StateChange> seen;
  EXPECT_EQ(code_of(watch(kState, m1::MonitorStateRequest(), 3, &seen,
                          [this] { return make_then_drop("q"); })),
            Code::kCancelled);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_TRUE(seen[0].full());
  EXPECT_NE(seen[0].epoch(), 0U);
  ASSERT_EQ(seen[0].pools_size(), 1);
  ASSERT_EQ(seen[0].replicas_size(), 1);
  EXPECT_EQ(seen[0].replicas(0).name(), "r");
  EXPECT_FALSE(seen[1].full());
  ASSERT_EQ(seen[1].pools_size(), 1);
  EXPECT_EQ(seen[1].pools(0).name(), "q");
  ASSERT_EQ(seen[2].removed_pools_size(), 1);
  EXPECT_EQ(seen[2].removed_pools(0), "q");
  EXPECT_LT(seen[1].rev(), seen[2].rev());
}

TEST_F(MonitorTest, WhoIsUpToDateGetsNoModel) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=64"));
  std::vector<m1::StateChange> seen;
  EXPECT_EQ(code_of(watch(kState, m1::MonitorStateRequest(), 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  m1::MonitorStateRequest request;
  request.set_since(std::to_string(seen[0].epoch()) + "-" + std::to_string(seen[0].rev()));
  request.set_heartbeat_ms(200);
  const std::uint64_t rev = seen[0].rev();
  auto& feed = node_->monitors.feed();
  // While nobody watches the model is dropped, so another revision starts: a whole model again.
  EXPECT_EQ(code_of(watch(kState, request, 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_TRUE(seen[0].full());
  EXPECT_GT(seen[0].rev(), rev);
  // While somebody does, the revision stands.
  const auto keeper = subscribe({StateFeed::What::kPool});
  ASSERT_TRUE(keeper);
  request.set_since(std::to_string(feed.epoch()) + "-" + std::to_string(feed.rev()));
  EXPECT_EQ(code_of(watch(kState, request, 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_FALSE(seen[0].full());
  EXPECT_TRUE(seen[0].heartbeat());
  EXPECT_EQ(seen[0].pools_size(), 0);
}

// Who changes something and wants to read it from a copy is told which revision has it.
TEST_F(MonitorTest, TheRevisionOfAChangeIsKnownAtOnce) {
  auto& feed = node_->monitors.feed();
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=64"));
  EXPECT_EQ(feed.settle(), "") << "nobody keeps a copy";
  const auto copy = subscribe({StateFeed::What::kPool, StateFeed::What::kReplica});
  ASSERT_TRUE(copy);
  while (copy->try_next()) {
  }
  ASSERT_TRUE(create_replica("r", "p", 16 * kMiB, true));
  std::string settled;
  world_.run([](StateFeed* of, std::string* into) -> core::Task<void> {
    *into = of->settle();
    co_return;
  }(&feed, &settled));
  std::uint64_t newest = 0;
  bool replica = false;
  while (const auto change = copy->try_next()) {
    newest = change->rev;
    replica = replica || change->key.what == StateFeed::What::kReplica;
  }
  EXPECT_TRUE(replica);
  EXPECT_EQ(settled, std::to_string(feed.epoch()) + "-" + std::to_string(newest));
}

// The last watcher leaves, then the last pool goes: who comes back must be told.
TEST_F(MonitorTest, WhatHappenedWhileNobodyWatchedIsTold) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=64"));
  std::vector<m1::StateChange> seen;
  EXPECT_EQ(code_of(watch(kState, m1::MonitorStateRequest(), 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  m1::MonitorStateRequest request;
  request.set_since(std::to_string(seen[0].epoch()) + "-" + std::to_string(seen[0].rev()));
  world_.run(drop_pool("p"));
  EXPECT_EQ(code_of(watch(kState, request, 1, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_TRUE(seen[0].full());
  EXPECT_EQ(seen[0].pools_size(), 0);
}

// A pool whose disk is a replica: the refused call must leave it alone.
TEST_F(MonitorTest, ARefusedDestructionFaultsNoPoolOnTheReplica) {
  ASSERT_TRUE(create_pool("a", "malloc:///a?size_mb=256"));
  ASSERT_TRUE(create_replica("r", "a", 128 * kMiB, false));
  ASSERT_TRUE(create_pool("b", "bdev:///r"));
  v1::DestroyReplicaRequest request;
  request.set_uuid(Uuid::from_name("r").text());
  EXPECT_FALSE(call<google::protobuf::Empty>("mayastor.v1.ReplicaRpc/DestroyReplica", request));
  v1::DestroyPoolRequest pool;
  pool.set_name("a");
  EXPECT_FALSE(call<google::protobuf::Empty>("mayastor.v1.PoolRpc/DestroyPool", pool));
  for (const auto& listed : list_pools()) EXPECT_EQ(listed.state(), v1::POOL_ONLINE);
  EXPECT_TRUE(create_replica("inner", "b", 16 * kMiB, true));
}

TEST_F(MonitorTest, ASlowReaderGetsOnlyTheNewest) {
  using What = StateFeed::What;
  const auto made = subscribe({What::kPool, What::kReplica});
  ASSERT_TRUE(made);
  auto& slow = *made;
  EXPECT_TRUE(slow.try_next()->synced);
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=128"));
  pass_a_second();
  ASSERT_TRUE(create_replica("r", "p", 16 * kMiB, true));
  pass_a_second();
  v1::ResizeReplicaRequest request;
  request.set_uuid(Uuid::from_name("r").text());
  request.set_requested_size(32 * kMiB);
  ASSERT_TRUE(call<v1::Replica>("mayastor.v1.ReplicaRpc/ResizeReplica", request));
  pass_a_second();
  const auto pool = slow.try_next();
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->event, StateFeed::Event::kCreated);
  EXPECT_EQ(pool->object.pool->name(), "p");
  const auto replica = slow.try_next();
  ASSERT_TRUE(replica);
  EXPECT_EQ(replica->event, StateFeed::Event::kCreated);
  EXPECT_EQ(replica->object.replica->size(), 32 * kMiB);
  EXPECT_FALSE(slow.try_next());
  // Made and gone before it was told: nothing to tell.
  world_.run(make_then_drop("brief"));
  pass_a_second();
  EXPECT_FALSE(slow.try_next());
}

TEST_F(MonitorTest, BootstrappedEndsWhenReady) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=64"));
  const auto seen = stream<m1::Bootstrapped>("capstan.monitor.v1.MonitorRpc/MonitorBootstrapped",
                                             std::vector<m1::MonitorBootstrappedRequest>(1));
  ASSERT_TRUE(seen) << text_of(seen);
  ASSERT_EQ(seen->size(), 1U);
  EXPECT_EQ(seen->front().state(), "ready");
  EXPECT_EQ(seen->front().imported_pools(), 1U);
  EXPECT_EQ(seen->front().total_pools(), 1U);
}

// Gateways answer it, too, so it is part of the state that they keep.
TEST_F(MonitorTest, StateTellsHowFarTheNodeIs) {
  std::vector<m1::StateChange> seen;
  EXPECT_EQ(code_of(watch(kState, m1::MonitorStateRequest(), 3, &seen,
                          [this] { return make_then_drop("q"); })),
            Code::kCancelled);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].progress().state(), "ready");
  EXPECT_EQ(seen[0].progress().imported_pools(), 0U);
  EXPECT_EQ(seen[1].progress().imported_pools(), 1U);
  EXPECT_TRUE(seen[2].has_progress());
  EXPECT_EQ(seen[2].progress().total_pools(), 0U);
}

TEST_F(MonitorTest, StatsComeAgainAndAgain) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=128"));
  ASSERT_TRUE(create_replica("r", "p", 16 * kMiB, true));
  m1::MonitorStatsRequest request;
  request.set_interval_ms(100);
  request.add_what("pools");
  std::vector<m1::StatsSample> seen;
  const std::string operation = "capstan.monitor.v1.MonitorRpc/MonitorStats";
  EXPECT_EQ(code_of(watch(operation, request, 3, &seen)), Code::kCancelled);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[2].time_ms() - seen[0].time_ms(), 200U);
  ASSERT_EQ(seen[0].pools_size(), 1);
  EXPECT_GT(seen[0].pools(0).num_write_ops(), 0U);
  EXPECT_EQ(seen[0].replicas_size(), 0);
  request.set_interval_ms(99);
  EXPECT_EQ(code_of(watch(operation, request, 1, &seen)), Code::kInvalidArgument);
  request.set_interval_ms(100);
  request.add_what("weather");
  EXPECT_EQ(code_of(watch(operation, request, 1, &seen)), Code::kInvalidArgument);
}

TEST_F(MonitorTest, CountersAreListedAndReset) {
  ASSERT_TRUE(create_pool("p", "malloc:///p?size_mb=128"));
  const auto replica = create_replica("r", "p", 16 * kMiB, true);
  ASSERT_TRUE(replica);
  const std::string prefix = "mayastor.v1.StatsRpc/";
  v1::ListStatsOption all, other;
  other.set_name("other");
  auto pools = call<v1::PoolIoStatsResponse>(prefix + "GetPoolIoStats", all);
  ASSERT_TRUE(pools);
  ASSERT_EQ(pools->stats_size(), 1);
  EXPECT_EQ(pools->stats(0).name(), "p");
  EXPECT_GT(pools->stats(0).num_write_ops(), 0U);
  EXPECT_GT(pools->stats(0).bytes_written(), 0U);
  EXPECT_EQ(pools->stats(0).tick_rate(), 1'000'000'000U);
  EXPECT_EQ(call<v1::PoolIoStatsResponse>(prefix + "GetPoolIoStats", other)->stats_size(), 0);
  const auto replicas = call<v1::ReplicaIoStatsResponse>(prefix + "GetReplicaIoStats", all);
  ASSERT_TRUE(replicas);
  ASSERT_EQ(replicas->stats_size(), 1);
  EXPECT_EQ(replicas->stats(0).stats().uuid(), replica->uuid());
  EXPECT_EQ(call<v1::ReplicaIoStatsResponse>(prefix + "GetReplicaIoStats", other)->stats_size(), 0);
  EXPECT_EQ(call<v1::NexusIoStatsResponse>(prefix + "GetNexusIoStats", all)->stats_size(), 0);
  EXPECT_EQ(code_of(call<v1::NexusIoStatsResponse>(prefix + "GetNexusIoStats", other)),
            Code::kNotFound);
  ASSERT_TRUE(call<google::protobuf::Empty>(prefix + "ResetIoStats", google::protobuf::Empty()));
  pools = call<v1::PoolIoStatsResponse>(prefix + "GetPoolIoStats", all);
  EXPECT_EQ(pools->stats(0).num_write_ops(), 0U);
  EXPECT_EQ(pools->stats(0).min_write_latency_ticks(), 0U);
}

core::Task<void> fill_feed(StateFeed* feed) {
  std::vector<std::unique_ptr<StateFeed::Subscription>> all;
  while (all.size() < limits::kStateSubscribers) {
    auto made = feed->subscribe({StateFeed::What::kPool});
    if (!made) ADD_FAILURE() << all.size() << ": " << made.error().text();
    if (!made) co_return;
    all.push_back(*std::move(made));
  }
  const auto refused = feed->subscribe({StateFeed::What::kPool});
  EXPECT_EQ(code_of(refused), Code::kResourceExhausted);
  EXPECT_NE(text_of(refused).find("ask a gateway"), std::string::npos) << text_of(refused);
  all.pop_back();
  EXPECT_TRUE(feed->subscribe({StateFeed::What::kPool}));
}

TEST_F(MonitorTest, SoManyMayWatch) {
  world_.run(fill_feed(&node_->monitors.feed()));
}

}  // namespace
}  // namespace capstan::services
