// Why this file exists: see event_bus.h.
#include "services/event_bus.h"

#include <algorithm>

#include "base/limits.h"

namespace capstan::services {

namespace {
constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

bool known(std::string_view category) {
  return std::ranges::find(EventBus::kCategories, category) != EventBus::kCategories.end();
}
}  // namespace

EventBus::Subscription::Subscription(EventBus& bus, std::set<std::string> categories)
    : bus_(bus), categories_(std::move(categories)) {
  bus_.subscriptions_.insert(this);
}

EventBus::Subscription::~Subscription() {
  bus_.subscriptions_.erase(this);
}

void EventBus::Subscription::offer(const node::v1::Event& event) {
  if (!categories_.empty() && !categories_.contains(event.category())) return;
  if (queue_.size() >= limits::kEventQueueLength) {
    ++missed_;
    return;
  }
  queue_.push_back(event);
  queue_.back().set_missed(std::exchange(missed_, 0));
  changed_.notify_all();
}

core::Task<Result<node::v1::Event>> EventBus::Subscription::next(core::CancelToken token) {
  while (queue_.empty()) {
    CO_TRY(token.check());
    const core::CancelCallback wake(token, [this] { changed_.notify_all(); });
    co_await changed_.wait();
  }
  node::v1::Event event = std::move(queue_.front());
  queue_.pop_front();
  co_return event;
}

void EventBus::publish(std::string_view category, std::string_view action, std::string_view target,
                       const Details& details) {
  CAPSTAN_ASSERT(known(category));
  for (auto* listener : listeners_) listener->published(category, action, target, details);
  if (subscriptions_.empty()) return;
  node::v1::Event event;
  event.set_id(env_.random_uuid().text());
  const std::uint64_t now = env_.wall_clock_ns();
  event.mutable_time()->set_seconds(static_cast<std::int64_t>(now / kNanosPerSecond));
  event.mutable_time()->set_nanos(static_cast<std::int32_t>(now % kNanosPerSecond));
  event.set_category(std::string(category));
  event.set_action(std::string(action));
  event.set_target(std::string(target));
  for (const auto& [key, value] : details) (*event.mutable_details())[key] = value;
  for (auto* subscription : subscriptions_) subscription->offer(event);
}

Result<std::unique_ptr<EventBus::Subscription>> EventBus::subscribe(
    std::set<std::string> categories) {
  for (const std::string& category : categories) {
    if (known(category)) continue;
    std::string all;
    for (const auto one : kCategories) all += (all.empty() ? "" : ", ") + std::string(one);
    return fail_field("categories",
                      "there are no events of category '" + category + "'; known are " + all);
  }
  if (subscriptions_.size() >= limits::kEventSubscribers) {
    return fail(Code::kResourceExhausted,
                std::to_string(subscriptions_.size()) +
                    " clients monitor events already, which is the limit; end one of them");
  }
  return std::make_unique<Subscription>(*this, std::move(categories));
}

}  // namespace capstan::services
