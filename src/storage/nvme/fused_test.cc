// Why this file exists: Compare and Write as one command: what a target answers to pairs, halves
// and pairs that do not fit, that nothing comes between the two, and the same as the initiator has
// it.
#include <gtest/gtest.h>

#include "storage/device/stacked_device.h"
#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

// One host that sends halves of pairs.
struct Fused {
  RawHost admin, io;

  Command half(std::uint8_t code, std::uint64_t first, std::uint32_t blocks) {
    Command command = io.io(code, first, blocks);
    command.set<std::uint8_t>(1, 0x40 | (code == opcode::kCompare ? kFusedFirst : kFusedSecond));
    return command;
  }
  core::Task<std::uint16_t> send(Command command, Bytes data, bool in_capsule = true,
                                 bool spoil = false) {
    point(command, in_capsule ? kSglInCapsule : kSglTransport,
          static_cast<std::uint32_t>(data.size()));
    co_await io.submit(command, in_capsule ? data : Bytes(), spoil);
    co_return command.id();
  }
  // The next completion, which is for `id`.
  core::Task<Status> answer(std::uint16_t id) {
    const auto answer = co_await io.finish();
    EXPECT_EQ(answer.completion.command, id);
    co_return answer.completion.status;
  }
  // Answers of both halves of a pair at block `first`.
  core::Task<std::pair<Status, Status>> pair(std::uint64_t first, Bytes expected, Bytes data) {
    const auto blocks = static_cast<std::uint32_t>(data.size() / kBlock);
    const auto a = co_await send(half(opcode::kCompare, first, blocks), std::move(expected));
    const auto b = co_await send(half(opcode::kWrite, first, blocks), std::move(data));
    const Status compared = co_await answer(a);
    co_return std::pair(compared, co_await answer(b));
  }
  core::Task<Bytes> content(std::uint64_t first, std::uint32_t blocks) {
    co_return (co_await io.read(first, blocks)).data;
  }
};

core::Task<void> pairs(TargetWorld& world, Digests digests) {
  Fused host;
  host.admin.digests = host.io.digests = digests;
  co_await open_both(world, host.admin, host.io);
  const auto identity = co_await host.admin.identify(1);
  EXPECT_EQ(load_le<std::uint16_t>(identity.data.data() + 522), 1);
  const Bytes zeros(2 * kBlock), one = pattern(2 * kBlock, 1), two = pattern(2 * kBlock, 2);
  auto [compared, written] = co_await host.pair(8, zeros, one);
  EXPECT_TRUE(compared.ok() && written.ok());
  EXPECT_EQ(co_await host.content(8, 2), one);
  std::tie(compared, written) = co_await host.pair(8, zeros, two);
  EXPECT_EQ(compared, status::kCompareFailure);
  EXPECT_EQ(written, status::kFusedFailed);
  EXPECT_EQ(co_await host.content(8, 2), one);
  std::tie(compared, written) = co_await host.pair(8, one, two);
  EXPECT_TRUE(compared.ok() && written.ok());
  EXPECT_EQ(co_await host.content(8, 2), two);
}
TEST(NvmeFused, Pairs) {
  in_simulation([](TargetWorld& world) { return pairs(world, {}); });
  in_simulation([](TargetWorld& world) { return pairs(world, {true, true}); });
  for_real([](TargetWorld& world) { return pairs(world, {}); });
}

// Data that is asked for with R2T: the two halves in either order, and with a digest that is wrong.
core::Task<void> solicited(TargetWorld& world) {
  Fused host;
  host.admin.digests = host.io.digests = {false, true};
  co_await open_both(world, host.admin, host.io);
  const Bytes zeros(32 * kBlock), data = pattern(32 * kBlock, 3);
  for (const bool spoil : {true, false}) {
    for (const bool backwards : {false, true}) {
      const std::uint64_t first = backwards ? 64 : 0;
      const auto a = co_await host.send(host.half(opcode::kCompare, first, 32), zeros, false);
      const auto b = co_await host.send(host.half(opcode::kWrite, first, 32), data, false);
      const auto ask_a = co_await host.io.receive(), ask_b = co_await host.io.receive();
      EXPECT_TRUE(ask_a && ask_b);
      if (!ask_a || !ask_b) co_return;
      R2t one = load_r2t(ask_a->header.data()), two = load_r2t(ask_b->header.data());
      EXPECT_EQ(one.command, a);
      EXPECT_EQ(two.command, b);
      if (backwards) std::swap(one, two);
      for (const R2t& asked : {one, two}) {
        const Bytes& bytes = asked.command == a ? zeros : data;
        co_await host.io.send_data({asked.command, asked.tag, 0, asked.length}, bytes, true,
                                   spoil && asked.command == (backwards ? a : b));
      }
      const Status compared = co_await host.answer(a), written = co_await host.answer(b);
      if (!spoil) {
        EXPECT_TRUE(compared.ok() && written.ok());
      } else if (backwards) {
        EXPECT_EQ(compared, status::kTransientTransport);
        EXPECT_EQ(written, status::kFusedFailed);
      } else {
        EXPECT_EQ(compared, status::kFusedFailed);
        EXPECT_EQ(written, status::kTransientTransport);
      }
      EXPECT_EQ(co_await host.content(first, 32), spoil ? zeros : data);
    }
  }
}
TEST(NvmeFused, DataThatIsAskedFor) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) in_simulation(solicited, seed);
}

// Both halves of a pair get their memory at once, or a pair would wait for what it holds itself,
// and pairs for each other. There is less than all ask for, and another connection holds some.
struct LargePair {
  static constexpr std::uint32_t kHalf = 32;  // blocks
  Fused host;
  std::uint64_t first = 0;  // block
  std::uint16_t compare = 0;
  Bytes zeros = Bytes(kHalf * kBlock), data = pattern(kHalf * kBlock, 5);

  core::Task<void> begin() {
    compare = co_await host.send(host.half(opcode::kCompare, first, kHalf), zeros, false);
    co_await host.send(host.half(opcode::kWrite, first, kHalf), data, false);
  }
  core::Task<void> finish() {
    for (unsigned answers = 0; answers < 2;) {
      const auto pdu = co_await host.io.receive();
      EXPECT_TRUE(pdu) << "the target closed";
      if (!pdu) co_return;
      if (pdu->common.type == PduType::kR2t) {
        const R2t r2t = load_r2t(pdu->header.data());
        co_await host.io.supply(r2t, r2t.command == compare ? zeros : data, limits::kIoBytes);
        continue;
      }
      EXPECT_TRUE(load_completion(pdu->header.data() + kCommonBytes).status.ok());
      ++answers;
    }
  }
};
core::Task<void> little_memory(TargetWorld& world) {
  RawHost admin, holder;
  co_await open_both(world, admin, holder);
  LargePair one, two;
  two.first = 1024;
  co_await open_both(world, one.host.admin, one.host.io);
  co_await open_both(world, two.host.admin, two.host.io);
  Command held = holder.io(opcode::kWrite, 2048, LargePair::kHalf);
  point(held, kSglTransport, LargePair::kHalf * kBlock);
  co_await holder.submit(held);
  const auto asked = co_await holder.receive();
  EXPECT_TRUE(asked && asked->common.type == PduType::kR2t);
  if (!asked) co_return;

  const core::Nanos begun = core::Reactor::current()->now();
  co_await one.begin();
  co_await one.finish();
  one.first = 512;
  co_await one.begin();
  co_await two.begin();
  co_await pause();
  co_await one.finish();
  co_await two.finish();
  EXPECT_LT(core::Reactor::current()->now() - begun, core::kSecond) << "nobody was cut off";
  for (const std::uint64_t first : {0, 512, 1024}) {
    EXPECT_EQ(co_await one.host.content(first, LargePair::kHalf), one.data);
  }
  co_await holder.supply(load_r2t(asked->header.data()), one.data, limits::kIoBytes);
  EXPECT_TRUE((co_await holder.finish()).completion.status.ok());
}
TEST(NvmeFused, PairsInLittleMemory) {
  for (const unsigned halves : {1, 2, 3}) {
    SCOPED_TRACE(halves);
    in_simulation(little_memory, halves, std::size_t{halves} * LargePair::kHalf * kBlock);
  }
}

core::Task<void> halves(TargetWorld& world) {
  Fused host;
  co_await open_both(world, host.admin, host.io);
  const Bytes data = pattern(kBlock, 1), zeros(kBlock);
  // A second half alone.
  EXPECT_EQ(co_await host.answer(co_await host.send(host.half(opcode::kWrite, 0, 1), data)),
            status::kFusedMissing);
  // A first half that another command follows, which is done as ever.
  auto first = co_await host.send(host.half(opcode::kCompare, 0, 1), zeros);
  Command read = host.io.io(opcode::kRead, 0, 1);
  point(read, kSglTransport, kBlock);
  co_await host.io.submit(read);
  EXPECT_EQ(co_await host.answer(first), status::kFusedMissing);
  EXPECT_EQ((co_await host.io.finish()).data, zeros);
  // Two first halves: the later one has a pair.
  first = co_await host.send(host.half(opcode::kCompare, 0, 1), data);
  const auto later = co_await host.send(host.half(opcode::kCompare, 0, 1), zeros);
  const auto second = co_await host.send(host.half(opcode::kWrite, 0, 1), data);
  EXPECT_EQ(co_await host.answer(first), status::kFusedMissing);
  EXPECT_TRUE((co_await host.answer(later)).ok());
  EXPECT_TRUE((co_await host.answer(second)).ok());
  EXPECT_EQ(co_await host.content(0, 1), data);
  // FUSE 11b is no half at all, and admin commands have none.
  Command odd = host.half(opcode::kWrite, 0, 1);
  odd.set<std::uint8_t>(1, 0x43);
  EXPECT_EQ(co_await host.answer(co_await host.send(odd, data)), status::kInvalidField);
  Command admin = make_command(opcode::kGetFeatures, 0x99);
  admin.set<std::uint8_t>(1, 0x41);
  EXPECT_EQ((co_await host.admin.call(admin)).completion.status, status::kInvalidField);
}
TEST(NvmeFused, HalvesAlone) {
  in_simulation(halves);
}

core::Task<void> misfits(TargetWorld& world) {
  Fused host;
  co_await open_both(world, host.admin, host.io);
  const Bytes data = pattern(kBlock, 1), zeros(kBlock);
  struct Row {
    Command first, second;
    Status compared, written;
  };
  Command other = host.half(opcode::kWrite, 0, 1);
  other.set<std::uint32_t>(4, 2);
  Command flush = host.half(opcode::kFlush, 0, 1);
  flush.set<std::uint8_t>(1, 0x42);
  const std::uint64_t end = kBlocks;
  const Row rows[] = {
      {host.half(opcode::kCompare, 0, 1), host.half(opcode::kWrite, 1, 1), status::kInvalidField,
       status::kInvalidField},
      {host.half(opcode::kCompare, 0, 1), other, status::kInvalidField, status::kInvalidField},
      {host.half(opcode::kCompare, end, 1), host.half(opcode::kWrite, end, 1),
       status::kLbaOutOfRange, status::kFusedFailed},
  };
  for (const Row& row : rows) {
    const auto a = co_await host.send(row.first, zeros);
    const auto b = co_await host.send(row.second, data);
    EXPECT_EQ(co_await host.answer(a), row.compared);
    EXPECT_EQ(co_await host.answer(b), row.written);
  }
  EXPECT_EQ(co_await host.content(0, 1), zeros);
  // The device fails under one of them.
  world.device->inject({.kinds = {IoKind::kRead}, .count = 1});
  auto [compared, written] = co_await host.pair(0, zeros, data);
  EXPECT_EQ(compared, status::kReadError);
  EXPECT_EQ(written, status::kFusedFailed);
  world.device->inject({.kinds = {IoKind::kWrite}, .count = 1});
  std::tie(compared, written) = co_await host.pair(0, zeros, data);
  EXPECT_TRUE(compared.ok());
  EXPECT_EQ(written, status::kWriteFault);
}
TEST(NvmeFused, PairsThatDoNotFit) {
  in_simulation(misfits);
}

core::Task<Answer> abort_command(RawHost& admin, std::uint16_t id) {
  Command abort = make_command(opcode::kAbort, admin.next_id++);
  abort.set<std::uint32_t>(40, std::uint32_t{id} << 16 | 1);
  co_return co_await admin.call(abort);
}
core::Task<void> aborts(TargetWorld& world) {
  Fused host;
  co_await open_both(world, host.admin, host.io);
  const Bytes data = pattern(16 * kBlock, 1), zeros(16 * kBlock);
  // A first half that waits for its second.
  const auto lone = co_await host.send(host.half(opcode::kCompare, 0, 16), zeros);
  co_await pause();
  EXPECT_EQ((co_await abort_command(host.admin, lone)).completion.dword0, 0U);
  EXPECT_EQ(co_await host.answer(lone), status::kAborted);
  EXPECT_EQ(co_await host.answer(co_await host.send(host.half(opcode::kWrite, 0, 16), data)),
            status::kFusedMissing);
  // A whole pair, whose data is still to come: both or none.
  const auto a = co_await host.send(host.half(opcode::kCompare, 0, 16), zeros, false);
  const auto b = co_await host.send(host.half(opcode::kWrite, 0, 16), data, false);
  const auto ask_a = co_await host.io.receive(), ask_b = co_await host.io.receive();
  EXPECT_EQ((co_await abort_command(host.admin, a)).completion.dword0, 1U);
  EXPECT_EQ((co_await abort_command(host.admin, b)).completion.dword0, 1U);
  co_await host.io.supply(load_r2t(ask_a->header.data()), zeros, limits::kIoBytes);
  co_await host.io.supply(load_r2t(ask_b->header.data()), data, limits::kIoBytes);
  EXPECT_TRUE((co_await host.answer(a)).ok());
  EXPECT_TRUE((co_await host.answer(b)).ok());
  // Connections that go away with halves of all kinds under way.
  co_await host.send(host.half(opcode::kCompare, 0, 16), zeros, false);
  co_await host.send(host.half(opcode::kWrite, 0, 16), data, false);
  host.io.hang_up();
  RawHost again;
  again.next_id = 100;
  co_await again.open_io(world.env, world.address, host.admin.controller, 2);
  Fused second;
  second.io = std::move(again);
  co_await second.send(second.half(opcode::kCompare, 0, 1), Bytes(kBlock));
  second.io.hang_up();
}
TEST(NvmeFused, AbortsAndLostConnections) {
  in_simulation(aborts);
}

// Memory, whose reads and writes are run where they are received: a half that waits hears of them,
// and none passes a pair.
core::Task<void> on_the_spot(TargetWorld& world) {
  const auto memory = std::make_shared<MemoryDevice>("m1", Uuid::from_name("m1"), kBlock, kBlocks);
  EXPECT_TRUE(world.subsystem->add_namespace(memory, {.id = 2}));
  Fused host;
  host.io.space = 2;
  co_await open_both(world, host.admin, host.io);
  const Bytes zeros(kBlock), one = pattern(kBlock, 1), two = pattern(kBlock, 2);
  const auto lone = co_await host.send(host.half(opcode::kCompare, 0, 1), zeros);
  Command read = host.io.io(opcode::kRead, 0, 1);
  point(read, kSglTransport, kBlock);
  co_await host.io.submit(read);
  EXPECT_EQ(co_await host.answer(lone), status::kFusedMissing);
  EXPECT_EQ((co_await host.io.finish()).data, zeros);
  EXPECT_EQ(co_await host.answer(co_await host.send(host.half(opcode::kWrite, 0, 1), one)),
            status::kFusedMissing);

  co_await world.subsystem->pause();
  const auto a = co_await host.send(host.half(opcode::kCompare, 0, 1), zeros);
  const auto b = co_await host.send(host.half(opcode::kWrite, 0, 1), one);
  const auto c = co_await host.send(host.io.io(opcode::kWrite, 0, 1), two);
  co_await pause();
  EXPECT_EQ(memory->stats().write.ops, 0U);
  world.subsystem->resume();
  EXPECT_TRUE((co_await host.answer(a)).ok());
  EXPECT_TRUE((co_await host.answer(b)).ok());
  EXPECT_TRUE((co_await host.answer(c)).ok());
  EXPECT_EQ(co_await host.content(0, 1), two);
}
TEST(NvmeFused, AndWhatRunsOnTheSpot) {
  in_simulation(on_the_spot);
}

// Hosts that count with nothing but compare-and-write, over a device that takes its time: no
// increment is lost, whatever else goes on.
class SlowDevice final : public StackedDevice {
 public:
  SlowDevice(std::shared_ptr<Device> below, std::uint64_t seed)
      : StackedDevice(std::move(below), "slow", Uuid::from_name("slow")), random_(seed) {
    CAPSTAN_ASSERT(this->below()->claim("slow"));
  }

 private:
  core::Nanos delay(bool) override { return random_.below(2 * core::kMillisecond); }
  core::SimRandom random_;
};

core::Task<void> count(RemoteDevice* device, unsigned times, unsigned* conflicts) {
  for (unsigned done = 0; done < times;) {
    Bytes old(kBlock);
    EXPECT_TRUE(co_await device->read(0, old));
    Bytes next = old;
    store_le(next.data(), load_le<std::uint32_t>(old.data()) + 1);
    const auto swapped = co_await device->compare_and_write(0, old, next);
    EXPECT_TRUE(swapped || swapped.error().code == Code::kAborted) << swapped.error().text();
    if (!swapped && swapped.error().code != Code::kAborted) co_return;
    ++(swapped ? done : *conflicts);
  }
}
core::Task<void> counting(TargetWorld& world, std::uint64_t seed) {
  world.subsystem->remove_namespace(1);
  EXPECT_TRUE(world.subsystem->add_namespace(std::make_shared<SlowDevice>(world.device, seed), 1));
  HostWorld a(world.env, world.log), b(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.io_queues = 2;
  options.queue_entries = static_cast<std::uint16_t>(3 + seed % 3);  // pairs have to wait
  EXPECT_TRUE(co_await a.open(options));
  options.host_id[0] ^= 1;
  options.host += "2";
  EXPECT_TRUE(co_await b.open(options));
  unsigned conflicts = 0;
  core::Scope scope;
  for (unsigned i = 0; i < 3; ++i) {
    scope.spawn(count(a.device.get(), 5, &conflicts));
    scope.spawn(count(b.device.get(), 5, &conflicts));
  }
  co_await scope.join();
  Bytes end(kBlock);
  EXPECT_TRUE(co_await a.device->read(0, end));
  EXPECT_EQ(load_le<std::uint32_t>(end.data()), 30U);
  EXPECT_GT(conflicts, 0U);
  co_await a.close();
  co_await b.close();
}
TEST(NvmeFused, NothingComesBetween) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    in_simulation([seed](TargetWorld& world) { return counting(world, seed); }, seed);
  }
}

core::Task<void> lost_pair(RemoteDevice* device, Result<void>* result) {
  *result = co_await device->compare_and_write(0, Bytes(kBlock), pattern(kBlock, 1));
}
core::Task<void> initiator_ends(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  EXPECT_TRUE(co_await host.open(host_options(world.address)));
  RemoteDevice& device = *host.device;
  const auto large = co_await device.compare_and_write(0, Bytes(1U << 20), Bytes(1U << 20));
  EXPECT_EQ(large ? Code::kOk : large.error().code, Code::kUnimplemented);
  // Lost while it runs: nobody knows, so it is not repeated.
  Result<void> result;
  core::Scope scope;
  const auto hold = co_await world.subsystem->gate().lock();
  scope.spawn(lost_pair(&device, &result));
  co_await pause();
  host.controller().reset("lost");
  co_await scope.join();
  EXPECT_EQ(result ? Code::kOk : result.error().code, Code::kUnavailable);
  co_await host.close();
}
TEST(NvmeFused, ALostPairIsNotRepeated) {
  in_simulation(initiator_ends);
}

}  // namespace
}  // namespace capstan::storage::nvme
