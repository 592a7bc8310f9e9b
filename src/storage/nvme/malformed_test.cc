// Why this file exists: what no host should send: every row of nvme-tcp section 3.1 ends its own
// connection with the right TermReq, and nothing else suffers.
#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

// The target's last words: status, information, and a copy of the header in error.
core::Task<void> expect_end(RawHost& host, FatalStatus status, std::uint32_t information,
                            std::size_t copied) {
  const auto pdu = co_await host.receive();
  EXPECT_TRUE(pdu);
  if (!pdu) co_return;
  EXPECT_EQ(pdu->common.type, PduType::kC2hTermReq);
  if (pdu->common.type != PduType::kC2hTermReq) co_return;
  EXPECT_EQ(load_term_req(pdu->header.data()).fatal, (Fatal{status, information}));
  EXPECT_EQ(pdu->data.size(), copied);
  EXPECT_TRUE(all_zero(ByteView(pdu->header).subspan(14)));
}

Bytes ic_req(std::size_t offset = 0, std::uint8_t value = 0) {
  Bytes out(kIcBytes);
  store_ic_req(out.data(), {});
  out[offset] = value;
  return out;
}

core::Task<void> bad_beginnings(TargetWorld& world) {
  struct Case {
    Bytes bytes;
    FatalStatus status;
    std::uint32_t information;
    std::size_t copied;
  };
  const Case cases[] = {{ic_req(8, 1), FatalStatus::kInvalidHeader, 8, 128},
                        {ic_req(10, 32), FatalStatus::kInvalidHeader, 10, 128},
                        {ic_req(4, 127), FatalStatus::kInvalidHeader, 4, 8},
                        {ic_req(2, 127), FatalStatus::kInvalidHeader, 2, 8},
                        {ic_req(0, 4), FatalStatus::kSequence, 0, 8},
                        {ic_req(0, 2), FatalStatus::kSequence, 0, 8},
                        {ic_req(0, 77), FatalStatus::kSequence, 0, 8}};
  for (const auto& each : cases) {
    RawHost host;
    co_await host.dial(world.env, world.address);
    co_await host.send(each.bytes);
    co_await expect_end(host, each.status, each.information, each.copied);
  }
  RawHost ignored;  // what does not matter
  co_await ignored.dial(world.env, world.address);
  Bytes odd = ic_req(1, 0xFF);
  odd[3] = 0xFF;
  odd[127] = 0xFF;
  odd[11] = 0xFC;
  co_await ignored.send(odd);
  EXPECT_EQ((co_await ignored.receive())->common.type, PduType::kIcResp);
}
TEST(NvmeMalformed, Beginnings) {
  in_simulation(bad_beginnings);
}

core::Task<void> bad_types(TargetWorld& world) {
  for (const unsigned type : {1U, 3U, 5U, 7U, 8U, 9U, 10U, 255U}) {
    RawHost host;
    co_await host.open(world.env, world.address);
    co_await host.send({static_cast<std::uint8_t>(type), 0, 24, 0, 24, 0, 0, 0});
    co_await expect_end(host, FatalStatus::kInvalidHeader, 0, 8);
  }
  RawHost twice;
  co_await twice.open(world.env, world.address);
  co_await twice.send(ic_req());
  co_await expect_end(twice, FatalStatus::kSequence, 0, 8);
  const std::pair<Bytes, std::uint32_t> headers[] = {
      {{4, 0, 71, 0, 72, 0, 0, 0}, 2}, {{4, 0, 72, 0, 71, 0, 0, 0}, 4},
      {{6, 0, 23, 0, 24, 0, 0, 0}, 2}, {{6, 0, 24, 0, 23, 0, 0, 0}, 4},
      {{2, 0, 24, 0, 23, 0, 0, 0}, 4}, {{2, 0, 24, 0, 153, 0, 0, 0}, 4}};
  for (const auto& [bytes, information] : headers) {
    RawHost host;
    co_await host.open(world.env, world.address);
    co_await host.send(bytes);
    co_await expect_end(host, FatalStatus::kInvalidHeader, information, 8);
  }
  RawHost leaving;
  co_await leaving.open(world.env, world.address);
  Bytes term(kTermReqBytes);
  store_term_req(term.data(), PduType::kH2cTermReq, {FatalStatus::kSequence, 0}, {});
  co_await leaving.send(term);
  EXPECT_FALSE(co_await leaving.receive());
}
TEST(NvmeMalformed, TypesAndLengths) {
  in_simulation(bad_types);
}

core::Task<void> bad_capsules(TargetWorld& world) {
  struct Case {
    std::uint8_t type;
    std::uint64_t address;
    std::uint32_t length;
    std::size_t capsule;
    Fatal fatal;
  };
  const Case cases[] = {
      {kSglInCapsule, 8, 512, 512, {FatalStatus::kUnsupported, 32}},
      {kSglInCapsule, 0, 508, 512, {FatalStatus::kInvalidHeader, 4}},
      {kSglInCapsule, 0, 512, 0, {FatalStatus::kInvalidHeader, 4}},
      {kSglInCapsule, 0, 8196, 8196, {FatalStatus::kLimitExceeded, 0}},
      {kSglTransport, 0, 512, 512, {FatalStatus::kInvalidHeader, 4}},
      {kSglTransport, 0, limits::kIoBytes + 4, 0, {FatalStatus::kLimitExceeded, 0}},
      {0x00, 0, 512, 0, {FatalStatus::kUnsupported, 40}},
      {0x5B, 0, 512, 0, {FatalStatus::kUnsupported, 40}},
  };
  RawHost admin;
  co_await admin.open_admin(world.env, world.address);
  for (const auto& each : cases) {
    RawHost io;
    co_await io.open_io(world.env, world.address, admin.controller);
    Command command = io.io(opcode::kWrite, 0, 1);
    command.set(24, each.address);
    point(command, each.type, each.length);
    co_await io.submit(command, Bytes(each.capsule));
    co_await expect_end(io, each.fatal.status, each.fatal.information, kCapsuleCmdBytes);
    io.hang_up();
    co_await pause();
  }
  RawHost io;
  co_await io.open_io(world.env, world.address, admin.controller);
  Command read = io.io(opcode::kRead, 0, 1);
  point(read, kSglInCapsule, 512);
  co_await io.submit(read);
  co_await expect_end(io, FatalStatus::kUnsupported, 40, kCapsuleCmdBytes);
  io.hang_up();
  co_await pause();
  Bytes pdu(kCapsuleCmdBytes + 8 + 512);
  RawHost padded;
  co_await padded.open_io(world.env, world.address, admin.controller);
  Command command = padded.io(opcode::kWrite, 0, 1);
  point(command, kSglInCapsule, 512);
  store_capsule_cmd(pdu.data(), command.bytes, 512, {}, 0);
  pdu[3] = 80;
  pdu[4] += 8;
  co_await padded.send(pdu);
  co_await expect_end(padded, FatalStatus::kInvalidHeader, 3, kCapsuleCmdBytes);
  EXPECT_EQ(world.device->operations(), 0U);
  EXPECT_TRUE((co_await admin.identify(1)).completion.status.ok());
}
TEST(NvmeMalformed, Capsules) {
  in_simulation(bad_capsules);
}

core::Task<void> bad_data(TargetWorld& world) {
  struct Case {
    int command, tag;  // difference to the right one
    std::uint32_t offset, length;
    Fatal fatal;
  };
  const Case cases[] = {
      {1, 0, 0, 4096, {FatalStatus::kSequence, 0}},
      {0, 99, 0, 4096, {FatalStatus::kSequence, 0}},
      {0, -1, 0, 4096, {FatalStatus::kInvalidHeader, 10}},  // one that was answered
      {0, 0, 512, 1024, {FatalStatus::kOutOfRange, 0}},
      {0, 0, 0, 4100, {FatalStatus::kOutOfRange, 0}},
      {0, 0, 0, limits::kIoBytes + 4, {FatalStatus::kLimitExceeded, 0}},
  };
  RawHost admin;
  co_await admin.open_admin(world.env, world.address);
  for (const auto& each : cases) {
    RawHost io;
    co_await io.open_io(world.env, world.address, admin.controller);
    Command held = io.io(opcode::kWrite, 0, 8);
    point(held, kSglTransport, 4096);
    Command command = io.io(opcode::kWrite, 0, 8);
    point(command, kSglTransport, 4096);
    co_await io.submit(held);
    const R2t first = load_r2t((co_await io.receive())->header.data());
    co_await io.submit(command);
    const R2t r2t = load_r2t((co_await io.receive())->header.data());
    EXPECT_EQ(r2t.tag, first.tag + 1);
    co_await io.send_data({first.command, first.tag, 0, 4096}, Bytes(4096));
    EXPECT_TRUE((co_await io.finish()).completion.status.ok());
    co_await io.send_data(
        {static_cast<std::uint16_t>(r2t.command + each.command),
         static_cast<std::uint16_t>(r2t.tag + each.tag), each.offset, each.length},
        Bytes(each.length));
    co_await expect_end(io, each.fatal.status, each.fatal.information, kDataHeaderBytes);
    io.hang_up();
    co_await pause();
  }
  RawHost early;
  co_await early.open(world.env, world.address);
  co_await early.send_data({0, 1, 0, 4}, Bytes(4));
  co_await expect_end(early, FatalStatus::kSequence, 0, kDataHeaderBytes);
  EXPECT_EQ(world.target.counters().terminated, std::size(cases) + 1);
}
TEST(NvmeMalformed, Data) {
  in_simulation(bad_data);
}

core::Task<void> bad_header_digest(TargetWorld& world) {
  RawHost host;
  host.digests = {true, false};
  co_await host.open(world.env, world.address);
  Bytes pdu(kCapsuleCmdBytes + kDigestBytes);
  store_capsule_cmd(pdu.data(), make_command(opcode::kKeepAlive, 1).bytes, 0, host.digests, 0);
  pdu[kCapsuleCmdBytes] ^= 1;
  const auto received = load_le<std::uint32_t>(pdu.data() + kCapsuleCmdBytes);
  co_await host.send(pdu);
  co_await expect_end(host, FatalStatus::kHeaderDigest, received, kCapsuleCmdBytes);
  const core::Nanos before = core::Reactor::current()->read_clock();
  EXPECT_FALSE(co_await host.receive());  // the target waits for the host, but not for ever
  EXPECT_NEAR(static_cast<double>(core::Reactor::current()->read_clock() - before), 30e9, 1e9);
}
TEST(NvmeMalformed, HeaderDigest) {
  in_simulation(bad_header_digest);
}

core::Task<void> too_many(TargetWorld& world) {
  RawHost admin, io;
  co_await admin.open_admin(world.env, world.address);
  co_await io.open(world.env, world.address);
  co_await io.connect({0, 1, 3, 0, 0}, {kHostId, admin.controller, kNqn, kHostNqn});
  world.device->inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
  for (std::uint16_t id = 0; id < 5; ++id) {  // a queue of four entries
    Command command = make_command(opcode::kRead, id, 1);
    point(command, kSglTransport, kBlock);
    co_await io.submit(command);
  }
  co_await expect_end(io, FatalStatus::kSequence, 0, kCapsuleCmdBytes);
  world.device->clear();
  world.device->resume_held();
  EXPECT_TRUE((co_await admin.identify(1)).completion.status.ok());
  io.hang_up();
}
TEST(NvmeMalformed, MoreCommandsThanTheQueueHolds) {
  in_simulation(too_many);
}

core::Task<void> same_id(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  world.device->inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
  Command command = make_command(opcode::kRead, 7, 1);
  point(command, kSglTransport, kBlock);
  co_await io.submit(command);
  EXPECT_EQ((co_await io.call(command)).completion.status, status::kCommandIdConflict);
  world.device->clear();
  world.device->resume_held();
  EXPECT_TRUE((co_await io.finish()).completion.status.ok());
  EXPECT_TRUE((co_await io.call(command)).completion.status.ok());
}
TEST(NvmeMalformed, AnIdThatIsInUse) {
  in_simulation(same_id);
}

// Random bytes after a good beginning: the target ends the connection and lives.
core::Task<void> noise(TargetWorld& world, std::uint64_t seed) {
  RawHost admin;
  co_await admin.open_admin(world.env, world.address);
  core::SimRandom random(seed);
  for (unsigned round = 0; round < 20; ++round) {
    RawHost io;
    co_await io.open_io(world.env, world.address, admin.controller);
    Bytes bytes(1 + random.below(3000));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
    if (random.below(2) != 0) {  // a plausible header
      const Bytes header = {4, 0, 72, 72, static_cast<std::uint8_t>(random.below(256)), 2, 0, 0};
      std::copy_n(header.begin(), std::min(header.size(), bytes.size()), bytes.begin());
    }
    co_await io.send(bytes);
    io.hang_up();
    co_await pause();
  }
  EXPECT_EQ(world.target.connections(), 1U);
  EXPECT_TRUE((co_await admin.identify(1)).completion.status.ok());
}
TEST(NvmeMalformed, Noise) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    in_simulation([seed](TargetWorld& world) { return noise(world, seed); }, seed);
  }
}

}  // namespace
}  // namespace capstan::storage::nvme
