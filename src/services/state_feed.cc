// Why this file exists: see state_feed.h.
#include "services/state_feed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "services/monitor_limits.h"
#include "services/pool_v1.h"
#include "services/replica_v1.h"

namespace capstan::services {

namespace {

constexpr core::Nanos kLookEvery = core::kSecond;
// To look at an object takes about two microseconds; looks take at most a tenth of a core,
// whatever happens on the node.
constexpr core::Nanos kPausePerObject = 20'000;

std::uint64_t random_epoch(core::Env& env) {
  std::array<unsigned char, sizeof(std::uint64_t)> bytes{};
  env.fill_random(bytes);
  return std::max<std::uint64_t>(1, std::bit_cast<std::uint64_t>(bytes) >> 1);
}

}  // namespace

std::string_view event_name(StateFeed::Event event) {
  switch (event) {
    case StateFeed::Event::kNone: return "";
    case StateFeed::Event::kSnapshot: return "snapshot";
    case StateFeed::Event::kCreated: return "created";
    case StateFeed::Event::kChanged: return "changed";
    case StateFeed::Event::kDestroyed: return "destroyed";
  }
  return "";
}

// --- Subscription --------------------------------------------------------------------------------

StateFeed::Subscription::Subscription(StateFeed& feed, std::set<What> kinds)
    : feed_(feed), kinds_(std::move(kinds)) {
  feed_.subscriptions_.insert(this);
}

StateFeed::Subscription::~Subscription() {
  feed_.subscriptions_.erase(this);
  if (!feed_.subscriptions_.empty()) return;
  feed_.timer_.disarm();
  feed_.whole_ = false;
  if (feed_.objects_.empty()) return;
  feed_.objects_.clear();
  ++feed_.rev_;  // who comes back cannot know what happened meanwhile
}

// Revisions are told in ascending order.
void StateFeed::Subscription::move_to_the_end(Pending& waiting, const Key& key) {
  by_age_.erase(waiting.order);
  waiting.order = next_order_++;
  by_age_.emplace(waiting.order, key);
}

// What a client has not seen yet is told in one: the newest state under the event that leads there.
void StateFeed::Subscription::offer(const Key& key, Event event, const Object& object) {
  if (!kinds_.contains(key.what)) return;
  const auto position = pending_.find(key);
  if (position == pending_.end()) {
    const std::uint64_t order = next_order_++;
    by_age_.emplace(order, key);
    pending_.emplace(key, Pending{order, feed_.rev_, event, object});
    if (event == Event::kSnapshot) ++snapshots_;
    changed_.notify_all();
    return;
  }
  Pending& waiting = position->second;
  const bool unseen = waiting.event == Event::kSnapshot || waiting.event == Event::kCreated;
  if (event == Event::kDestroyed && unseen) {
    if (waiting.event == Event::kSnapshot) --snapshots_;
    by_age_.erase(waiting.order);
    pending_.erase(position);
  } else {
    if (!unseen) waiting.event = waiting.event == Event::kDestroyed ? Event::kChanged : event;
    waiting.object = object;
    waiting.rev = feed_.rev_;
    if (waiting.event != Event::kSnapshot) move_to_the_end(waiting, key);
  }
  changed_.notify_all();
}

std::optional<StateFeed::Change> StateFeed::Subscription::try_next() {
  Change change;
  if (by_age_.empty()) {
    if (synced_told_ || snapshots_ != 0) return std::nullopt;
    change.rev = feed_.rev_;
  } else {
    const auto oldest = by_age_.begin();
    const auto position = pending_.find(oldest->second);
    Pending& waiting = position->second;
    change.rev = waiting.rev;
    change.event = waiting.event;
    change.key = position->first;
    change.object = std::move(waiting.object);
    if (waiting.event == Event::kSnapshot) --snapshots_;
    pending_.erase(position);
    by_age_.erase(oldest);
  }
  // Snapshots are the first in the queue, so none is left when something else is told.
  change.synced = !synced_told_ && snapshots_ == 0;
  synced_told_ = synced_told_ || change.synced;
  return change;
}

core::Task<Result<std::optional<StateFeed::Change>>> StateFeed::Subscription::next(
    core::CancelToken token, core::Nanos patience) {
  auto& reactor = *core::Reactor::current();
  bool late = false;
  core::Timer timer([this, &late] {
    late = true;
    changed_.notify_all();
  });
  if (patience != 0) timer.arm_at(reactor, reactor.now() + patience);
  const core::CancelCallback wake(token, [this] { changed_.notify_all(); });
  while (true) {
    CO_TRY(token.check());
    if (auto change = try_next()) co_return change;
    if (late) co_return std::nullopt;
    co_await changed_.wait();
  }
}

// --- StateFeed -----------------------------------------------------------------------------------

StateFeed::StateFeed(Engine& engine)
    : engine_(engine), epoch_(random_epoch(engine.env())), timer_([this] { look(); }) {
  engine_.events().listen(*this);
  engine_.devices().observe(*this);
}

StateFeed::~StateFeed() {
  CAPSTAN_ASSERT(subscriptions_.empty());
  engine_.devices().unobserve(*this);
  engine_.events().forget(*this);
}

Result<std::unique_ptr<StateFeed::Subscription>> StateFeed::subscribe(std::set<What> kinds) {
  if (subscriptions_.size() >= limits::kStateSubscribers) {
    return fail(Code::kResourceExhausted,
                std::to_string(subscriptions_.size()) +
                    " clients monitor the node's state already, which is the limit; end one of "
                    "them or let them ask a gateway");
  }
  // Those who watch already are told what a look finds, the new one is told everything.
  if (objects_.empty() || core::Reactor::current()->now() >= not_before_) {
    whole_ = true;
    look();
  } else {
    look_soon();
  }
  std::unique_ptr<Subscription> made(new Subscription(*this, std::move(kinds)));
  for (const auto& [key, held] : objects_) made->offer(key, Event::kSnapshot, held.object);
  if (!timer_.armed()) arm(core::Reactor::current()->now() + kLookEvery);
  return made;
}

std::string StateFeed::settle() {
  if (subscriptions_.empty() || objects_.size() > limits::kStateSettleObjects) return {};
  whole_ = true;
  look();
  return std::to_string(epoch_) + "-" + std::to_string(rev_);
}

void StateFeed::published(std::string_view category, std::string_view, std::string_view,
                          const EventBus::Details&) {
  if (category == "pool" || category == "replica") look_soon();
}

// The engine may be in the middle of a change, so not now.
void StateFeed::look_soon() {
  if (subscriptions_.empty() || whole_) return;
  whole_ = true;
  arm(std::max(core::Reactor::current()->now(), not_before_));
}

void StateFeed::arm(core::Nanos when) {
  timer_.disarm();
  timer_.arm_at(*core::Reactor::current(), when);
}

void StateFeed::look() {
  const core::Nanos now = core::Reactor::current()->now();
  const bool whole = std::exchange(whole_, false);
  for (auto& [key, held] : objects_) held.seen = !whole && key.what == What::kReplica;
  for (const auto& [name, loaded] : engine_.pools()) {
    Object object;
    object.pool = std::make_shared<const mayastor::v1::Pool>(pool_message_v1(loaded));
    if (compare({What::kPool, name}, std::move(object)) || whole) compare_replicas(loaded);
  }
  remove_unseen();
  not_before_ = now + objects_.size() * kPausePerObject;
  if (!subscriptions_.empty()) arm(std::max(now + kLookEvery, not_before_));
}

void StateFeed::compare_replicas(const LoadedPool& loaded) {
  for (const auto& replica : loaded.pool->replicas()) {
    Object object;
    object.replica = std::make_shared<const mayastor::v1::Replica>(
        replica_message_v1(engine_.shares(), *replica));
    compare({What::kReplica, replica->uuid().text()}, std::move(object));
  }
}

bool StateFeed::compare(const Key& key, Object object) {
  std::string bytes =
      object.pool ? object.pool->SerializeAsString() : object.replica->SerializeAsString();
  const auto [position, added] = objects_.try_emplace(key);
  Held& held = position->second;
  held.seen = true;
  if (!added && held.bytes == bytes) return false;
  held.bytes = std::move(bytes);
  held.object = std::move(object);
  tell(key, added ? Event::kCreated : Event::kChanged, held.object);
  return true;
}

void StateFeed::remove_unseen() {
  for (auto position = objects_.begin(); position != objects_.end();) {
    if (position->second.seen) {
      ++position;
      continue;
    }
    const auto gone = position++;
    tell(gone->first, Event::kDestroyed, gone->second.object);
    objects_.erase(gone);
  }
}

void StateFeed::tell(const Key& key, Event event, const Object& object) {
  ++rev_;
  for (auto* subscription : subscriptions_) subscription->offer(key, event, object);
}

}  // namespace capstan::services
