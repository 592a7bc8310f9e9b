// Why this file exists: the beginning and end of associations: Connect's refusals, properties,
// timers, and what happens to the others when one side goes; nvme-tcp sections 3, 6 and 7.
#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;
using core::kSecond;

struct Refusal {
  ConnectCommand command;
  ConnectData data;
  Status status;
  std::uint32_t dword0;
};

const ConnectData kGood{kHostId, kAnyController, kNqn, kHostNqn};
constexpr ConnectCommand kAdmin{0, 0, 31, 0, 0};
ConnectData changed(std::uint16_t controller, std::string subsystem, std::string host) {
  return {kHostId, controller, std::move(subsystem), std::move(host)};
}

core::Task<void> refused(TargetWorld& world, std::vector<Refusal> refusals) {
  RawHost host;  // a refused Connect leaves the connection as it was
  co_await host.open(world.env, world.address);
  for (std::size_t i = 0; i < refusals.size(); ++i) {
    const auto answer = co_await host.connect(refusals[i].command, refusals[i].data, i % 2 == 0);
    EXPECT_EQ(answer.completion.status, refusals[i].status) << i;
    EXPECT_EQ(answer.completion.dword0, refusals[i].dword0) << i;
    EXPECT_EQ(answer.completion.queue_head, 0) << i;
  }
  EXPECT_TRUE((co_await host.connect(kAdmin, kGood)).completion.status.ok());
  EXPECT_EQ((co_await host.connect(kAdmin, kGood)).completion.status, status::kInvalidOpcode);
}
core::Task<void> admin_refusals(TargetWorld& world) {
  using namespace status;
  ConnectData endless = kGood;
  endless.subsystem = std::string(kNqnBytes, 'x');  // fills its field: not terminated
  ConnectData endless_host = kGood;
  endless_host.host = std::string(kNqnBytes, 'x');
  co_await refused(world,
                   {
                       {kAdmin, endless, kConnectParameter, 0x10100},
                       {kAdmin, changed(0xFFFF, "nqn.x:no", kHostNqn), kConnectParameter, 0x10100},
                       {kAdmin, endless_host, kConnectParameter, 0x10200},
                       {{1, 0, 31, 0, 0}, kGood, kConnectFormat, 0},
                       {{0, 0, 0, 0, 0}, kGood, kConnectParameter, 0x2C},
                       {{0, 0, 128, 0, 0}, kGood, kConnectParameter, 0x2C},
                       {kAdmin, changed(1, kNqn, kHostNqn), kConnectParameter, 0x10010},
                       {{0, 1, 31, 0, 0}, changed(7, kNqn, kHostNqn), kConnectParameter, 0x10010},
                   });
}
TEST(NvmeConnect, RefusalsOfTheAdminQueue) {
  in_simulation(admin_refusals);
  for_real(admin_refusals);
}

core::Task<void> silent_sockets(TargetWorld& world) {
  world.target.set_connections_max(16);  // two of them may be silent
  RawHost silent[6], admin, io;
  for (RawHost& each : silent) co_await each.dial(world.env, world.address);
  co_await open_both(world, admin, io);  // nevertheless
  EXPECT_TRUE((co_await io.read(0, 1)).completion.status.ok());
  for (std::size_t i = 0; i < 5; ++i) EXPECT_FALSE(co_await silent[i].receive()) << i;
  EXPECT_EQ(world.target.connections(), 3U);
  EXPECT_EQ(world.target.counters().newcomers_dropped, 5U);
}
TEST(NvmeConnect, SocketsThatSayNothingKeepNobodyOut) {
  in_simulation(silent_sockets);
  for_real(silent_sockets);
}

core::Task<void> full_target(TargetWorld& world) {
  world.target.set_connections_max(2);
  RawHost admin, io, third;
  co_await open_both(world, admin, io);
  co_await third.dial(world.env, world.address);
  EXPECT_FALSE(co_await third.receive());
  EXPECT_EQ(world.target.counters().connections_refused, 1U);
  EXPECT_TRUE((co_await io.read(0, 1)).completion.status.ok());
}
TEST(NvmeConnect, AFullTargetKeepsWhoIsThere) {
  in_simulation(full_target);
  for_real(full_target);
}

core::Task<void> io_refusals(TargetWorld& world) {
  RawHost admin;
  co_await admin.open_admin(world.env, world.address);
  const std::uint16_t id = admin.controller;
  RawHost host;
  co_await host.open(world.env, world.address);
  const auto expect = [&host](ConnectCommand command, ConnectData data, Status status,
                              std::uint32_t dword0) -> core::Task<void> {
    return [](RawHost& on, ConnectCommand c, ConnectData d, Status s,
              std::uint32_t w) -> core::Task<void> {
      const auto answer = co_await on.connect(c, d);
      EXPECT_EQ(answer.completion.status, s) << c.queue;
      EXPECT_EQ(answer.completion.dword0, w) << c.queue;
    }(host, command, std::move(data), status, dword0);
  };
  using namespace status;
  constexpr ConnectCommand kIo{0, 1, 127, 0, 0};
  ConnectData other_id = changed(id, kNqn, kHostNqn);
  other_id.host_id[0] ^= 1;
  co_await expect({0, 1, 128, 0, 0}, changed(id, kNqn, kHostNqn), kConnectParameter, 0x2C);
  co_await expect(kIo, changed(0xFFFF, kNqn, kHostNqn), kConnectParameter, 0x10010);
  co_await expect(kIo, changed(id, kNqn, "nqn.x:other"), kConnectParameter, 0x10200);
  co_await expect(kIo, other_id, kConnectParameter, 0x10000);
  co_await expect({0, 65, 127, 0, 0}, changed(id, kNqn, kHostNqn), kInvalidQueueId, 0);
  EXPECT_TRUE((co_await host.connect(kIo, changed(id, kNqn, kHostNqn))).completion.status.ok());
  RawHost second;
  co_await second.open(world.env, world.address);
  EXPECT_EQ((co_await second.connect(kIo, changed(id, kNqn, kHostNqn))).completion.status,
            kInvalidQueueId);
  for (const std::uint32_t configuration : {0x00460000U, 0x00450001U, 0x00360001U}) {
    RawHost disabled, queue;
    co_await disabled.open(world.env, world.address);
    co_await disabled.connect_admin();
    co_await disabled.set_property(property::kCc, configuration);
    co_await queue.open(world.env, world.address);
    const auto answer = co_await queue.connect(kIo, changed(disabled.controller, kNqn, kHostNqn));
    EXPECT_EQ(answer.completion.status, kConnectParameter);
    EXPECT_EQ(answer.completion.dword0, 0x2AU);
  }
}
TEST(NvmeConnect, RefusalsOfIoQueues) {
  in_simulation(io_refusals);
}

core::Task<void> before_connect(TargetWorld& world) {
  RawHost host;
  co_await host.open(world.env, world.address);
  EXPECT_EQ((co_await host.get_property(property::kCap, true)).completion.status,
            status::kCommandSequence);
  EXPECT_EQ((co_await host.call(make_command(opcode::kKeepAlive, 3))).completion.status,
            status::kCommandSequence);
  Command small = make_command(opcode::kFabrics, 4);
  small.set(4, fabrics::kConnect);
  EXPECT_EQ((co_await host.call(small, Bytes(1020))).completion.status, status::kInvalidField);
  const auto connected = co_await host.connect_admin();
  EXPECT_TRUE(connected.completion.status.ok());
  EXPECT_EQ(connected.completion.queue_head, 1);
  EXPECT_EQ((co_await host.identify(1)).completion.status, status::kCommandSequence);
  EXPECT_TRUE((co_await host.call(make_command(opcode::kKeepAlive, 3))).completion.status.ok());
  EXPECT_EQ((co_await host.call(make_command(opcode::kKeepAlive, 3, 1))).completion.status,
            status::kInvalidField);
}
TEST(NvmeConnect, WhatIsTakenBeforeConnectAndBeforeEnabling) {
  in_simulation(before_connect);
}

core::Task<void> controller_ids(TargetWorld& world) {
  auto added = world.target.add({.nqn = "nqn.x:few", .min_controller = 5, .max_controller = 6});
  EXPECT_TRUE(added);
  RawHost hosts[4];
  std::vector<std::uint32_t> ids;
  for (unsigned i = 0; i < 3; ++i) {
    co_await hosts[i].open(world.env, world.address);
    const auto answer = co_await hosts[i].connect(kAdmin, changed(0xFFFF, "nqn.x:few", kHostNqn));
    EXPECT_EQ(answer.completion.status, i < 2 ? status::kSuccess : status::kConnectBusy);
    ids.push_back(answer.completion.dword0);
  }
  EXPECT_EQ(ids[0], 5U);
  EXPECT_EQ(ids[1], 6U);
  hosts[0].hang_up();
  co_await pause();
  co_await hosts[3].open(world.env, world.address);
  const auto again = co_await hosts[3].connect(kAdmin, changed(0xFFFF, "nqn.x:few", kHostNqn));
  EXPECT_EQ(again.completion.dword0, 5U);
  EXPECT_TRUE(co_await world.target.remove("nqn.x:few"));
  EXPECT_FALSE(co_await hosts[1].receive());
  EXPECT_FALSE(co_await world.target.remove("nqn.x:few"));
}
TEST(NvmeConnect, ControllerIdsComeFromTheirRange) {
  in_simulation(controller_ids);
}

core::Task<void> hosts(TargetWorld& world) {
  world.subsystem->allow_any_host(false);
  RawHost host, stranger;
  co_await stranger.open(world.env, world.address);
  EXPECT_EQ((co_await stranger.connect_admin()).completion.status, status::kConnectHost);
  EXPECT_TRUE(world.subsystem->allow_host(kHostNqn));
  EXPECT_FALSE(world.subsystem->allow_host("host"));
  co_await host.open_admin(world.env, world.address);
  RawHost io;
  co_await io.open_io(world.env, world.address, host.controller);
  EXPECT_EQ((co_await stranger.connect(kAdmin, changed(0xFFFF, kNqn, ""))).completion.status,
            status::kConnectHost);
  world.subsystem->forbid_host(kHostNqn);
  EXPECT_FALSE(co_await host.receive());
  EXPECT_FALSE(co_await io.receive());
}
TEST(NvmeConnect, OnlyAllowedHosts) {
  in_simulation(hosts);
}

core::Task<void> properties(TargetWorld& world) {
  RawHost host;
  co_await host.open(world.env, world.address);
  co_await host.connect_admin();
  const auto value = [](RawHost& on, std::uint32_t offset,
                        std::uint32_t wanted) -> core::Task<void> {
    const auto answer = co_await on.get_property(offset);
    EXPECT_TRUE(answer.completion.status.ok()) << offset;
    EXPECT_EQ(answer.completion.dword0, wanted) << offset;
  };
  const auto cap = co_await host.get_property(property::kCap, true);
  EXPECT_EQ(cap.completion.dword0, 0x1E01007FU);
  EXPECT_EQ(cap.completion.dword1, 0x08000020U);
  co_await value(host, property::kCap, 0x1E01007F);
  co_await value(host, property::kCap + 4, 0x08000020);
  co_await value(host, property::kVs, 0x00020000);
  co_await value(host, property::kCsts, 0);
  co_await value(host, property::kNssr, 0);
  co_await value(host, property::kAqa, 0);
  co_await value(host, property::kCrto, 0x1E);
  for (const std::uint32_t offset : {0x0CU, 0x100U, 0x69U}) {
    EXPECT_EQ((co_await host.get_property(offset)).completion.status, status::kConnectParameter);
  }
  EXPECT_EQ((co_await host.get_property(property::kVs, true)).completion.status,
            status::kConnectParameter);
  for (const std::uint32_t offset :
       {property::kCap, property::kVs, property::kNssr, property::kCrto}) {
    EXPECT_EQ((co_await host.set_property(offset, 1)).completion.status, status::kConnectParameter);
  }
  EXPECT_TRUE((co_await host.set_property(property::kCsts, 0)).completion.status.ok());
  for (const std::uint32_t bad : {0x00460081U, 0x00460801U, 0x00460071U, 0x0046C001U}) {
    EXPECT_EQ((co_await host.set_property(property::kCc, bad)).completion.status,
              status::kConnectParameter);
  }
  co_await host.set_property(property::kCc, 0x00460001);
  co_await value(host, property::kCsts, 1);
  co_await value(host, property::kCc, 0x00460001);
}
TEST(NvmeConnect, Properties) {
  in_simulation(properties);
}

core::Task<void> chosen_sizes(TargetWorld& world) {
  world.target.set_sizes({16, 32, 2, 512, limits::kIoBytes / 2});  // Connect itself is longer
  RawHost admin, io;
  admin.max_data_bytes = io.max_data_bytes = limits::kIoBytes / 2;
  co_await admin.open_admin(world.env, world.address);
  EXPECT_EQ((co_await admin.get_property(property::kCap, true)).completion.dword0 & 0xFFFF, 15U);
  const auto identity = co_await admin.identify(1);
  EXPECT_EQ(identity.data[77], 4);                                      // MDTS
  EXPECT_EQ(load_le<std::uint16_t>(identity.data.data() + 514), 16);    // MAXCMD
  EXPECT_EQ(load_le<std::uint32_t>(identity.data.data() + 1792), 36U);  // IOCCSZ
  EXPECT_EQ((co_await admin.feature(true, feature::kQueues, 0x00070007)).completion.dword0,
            0x00010001U);
  co_await io.open(world.env, world.address);
  const ConnectData data{admin.host_id, admin.controller, kNqn, admin.host_nqn};
  // More entries than there are, and then as many.
  EXPECT_EQ((co_await io.connect({0, 1, 16, 0, 0}, data)).completion.status,
            status::kConnectParameter);
  EXPECT_TRUE((co_await io.connect({0, 1, 15, 0, 0}, data)).completion.status.ok());
}
TEST(NvmeConnect, SizesMayBeChosen) {
  in_simulation(chosen_sizes);
}

core::Task<void> without_discovery(TargetWorld& world) {
  world.target.set_discovery_served(false);
  RawHost host;
  co_await host.open(world.env, world.address);
  const ConnectData data{host.host_id, kAnyController, std::string(kDiscoveryNqn), host.host_nqn};
  EXPECT_EQ((co_await host.connect({0, 0, 31, 0, 0}, data)).completion.status,
            status::kConnectParameter);
  EXPECT_TRUE((co_await host.connect_admin()).completion.status.ok());  // others are there
}
TEST(NvmeConnect, DiscoveryMayBeSwitchedOff) {
  in_simulation(without_discovery);
}

core::Task<void> reset_and_shutdown(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  co_await admin.submit(make_command(opcode::kAsyncEvent, 0x1F));
  co_await admin.set_property(property::kCc, 0x00460000);
  EXPECT_FALSE(co_await io.receive());
  co_await pause();
  EXPECT_EQ((co_await admin.get_property(property::kCsts)).completion.dword0, 0U);
  EXPECT_EQ((co_await admin.get_property(property::kCc)).completion.dword0, 0U);
  co_await admin.set_property(property::kCc, 0x00460001);
  // The event request was dropped with its id.
  co_await admin.submit(make_command(opcode::kAsyncEvent, 0x1F));
  RawHost again;
  co_await again.open_io(world.env, world.address, admin.controller);
  EXPECT_TRUE((co_await again.read(0, 1)).completion.status.ok());
  co_await admin.set_property(property::kCc, 0x00464001);
  EXPECT_FALSE(co_await again.receive());
  co_await pause();
  EXPECT_EQ((co_await admin.get_property(property::kCsts)).completion.dword0, 9U);
  RawHost late;  // one that is shut down takes no queues
  co_await late.open(world.env, world.address);
  const ConnectData data{kHostId, admin.controller, kNqn, kHostNqn};
  const auto refused = co_await late.connect({0, 1, 127, 0, 0}, data);
  EXPECT_EQ(refused.completion.status, status::kConnectParameter);
  EXPECT_EQ(refused.completion.dword0, 0x2AU);
  co_await admin.set_property(property::kCc, 0x00460000);
  co_await admin.set_property(property::kCc, 0x00460001);
  EXPECT_TRUE((co_await late.connect({0, 1, 127, 0, 0}, data)).completion.status.ok());
  RawHost odd, queue;  // shut down before it was enabled
  co_await odd.open(world.env, world.address);
  co_await odd.connect_admin();
  co_await odd.set_property(property::kCc, 0x00004000);
  EXPECT_EQ((co_await odd.get_property(property::kCsts)).completion.dword0, 8U);
  co_await odd.set_property(property::kCc, 0x00460001);
  EXPECT_EQ((co_await odd.get_property(property::kCsts)).completion.dword0, 1U);
  co_await queue.open_io(world.env, world.address, odd.controller);
  EXPECT_TRUE((co_await queue.read(0, 1)).completion.status.ok());
}
TEST(NvmeConnect, ResetAndShutdown) {
  in_simulation(reset_and_shutdown);
}

core::Task<void> held_reset(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  world.device->inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
  Command command = io.io(opcode::kRead, 0, 1);
  point(command, kSglTransport, kBlock);
  co_await io.submit(command);
  co_await pause();
  co_await admin.set_property(property::kCc, 0x00460000);
  EXPECT_EQ((co_await admin.get_property(property::kCsts)).completion.dword0, 1U);
  co_await pause(16 * kSecond);
  EXPECT_EQ((co_await admin.get_property(property::kCsts)).completion.dword0, 3U);  // fatal
  world.device->clear();
  world.device->resume_held();
  co_await pause();
  EXPECT_EQ((co_await admin.get_property(property::kCsts)).completion.dword0, 0U);
}
TEST(NvmeConnect, AResetWaitsForIoAndSaysWhenItDoesNotEnd) {
  in_simulation(held_reset);
}

core::Nanos now() {
  return core::Reactor::current()->read_clock();
}

core::Task<void> keep_alive(TargetWorld& world) {
  RawHost admin, io;
  co_await admin.open_admin(world.env, world.address, {0, 0, 31, 0, 1000});
  co_await io.open_io(world.env, world.address, admin.controller);
  EXPECT_EQ((co_await admin.feature(false, feature::kKeepAlive)).completion.dword0, 10'000U);
  for (unsigned i = 0; i < 4; ++i) {
    co_await pause(7 * kSecond);
    co_await io.read(0, 1);  // counts as a sign of life
  }
  const core::Nanos before = now();
  EXPECT_FALSE(co_await admin.receive());
  EXPECT_FALSE(co_await io.receive());
  EXPECT_GE(now() - before, 9 * kSecond);
  EXPECT_LE(now() - before, 11 * kSecond);
}
TEST(NvmeConnect, KeepAliveEndsTheAssociation) {
  in_simulation(keep_alive);
}

// A shutdown stops the timer, for as long as the controller is shut down.
core::Task<void> keep_alive_after_shutdown(TargetWorld& world) {
  RawHost admin;
  co_await admin.open_admin(world.env, world.address, {0, 0, 31, 0, 1000});
  co_await admin.set_property(property::kCc, 0x00464001);
  co_await pause(20 * kSecond);
  EXPECT_TRUE((co_await admin.feature(true, feature::kKeepAlive, 1000)).completion.status.ok());
  co_await pause(20 * kSecond);  // which has not started it
  EXPECT_EQ((co_await admin.get_property(property::kCsts)).completion.dword0, 9U);
  co_await admin.set_property(property::kCc, 0x00460000);
  co_await admin.set_property(property::kCc, 0x00460001);
  const core::Nanos before = now();
  EXPECT_FALSE(co_await admin.receive());
  EXPECT_NEAR(static_cast<double>(now() - before), 10e9, 1e9);
}
TEST(NvmeConnect, KeepAliveAfterAShutdownAndAReset) {
  in_simulation(keep_alive_after_shutdown);
}

TEST(NvmeConnect, KeepAliveIsRoundedUp) {
  const std::pair<std::uint32_t, std::uint32_t> cases[] = {
      {0, 0},           {1, 10'000},      {1000, 10'000},   {5000, 10'000},
      {10'000, 10'000}, {10'001, 20'000}, {15'000, 20'000}, {25'000, 30'000}};
  for (const auto& [asked, kept] : cases) {
    EXPECT_EQ(Controller::round_keep_alive(asked, false), kept);
  }
  EXPECT_EQ(Controller::round_keep_alive(0, true), 120'000U);
  EXPECT_EQ(Controller::round_keep_alive(UINT32_MAX, false), 4'294'960'000U);
}

core::Task<void> timers(TargetWorld& world) {
  RawHost silent, unconnected, disabled;
  co_await silent.dial(world.env, world.address);
  core::Nanos before = now();
  EXPECT_FALSE(co_await silent.receive());
  EXPECT_NEAR(static_cast<double>(now() - before), 30e9, 1e9);
  co_await unconnected.open(world.env, world.address);
  before = now();
  EXPECT_FALSE(co_await unconnected.receive());
  EXPECT_NEAR(static_cast<double>(now() - before), 120e9, 1e9);
  co_await disabled.open(world.env, world.address);
  co_await disabled.connect_admin();
  before = now();
  EXPECT_FALSE(co_await disabled.receive());
  EXPECT_NEAR(static_cast<double>(now() - before), 120e9, 1e9);
  EXPECT_EQ(world.target.connections(), 0U);
}
TEST(NvmeConnect, WhoDoesNotGoOnIsClosed) {
  in_simulation(timers);
}

core::Task<void> stalls(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  Command command = io.io(opcode::kWrite, 0, 8);
  point(command, kSglTransport, 4096);
  co_await io.submit(command);
  EXPECT_EQ((co_await io.receive())->common.type, PduType::kR2t);
  const core::Nanos before = now();
  EXPECT_FALSE(co_await io.receive());
  EXPECT_LE(now() - before, 121 * kSecond);
  RawHost mute;
  co_await mute.open_io(world.env, world.address, admin.controller);
  for (unsigned i = 0; i < 100; ++i) {
    Command read = mute.io(opcode::kRead, 0, 256);
    point(read, kSglTransport, limits::kIoBytes);
    co_await mute.submit(read);
  }
  co_await pause(125 * kSecond);
  EXPECT_EQ(world.target.connections(), 1U);
}
TEST(NvmeConnect, HostsThatStopAreClosed) {
  in_simulation(stalls);
}

core::Task<void> listeners(TargetWorld& world) {
  const auto second = world.target.listen(core::Address::tcp(world.address.host, 4421));
  EXPECT_TRUE(second);
  auto added = world.target.add({.nqn = "nqn.x:second", .ports = {{*second}}});
  EXPECT_TRUE(added);
  EXPECT_EQ(world.target.add({.nqn = "nqn.x:second"}).error().code, Code::kAlreadyExists);
  EXPECT_EQ(world.target.add({.nqn = "second"}).error().code, Code::kInvalidArgument);
  RawHost wrong, right;
  co_await wrong.open(world.env, world.address);
  const ConnectData data = changed(0xFFFF, "nqn.x:second", kHostNqn);
  EXPECT_EQ((co_await wrong.connect(kAdmin, data)).completion.status, status::kConnectHost);
  co_await right.open(world.env, world.target.address(*second));
  EXPECT_TRUE((co_await right.connect(kAdmin, data)).completion.status.ok());
  EXPECT_TRUE(co_await world.target.unlisten(*second));
  EXPECT_FALSE(co_await right.receive());
  EXPECT_FALSE(co_await world.target.unlisten(*second));
  EXPECT_TRUE((co_await wrong.connect_admin()).completion.status.ok());
}
TEST(NvmeConnect, ListenersComeAndGo) {
  in_simulation(listeners);
}

core::Task<void> lost(TargetWorld& world, std::uint64_t after) {
  static_cast<core::SimEnv&>(world.env).world().network().reset_next_connection_after(after);
  RawHost admin;
  co_await admin.dial(world.env, world.address);
  Bytes request(kIcBytes);
  store_ic_req(request.data(), {});
  co_await admin.send(request);
  Command command = make_command(opcode::kFabrics, 1);
  command.set(4, fabrics::kConnect);
  store_connect(command, kAdmin);
  Bytes data(kConnectDataBytes);
  store_connect_data(data.data(), kGood);
  point(command, kSglInCapsule, kConnectDataBytes);
  co_await admin.submit(command, data);
  co_await admin.submit(make_command(opcode::kKeepAlive, 2));
  co_await pause(kSecond);
  admin.hang_up();
  co_await pause(kSecond);
  EXPECT_EQ(world.target.connections(), 0U);
  EXPECT_TRUE(world.subsystem->controllers().empty());
}
TEST(NvmeConnect, AConnectionMayBreakAnywhere) {
  for (std::uint64_t after = 1; after < 1500; after += 37) {
    in_simulation([after](TargetWorld& world) { return lost(world, after); });
  }
}

}  // namespace
}  // namespace capstan::storage::nvme
