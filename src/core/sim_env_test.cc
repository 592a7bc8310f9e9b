// Why this file exists: proof that the simulator keeps its own promises: the same seed gives the
// same run, unsynced data is really at risk, synced data never is, and the network behaves like
// one. Every other simulation test stands on these.
#include "core/sim_env.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/buffer.h"
#include "core/scope.h"
#include "core/sync.h"

namespace capstan::core {
namespace {

std::vector<std::uint8_t> pattern(std::size_t size, std::uint8_t value) {
  return std::vector<std::uint8_t>(size, value);
}

OpenOptions writable() {
  OpenOptions options;
  options.write = true;
  return options;
}

OpenOptions creating() {
  OpenOptions options = writable();
  options.create = true;
  return options;
}

Task<void> write_blocks(SimEnv& env, bool sync, unsigned blocks, std::uint8_t value) {
  auto file = co_await env.files().open("/disk0", writable());
  if (!file) {
    ADD_FAILURE() << file.error().text();
    co_return;
  }
  for (unsigned i = 0; i < blocks; ++i) {
    const auto data = pattern(4096, value);
    if (!co_await (*file)->write(i * 4096ULL, data)) co_return;  // the power failed
  }
  if (sync && !co_await (*file)->sync_data()) co_return;
}

std::uint64_t hash_of_run(std::uint64_t seed) {
  SimWorld world(seed);
  SimEnv env(world);
  env.add_disk("/disk0", SimDiskOptions{.size_bytes = 1 << 18});
  env.cut_power_after(6);
  world.run(write_blocks(env, true, 16, 7));
  env.power_on();
  for (const auto byte : env.disk("/disk0").image()) {
    if (byte) world.trace(byte);
  }
  return world.trace_hash();
}

TEST(SimWorld, SameSeedSameTrace) {
  EXPECT_EQ(hash_of_run(1), hash_of_run(1));
  EXPECT_EQ(hash_of_run(77), hash_of_run(77));
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 50; ++seed) hashes.insert(hash_of_run(seed));
  EXPECT_EQ(hashes.size(), 50U);
}

Task<void> sleep_a_year(Reactor& reactor, Nanos& slept) {
  const Nanos before = reactor.now();
  const auto result = co_await sleep_for(365ULL * 86'400 * kSecond);
  EXPECT_TRUE(result);
  slept = Reactor::current()->now() - before;
}

TEST(SimWorld, TimeIsVirtual) {
  SimWorld world(1);
  SimEnv env(world);
  const auto wall = env.wall_clock_ns();
  Nanos slept = 0;
  world.run(sleep_a_year(world.reactor(), slept));
  EXPECT_GE(slept, 365ULL * 86'400 * kSecond);
  EXPECT_LT(slept, 365ULL * 86'400 * kSecond + kSecond);
  EXPECT_GE(env.wall_clock_ns() - wall, slept);
}

Task<void> cross(SimEnv& env, int& result) {
  result = co_await on<int>(env.reactor(0), []() -> Task<int> { co_return 42; });
}

TEST(SimWorld, PostAndOnReachTheSameCore) {
  SimWorld world(1);
  SimEnv env(world);
  int result = 0;
  world.run(cross(env, result));
  EXPECT_EQ(result, 42);
}

// --- disks -------------------------------------------------------------------------------------

TEST(SimDisk, SyncedWritesSurviveEveryCut) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SimWorld world(seed);
    SimEnv env(world);
    auto& disk = env.add_disk("/disk0");
    world.run(write_blocks(env, true, 8, 9));
    env.power_cut();
    env.power_on();
    std::vector<std::uint8_t> got(8 * 4096);
    disk.peek(0, got);
    ASSERT_EQ(got, pattern(8 * 4096, 9)) << "seed " << seed;
  }
}

// What unsynced writes of value 9 over value 1 leave behind, over many seeds.
struct Outcomes {
  bool all = false, none = false, torn = false, reordered = false, torn_sector = false;
};

Outcomes outcomes(SimDiskOptions options) {
  Outcomes seen;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SimWorld world(seed);
    SimEnv env(world);
    auto& disk = env.add_disk("/disk0", options);
    disk.poke(0, pattern(8 * 4096, 1));
    world.run(write_blocks(env, false, 8, 9));
    env.power_cut();
    env.power_on();
    std::vector<std::uint8_t> got(8 * 4096);
    disk.peek(0, got);
    std::vector<int> blocks;  // new sectors per block
    for (std::size_t block = 0; block < 8; ++block) {
      int fresh = 0;
      for (std::size_t sector = 0; sector < 8; ++sector) {
        const auto first = got.begin() + static_cast<std::ptrdiff_t>(block * 4096 + sector * 512);
        const auto count = std::count(first, first + 512, 9);
        seen.torn_sector |= count != 0 && count != 512;
        fresh += count == 512;
      }
      blocks.push_back(fresh);
    }
    seen.all |= std::count(blocks.begin(), blocks.end(), 8) == 8;
    seen.none |= std::count(blocks.begin(), blocks.end(), 0) == 8;
    for (std::size_t i = 0; i < 8; ++i) {
      seen.torn |= blocks[i] != 0 && blocks[i] != 8;
      seen.reordered |= i > 0 && blocks[i - 1] == 0 && blocks[i] == 8;
    }
  }
  return seen;
}

TEST(SimDisk, UnsyncedWritesAreLostTornAndReordered) {
  const auto seen = outcomes({});
  EXPECT_TRUE(seen.all);
  EXPECT_TRUE(seen.none);
  EXPECT_TRUE(seen.torn);
  EXPECT_TRUE(seen.reordered);
  EXPECT_FALSE(seen.torn_sector);
}

TEST(SimDisk, AtomicBlocksAreNeverTorn) {
  SimDiskOptions options;
  options.physical_block_bytes = 4096;
  const auto seen = outcomes(options);
  EXPECT_TRUE(seen.none);
  EXPECT_TRUE(seen.reordered);
  EXPECT_FALSE(seen.torn);
}

TEST(SimDisk, WithoutVolatileCacheCompletedWritesSurvive) {
  SimDiskOptions options;
  options.volatile_cache = false;
  const auto seen = outcomes(options);
  EXPECT_TRUE(seen.all);
  EXPECT_FALSE(seen.none);
  EXPECT_FALSE(seen.torn);
}

Task<void> read_after_cut(SimEnv& env, std::vector<std::string>& errors) {
  auto file = co_await env.files().open("/disk0", writable());
  std::vector<std::uint8_t> data(512);
  env.cut_power_after(2);
  auto first = co_await (*file)->write(0, data);
  EXPECT_TRUE(first);
  auto second = co_await (*file)->sync_data();
  EXPECT_FALSE(second);
  EXPECT_EQ(second.error().sys_errno, EIO);
  auto third = co_await (*file)->read(0, data);
  EXPECT_FALSE(third);
  if (!third) errors.push_back(third.error().text());
  env.power_on();
  auto stale = co_await (*file)->read(0, data);  // a handle of the old life
  EXPECT_FALSE(stale);
  if (!stale) errors.push_back(stale.error().text());
  auto again = co_await env.files().open("/disk0", writable());
  EXPECT_TRUE(again);
  auto fresh = co_await (*again)->read(0, data);
  EXPECT_TRUE(fresh);
}

TEST(SimDisk, ThePowerFailsAtTheOrderedIo) {
  SimWorld world(3);
  SimEnv env(world);
  env.add_disk("/disk0");
  std::vector<std::string> errors;
  world.run(read_after_cut(env, errors));
  ASSERT_EQ(errors.size(), 2U);
  EXPECT_NE(errors[0].find("power is off"), std::string::npos);
  EXPECT_NE(errors[1].find("since it was opened"), std::string::npos);
}

Task<void> write_and_die(SimEnv& env) {
  auto file = co_await env.files().open("/disk0", writable());
  EXPECT_TRUE(co_await (*file)->write(0, pattern(4096, 9)));
  env.kill_after(1);
  const auto lost = co_await (*file)->write(4096, pattern(4096, 9));
  EXPECT_EQ(lost.error().sys_errno, EIO);
}

TEST(SimDisk, AKilledProcessLosesOnlyWhatWasInFlight) {
  std::set<unsigned> in_flight, after_power_cut;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SimWorld world(seed);
    SimEnv env(world);
    auto& disk = env.add_disk("/disk0");
    world.run(write_and_die(env));
    EXPECT_FALSE(env.powered());
    env.power_on();
    std::vector<std::uint8_t> got(8192);
    disk.peek(0, got);
    EXPECT_EQ(got[0], 9);  // completed: the kernel has it
    in_flight.insert(got[4096]);
    env.power_cut();  // which the kernel does not survive: nothing was synced
    disk.peek(0, got);
    after_power_cut.insert(got[0]);
  }
  EXPECT_EQ(in_flight, (std::set<unsigned>{0, 9}));
  EXPECT_EQ(after_power_cut, (std::set<unsigned>{0, 9}));
}

Task<void> write_one(File& file, unsigned block, std::vector<unsigned>& order) {
  const auto data = pattern(512, 1);
  EXPECT_TRUE(co_await file.write(block * 512ULL, data));
  order.push_back(block);
}

Task<void> write_parallel(SimEnv& env, std::vector<unsigned>& order) {
  auto file = co_await env.files().open("/disk0", writable());
  Scope scope;
  for (unsigned i = 0; i < 16; ++i) scope.spawn(write_one(**file, i, order));
  co_await scope.join();
}

TEST(SimDisk, CompletionsReorder) {
  SimWorld world(5);
  SimEnv env(world);
  env.add_disk("/disk0");
  std::vector<unsigned> order;
  world.run(write_parallel(env, order));
  ASSERT_EQ(order.size(), 16U);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

Task<void> faults(SimEnv& env) {
  auto& disk = env.disk("/disk0");
  auto file = co_await env.files().open("/disk0", writable());
  auto data = pattern(512, 3);
  disk.inject({.kind = SimFault::Kind::kWrite, .offset = 4096, .length = 4096, .skip = 1});
  EXPECT_TRUE(co_await (*file)->write(0, data));
  EXPECT_TRUE(co_await (*file)->write(4096, data));  // skipped
  const auto failed = co_await (*file)->write(4608, data);
  EXPECT_FALSE(failed);
  EXPECT_EQ(failed.error().sys_errno, EIO);
  EXPECT_TRUE(co_await (*file)->write(4608, data));
  disk.inject({.kind = SimFault::Kind::kSync});
  EXPECT_FALSE(co_await (*file)->sync_data());
  EXPECT_TRUE(co_await (*file)->sync_data());
  EXPECT_FALSE(co_await (*file)->write(disk.size(), data));  // behind the end
  EXPECT_EQ(*co_await (*file)->read(disk.size() - 100, data), 100U);
}

TEST(SimDisk, InjectedFaultsStrikeWhereTold) {
  SimWorld world(5);
  SimEnv env(world);
  env.add_disk("/disk0");
  world.run(faults(env));
}

Task<void> direct(SimEnv& env) {
  auto options = writable();
  options.direct = options.exclusive = true;
  auto file = co_await env.files().open("/disk0", options);
  EXPECT_EQ((*file)->info().alignment_bytes, 4096U);
  EXPECT_TRUE((*file)->info().is_block_device);
  Buffer buffer = Buffer::zeroed(8192);
  EXPECT_TRUE(co_await (*file)->write(4096, buffer.view()));
  EXPECT_FALSE(co_await (*file)->write(512, buffer.view()));
  EXPECT_FALSE(co_await (*file)->write(4096, buffer.view().first(512)));
  EXPECT_FALSE(co_await (*file)->read(4096, buffer.bytes().subspan(8, 4096)));
  EXPECT_FALSE(co_await env.files().open("/disk0", options));  // in use
}

TEST(SimDisk, DirectIoMustBeAligned) {
  SimWorld world(5);
  SimEnv env(world);
  env.add_disk("/disk0", SimDiskOptions{.block_bytes = 4096});
  world.run(direct(env));
}

Task<void> deallocate(SimEnv& env, std::vector<std::uint8_t>& after) {
  auto file = co_await env.files().open("/disk0", writable());
  EXPECT_TRUE(co_await (*file)->write(0, pattern(64 << 10, 5)));
  EXPECT_TRUE(co_await (*file)->deallocate(0, 64 << 10));
  after.resize(64 << 10);
  EXPECT_TRUE(co_await (*file)->read(0, after));
}

TEST(SimDisk, DeallocateZeroesKeepsOrMixes) {
  for (const auto mode : {SimDiskOptions::Deallocate::kZeroes, SimDiskOptions::Deallocate::kOldData,
                          SimDiskOptions::Deallocate::kMixed}) {
    SimWorld world(6);
    SimEnv env(world);
    env.add_disk("/disk0", SimDiskOptions{.deallocate = mode});
    std::vector<std::uint8_t> after;
    world.run(deallocate(env, after));
    const auto old = std::count(after.begin(), after.end(), 5);
    if (mode == SimDiskOptions::Deallocate::kZeroes) EXPECT_EQ(old, 0);
    if (mode == SimDiskOptions::Deallocate::kOldData) EXPECT_EQ(old, 64 << 10);
    if (mode == SimDiskOptions::Deallocate::kMixed) {
      EXPECT_GT(old, 0);
      EXPECT_LT(old, 64 << 10);
    }
  }
}

// --- files -------------------------------------------------------------------------------------

Task<void> replace_twice(SimEnv& env, bool& first_done, bool& second_done) {
  first_done = (co_await env.files().make_directories("/var/lib/node")).has_value() &&
               (co_await env.files().replace_file("/var/lib/node/state", "first")).has_value();
  second_done =
      (co_await env.files().replace_file("/var/lib/node/state", "the second")).has_value();
}

Task<void> read_state(SimEnv& env, std::optional<std::string>& content) {
  auto read = co_await env.files().read_file("/var/lib/node/state", 1000);
  if (read) content = *read;
}

TEST(SimFileSystem, ReplacedFilesAreOldOrNewAtEveryCrashPoint) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t cut = 1; cut < 16; ++cut) {
      SimWorld world(seed);
      SimEnv env(world);
      bool first = false, second = false;
      env.cut_power_after(cut);
      world.run(replace_twice(env, first, second));
      env.power_cut();
      env.power_on();
      std::optional<std::string> content;
      world.run(read_state(env, content));
      const auto got = content.value_or("nothing");
      seen.insert(got);
      ASSERT_TRUE(got == "first" || got == "the second" || (got == "nothing" && !first))
          << "'" << got << "' seed " << seed << " cut " << cut;
      if (second) ASSERT_EQ(got, "the second") << "seed " << seed << " cut " << cut;
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"first", "nothing", "the second"}));
}

Task<void> names(SimEnv& env) {
  auto& files = env.files();
  EXPECT_EQ((co_await files.open("/none", {})).error().code, Code::kNotFound);
  EXPECT_EQ((co_await files.open("/no/dir", creating())).error().code, Code::kNotFound);
  EXPECT_EQ((co_await files.remove("/none")).error().code, Code::kNotFound);
  EXPECT_TRUE(co_await files.make_directories("/a/b"));
  {
    auto file = co_await files.open("/a/x", creating());
    EXPECT_TRUE(co_await (*file)->write(10, as_bytes("hello")));
    EXPECT_EQ((*file)->refresh()->size_bytes, 15U);
  }
  auto exclusive = creating();
  exclusive.exclusive = true;
  EXPECT_EQ((co_await files.open("/a/x", exclusive)).error().code, Code::kAlreadyExists);
  EXPECT_EQ(*co_await files.list("/a"), (std::vector<std::string>{"b", "x"}));
  EXPECT_TRUE(co_await files.rename("/a/x", "/a/b/y"));
  EXPECT_EQ(*co_await files.list("/a/"), (std::vector<std::string>{"b"}));
  EXPECT_EQ(*co_await files.read_file("/a/b/y", 100), std::string(10, '\0') + "hello");
  EXPECT_EQ((co_await files.remove("/a/b")).error().sys_errno, ENOTEMPTY);
  EXPECT_TRUE(co_await files.remove("/a/b/y"));
  EXPECT_TRUE((co_await files.list("/a/b"))->empty());
  EXPECT_EQ((co_await files.remove("/a")).error().sys_errno, ENOTEMPTY);
  EXPECT_TRUE(co_await files.remove("/a/b"));
  EXPECT_TRUE((co_await files.list("/a"))->empty());
}

TEST(SimFileSystem, NamesAndDirectories) {
  SimWorld world(8);
  SimEnv env(world);
  world.run(names(env));
}

Task<void> unsynced_rename(SimEnv& env) {
  EXPECT_TRUE(co_await env.files().replace_file("/state", "old"));
  auto file = co_await env.files().open("/state.new", creating());
  EXPECT_TRUE(co_await (*file)->write(0, as_bytes("new")));
  EXPECT_TRUE(co_await (*file)->sync_data());
  EXPECT_TRUE(co_await env.files().rename("/state.new", "/state"));
  env.power_cut();
  env.power_on();
}

Task<void> read_root_state(SimEnv& env, std::set<std::string>& seen) {
  auto read = co_await env.files().read_file("/state", 1000);
  EXPECT_TRUE(read);
  seen.insert(read ? *read : "missing");
}

TEST(SimFileSystem, RenameWithoutDirectorySyncMayBeLost) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SimWorld world(seed);
    SimEnv env(world);
    world.run(unsynced_rename(env));
    world.run(read_root_state(env, seen));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"new", "old"}));
}

// --- network -----------------------------------------------------------------------------------

Task<void> echo_server(std::unique_ptr<StreamListener> listener, std::size_t& served) {
  auto stream = co_await listener->accept();
  if (!stream) co_return;
  std::vector<std::uint8_t> buffer(1000);
  while (true) {
    auto got = co_await (*stream)->read(buffer);
    if (!got || *got == 0) break;
    if (!co_await (*stream)->write(ByteView(buffer).first(*got))) break;
    served += *got;
  }
  (*stream)->shutdown_write();
}

Task<void> send_all(Stream& stream, std::size_t bytes, Result<void>& result) {
  std::vector<std::uint8_t> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::uint8_t>(i * 7);
  result = co_await stream.write(data);
  stream.shutdown_write();
}

Task<void> echo_client(SimEnv& server, SimEnv& client, std::size_t bytes) {
  auto listener = server.network().listen(Address::tcp("0.0.0.0", 0));
  EXPECT_TRUE(listener);
  const auto port = (*listener)->local().port;
  EXPECT_NE(port, 0);
  std::size_t served = 0;
  Scope scope;
  scope.spawn(echo_server(std::move(*listener), served));
  auto stream = co_await client.network().connect(Address::tcp(server.address(), port), {});
  EXPECT_TRUE(stream);
  Result<void> sent;
  scope.spawn(send_all(**stream, bytes, sent));
  std::vector<std::uint8_t> buffer(777);
  std::size_t received = 0;
  while (true) {
    auto got = co_await (*stream)->read(buffer);
    EXPECT_TRUE(got);
    if (!got || *got == 0) break;
    for (std::size_t i = 0; i < *got; ++i) {
      if (buffer[i] != static_cast<std::uint8_t>((received + i) * 7)) ADD_FAILURE();
    }
    received += *got;
  }
  co_await scope.join();
  EXPECT_TRUE(sent);
  EXPECT_EQ(received, bytes);
  EXPECT_EQ(served, bytes);
}

TEST(SimNetwork, StreamsCarryEveryByteInOrder) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    SimWorld world(seed);
    SimEnv server(world), client(world);
    world.run(echo_client(server, client, 300'000));
    EXPECT_EQ(world.network().connections(), 0U);
  }
}

struct Pair {
  std::unique_ptr<StreamListener> listener;
  std::unique_ptr<Stream> client, server;
};

Task<void> connect_pair(SimEnv& server, SimEnv& client, Pair& pair) {
  pair.listener = *server.network().listen(Address::tcp(server.address(), 10124));
  pair.client = *co_await client.network().connect(pair.listener->local(), {});
  pair.server = *co_await pair.listener->accept();
}

Task<void> write_result(Stream& stream, std::size_t bytes, std::optional<Result<void>>& result) {
  std::vector<std::uint8_t> data(bytes);
  result = co_await stream.write(data);
}

Task<void> read_result(Stream& stream, std::optional<Result<std::size_t>>& result) {
  std::vector<std::uint8_t> data(1000);
  result = co_await stream.read(data);
}

Task<void> back_pressure(SimEnv& server, SimEnv& client) {
  Pair pair;
  co_await connect_pair(server, client, pair);
  std::optional<Result<void>> written;
  Scope scope;
  scope.spawn(write_result(*pair.client, 200'000, written));
  EXPECT_TRUE(co_await sleep_for(10 * kSecond));
  EXPECT_FALSE(written);  // nobody reads: the window is full
  pair.client->cancel();
  co_await scope.join();
  EXPECT_EQ(written->error().code, Code::kCancelled);
  std::vector<std::uint8_t> byte(1);
  EXPECT_EQ((co_await pair.client->read(byte)).error().code, Code::kCancelled);
}

TEST(SimNetwork, ASlowReaderSuspendsTheWriterAndCancelEndsIt) {
  SimWorld world(4);
  SimEnv server(world), client(world);
  world.run(back_pressure(server, client));
}

Task<void> split(SimEnv& server, SimEnv& client) {
  auto& hub = client.world().network();
  Pair pair;
  co_await connect_pair(server, client, pair);
  hub.partition(server.address(), client.address());
  std::optional<Result<std::size_t>> read;
  Scope scope;
  scope.spawn(read_result(*pair.server, read));
  EXPECT_TRUE(co_await pair.client->write(as_bytes("hello")));
  EXPECT_TRUE(co_await sleep_for(5 * kSecond));
  EXPECT_FALSE(read);
  const auto refused = co_await client.network().connect(pair.listener->local(), {});
  EXPECT_EQ(refused.error().code, Code::kDeadlineExceeded);
  hub.heal(server.address(), client.address());
  co_await scope.join();
  EXPECT_GE(**read, 1U);
  hub.reset(server.address(), client.address());
  EXPECT_EQ((co_await pair.client->write(as_bytes("x"))).error().sys_errno, ECONNRESET);
}

TEST(SimNetwork, PartitionHoldsBackAndHealDelivers) {
  SimWorld world(4);
  SimEnv server(world), client(world);
  world.run(split(server, client));
}

Task<void> errors_of_connect(SimEnv& server, SimEnv& client) {
  auto& network = client.network();
  EXPECT_EQ((co_await network.connect(Address::tcp(server.address(), 1), {})).error().code,
            Code::kUnavailable);
  EXPECT_EQ((co_await network.connect(Address::unix_path("/run/x"), {})).error().code,
            Code::kNotFound);
  CancelSource source;
  source.fire(Code::kDeadlineExceeded);
  EXPECT_EQ((co_await network.connect(Address::tcp("10.9.9.9", 1), source.token())).error().code,
            Code::kDeadlineExceeded);
  auto local = network.listen(Address::tcp("127.0.0.1", 5));
  EXPECT_EQ(network.listen(Address::tcp("127.0.0.1", 5)).error().code, Code::kAlreadyExists);
  EXPECT_FALSE(network.listen(Address::tcp("192.168.0.1", 5)));
  // Bound to the loopback address: nobody else gets in.
  EXPECT_FALSE(co_await server.network().connect(Address::tcp(client.address(), 5), {}));
  EXPECT_TRUE(co_await network.connect(Address::tcp("127.0.0.1", 5), {}));
}

TEST(SimNetwork, ConnectErrorsAreTheUsualOnes) {
  SimWorld world(4);
  SimEnv server(world), client(world);
  world.run(errors_of_connect(server, client));
}

Task<void> reset_midway(SimEnv& server, SimEnv& client) {
  client.world().network().reset_next_connection_after(5000);
  Pair pair;
  co_await connect_pair(server, client, pair);
  EXPECT_TRUE(co_await pair.client->write(pattern(4999, 1)));
  (void)co_await pair.client->write(pattern(1, 1));  // the byte that breaks it
  EXPECT_EQ((co_await pair.client->write(pattern(1, 1))).error().code, Code::kUnavailable);
  std::vector<std::uint8_t> byte(1);
  EXPECT_EQ((co_await pair.server->read(byte)).error().code, Code::kUnavailable);
}

TEST(SimNetwork, AConnectionBreaksAtTheOrderedByte) {
  SimWorld world(4);
  SimEnv server(world), client(world);
  world.run(reset_midway(server, client));
}

Task<void> lose_power(SimEnv& server, SimEnv& client) {
  Pair pair;
  co_await connect_pair(server, client, pair);
  std::optional<Result<std::size_t>> here, there;
  Scope scope;
  scope.spawn(read_result(*pair.client, here));
  scope.spawn(read_result(*pair.server, there));
  co_await yield();
  server.power_cut();
  co_await scope.join();
  EXPECT_EQ(there->error().sys_errno, EIO);
  EXPECT_EQ(here->error().sys_errno, ECONNRESET);
  EXPECT_EQ((co_await pair.listener->accept()).error().sys_errno, EIO);
  server.power_on();
  auto again = server.network().listen(Address::tcp(server.address(), 10124));
  EXPECT_TRUE(again);
}

TEST(SimNetwork, APowerCutBreaksConnections) {
  SimWorld world(4);
  SimEnv server(world), client(world);
  world.run(lose_power(server, client));
}

Task<void> packets(SimEnv& env) {
  auto listener = env.network().listen_packets(Address::unix_path("/run/drpc"));
  EXPECT_FALSE(co_await env.network().connect(Address::unix_path("/run/drpc"), {}));
  auto client = co_await env.network().connect_packets(Address::unix_path("/run/drpc"), {});
  auto server = co_await (*listener)->accept();
  EXPECT_EQ((*server)->peer().uid, 0U);
  std::vector<ByteView> first{as_bytes("one"), as_bytes(" packet")};
  std::vector<ByteView> second{as_bytes("another")};
  EXPECT_TRUE(co_await (*client)->send(first));
  EXPECT_TRUE(co_await (*client)->send(second));
  std::vector<std::uint8_t> buffer(100);
  EXPECT_EQ(**co_await (*server)->receive(buffer), 10U);
  EXPECT_EQ(as_text(ByteView(buffer).first(10)), "one packet");
  auto small = co_await (*server)->receive(MutableBytes(buffer).first(3));
  EXPECT_EQ(small.error().code, Code::kOutOfRange);
  client->reset();
  auto end = co_await (*server)->receive(buffer);
  EXPECT_TRUE(end);
  EXPECT_FALSE(end->has_value());
}

TEST(SimNetwork, PacketsKeepTheirBorders) {
  SimWorld world(4);
  SimEnv env(world);
  world.run(packets(env));
}

}  // namespace
}  // namespace capstan::core
