// Why this file exists: pools of one node share its core and nothing else. Three of them are used
// at the same time, each against a model of its own; then the disk of one fails, hangs or is taken
// away in the middle of that, and the others notice nothing.
#include <array>

#include "core/scope.h"
#include "storage/device/error_device.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

constexpr std::uint64_t kMiB = 1U << 20, kSize = 8 * kMiB, kCluster = 65536;
constexpr std::size_t kPools = 3;

struct Side {
  std::shared_ptr<ErrorInjectingDevice> device;
  std::unique_ptr<Pool> pool;
  std::shared_ptr<Replica> replica;
  Bytes model = Bytes(kSize);
  unsigned failed = 0;
};

class SeveralPools : public PoolTest {
 protected:
  void SetUp() override {
    for (Side& side : sides_) {
      side.device = std::make_shared<ErrorInjectingDevice>(memory(32 * kMiB));
      side.pool = must_create(side.device, kCluster);
      side.replica = must_add(*side.pool, "r", kSize, true);
    }
  }
  // Random requests; a model that only knows acknowledged ones is right while none fails.
  static core::Task<void> work(core::SimWorld* world, Side* side, unsigned requests) {
    auto& random = world->random();
    for (; requests != 0; --requests) {
      const std::uint64_t at = random.below(kSize / 512) * 512;
      const std::uint64_t length = std::min(kSize - at, random.between(1, 300) * 512);
      const auto begin = side->model.begin() + static_cast<long>(at);
      Result<void> done;
      if (random.chance(60)) {
        const Bytes bytes(length, static_cast<std::uint8_t>(random.below(256)));
        done = co_await side->replica->write(at, bytes);
        if (done) std::ranges::copy(bytes, begin);
      } else if (random.chance(50)) {
        done = co_await side->replica->write_zeroes(at, length);
        if (done) std::fill_n(begin, length, 0);
      } else {
        done = co_await side->replica->flush();
      }
      side->failed += !done;
      (void)co_await core::sleep_for(random.between(1, 1000));
    }
  }
  // All at once, and what `meanwhile` does after a few of their requests.
  static core::Task<void> together(SeveralPools* self, unsigned requests, std::size_t sides,
                                   std::function<void()> meanwhile) {
    core::Scope scope;
    for (std::size_t i = 0; i < sides; ++i)
      scope.spawn(work(&self->world_, &self->sides_[i], requests));
    (void)co_await core::sleep_for(20'000);
    if (meanwhile) meanwhile();
    co_await scope.join();
  }
  static core::Task<void> beside_a_stall(SeveralPools* self) {
    Side& bad = self->sides_[0];
    core::Scope stalled, others;
    stalled.spawn(work(&self->world_, &bad, 5));
    for (std::size_t i = 1; i < kPools; ++i)
      others.spawn(work(&self->world_, &self->sides_[i], 400));
    co_await others.join();
    for (std::size_t i = 1; i < kPools; ++i) {
      Side& good = self->sides_[i];
      EXPECT_EQ(good.failed, 0U);
      EXPECT_EQ(good.pool->info().health.state, PoolHealth::State::kOnline);
      EXPECT_TRUE(co_await good.pool->unload());
    }
    (void)co_await core::sleep_for(11 * core::kSecond);
    EXPECT_EQ(bad.pool->info().health.state, PoolHealth::State::kDegraded);
    EXPECT_GE(bad.device->held(), 1U);
    bad.device->clear();
    bad.device->resume_held();
    co_await stalled.join();
  }
  void expect_untouched(Side& side) {
    EXPECT_EQ(side.failed, 0U);
    EXPECT_EQ(side.pool->info().health.state, PoolHealth::State::kOnline);
    EXPECT_TRUE(read_all(*side.replica, 0, kSize) == side.model);
    EXPECT_EQ(side.pool->info().used_bytes,
              side.replica->usage().num_allocated_clusters * kCluster);
    side.replica = nullptr;
    expect_sound(std::move(side.pool));
  }

  std::array<Side, kPools> sides_;
};

TEST_F(SeveralPools, AreUsedAtTheSameTime) {
  world_.run(together(this, 400, kPools, {}));
  EXPECT_FALSE(sides_[0].model == sides_[1].model);
  for (Side& side : sides_) expect_untouched(side);
}

TEST_F(SeveralPools, OneThatFailsIsAlone) {
  Side& bad = sides_[0];
  world_.run(together(this, 400, kPools, [&bad] {
    bad.device->inject({.kinds = {IoKind::kFlush}, .sys_errno = EIO});
  }));
  EXPECT_GT(bad.failed, 100U);
  EXPECT_EQ(bad.pool->info().health.state, PoolHealth::State::kFaulted);
  EXPECT_EQ(read_all(*bad.replica, 0, kSize).size(), kSize) << "reads go on";
  for (std::size_t i = 1; i < kPools; ++i) expect_untouched(sides_[i]);
}

TEST_F(SeveralPools, OneThatIsTakenAwayIsAlone) {
  Side& bad = sides_[0];
  world_.run(together(this, 400, kPools,
                      [&bad] { bad.device->inject({.kinds = {}, .sys_errno = ENODEV}); }));
  EXPECT_GT(bad.failed, 100U);
  EXPECT_EQ(bad.pool->info().health.state, PoolHealth::State::kFaulted);
  for (std::size_t i = 1; i < kPools; ++i) expect_untouched(sides_[i]);
}

// The others are not only right but done, and may be exported, while one still waits.
TEST_F(SeveralPools, OneThatHangsIsAlone) {
  Side& bad = sides_[0];
  bad.device->inject({.kinds = {}, .action = InjectedFault::Action::kHold});
  world_.run(beside_a_stall(this));
  EXPECT_EQ(bad.failed, 0U);
  EXPECT_TRUE(read_all(*bad.replica, 0, kSize) == bad.model);
}

}  // namespace
}  // namespace capstan::storage
