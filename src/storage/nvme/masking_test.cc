// Why this file exists: namespaces that not all hosts see: what each host finds by Identify, by its
// log pages and by I/O, and what it is told when it is let see one or not any more; and discovery
// that names only some of the listeners.
#include <gtest/gtest.h>

#include "storage/nvme/initiator_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;

const std::string kOtherNqn = "nqn.2014-08.org.example:other";

struct Host {
  RawHost admin, io;
  core::Task<void> open(TargetWorld& world, bool other) {
    if (other) {
      admin.host_id[0] = io.host_id[0] = 0xBB;
      admin.host_nqn = io.host_nqn = kOtherNqn;
    }
    return open_both(world, admin, io);
  }
  core::Task<std::vector<std::uint32_t>> active() {
    const auto answer = co_await admin.identify(2, 0);
    std::vector<std::uint32_t> ids;
    for (std::size_t at = 0; at + 4 <= answer.data.size(); at += 4) {
      const auto id = load_le<std::uint32_t>(answer.data.data() + at);
      if (id != 0) ids.push_back(id);
    }
    co_return ids;
  }
  core::Task<Status> read_from(std::uint32_t nsid) {
    Command command = io.io(opcode::kRead, 0, 1);
    command.set(4, nsid);
    point(command, kSglTransport, kBlock);
    co_return (co_await io.call(command)).completion.status;
  }
  // Waits for an event and answers which namespaces the log names.
  core::Task<std::vector<std::uint32_t>> told() {
    EXPECT_TRUE(
        (co_await admin.feature(true, feature::kAsyncEvents, 1U << 8)).completion.status.ok());
    const auto event = co_await admin.call(make_command(opcode::kAsyncEvent, 0x77));
    EXPECT_EQ(event.completion.dword0, 0x00040002U);
    const auto page = co_await admin.log(log_page::kChangedNamespaces, 4096);
    std::vector<std::uint32_t> ids;
    for (std::size_t at = 0; load_le<std::uint32_t>(page.data.data() + at) != 0; at += 4) {
      ids.push_back(load_le<std::uint32_t>(page.data.data() + at));
    }
    co_return ids;
  }
};
using Ids = std::vector<std::uint32_t>;

core::Task<void> masks(TargetWorld& world) {
  const auto second = std::make_shared<MemoryDevice>("m1", Uuid::from_name("m1"), kBlock, kBlocks);
  EXPECT_TRUE(world.subsystem->add_namespace(second, {.id = 2, .auto_visible = false}));
  Host a, b;
  co_await a.open(world, false);
  co_await b.open(world, true);
  EXPECT_EQ(co_await a.active(), Ids{1});
  EXPECT_EQ(co_await a.read_from(2), status::kInvalidNamespace);
  EXPECT_TRUE(all_zero((co_await a.admin.identify(0, 2)).data));
  EXPECT_EQ((co_await a.admin.identify(3, 2)).completion.status, status::kInvalidField);

  EXPECT_TRUE(world.subsystem->show_namespace(2, kHostNqn));
  EXPECT_TRUE(world.subsystem->show_namespace(2, kHostNqn));  // twice is once
  EXPECT_EQ(co_await a.told(), Ids{2});
  EXPECT_EQ(co_await a.active(), (Ids{1, 2}));
  EXPECT_TRUE((co_await a.read_from(2)).ok());
  EXPECT_EQ(load_le<std::uint64_t>((co_await a.admin.identify(0, 2)).data.data()), kBlocks);
  EXPECT_EQ(co_await b.active(), Ids{1});
  EXPECT_EQ(co_await b.read_from(2), status::kInvalidNamespace);
  // The other one has not heard a word of it, nor does it when the namespace grows or goes.
  world.subsystem->namespace_resized(2);
  EXPECT_EQ(co_await a.told(), Ids{2});
  EXPECT_TRUE(world.subsystem->hide_namespace(2, kHostNqn));
  EXPECT_EQ(co_await a.told(), Ids{2});
  EXPECT_EQ(co_await a.active(), Ids{1});
  EXPECT_EQ(co_await a.read_from(2), status::kInvalidNamespace);
  EXPECT_TRUE(world.subsystem->remove_namespace(2));
  world.subsystem->namespace_resized(1);
  EXPECT_EQ(co_await b.told(), Ids{1});
}
TEST(NvmeMasking, EachHostItsNamespaces) {
  in_simulation(masks);
}

core::Task<void> refused(TargetWorld& world) {
  const auto code = [](const Result<void>& done) { return done ? Code::kOk : done.error().code; };
  EXPECT_EQ(code(world.subsystem->show_namespace(1, kHostNqn)), Code::kFailedPrecondition);
  EXPECT_EQ(code(world.subsystem->hide_namespace(1, kHostNqn)), Code::kFailedPrecondition);
  EXPECT_EQ(code(world.subsystem->show_namespace(9, kHostNqn)), Code::kNotFound);
  EXPECT_TRUE(world.subsystem->add_namespace(world.memory, {.id = 2, .auto_visible = false}));
  EXPECT_EQ(code(world.subsystem->show_namespace(2, "no name")), Code::kInvalidArgument);
  EXPECT_EQ(code(world.subsystem->hide_namespace(2, kHostNqn)), Code::kOk);
  for (std::size_t i = 0; i < limits::kAllowedHosts; ++i) {
    EXPECT_TRUE(world.subsystem->show_namespace(2, "nqn.x:" + std::to_string(i)));
  }
  EXPECT_EQ(code(world.subsystem->show_namespace(2, kHostNqn)), Code::kResourceExhausted);
  co_return;
}
TEST(NvmeMasking, WhatCannotBeMasked) {
  in_simulation(refused);
}

core::Task<void> filters(TargetWorld& world) {
  EXPECT_TRUE(world.target.listen(core::Address::tcp(world.address.host, 4421)));
  HostWorld host(world.env, world.log);
  const auto named = [&](const Result<std::vector<DiscoveryRecord>>& records) {
    std::set<std::uint16_t> ports;
    EXPECT_TRUE(records);
    for (const auto& record : records.value_or(std::vector<DiscoveryRecord>())) {
      ports.insert(record.service);
    }
    return ports;
  };
  using Ports = std::set<std::uint16_t>;
  EXPECT_EQ(named(co_await discover(host.initiator, host_options(world.address))),
            (Ports{8420, 4421}));
  world.target.set_discovery_filter({.same_address = true});
  EXPECT_EQ(named(co_await discover(host.initiator, host_options(world.address))),
            (Ports{8420, 4421}));
  world.target.set_discovery_filter({.same_service = true});
  EXPECT_EQ(named(co_await discover(host.initiator, host_options(world.address))), Ports{8420});
  core::Address other = world.address;
  other.port = 4421;
  EXPECT_EQ(named(co_await discover(host.initiator, host_options(other))), Ports{4421});
  world.target.set_subsystems_max(1);
  const auto more = world.target.add({.nqn = "nqn.x:more"});
  EXPECT_EQ(more ? Code::kOk : more.error().code, Code::kResourceExhausted);
  world.target.set_subsystems_max(2);
  EXPECT_TRUE(world.target.add({.nqn = "nqn.x:more"}));
  co_await host.close();
}
TEST(NvmeMasking, DiscoveryThatTellsLess) {
  in_simulation(filters);
}

// --- errors that a host orders for its own commands ----------------------------------------------

core::Task<void> faults(TargetWorld& world) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.retries = 0;
  EXPECT_TRUE(co_await host.open(options));
  HostController& path = host.controller();
  RemoteDevice& device = *host.device;
  const Bytes data = pattern(4096, 1);
  Bytes read(4096);
  // Not sent: the write never happens.
  path.faults(false).add(
      {.opcode = opcode::kWrite, .submit = false, .left = 2, .status = {2, 0x80}});
  EXPECT_FALSE(co_await device.write(0, data));
  EXPECT_FALSE(co_await device.write(0, data));
  EXPECT_EQ(world.device->operations(IoKind::kWrite), 0U);
  EXPECT_TRUE(co_await device.write(0, data));
  // Sent, done, and then said to have failed.
  path.faults(false).add({.opcode = opcode::kWrite, .status = {2, 0x80}});
  const auto failed = co_await device.write(0, pattern(4096, 2));
  EXPECT_EQ(failed ? 0 : failed.error().sys_errno, EIO);
  EXPECT_TRUE(co_await device.read(0, read));
  EXPECT_EQ(read, pattern(4096, 2));
  // After its time; a read keeps its other errors to itself.
  path.faults(false).add(
      {.opcode = opcode::kRead, .submit = false, .delay = 3 * core::kSecond, .status = {0, 0x81}});
  const core::Nanos begin = core::Reactor::current()->now();
  const auto late = co_await device.read(0, read);
  EXPECT_EQ(late ? 0 : late.error().sys_errno, ENOSPC);
  EXPECT_GE(core::Reactor::current()->now() - begin, 3 * core::kSecond);
  // Taken back before it happened; replaced by another one.
  path.faults(false).add({.opcode = opcode::kRead, .left = 100, .status = {2, 0x81}});
  path.faults(false).remove(opcode::kRead);
  EXPECT_TRUE(co_await device.read(0, read));
  path.faults(true).add({.opcode = opcode::kIdentify, .left = 1, .status = {0, 0x06}});
  EXPECT_FALSE(co_await path.rescan());
  EXPECT_TRUE(co_await path.rescan());
  co_await host.close();
}
TEST(HostFaults, CommandsFailAsOrdered) {
  in_simulation(faults);
}

core::Task<void> held_back(RemoteDevice* device, Result<void>* result) {
  Bytes read(4096);
  *result = co_await device->read(0, read);
}
// One that is held back for longer than commands may take is given up as any other, and the next
// try does without.
core::Task<void> too_late(TargetWorld& world, bool close) {
  HostWorld host(world.env, world.log);
  HostOptions options = host_options(world.address);
  options.io_timeout = core::kSecond;
  EXPECT_TRUE(co_await host.open(options));
  host.controller().faults(false).add(
      {.opcode = opcode::kRead, .submit = false, .delay = 100 * core::kSecond, .status = {0, 6}});
  Result<void> result;
  core::Scope scope;
  scope.spawn(held_back(host.device.get(), &result));
  co_await pause();
  if (close) host.device->give_up();
  if (close) host.controller().close();
  co_await scope.join();
  EXPECT_EQ(result.has_value(), !close);
  EXPECT_EQ(host.controller().reconnects(), close ? 0U : 1U);
  co_await host.close();
}
TEST(HostFaults, CommandsThatAreHeldBackForTooLong) {
  in_simulation([](TargetWorld& world) { return too_late(world, false); });
  in_simulation([](TargetWorld& world) { return too_late(world, true); });
}

// --- staying with the path that works ------------------------------------------------------------

core::Task<void> failback(TargetWorld& world, bool back) {
  EXPECT_TRUE(world.target.listen(core::Address::tcp(world.address.host, 4421)));
  HostWorld host(world.env, world.log);
  EXPECT_TRUE(co_await host.open(host_options(world.address)));
  core::Address other = world.address;
  other.port = 4421;
  const auto second = co_await host.add_path(host_options(other));
  EXPECT_TRUE(second);
  host.device->set_policy({.failback = back});
  Bytes read(4096);
  EXPECT_TRUE(co_await host.device->read(0, read));
  EXPECT_EQ(host.device->current(), &host.controller());
  host.controller().set_enabled(false);
  EXPECT_TRUE(co_await host.device->read(0, read));
  EXPECT_EQ(host.device->current(), second->get());
  host.controller().set_enabled(true);
  co_await pause(5 * core::kSecond);
  EXPECT_EQ(host.controller().state(), HostController::State::kRunning);
  EXPECT_TRUE(co_await host.device->read(0, read));
  EXPECT_EQ(host.device->current() == &host.controller(), back);
  if (!back) host.device->prefer(&host.controller());
  EXPECT_EQ(host.device->current(), &host.controller());
  co_await host.close();
}
TEST(HostPaths, BackToAnEarlierOneOrNot) {
  in_simulation([](TargetWorld& world) { return failback(world, true); });
  in_simulation([](TargetWorld& world) { return failback(world, false); });
}

}  // namespace
}  // namespace capstan::storage::nvme
