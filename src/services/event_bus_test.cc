// Why this file exists: a slow listener loses events, is told how many, and costs nobody anything.
#include "services/event_bus.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/sim_env.h"

namespace capstan::services {
namespace {

namespace n1 = ::capstan::node::v1;

core::Task<void> overflow(EventBus& bus, std::vector<node::v1::Event>* out) {
  auto subscription = bus.subscribe({});
  if (!subscription) co_return;
  constexpr std::size_t kLost = 7;
  for (std::size_t i = 0; i < limits::kEventQueueLength + kLost; ++i) {
    bus.publish("pool", "create", std::to_string(i));
  }
  for (std::size_t i = 0; i < limits::kEventQueueLength; ++i) {
    auto event = co_await (*subscription)->next({});
    if (event) out->push_back(*event);
  }
  bus.publish("pool", "create", "after");
  auto event = co_await (*subscription)->next({});
  if (event) out->push_back(*event);
  bus.publish("pool", "create", "last");
  event = co_await (*subscription)->next({});
  if (event) out->push_back(*event);
}

TEST(EventBus, ASlowListenerIsToldWhatItMissed) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  EventBus bus(env);
  std::vector<node::v1::Event> events;
  world.run(overflow(bus, &events));
  ASSERT_EQ(events.size(), limits::kEventQueueLength + 2);
  EXPECT_EQ(events[limits::kEventQueueLength - 1].missed(), 0U);
  EXPECT_EQ(events[limits::kEventQueueLength].target(), "after");
  EXPECT_EQ(events[limits::kEventQueueLength].missed(), 7U);
  EXPECT_EQ(events[limits::kEventQueueLength + 1].missed(), 0U);
}

core::Task<void> overflow_and_end(EventBus* bus, std::vector<std::string>* heard, Error* end) {
  auto subscription = bus->subscribe({.abort_when_slow = true});
  if (!subscription) co_return;
  for (std::size_t i = 0; i < limits::kEventQueueLength + 1; ++i) {
    bus->publish("pool", "create", std::to_string(i));
  }
  for (std::size_t i = 0; i < 2 * limits::kEventQueueLength; ++i) {
    auto event = co_await (*subscription)->next({});
    bus->publish("pool", "create", "later");  // there is room again, but something is missing
    if (!event) {
      *end = event.error();
      co_return;
    }
    heard->push_back(event->target());
  }
}

TEST(EventBus, OrItsStreamEnds) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  EventBus bus(env);
  std::vector<std::string> heard;
  Error end;
  world.run(overflow_and_end(&bus, &heard, &end));
  ASSERT_EQ(heard.size(), limits::kEventQueueLength);
  EXPECT_EQ(heard.back(), std::to_string(limits::kEventQueueLength - 1));
  EXPECT_EQ(end.code, Code::kResourceExhausted);
}

core::Task<void> go_on_behind(EventBus* bus, std::vector<n1::Event>* all,
                              std::vector<std::string>* again) {
  auto first = bus->subscribe({});
  for (const char* target : {"a", "b", "c"}) bus->publish("pool", "create", target);
  bus->publish("replica", "create", "r");
  for (int i = 0; i < 4; ++i) all->push_back((co_await (*first)->next({})).value());
  auto second = bus->subscribe({.categories = {"pool"}, .since = all->front().seq()});
  bus->publish("pool", "create", "d");
  for (int i = 0; second && i < 3; ++i) {
    again->push_back((co_await (*second)->next({})).value().target());
  }
}

TEST(EventBus, GoesOnBehindWhatWasSeen) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  EventBus bus(env);
  std::vector<n1::Event> all;
  std::vector<std::string> again;
  world.run(go_on_behind(&bus, &all, &again));
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_EQ(all[i].seq(), all[i - 1].seq() + 1);
  EXPECT_EQ(again, (std::vector<std::string>{"b", "c", "d"}));
  const std::uint64_t last = all.back().seq() + 1;  // that of "d"
  EXPECT_TRUE(bus.subscribe({.since = last}));
  const auto ahead = bus.subscribe({.since = last + 1});
  ASSERT_FALSE(ahead);
  EXPECT_EQ(ahead.error().code, Code::kOutOfRange);
  for (std::size_t i = 0; i < limits::kEventQueueLength; ++i) bus.publish("pool", "create", "x");
  EXPECT_TRUE(bus.subscribe({.since = last}));
  const auto behind = bus.subscribe({.since = last - 1});
  ASSERT_FALSE(behind);
  EXPECT_EQ(behind.error().code, Code::kNotFound);
  EXPECT_EQ(behind.error().details->reason, "GONE");
}

TEST(EventBus, ListenersAreLimited) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  EventBus bus(env);
  std::vector<std::unique_ptr<EventBus::Subscription>> all;
  for (std::size_t i = 0; i < limits::kEventSubscribers; ++i) {
    auto one = bus.subscribe({});
    ASSERT_TRUE(one);
    all.push_back(*std::move(one));
  }
  const auto refused = bus.subscribe({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  all.pop_back();
  EXPECT_TRUE(bus.subscribe({}));
}

TEST(EventBus, UnknownCategoriesAreRefused) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  EventBus bus(env);
  const auto refused = bus.subscribe({.categories = {"pool", "pools"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message,
            "there are no events of category 'pools'; known are pool, replica, device, store, "
            "node");
  for (const auto category : EventBus::kCategories) {
    EXPECT_TRUE(bus.subscribe({.categories = {std::string(category)}})) << category;
  }
}

core::Task<void> wait_cancelled(EventBus& bus, core::CancelToken token, Code* code) {
  auto subscription = bus.subscribe({.categories = {"pool"}});
  if (!subscription) co_return;
  bus.publish("replica", "create", "not asked for");
  const auto event = co_await (*subscription)->next(token);
  *code = event ? Code::kOk : event.error().code;
}

TEST(EventBus, WaitingEndsWithTheToken) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  EventBus bus(env);
  core::CancelSource source;
  core::Timer timer([&] { source.fire(Code::kDeadlineExceeded); });
  timer.arm_at(world.reactor(), world.reactor().now() + core::kSecond);
  Code code = Code::kOk;
  world.run(wait_cancelled(bus, source.token(), &code));
  EXPECT_EQ(code, Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace capstan::services
