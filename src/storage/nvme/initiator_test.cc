// Why this file exists: the initiator against our target: data of every size and way, several
// queues, what a device can do, refusals, discovery, events, reservations, and the way back after a
// loss; in simulation and on real sockets.
#include "storage/nvme/initiator.h"

#include <gtest/gtest.h>

#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

void expect_ok(const Result<void>& result) {
  EXPECT_TRUE(result) << result.error().text();
}

core::Task<void> sizes(TargetWorld& world, HostOptions options) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(options));
  if (!host.device) co_return;
  RemoteDevice& device = *host.device;
  EXPECT_EQ(device.block_size(), kBlock);
  EXPECT_EQ(device.num_blocks(), kBlocks);
  EXPECT_EQ(device.uuid(), world.memory->uuid());
  EXPECT_TRUE(device.supports_unmap());
  for (const std::uint32_t blocks : {1U, 8U, 16U, 17U, 33U, 255U, 256U, 257U, 1000U, 5000U}) {
    const Bytes data = pattern(blocks * kBlock, static_cast<std::uint8_t>(blocks));
    const std::uint64_t at = blocks * 2ULL * kBlock;
    expect_ok(co_await device.write(at, data));
    Bytes there(data.size()), read(data.size());
    expect_ok(co_await world.memory->read(at, there));
    EXPECT_TRUE(there == data) << blocks;
    expect_ok(co_await device.read(at, read));
    EXPECT_TRUE(read == data) << blocks;
    expect_ok(co_await device.compare(at, data));
  }
  expect_ok(co_await device.flush());
  EXPECT_EQ(world.device->operations(IoKind::kFlush), 1U);
  EXPECT_EQ(device.stats().read.ops, 10U);
  co_await host.close();
}
core::Task<void> plain(TargetWorld& world) {
  return sizes(world, host_options(world.address));
}
core::Task<void> with_digests(TargetWorld& world) {
  HostOptions options = host_options(world.address);
  options.digests = {true, true};
  options.io_queues = 3;
  return sizes(world, options);
}
core::Task<void> without_flow_control(TargetWorld& world) {
  HostOptions options = host_options(world.address);
  options.flow_control = false;
  options.digests = {false, true};
  options.queue_entries = 4;
  return sizes(world, options);
}
TEST(Initiator, DataOfEverySizeInSimulation) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    in_simulation(plain, seed);
    in_simulation(with_digests, seed);
    in_simulation(without_flow_control, seed);
  }
}
TEST(Initiator, DataOfEverySizeOnRealSockets) {
  for_real(plain);
  for_real(with_digests);
  for_real(without_flow_control);
}

core::Task<void> one_of_many(RemoteDevice* device, unsigned number, unsigned* wrong) {
  for (unsigned round = 0; round < 20; ++round) {
    const Bytes data = pattern(4096, static_cast<std::uint8_t>(number * 31 + round));
    const std::uint64_t at = number * 4096ULL;
    if (!co_await device->write(at, data)) ++*wrong;
    Bytes read(4096);
    if (!co_await device->read(at, read) || read != data) ++*wrong;
  }
}
core::Task<void> many_at_once(TargetWorld& world) {
  HostOptions options = host_options(world.address);
  options.queue_entries = 8;  // fewer than there are requests
  options.io_queues = 2;
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(options));
  EXPECT_EQ(host.controller().io_queues(), 2U);
  unsigned wrong = 0;
  core::Scope workers;
  for (unsigned i = 0; i < 64; ++i) workers.spawn(one_of_many(host.device.get(), i, &wrong));
  co_await workers.join();
  EXPECT_EQ(wrong, 0U);
  co_await host.close();
}
TEST(Initiator, ManyAtOnce) {
  in_simulation(many_at_once);
  for_real(many_at_once);
}

core::Task<void> other_commands(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  RemoteDevice& device = *host.device;
  const Bytes data = pattern(64 * kBlock, 5), zeros(64 * kBlock);
  Bytes read(64 * kBlock);
  expect_ok(co_await device.write(0, data));
  expect_ok(co_await device.write_zeroes(8 * kBlock, 8 * kBlock));
  expect_ok(co_await device.read(0, read));
  EXPECT_TRUE(std::equal(read.begin() + 8 * kBlock, read.begin() + 16 * kBlock, zeros.begin()));
  EXPECT_TRUE(std::equal(read.begin(), read.begin() + 8 * kBlock, data.begin()));
  expect_ok(co_await device.unmap(0, 64 * kBlock));
  expect_ok(co_await device.read(0, read));
  EXPECT_TRUE(read == zeros);
  const auto differs = co_await device.compare(0, data);
  EXPECT_EQ(differs ? Code::kOk : differs.error().code, Code::kAborted);

  // The whole device, in as many commands as it takes.
  expect_ok(co_await device.write_zeroes(0, device.size_bytes()));
  expect_ok(co_await device.unmap(0, device.size_bytes()));
  const auto outside = co_await device.read(device.size_bytes(), read);
  EXPECT_EQ(outside ? Code::kOk : outside.error().code, Code::kOutOfRange);

  world.device->inject({.kinds = {IoKind::kRead}, .count = 1});
  const auto failed = co_await device.read(0, read);
  EXPECT_FALSE(failed);
  if (!failed) {
    EXPECT_EQ(failed.error().sys_errno, EIO);
    EXPECT_NE(failed.error().text().find("unrecovered read error"), std::string::npos)
        << failed.error().text();
  }
  world.device->inject({.kinds = {IoKind::kWrite}, .count = 1, .sys_errno = ENOSPC});
  const auto full = co_await device.write(0, data);
  EXPECT_EQ(full ? 0 : full.error().sys_errno, ENOSPC);
  expect_ok(co_await device.write(0, data));
  co_await host.close();
}
TEST(Initiator, WhatDevicesDo) {
  in_simulation(other_commands);
}

core::Task<void> refusals(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.subsystem = "nqn.2019-05.io.openebs:nobody";
  auto opened = co_await host.open(options);
  EXPECT_EQ(opened ? Code::kOk : opened.error().code, Code::kNotFound);
  options.subsystem = "not a name";
  opened = co_await host.open(options);
  EXPECT_EQ(opened ? Code::kOk : opened.error().code, Code::kInvalidArgument);
  opened = co_await host.open(host_options(world.address), 7);
  EXPECT_EQ(opened ? Code::kOk : opened.error().code, Code::kNotFound);
  options = host_options(world.address);
  options.address.port = 1;
  opened = co_await host.open(options);
  EXPECT_EQ(opened ? Code::kOk : opened.error().code, Code::kUnavailable);
  world.subsystem->allow_any_host(false);
  opened = co_await host.open(host_options(world.address));
  EXPECT_EQ(opened ? Code::kOk : opened.error().code, Code::kPermissionDenied);
  EXPECT_TRUE(world.subsystem->allow_host(kHostNqn));
  expect_ok(co_await host.open(host_options(world.address)));
  co_await host.close();
  EXPECT_TRUE(host.initiator.controllers().empty());
  opened = co_await host.open(host_options(world.address));
  EXPECT_EQ(opened ? Code::kOk : opened.error().code, Code::kUnavailable);
}
TEST(Initiator, Refusals) {
  in_simulation(refusals);
}

core::Task<void> discovering(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  const auto records = co_await discover(host.initiator, host_options(world.address));
  EXPECT_TRUE(records);
  if (records) {
    EXPECT_EQ(records->size(), 2U);
    EXPECT_TRUE(records->at(0).discovery);
    EXPECT_EQ(records->at(1).subsystem, kNqn);
    EXPECT_EQ(records->at(1).service, world.address.port);
  }
  co_await host.close();
}
TEST(Initiator, Discovers) {
  in_simulation(discovering);
  for_real(discovering);
}

core::Task<void> lets_go(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  EXPECT_EQ(world.subsystem->controllers().size(), 1U);
  EXPECT_EQ(host.initiator.controllers().size(), 1U);
  host.device.reset();
  co_await pause();
  EXPECT_TRUE(host.initiator.controllers().empty());
  EXPECT_TRUE(world.subsystem->controllers().empty());
  co_await host.close();
}
TEST(Initiator, TheLastUserCloses) {
  in_simulation(lets_go);
}

core::Task<void> resized(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  unsigned told = 0;
  host.device->on_resize([&](RemoteDevice&) { ++told; });
  EXPECT_TRUE(world.memory->resize(kBlocks * 2));
  world.subsystem->namespace_resized(1);
  co_await pause();
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(host.device->num_blocks(), kBlocks * 2);
  EXPECT_TRUE(world.memory->resize(kBlocks * 3));
  world.subsystem->namespace_resized(1);
  co_await pause();
  EXPECT_EQ(told, 2U);  // asks for the next event too
  // It goes and comes back under I/O.
  EXPECT_TRUE(world.subsystem->remove_namespace(1));
  co_await pause();
  Bytes block(kBlock);
  const auto gone = co_await host.device->read(0, block);
  EXPECT_FALSE(gone);
  EXPECT_TRUE(world.subsystem->add_namespace(world.device, 1));
  co_await pause();
  expect_ok(co_await host.device->read(0, block));
  co_await host.close();
}
TEST(Initiator, HearsOfNamespaces) {
  in_simulation(resized);
}

core::Task<void> another_disk(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.fast_io_fail = core::kSecond;
  expect_ok(co_await host.open(options));
  auto other = std::make_shared<MemoryDevice>("m1", Uuid::from_name("other"), kBlock, kBlocks);
  EXPECT_TRUE(world.subsystem->remove_namespace(1));
  EXPECT_TRUE(world.subsystem->add_namespace(other, 1));
  co_await pause();
  Bytes block(kBlock, 1);
  const auto written = co_await host.device->write(0, block);
  EXPECT_EQ(written ? Code::kOk : written.error().code, Code::kUnavailable);
  Bytes there(kBlock);
  expect_ok(co_await other->read(0, there));
  EXPECT_TRUE(all_zero(there));
  co_await host.close();
}
TEST(Initiator, NeverWritesToAnotherDisk) {
  in_simulation(another_disk);
}

core::Task<void> keeps_alive(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  co_await pause(120 * core::kSecond);
  EXPECT_EQ(world.subsystem->controllers().size(), 1U);
  EXPECT_EQ(host.controller().reconnects(), 0U);
  Bytes block(kBlock);
  expect_ok(co_await host.device->read(0, block));
  co_await host.close();
}
TEST(Initiator, KeepsAnIdleControllerAlive) {
  in_simulation(keeps_alive);
}

core::Task<void> reservations(TargetWorld& world) {
  HostWorld one(world.env, world.log), two(world.env, world.log);
  expect_ok(co_await one.open(host_options(world.address)));
  HostOptions options = host_options(world.address);
  options.host += "2";
  options.host_id[15] = 2;
  expect_ok(co_await two.open(options));
  RemoteDevice &first = *one.device, &second = *two.device;
  expect_ok(co_await first.reserve(opcode::kReservationRegister,
                                   {.action = reservation_action::kRegister, .new_key = 0x11}));
  expect_ok(
      co_await first.reserve(opcode::kReservationAcquire,
                             {.action = reservation_action::kAcquire, .type = 1, .key = 0x11}));
  const Bytes block(kBlock, 1);
  const auto refused = co_await second.write(0, block);
  EXPECT_EQ(refused ? Code::kOk : refused.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(refused ? 0 : refused.error().sys_errno, EBUSY);
  expect_ok(co_await first.write(0, block));
  const auto report = co_await second.reservations();
  EXPECT_TRUE(report);
  if (report) {
    EXPECT_EQ(report->type, ReservationType::kWriteExclusive);
    EXPECT_EQ(report->registrants.size(), 1U);
    EXPECT_EQ(report->holder, kHostId);
  }
  expect_ok(
      co_await first.reserve(opcode::kReservationRelease,
                             {.action = reservation_action::kRelease, .type = 1, .key = 0x11}));
  expect_ok(co_await second.write(0, block));
  co_await one.close();
  co_await two.close();
}
TEST(Initiator, Reservations) {
  in_simulation(reservations);
}

// --- the way back --------------------------------------------------------------------------------

core::Task<void> comes_back(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  Bytes data = pattern(100 * kBlock, 1), read(data.size());
  for (unsigned round = 1; round <= 3; ++round) {
    expect_ok(co_await host.device->write(0, data));
    host.controller().reset("for a test");
    expect_ok(co_await host.device->read(0, read));
    EXPECT_EQ(read, data);
    EXPECT_EQ(host.controller().reconnects(), round);
  }
  co_await host.close();
}
TEST(Initiator, ComesBack) {
  in_simulation(comes_back);
  for_real(comes_back);
}

// The target is away for longer than I/O waits, and comes back later.
core::Task<void> fails_fast(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.fast_io_fail = 5 * core::kSecond;
  options.reconnect_delay = core::kSecond;
  expect_ok(co_await host.open(options));
  co_await world.target.unlisten(world.port);
  Bytes block(kBlock);
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos before = reactor.now();
  const auto late = co_await host.device->read(0, block);
  EXPECT_EQ(late ? Code::kOk : late.error().code, Code::kUnavailable);
  const core::Nanos waited = reactor.now() - before;
  EXPECT_GE(waited, 4 * core::kSecond);
  EXPECT_LE(waited, 7 * core::kSecond);
  const core::Nanos again = reactor.now();
  EXPECT_FALSE(co_await host.device->read(0, block));
  EXPECT_EQ(reactor.now(), again);  // no second wait
  EXPECT_TRUE(world.target.listen(world.address));
  co_await pause(3 * core::kSecond);
  expect_ok(co_await host.device->read(0, block));
  co_await host.close();
}
TEST(Initiator, FailsFastAndStillComesBack) {
  in_simulation(fails_fast);
}

core::Task<void> gives_up(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.ctrl_loss = 20 * core::kSecond;
  options.fast_io_fail = 0;
  expect_ok(co_await host.open(options));
  co_await world.target.unlisten(world.port);
  Bytes block(kBlock);
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos before = reactor.now();
  EXPECT_FALSE(co_await host.device->read(0, block));
  EXPECT_GE(reactor.now() - before, 18 * core::kSecond);
  EXPECT_LE(reactor.now() - before, 32 * core::kSecond);
  co_await pause(core::kSecond);
  EXPECT_EQ(host.controller().state(), HostController::State::kFailed);
  co_await host.close();
}
TEST(Initiator, GivesUp) {
  in_simulation(gives_up);
}

core::Task<void> tries_once_more(TargetWorld& world, core::Nanos ctrl_loss) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.ctrl_loss = ctrl_loss;
  options.fast_io_fail = 0;
  expect_ok(co_await host.open(options));
  HostController& controller = host.controller();
  co_await world.target.unlisten(world.port);
  co_await pause(ctrl_loss + core::kSecond);
  EXPECT_EQ(controller.state(), HostController::State::kFailed);
  const auto nobody = co_await controller.retry({});
  EXPECT_EQ(nobody ? Code::kOk : nobody.error().code, Code::kUnavailable);
  EXPECT_EQ(controller.state(), HostController::State::kFailed);
  EXPECT_TRUE(world.target.listen(world.address));
  co_await pause(core::kSecond);
  EXPECT_EQ(controller.state(), HostController::State::kFailed) << "not by itself";
  expect_ok(co_await controller.retry({}));
  EXPECT_EQ(controller.state(), HostController::State::kRunning);
  Bytes block(kBlock);
  expect_ok(co_await host.device->read(0, block));
  expect_ok(co_await controller.retry({}));  // nothing to do
  co_await host.close();
}
TEST(Initiator, AControllerThatWasGivenUpHasOneMoreTryWhenAsked) {
  in_simulation([](TargetWorld& world) { return tries_once_more(world, 0); });
  in_simulation([](TargetWorld& world) { return tries_once_more(world, 20 * core::kSecond); });
}

core::Task<void> shut_down_while_away(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  co_await world.target.unlisten(world.port);
  co_await pause(core::kSecond);
  co_await host.close();  // ends although nobody answers
}
TEST(Initiator, ShutsDownWhileAway) {
  in_simulation(shut_down_while_away);
}

core::Task<void> two_paths(TargetWorld& world) {
  const auto port = world.target.listen(core::Address::tcp(world.address.host, 4421));
  EXPECT_TRUE(port);
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.ctrl_loss = 3600 * core::kSecond;
  expect_ok(co_await host.open(options));
  options.address = world.target.address(*port);
  auto second = co_await host.add_path(options);
  EXPECT_TRUE(second);
  if (!second) co_return;
  EXPECT_NE((*second)->id(), host.controller().id());
  const Bytes data = pattern(50 * kBlock, 9);
  Bytes read(data.size());
  EXPECT_EQ(host.device->current(), &host.controller());
  host.device->prefer(second->get());
  EXPECT_EQ(host.device->current(), second->get());
  host.device->prefer(nullptr);
  co_await world.target.unlisten(world.port);  // the first path goes
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos before = reactor.now();
  expect_ok(co_await host.device->write(0, data));
  expect_ok(co_await host.device->read(0, read));
  EXPECT_LT(reactor.now() - before, core::kSecond);
  EXPECT_EQ(read, data);
  EXPECT_EQ(host.device->current(), second->get());
  second->reset();
  co_await host.close();
}
TEST(Initiator, AnotherPathTakesOver) {
  in_simulation(two_paths);
}

core::Task<void> read_blocks(RemoteDevice* device, unsigned count) {
  Bytes block(kBlock);
  for (unsigned i = 0; i < count; ++i) expect_ok(co_await device->read(0, block));
}
// How many I/O commands a path has sent since the last time.
struct Sent {
  HostController& path;
  std::uint64_t before = path.io_queue()->commands();
  std::uint64_t since() {
    const std::uint64_t now = path.io_queue()->commands();
    return now - std::exchange(before, now);
  }
};
core::Task<void> all_paths(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  expect_ok(co_await host.open(host_options(world.address)));
  auto other = co_await host.add_path(host_options(world.address));
  EXPECT_TRUE(other);
  if (!other) co_return;
  Sent first{host.controller()}, second{**other};
  co_await read_blocks(host.device.get(), 12);
  EXPECT_EQ(first.since(), 12U);
  EXPECT_EQ(second.since(), 0U);
  host.device->set_policy({PathPolicy::Choice::kInTurn, 3});
  co_await read_blocks(host.device.get(), 12);
  EXPECT_EQ(first.since(), 6U);
  EXPECT_EQ(second.since(), 6U);
  host.device->set_policy({PathPolicy::Choice::kLeastBusy});
  core::Scope scope;
  for (int i = 0; i < 8; ++i) scope.spawn(read_blocks(host.device.get(), 1));
  co_await scope.join();
  EXPECT_EQ(first.since(), 4U);
  EXPECT_EQ(second.since(), 4U);
  (*other)->set_enabled(false);
  co_await pause();
  co_await read_blocks(host.device.get(), 4);
  EXPECT_EQ(first.since(), 4U);
  other->reset();
  co_await host.close();
}
TEST(Initiator, PathsTakeTurns) {
  in_simulation(all_paths);
}

core::Task<void> follows_ana(TargetWorld& world) {
  const auto other = world.target.listen(core::Address::tcp(world.address.host, 4421));
  const auto subsystem = world.target.add({.nqn = kNqn + "-ana", .serial = "S", .ana = true});
  EXPECT_TRUE(other && subsystem && (*subsystem)->add_namespace(world.device));
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.subsystem = kNqn + "-ana";
  options.fast_io_fail = 3 * core::kSecond;
  expect_ok(co_await host.open(options));
  options.address = world.target.address(*other);
  auto second = co_await host.add_path(options);
  EXPECT_TRUE(second);
  if (!second) co_return;
  HostController &first_path = host.controller(), &second_path = **second;
  (*subsystem)->set_ana_state(world.port, std::nullopt, AnaState::kNonOptimized);
  co_await pause();
  EXPECT_EQ(first_path.access(1), AnaState::kNonOptimized);
  EXPECT_EQ(host.device->current(), &second_path);
  (*subsystem)->set_ana_state(*other, std::nullopt, AnaState::kInaccessible);
  Bytes block(kBlock);
  expect_ok(co_await host.device->read(0, block));  // even before the event has come
  EXPECT_EQ(host.device->current(), &first_path);
  (*subsystem)->set_ana_state(world.port, std::nullopt, AnaState::kInaccessible);
  co_await pause();
  EXPECT_EQ(host.device->current(), nullptr);
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos before = reactor.now();
  const auto refused = co_await host.device->read(0, block);
  EXPECT_EQ(refused ? Code::kOk : refused.error().code, Code::kUnavailable);
  EXPECT_GE(reactor.now() - before, 3 * core::kSecond);
  if (!refused) EXPECT_NE(refused.error().text().find("inaccessible"), std::string::npos);
  (*subsystem)->set_ana_state(*other, std::nullopt, AnaState::kOptimized);
  expect_ok(co_await host.device->read(0, block));
  EXPECT_EQ(first_path.reconnects() + second_path.reconnects(), 0U);
  second->reset();
  co_await host.close();
}
TEST(Initiator, FollowsAnaStates) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) in_simulation(follows_ana, seed);
}

core::Task<void> asked_for_losses(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.ctrl_loss = 0;
  options.fast_io_fail = 0;
  expect_ok(co_await host.open(options));
  Bytes block(kBlock);
  host.controller().reset("for a test");
  co_await pause();
  EXPECT_EQ(host.controller().state(), HostController::State::kRunning);
  EXPECT_EQ(host.controller().reconnects(), 1U);
  expect_ok(co_await host.device->read(0, block));
  host.controller().set_enabled(false);
  co_await pause(5 * core::kSecond);
  EXPECT_EQ(host.controller().state(), HostController::State::kReconnecting);
  host.controller().set_enabled(true);
  co_await pause();
  EXPECT_EQ(host.controller().reconnects(), 2U);
  expect_ok(co_await host.device->read(0, block));
  co_await world.target.unlisten(world.port);  // nobody asked for this one
  co_await pause();
  EXPECT_EQ(host.controller().state(), HostController::State::kFailed);
  co_await host.close();
}
TEST(Initiator, ALossThatWasAskedForIsNotFinal) {
  in_simulation(asked_for_losses);
}

}  // namespace
}  // namespace capstan::storage::nvme
