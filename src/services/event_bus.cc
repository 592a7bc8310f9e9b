// Why this file exists: see event_bus.h.
#include "services/event_bus.h"

#include <algorithm>

#include "base/limits.h"
#include "rpc/gone.h"

namespace capstan::services {

namespace {
constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

bool known(std::string_view category) {
  return std::ranges::find(EventBus::kCategories, category) != EventBus::kCategories.end();
}
}  // namespace

EventBus::Subscription::Subscription(EventBus& bus, Interest interest)
    : bus_(bus), interest_(std::move(interest)) {
  bus_.subscriptions_.insert(this);
  if (interest_.since == 0) return;
  for (const auto& event : bus_.kept_) {
    if (event.seq() > interest_.since) offer(event);
  }
}

EventBus::Subscription::~Subscription() {
  bus_.subscriptions_.erase(this);
}

void EventBus::Subscription::offer(const node::v1::Event& event) {
  const auto& categories = interest_.categories;
  if (!categories.empty() && !categories.contains(event.category())) return;
  if (queue_.size() >= limits::kEventQueueLength || (missed_ != 0 && interest_.abort_when_slow)) {
    ++missed_;
    return;
  }
  queue_.push_back(event);
  queue_.back().set_missed(std::exchange(missed_, 0));
  changed_.notify_all();
}

core::Task<Result<node::v1::Event>> EventBus::Subscription::next(core::CancelToken token) {
  while (queue_.empty()) {
    if (missed_ != 0 && interest_.abort_when_slow) {
      co_return fail(Code::kResourceExhausted,
                     "the client is too slow: events were lost; read faster, or ask again with "
                     "`since`");
    }
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
  // Nobody can ask for what came before the first event that somebody was told.
  if (subscriptions_.empty() && kept_.empty()) return;
  node::v1::Event event;
  event.set_id(env_.random_uuid().text());
  const std::uint64_t now = env_.wall_clock_ns();
  event.mutable_time()->set_seconds(static_cast<std::int64_t>(now / kNanosPerSecond));
  event.mutable_time()->set_nanos(static_cast<std::int32_t>(now % kNanosPerSecond));
  event.set_category(std::string(category));
  event.set_action(std::string(action));
  event.set_target(std::string(target));
  for (const auto& [key, value] : details) (*event.mutable_details())[key] = value;
  event.set_seq(++last_seq_);
  kept_.push_back(event);
  if (kept_.size() > limits::kEventQueueLength) kept_.pop_front();
  for (auto* subscription : subscriptions_) subscription->offer(event);
}

// The clock in microseconds is ahead of what events, one at a time, can have counted since then.
EventBus::EventBus(core::Env& env) : env_(env), last_seq_(env.wall_clock_ns() / 1000) {}

Result<void> EventBus::check_since(std::uint64_t since) const {
  const std::uint64_t oldest = last_seq_ - kept_.size();  // behind it everything is kept
  if (since == 0 || (since >= oldest && since <= last_seq_)) return {};
  std::string problem = "since: events behind " + std::to_string(since) +
                        (since < oldest ? " are not kept any more" : " have not happened yet") +
                        "; known are those behind " + std::to_string(oldest) + " up to " +
                        std::to_string(last_seq_) + ". Begin anew without `since`";
  if (since < oldest) return rpc::fail_gone(std::move(problem));
  return fail(Code::kOutOfRange, std::move(problem));
}

Result<std::unique_ptr<EventBus::Subscription>> EventBus::subscribe(Interest interest) {
  for (const std::string& category : interest.categories) {
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
  TRY(check_since(interest.since));
  return std::make_unique<Subscription>(*this, std::move(interest));
}

}  // namespace capstan::services
