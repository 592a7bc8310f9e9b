// Why this file exists: I/O over NVMe/TCP: data of every size and way, digests, status codes, and
// many commands at once, in simulation and on real sockets.
#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

core::Task<void> sizes_and_ways(TargetWorld& world, Digests digests, std::uint8_t attributes,
                                std::uint8_t alignment) {
  RawHost admin, io;
  admin.digests = io.digests = digests;
  admin.alignment = io.alignment = alignment;
  co_await admin.open_admin(world.env, world.address, {0, 0, 31, attributes, 0});
  co_await io.open_io(world.env, world.address, admin.controller, 1, attributes);
  const std::uint32_t sizes[] = {1, 8, 16, 17, 33, 64, 255, 256};
  for (const std::uint32_t blocks : sizes) {
    const Bytes data = pattern(blocks * kBlock, static_cast<std::uint8_t>(blocks));
    const std::uint64_t first = blocks * 7;
    for (const std::uint32_t slice : {limits::kIoBytes, 4096U}) {
      const auto written = co_await io.write(first, data, slice);
      EXPECT_TRUE(written.completion.status.ok());
      EXPECT_EQ(written.asked.size(), 1U);
      EXPECT_EQ(written.asked.at(0).offset, 0U);
      EXPECT_EQ(written.asked.at(0).length, data.size());
    }
    if (data.size() <= limits::kInCapsuleBytes) {
      const auto again = co_await io.write_in_capsule(first + 4000, data);
      EXPECT_TRUE(again.completion.status.ok());
      EXPECT_TRUE(again.asked.empty());
      EXPECT_EQ((co_await io.read(first + 4000, blocks)).data, data);
    }
    const auto read = co_await io.read(first, blocks);
    EXPECT_EQ(read.data, data);
    EXPECT_EQ(read.implied, (attributes & 4) != 0);
    EXPECT_TRUE(read.completion.status.ok());
  }
  EXPECT_TRUE((co_await io.call(io.io(opcode::kFlush, 0, 1))).completion.status.ok());
  EXPECT_EQ(world.device->operations(IoKind::kFlush), 1U);
}
core::Task<void> plain(TargetWorld& world) {
  return sizes_and_ways(world, {}, 0, 0);
}
core::Task<void> with_digests(TargetWorld& world) {
  return sizes_and_ways(world, {true, true}, 4, 0);
}
core::Task<void> aligned(TargetWorld& world) {
  return sizes_and_ways(world, {true, false}, 0, 31);
}
core::Task<void> data_digest_only(TargetWorld& world) {
  return sizes_and_ways(world, {false, true}, 4, 1);
}
TEST(NvmeIo, DataOfEverySizeInSimulation) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    in_simulation(plain, seed);
    in_simulation(with_digests, seed);
    in_simulation(aligned, seed);
    in_simulation(data_digest_only, seed);
  }
}
TEST(NvmeIo, DataOfEverySizeOnRealSockets) {
  for_real(plain);
  for_real(with_digests);
  for_real(aligned);
}

// A transport without it answers every read, also of hosts that do not count entries.
core::Task<void> without_c2h_success(TargetWorld& world) {
  EXPECT_TRUE(world.subsystem->add_namespace(world.memory, 2));
  world.target.set_sizes(*fitting({.c2h_success = false}));
  RawHost admin, io;
  co_await admin.open_admin(world.env, world.address, {0, 0, 31, 4, 0});
  co_await io.open_io(world.env, world.address, admin.controller, 1, 4);
  const Bytes data = pattern(8 * kBlock, 8);
  EXPECT_TRUE((co_await io.write(16, data, limits::kIoBytes)).completion.status.ok());
  for (io.space = 1; io.space <= 2; ++io.space) {
    const auto read = co_await io.read(16, 8);
    EXPECT_EQ(read.data, data);
    EXPECT_FALSE(read.implied);
    EXPECT_TRUE(read.completion.status.ok());
  }
}
TEST(NvmeIo, WithoutC2hSuccessEveryReadIsAnswered) {
  in_simulation(without_c2h_success, 1);
}

// Namespace 2 is the memory below the device of namespace 1: what is done on the spot in one is
// seen by the commands of the other.
core::Task<void> on_the_spot(TargetWorld& world, Digests digests, std::uint8_t attributes,
                             std::uint8_t alignment) {
  EXPECT_TRUE(world.subsystem->add_namespace(world.memory, 2));
  RawHost admin, io;
  admin.digests = io.digests = digests;
  admin.alignment = io.alignment = alignment;
  co_await admin.open_admin(world.env, world.address, {0, 0, 31, attributes, 0});
  co_await io.open_io(world.env, world.address, admin.controller, 1, attributes);
  std::uint64_t written = 0, read = 0;
  for (const std::uint32_t blocks : {1U, 8U, 16U, 17U, 32U, 33U, 255U, 256U}) {
    const Bytes data = pattern(blocks * kBlock, static_cast<std::uint8_t>(blocks));
    const std::uint64_t first = blocks * 7;
    for (const std::uint32_t slice : {limits::kIoBytes, 4096U}) {
      io.space = 2;
      EXPECT_TRUE((co_await io.write(first, data, slice)).completion.status.ok());
      written += data.size();
      io.space = 1;
      EXPECT_EQ((co_await io.read(first, blocks)).data, data);
    }
    if (data.size() <= limits::kInCapsuleBytes) {
      io.space = 2;
      const auto again = co_await io.write_in_capsule(first + 4000, data);
      EXPECT_TRUE(again.completion.status.ok());
      written += data.size();
      io.space = 1;
      EXPECT_EQ((co_await io.read(first + 4000, blocks)).data, data);
    }
    io.space = 2;
    const auto answer = co_await io.read(first, blocks);
    read += data.size();
    EXPECT_EQ(answer.data, data);
    EXPECT_EQ(answer.implied, (attributes & 4) != 0);
    EXPECT_TRUE(answer.completion.status.ok());
    EXPECT_TRUE(all_zero((co_await io.read(8000, blocks)).data));
    read += data.size();
  }
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 0U);
  EXPECT_EQ(world.memory->stats().write.bytes, written);
  const Health& health = world.subsystem->health();
  EXPECT_EQ(health.written_bytes, written);
  EXPECT_EQ(health.read_bytes, read + written);  // all that was written was read over the other
}
core::Task<void> on_the_spot_plain(TargetWorld& world) {
  return on_the_spot(world, {}, 0, 0);
}
core::Task<void> on_the_spot_with_digests(TargetWorld& world) {
  return on_the_spot(world, {true, true}, 4, 31);
}
TEST(NvmeIo, MemoryIsReadAndWrittenOnTheSpot) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    in_simulation(on_the_spot_plain, seed);
    in_simulation(on_the_spot_with_digests, seed);
  }
  for_real(on_the_spot_plain);
  for_real(on_the_spot_with_digests);
}

// What holds a command back, or refuses it, does so for memory as well.
core::Task<void> not_on_the_spot(TargetWorld& world) {
  EXPECT_TRUE(world.subsystem->add_namespace(world.memory, 2));
  RawHost admin, io;
  admin.digests = io.digests = {true, true};
  co_await open_both(world, admin, io);
  io.space = 2;
  Command capsule = io.io(opcode::kWrite, 0, 8);
  point(capsule, kSglInCapsule, 4096);
  co_await io.submit(capsule, pattern(4096, 7), true);
  EXPECT_EQ((co_await io.finish()).completion.status, status::kTransientTransport);
  EXPECT_EQ(world.target.counters().bad_data_digests, 1U);
  EXPECT_EQ((co_await io.write_in_capsule(kBlocks, pattern(4096, 1))).completion.status,
            status::kLbaOutOfRange);
  EXPECT_EQ(world.memory->stats().write.ops, 0U);
  Command force = io.io(opcode::kWrite, 0, 8);
  force.set<std::uint32_t>(48, 7 | kForceUnitAccess);
  EXPECT_TRUE((co_await io.call(force, pattern(4096, 3))).completion.status.ok());
  EXPECT_EQ((co_await io.read(0, 8)).data, pattern(4096, 3));

  co_await world.subsystem->pause();
  Command read = io.io(opcode::kRead, 0, 8);
  point(read, kSglTransport, 4096);
  co_await io.submit(read);
  Command write = io.io(opcode::kWrite, 8, 8);
  point(write, kSglInCapsule, 4096);
  co_await io.submit(write, pattern(4096, 4));
  co_await pause(core::kSecond);
  EXPECT_EQ(world.memory->stats().read.ops, 1U);
  EXPECT_EQ(world.memory->stats().write.ops, 1U);
  world.subsystem->resume();
  EXPECT_EQ((co_await io.finish()).data, pattern(4096, 3));
  EXPECT_TRUE((co_await io.finish()).completion.status.ok());
  EXPECT_EQ((co_await io.read(8, 8)).data, pattern(4096, 4)) << "kept while it waited";

  world.memory->retire();
  EXPECT_EQ((co_await io.read(0, 8)).completion.status, status::kNamespaceNotReady);
  EXPECT_EQ((co_await io.read(0, 256)).completion.status, status::kNamespaceNotReady);
  EXPECT_EQ((co_await io.write_in_capsule(0, pattern(4096, 5))).completion.status,
            status::kNamespaceNotReady);
}
TEST(NvmeIo, MemoryHeldBackOrRefusedIsNotTouched) {
  in_simulation(not_on_the_spot);
}

core::Task<void> queue_heads(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  for (unsigned i = 0; i < 300; ++i) {  // Connect's answer carried 1
    const auto answer = co_await io.read(i, 1);
    EXPECT_EQ(answer.completion.queue_head, (i + 2) % 128);
  }
  RawHost other;
  co_await other.open(world.env, world.address);
  const auto connected =
      co_await other.connect({0, 2, 127, 4, 0}, {kHostId, admin.controller, kNqn, kHostNqn});
  EXPECT_EQ(connected.completion.queue_head, 0xFFFF);
  EXPECT_EQ((co_await other.read(0, 1)).completion.queue_head, 0);
}
TEST(NvmeIo, QueueHeadsCountUnlessFlowControlIsOff) {
  in_simulation(queue_heads);
}

core::Task<void> many_at_once(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  const Bytes data = pattern(127 * 4096, 9);
  for (unsigned i = 0; i < 127; ++i) {
    Command command = io.io(opcode::kWrite, i * 8, 8);
    point(command, kSglInCapsule, 4096);
    co_await io.submit(command, Bytes(data.begin() + i * 4096, data.begin() + (i + 1) * 4096));
  }
  for (unsigned i = 0; i < 127; ++i) EXPECT_TRUE((co_await io.finish()).completion.status.ok());
  for (unsigned i = 0; i < 127; ++i) {
    Command command = make_command(opcode::kRead, static_cast<std::uint16_t>(i), 1);
    point(command, kSglTransport, 4096);
    command.set<std::uint64_t>(40, i * 8);
    command.set<std::uint32_t>(48, 7);
    co_await io.submit(command);
  }
  for (unsigned i = 0; i < 127; ++i) {
    const auto answer = co_await io.finish();
    EXPECT_TRUE(answer.completion.status.ok());
    const auto at = data.begin() + answer.completion.command * 4096;
    EXPECT_TRUE(std::equal(answer.data.begin(), answer.data.end(), at, at + 4096));
  }
}
TEST(NvmeIo, AFullQueueAtOnce) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) in_simulation(many_at_once, seed);
  for_real(many_at_once);
}

core::Task<void> interleaved_transfers(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  const Bytes data = pattern(8 * 16384, 3);
  std::vector<R2t> asked;
  for (std::uint16_t i = 0; i < 8; ++i) {
    Command command = make_command(opcode::kWrite, static_cast<std::uint16_t>(i + 100), 1);
    point(command, kSglTransport, 16384);
    command.set<std::uint64_t>(40, i * 32U);
    command.set<std::uint32_t>(48, 31);
    co_await io.submit(command);
    const auto pdu = co_await io.receive();
    EXPECT_EQ(pdu->common.type, PduType::kR2t);
    asked.push_back(load_r2t(pdu->header.data()));
  }
  for (std::uint32_t at = 0; at < 16384; at += 4096) {  // a piece of each, backwards
    for (unsigned i = 8; i-- > 0;) {
      const auto from = data.begin() + i * 16384 + at;
      co_await io.send_data({asked[i].command, asked[i].tag, at, 4096}, Bytes(from, from + 4096),
                            at == 12288);
    }
  }
  for (unsigned i = 0; i < 8; ++i) EXPECT_TRUE((co_await io.finish()).completion.status.ok());
  EXPECT_EQ((co_await io.read(0, 256)).data, data);
}
TEST(NvmeIo, TransfersInterleave) {
  in_simulation(interleaved_transfers);
}

core::Task<void> statuses(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  EXPECT_EQ((co_await io.read(kBlocks, 1)).completion.status, status::kLbaOutOfRange);
  EXPECT_EQ((co_await io.read(kBlocks - 1, 2)).completion.status, status::kLbaOutOfRange);
  EXPECT_EQ((co_await io.read(UINT64_MAX, 2)).completion.status, status::kLbaOutOfRange);
  const auto late = co_await io.write(kBlocks, pattern(4096, 1));
  EXPECT_EQ(late.completion.status, status::kLbaOutOfRange);
  EXPECT_TRUE(late.asked.empty());
  for (const std::uint32_t nsid : {0U, 2U, 33U, kBroadcastNamespace}) {
    for (const std::uint8_t code : {opcode::kRead, opcode::kFlush, std::uint8_t{0x7E}}) {
      Command command = make_command(code, 7, nsid);
      point(command, kSglTransport, code == opcode::kRead ? kBlock : 0);
      EXPECT_EQ((co_await io.call(command)).completion.status, status::kInvalidNamespace);
    }
  }
  for (const unsigned code : {0x04U, 0x0CU, 0x10U, 0x19U, 0x2CU, 0x80U}) {
    EXPECT_EQ((co_await io.call(io.io(static_cast<std::uint8_t>(code), 0, 1))).completion.status,
              status::kInvalidOpcode);
  }
  Command fused = io.io(opcode::kFlush, 0, 1);
  fused.set<std::uint8_t>(1, 0x41);
  EXPECT_EQ((co_await io.call(fused)).completion.status, status::kInvalidField);
  Command small = io.io(opcode::kRead, 0, 8);
  point(small, kSglTransport, 7 * kBlock);
  EXPECT_EQ((co_await io.call(small)).completion.status, status::kDataLengthInvalid);
  Command big = io.io(opcode::kRead, 0, 2);
  point(big, kSglTransport, 4096);
  EXPECT_EQ((co_await io.call(big)).data.size(), 2 * kBlock);
  Command wide = io.io(opcode::kWrite, 0, 2);  // asks only for what it needs
  point(wide, kSglTransport, 4096);
  co_await io.submit(wide);
  const auto answer = co_await io.finish(pattern(4096, 5));
  EXPECT_EQ(answer.asked.at(0).length, 2 * kBlock);
  EXPECT_TRUE(answer.completion.status.ok());
  EXPECT_EQ((co_await io.get_property(property::kCap, true)).completion.status,
            status::kInvalidOpcode);
}
TEST(NvmeIo, StatusCodes) {
  in_simulation(statuses);
}

core::Task<void> device_failures(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  world.device->inject({.kinds = {IoKind::kRead}, .count = 1});
  const auto failed = co_await io.read(0, 8);
  EXPECT_EQ(failed.completion.status, status::kReadError);
  EXPECT_TRUE(failed.data.empty());
  world.device->inject({.kinds = {IoKind::kWrite}, .count = 1});
  EXPECT_EQ((co_await io.write(0, pattern(4096, 1))).completion.status, status::kWriteFault);
  world.device->inject({.kinds = {IoKind::kWrite},
                        .count = 1,
                        .code = Code::kResourceExhausted,
                        .sys_errno = ENOSPC});
  EXPECT_EQ((co_await io.write(0, pattern(4096, 1))).completion.status, status::kCapacityExceeded);
  world.device->inject({.kinds = {IoKind::kFlush}, .count = 1});
  EXPECT_EQ((co_await io.call(io.io(opcode::kFlush, 0, 1))).completion.status, status::kWriteFault);
  EXPECT_TRUE((co_await io.read(0, 8)).completion.status.ok());
}
TEST(NvmeIo, FailuresOfTheDevice) {
  in_simulation(device_failures);
}

core::Task<void> other_commands(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  const Bytes data = pattern(8192, 2);
  EXPECT_TRUE((co_await io.write(0, data)).completion.status.ok());

  EXPECT_TRUE((co_await io.call(io.io(opcode::kCompare, 0, 16), data)).completion.status.ok());
  Bytes other = data;
  other[5000] ^= 1;
  EXPECT_EQ((co_await io.call(io.io(opcode::kCompare, 0, 16), other)).completion.status,
            status::kCompareFailure);

  Command force = io.io(opcode::kWrite, 0, 16);
  force.set<std::uint32_t>(48, 15 | kForceUnitAccess);
  EXPECT_TRUE((co_await io.call(force, data)).completion.status.ok());
  EXPECT_EQ(world.device->operations(IoKind::kFlush), 1U);

  EXPECT_TRUE((co_await io.call(io.io(opcode::kWriteZeroes, 2, 4))).completion.status.ok());
  Bytes wanted = data;
  std::fill(wanted.begin() + 1024, wanted.begin() + 3072, std::uint8_t{0});
  EXPECT_EQ((co_await io.read(0, 16)).data, wanted);
  Command deallocate = io.io(opcode::kWriteZeroes, 0, 2);
  deallocate.set<std::uint32_t>(48, 1 | kDeallocate);
  EXPECT_TRUE((co_await io.call(deallocate)).completion.status.ok());
  EXPECT_TRUE(all_zero((co_await io.read(0, 2)).data));
  EXPECT_EQ((co_await io.call(io.io(opcode::kWriteZeroes, kBlocks - 1, 2))).completion.status,
            status::kLbaOutOfRange);
}
TEST(NvmeIo, CompareWriteZeroesAndForcedWrites) {
  in_simulation(other_commands);
}

Bytes dsm_range(std::uint64_t first, std::uint32_t blocks, std::size_t size) {
  Bytes out(size);
  store_le(out.data() + 4, blocks);
  store_le(out.data() + 8, first);
  return out;
}
core::Task<void> deallocation(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  EXPECT_TRUE((co_await io.write(0, pattern(limits::kIoBytes, 2))).completion.status.ok());
  EXPECT_EQ(world.memory->resident_bytes(), limits::kIoBytes);
  Command command = io.io(opcode::kDatasetManagement, 0, 1);
  command.set<std::uint32_t>(40, 0);  // one range
  command.set<std::uint32_t>(44, 0);  // no deallocation: nothing happens
  EXPECT_TRUE((co_await io.call(command, dsm_range(0, 128, 16))).completion.status.ok());
  EXPECT_EQ(world.memory->resident_bytes(), limits::kIoBytes);
  command.set(44, kDsmDeallocate);
  EXPECT_TRUE((co_await io.call(command, dsm_range(0, 128, 4096))).completion.status.ok());
  EXPECT_EQ(world.memory->resident_bytes(), limits::kIoBytes / 2);
  for (const std::uint64_t first : {9ULL, kBlocks + 1ULL, ~0ULL}) {  // says nothing, wherever
    EXPECT_TRUE((co_await io.call(command, dsm_range(first, 0, 16))).completion.status.ok());
  }
  EXPECT_EQ((co_await io.call(command, dsm_range(kBlocks - 1, 2, 16))).completion.status,
            status::kLbaOutOfRange);
  command.set<std::uint32_t>(40, 1);  // two ranges, room for one
  EXPECT_EQ((co_await io.call(command, dsm_range(0, 1, 16))).completion.status,
            status::kDataLengthInvalid);
}
TEST(NvmeIo, DeallocationGivesMemoryBack) {
  in_simulation(deallocation);
}

core::Task<void> bad_data_digest(TargetWorld& world) {
  RawHost admin, io;
  admin.digests = io.digests = {true, true};
  co_await open_both(world, admin, io);
  const Bytes data = pattern(4096, 7);
  Command capsule = io.io(opcode::kWrite, 0, 8);
  point(capsule, kSglInCapsule, 4096);
  co_await io.submit(capsule, data, true);
  EXPECT_EQ((co_await io.finish()).completion.status, status::kTransientTransport);
  Command command = io.io(opcode::kWrite, 0, 8);
  point(command, kSglTransport, 4096);
  co_await io.submit(command);
  const auto pdu = co_await io.receive();
  const R2t r2t = load_r2t(pdu->header.data());
  co_await io.send_data({r2t.command, r2t.tag, 0, 2048}, Bytes(2048), false, true);
  co_await io.send_data({r2t.command, r2t.tag, 2048, 2048}, Bytes(2048));
  EXPECT_EQ((co_await io.finish()).completion.status, status::kTransientTransport);
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 0U);
  EXPECT_EQ(world.target.counters().bad_data_digests, 2U);
  EXPECT_TRUE((co_await io.write(0, data)).completion.status.ok());
}
TEST(NvmeIo, DamagedDataIsNotWrittenAndTheConnectionLives) {
  in_simulation(bad_data_digest);
}

core::Task<void> host_leaves(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  world.device->inject({.kinds = {IoKind::kWrite}, .action = InjectedFault::Action::kHold});
  Command command = io.io(opcode::kWrite, 0, 8);
  point(command, kSglInCapsule, 4096);
  co_await io.submit(command, pattern(4096, 7));
  co_await pause();
  admin.hang_up();
  co_await pause(core::kSecond);
  EXPECT_EQ(world.target.connections(), 1U);  // its write still runs
  EXPECT_EQ(world.subsystem->controllers().size(), 1U);
  world.device->clear();
  world.device->resume_held();
  co_await pause(core::kSecond);
  EXPECT_EQ(world.target.connections(), 0U);
  EXPECT_TRUE(world.subsystem->controllers().empty());
  EXPECT_FALSE(co_await io.receive());
}
TEST(NvmeIo, AControllerIsGoneAfterItsLastWrite) {
  in_simulation(host_leaves);
}

core::Task<void> paused(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  co_await world.subsystem->pause();
  Command command = io.io(opcode::kRead, 0, 1);
  point(command, kSglTransport, kBlock);
  co_await io.submit(command);
  co_await pause(core::kSecond);
  EXPECT_EQ(world.device->operations(), 0U);
  EXPECT_TRUE((co_await admin.call(make_command(opcode::kKeepAlive, 9))).completion.status.ok());
  world.subsystem->resume();
  EXPECT_TRUE((co_await io.finish()).completion.status.ok());
}
TEST(NvmeIo, APausedSubsystemHoldsCommandsBack) {
  in_simulation(paused);
}

constexpr std::uint16_t kAborted = 0x77;

// A write whose 8192 bytes the target asks for (tag 0: it does not), and what ends it.
core::Task<R2t> begin_write(RawHost& io) {
  Command command = make_command(opcode::kWrite, kAborted, 1);
  point(command, kSglTransport, 8192);
  command.set<std::uint32_t>(48, 15);
  co_await io.submit(command);
  const auto pdu = co_await io.receive();
  const bool asked = pdu && pdu->common.type == PduType::kR2t;
  EXPECT_TRUE(asked);
  co_return asked ? load_r2t(pdu->header.data()) : R2t{};
}
Command abort_of_it() {
  Command abort = make_command(opcode::kAbort, 1);
  abort.set<std::uint32_t>(40, 1 | kAborted << 16U);
  return abort;
}

core::Task<void> aborted(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  const R2t r2t = co_await begin_write(io);
  Command abort = abort_of_it();
  EXPECT_EQ((co_await admin.call(abort)).completion.dword0, 0U);
  EXPECT_EQ((co_await io.finish()).completion.status, status::kAborted);
  EXPECT_EQ((co_await admin.call(abort)).completion.dword0, 1U);
  // The host may have sent the data all the same.
  co_await io.send_data({r2t.command, r2t.tag, 0, 4096}, Bytes(4096), false);
  co_await io.send_data({r2t.command, r2t.tag, 4096, 4096}, Bytes(4096));
  EXPECT_TRUE((co_await io.write(0, pattern(4096, 1))).completion.status.ok());
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 1U);
  abort.set<std::uint32_t>(40, 9);
  EXPECT_EQ((co_await admin.call(abort)).completion.dword0, 1U);
}
TEST(NvmeIo, AbortOfACommandThatWaitsForData) {
  in_simulation(aborted);
}

// A host need not send the data of commands that it aborted: however many there were, the queue
// goes on, and nobody waits for that data.
core::Task<void> aborted_for_good(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  R2t r2t{};
  for (unsigned i = 0; i < 400; ++i) {
    r2t = co_await begin_write(io);
    if (r2t.tag == 0) co_return;
    EXPECT_EQ((co_await admin.call(abort_of_it())).completion.dword0, 0U);
    EXPECT_EQ((co_await io.finish()).completion.status, status::kAborted);
  }
  for (unsigned i = 0; i < 20; ++i) {
    co_await pause(20 * core::kSecond);
    EXPECT_TRUE((co_await admin.identify(1)).completion.status.ok());
  }
  EXPECT_TRUE((co_await io.write(0, pattern(4096, 1))).completion.status.ok());
  co_await io.send_data({r2t.command, r2t.tag, 0, 8192}, Bytes(8192));  // the last one was awaited
  EXPECT_TRUE((co_await io.write(0, pattern(4096, 2))).completion.status.ok());
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 2U);
}
TEST(NvmeIo, AbortedCommandsWhoseDataNeverComes) {
  in_simulation(aborted_for_good);
}

// A host that reads nothing makes the target stop reading; what it sent after that must not run
// once it is gone: it may have gone on over another connection.
core::Task<void> sent_and_gone(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  for (unsigned i = 0; i < 40; ++i) {  // five times what the target lets gather
    Command command = io.io(opcode::kRead, 0, limits::kIoBytes / kBlock);
    point(command, kSglTransport, limits::kIoBytes);
    co_await io.submit(command);
    if (i % 8 == 7) co_await pause();
  }
  Command command = io.io(opcode::kWrite, 0, 8);
  point(command, kSglInCapsule, 4096);
  co_await io.submit(command, pattern(4096, 1));
  co_await pause();
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 0U) << "it is not read yet";
  io.hang_up();
  co_await pause(core::kSecond);
  EXPECT_EQ(world.target.connections(), 1U);
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 0U);
}
TEST(NvmeIo, WhatAHostSentBeforeItWentIsNotRunAfterwards) {
  in_simulation(sent_and_gone);
}

// Four queues want three times what there is, and only one of their hosts reads.
constexpr std::size_t kLittle = 1U << 20;
core::Task<void> no_memory(TargetWorld& world) {
  constexpr std::uint16_t kHosts = 4, kEach = 6;
  RawHost admins[kHosts], hosts[kHosts];
  world.device->inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
  for (unsigned i = 0; i < kHosts; ++i) {
    co_await open_both(world, admins[i], hosts[i]);
    hosts[i].next_id = 100;
    for (std::uint16_t id = 0; id < kEach; ++id) {
      Command command = make_command(opcode::kRead, id, 1);
      point(command, kSglTransport, limits::kIoBytes);
      command.set<std::uint32_t>(48, 255);
      co_await hosts[i].submit(command);
    }
  }
  co_await pause(core::kSecond);
  EXPECT_LT(world.target.budget().left(), static_cast<std::ptrdiff_t>(limits::kIoBytes));
  EXPECT_GE(world.device->held(), kLittle / limits::kIoBytes);
  EXPECT_LE(world.device->held(), kLittle / limits::kIoBytes + kHosts);
  // Small data in the capsule and the admin queue go on.
  EXPECT_TRUE(
      (co_await admins[3].call(make_command(opcode::kKeepAlive, 9))).completion.status.ok());
  EXPECT_TRUE((co_await hosts[3].write_in_capsule(0, pattern(4096, 1))).completion.status.ok());
  world.device->clear();
  world.device->resume_held();
  for (unsigned i = kHosts; i-- > 0;) {  // the last one came when there was nothing left
    for (unsigned id = 0; id < kEach; ++id) {
      EXPECT_EQ((co_await hosts[i].finish()).data.size(), limits::kIoBytes);
    }
  }
}
TEST(NvmeIo, CommandsWaitForMemoryAndNothingElseDoes) {
  in_simulation(no_memory, 1, kLittle);
}

}  // namespace
}  // namespace capstan::storage::nvme
