// Why this file exists: connections that break at any byte and at random times, under a device that
// takes its time, with writers whose every acknowledged write is remembered: what was acknowledged
// is there, and never something older. Each writer has blocks of its own, so what a block may hold
// is known.
#include <gtest/gtest.h>

#include "core/sim_random.h"
#include "storage/device/stacked_device.h"
#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

// Takes up to `longest` for each write, so that one may still run when its connection is gone.
class SlowDevice final : public StackedDevice {
 public:
  SlowDevice(std::shared_ptr<Device> below, std::uint64_t seed, core::Nanos longest)
      : StackedDevice(std::move(below), "slow", Uuid::from_name("slow")),
        random_(seed),
        longest_(longest) {
    CAPSTAN_ASSERT(this->below()->claim("slow"));
  }

 private:
  core::Nanos delay(bool write) override { return write ? random_.below(longest_) : 0; }
  core::SimRandom random_;
  core::Nanos longest_;
};

struct Sector {
  std::uint32_t acknowledged = 0;  // the version that was written last
};

Bytes versioned(std::uint64_t sector, std::uint32_t version, std::size_t bytes) {
  Bytes data = pattern(bytes, static_cast<std::uint8_t>(sector * 31 + version));
  for (std::size_t at = 0; at < bytes; at += kBlock) {
    store_le(data.data() + at, sector);
    store_le(data.data() + at + 8, version);
  }
  return data;
}

struct Story {
  static constexpr std::uint32_t kSectors = 24;
  static constexpr std::size_t kBytes[] = {512, 4096, 20480, 151552};

  TargetWorld& world;
  core::SimRandom random;
  HostWorld host;
  std::vector<Sector> sectors = std::vector<Sector>(kSectors);
  std::string failure;  // the first request that failed
  std::string wrong;

  Story(TargetWorld& w, std::uint64_t seed) : world(w), random(seed), host(w.env, w.log) {}

  std::uint64_t place(std::uint32_t sector) const { return sector * 300ULL * kBlock; }
  std::size_t size(std::uint32_t sector) const { return kBytes[sector % 4]; }

  core::Task<void> check(std::uint32_t sector) {
    Bytes read(size(sector));
    const auto done = co_await host.device->read(place(sector), read);
    if (!done) {
      failure = done.error().text();
      co_return;
    }
    const std::uint32_t version = sectors[sector].acknowledged;
    const Bytes expected =
        version == 0 ? Bytes(read.size()) : versioned(sector, version, read.size());
    if (read != expected && wrong.empty()) {
      wrong = "sector " + std::to_string(sector) + ": version " +
              std::to_string(load_le<std::uint32_t>(read.data() + 8)) + " is there, " +
              std::to_string(version) + " was acknowledged";
    }
  }
  core::Task<void> writer(unsigned number, unsigned rounds) {
    for (unsigned round = 0; round < rounds; ++round) {
      const auto sector = static_cast<std::uint32_t>(number + 6 * (random.below(kSectors / 6)));
      if (random.below(3) == 0) {
        co_await check(sector);
        continue;
      }
      const std::uint32_t version = sectors[sector].acknowledged + 1;
      const Bytes data = versioned(sector, version, size(sector));
      const auto done = co_await host.device->write(place(sector), data);
      if (!done) {
        failure = done.error().text();
        co_return;
      }
      sectors[sector].acknowledged = version;
    }
  }
  core::Task<void> breaker(core::SimWorld* sim, std::string a, std::string b, unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      co_await pause((1 + random.below(40)) * core::kMillisecond);
      if (random.below(4) == 0) {
        sim->network().partition(a, b);
        co_await pause(random.below(30) * core::kMillisecond);
        sim->network().reset(a, b);
        sim->network().heal(a, b);
      } else {
        sim->network().reset(a, b);
      }
    }
  }
};

core::Task<void> tell(TargetWorld& world, core::SimWorld* sim, std::string a, std::string b,
                      std::uint64_t seed, HostOptions options, unsigned breaks) {
  Story story(world, seed);
  if (seed % 2 == 0) {
    world.subsystem->remove_namespace(1);
    EXPECT_TRUE(world.subsystem->add_namespace(
        std::make_shared<SlowDevice>(world.device, seed,
                                     (seed % 4 == 0 ? 300 : 30) * core::kMillisecond),
        1));
  }
  EXPECT_TRUE(co_await story.host.open(options));
  if (!story.host.device) co_return;
  core::Scope scope;
  for (unsigned i = 0; i < 6; ++i) scope.spawn(story.writer(i, 12));
  scope.spawn(story.breaker(sim, a, b, breaks));
  co_await scope.join();
  for (std::uint32_t sector = 0; sector < Story::kSectors; ++sector) {
    co_await story.check(sector);
  }
  EXPECT_EQ(story.wrong, "") << "seed " << seed;
  EXPECT_EQ(story.failure, "") << "seed " << seed;
  co_await story.host.close();
}

void random_story(std::uint64_t seed) {
  core::SimWorld sim(seed);
  core::SimEnv node(sim), hosts(sim);
  TargetWorld world(node, hosts, limits::kBufferBytes,
                    seed % 3 == 0 ? io_cores_of(node, 0) : NoCores());
  HostOptions options = host_options(core::Address::tcp(node.address(), 8420));
  options.io_queues = static_cast<std::uint16_t>(1 + seed % 3);
  options.queue_entries = seed % 2 != 0 ? 4 : 128;
  options.digests = {seed % 5 == 0, seed % 7 == 0};
  options.flow_control = seed % 4 != 0;
  options.retries = 1000;
  options.fast_io_fail = 0;
  sim.run(whole(&world, node.address(), 8420, [&](TargetWorld& w) {
    return tell(w, &sim, node.address(), hosts.address(), seed, options, 25);
  }));
}
TEST(InitiatorLoss, AtRandomTimes) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) random_story(seed);
}

// The first write takes its time, the later ones none.
class LateDevice final : public StackedDevice {
 public:
  static constexpr core::Nanos kLate = 500 * core::kMillisecond;

  explicit LateDevice(std::shared_ptr<Device> below)
      : StackedDevice(std::move(below), "late", Uuid::from_name("late")) {
    CAPSTAN_ASSERT(this->below()->claim("late"));
  }

 private:
  core::Nanos delay(bool write) override {
    return write && !std::exchange(begun_, true) ? kLate : 0;
  }
  bool begun_ = false;
};

core::Task<void> write_twice(HostWorld* host, std::vector<core::Nanos>* answered) {
  for (const std::uint32_t version : {1U, 2U}) {
    const auto done = co_await host->device->write(0, versioned(0, version, 4096));
    EXPECT_TRUE(done) << done.error().text();
    answered->push_back(core::Reactor::current()->now());
  }
}
// A write whose connection is lost while it runs is repeated, over the same way or another one, and
// followed by a second one, which the first must not overtake.
core::Task<void> overtake(TargetWorld& world, bool another_path) {
  world.subsystem->remove_namespace(1);
  EXPECT_TRUE(world.subsystem->add_namespace(std::make_shared<LateDevice>(world.device), 1));
  HostWorld host(world.env, world.log);
  EXPECT_TRUE(co_await host.open(host_options(world.address)));
  if (another_path) {
    EXPECT_TRUE(co_await host.add_path(host_options(world.address)));
    host.device->prefer(&host.controller());
  }
  const core::Nanos begin = core::Reactor::current()->now();
  std::vector<core::Nanos> answered;
  core::Scope scope;
  scope.spawn(write_twice(&host, &answered));
  co_await pause(50 * core::kMillisecond);
  EXPECT_TRUE(answered.empty());
  host.controller().reset("lost");
  Bytes read(4096);
  const auto early = co_await host.device->read(0, read);  // what is on its way counts, too
  EXPECT_TRUE(early);
  EXPECT_NE(read, Bytes(4096));
  co_await scope.join();
  EXPECT_GE(answered.front() - begin, LateDevice::kLate);
  EXPECT_LT(answered.front() - begin, LateDevice::kLate + 100 * core::kMillisecond);
  co_await pause(2 * LateDevice::kLate);
  EXPECT_TRUE(co_await host.device->read(0, read));
  EXPECT_EQ(read, versioned(0, 2, 4096)) << "version " << load_le<std::uint32_t>(read.data() + 8);
  co_await host.close();
}
TEST(InitiatorLoss, AWriteOfALostConnectionComesBeforeItsRepetition) {
  in_simulation([](TargetWorld& world) { return overtake(world, false); });
}
TEST(InitiatorLoss, AWriteOfALostPathComesBeforeItsRepetition) {
  in_simulation([](TargetWorld& world) { return overtake(world, true); });
}

// One connection breaks when so many bytes have gone over it: everywhere in the handshake, in
// Connect, in commands and in data of both directions.
core::Task<void> short_story(TargetWorld& world, core::SimWorld* sim, std::uint64_t bytes,
                             bool io_queue) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.retries = 100;
  options.fast_io_fail = 0;
  if (!io_queue) sim->network().reset_next_connection_after(bytes);
  auto opened = co_await host.open(options);
  if (!opened) {  // the first connect has one try
    EXPECT_FALSE(io_queue);
    opened = co_await host.open(options);
  }
  EXPECT_TRUE(opened);
  if (!opened) co_return;
  if (io_queue) {
    sim->network().reset_next_connection_after(bytes);
    host.controller().reset("a new one, to be broken");
  }
  const Bytes small = pattern(4096, 1), large = pattern(40960, 2);
  Bytes read(40960);
  const auto expect = [bytes](const Result<void>& done) {
    EXPECT_TRUE(done) << done.error().text() << " after " << bytes;
  };
  expect(co_await host.device->write(0, small));
  expect(co_await host.device->write(8192, large));
  expect(co_await host.device->read(8192, read));
  EXPECT_EQ(read, large);
  expect(co_await host.device->read(0, MutableBytes(read).first(4096)));
  EXPECT_TRUE(std::equal(small.begin(), small.end(), read.begin()));
  co_await host.close();
}
void break_after(std::uint64_t bytes, bool reconnecting) {
  core::SimWorld sim(bytes);
  core::SimEnv node(sim), hosts(sim);
  TargetWorld world(node, hosts, limits::kBufferBytes,
                    bytes % 2 == 0 ? io_cores_of(node, 0) : NoCores());
  sim.run(whole(&world, node.address(), 8420,
                [&](TargetWorld& w) { return short_story(w, &sim, bytes, reconnecting); }));
}
TEST(InitiatorLoss, AtEveryByteOfTheHandshake) {
  for (std::uint64_t bytes = 1; bytes <= 1600; bytes += 3) break_after(bytes, false);
}
TEST(InitiatorLoss, AnywhereInTheFirstConnect) {
  for (std::uint64_t bytes = 1600; bytes <= 32000; bytes += 101) break_after(bytes, false);
}
TEST(InitiatorLoss, AnywhereWhileReconnecting) {
  for (std::uint64_t bytes = 1; bytes <= 32000; bytes += 157) break_after(bytes, true);
}

}  // namespace
}  // namespace capstan::storage::nvme
