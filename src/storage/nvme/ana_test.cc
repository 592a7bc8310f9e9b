// Why this file exists: ANA: states by listener and group, the log page, events, and what I/O is
// answered over a path that cannot be used.
#include "storage/nvme/ana.h"

#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

TEST(AnaStates, TheLastSettingThatAppliesCounts) {
  AnaStates states;
  EXPECT_EQ(states.state(1, 1), AnaState::kOptimized);
  EXPECT_EQ(states.changes(1, 1), 0U);
  states.set(1, 2, AnaState::kInaccessible);
  EXPECT_EQ(states.state(1, 1), AnaState::kOptimized);
  EXPECT_EQ(states.state(1, 2), AnaState::kInaccessible);
  EXPECT_EQ(states.state(2, 2), AnaState::kOptimized);
  EXPECT_EQ(states.changes(1, 2), 1U);
  states.set(std::nullopt, 2, AnaState::kNonOptimized);
  EXPECT_EQ(states.state(1, 2), AnaState::kNonOptimized);
  EXPECT_EQ(states.state(2, 2), AnaState::kNonOptimized);
  states.set(2, std::nullopt, AnaState::kChange);
  EXPECT_EQ(states.state(2, 2), AnaState::kChange);
  EXPECT_EQ(states.state(2, 7), AnaState::kChange);
  EXPECT_EQ(states.state(1, 2), AnaState::kNonOptimized);
  states.forget(2);
  EXPECT_EQ(states.state(2, 7), AnaState::kOptimized);
  states.set(std::nullopt, std::nullopt, AnaState::kPersistentLoss);
  EXPECT_EQ(states.state(9, 9), AnaState::kPersistentLoss);
  EXPECT_EQ(states.changes(9, 9), 4U);
  EXPECT_EQ(states.all_changes(), 4U);
}

TEST(AnaLog, TheExampleOfTheSpecification) {
  const std::vector<AnaGroup> groups = {{1, AnaState::kOptimized, 0, {1}},
                                        {3, AnaState::kOptimized, 0, {3}}};
  const auto page = store_ana_log(0, groups, false);
  Bytes expected(16 + 36 + 36);
  expected[8] = 2;
  for (const std::size_t at : {16U, 52U}) {
    expected[at] = expected[at + 32] = at == 16 ? 1 : 3;
    expected[at + 4] = 1;
    expected[at + 16] = 1;
  }
  EXPECT_EQ(page, expected);
  const auto read = load_ana_log(page);
  ASSERT_TRUE(read && read->size() == 2);
  EXPECT_EQ((*read)[1].id, 3U);
  EXPECT_EQ((*read)[1].namespaces, std::vector<std::uint32_t>{3});
  for (std::size_t size = 0; size < page.size(); ++size) {
    EXPECT_FALSE(load_ana_log(ByteView(page).first(size))) << size;
  }
  EXPECT_EQ(store_ana_log(0, groups, true).size(), 80U);
}

TEST(AnaLog, NamesOfStates) {
  for (const auto state : {AnaState::kOptimized, AnaState::kNonOptimized, AnaState::kInaccessible,
                           AnaState::kPersistentLoss, AnaState::kChange}) {
    EXPECT_EQ(parse_ana_state(ana_state_name(state)), state);
  }
  EXPECT_FALSE(parse_ana_state("best"));
}

// The world's subsystem anew, with ANA and two listeners.
struct Paths {
  explicit Paths(TargetWorld& of) : world(of) {}
  core::Task<void> open() {
    EXPECT_TRUE(co_await world.target.remove(kNqn));
    const auto listening = world.target.listen(core::Address::tcp(world.address.host, 4421));
    EXPECT_TRUE(listening);
    second = *listening;
    auto added = world.target.add({.nqn = kNqn, .ana = true});
    EXPECT_TRUE(added);
    world.subsystem = *added;
    EXPECT_TRUE(world.subsystem->add_namespace(world.device));
  }
  TargetWorld& world;
  std::uint16_t second = 0;
};

core::Task<void> states_over_the_wire(TargetWorld& world) {
  Paths paths(world);
  co_await paths.open();
  RawHost admin, io, other_admin, other_io;
  co_await open_both(world, admin, io);
  const auto there = world.target.address(paths.second);
  co_await other_admin.open_admin(world.env, there);
  co_await other_io.open_io(world.env, there, other_admin.controller);
  const Bytes id = (co_await admin.identify(1)).data;
  EXPECT_EQ(id[76], 0x0B);
  EXPECT_EQ(load_le<std::uint32_t>(id.data() + 92), 0x900U);
  EXPECT_EQ(id[342], 10);
  EXPECT_EQ(id[343], 0x1F);
  EXPECT_EQ(load_le<std::uint32_t>(id.data() + 344), limits::kNamespaces);
  EXPECT_EQ(load_le<std::uint32_t>(id.data() + 348), limits::kNamespaces);
  EXPECT_EQ(load_le<std::uint32_t>((co_await admin.identify(0, 1)).data.data() + 92), 1U);
  EXPECT_TRUE(
      (co_await admin.feature(true, feature::kAsyncEvents, 0xFFFFFFFF)).completion.status.ok());
  EXPECT_EQ((co_await admin.feature(false, feature::kAsyncEvents)).completion.dword0, 0x900U);
  co_await admin.submit(make_command(opcode::kAsyncEvent, 0x1F));
  world.subsystem->set_ana_state(world.port, std::nullopt, AnaState::kInaccessible);
  EXPECT_EQ((co_await admin.finish()).completion.dword0, 0x000C0302U);
  EXPECT_EQ((co_await io.read(0, 1)).completion.status, status::kAnaInaccessible);
  EXPECT_EQ((co_await io.call(io.io(opcode::kFlush, 0, 1))).completion.status,
            status::kAnaInaccessible);
  EXPECT_EQ((co_await io.call(io.io(opcode::kReservationReport, 0, 1))).completion.status,
            status::kAnaInaccessible);
  EXPECT_TRUE((co_await other_io.read(0, 1)).completion.status.ok());
  const auto log = load_ana_log((co_await admin.log(log_page::kAna, 52)).data);
  EXPECT_TRUE(log && log->size() == 1);
  EXPECT_EQ(log->at(0).state, AnaState::kInaccessible);
  EXPECT_EQ(log->at(0).namespaces, std::vector<std::uint32_t>{1});
  const auto other_log = load_ana_log((co_await other_admin.log(log_page::kAna, 52)).data);
  EXPECT_EQ(other_log->at(0).state, AnaState::kOptimized);
  world.subsystem->set_ana_state(world.port, 1, AnaState::kPersistentLoss);
  EXPECT_EQ((co_await io.read(0, 1)).completion.status, status::kAnaPersistentLoss);
  world.subsystem->set_ana_state(std::nullopt, 1, AnaState::kChange);
  EXPECT_EQ((co_await io.read(0, 1)).completion.status, status::kAnaTransition);
  EXPECT_EQ((co_await other_io.read(0, 1)).completion.status, status::kAnaTransition);
  world.subsystem->set_ana_state(std::nullopt, std::nullopt, AnaState::kNonOptimized);
  EXPECT_TRUE((co_await io.read(0, 1)).completion.status.ok());
}
TEST(NvmeAna, StatesByListener) {
  in_simulation(states_over_the_wire);
}

core::Task<void> events_merge(TargetWorld& world) {
  Paths paths(world);
  co_await paths.open();
  RawHost admin;
  co_await admin.open_admin(world.env, world.address);
  EXPECT_TRUE(
      (co_await admin.feature(true, feature::kAsyncEvents, 1U << 11)).completion.status.ok());
  co_await admin.submit(make_command(opcode::kAsyncEvent, 0x1F));
  world.subsystem->set_ana_state(paths.second, std::nullopt, AnaState::kChange);  // not this path
  world.subsystem->set_ana_state(world.port, std::nullopt, AnaState::kChange);
  EXPECT_EQ((co_await admin.finish()).completion.dword0, 0x000C0302U);
  co_await admin.submit(make_command(opcode::kAsyncEvent, 0x1E));
  world.subsystem->set_ana_state(world.port, std::nullopt, AnaState::kOptimized);
  // Nothing more is told until the page has been read.
  const auto log = load_ana_log((co_await admin.log(log_page::kAna, 52, 0, true)).data);
  EXPECT_EQ(log->at(0).state, AnaState::kOptimized);
  EXPECT_EQ((co_await admin.log(log_page::kAna, 52)).data.size(), 52U);
  world.subsystem->set_ana_state(world.port, std::nullopt, AnaState::kNonOptimized);
  EXPECT_EQ((co_await admin.finish()).completion.command, 0x1E);
  // Beyond the end, and without ids of namespaces.
  EXPECT_EQ((co_await admin.log(log_page::kAna, 4, 52)).completion.status, status::kInvalidField);
  const auto brief =
      (co_await admin.fetch(opcode::kGetLogPage, 0, 48, log_page::kAna | 1U << 8 | 11U << 16)).data;
  EXPECT_EQ(load_le<std::uint32_t>(brief.data() + 20), 0U);
}
TEST(NvmeAna, EventsMergeUntilThePageIsRead) {
  in_simulation(events_merge);
}

core::Task<void> refused_page(TargetWorld& world) {
  Paths paths(world);
  co_await paths.open();
  RawHost admin;
  co_await admin.open_admin(world.env, world.address);
  co_await admin.feature(true, feature::kAsyncEvents, 0x900);
  world.subsystem->set_ana_state(world.port, std::nullopt, AnaState::kChange);
  EXPECT_EQ((co_await admin.log(log_page::kAna, 4, 4096)).completion.status, status::kInvalidField);
  EXPECT_EQ((co_await admin.call(make_command(opcode::kAsyncEvent, 0x1F))).completion.dword0,
            0x000C0302U);
}
TEST(NvmeAna, AReadThatIsRefusedLeavesTheEventToTell) {
  in_simulation(refused_page);
}

core::Task<void> one_path(TargetWorld& world) {
  Paths paths(world);
  co_await paths.open();
  RawHost admin, strayed;
  co_await admin.open_admin(world.env, world.address);
  co_await strayed.open(world.env, world.target.address(paths.second));
  const auto answer =
      co_await strayed.connect({0, 1, 127, 0, 0}, {kHostId, admin.controller, kNqn, kHostNqn});
  EXPECT_EQ(answer.completion.status, status::kConnectParameter);
  EXPECT_EQ(answer.completion.dword0, 0x2AU);
  EXPECT_FALSE(world.subsystem->set_ana_group(1, 33));
  EXPECT_FALSE(world.subsystem->set_ana_group(2, 1));
  EXPECT_TRUE(world.subsystem->set_ana_group(1, 5));
  const auto log = load_ana_log((co_await admin.log(log_page::kAna, 52)).data);
  EXPECT_EQ(log->at(0).id, 5U);
}
TEST(NvmeAna, AControllerIsOnOnePath) {
  in_simulation(one_path);
}

core::Task<void> switched_off(TargetWorld& world) {
  RawHost admin, io;
  co_await open_both(world, admin, io);
  world.subsystem->set_ana_state(std::nullopt, std::nullopt, AnaState::kInaccessible);
  EXPECT_EQ((co_await admin.log(log_page::kAna, 52)).completion.status, status::kInvalidLogPage);
  EXPECT_TRUE((co_await io.read(0, 1)).completion.status.ok());
}
TEST(NvmeAna, ASubsystemWithoutIt) {
  in_simulation(switched_off);
}

}  // namespace
}  // namespace capstan::storage::nvme
