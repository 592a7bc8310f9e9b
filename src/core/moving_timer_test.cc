// Why this file exists: a moving timer calls at its last time and not before, not at all once it is
// stopped, and does not look more often than its first time demands.
#include "core/moving_timer.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/sim_env.h"

namespace capstan::core {
namespace {

struct Calls {
  std::vector<Nanos> at;  // after the start
  Nanos start = Reactor::current()->read_clock();
  MovingTimer timer{[this] { at.push_back(Reactor::current()->read_clock() - start); }};
  void arm(Nanos after_start) { timer.arm_at(*Reactor::current(), start + after_start); }
};

// A simulated core takes a little time for each turn.
bool about(Nanos seen, Nanos wanted) {
  return seen >= wanted && seen < wanted + kMillisecond;
}

Task<void> later(bool& done) {
  Calls calls;
  for (Nanos i = 1; i <= 5; ++i) {
    calls.arm(i * kSecond);
    EXPECT_TRUE(calls.timer.armed());
    EXPECT_TRUE(co_await sleep_for(kSecond / 2));
  }
  EXPECT_TRUE(calls.at.empty());
  EXPECT_TRUE(co_await sleep_for(10 * kSecond));
  EXPECT_EQ(calls.at.size(), 1U);
  EXPECT_TRUE(about(calls.at.at(0), 5 * kSecond)) << calls.at.at(0);
  EXPECT_FALSE(calls.timer.armed());
  done = true;
}

Task<void> sooner(bool& done) {
  Calls calls;
  calls.arm(5 * kSecond);
  calls.arm(kSecond);
  EXPECT_TRUE(co_await sleep_for(10 * kSecond));
  EXPECT_EQ(calls.at.size(), 1U);
  EXPECT_TRUE(about(calls.at.at(0), kSecond)) << calls.at.at(0);
  done = true;
}

Task<void> stopped(bool& done) {
  Calls calls;
  calls.arm(kSecond);
  calls.timer.disarm();
  EXPECT_FALSE(calls.timer.armed());
  EXPECT_TRUE(co_await sleep_for(2 * kSecond));
  EXPECT_TRUE(calls.at.empty());
  calls.arm(3 * kSecond);  // after the place it had
  EXPECT_TRUE(co_await sleep_for(2 * kSecond));
  EXPECT_EQ(calls.at.size(), 1U);
  calls.arm(5 * kSecond);
  calls.timer.disarm();
  calls.arm(6 * kSecond);
  EXPECT_TRUE(co_await sleep_for(10 * kSecond));
  EXPECT_EQ(calls.at.size(), 2U);
  EXPECT_TRUE(about(calls.at.at(1), 6 * kSecond)) << calls.at.at(1);
  done = true;
}

Task<void> looks(bool& done) {
  Calls calls;
  const std::uint64_t before = Reactor::current()->counters().sleeps;
  for (Nanos i = 0; i < 1000; ++i) calls.arm(kSecond + i);
  EXPECT_TRUE(co_await sleep_for(2 * kSecond));
  // At its first time, at its last time, and for the sleep itself.
  EXPECT_LE(Reactor::current()->counters().sleeps - before, 3U);
  EXPECT_EQ(calls.at.size(), 1U);
  done = true;
}

TEST(MovingTimer, KeepsItsLastTime) {
  for (auto* story : {&later, &sooner, &stopped, &looks}) {
    SimWorld world(1);
    SimEnv env(world);
    bool done = false;
    world.run(story(done));
    EXPECT_TRUE(done);
  }
}

}  // namespace
}  // namespace capstan::core
