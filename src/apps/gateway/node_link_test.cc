// Why this file exists: a gateway's link to a node on a simulated network that breaks anywhere, is
// silent, or loses the node: the mirror is the node's state again soon after, and is never shown
// when it could be something else.
#include "apps/gateway/node_link.h"

#include <gtest/gtest.h>

#include "apps/gateway/gateway_limits.h"
#include "core/log_sinks.h"
#include "core/sim_env.h"
#include "wire/grpc/server.h"

namespace capstan::gateway {
namespace {

using core::kSecond;
using core::Task;
using What = model::StateModel::What;

using core::NoLog;

// What a gateway needs of a node, around a model that the test changes.
class FakeNode final : public model::StateSource {
 public:
  explicit FakeNode(core::SimWorld& world) : env_(world), monitors_(*this) {
    describe("capstan.node.v1.NodeRpc/GetVersion");
    bind(directory_.declare(node::v1::Version::descriptor()->file()->FindServiceByName("NodeRpc")));
    bind(directory_.declare(
        monitor::v1::StateChange::descriptor()->file()->FindServiceByName("MonitorRpc")));
    using F = FakeNode;
    const std::string node = "capstan.node.v1.NodeRpc/";
    bind(rpc::bind_unary(directory_, node + "GetVersion", *this, &F::get_version));
    bind(rpc::bind_unary(directory_, node + "GetConfig", *this, &F::get_config));
    bind(rpc::bind_unary(directory_, node + "DescribeOperations", *this, &F::get_operations));
    bind(rpc::bind_server_stream(directory_, "capstan.monitor.v1.MonitorRpc/MonitorState",
                                 monitors_, &model::StateMonitors::state));
    start_over();
  }

  core::Address address() const { return core::Address::tcp(env_.address(), 1); }
  // As another process with the same pools.
  void start_over() {
    ++epoch_;
    version_.set_instance_uuid("instance " + std::to_string(epoch_));
  }
  void describe(const std::string& name) { operations_.add_operations()->set_full_name(name); }
  void put(const std::string& pool, std::uint64_t used) {
    auto message = std::make_shared<mayastor::v1::Pool>();
    message->set_name(pool);
    message->set_used(used);
    model_.put({What::kPool, pool}, {std::move(message), nullptr});
  }
  void remove(const std::string& pool) { model_.remove({What::kPool, pool}); }

  Result<std::unique_ptr<Subscription>> subscribe(std::set<What> kinds) override {
    ++subscribed;
    return model_.subscribe(std::move(kinds));
  }
  std::uint64_t epoch() const override { return epoch_; }
  std::uint64_t rev() const override { return model_.rev(); }

  std::string state() const { return state_of(model_); }
  static std::string state_of(const model::StateModel& model) {
    std::string text;
    for (const auto& [key, held] : model.objects()) {
      text += key.id + "=" + std::to_string(held.object.pool->used()) + " ";
    }
    return text;
  }

  Task<void> serve(core::Event* stop) {
    wire::GrpcServer server(env_, directory_, log, {});
    EXPECT_TRUE(server.listen(address()));
    core::Scope scope;
    scope.spawn(server.run());
    co_await stop->wait();
    server.stop(kSecond / 10);
    co_await scope.join();
  }

  core::SimEnv& env() { return env_; }
  int subscribed = 0;
  NoLog sink;
  core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                nullptr};

 private:
  static void bind(const Result<void>& result) {
    ASSERT_TRUE(result) << (result ? "" : result.error().text());
  }
  Task<Result<node::v1::Version>> get_version(rpc::Call&, const node::v1::GetVersionRequest&) {
    co_return version_;
  }
  Task<Result<node::v1::Config>> get_config(rpc::Call&, const node::v1::GetConfigRequest&) {
    co_return node::v1::Config();
  }
  Task<Result<node::v1::DescribeOperationsResponse>> get_operations(
      rpc::Call&, const node::v1::DescribeOperationsRequest&) {
    co_return operations_;
  }

  core::SimEnv env_;
  model::StateModel model_;
  model::StateMonitors monitors_;
  rpc::Directory directory_;
  node::v1::Version version_;
  node::v1::DescribeOperationsResponse operations_;
  std::uint64_t epoch_ = 100;
};

struct LinkWorld {
  explicit LinkWorld(std::uint64_t seed = 1) : world(seed), node(world), env(world) {}
  core::SimWorld world;
  FakeNode node;
  core::SimEnv env;
  int outdated = 0;

  std::string state(NodeLink& link) const { return FakeNode::state_of(link.mirror().model()); }
  void cut() { world.network().reset(node.env().address(), env.address()); }
};

using Body = Task<void> (*)(LinkWorld&, NodeLink&);
Task<void> with_link(LinkWorld* world, Body body) {
  core::Event stop;
  core::Scope scope;
  scope.spawn(world->node.serve(&stop));
  NodeLink link(world->env, world->node.log, world->node.address());
  EXPECT_TRUE(co_await link.bootstrap({}));
  scope.spawn(link.run([world] { ++world->outdated; }));
  co_await body(*world, link);
  link.stop_following();
  stop.set();
  co_await scope.join();
  co_await link.close();
}
void run(Body body, std::uint64_t seed = 1) {
  LinkWorld world(seed);
  world.world.run(with_link(&world, body));
}

Task<bool> in_sync(NodeLink* link, core::Nanos patience) {
  const core::Nanos until = core::Reactor::current()->now() + patience;
  while (!link->mirror().in_sync() && core::Reactor::current()->now() < until) {
    EXPECT_TRUE(co_await core::sleep_for(kSecond / 100));
  }
  co_return link->mirror().in_sync();
}

Task<void> follow_body(LinkWorld& world, NodeLink& link) {
  EXPECT_TRUE(co_await in_sync(&link, kSecond));
  EXPECT_EQ(link.missing(), "");
  world.node.put("a", 1);
  world.node.put("b", 1);
  EXPECT_TRUE(co_await core::sleep_for(kSecond / 2));
  EXPECT_EQ(world.state(link), "a=1 b=1 ");
  world.node.put("a", 7);
  world.node.remove("b");
  EXPECT_TRUE(co_await core::sleep_for(kSecond / 2));
  EXPECT_EQ(world.state(link), "a=7 ");
  EXPECT_TRUE(co_await core::sleep_for(60 * kSecond));  // heartbeats alone
  EXPECT_TRUE(link.mirror().in_sync());
  EXPECT_EQ(world.node.subscribed, 1);
}
TEST(NodeLink, Follows) {
  run(follow_body);
}

// Every connection breaks after some bytes; in between the state changes.
Task<void> breaking_body(LinkWorld& world, NodeLink& link) {
  for (std::uint64_t bytes = 1; bytes < 1500; bytes += 7) {
    world.world.network().reset_next_connection_after(bytes);
    world.cut();
    world.node.put("p" + std::to_string(bytes % 5), bytes);
    if (bytes % 3 == 0) world.node.remove("p" + std::to_string((bytes + 1) % 5));
    EXPECT_TRUE(co_await core::sleep_for(kSecond / 10));
    world.world.network().reset_next_connection_after(0);
    if (link.mirror().in_sync()) EXPECT_EQ(world.state(link), world.node.state()) << bytes;
    // The longest pause, and the time to connect.
    EXPECT_TRUE(co_await core::sleep_for(7 * kSecond));
    EXPECT_TRUE(link.mirror().in_sync()) << bytes;
    EXPECT_EQ(world.state(link), world.node.state()) << bytes;
  }
}
TEST(NodeLink, IsRightAgainAfterConnectionsThatBreakAnywhere) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) run(breaking_body, seed);
}

Task<void> silence_body(LinkWorld& world, NodeLink& link) {
  EXPECT_TRUE(co_await in_sync(&link, kSecond));
  world.world.network().partition(world.node.env().address(), world.env.address());
  world.node.put("unseen", 1);
  EXPECT_TRUE(co_await core::sleep_for(limits::kGatewaySilenceNanos + 2 * kSecond));
  EXPECT_FALSE(link.mirror().in_sync()) << "a silent node's state is not shown";
  EXPECT_NE(link.missing(), "");
  world.world.network().heal(world.node.env().address(), world.env.address());
  EXPECT_TRUE(co_await in_sync(&link, 20 * kSecond));
  EXPECT_EQ(world.state(link), "unseen=1 ");
}
TEST(NodeLink, NoticesSilence) {
  run(silence_body);
}

Task<void> restart_body(LinkWorld& world, NodeLink& link) {
  world.node.put("a", 1);
  EXPECT_TRUE(co_await in_sync(&link, kSecond));
  const std::string before = link.mirror().revision();
  world.node.start_over();
  world.cut();
  EXPECT_TRUE(co_await core::sleep_for(2 * kSecond));
  EXPECT_TRUE(link.mirror().in_sync());
  EXPECT_NE(link.mirror().revision(), before);
  EXPECT_FALSE(link.mirror().serves(before)) << "revisions of another start do not compare";
  EXPECT_EQ(link.facts().version.instance_uuid(), "instance 102");
  EXPECT_EQ(world.outdated, 0);
  world.node.describe("mayastor.v1.PoolRpc/ListPools");
  world.node.start_over();
  world.cut();
  EXPECT_TRUE(co_await core::sleep_for(2 * kSecond));
  EXPECT_GE(world.outdated, 1) << "whoever made this link makes another gateway";
  EXPECT_FALSE(link.mirror().in_sync());
}
TEST(NodeLink, TellsAnotherStartOfTheNode) {
  run(restart_body);
}

Task<void> lease_body(LinkWorld&, NodeLink& link) {
  std::vector<NodeLink::Lease> leases;
  std::set<client::Channel*> channels;
  for (std::size_t i = 0; i < 3 * limits::kGatewayStreamsPerConnection; ++i) {
    leases.push_back(link.stream_channel());
    channels.insert(&leases.back().channel());
  }
  EXPECT_EQ(channels.size(), 3U);
  leases.clear();
  EXPECT_TRUE(channels.contains(&link.stream_channel().channel())) << "places are used again";
  co_return;
}
TEST(NodeLink, StreamsShareFewConnections) {
  run(lease_body);
}

Task<void> surplus_body(LinkWorld& world, NodeLink& link) {
  EXPECT_TRUE(co_await in_sync(&link, kSecond));
  const std::size_t before = world.world.network().connections();
  std::vector<NodeLink::Lease> leases;
  for (std::size_t i = 0; i < 3 * limits::kGatewayStreamsPerConnection; ++i) {
    leases.push_back(link.stream_channel());
    node::v1::Version version;  // so that there is a connection
    EXPECT_TRUE(co_await leases.back().channel().unary("capstan.node.v1.NodeRpc/GetVersion",
                                                       node::v1::GetVersionRequest(), version, {}));
  }
  EXPECT_EQ(world.world.network().connections(), before + 3);
  leases.clear();
  EXPECT_TRUE(co_await core::sleep_for(limits::kGatewayStreamIdleNanos - kSecond));
  EXPECT_EQ(link.stream_connections(), 3U) << "streams may come again";
  leases.push_back(link.stream_channel());
  EXPECT_TRUE(co_await core::sleep_for(5 * kSecond));
  EXPECT_EQ(link.stream_connections(), 1U);
  EXPECT_EQ(world.world.network().connections(), before + 1);
  for (std::size_t i = 0; i < limits::kGatewayStreamsPerConnection; ++i) {
    leases.push_back(link.stream_channel());
  }
  EXPECT_EQ(link.stream_connections(), 2U);
}
TEST(NodeLink, ConnectionsWithoutStreamsAreClosed) {
  run(surplus_body);
}

// Nobody there: asks after 0.1 s, 0.2 s … and ends when it is told to.
Task<void> nobody(LinkWorld* world) {
  NodeLink link(world->env, world->node.log, world->node.address());
  core::CancelSource stop;
  core::Timer timer([&stop] { stop.fire(); });
  auto& reactor = *core::Reactor::current();
  timer.arm_at(reactor, reactor.now() + 60 * kSecond);
  const auto ended = co_await link.bootstrap(stop.token());
  EXPECT_EQ(ended.error().code, Code::kCancelled);
  co_await link.close();
}
TEST(NodeLink, WaitsUntilItIsTold) {
  LinkWorld world;
  world.world.run(nobody(&world));
}

Task<void> find(NodeLink* link, Result<void>* found, core::Event* done) {
  *found = co_await link->bootstrap({});
  done->set();
}
Task<void> appears(LinkWorld* world) {
  core::Event stop;
  core::Scope scope;
  NodeLink link(world->env, world->node.log, world->node.address());
  Result<void> found;
  core::Event done;
  scope.spawn(find(&link, &found, &done));
  EXPECT_TRUE(co_await core::sleep_for(100 * kSecond));
  const core::Nanos appeared = core::Reactor::current()->now();
  scope.spawn(world->node.serve(&stop));
  co_await done.wait();
  EXPECT_TRUE(found);
  EXPECT_LT(core::Reactor::current()->now() - appeared, 6 * kSecond) << "within the longest pause";
  stop.set();
  co_await scope.join();
  co_await link.close();
}
TEST(NodeLink, FindsANodeThatAppears) {
  LinkWorld world;
  world.world.run(appears(&world));
}

}  // namespace
}  // namespace capstan::gateway
