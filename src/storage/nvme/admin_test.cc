// Why this file exists: the admin commands: Identify, log pages, features, events, Abort, and the
// discovery service; nvme-tcp sections 8 to 10 and 12.
#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

template <class T>
T at(const Bytes& bytes, std::size_t offset) {
  return load_le<T>(bytes.data() + offset);
}
std::string text(const Bytes& bytes, std::size_t offset, std::size_t size) {
  std::string out(as_text(ByteView(bytes).subspan(offset, size)));
  return out.substr(0, out.find_last_not_of(std::string(" \0", 2)) + 1);
}

core::Task<void> identify_controller(TargetWorld& world) {
  RawHost host;
  co_await host.open_admin(world.env, world.address);
  const Bytes id = (co_await host.identify(1)).data;
  EXPECT_EQ(id.size(), kIdentifyBytes);
  EXPECT_EQ(text(id, 4, 20), "DCS0123456789ABCDEF0");
  EXPECT_EQ(text(id, 24, 40), "Mayastor NVMe controller");
  EXPECT_EQ(id[76], 3);
  EXPECT_EQ(id[77], 5);
  EXPECT_EQ(at<std::uint16_t>(id, 78), host.controller);
  EXPECT_EQ(at<std::uint32_t>(id, 80), 0x20000U);
  EXPECT_EQ(at<std::uint32_t>(id, 92), 0x100U);
  EXPECT_EQ(id[111], 1);
  EXPECT_EQ(at<std::uint16_t>(id, 320), 100);
  EXPECT_EQ(id[512], 0x66);
  EXPECT_EQ(id[513], 0x44);
  EXPECT_EQ(at<std::uint16_t>(id, 514), 128);
  EXPECT_EQ(at<std::uint32_t>(id, 516), limits::kNamespaces);
  EXPECT_EQ(at<std::uint16_t>(id, 520), 0x2D);
  EXPECT_EQ(id[525], 5);
  EXPECT_EQ(at<std::uint32_t>(id, 536), 0x00100001U);
  EXPECT_EQ(at<std::uint32_t>(id, 540), limits::kNamespaces);
  EXPECT_EQ(text(id, 768, 256), kNqn);
  EXPECT_EQ(at<std::uint32_t>(id, 1792), 516U);
  EXPECT_EQ(at<std::uint32_t>(id, 1796), 1U);
  EXPECT_EQ(at<std::uint16_t>(id, 1800), 0);
  EXPECT_EQ(id[1803], 1);
  const auto small = co_await host.fetch(opcode::kIdentify, 0, 4092, 1);
  EXPECT_EQ(small.completion.status, status::kInvalidField);
  EXPECT_EQ((co_await host.fetch(opcode::kIdentify, 0, 8192, 1)).data, id);
}
TEST(NvmeAdmin, IdentifyController) {
  in_simulation(identify_controller);
}

core::Task<void> identify_namespaces(TargetWorld& world) {
  RawHost host;
  co_await host.open_admin(world.env, world.address);
  const auto big = std::make_shared<MemoryDevice>("m3", Uuid::from_name("m3"), 4096, 77);
  EXPECT_TRUE(world.subsystem->add_namespace(big, 3));
  EXPECT_EQ(world.subsystem->add_namespace(big, 3).error().code, Code::kAlreadyExists);
  EXPECT_EQ(world.subsystem->add_namespace(big, 33).error().code, Code::kOutOfRange);
  const Bytes one = (co_await host.identify(0, 1)).data;
  EXPECT_EQ(at<std::uint64_t>(one, 0), kBlocks);
  EXPECT_EQ(at<std::uint64_t>(one, 8), kBlocks);
  EXPECT_EQ(one[30], 1);
  EXPECT_EQ(one[33], 8);
  EXPECT_EQ(at<std::uint32_t>(one, 128), 0x00090000U);
  const auto uuid = world.device->uuid().bytes;
  EXPECT_TRUE(std::equal(uuid.begin(), uuid.end(), one.begin() + 104));
  const Bytes three = (co_await host.identify(0, 3)).data;
  EXPECT_EQ(at<std::uint64_t>(three, 0), 77U);
  EXPECT_EQ(at<std::uint32_t>(three, 128), 0x000C0000U);
  EXPECT_TRUE(all_zero((co_await host.identify(0, 2)).data));
  for (const std::uint32_t bad : {0U, 33U, kBroadcastNamespace}) {
    for (const std::uint8_t structure : {std::uint8_t{0}, std::uint8_t{3}, std::uint8_t{8}}) {
      EXPECT_EQ((co_await host.identify(structure, bad)).completion.status,
                status::kInvalidNamespace);
    }
  }
  for (const std::uint8_t list : {std::uint8_t{2}, std::uint8_t{7}}) {
    const Bytes active = (co_await host.identify(list, 0)).data;
    EXPECT_EQ(at<std::uint64_t>(active, 0), 0x0000000300000001U);
    EXPECT_EQ(at<std::uint64_t>(active, 8), 0U);
    EXPECT_EQ(at<std::uint64_t>((co_await host.identify(list, 1)).data, 0), 3U);
    EXPECT_TRUE(all_zero((co_await host.identify(list, 3)).data));
    EXPECT_EQ((co_await host.identify(list, 0xFFFFFFFE)).completion.status,
              status::kInvalidNamespace);
  }
  const Bytes names = (co_await host.identify(3, 3)).data;
  Bytes wanted = {2, 16, 0, 0};
  const auto third = big->uuid().bytes;
  wanted.insert(wanted.end(), third.begin(), third.end());
  wanted.insert(wanted.end(), {3, 16, 0, 0});
  wanted.insert(wanted.end(), third.begin(), third.end());
  wanted.resize(kIdentifyBytes);
  EXPECT_EQ(names, wanted);
  EXPECT_EQ((co_await host.identify(3, 2)).completion.status, status::kInvalidField);
  EXPECT_TRUE(all_zero((co_await host.identify(5, 1)).data));
  const Bytes limits_page = (co_await host.identify(6)).data;
  EXPECT_EQ(Bytes(limits_page.begin(), limits_page.begin() + 16),
            (Bytes{0, 12, 0, 16, 0, 0, 32, 0, 0, 0, 0, 2, 0, 0, 0, 0}));
  EXPECT_EQ((co_await host.identify(8, 1)).data[14], 1);
  for (const std::uint8_t structure : {std::uint8_t{4}, std::uint8_t{0x1C}, std::uint8_t{0xFF}}) {
    EXPECT_EQ((co_await host.identify(structure, 1)).completion.status, status::kInvalidField);
  }
}
TEST(NvmeAdmin, IdentifyNamespaces) {
  in_simulation(identify_namespaces);
}

core::Task<void> logs(TargetWorld& world) {
  RawHost host, io;
  co_await open_both(world, host, io);
  const Bytes supported = (co_await host.log(log_page::kSupported, 1024)).data;
  for (unsigned id = 0; id < 256; ++id) {
    const bool there = at<std::uint32_t>(supported, id * 4) == 1;
    const auto answer = co_await host.log(static_cast<std::uint8_t>(id), 64);
    EXPECT_EQ(answer.completion.status, there ? status::kSuccess : status::kInvalidLogPage) << id;
  }
  co_await io.read(0, 8);
  const Bytes health = (co_await host.log(log_page::kHealth, 512)).data;
  EXPECT_EQ(at<std::uint16_t>(health, 1), 310);
  EXPECT_EQ(at<std::uint64_t>(health, 32), 1U);
  EXPECT_EQ(at<std::uint64_t>(health, 64), 1U);
  EXPECT_EQ(at<std::uint64_t>(health, 80), 0U);
  const Bytes effects = (co_await host.log(log_page::kEffects, 4096)).data;
  EXPECT_EQ(at<std::uint32_t>(effects, 1024 + 4), 0x00100003U);
  EXPECT_EQ(at<std::uint32_t>(effects, 4 * 6), 0x00300001U);
  EXPECT_EQ((co_await host.log(log_page::kFirmware, 512)).data[0], 1);
  // Beyond the end are zeros; parts fit together.
  EXPECT_TRUE(all_zero((co_await host.log(log_page::kHealth, 64, 4096)).data));
  const Bytes part = (co_await host.log(log_page::kEffects, 64, 1024)).data;
  EXPECT_TRUE(std::equal(part.begin(), part.end(), effects.begin() + 1024));
  EXPECT_EQ((co_await host.log(log_page::kHealth, 64, 2)).completion.status, status::kInvalidField);
  EXPECT_EQ((co_await host.fetch(opcode::kGetLogPage, 0, 64, 2 | 16U << 16)).completion.status,
            status::kInvalidField);
  EXPECT_EQ((co_await host.fetch(opcode::kGetLogPage, 1, 64, 2 | 15U << 16)).completion.status,
            status::kInvalidField);
}
TEST(NvmeAdmin, LogPages) {
  in_simulation(logs);
}

core::Task<void> features(TargetWorld& world) {
  RawHost host;
  co_await host.open_admin(world.env, world.address);
  const auto set = [](RawHost& on, std::uint8_t id, std::uint32_t value,
                      Status wanted) -> core::Task<void> {
    EXPECT_EQ((co_await on.feature(true, id, value)).completion.status, wanted) << unsigned{id};
  };
  using feature::kArbitration, feature::kAsyncEvents, feature::kInterruptCoalescing,
      feature::kInterruptVector, feature::kKeepAlive, feature::kPower, feature::kQueues,
      feature::kWriteCache;
  EXPECT_EQ((co_await host.feature(false, kQueues)).completion.dword0, 0x003F003FU);
  EXPECT_EQ((co_await host.feature(true, kQueues, 0x00010001)).completion.dword0, 0x00010001U);
  EXPECT_EQ((co_await host.feature(false, kQueues)).completion.dword0, 0x00010001U);
  EXPECT_EQ((co_await host.feature(true, kQueues, 0x03FF03FF)).completion.dword0, 0x003F003FU);
  co_await set(host, kQueues, 0xFFFF0001, status::kInvalidField);
  co_await set(host, kQueues, 0x0001FFFF, status::kInvalidField);
  co_await set(host, kPower, 0, status::kSuccess);
  co_await set(host, kPower, 1, status::kInvalidField);
  co_await set(host, kWriteCache, 1, status::kSuccess);
  co_await set(host, kWriteCache, 0, status::kFeatureNotChangeable);
  EXPECT_EQ((co_await host.feature(false, kWriteCache)).completion.dword0, 1U);
  co_await set(host, kInterruptCoalescing, 0, status::kFeatureNotChangeable);
  co_await set(host, kInterruptVector, 0, status::kInvalidField);
  co_await set(host, kArbitration, 0x1234, status::kSuccess);
  EXPECT_EQ((co_await host.feature(false, kArbitration)).completion.dword0, 0x1234U);
  co_await set(host, kAsyncEvents, 0xFFFFFFFF, status::kSuccess);
  EXPECT_EQ((co_await host.feature(false, kAsyncEvents)).completion.dword0, 0x100U);
  co_await set(host, kKeepAlive, 0, status::kKeepAliveInvalid);
  co_await set(host, kKeepAlive, 10'001, status::kSuccess);
  EXPECT_EQ((co_await host.feature(false, kKeepAlive)).completion.dword0, 20'000U);
  co_await set(host, feature::kHostId, 0, status::kFeatureSequence);  // with DNR
  co_await set(host, 0x03, 0, status::kInvalidField);
  EXPECT_EQ((co_await host.feature(false, 0x7F)).completion.status, status::kInvalidField);
  Command save = make_command(opcode::kSetFeatures, 1);
  save.set(40, 1U << 31 | kArbitration);
  EXPECT_EQ((co_await host.call(save)).completion.status, status::kFeatureNotSaveable);
  const auto id = co_await host.fetch(opcode::kGetFeatures, 0, 16, feature::kHostId, 1);
  EXPECT_TRUE(std::equal(kHostId.begin(), kHostId.end(), id.data.begin()));
  EXPECT_EQ(
      (co_await host.fetch(opcode::kGetFeatures, 0, 16, feature::kHostId, 0)).completion.status,
      status::kInvalidField);
}
TEST(NvmeAdmin, Features) {
  in_simulation(features);
}

core::Task<void> retry_delays(TargetWorld& world) {
  auto added = world.target.add({.nqn = "nqn.x:slow", .retry_delays = {1, 2, 3}, .error_delay = 3});
  (*added)->add_namespace(world.device).value();
  RawHost host;
  co_await host.open(world.env, world.address);
  const auto connected =
      co_await host.connect({0, 0, 31, 0, 0}, {kHostId, kAnyController, "nqn.x:slow", kHostNqn});
  const auto id = static_cast<std::uint16_t>(connected.completion.dword0);
  co_await host.set_property(property::kCc, 0x00460001);
  EXPECT_EQ(at<std::uint32_t>((co_await host.identify(1)).data, 128), 0x00020001U);
  RawHost io;
  co_await io.open(world.env, world.address);
  co_await io.connect({0, 1, 127, 0, 0}, {kHostId, id, "nqn.x:slow", kHostNqn});
  world.device->inject({.kinds = {IoKind::kRead}});
  EXPECT_EQ((co_await io.read(0, 1)).completion.status.retry_delay, 0);
  Bytes behavior(512);
  behavior[0] = 1;
  Command command = make_command(opcode::kSetFeatures, 8);
  command.set<std::uint32_t>(40, feature::kHostBehavior);
  EXPECT_TRUE((co_await host.call(command, behavior)).completion.status.ok());
  point(command, kSglTransport, 512);
  co_await host.submit(command);
  EXPECT_TRUE((co_await host.finish(behavior)).completion.status.ok());
  EXPECT_EQ((co_await host.fetch(opcode::kGetFeatures, 0, 512, feature::kHostBehavior)).data,
            behavior);
  const auto late = co_await io.read(0, 1);
  EXPECT_EQ(late.completion.status, (Status{2, 0x81, false, 3}));
  EXPECT_EQ((co_await io.read(kBlocks, 1)).completion.status.retry_delay, 0);
  EXPECT_EQ((co_await io.read(0, 1)).completion.status.retry_delay, 3);
  behavior[0] = 2;
  EXPECT_EQ((co_await host.call(command, behavior)).completion.status, status::kInvalidField);
}
TEST(NvmeAdmin, ErrorsCarryADelayWhenTheHostWantsIt) {
  in_simulation(retry_delays);
}

core::Task<void> events(TargetWorld& world) {
  RawHost host;
  co_await host.open_admin(world.env, world.address);
  world.subsystem->namespace_resized(1);  // before the host wants to know
  co_await host.feature(true, feature::kAsyncEvents, 0x100);
  for (std::uint16_t i = 0; i < 4; ++i) {
    co_await host.submit(make_command(opcode::kAsyncEvent, static_cast<std::uint16_t>(0x100 + i)));
  }
  const auto fifth = co_await host.call(make_command(opcode::kAsyncEvent, 0x104));
  // The resize was remembered and answers the first.
  EXPECT_EQ(fifth.completion.command, 0x100);
  EXPECT_EQ(fifth.completion.dword0, 0x00040002U);
  // Four are held again, so nothing is refused; until the page is read nothing further comes.
  world.subsystem->namespace_resized(1);
  EXPECT_EQ((co_await host.call(make_command(opcode::kAsyncEvent, 0x105))).completion.status,
            status::kAsyncEventLimit);
  EXPECT_EQ(at<std::uint64_t>((co_await host.log(4, 4096, 0, true)).data, 0), 1U);
  EXPECT_EQ(at<std::uint64_t>((co_await host.log(4, 4096)).data, 0), 1U);
  EXPECT_TRUE(all_zero((co_await host.log(4, 4096)).data));
  EXPECT_TRUE(world.subsystem->remove_namespace(1));
  const auto next = co_await host.finish();
  EXPECT_EQ(next.completion.command, 0x101);  // the oldest
  EXPECT_EQ(next.completion.dword0, 0x00040002U);
  // Abort one; the answers come in either order.
  Command abort = make_command(opcode::kAbort, 0x200);
  abort.set<std::uint32_t>(40, 0x103U << 16);
  co_await host.submit(abort);
  for (unsigned i = 0; i < 2; ++i) {
    const auto answer = co_await host.finish();
    if (answer.completion.command == 0x103) {
      EXPECT_EQ(answer.completion.status, status::kAborted);
    } else {
      EXPECT_EQ(answer.completion.dword0, 0U);
    }
  }
}
TEST(NvmeAdmin, EventsAreToldInOrderAndOnceUntilTheirPageIsRead) {
  in_simulation(events);
}

core::Task<void> unknown_commands(TargetWorld& world) {
  RawHost host;
  co_await host.open_admin(world.env, world.address);
  for (const unsigned code : {0x00U, 0x01U, 0x04U, 0x05U, 0x0DU, 0x10U, 0x11U, 0x15U, 0x19U, 0x1AU,
                              0x1DU, 0x1EU, 0x7CU, 0x80U, 0x84U, 0xC1U, 0xFFU}) {
    Command command = make_command(static_cast<std::uint8_t>(code), 3);
    if ((code & 3) == 1) point(command, kSglTransport, 4096);
    EXPECT_EQ((co_await host.call(command)).completion.status, status::kInvalidOpcode) << code;
  }
  for (const std::uint32_t type : {2U, 5U, 6U, 8U}) {
    Command command = make_command(opcode::kFabrics, 3);
    command.set(4, type);
    EXPECT_EQ((co_await host.call(command)).completion.status, status::kInvalidOpcode) << type;
  }
}
TEST(NvmeAdmin, UnknownCommands) {
  in_simulation(unknown_commands);
}

core::Task<Answer> read_discovery(RawHost& host, std::size_t records) {
  return host.log(log_page::kDiscovery,
                  static_cast<std::uint32_t>(kDiscoveryRecordBytes * (1 + records)));
}
core::Task<void> open_discovery(TargetWorld& world, RawHost& host) {
  co_await host.open(world.env, world.address);
  const auto connected = co_await host.connect(
      {0, 0, 31, 0, 0}, {kHostId, kAnyController, std::string(kDiscoveryNqn), kHostNqn});
  EXPECT_TRUE(connected.completion.status.ok());
  co_await host.set_property(property::kCc, 0x00460001);
}
core::Task<void> discovery(TargetWorld& world) {
  const auto hidden = world.target.add({.nqn = "nqn.x:hidden", .any_host = false});
  RawHost host;
  co_await open_discovery(world, host);
  const Bytes id = (co_await host.identify(1)).data;
  EXPECT_EQ(id[111], 2);
  EXPECT_EQ(at<std::uint32_t>(id, 92), 1U << 31);
  EXPECT_EQ(text(id, 768, 256), kDiscoveryNqn);
  EXPECT_EQ((co_await host.identify(2)).completion.status, status::kInvalidField);
  EXPECT_EQ((co_await host.feature(false, feature::kKeepAlive)).completion.dword0, 120'000U);
  EXPECT_EQ((co_await host.feature(false, feature::kQueues)).completion.status,
            status::kInvalidField);
  const Bytes page = (co_await read_discovery(host, 2)).data;
  EXPECT_EQ(at<std::uint64_t>(page, 8), 2U);
  const auto generation = at<std::uint64_t>(page, 0);
  const auto records = load_discovery_records(page);
  EXPECT_EQ(records.size(), 2U);
  EXPECT_TRUE(records[0].discovery);
  EXPECT_EQ(records[1].subsystem, kNqn);
  EXPECT_EQ(records[1].host, world.address.host);
  EXPECT_EQ(records[1].service, world.address.port);
  for (const std::uint32_t step : {4U, 1024U}) {  // in parts of any size
    Bytes parts;
    while (parts.size() < 64 + step) {
      const Bytes part = (co_await host.log(log_page::kDiscovery, step, parts.size())).data;
      parts.insert(parts.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(std::equal(parts.begin(), parts.end(), page.begin()));
  }
  EXPECT_EQ((co_await host.log(log_page::kDiscovery, 4, page.size())).completion.status,
            status::kInvalidField);
  EXPECT_EQ((co_await host.log(log_page::kHealth, 512)).completion.status, status::kInvalidLogPage);
  co_await host.feature(true, feature::kAsyncEvents, 1U << 31);
  co_await host.submit(make_command(opcode::kAsyncEvent, 0x1F));
  EXPECT_TRUE((*hidden)->allow_host(kHostNqn));
  EXPECT_EQ((co_await host.finish()).completion.dword0, 0x0070F002U);
  const Bytes more = (co_await read_discovery(host, 3)).data;
  EXPECT_EQ(at<std::uint64_t>(more, 8), 3U);
  EXPECT_GT(at<std::uint64_t>(more, 0), generation);
  // A read that is refused does not count: only what is read is told again when it changes.
  EXPECT_TRUE((*hidden)->forbid_host(kHostNqn));
  const auto told = co_await host.call(make_command(opcode::kAsyncEvent, 0x1000));
  EXPECT_EQ(told.completion.dword0, 0x0070F002U);
  co_await host.submit(make_command(opcode::kAsyncEvent, 0x1001));
  EXPECT_TRUE((*hidden)->allow_host(kHostNqn));
  EXPECT_EQ((co_await host.log(log_page::kDiscovery, 4, std::uint64_t{1} << 32)).completion.status,
            status::kInvalidField);
  EXPECT_EQ((co_await host.log(log_page::kDiscovery, 4)).completion.command, 0x1001);
}
TEST(NvmeAdmin, Discovery) {
  in_simulation(discovery);
  for_real(discovery);
}

core::Task<void> wait_for_changes(TargetWorld* world, std::string address, RawHost* host) {
  co_await world->start(std::move(address), 8420);
  co_await open_discovery(*world, *host);
  co_await read_discovery(*host, 2);
  co_await host->feature(true, feature::kAsyncEvents, 1U << 31);
  co_await host->submit(make_command(opcode::kAsyncEvent, 0x1F));
  co_await pause();
}
core::Task<void> hear(TargetWorld* world, RawHost* host) {
  EXPECT_EQ((co_await host->finish()).completion.dword0, 0x0070F002U);
  host->hang_up();
  co_await world->target.shutdown();
}
// Who prepares a target before its core runs must not have to know whether hosts wait already.
TEST(NvmeAdmin, ChangesOutsideOfATaskAreToldInOne) {
  core::SimWorld sim(1);
  core::SimEnv node(sim), hosts(sim);
  TargetWorld world(node, hosts);
  RawHost host;
  sim.run(wait_for_changes(&world, node.address(), &host));
  EXPECT_TRUE(world.target.add({.nqn = kNqn + "-more", .serial = "S"}));
  sim.run(hear(&world, &host));
}

}  // namespace
}  // namespace capstan::storage::nvme
