// Why this file exists: what the tests of NVMe/TCP share: a target with one device, and a host that
// is made of nothing but the codecs, so that it can also do what no host should. Test code.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "core/uring_env.h"
#include "storage/device/error_device.h"
#include "storage/device/memory_device.h"
#include "storage/device/test_support.h"
#include "storage/nvme/identify.h"
#include "storage/nvme/input.h"
#include "storage/nvme/limits.h"
#include "storage/nvme/target.h"

namespace capstan::storage::nvme::testing {

inline const std::string kNqn = "nqn.2019-05.io.openebs:v0";
inline const std::string kHostNqn = "nqn.2014-08.org.example:host";
inline constexpr HostId kHostId = {0x0A, 0x0B, 0x0C, 0x0D, 0, 0, 0x40, 0,
                                   0x80, 0,    0,    0,    0, 0, 0,    1};
inline constexpr std::uint32_t kBlock = 512;
inline constexpr std::uint64_t kBlocks = 16384;

using core::NoLog;

struct Pdu {
  CommonHeader common;
  Bytes header, data;
  bool bad_digest = false;
};
struct Answer {
  Completion completion;
  Bytes data;
  bool implied = false;  // the SUCCESS flag took the completion's place
  std::vector<R2t> asked;
};

inline Command make_command(std::uint8_t opcode, std::uint16_t id, std::uint32_t nsid = 0) {
  Command command;
  command.set(0, opcode);
  command.set<std::uint8_t>(1, 0x40);
  command.set(2, id);
  command.set(4, nsid);
  command.set(39, kSglTransport);
  return command;
}
inline void point(Command& command, std::uint8_t type, std::uint32_t length) {
  command.set(32, length);
  command.set(39, type);
}

// One connection of a host. Digests and alignment are those it asks for.
class RawHost {
 public:
  Digests digests;
  std::uint8_t alignment = 0;
  std::uint16_t next_id = 1, controller = 0;
  std::uint32_t max_data_bytes = limits::kIoBytes;  // that the target is to name
  std::uint32_t space = 1;                          // namespace of io()
  HostId host_id = kHostId;
  std::string host_nqn = kHostNqn;

  core::Task<void> dial(core::Env& env, core::Address address) {
    auto stream = co_await env.network().connect(address, {});
    CAPSTAN_ASSERT(stream);
    stream_ = *std::move(stream);
    input_ = std::make_unique<Input>(*stream_);
  }
  core::Task<void> open(core::Env& env, core::Address address) {
    co_await dial(env, address);
    Bytes request(kIcBytes);
    store_ic_req(request.data(), {0, alignment, digests, 0});
    co_await send(request);
    const auto response = co_await receive();
    EXPECT_TRUE(response);
    if (!response) co_return;
    EXPECT_EQ(response->common.type, PduType::kIcResp);
    const auto loaded = load_ic_resp(response->header.data());
    EXPECT_TRUE(loaded);
    EXPECT_EQ(loaded->digests, digests);
    EXPECT_EQ(loaded->controller_alignment, 0);
    EXPECT_EQ(loaded->max_data_bytes, max_data_bytes);
    initialised_ = true;
  }
  core::Task<void> send(Bytes bytes) { (void)co_await stream_->write(bytes); }
  // Nothing when the target has closed.
  core::Task<std::optional<Pdu>> receive() {
    if (!co_await input_->fill(kCommonBytes)) co_return std::nullopt;
    Pdu pdu{load_common(input_->data()), {}, {}};
    const auto size = check_common(pdu.common, Receiver::kHost, initialised_,
                                   pdu.common.type == PduType::kC2hTermReq ? Digests() : digests);
    EXPECT_TRUE(size || pdu.common.type == PduType::kC2hTermReq);
    const std::size_t header = size.value_or(kTermReqBytes);
    pdu.header.resize(header);
    if (!co_await input_->read(pdu.header)) co_return std::nullopt;
    const bool term = pdu.common.type == PduType::kC2hTermReq;
    if (!term) EXPECT_TRUE(check_header_digest(pdu.common, pdu.header, digests));
    const std::size_t at = term ? header : std::max<std::size_t>(header, pdu.common.data_offset);
    Bytes padding(at - header);
    if (!co_await input_->read(padding)) co_return std::nullopt;
    EXPECT_TRUE(all_zero(padding));
    const bool digest = digests.data && pdu.common.data_offset != 0;
    pdu.data.resize(pdu.common.total_bytes - at - (digest ? kDigestBytes : 0));
    if (!co_await input_->read(pdu.data)) co_return std::nullopt;
    if (digest) {
      Bytes received(kDigestBytes);
      if (!co_await input_->read(received)) co_return std::nullopt;
      EXPECT_EQ(crc32c(pdu.data), load_le<std::uint32_t>(received.data()));
    }
    co_return pdu;
  }

  // Queues a command; `capsule` travels with it.
  core::Task<void> submit(Command command, Bytes capsule = {}, bool spoil = false) {
    Bytes pdu(kCapsuleCmdBytes + 2 * kDigestBytes + capsule.size());
    const std::size_t at = store_capsule_cmd(
        pdu.data(), command.bytes, static_cast<std::uint32_t>(capsule.size()), digests, 0);
    std::ranges::copy(capsule, pdu.data() + at);
    std::size_t end = at + capsule.size();
    if (!capsule.empty() && digests.data) {
      store_le(pdu.data() + end, crc32c(capsule) ^ (spoil ? 1U : 0U));
      end += kDigestBytes;
    }
    pdu.resize(end);
    co_await send(pdu);
  }
  core::Task<void> send_data(DataHeader header, Bytes data, bool last = true, bool spoil = false) {
    Bytes pdu(kDataHeaderBytes + 2 * kDigestBytes + data.size());
    const std::size_t at = store_data(pdu.data(), PduType::kH2cData, header,
                                      last ? pdu_flag::kLast : std::uint8_t{0}, digests, 0);
    std::ranges::copy(data, pdu.data() + at);
    std::size_t end = at + data.size();
    if (digests.data) {
      store_le(pdu.data() + end, crc32c(data) ^ (spoil ? 1U : 0U));
      end += kDigestBytes;
    }
    pdu.resize(end);
    co_await send(pdu);
  }
  // The answer to the only command in flight; sends `data` when it is asked for.
  core::Task<Answer> finish(Bytes data = {}, std::uint32_t slice = limits::kIoBytes) {
    Answer answer;
    while (true) {
      const auto pdu = co_await receive();
      EXPECT_TRUE(pdu) << "the target closed";
      if (!pdu) co_return answer;
      if (pdu->common.type == PduType::kCapsuleResp) {
        answer.completion = load_completion(pdu->header.data() + kCommonBytes);
        co_return answer;
      }
      if (pdu->common.type == PduType::kR2t) {
        const R2t r2t = load_r2t(pdu->header.data());
        answer.asked.push_back(r2t);
        co_await supply(r2t, data, slice);
        continue;
      }
      EXPECT_EQ(pdu->common.type, PduType::kC2hData);
      if (pdu->common.type != PduType::kC2hData) co_return answer;
      EXPECT_EQ(load_data(pdu->header.data()).offset, answer.data.size());
      EXPECT_EQ(load_data(pdu->header.data()).length, pdu->data.size());
      answer.data.insert(answer.data.end(), pdu->data.begin(), pdu->data.end());
      answer.implied = (pdu->common.flags & pdu_flag::kSuccess) != 0;
      if (answer.implied) co_return answer;
    }
  }
  core::Task<void> supply(R2t r2t, Bytes data, std::uint32_t slice) {
    for (std::uint32_t sent = 0; sent < r2t.length;) {
      const std::uint32_t step = std::min(slice, r2t.length - sent);
      const auto from = data.begin() + r2t.offset + sent;
      co_await send_data({r2t.command, r2t.tag, r2t.offset + sent, step}, Bytes(from, from + step),
                         sent + step == r2t.length);
      sent += step;
    }
  }
  // A command with its data in the capsule, or without data.
  core::Task<Answer> call(Command command, Bytes capsule = {}) {
    if (!capsule.empty()) {
      point(command, kSglInCapsule, static_cast<std::uint32_t>(capsule.size()));
    }
    co_await submit(command, std::move(capsule));
    co_return co_await finish();
  }

  core::Task<Answer> connect(ConnectCommand fields, ConnectData data, bool in_capsule = true) {
    Command command = make_command(opcode::kFabrics, next_id++);
    command.set(4, fabrics::kConnect);
    store_connect(command, fields);
    Bytes bytes(kConnectDataBytes);
    store_connect_data(bytes.data(), data);
    if (in_capsule) co_return co_await call(command, bytes);
    point(command, kSglTransport, kConnectDataBytes);
    co_await submit(command);
    co_return co_await finish(bytes);
  }
  core::Task<Answer> connect_admin(ConnectCommand fields = {0, 0, 31, 0, 0}) {
    ConnectData data{host_id, kAnyController, kNqn, host_nqn};
    auto answer = co_await connect(fields, data);
    controller = static_cast<std::uint16_t>(answer.completion.dword0);
    co_return answer;
  }
  core::Task<Answer> get_property(std::uint32_t offset, bool wide = false) {
    Command command = make_command(opcode::kFabrics, next_id++);
    command.set(4, fabrics::kPropertyGet);
    command.set<std::uint8_t>(40, wide ? 1 : 0);
    command.set(44, offset);
    co_return co_await call(command);
  }
  core::Task<Answer> set_property(std::uint32_t offset, std::uint32_t value) {
    Command command = make_command(opcode::kFabrics, next_id++);
    command.set(4, fabrics::kPropertySet);
    command.set(44, offset);
    command.set(48, value);
    co_return co_await call(command);
  }
  // A command that reads `bytes`; dwords 10 and 11 as given.
  core::Task<Answer> fetch(std::uint8_t code, std::uint32_t nsid, std::uint32_t bytes,
                           std::uint32_t dword10, std::uint32_t dword11 = 0,
                           std::uint64_t dword12 = 0) {
    Command command = make_command(code, next_id++, nsid);
    point(command, kSglTransport, bytes);
    command.set(40, dword10);
    command.set(44, dword11);
    command.set(48, dword12);
    co_return co_await call(command);
  }
  core::Task<Answer> identify(std::uint8_t structure, std::uint32_t nsid = 0) {
    return fetch(opcode::kIdentify, nsid, kIdentifyBytes, structure);
  }
  core::Task<Answer> log(std::uint8_t page, std::uint32_t bytes, std::uint64_t offset = 0,
                         bool retain = false) {
    return fetch(opcode::kGetLogPage, 0, bytes,
                 page | (retain ? 1U << 15 : 0U) | (bytes / 4 - 1) << 16, (bytes / 4 - 1) >> 16,
                 offset);
  }
  core::Task<Answer> feature(bool set, std::uint8_t id, std::uint32_t value = 0) {
    Command command = make_command(set ? opcode::kSetFeatures : opcode::kGetFeatures, next_id++);
    command.set<std::uint32_t>(40, id);
    command.set(44, value);
    co_return co_await call(command);
  }
  // Admin queue from the socket on to a ready controller.
  core::Task<void> open_admin(core::Env& env, core::Address address,
                              ConnectCommand fields = {0, 0, 31, 0, 0}) {
    co_await open(env, address);
    const auto connected = co_await connect_admin(fields);
    EXPECT_TRUE(connected.completion.status.ok());
    EXPECT_TRUE((co_await set_property(property::kCc, 0x00460001)).completion.status.ok());
  }
  core::Task<void> open_io(core::Env& env, core::Address address, std::uint16_t of,
                           std::uint16_t queue = 1, std::uint8_t attributes = 0) {
    co_await open(env, address);
    const auto connected =
        co_await connect({0, queue, 127, attributes, 0}, {host_id, of, kNqn, host_nqn});
    EXPECT_TRUE(connected.completion.status.ok());
  }

  // --- I/O ---
  Command io(std::uint8_t code, std::uint64_t first, std::uint32_t blocks) {
    Command command = make_command(code, next_id++, space);
    command.set(40, first);
    command.set(48, blocks - 1);
    return command;
  }
  core::Task<Answer> read(std::uint64_t first, std::uint32_t blocks) {
    Command command = io(opcode::kRead, first, blocks);
    point(command, kSglTransport, blocks * kBlock);
    co_return co_await call(command);
  }
  core::Task<Answer> write_in_capsule(std::uint64_t first, Bytes data) {
    const auto blocks = static_cast<std::uint32_t>(data.size() / kBlock);
    co_return co_await call(io(opcode::kWrite, first, blocks), std::move(data));
  }
  core::Task<Answer> write(std::uint64_t first, Bytes data,
                           std::uint32_t slice = limits::kIoBytes) {
    Command command = io(opcode::kWrite, first, static_cast<std::uint32_t>(data.size() / kBlock));
    point(command, kSglTransport, static_cast<std::uint32_t>(data.size()));
    co_await submit(command);
    co_return co_await finish(std::move(data), slice);
  }

  core::Stream& stream() { return *stream_; }
  void hang_up() {
    input_.reset();
    stream_.reset();
  }

 private:
  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<Input> input_;
  bool initialised_ = false;
};

// A target with subsystem kNqn, whose namespace 1 is a device in memory that fails on order.
struct TargetWorld {
  TargetWorld(core::Env& target_env, core::Env& env_of_hosts,
              std::size_t bytes = limits::kBufferBytes, std::vector<core::Reactor*> io_cores = {})
      : env(env_of_hosts),
        memory(std::make_shared<MemoryDevice>("m0", Uuid::from_name("m0"), kBlock, kBlocks)),
        device(std::make_shared<ErrorInjectingDevice>(memory)),
        target(target_env, log, bytes, std::move(io_cores)),
        buffer_bytes(static_cast<std::ptrdiff_t>(bytes)) {}

  core::Task<void> start(std::string host, std::uint16_t number) {
    const auto listening = target.listen(core::Address::tcp(std::move(host), number));
    CAPSTAN_ASSERT(listening);
    port = *listening;
    address = target.address(port);
    auto added = target.add({.nqn = kNqn, .serial = "DCS0123456789ABCDEF0"});
    CAPSTAN_ASSERT(added);
    subsystem = *added;
    CAPSTAN_ASSERT(subsystem->add_namespace(device));
    co_return;
  }

  core::Env& env;  // of the hosts
  NoLog sink;
  core::Log log{sink, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  std::shared_ptr<MemoryDevice> memory;
  std::shared_ptr<ErrorInjectingDevice> device;
  Target target;
  std::shared_ptr<Subsystem> subsystem;
  std::uint16_t port = 0;
  core::Address address;
  std::ptrdiff_t buffer_bytes;
};

// The cores of `env` from `first` on. A simulated node has one, which is away from itself as well:
// whatever crosses goes by message all the same.
using NoCores = std::vector<core::Reactor*>;
inline std::vector<core::Reactor*> io_cores_of(core::Env& env, unsigned first) {
  std::vector<core::Reactor*> out;
  for (unsigned core = first; core < env.cores(); ++core) out.push_back(&env.reactor(core));
  return out;
}

template <class Test>
core::Task<void> whole(TargetWorld* world, std::string host, std::uint16_t number, Test test) {
  co_await world->start(std::move(host), number);
  co_await test(*world);
  co_await world->target.shutdown();
  EXPECT_EQ(world->target.connections(), 0U);
  EXPECT_EQ(world->target.budget().left(), world->buffer_bytes);
  EXPECT_TRUE(world->subsystem->controllers().empty());
}

// Runs `test(world)` on virtual time, target and hosts on nodes of their own: with the connections
// of I/O queues where the devices are, and as if they were on another core.
template <class Test>
void in_simulation(Test test, std::uint64_t seed = 1, std::size_t bytes = limits::kBufferBytes) {
  for (const bool away : {false, true}) {
    SCOPED_TRACE(away ? "I/O queues away" : "I/O queues at home");
    core::SimWorld sim(seed);
    core::SimEnv node(sim), hosts(sim);
    TargetWorld world(node, hosts, bytes, away ? io_cores_of(node, 0) : NoCores());
    sim.run(whole(&world, node.address(), 8420, test));
  }
}
// The same on real sockets, hosts and devices on core 0.
template <class Test>
void for_real(Test test) {
  for (const unsigned cores : {1U, 2U}) {
    SCOPED_TRACE(cores);
    auto env = core::UringEnv::create({.cores = cores, .poll_us = 20, .on_stall = {}});
    ASSERT_TRUE(env) << env.error().text();
    TargetWorld world(**env, **env, limits::kBufferBytes, io_cores_of(**env, 1));
    (*env)->run(whole(&world, "127.0.0.1", 0, test));
  }
}

inline core::Task<void> pause(core::Nanos duration = 100 * core::kMillisecond) {
  (void)co_await core::sleep_for(duration);
}
inline core::Task<void> open_both(TargetWorld& world, RawHost& admin, RawHost& io) {
  co_await admin.open_admin(world.env, world.address);
  co_await io.open_io(world.env, world.address, admin.controller);
}

}  // namespace capstan::storage::nvme::testing
