// Why this file exists: the initiator against a target that does what none should, and against one
// that does what ours never would but may: every PDU of the wrong kind, order or length ends the
// connection with a reason and an H2CTermReq; odd but legal ways of moving data work; silence runs
// into the timeouts.
#include <gtest/gtest.h>

#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

constexpr std::uint32_t kBytes = 4096;
constexpr std::uint32_t kLong = 64U << 10;  // more than travels in a capsule

// A host connected to a fake target, both in one world.
struct FakeWorld {
  explicit FakeWorld(std::uint64_t seed = 1)
      : sim(seed),
        node(sim),
        hosts(sim),
        fake(node, core::Address::tcp(node.address(), 8420)),
        host(hosts, log) {
    options = host_options(core::Address::tcp(node.address(), 8420));
    options.ctrl_loss = 0;  // a lost connection stays lost, so that its reason can be seen
    options.fast_io_fail = 0;
  }
  template <class Test>
  void run(Test test) {
    sim.run(whole(this, test));
  }
  template <class Test>
  static core::Task<void> whole(FakeWorld* world, Test test) {
    world->fake.start();
    co_await test(*world);
    co_await world->host.close();
    co_await world->fake.stop();
  }

  NoLog sink;
  core::Log log{sink, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  core::SimWorld sim;
  core::SimEnv node, hosts;
  FakeTarget fake;
  HostWorld host;
  HostOptions options;
};

// Bytes as they are, after a header that was made by the codecs.
Bytes response_bytes(std::uint16_t id) {
  Bytes pdu(kCapsuleRespBytes);
  store_capsule_resp(pdu.data(), store_completion({0, 0, 0, id, {}}), {});
  return pdu;
}
Bytes data_bytes(DataHeader header, std::uint8_t flags, std::size_t content) {
  Bytes pdu(kDataHeaderBytes + content);
  store_data(pdu.data(), PduType::kC2hData, header, flags, {}, 0);
  return pdu;
}

struct Misdeed {
  const char* name;
  bool write;  // the command that the host sends
  std::uint32_t bytes;
  Bytes (*answer)(std::uint16_t id);
  FatalStatus expected;
};
const Misdeed kMisdeeds[] = {
    {"CompletionOfNothing", false, kBytes,
     [](std::uint16_t id) { return response_bytes(static_cast<std::uint16_t>(id ^ 1)); },
     FatalStatus::kSequence},
    {"CompletionOfAnotherLife", false, kBytes,
     [](std::uint16_t id) { return response_bytes(static_cast<std::uint16_t>(id ^ 0x8000)); },
     FatalStatus::kSequence},
    {"SuccessWithoutData", false, kBytes, response_bytes, FatalStatus::kOutOfRange},
    {"DataOfNothing", false, kBytes,
     [](std::uint16_t id) {
       return data_bytes({static_cast<std::uint16_t>(id ^ 1), 0, 0, kBytes}, 4, kBytes);
     },
     FatalStatus::kSequence},
    {"DataOutOfOrder", false, kBytes,
     [](std::uint16_t id) { return data_bytes({id, 0, 512, 512}, 0, 512); },
     FatalStatus::kOutOfRange},
    {"MoreDataThanAsked", false, kBytes,
     [](std::uint16_t id) { return data_bytes({id, 0, 0, 2 * kBytes}, 4, 2 * kBytes); },
     FatalStatus::kOutOfRange},
    {"DataWithoutData", false, kBytes,
     [](std::uint16_t id) { return data_bytes({id, 0, 0, 0}, 0, 0); }, FatalStatus::kInvalidHeader},
    {"LengthsThatDisagree", false, kBytes,
     [](std::uint16_t id) {
       Bytes pdu = data_bytes({id, 0, 0, kBytes}, 4, kBytes);
       store_le<std::uint32_t>(pdu.data() + 16, kBytes / 2);
       return pdu;
     },
     FatalStatus::kInvalidHeader},
    {"SuccessThatIsNotLast", false, kBytes,
     [](std::uint16_t id) { return data_bytes({id, 0, 0, kBytes}, pdu_flag::kSuccess, kBytes); },
     FatalStatus::kInvalidHeader},
    {"SuccessAfterHalf", false, kBytes,
     [](std::uint16_t id) {
       return data_bytes({id, 0, 0, kBytes / 2}, pdu_flag::kSuccess | pdu_flag::kLast, kBytes / 2);
     },
     FatalStatus::kOutOfRange},
    {"DataElsewhere", false, kBytes,
     [](std::uint16_t id) {
       Bytes pdu = data_bytes({id, 0, 0, kBytes}, 4, kBytes);
       pdu[3] = 32;
       return pdu;
     },
     FatalStatus::kInvalidHeader},
    {"R2tForARead", false, kBytes,
     [](std::uint16_t id) {
       Bytes pdu(kDataHeaderBytes);
       store_r2t(pdu.data(), {id, 1, 0, kBytes}, {});
       return pdu;
     },
     FatalStatus::kSequence},
    {"WrongHeaderLength", false, kBytes,
     [](std::uint16_t id) {
       Bytes pdu = response_bytes(id);
       pdu[2] = 72;
       return pdu;
     },
     FatalStatus::kInvalidHeader},
    {"HugePdu", false, kBytes,
     [](std::uint16_t id) {
       Bytes pdu = response_bytes(id);
       store_le<std::uint32_t>(pdu.data() + 4, 0xFFFFFFFF);
       return pdu;
     },
     FatalStatus::kInvalidHeader},
    {"HugeData", false, kBytes,
     [](std::uint16_t id) {
       Bytes pdu = data_bytes({id, 0, 0, 0xFFFFFFFF - 24}, 4, 0);
       return pdu;
     },
     FatalStatus::kOutOfRange},
    {"PduOfAHost", false, kBytes,
     [](std::uint16_t) {
       Bytes pdu(kCapsuleCmdBytes);
       store_capsule_cmd(pdu.data(), Command().bytes, 0, {}, 0);
       return pdu;
     },
     FatalStatus::kInvalidHeader},
    {"UnknownPdu", false, kBytes, [](std::uint16_t) { return Bytes{0x42, 0, 24, 0, 24, 0, 0, 0}; },
     FatalStatus::kInvalidHeader},
    {"SecondIcResp", false, kBytes,
     [](std::uint16_t) {
       Bytes pdu(kIcBytes);
       store_ic_resp(pdu.data(), {0, 0, {}, 8192});
       return pdu;
     },
     FatalStatus::kSequence},
    {"R2tForACapsule", true, kBytes,
     [](std::uint16_t id) {
       Bytes pdu(kDataHeaderBytes);
       store_r2t(pdu.data(), {id, 1, 0, kBytes}, {});
       return pdu;
     },
     FatalStatus::kSequence},
    {"DataForAWrite", true, kBytes,
     [](std::uint16_t id) { return data_bytes({id, 0, 0, 512}, 4, 512); }, FatalStatus::kSequence},
    {"R2tOfNothing", true, kLong,
     [](std::uint16_t id) {
       Bytes pdu(kDataHeaderBytes);
       store_r2t(pdu.data(), {id, 1, 0, 0}, {});
       return pdu;
     },
     FatalStatus::kInvalidHeader},
    {"R2tBeyond", true, kLong,
     [](std::uint16_t id) {
       Bytes pdu(kDataHeaderBytes);
       store_r2t(pdu.data(), {id, 1, 0, kLong + 4}, {});
       return pdu;
     },
     FatalStatus::kOutOfRange},
    {"R2tWithAGap", true, kLong,
     [](std::uint16_t id) {
       Bytes pdu(kDataHeaderBytes);
       store_r2t(pdu.data(), {id, 1, 512, 512}, {});
       return pdu;
     },
     FatalStatus::kOutOfRange},
    {"SuccessWithoutR2t", true, kLong, response_bytes, FatalStatus::kOutOfRange},
};

class InitiatorMisdeeds : public ::testing::TestWithParam<Misdeed> {};

core::Task<void> answer_with(RawTarget& target, Pdu pdu, Bytes (*answer)(std::uint16_t)) {
  co_await target.send(answer(Command::load(pdu.header.data() + kCommonBytes).id()));
}
core::Task<void> suffer(FakeWorld& world, const Misdeed& misdeed) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  world.fake.io = [&](RawTarget& target, Pdu pdu) {
    return answer_with(target, std::move(pdu), misdeed.answer);
  };
  Bytes data(misdeed.bytes);
  const auto done = misdeed.write ? co_await world.host.device->write(0, data)
                                  : co_await world.host.device->read(0, data);
  EXPECT_FALSE(done);
  if (done) co_return;
  EXPECT_EQ(done.error().code, Code::kUnavailable);
  EXPECT_NE(done.error().text().find("the target broke the protocol: " +
                                     std::string(fatal_name(misdeed.expected))),
            std::string::npos)
      << done.error().text();
  co_await pause(2 * core::kSecond);
  EXPECT_EQ(world.fake.terminated, std::vector<FatalStatus>{misdeed.expected});
}
TEST_P(InitiatorMisdeeds, EndTheConnection) {
  FakeWorld world;
  world.run([](FakeWorld& w) { return suffer(w, GetParam()); });
}
INSTANTIATE_TEST_SUITE_P(All, InitiatorMisdeeds, ::testing::ValuesIn(kMisdeeds),
                         [](const auto& test) { return std::string(test.param.name); });

// --- the handshake and what Identify says
// ---------------------------------------------------------

core::Task<void> refused(FakeWorld& world, std::string reason) {
  const auto opened = co_await world.host.open(world.options);
  EXPECT_FALSE(opened) << reason;
  if (!opened) {
    EXPECT_NE(opened.error().text().find(reason), std::string::npos) << opened.error().text();
  }
}
void expect_refusal(const std::string& reason, const std::function<void(FakeWorld&)>& change) {
  FakeWorld world;
  change(world);
  world.run([&](FakeWorld& w) { return refused(w, reason); });
}
TEST(InitiatorHostile, HandshakesAndIdentities) {
  expect_refusal("ICResp", [](FakeWorld& w) { w.fake.ic.version = 1; });
  expect_refusal("ICResp", [](FakeWorld& w) { w.fake.ic.controller_alignment = 32; });
  expect_refusal("ICResp", [](FakeWorld& w) { w.fake.ic.max_data_bytes = 512; });
  expect_refusal("ICResp", [](FakeWorld& w) { w.fake.ic.max_data_bytes = 8191; });
  expect_refusal("controller id", [](FakeWorld& w) {
    w.fake.controller = [](std::uint8_t* page) { page[78] = 9; };
  });
  expect_refusal("IOCCSZ", [](FakeWorld& w) {
    w.fake.controller = [](std::uint8_t* page) { store_le<std::uint32_t>(page + 1792, 3); };
  });
  expect_refusal("ICDOFF", [](FakeWorld& w) {
    w.fake.controller = [](std::uint8_t* page) { page[1800] = 1; };
  });
  expect_refusal("no SGLs", [](FakeWorld& w) {
    w.fake.controller = [](std::uint8_t* page) { page[536] = 0; };
  });
  expect_refusal("discovery", [](FakeWorld& w) {
    w.fake.controller = [](std::uint8_t* page) { page[111] = 2; };
  });
  expect_refusal("no power of two",
                 [](FakeWorld& w) { w.fake.space = [](std::uint8_t* page) { page[130] = 3; }; });
  for (const std::uint64_t blocks : {~0ULL, 1ULL << 55, (1ULL << 55) + 65'536, 1ULL << 54}) {
    expect_refusal("more than a device can have", [=](FakeWorld& w) {
      w.fake.space = [=](std::uint8_t* page) { store_le(page, blocks); };
    });
  }
  expect_refusal("metadata",
                 [](FakeWorld& w) { w.fake.space = [](std::uint8_t* page) { page[128] = 8; }; });
  expect_refusal("no namespace 1", [](FakeWorld& w) {
    w.fake.space = [](std::uint8_t* page) { store_le<std::uint64_t>(page, 0); };
  });
}

core::Task<bool> say_nothing(RawTarget&, const Command&) {
  co_return true;
}
TEST(InitiatorHostile, ATargetThatNeverAnswers) {
  FakeWorld world;
  world.fake.admin = say_nothing;
  world.run([](FakeWorld& w) -> core::Task<void> { return refused(w, "not connected within"); });
}

// --- odd but legal
// --------------------------------------------------------------------------------

core::Task<void> in_pieces(RawTarget& target, Pdu pdu) {
  const Command command = Command::load(pdu.header.data() + kCommonBytes);
  if (command.opcode() == opcode::kRead) {
    const Bytes content = FakeTarget::content(command);
    for (std::uint32_t at = 0; at < content.size(); at += 512) {
      const auto from = content.begin() + at;
      const bool last = at + 512 == content.size();
      co_await target.data({command.id(), 0, at, 512}, Bytes(from, from + 512),
                           last ? pdu_flag::kLast | pdu_flag::kSuccess : 0);
    }
    co_return;
  }
  if (pdu.data.empty()) {
    for (std::uint32_t at = 0; at < command.data_length(); at += 8192) {
      co_await target.ask({command.id(), static_cast<std::uint16_t>(at / 8192), at, 8192});
      std::uint32_t received = 0;
      while (received < 8192) {
        const auto more = co_await target.receive();
        if (!more) co_return;
        const DataHeader header = load_data(more->header.data());
        EXPECT_EQ(header.tag, at / 8192);
        EXPECT_EQ(header.offset, at + received);
        EXPECT_LE(header.length, 4096U);
        received += header.length;
        EXPECT_EQ((more->common.flags & pdu_flag::kLast) != 0, received == 8192);
      }
    }
  }
  co_await target.respond(command.id());
}
core::Task<void> read_and_write(FakeWorld& world) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  for (const std::uint32_t bytes : {512U, kBytes, kLong}) {
    Bytes data(bytes);
    EXPECT_TRUE(co_await world.host.device->read(0, data));
    EXPECT_EQ(data, pattern(bytes, 0));
    EXPECT_TRUE(co_await world.host.device->write(0, data));
  }
}
TEST(InitiatorHostile, DataInPieces) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    FakeWorld world(seed);
    world.fake.io = in_pieces;
    world.fake.ic.max_data_bytes = 4096;
    world.run(read_and_write);
  }
}
TEST(InitiatorHostile, AlignmentIsHonoured) {
  for (const auto alignment : std::to_array<std::uint8_t>({1, 17, 31})) {
    FakeWorld world;
    world.fake.ic.controller_alignment = alignment;
    world.options.digests = {alignment == 17, true};
    world.run(read_and_write);
  }
}

// Answers come in the opposite order, data of all of them interleaved.
struct Backwards {
  std::vector<Command> held;
  core::Task<void> operator()(RawTarget& target, Pdu pdu) {
    held.push_back(Command::load(pdu.header.data() + kCommonBytes));
    if (held.size() < 4) co_return;
    for (std::uint32_t at = 0; at < kBytes; at += 1024) {
      for (auto it = held.rbegin(); it != held.rend(); ++it) {
        const Bytes content = FakeTarget::content(*it);
        co_await target.data({it->id(), 0, at, 1024},
                             Bytes(content.begin() + at, content.begin() + at + 1024), 0);
      }
    }
    for (auto it = held.rbegin(); it != held.rend(); ++it) co_await target.respond(it->id());
    held.clear();
  }
};
core::Task<void> read_one(RemoteDevice* device, std::uint64_t block, std::vector<unsigned>* order) {
  Bytes data(kBytes);
  EXPECT_TRUE(co_await device->read(block * kBlock, data));
  EXPECT_EQ(data, pattern(kBytes, static_cast<std::uint8_t>(block)));
  order->push_back(static_cast<unsigned>(block));
}
core::Task<void> read_four(FakeWorld& world) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  std::vector<unsigned> order;
  core::Scope readers;
  for (unsigned i = 1; i <= 4; ++i) {
    readers.spawn(read_one(world.host.device.get(), i, &order));
  }
  co_await readers.join();
  EXPECT_EQ(order, (std::vector<unsigned>{4, 3, 2, 1}));
}
TEST(InitiatorHostile, AnswersInAnyOrder) {
  FakeWorld world;
  Backwards backwards;
  world.fake.io = [&](RawTarget& target, Pdu pdu) -> core::Task<void> {
    return backwards(target, std::move(pdu));
  };
  world.run(read_four);
}

// --- damage, delay, silence
// -----------------------------------------------------------------------

struct Spoiler {
  unsigned left = 2;
  core::Task<void> operator()(RawTarget& target, Pdu pdu) {
    const Command command = Command::load(pdu.header.data() + kCommonBytes);
    const Bytes content = FakeTarget::content(command);
    const bool spoil = left != 0;
    if (spoil) --left;
    co_await target.data({command.id(), 0, 0, kBytes}, content, pdu_flag::kLast, spoil);
    co_await target.respond(command.id());
  }
};
core::Task<void> read_damaged(FakeWorld& world, bool hope) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  Bytes data(kBytes);
  const auto done = co_await world.host.device->read(0, data);
  EXPECT_EQ(done.has_value(), hope);
  if (hope) EXPECT_EQ(data, pattern(kBytes, 0));
  if (!done) EXPECT_NE(done.error().text().find("damaged"), std::string::npos);
  EXPECT_EQ(world.host.controller().state(), HostController::State::kRunning);
}
TEST(InitiatorHostile, DamagedDataIsReadAgain) {
  for (const unsigned times : {2U, 1000U}) {
    FakeWorld world;
    Spoiler spoiler{times};
    world.options.digests = {true, true};
    world.fake.io = [&](RawTarget& target, Pdu pdu) { return spoiler(target, std::move(pdu)); };
    world.run([&](FakeWorld& w) { return read_damaged(w, times == 2); });
  }
}

core::Task<void> damaged_header(RawTarget& target, Pdu pdu) {
  Bytes bytes(kCapsuleRespBytes + kDigestBytes);
  const auto id = Command::load(pdu.header.data() + kCommonBytes).id();
  store_capsule_resp(bytes.data(), store_completion({0, 0, 0, id, {}}), target.digests);
  bytes[10] ^= 1;
  co_await target.send(bytes);
}
core::Task<void> lose_by_digest(FakeWorld& world) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  Bytes data(kBytes);
  const auto done = co_await world.host.device->read(0, data);
  EXPECT_FALSE(done);
  if (!done) EXPECT_NE(done.error().text().find("header digest"), std::string::npos);
}
TEST(InitiatorHostile, DamagedHeaderEndsTheConnection) {
  FakeWorld world;
  world.options.digests = {true, false};
  world.fake.io = damaged_header;
  world.run(lose_by_digest);
}

// Answers nothing for the first commands; their retries on new connections are answered.
struct Silent {
  unsigned left;
  core::Task<void> operator()(RawTarget& target, Pdu pdu) {
    if (left == 0) return FakeTarget::behave(target, std::move(pdu));
    --left;
    return nothing();
  }
  static core::Task<void> nothing() { co_return; }
};
core::Task<void> outwait(FakeWorld& world, unsigned connections, unsigned aborts,
                         const unsigned* seen) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  Bytes data(kBytes);
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos before = reactor.now();
  EXPECT_TRUE(co_await world.host.device->read(0, data));
  EXPECT_GE(reactor.now() - before, 3 * core::kSecond);
  EXPECT_EQ(world.fake.accepted, connections);
  EXPECT_EQ(*seen, aborts);
}
void silence(TimeoutAction action, unsigned connections, unsigned aborts, bool obey) {
  FakeWorld world;
  Silent silent{1};
  unsigned seen = 0;
  RawTarget* io = nullptr;
  std::uint16_t id = 0;
  world.options.io_timeout = 3 * core::kSecond;
  world.options.timeout_action = action;
  world.options.ctrl_loss = 600 * core::kSecond;
  world.fake.io = [&](RawTarget& target, Pdu pdu) {
    io = &target;
    id = Command::load(pdu.header.data() + kCommonBytes).id();
    return silent(target, std::move(pdu));
  };
  struct Aborts {
    static core::Task<bool> take(RawTarget& admin, const Command& command, RawTarget* from,
                                 std::uint16_t victim, bool obey) {
      EXPECT_EQ(command.dword(10), std::uint32_t{victim} << 16 | 1U);
      if (obey) co_await from->respond(victim, status::kAborted);
      co_await admin.respond(command.id(), {}, obey ? 0 : 1);
      co_return true;
    }
    static core::Task<bool> ignore() { co_return false; }
  };
  world.fake.admin = [&](RawTarget& admin, const Command& command) {
    if (command.opcode() != opcode::kAbort) return Aborts::ignore();
    ++seen;
    return Aborts::take(admin, command, io, id, obey);
  };
  world.run([&](FakeWorld& w) { return outwait(w, connections, aborts, &seen); });
}
TEST(InitiatorHostile, SilenceIsResetOrAborted) {
  silence(TimeoutAction::kReset, 4, 0, false);
  silence(TimeoutAction::kAbort, 2, 1, true);
  silence(TimeoutAction::kAbort, 4, 1, false);
}

core::Task<void> always_lost(FakeWorld& world) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  Bytes data(kBytes);
  const auto done = co_await world.host.device->read(0, data);
  EXPECT_FALSE(done);
  if (!done) EXPECT_NE(done.error().text().find("again and again"), std::string::npos);
}
core::Task<void> hang_up_on(RawTarget& target, Pdu) {
  target.stream().cancel();
  co_return;
}
TEST(InitiatorHostile, RetriesEnd) {
  FakeWorld world;
  world.options.ctrl_loss = 600 * core::kSecond;
  world.fake.io = hang_up_on;
  world.run(always_lost);
}

// Takes nothing, while its other direction goes on.
class DeadWriter final : public core::Stream {
 public:
  const core::PeerInfo& peer() const override { return peer_; }
  core::Task<Result<std::size_t>> read(MutableBytes) override { co_return 0; }
  Result<std::optional<std::size_t>> read_now(MutableBytes) override { return std::nullopt; }
  core::Task<Result<void>> write(ByteView) override {
    co_return fail(Code::kUnavailable, "nobody takes it", EPIPE);
  }
  void shutdown_write() override {}
  void cancel() override {}

 private:
  core::PeerInfo peer_;
};
core::Task<void> write_to_the_dead() {
  DeadWriter stream;
  HostCall call;
  unsigned lent = 0;
  std::vector<std::string> failures;
  HostOutput output(
      stream, [&](HostCall&) { --lent; },
      [&](const Error& error) { failures.push_back(error.text()); });
  const Bytes data(kLong);
  for (int i = 0; i < 3; ++i) {  // the second and third are still waiting when the first fails
    ++lent;
    output.append(data, call);
  }
  co_await output.run();
  EXPECT_EQ(lent, 0U);
  EXPECT_EQ(failures.size(), 1U);
  ++lent;
  output.append(data, call);  // for an R2T that came after that
  EXPECT_EQ(lent, 0U) << "given back, though nobody writes any more";
}
TEST(InitiatorHostile, DataForADeadWriterIsGivenBack) {
  core::SimWorld sim(1);
  sim.run(write_to_the_dead());
}

// Asks for a write's data in pieces of `step`, and takes none of it.
core::Task<void> ask_in_steps(RawTarget& target, Command command, std::uint32_t step) {
  for (std::uint32_t at = 0; at < kLong; at += step) {
    co_await target.ask({command.id(), 7, at, step});
  }
}
core::Task<void> crumbs(FakeWorld& world, std::uint32_t step) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  world.fake.io = [step](RawTarget& target, Pdu pdu) -> core::Task<void> {
    return ask_in_steps(target, Command::load(pdu.header.data() + kCommonBytes), step);
  };
  EXPECT_FALSE(co_await world.host.device->write(0, Bytes(kLong)));
  EXPECT_NE(world.host.controller().trouble().find("data transfer limit exceeded"),
            std::string::npos)
      << world.host.controller().trouble();
}
TEST(InitiatorHostile, DataIsNotGivenInCrumbs) {
  for (const std::uint32_t step : {1U, 64U, 256U}) {
    FakeWorld world;
    world.run([step](FakeWorld& w) { return crumbs(w, step); });
  }
}

// Small pieces are legal, and what cannot leave is lent instead of copied.
core::Task<void> take_in_steps(RawTarget& target, Pdu pdu, std::uint32_t step, Bytes* taken) {
  const Command command = Command::load(pdu.header.data() + kCommonBytes);
  const std::uint32_t bytes = command.data_length();
  for (std::uint32_t at = 0; at < bytes; at += step) {
    co_await target.ask({command.id(), 7, at, step});
  }
  while (taken->size() < bytes) {
    const auto more = co_await target.receive();
    EXPECT_TRUE(more);
    if (!more) co_return;
    EXPECT_EQ(load_data(more->header.data()).offset, taken->size());
    taken->insert(taken->end(), more->data.begin(), more->data.end());
  }
  co_await target.respond(command.id());
}
core::Task<void> small_steps(FakeWorld& world, std::uint32_t step) {
  Bytes taken;
  EXPECT_TRUE(co_await world.host.open(world.options));
  world.fake.io = [step, &taken](RawTarget& target, Pdu pdu) -> core::Task<void> {
    return take_in_steps(target, std::move(pdu), step, &taken);
  };
  const Bytes data = pattern(world.host.controller().transfer_bytes(), 3);
  EXPECT_TRUE(co_await world.host.device->write(0, data));
  EXPECT_EQ(taken, data);
}
TEST(InitiatorHostile, DataIsGivenInSmallPieces) {
  for (const std::uint32_t step : {512U, 4096U}) {
    FakeWorld world;
    world.run([step](FakeWorld& w) { return small_steps(w, step); });
  }
}

core::Task<void> ask_and_break(RawTarget& target, Command command, core::SimWorld* sim,
                               std::string a, std::string b) {
  for (std::uint32_t at = 0; at < kLong; at += kLong / 2) {
    co_await target.ask({command.id(), 7, at, kLong / 2});
  }
  sim->network().reset(a, b);
}
core::Task<void> answered_by_r2ts_and_a_reset(FakeWorld& world, core::SimWorld* sim, std::string a,
                                              std::string b) {
  EXPECT_TRUE(co_await world.host.open(world.options));
  world.fake.io = [sim, a, b](RawTarget& target, Pdu pdu) -> core::Task<void> {
    return ask_and_break(target, Command::load(pdu.header.data() + kCommonBytes), sim, a, b);
  };
  const Bytes data(kLong);
  EXPECT_FALSE(co_await world.host.device->write(0, data));  // and does not hang
}
TEST(InitiatorHostile, AResetAmidR2tsEndsTheWrite) {
  FakeWorld world;
  world.run([](FakeWorld& w) {
    return answered_by_r2ts_and_a_reset(w, &w.sim, w.node.address(), w.hosts.address());
  });
}

}  // namespace
}  // namespace capstan::storage::nvme
