// Why this file exists: reservations as two hosts see them over the wire: conflicts, fencing,
// notifications, reports, and what is left of them when the power was cut.
#include <gtest/gtest.h>

#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme {
namespace {

using namespace testing;
namespace action = reservation_action;

constexpr HostId kOtherId = {0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr std::uint64_t kKey = 0xA1, kOtherKey = 0xB1;
constexpr std::uint8_t kWriteExclusive = 1;

// A host with one I/O queue.
struct Host {
  RawHost admin, io;
  explicit Host(bool other = false) {
    if (!other) return;
    admin.host_id = io.host_id = kOtherId;
    admin.host_nqn = io.host_nqn = "nqn.2014-08.org.example:other";
  }
  core::Task<void> open(TargetWorld& world) { return open_both(world, admin, io); }
  core::Task<Status> reserve(std::uint8_t code, ReservationCommand values) {
    Command command = make_command(code, io.next_id++, 1);
    Bytes data = store_reservation(command, values);
    co_return (co_await io.call(command, std::move(data))).completion.status;
  }
  core::Task<Status> enlist(std::uint64_t key, std::uint8_t persist = 0) {
    return reserve(opcode::kReservationRegister,
                   {.action = action::kRegister, .persist = persist, .new_key = key});
  }
  core::Task<Status> acquire(std::uint64_t key, std::uint8_t type = kWriteExclusive) {
    return reserve(opcode::kReservationAcquire,
                   {.action = action::kAcquire, .type = type, .key = key});
  }
  core::Task<Answer> report(std::uint32_t bytes = 4096, std::uint32_t extended = 1) {
    return io.fetch(opcode::kReservationReport, 1, bytes, bytes / 4 - 1, extended);
  }
  core::Task<Status> write() {
    co_return (co_await io.write_in_capsule(0, pattern(kBlock, 1))).completion.status;
  }
  core::Task<Status> read() { co_return (co_await io.read(0, 1)).completion.status; }
  // Queues an Asynchronous Event Request.
  core::Task<void> listen() { co_await admin.submit(make_command(opcode::kAsyncEvent, 0x1F)); }
};

core::Task<void> conflicts(TargetWorld& world) {
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  EXPECT_EQ(co_await a.acquire(kKey), status::kReservationConflict);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE((co_await a.acquire(kKey)).ok());
  EXPECT_TRUE((co_await a.write()).ok());
  EXPECT_TRUE((co_await b.read()).ok());
  EXPECT_EQ(co_await b.write(), status::kReservationConflict);
  for (const std::uint8_t code :
       {opcode::kFlush, opcode::kWriteZeroes, opcode::kDatasetManagement}) {
    const auto answer = co_await b.io.call(b.io.io(code, 0, 1));
    EXPECT_EQ(answer.completion.status, status::kReservationConflict) << unsigned{code};
  }
  EXPECT_EQ(co_await b.acquire(kOtherKey), status::kReservationConflict);
  EXPECT_TRUE((co_await b.enlist(kOtherKey)).ok());
  EXPECT_EQ(co_await b.write(), status::kReservationConflict);
  EXPECT_TRUE(
      (co_await a.reserve(opcode::kReservationRelease, {.type = kWriteExclusive, .key = kKey}))
          .ok());
  EXPECT_TRUE((co_await b.write()).ok());
}
TEST(NvmeReservation, TwoHosts) {
  in_simulation(conflicts);
}

core::Task<void> report(TargetWorld& world) {
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE((co_await b.enlist(kOtherKey)).ok());
  EXPECT_TRUE((co_await b.acquire(kOtherKey)).ok());
  EXPECT_EQ((co_await a.report(4096, 0)).completion.status, status::kHostIdFormat);
  EXPECT_EQ((co_await a.report(60)).completion.status, status::kInvalidField);
  const auto whole = co_await a.report();
  EXPECT_EQ(whole.data.size(), 4096U);
  const auto state = load_reservation_status(whole.data);
  EXPECT_TRUE(state);
  EXPECT_EQ(state->holder, kOtherId);
  EXPECT_EQ(state->registrants,
            (std::vector<Reservations::Registrant>{{kHostId, kKey}, {kOtherId, kOtherKey}}));
  EXPECT_EQ(load_le<std::uint16_t>(whole.data.data() + 64), a.admin.controller);
  EXPECT_EQ(load_le<std::uint16_t>(whole.data.data() + 128), b.admin.controller);
  EXPECT_TRUE(all_zero(ByteView(whole.data).subspan(192)));
  const auto header = co_await a.report(64);  // says how many there are
  EXPECT_EQ(header.data.size(), 64U);
  EXPECT_EQ(load_le<std::uint16_t>(header.data.data() + 5), 2);
  const Bytes id = (co_await a.admin.identify(0, 1)).data;
  EXPECT_EQ(id[31], 0xFE);  // nothing persists without a file
}
TEST(NvmeReservation, Report) {
  in_simulation(report);
}

core::Task<void> short_data(TargetWorld& world) {
  Host a;
  co_await a.open(world);
  for (const std::uint8_t code :
       {opcode::kReservationRegister, opcode::kReservationAcquire, opcode::kReservationRelease}) {
    Command command = make_command(code, a.io.next_id++, 1);
    const std::uint32_t size = reservation_data_bytes(code) - 4;
    EXPECT_EQ((co_await a.io.call(command, Bytes(size))).completion.status, status::kInvalidField);
    point(command, kSglTransport, 4096);  // longer than needed: asked for what is needed
    command.set(2, a.io.next_id++);
    co_await a.io.submit(command);
    const auto answer = co_await a.io.finish(Bytes(4096));
    EXPECT_EQ(answer.asked.at(0).length, reservation_data_bytes(code));
  }
}
TEST(NvmeReservation, DataThatIsTooShort) {
  in_simulation(short_data);
}

core::Task<void> notifications(TargetWorld& world) {
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE((co_await b.enlist(kOtherKey)).ok());
  EXPECT_TRUE((co_await a.acquire(kKey, 3)).ok());
  EXPECT_TRUE(all_zero((co_await b.admin.log(log_page::kReservation, 64)).data));
  co_await b.listen();
  EXPECT_TRUE((co_await a.reserve(opcode::kReservationRelease, {.type = 3, .key = kKey})).ok());
  EXPECT_TRUE(
      (co_await a.reserve(opcode::kReservationRelease, {.action = action::kClear, .key = kKey}))
          .ok());
  const auto told = co_await b.admin.finish();
  EXPECT_EQ(told.completion.dword0, 0x00800006U);
  const auto page = (co_await b.admin.log(log_page::kReservation, 64)).data;
  auto next = load_notification(page.data());
  EXPECT_EQ(next.count, 1U);
  EXPECT_EQ(next.notice, ReservationNotice::kReservationReleased);
  EXPECT_EQ(next.more, 1);
  EXPECT_EQ(next.nsid, 1U);
  co_await b.listen();  // there is another one to read
  EXPECT_EQ((co_await b.admin.finish()).completion.dword0, 0x00800006U);
  const auto second = (co_await b.admin.log(log_page::kReservation, 64)).data;
  next = load_notification(second.data());
  EXPECT_EQ(next.count, 2U);
  EXPECT_EQ(next.notice, ReservationNotice::kReservationPreempted);
  EXPECT_TRUE(all_zero((co_await b.admin.log(log_page::kReservation, 64)).data));
}
TEST(NvmeReservation, OthersAreTold) {
  in_simulation(notifications);
}

core::Task<Answer> mask_feature(RawHost& host, bool set, std::uint32_t nsid,
                                std::uint32_t value = 0) {
  Command command =
      make_command(set ? opcode::kSetFeatures : opcode::kGetFeatures, host.next_id++, nsid);
  command.set<std::uint32_t>(40, feature::kReservationMask);
  command.set(44, value);
  return host.call(command);
}

core::Task<void> masks(TargetWorld& world) {
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  EXPECT_EQ((co_await mask_feature(b.admin, true, 9)).completion.status, status::kInvalidNamespace);
  EXPECT_TRUE(
      (co_await mask_feature(b.admin, true, kBroadcastNamespace, 4)).completion.status.ok());
  EXPECT_EQ((co_await mask_feature(b.admin, false, 1)).completion.dword0, 4U);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE((co_await b.enlist(kOtherKey)).ok());
  EXPECT_TRUE((co_await a.acquire(kKey, 3)).ok());
  EXPECT_TRUE((co_await a.reserve(opcode::kReservationRelease, {.type = 3, .key = kKey})).ok());
  EXPECT_TRUE(all_zero((co_await b.admin.log(log_page::kReservation, 64)).data));
}
TEST(NvmeReservation, WhatIsMaskedIsNotTold) {
  in_simulation(masks);
}

core::Task<void> preempt_and_abort(Host* host, bool* answered) {
  const Status status =
      co_await host->reserve(opcode::kReservationAcquire, {.action = action::kPreemptAndAbort,
                                                           .type = kWriteExclusive,
                                                           .key = kKey,
                                                           .new_key = kOtherKey});
  EXPECT_TRUE(status.ok());
  *answered = true;
}
core::Task<void> fencing(TargetWorld& world) {
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE((co_await b.enlist(kOtherKey)).ok());
  EXPECT_TRUE((co_await b.acquire(kOtherKey)).ok());
  world.device->inject({.kinds = {IoKind::kWrite}, .action = InjectedFault::Action::kHold});
  Command late = b.io.io(opcode::kWrite, 0, 1);
  point(late, kSglInCapsule, kBlock);
  co_await b.io.submit(late, pattern(kBlock, 7));
  co_await pause();
  EXPECT_EQ(world.device->held(), 1U);
  core::Scope scope;
  bool answered = false;
  scope.spawn(preempt_and_abort(&a, &answered));
  co_await pause();
  EXPECT_FALSE(answered);  // the write of the other host still runs
  Command second = b.io.io(opcode::kWrite, 8, 1);
  point(second, kSglInCapsule, kBlock);
  co_await b.io.submit(second, pattern(kBlock, 8));
  co_await pause();
  EXPECT_EQ(world.device->held(), 1U);  // and no other one begins
  world.device->clear();
  world.device->resume_held();
  co_await scope.join();
  EXPECT_TRUE(answered);
  const auto one = co_await b.io.finish(), two = co_await b.io.finish();
  EXPECT_NE(one.completion.status, two.completion.status);
  EXPECT_TRUE(one.completion.status == status::kReservationConflict ||
              two.completion.status == status::kReservationConflict);
  EXPECT_TRUE((co_await a.write()).ok());
}
TEST(NvmeReservation, PreemptAndAbortWaitsForWhatRuns) {
  in_simulation(fencing);
}

core::Task<void> delays(TargetWorld& world) {
  auto added = world.target.add({.nqn = "nqn.x:slow", .conflict_delay = 2});
  EXPECT_TRUE(added && (*added)->add_namespace(world.device));
  RawHost admin, io;
  co_await admin.open(world.env, world.address);
  const auto connected =
      co_await admin.connect({0, 0, 31, 0, 0}, {kHostId, kAnyController, "nqn.x:slow", kHostNqn});
  const auto id = static_cast<std::uint16_t>(connected.completion.dword0);
  EXPECT_TRUE((co_await admin.set_property(property::kCc, 0x00460001)).completion.status.ok());
  Command behavior = make_command(opcode::kSetFeatures, 40);
  behavior.set<std::uint32_t>(40, feature::kHostBehavior);
  Bytes wanted(512);
  wanted[0] = 1;
  EXPECT_TRUE((co_await admin.call(behavior, wanted)).completion.status.ok());
  co_await io.open(world.env, world.address);
  EXPECT_TRUE((co_await io.connect({0, 1, 127, 0, 0}, {kHostId, id, "nqn.x:slow", kHostNqn}))
                  .completion.status.ok());
  Command acquire = make_command(opcode::kReservationAcquire, 41, 1);
  Bytes data = store_reservation(acquire, {.type = 1, .key = 5});
  const auto answer = co_await io.call(acquire, data);
  Status expected = status::kReservationConflict;
  expected.retry_delay = 2;
  EXPECT_EQ(answer.completion.status, expected);
}
TEST(NvmeReservation, ConflictsNameTheirOwnDelay) {
  in_simulation(delays);
}

// --- persistence ---------------------------------------------------------------------------------

constexpr char kFile[] = "/ptpl/pool/p/replica/v0.json";

void put_on_file(TargetWorld& world, core::SimEnv& node) {
  EXPECT_TRUE(world.subsystem->remove_namespace(1));
  NamespaceOptions options;
  options.id = 1;
  options.reservations = {&node.files(), kFile, world.device->uuid()};
  EXPECT_TRUE(world.subsystem->add_namespace(world.device, options));
}

core::Task<void> power_cuts(TargetWorld& world) {
  core::SimEnv node(static_cast<core::SimEnv&>(world.env).world());
  put_on_file(world, node);
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  const Bytes id = (co_await a.admin.identify(0, 1)).data;
  EXPECT_EQ(id[31], 0xFF);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE((co_await b.enlist(kOtherKey)).ok());
  EXPECT_FALSE(co_await node.files().read_file(kFile, 4096));  // nobody asked for it
  EXPECT_TRUE((co_await a.enlist(kKey, 3)).ok());
  EXPECT_TRUE((co_await a.acquire(kKey)).ok());
  node.power_cut();
  node.power_on();
  put_on_file(world, node);  // as the node that starts again does
  EXPECT_EQ(co_await b.write(), status::kReservationConflict);
  EXPECT_TRUE((co_await a.write()).ok());
  const auto state = load_reservation_status((co_await a.report()).data);
  EXPECT_EQ(state->holder, kHostId);
  EXPECT_TRUE(state->persistent);
  EXPECT_EQ(state->registrants.size(), 2U);
  EXPECT_TRUE((co_await a.enlist(kKey, 2)).ok());  // not any more
  EXPECT_FALSE(co_await node.files().read_file(kFile, 4096));
  node.power_cut();
  node.power_on();
  put_on_file(world, node);
  EXPECT_TRUE((co_await b.write()).ok());
}
TEST(NvmeReservation, WhatPersistsIsThereAfterAPowerCut) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) in_simulation(power_cuts, seed);
}

// The power fails during the n-th I/O of a change: the answer says which state is there afterwards.
core::Task<void> cut_within(TargetWorld& world, std::uint64_t ios, bool* finished) {
  core::SimEnv node(static_cast<core::SimEnv&>(world.env).world());
  put_on_file(world, node);
  Host a, b(true);
  co_await a.open(world);
  co_await b.open(world);
  EXPECT_TRUE((co_await a.enlist(kKey, 3)).ok());
  node.cut_power_after(ios);
  const Status answer = co_await a.acquire(kKey);
  *finished = node.powered();
  if (!node.powered()) node.power_on();
  node.cut_power_after(0);
  put_on_file(world, node);
  const bool fenced = co_await b.write() == status::kReservationConflict;
  EXPECT_TRUE(fenced || !answer.ok()) << "what was acknowledged is lost, cut at " << ios;
  EXPECT_TRUE((co_await a.write()).ok());
  if (!answer.ok()) EXPECT_EQ(answer, status::kInternalError);
}
TEST(NvmeReservation, APowerCutWithinAChange) {
  bool finished = false;
  for (std::uint64_t ios = 1; ios < 100 && !finished; ++ios) {
    in_simulation([&](TargetWorld& world) { return cut_within(world, ios, &finished); }, ios);
  }
  EXPECT_TRUE(finished);
}

core::Task<Answer> persistence(RawHost& host, bool set, std::uint32_t value = 0) {
  Command command =
      make_command(set ? opcode::kSetFeatures : opcode::kGetFeatures, host.next_id++, 1);
  command.set<std::uint32_t>(40, feature::kReservationPersistence);
  command.set(44, value);
  return host.call(command);
}
core::Task<void> the_feature(TargetWorld& world) {
  core::SimEnv node(static_cast<core::SimEnv&>(world.env).world());
  Host a;
  co_await a.open(world);
  EXPECT_EQ((co_await persistence(a.admin, true, 1)).completion.status, status::kInvalidField);
  const auto asked = co_await persistence(a.admin, false);
  EXPECT_TRUE(asked.completion.status.ok());
  EXPECT_EQ(asked.completion.dword0, 0U);
  EXPECT_EQ(co_await a.enlist(kKey, 3), status::kInvalidField);
  put_on_file(world, node);
  EXPECT_TRUE((co_await persistence(a.admin, true, 1)).completion.status.ok());
  EXPECT_EQ((co_await persistence(a.admin, false)).completion.dword0, 1U);
  EXPECT_TRUE((co_await a.enlist(kKey)).ok());
  EXPECT_TRUE(co_await node.files().read_file(kFile, 4096));
  EXPECT_TRUE((co_await persistence(a.admin, true, 0)).completion.status.ok());
  EXPECT_FALSE(co_await node.files().read_file(kFile, 4096));
}
TEST(NvmeReservation, ThePersistenceFeature) {
  in_simulation(the_feature);
}

core::Task<void> feature_after_restart(TargetWorld& world) {
  core::SimEnv node(static_cast<core::SimEnv&>(world.env).world());
  put_on_file(world, node);
  Host a;
  co_await a.open(world);
  EXPECT_TRUE((co_await persistence(a.admin, true, 1)).completion.status.ok());
  put_on_file(world, node);  // as the node that starts again does
  EXPECT_EQ((co_await persistence(a.admin, false)).completion.dword0, 1U);
}
TEST(NvmeReservation, ThePersistenceFeatureIsReadFromTheFile) {
  in_simulation(feature_after_restart);
}

core::Task<void> damaged_file(TargetWorld& world) {
  core::SimEnv node(static_cast<core::SimEnv&>(world.env).world());
  EXPECT_TRUE(co_await node.files().make_directories("/ptpl/pool/p/replica"));
  EXPECT_TRUE(co_await node.files().replace_file(kFile, "{\"ptpl\": tr"));
  put_on_file(world, node);
  Host a;
  co_await a.open(world);
  EXPECT_EQ(co_await a.read(), status::kNamespaceNotReady);  // who may is not known
  EXPECT_EQ((co_await persistence(a.admin, false)).completion.status, status::kNamespaceNotReady);
  EXPECT_TRUE(co_await node.files().remove(kFile));
  EXPECT_TRUE((co_await a.read()).ok());
}
TEST(NvmeReservation, ADamagedFileLetsNobodyIn) {
  in_simulation(damaged_file);
}

}  // namespace
}  // namespace capstan::storage::nvme
