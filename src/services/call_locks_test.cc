// Why this file exists: who comes later waits, whoever is about something else does not, and nobody
// waits longer than its caller.
#include "services/call_locks.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/scope.h"
#include "core/sim_env.h"

namespace capstan::services {
namespace {

class CallLocksTest : public testing::Test {
 protected:
  // Takes the lock, says so, and keeps it for a while.
  static core::Task<void> hold(CallLocksTest* self, std::string name, int number,
                               core::CancelToken token) {
    auto guard = co_await self->locks_.lock(std::move(name), std::move(token));
    if (!guard) {
      self->refused_.push_back(guard.error());
      co_return;
    }
    self->order_.push_back(number);
    (void)co_await core::sleep_for(core::kSecond);
    self->ended_.push_back(number);
  }
  static core::Task<void> in_order(CallLocksTest* self) {
    core::Scope scope;
    for (int i = 0; i < 3; ++i) scope.spawn(hold(self, "a", i, {}));
    scope.spawn(hold(self, "b", 10, {}));
    (void)co_await core::sleep_for(core::kMillisecond);
    EXPECT_EQ(self->order_, (std::vector<int>{0, 10}));
    EXPECT_EQ(self->locks_.waiting("a"), 2U);
    EXPECT_EQ(self->locks_.waiting("b"), 0U);
    co_await scope.join();
    EXPECT_EQ(self->order_, (std::vector<int>{0, 10, 1, 2}));
  }
  static core::Task<void> give_up(CallLocksTest* self) {
    core::Scope scope;
    core::CancelSource first, second, fired;
    scope.spawn(hold(self, "a", 0, {}));
    scope.spawn(hold(self, "a", 1, first.token()));
    scope.spawn(hold(self, "a", 2, second.token()));
    scope.spawn(hold(self, "a", 3, {}));
    (void)co_await core::sleep_for(core::kMillisecond);
    first.fire(Code::kDeadlineExceeded);
    (void)co_await core::sleep_for(core::kMillisecond);
    EXPECT_EQ(self->refused_.size(), 1U) << "at once";
    EXPECT_EQ(self->locks_.waiting("a"), 2U);
    fired.fire(Code::kCancelled);
    scope.spawn(hold(self, "c", 4, fired.token()));
    (void)co_await core::sleep_for(core::kSecond + core::kMillisecond);
    second.fire(Code::kCancelled);  // it has what it waited for
    co_await scope.join();
    EXPECT_EQ(self->ended_, (std::vector<int>{0, 2, 3}));
  }
  // The lock comes back and the token fires in one turn.
  static core::Task<void> both(CallLocksTest* self) {
    core::Scope scope;
    core::CancelSource source;
    auto guard = co_await self->locks_.lock("a", {});
    EXPECT_TRUE(guard);
    scope.spawn(hold(self, "a", 1, source.token()));
    (void)co_await core::sleep_for(core::kMillisecond);
    guard->release();
    source.fire();
    co_await scope.join();
    EXPECT_EQ(self->ended_, std::vector<int>{1});
    EXPECT_TRUE(co_await self->locks_.lock("a", {})) << "it came back";
  }
  static core::Task<void> close(CallLocksTest* self) {
    core::Scope scope;
    core::CancelSource source;
    scope.spawn(hold(self, "a", 0, {}));
    scope.spawn(hold(self, "a", 1, source.token()));
    scope.spawn(hold(self, "b", 2, {}));
    (void)co_await core::sleep_for(core::kMillisecond);
    co_await self->locks_.close();
    EXPECT_EQ(self->ended_, (std::vector<int>{0, 2})) << "it waits for guards";
    source.fire();
    scope.spawn(hold(self, "c", 3, {}));
    co_await scope.join();
  }

  core::SimWorld world_{1};
  CallLocks locks_{"pool"};
  std::vector<int> order_, ended_;
  std::vector<Error> refused_;
};

TEST_F(CallLocksTest, OneAfterTheOtherButOthersBeside) {
  world_.run(in_order(this));
}

TEST_F(CallLocksTest, WhoIsCalledBackWaitsNoLonger) {
  world_.run(give_up(this));
  ASSERT_EQ(refused_.size(), 2U);
  EXPECT_EQ(refused_[0].code, Code::kDeadlineExceeded);
  EXPECT_NE(refused_[0].message.find("pool 'a'"), std::string::npos) << refused_[0].message;
  EXPECT_EQ(refused_[1].code, Code::kCancelled);
}

TEST_F(CallLocksTest, ALockThatComesWithTheTokenIsNotLost) {
  world_.run(both(this));
  EXPECT_TRUE(refused_.empty());
}

TEST_F(CallLocksTest, ClosedItGivesNothingMore) {
  world_.run(close(this));
  ASSERT_EQ(refused_.size(), 2U);
  for (const Error& error : refused_) EXPECT_EQ(error.code, Code::kUnavailable);
}

}  // namespace
}  // namespace capstan::services
