// Why this file exists: a slow listener loses events, is told how many, and costs nobody anything.
#include "services/event_bus.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/sim_env.h"

namespace capstan::services {
namespace {

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
  const auto refused = bus.subscribe({"pool", "pools"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message,
            "there are no events of category 'pools'; known are pool, replica, device, store, "
            "node");
  for (const auto category : EventBus::kCategories) {
    EXPECT_TRUE(bus.subscribe({std::string(category)})) << category;
  }
}

core::Task<void> wait_cancelled(EventBus& bus, core::CancelToken token, Code* code) {
  auto subscription = bus.subscribe({"pool"});
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
