// Why this file exists: what a pool makes of a device that fails: data that cannot be read or
// written degrades it, and so does one that does not answer; metadata that cannot be written or a
// device that is gone faults it. Whoever asked to be told is told once for each, at the moment of
// the failure. Whatever was acknowledged is there again after the pool was loaded anew.
#include "core/scope.h"
#include "storage/device/error_device.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

using State = PoolHealth::State;
constexpr std::uint64_t kMiB = 1U << 20;

class Health : public PoolTest {
 protected:
  void SetUp() override {
    inner_ = memory(32 * kMiB);
    failing_ = std::make_shared<ErrorInjectingDevice>(inner_);
    pool_ = must_create(failing_, kMiB);
    replica_ = must_add(*pool_, "r", 8 * kMiB, true);
    write(*replica_, 0, pattern(2 * kMiB, 1));
    expect_ok(run(replica_->flush()));
    pool_->on_health_change([this](const PoolHealth& health) { told_.push_back(health); });
  }
  void inject(IoKind kind, int err = EIO) {
    failing_->inject({.kinds = {kind}, .count = 1, .sys_errno = err});
  }
  State state() const { return pool_->info().health.state; }
  // Exported and imported again, the device working.
  void load_again() { load_again(inner_); }
  void load_again(std::shared_ptr<Device> device) {
    failing_->clear();
    replica_ = nullptr;
    expect_ok(run(pool_->unload()));
    pool_ = must_load(std::move(device));
    ASSERT_NE(pool_, nullptr);
    EXPECT_EQ(state(), State::kOnline);
    EXPECT_TRUE(pool_->faulted().empty());
    replica_ = pool_->find(std::string_view("r"));
    ASSERT_NE(replica_, nullptr);
    EXPECT_EQ(read_all(*replica_, 0, 2 * kMiB), pattern(2 * kMiB, 1));
  }
  void TearDown() override {
    replica_ = nullptr;
    expect_sound(std::move(pool_));
  }
  static core::Task<void> request(Health* self, IoKind kind, bool* answered) {
    Bytes bytes(4096, 7);
    auto result = kind == IoKind::kRead    ? co_await self->replica_->read(0, bytes)
                  : kind == IoKind::kWrite ? co_await self->replica_->write(kMiB * 3, bytes)
                                           : co_await self->replica_->flush();
    EXPECT_TRUE(result) << result.error().text();
    *answered = true;
  }
  // 9 s are patience, 11 s are too long; what waits is answered all the same.
  static core::Task<void> watch_stall(Health* self, const bool* answered) {
    (void)co_await core::sleep_for(9 * core::kSecond);
    EXPECT_EQ(self->failing_->held(), 1U);
    EXPECT_EQ(self->state(), State::kOnline);
    (void)co_await core::sleep_for(2 * core::kSecond);
    EXPECT_EQ(self->state(), State::kDegraded);
    EXPECT_EQ(self->pool_->replicas().size(), 1U);
    EXPECT_FALSE(*answered);
    self->failing_->clear();
    self->failing_->resume_held();
  }
  static core::Task<void> stall(Health* self, IoKind kind, bool* answered) {
    self->failing_->inject({.kinds = {kind}, .action = InjectedFault::Action::kHold});
    core::Scope scope;
    scope.spawn(request(self, kind, answered));
    co_await watch_stall(self, answered);
    co_await scope.join();
  }
  static core::Task<void> create(Health* self, bool* answered) {
    auto made = co_await self->pool_->create_replica({"second", {}, kMiB, true, {}});
    EXPECT_TRUE(made) << made.error().text();
    *answered = true;
  }
  static core::Task<void> stall_creation(Health* self, InjectedFault page, bool* answered) {
    self->failing_->inject(std::move(page));
    core::Scope scope;
    scope.spawn(create(self, answered));
    co_await watch_stall(self, answered);
    co_await scope.join();
  }
  static core::Task<void> keep_busy(Health* self) {
    bool answered = false;
    for (int second = 0; second < 30; ++second) {
      self->failing_->inject({.kinds = {IoKind::kRead}, .action = InjectedFault::Action::kHold});
      core::Scope scope;
      scope.spawn(request(self, IoKind::kRead, &answered));
      (void)co_await core::sleep_for(core::kSecond);
      self->failing_->clear();
      self->failing_->resume_held();
      co_await scope.join();
    }
    (void)co_await core::sleep_for(30 * core::kSecond);
  }

  std::shared_ptr<MemoryDevice> inner_;
  std::shared_ptr<ErrorInjectingDevice> failing_;
  std::unique_ptr<Pool> pool_;
  std::shared_ptr<Replica> replica_;
  std::vector<PoolHealth> told_;
};

TEST_F(Health, AFailedReadDegradesAndEverythingGoesOn) {
  inject(IoKind::kRead);
  Bytes bytes(4096);
  EXPECT_FALSE(run(replica_->read(0, bytes)));
  EXPECT_EQ(state(), State::kDegraded);
  EXPECT_FALSE(pool_->info().faulted);
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].state, State::kDegraded);
  EXPECT_NE(told_[0].reason.find("injected fault"), std::string::npos) << told_[0].reason;
  EXPECT_EQ(told_[0].io_errors, 1U);
  write(*replica_, 4 * kMiB, pattern(4096, 2));
  EXPECT_NE(must_add(*pool_, "more", kMiB, false), nullptr);
  expect_ok(run(replica_->flush()));
  load_again();
  EXPECT_EQ(read_all(*replica_, 4 * kMiB, 4096), pattern(4096, 2));
}

TEST_F(Health, EveryKindOfDataThatFailsIsCounted) {
  const std::uint64_t before = pool_->info().used_bytes;
  inject(IoKind::kWrite);
  EXPECT_FALSE(run(replica_->write(kMiB, pattern(4096, 1))));  // where a cluster is
  inject(IoKind::kWriteZeroes);
  EXPECT_FALSE(run(replica_->write_zeroes(8192, 4096)));
  inject(IoKind::kWriteZeroes);
  EXPECT_FALSE(run(replica_->write(5 * kMiB + 4096, pattern(4096, 3))));  // where none is
  EXPECT_EQ(pool_->info().used_bytes, before) << "the cluster was given back";
  inject(IoKind::kWriteZeroes);
  EXPECT_FALSE(run(pool_->create_replica({"thick", {}, 2 * kMiB, false, {}})));
  EXPECT_EQ(pool_->info().used_bytes, before);
  EXPECT_EQ(pool_->info().health.io_errors, 4U);
  EXPECT_EQ(told_.size(), 1U) << "once for each state";
  // What failed may be a mixture now; nothing else is.
  write(*replica_, 0, pattern(2 * kMiB, 1));
  load_again();
}

TEST_F(Health, AFailedFlushFaults) {
  inject(IoKind::kFlush);
  EXPECT_FALSE(run(replica_->flush()));
  EXPECT_EQ(state(), State::kFaulted);
  EXPECT_TRUE(pool_->info().faulted);
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].state, State::kFaulted);
  EXPECT_TRUE(told_[0].reason.starts_with("its metadata could not be written")) << told_[0].reason;
  const auto refused = run(replica_->write(0, pattern(4096, 9)));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("refuses changes"), std::string::npos);
  EXPECT_EQ(read_all(*replica_, 0, 2 * kMiB), pattern(2 * kMiB, 1));
  load_again();
}

TEST_F(Health, DegradedThenFaultedIsToldTwice) {
  inject(IoKind::kRead);
  Bytes bytes(4096);
  EXPECT_FALSE(run(replica_->read(0, bytes)));
  inject(IoKind::kWrite);
  EXPECT_FALSE(run(pool_->create_replica({"more", {}, kMiB, true, {}})));
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[1].state, State::kFaulted);
  load_again();
}

TEST_F(Health, ADeviceThatIsGoneFaultsWithWhateverFindsOut) {
  for (const IoKind kind : {IoKind::kRead, IoKind::kWrite, IoKind::kFlush}) {
    SCOPED_TRACE(io_kind_name(kind));
    if (pool_->device() != failing_) {  // loaded again by the turn before
      replica_ = nullptr;
      expect_ok(run(pool_->unload()));
      pool_ = must_load(failing_);
      replica_ = pool_->find(std::string_view("r"));
      pool_->on_health_change([this](const PoolHealth& health) { told_.push_back(health); });
    }
    told_.clear();
    Bytes bytes(4096);
    inject(kind, ENODEV);
    if (kind == IoKind::kRead) EXPECT_FALSE(run(replica_->read(0, bytes)));
    if (kind == IoKind::kWrite) EXPECT_FALSE(run(replica_->write(0, pattern(4096, 1))));
    if (kind == IoKind::kFlush) EXPECT_FALSE(run(replica_->flush()));
    ASSERT_EQ(told_.size(), 1U);
    EXPECT_EQ(told_[0].state, State::kFaulted);
    EXPECT_TRUE(told_[0].reason.starts_with("its device is gone")) << told_[0].reason;
    load_again();
  }
}

TEST_F(Health, ADeviceThatIsTakenAwayFaultsBeforeAnybodyAsks) {
  pool_->device_lost("device 'disk0' was removed from the node");
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].state, State::kFaulted);
  EXPECT_NE(told_[0].reason.find("was removed"), std::string::npos);
  EXPECT_FALSE(run(pool_->create_replica({"more", {}, kMiB, true, {}})));
  load_again();
}

// What never fails and never answers is found out by the clock.
TEST_F(Health, ADeviceThatDoesNotAnswerDegrades) {
  for (const IoKind kind : {IoKind::kRead, IoKind::kWrite, IoKind::kFlush}) {
    SCOPED_TRACE(io_kind_name(kind));
    told_.clear();
    bool answered = false;
    world_.run(stall(this, kind, &answered));
    EXPECT_TRUE(answered);
    ASSERT_EQ(told_.size(), 1U);
    EXPECT_EQ(told_[0].reason, "its device has not answered a request for 10 s");
    EXPECT_EQ(told_[0].io_errors, 0U);
    load_again(failing_);
    pool_->on_health_change([this](const PoolHealth& health) { told_.push_back(health); });
  }
}

TEST_F(Health, AMetadataWriteThatDoesNotAnswerDegrades) {
  const auto page = InjectedFault{.kinds = {IoKind::kWrite},
                                  .length = pool_->info().cluster_size_bytes,
                                  .action = InjectedFault::Action::kHold};
  bool answered = false;
  world_.run(stall_creation(this, page, &answered));
  EXPECT_TRUE(answered);
  EXPECT_EQ(told_.size(), 1U);
  EXPECT_EQ(state(), State::kDegraded);
  ASSERT_NE(pool_->find(std::string_view("second")), nullptr);
}

// Requests without end, none of which takes long, are no stall; nor is a pause.
TEST_F(Health, ABusyDeviceIsNotStalled) {
  world_.run(keep_busy(this));
  EXPECT_TRUE(told_.empty());
  EXPECT_EQ(state(), State::kOnline);
}

TEST_F(Health, WhatADeviceCannotDoIsNoFailure) {
  failing_->inject({.kinds = {IoKind::kWriteZeroes},
                    .count = 1,
                    .code = Code::kUnimplemented,
                    .sys_errno = EOPNOTSUPP});
  EXPECT_FALSE(run(replica_->write_zeroes(0, 4096)));
  inject(IoKind::kWrite, ENOMEM);
  EXPECT_FALSE(run(replica_->write(0, pattern(4096, 1))));
  EXPECT_EQ(state(), State::kOnline);
  EXPECT_TRUE(told_.empty());
}

}  // namespace
}  // namespace capstan::storage
