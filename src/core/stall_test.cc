// Why this file exists: who is to blame when a core made no progress: a task that computed, a task
// that waited in a system call, or the system, which ran somebody else. On a reactor whose clocks
// the test moves.
#include <gtest/gtest.h>

#include <optional>

#include "base/limits.h"
#include "core/reactor.h"

namespace capstan::core {
namespace {

constexpr Nanos kLong = 2 * limits::kStallNanos;

class HandReactor final : public Reactor {
 public:
  HandReactor() {
    on_stall([this](const Stall& stall) { seen.push_back(stall); });
  }
  void post(std::move_only_function<void()> work) override { measured(work); }
  Nanos read_clock() const override { return clock; }
  CpuUse read_cpu() const override {
    ++reads;
    return use;
  }
  void wait(bool, Nanos deadline) override { pass(std::max(deadline, clock) - clock, 0); }
  // `held` on the clock, `cpu` of it on the CPU.
  void pass(Nanos held, Nanos cpu) {
    clock += held;
    use.cpu_ns += cpu;
  }

  Nanos clock = kSecond;
  CpuUse use;
  std::vector<Stall> seen;
  mutable unsigned reads = 0;
};

Task<void> spend(HandReactor& reactor, Nanos held, Nanos cpu, unsigned preempted) {
  name_task("spender");
  reactor.pass(held, cpu);
  reactor.use.involuntary_switches += preempted;
  co_return;
}

TEST(Stalls, ATaskThatComputesIsNamedWithBothTimes) {
  HandReactor reactor;
  reactor.run(spend(reactor, kLong, kLong - kMillisecond, 1));
  ASSERT_EQ(reactor.seen.size(), 1U);
  EXPECT_STREQ(reactor.seen[0].task, "spender");
  EXPECT_EQ(reactor.seen[0].held_ns, kLong);
  EXPECT_EQ(reactor.seen[0].cpu_ns, kLong - kMillisecond);
  EXPECT_FALSE(reactor.seen[0].preempted);
  EXPECT_EQ(reactor.counters().stalls, 1U);
}

TEST(Stalls, APreemptedCoreIsNoStalledTask) {
  HandReactor reactor;
  reactor.run(spend(reactor, kLong, kMillisecond, 1));
  ASSERT_EQ(reactor.seen.size(), 1U);
  EXPECT_TRUE(reactor.seen[0].preempted);
  EXPECT_EQ(reactor.seen[0].cpu_ns, kMillisecond);
  EXPECT_EQ(reactor.counters().stalls, 0U);
  EXPECT_EQ(reactor.counters().preempted, 1U);
}

TEST(Stalls, ATaskThatWaitsInTheSystemHoldsTheCoreToo) {
  HandReactor reactor;
  reactor.run(spend(reactor, kLong, kMillisecond, 0));
  ASSERT_EQ(reactor.seen.size(), 1U);
  EXPECT_FALSE(reactor.seen[0].preempted);
}

TEST(Stalls, MessagesAndWhatRanBeforeThemAreToldApart) {
  HandReactor reactor;
  reactor.post([&] { reactor.pass(kLong, kLong); });  // a stall of its own
  reactor.pass(kSecond, kSecond);                     // looking for work, which is no task
  reactor.post([&] {
    reactor.pass(kLong, kMillisecond);
    ++reactor.use.involuntary_switches;
  });
  ASSERT_EQ(reactor.seen.size(), 2U);
  EXPECT_FALSE(reactor.seen[0].preempted);
  EXPECT_TRUE(reactor.seen[1].preempted);
  EXPECT_EQ(reactor.seen[1].cpu_ns, kMillisecond);
}

Task<void> many_short(HandReactor& reactor) {
  for (int i = 0; i < 1000; ++i) {
    reactor.pass(10'000, 10'000);  // 10 ms in all
    co_await yield();
  }
}
TEST(Stalls, CpuTimeIsNotAskedForBeforeEveryTask) {
  HandReactor reactor;
  reactor.run(many_short(reactor));
  EXPECT_TRUE(reactor.seen.empty());
  EXPECT_LE(reactor.reads, 4U);
}

TEST(Timers, ATimerMayEndItself) {
  HandReactor reactor;
  int fired = 0;
  std::optional<Timer> once, other;
  once.emplace([&] {
    ++fired;
    once.reset();
  });
  other.emplace([&] { ++fired; });
  once->arm_at(reactor, reactor.clock);
  other->arm_at(reactor, reactor.clock);
  reactor.turn();
  EXPECT_EQ(fired, 2);
  EXPECT_FALSE(once);
  EXPECT_FALSE(other->armed());
}

TEST(Timers, ATimerMayEndAnotherOneThatIsDue) {
  HandReactor reactor;
  int fired = 0;
  std::optional<Timer> first, second;
  first.emplace([&] {
    ++fired;
    second.reset();
  });
  second.emplace([&] { ++fired; });
  first->arm_at(reactor, reactor.clock);
  second->arm_at(reactor, reactor.clock);
  reactor.turn();
  EXPECT_EQ(fired, 1);
}

TEST(Timers, ATimerMayArmItselfAgain) {
  HandReactor reactor;
  int fired = 0;
  std::optional<Timer> timer;
  timer.emplace([&] {
    if (++fired < 3) timer->arm_at(reactor, reactor.clock);
  });
  timer->arm_at(reactor, reactor.clock);
  reactor.turn();
  EXPECT_EQ(fired, 3);
  EXPECT_FALSE(timer->armed());
}

}  // namespace
}  // namespace capstan::core
