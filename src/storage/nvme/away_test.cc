// Why this file exists: I/O queues whose connections run on other cores than the devices, on the
// real runtime, with hosts on core 0. Everything that crosses must cross by message: meant for
// ThreadSanitizer as well. That the protocol is the same away as at home is shown by all tests that
// run in_simulation() or for_real().
#include <gtest/gtest.h>

#include "core/sim_random.h"
#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

constexpr unsigned kCores = 3;
constexpr std::uint64_t kPart = 64 * kBlock;  // of the device, for one worker

void on_cores(std::function<core::Task<void>(TargetWorld&)> test,
              std::size_t bytes = limits::kBufferBytes) {
  auto env = core::UringEnv::create({.cores = kCores, .poll_us = 20, .on_stall = {}});
  ASSERT_TRUE(env) << env.error().text();
  TargetWorld world(**env, **env, bytes, io_cores_of(**env, 1));
  (*env)->run(whole(&world, "127.0.0.1", 0, std::move(test)));
}

HostOptions options_of(TargetWorld& world, std::uint8_t host) {
  HostOptions options = host_options(world.address);
  options.host_id[15] = host;
  options.io_queues = 2;
  return options;
}

Bytes marked(unsigned worker, unsigned round, std::size_t bytes) {
  return pattern(bytes, static_cast<std::uint8_t>(worker * 37 + round));
}

// Writes and reads back its own part of the device; every size once by capsule, once by R2T.
core::Task<void> worker(Device* device, unsigned number, unsigned rounds) {
  constexpr std::size_t kSizes[] = {512, 4096, 8192, 16384, 32768};
  for (unsigned round = 0; round < rounds; ++round) {
    const std::size_t bytes = kSizes[round % std::size(kSizes)];
    const Bytes wanted = marked(number, round, bytes);
    EXPECT_TRUE(co_await device->write(number * kPart, wanted));
    Bytes read(bytes);
    EXPECT_TRUE(co_await device->read(number * kPart, read));
    EXPECT_EQ(read, wanted) << number << ", round " << round;
    if (round % 7 == 6) EXPECT_TRUE(co_await device->flush());
    if (round % 11 == 10) {
      EXPECT_TRUE(co_await device->write_zeroes(number * kPart, bytes));
      EXPECT_TRUE(co_await device->unmap(number * kPart, bytes));
    }
  }
}

std::size_t queues_away(const Target& target) {
  return static_cast<std::size_t>(std::ranges::count_if(
      target.all_connections(), [](const Connection* each) { return each->core() != 0; }));
}

core::Task<void> full_io(TargetWorld& world) {
  constexpr unsigned kHosts = 3, kWorkers = 8;
  std::vector<std::unique_ptr<HostWorld>> hosts;
  core::Scope scope;
  for (unsigned i = 0; i < kHosts; ++i) {
    HostOptions options = options_of(world, static_cast<std::uint8_t>(i));
    options.digests = {i != 1, i != 0};
    options.flow_control = i != 2;
    hosts.push_back(std::make_unique<HostWorld>(world.env, world.log));
    EXPECT_TRUE(co_await hosts.back()->open(options));
  }
  for (unsigned i = 0; i < kHosts; ++i) {
    for (unsigned k = 0; k < kWorkers; ++k) {
      scope.spawn(worker(hosts[i]->device.get(), i * kWorkers + k, 100));
    }
  }
  co_await scope.join();
  EXPECT_EQ(queues_away(world.target), kHosts * 2);
  EXPECT_EQ(world.target.counters().io_queues, kHosts * 2);
  std::uint64_t queues = 0, commands = 0;
  for (const auto& lane : world.target.lanes()) {
    EXPECT_NE(lane->use().queues, 0U) << lane->core();  // hosts are spread
    queues += lane->use().queues;
    commands += lane->use().commands;
  }
  EXPECT_EQ(queues, kHosts * 2);
  EXPECT_GE(commands, kHosts * kWorkers * 200);
  EXPECT_LT(commands, world.target.counters().commands);  // the others are of the admin queues
  for (auto& host : hosts) co_await host->close();
}
TEST(NvmeAway, AllKindsOfIoFromSeveralHosts) {
  on_cores(full_io);
}
TEST(NvmeAway, WithMemoryForAFewCommandsOnly) {
  on_cores(full_io, 128U << 10);
}

core::Task<void> queues_of_one_host(TargetWorld& world) {
  HostWorld first(world.env, world.log), second(world.env, world.log);
  HostOptions options = options_of(world, 1);
  options.io_queues = 4;
  EXPECT_TRUE(co_await first.open(options));
  EXPECT_TRUE(co_await second.open(options));  // another association of the same host
  std::set<unsigned> cores;
  std::size_t queues = 0;
  for (const auto* each : world.target.all_connections()) {
    if (each->queue() == 0) {
      EXPECT_EQ(each->core(), 0U);
    } else {
      cores.insert(each->core());
      ++queues;
    }
  }
  EXPECT_EQ(queues, 8U);
  EXPECT_EQ(cores.size(), 1U) << "the end of one is seen before what comes over another";
  co_await first.close();
  co_await second.close();
}
TEST(NvmeAway, QueuesOfOneHostShareACore) {
  on_cores(queues_of_one_host);
}

// Commands beside Connect have memory of the first core: such a connection ends before it moves.
// One Connect waits for its data, another one succeeds.
core::Task<void> beside_connect(TargetWorld& world) {
  RawHost admin, io, next;
  co_await admin.open_admin(world.env, world.address);
  co_await io.open(world.env, world.address);
  Command connect = make_command(opcode::kFabrics, io.next_id++);
  connect.set(4, fabrics::kConnect);
  store_connect(connect, {0, 1, 127, 0, 0});
  Bytes data(kConnectDataBytes);
  store_connect_data(data.data(), {io.host_id, admin.controller, kNqn, io.host_nqn});
  point(connect, kSglTransport, kConnectDataBytes);
  co_await io.submit(connect);
  const auto asked = co_await io.receive();
  EXPECT_TRUE(asked && asked->common.type == PduType::kR2t);
  EXPECT_LT(world.target.budget().left(), world.buffer_bytes);

  const std::uint16_t second = io.next_id++;
  connect.set(2, second);
  point(connect, kSglInCapsule, kConnectDataBytes);
  co_await io.submit(connect, data);
  Command read = io.io(opcode::kRead, 0, 1);
  point(read, kSglTransport, kBlock);
  co_await io.submit(read);
  while (const auto answer = co_await io.receive()) {  // Connect's answer may have left before
    const bool connected = answer->common.type == PduType::kCapsuleResp &&
                           load_completion(answer->header.data() + kCommonBytes).command == second;
    EXPECT_TRUE(connected) << "it goes on";
    if (!connected) break;
  }
  io.hang_up();
  while (world.target.connections() != 1) co_await core::yield();
  for (const auto& lane : world.target.lanes()) EXPECT_EQ(lane->use().queues, 0U);
  EXPECT_EQ(world.target.counters().io_queues, 1U);
  EXPECT_EQ(world.target.budget().left(), world.buffer_bytes);

  co_await next.open_io(world.env, world.address, admin.controller);  // the queue is free again
  EXPECT_TRUE((co_await next.read(0, 1)).completion.status.ok());
  EXPECT_EQ(queues_away(world.target), 1U);
}
TEST(NvmeAway, CommandsBesideConnectDoNotMove) {
  on_cores(beside_connect);
}

Command abort_of(RawHost& admin, std::uint16_t queue, std::uint16_t command) {
  Command abort = make_command(opcode::kAbort, admin.next_id++);
  abort.set<std::uint32_t>(40, queue | std::uint32_t{command} << 16);
  return abort;
}

// Abort of what waits for data (there), for memory (at home) and of what runs.
core::Task<void> aborts(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  for (unsigned round = 0; round < 20; ++round) {
    Command write = io.io(opcode::kWrite, 0, 32);
    point(write, kSglTransport, 32 * kBlock);
    co_await io.submit(write);
    const R2t r2t = load_r2t((co_await io.receive())->header.data());
    EXPECT_EQ((co_await admin.call(abort_of(admin, 1, write.id()))).completion.dword0, 0U);
    EXPECT_EQ((co_await io.finish()).completion.status, status::kAborted);
    co_await io.send_data({r2t.command, r2t.tag, 0, r2t.length}, Bytes(r2t.length));
    EXPECT_EQ((co_await admin.call(abort_of(admin, 1, write.id()))).completion.dword0, 1U);
  }
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 0U);

  // Two reads take all memory; the third waits for it.
  world.device->inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
  std::vector<std::uint16_t> ids;
  for (unsigned i = 0; i < 3; ++i) {
    Command read = io.io(opcode::kRead, 0, limits::kIoBytes / kBlock);
    point(read, kSglTransport, limits::kIoBytes);
    ids.push_back(read.id());
    co_await io.submit(read);
  }
  while (world.device->held() < 2) co_await core::yield();
  EXPECT_EQ((co_await admin.call(abort_of(admin, 1, ids[0]))).completion.dword0, 1U);
  // It comes over another connection than the Abort: until it is there, there is nothing to abort.
  while ((co_await admin.call(abort_of(admin, 1, ids[2]))).completion.dword0 != 0) {
  }
  world.device->clear();
  world.device->resume_held();
  unsigned done = 0, aborted = 0;
  for (unsigned i = 0; i < 3; ++i) {
    const auto answer = co_await io.finish();
    done += answer.completion.status.ok() ? 1 : 0;
    aborted += answer.completion.status == status::kAborted ? 1 : 0;
  }
  EXPECT_EQ(done, 2U);
  EXPECT_EQ(aborted, 1U);
}
TEST(NvmeAway, AbortReachesBothSides) {
  on_cores(aborts, 2 * limits::kIoBytes);
}

// Workers whose host loses its connections again and again.
core::Task<void> breaker(TargetWorld* world, HostWorld* host, unsigned times, bool* over) {
  core::SimRandom random(times);
  for (unsigned i = 0; i < times; ++i) {
    for (std::uint64_t n = random.below(3000); n != 0; --n) co_await core::yield();
    if (i % 2 == 0) {
      host->controller().reset("lost");
    } else {
      for (const auto& [id, controller] : std::map(world->subsystem->controllers())) {
        controller->close("killed");
      }
    }
  }
  *over = true;
}
core::Task<void> until(Device* device, unsigned number, bool* over) {
  while (!*over) co_await worker(device, number, 5);
}
core::Task<void> losses(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = options_of(world, 1);
  options.retries = 1000;
  options.fast_io_fail = 0;
  EXPECT_TRUE(co_await host.open(options));
  bool over = false;
  core::Scope scope;
  for (unsigned k = 0; k < 8; ++k) scope.spawn(until(host.device.get(), k, &over));
  scope.spawn(breaker(&world, &host, 40, &over));
  co_await scope.join();
  EXPECT_GT(world.target.counters().io_queues, 20U);
  co_await host.close();
}
TEST(NvmeAway, ConnectionsBreakUnderIo) {
  on_cores(losses);
}

// Counts with nothing but fused pairs, in all of `bytes`, while connections are lost with halves in
// every state: what was acknowledged happened once, what was not at most once.
struct Count {
  RemoteDevice* device;
  std::uint64_t offset;
  std::size_t bytes;
  unsigned done = 0, unknown = 0;
  std::uint32_t seen(const Bytes& content) const {
    const auto value = load_le<std::uint32_t>(content.data());
    EXPECT_EQ(content, filled(value));
    return value;
  }
  Bytes filled(std::uint32_t value) const {
    Bytes out(bytes);
    for (std::size_t at = 0; at < bytes; at += sizeof value) store_le(out.data() + at, value);
    return out;
  }
};
core::Task<void> count_up(Count* count, bool* over) {
  while (!*over) {
    Bytes old(count->bytes);
    EXPECT_TRUE(co_await count->device->read(count->offset, old));
    const Bytes next = count->filled(count->seen(old) + 1);
    const auto swapped = co_await count->device->compare_and_write(count->offset, old, next);
    if (swapped) {
      ++count->done;
    } else if (swapped.error().code != Code::kAborted) {  // another one was faster
      EXPECT_EQ(swapped.error().code, Code::kUnavailable) << swapped.error().text();
      ++count->unknown;
    }
  }
}
core::Task<void> lost_pairs(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = options_of(world, 1);
  options.retries = 1000;
  options.fast_io_fail = 0;
  EXPECT_TRUE(co_await host.open(options));
  Count small{host.device.get(), 0, kBlock}, large{host.device.get(), kPart, 32 * kBlock};
  bool over = false;
  core::Scope scope;
  for (unsigned k = 0; k < 4; ++k) {
    scope.spawn(count_up(&small, &over));
    scope.spawn(count_up(&large, &over));
  }
  scope.spawn(until(host.device.get(), 2, &over));
  scope.spawn(breaker(&world, &host, 60, &over));
  co_await scope.join();
  for (const Count& count : {small, large}) {
    Bytes end(count.bytes);
    EXPECT_TRUE(co_await host.device->read(count.offset, end));
    const std::uint32_t value = count.seen(end);
    EXPECT_GE(value, count.done);
    EXPECT_LE(value, count.done + count.unknown);
    EXPECT_GT(count.done, 0U);
  }
  co_await host.close();
}
TEST(NvmeAway, FusedPairsAreLostWithTheirConnections) {
  on_cores(lost_pairs);
}

// The connection's share of the memory is full but for one command when a pair comes, whose two
// halves are asked for all the same.
core::Task<void> full_pair(TargetWorld& world) {
  constexpr std::size_t kFull = limits::kConnectionBufferBytes / limits::kIoBytes;
  constexpr std::uint32_t kMost = limits::kIoBytes / kBlock;
  RawHost admin, io;
  co_await open_both(world, admin, io);
  for (std::size_t i = 0; i < kFull + 1; ++i) {
    const bool compares = i == kFull - 1, swaps = i == kFull;
    Command command = io.io(compares ? opcode::kCompare : opcode::kWrite, 0, kMost);
    if (compares || swaps) {
      command.set<std::uint8_t>(1, 0x40 | (compares ? kFusedFirst : kFusedSecond));
    }
    point(command, kSglTransport, limits::kIoBytes);
    co_await io.submit(command);
  }
  std::vector<R2t> asked;
  while (asked.size() < kFull + 1) {
    const auto pdu = co_await io.receive();
    EXPECT_TRUE(pdu && pdu->common.type == PduType::kR2t);
    if (!pdu || pdu->common.type != PduType::kR2t) co_return;
    asked.push_back(load_r2t(pdu->header.data()));
  }
  // The pair first: it finds what it expects.
  std::ranges::reverse(asked);
  for (const R2t& r2t : asked) co_await io.supply(r2t, Bytes(limits::kIoBytes), limits::kIoBytes);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    EXPECT_TRUE((co_await io.finish()).completion.status.ok());
  }
}
TEST(NvmeAway, APairBeyondTheShareOfItsConnection) {
  on_cores(full_pair);
}

// What fails because its subsystem goes is repeated no more; nothing hangs.
core::Task<void> try_on(Device* device, unsigned number, bool* over) {
  const Bytes data = marked(number, 0, 16384);
  Bytes read(16384);
  while (!*over) {
    if (!co_await device->write(number * kPart, data)) break;
    if (!co_await device->read(number * kPart, read)) break;
  }
}
core::Task<void> some_turns(unsigned turns) {
  for (unsigned i = 0; i < turns; ++i) co_await core::yield();
}
core::Task<void> taken_away(TargetWorld& world) {
  for (unsigned round = 0; round < 6; ++round) {
    HostWorld host(world.env, world.log);
    HostOptions options = options_of(world, 1);
    options.ctrl_loss = 0;
    EXPECT_TRUE(co_await host.open(options));
    bool over = false;
    core::Scope scope;
    for (unsigned k = 0; k < 8; ++k) scope.spawn(try_on(host.device.get(), k, &over));
    co_await some_turns(500 + round * 200);
    switch (round % 3) {
      case 0:  // nothing runs meanwhile, and no error is seen
        for (unsigned i = 0; i < 10; ++i) {
          co_await world.subsystem->pause();
          const auto operations = world.device->operations();
          co_await some_turns(50);
          EXPECT_EQ(world.device->operations(), operations);
          world.subsystem->resume();
          co_await some_turns(50);
        }
        over = true;
        break;
      case 1:  // unshared
        EXPECT_TRUE(world.subsystem->remove_namespace(1));
        break;
      default:  // deleted
        EXPECT_TRUE(co_await world.target.remove(kNqn));
        EXPECT_TRUE(world.subsystem->controllers().empty());
    }
    if (round % 3 == 1) {
      co_await some_turns(200);
      over = true;
    }
    co_await scope.join();
    co_await host.close();
    if (round % 3 == 2) world.subsystem = *world.target.add({.nqn = kNqn});
    if (round % 3 != 0) EXPECT_TRUE(world.subsystem->add_namespace(world.device));
  }
}
TEST(NvmeAway, PausedUnsharedAndDeletedUnderIo) {
  on_cores(taken_away);
}

// Shutdown comes while hosts write and others connect.
core::Task<void> dial_for_ever(TargetWorld* world, std::uint8_t number, bool* over) {
  while (!*over) {
    HostWorld host(world->env, world->log);
    HostOptions options = options_of(*world, number);
    options.ctrl_loss = 0;
    if (co_await host.open(options)) co_await try_on(host.device.get(), number, over);
    co_await host.close();
  }
}
core::Task<void> shut_down(TargetWorld& world) {
  bool over = false;
  core::Scope scope;
  for (std::uint8_t i = 0; i < 4; ++i) scope.spawn(dial_for_ever(&world, i, &over));
  co_await some_turns(3000);
  over = true;
  co_await world.target.shutdown();
  EXPECT_EQ(world.target.connections(), 0U);
  co_await scope.join();
}
TEST(NvmeAway, ShutdownUnderIo) {
  on_cores(shut_down);
}

TEST(NvmePlacement, FollowsTheHostAndOtherwiseTheLoad) {
  HostId a{1}, b{2}, c{3};
  Placement placement(2);
  EXPECT_EQ(placement.take(a), 0U);
  EXPECT_EQ(placement.take(b), 1U);
  EXPECT_EQ(placement.take(b), 1U);
  EXPECT_EQ(placement.take(c), 0U);
  EXPECT_EQ(placement.take(c), 0U);
  placement.give(b);
  placement.give(b);
  EXPECT_EQ(placement.take(a), 0U);  // though the other one is free
  EXPECT_EQ(placement.take(b), 1U);
  placement.give(a);
  placement.give(a);
  placement.give(c);
  placement.give(c);
  EXPECT_EQ(placement.take(a), 0U);
}

}  // namespace
}  // namespace capstan::storage::nvme
