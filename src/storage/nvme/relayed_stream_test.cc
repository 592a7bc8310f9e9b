// Why this file exists: connections whose sockets are on other cores: everything that a host does
// works as on one core, and nothing is touched by two of them (this test runs under TSan, too).
#include "storage/nvme/relayed_stream.h"

#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

constexpr std::size_t kSizes[] = {512, 4096, 8192, 20480, 131072, 262144};

core::Task<void> move_data(RemoteDevice* device, unsigned number, unsigned rounds) {
  const std::uint64_t place = std::uint64_t{number} << 19;  // each its own 512 KiB
  for (unsigned round = 0; round < rounds; ++round) {
    const std::size_t size = kSizes[(number + round) % std::size(kSizes)];
    const Bytes data = pattern(size, static_cast<std::uint8_t>(number * 16 + round));
    Bytes read(size);
    const auto written = co_await device->write(place, data);
    EXPECT_TRUE(written) << written.error().text();
    EXPECT_TRUE(co_await device->read(place, read));
    EXPECT_EQ(read, data);
  }
}
core::Task<void> connect_and_move(TargetWorld* world, Digests digests, unsigned resets) {
  HostWorld host(world->env, world->log);
  HostOptions options = host_options(world->address);
  options.io_queues = 4;
  options.digests = digests;
  EXPECT_TRUE(co_await host.open(options));
  core::Scope scope;
  for (unsigned i = 0; i < 8; ++i) scope.spawn(move_data(host.device.get(), i, 24));
  for (unsigned i = 0; i < resets; ++i) {
    co_await pause(2 * core::kMillisecond);
    host.controller().reset("to see what becomes of it");
  }
  co_await scope.join();
  co_await host.close();
}

// The target on core 0, its sockets on cores 1 and 2, hosts beside it.
template <class Test>
void on_three_cores(Test test) {
  core::UringOptions options;
  options.cores = 3;
  auto env = core::UringEnv::create(options);
  ASSERT_TRUE(env) << env.error().text();
  TargetWorld world(**env, **env);
  world.target.spread_sockets({&(*env)->reactor(1), &(*env)->reactor(2)});
  (*env)->run(whole(&world, "127.0.0.1", 0, test));
}

TEST(RelayedStream, DataOfManyQueues) {
  on_three_cores([](TargetWorld& world) { return connect_and_move(&world, {}, 0); });
}
TEST(RelayedStream, WithDigests) {
  on_three_cores([](TargetWorld& world) { return connect_and_move(&world, {true, true}, 0); });
}
TEST(RelayedStream, ConnectionsComeAndGo) {
  on_three_cores([](TargetWorld& world) { return connect_and_move(&world, {}, 6); });
}

// Both ends of what a connection does: a host that says nothing more, and one that is thrown out.
core::Task<void> ends(TargetWorld* world) {
  RawHost silent, broken, late;
  co_await silent.open_admin(world->env, world->address);
  co_await broken.dial(world->env, world->address);
  co_await broken.send(Bytes(128, 0xFF));  // no PDU at all
  const auto farewell = co_await broken.receive();
  EXPECT_TRUE(farewell && farewell->common.type == PduType::kC2hTermReq);
  broken.hang_up();
  co_await late.open_admin(world->env, world->address);
  late.hang_up();
  // What is left, the end of the target takes along.
}
TEST(RelayedStream, HowConnectionsEnd) {
  on_three_cores([](TargetWorld& world) { return ends(&world); });
}

// The stream itself.
core::Task<void> one_stream(core::Env* env, core::Reactor* other) {
  auto listener = env->network().listen(core::Address::tcp("127.0.0.1", 0));
  EXPECT_TRUE(listener);
  auto near = co_await env->network().connect((*listener)->local(), {});
  EXPECT_TRUE(near);
  auto accepted = co_await (*listener)->accept();
  EXPECT_TRUE(accepted);
  RelayedStream far(*std::move(accepted), *other);
  EXPECT_EQ(far.peer().address.substr(0, 10), "127.0.0.1:");
  Bytes sent = pattern(100'000, 1), got(sent.size());
  core::Scope scope;
  EXPECT_TRUE(co_await far.write(ByteView(sent).first(1000)));
  EXPECT_EQ((co_await (*near)->read(got)).value_or(0), 1000U);
  EXPECT_TRUE(co_await (*near)->write(ByteView(sent).first(10)));
  EXPECT_FALSE(*far.read_now(got));
  EXPECT_EQ((co_await far.read(got)).value_or(0), 10U);
  core::Timer cancel([&far] { far.cancel(); });
  cancel.arm_at(*core::Reactor::current(), core::Reactor::current()->now() + core::kMillisecond);
  EXPECT_EQ((co_await far.read(got)).error().code, Code::kCancelled);  // while it waits
  EXPECT_EQ((co_await far.read(got)).error().code, Code::kCancelled);
  EXPECT_EQ((co_await far.write(sent)).error().code, Code::kCancelled);
  EXPECT_EQ(far.read_now(got).error().code, Code::kCancelled);
}
TEST(RelayedStream, ReadsWritesAndIsCancelled) {
  core::UringOptions options;
  options.cores = 2;
  auto env = core::UringEnv::create(options);
  ASSERT_TRUE(env) << env.error().text();
  (*env)->run(one_stream(env->get(), &(*env)->reactor(1)));
}

}  // namespace
}  // namespace capstan::storage::nvme
