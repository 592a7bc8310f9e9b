// Why this file exists: see state_model.h.
#include "model/state_model.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace capstan::model {

std::string_view event_name(StateModel::Event event) {
  switch (event) {
    case StateModel::Event::kNone: return "";
    case StateModel::Event::kSnapshot: return "snapshot";
    case StateModel::Event::kCreated: return "created";
    case StateModel::Event::kChanged: return "changed";
    case StateModel::Event::kDestroyed: return "destroyed";
  }
  return "";
}

// --- Subscription --------------------------------------------------------------------------------

StateModel::Subscription::Subscription(StateModel& model, std::set<What> kinds)
    : model_(&model), kinds_(std::move(kinds)) {
  model_->subscriptions_.insert(this);
}

StateModel::Subscription::~Subscription() {
  if (!model_) return;
  model_->subscriptions_.erase(this);
  if (model_->subscriptions_.empty() && model_->unwatched_) model_->unwatched_();
}

// Revisions are told in ascending order.
void StateModel::Subscription::move_to_the_end(Pending& waiting, const Key& key) {
  by_age_.erase(waiting.order);
  waiting.order = next_order_++;
  by_age_.emplace(waiting.order, key);
}

// What a client has not seen yet is told in one: the newest state under the event that leads there.
void StateModel::Subscription::offer(const Key& key, Event event, const Object& object) {
  if (!kinds_.contains(key.what)) return;
  const auto position = pending_.find(key);
  if (position == pending_.end()) {
    const std::uint64_t order = next_order_++;
    by_age_.emplace(order, key);
    pending_.emplace(key, Pending{order, model_->rev_, event, object});
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
    waiting.rev = model_->rev_;
    if (waiting.event != Event::kSnapshot) move_to_the_end(waiting, key);
  }
  changed_.notify_all();
}

std::optional<StateModel::Change> StateModel::Subscription::try_next() {
  if (!model_) return std::nullopt;
  Change change;
  if (by_age_.empty()) {
    if (synced_told_ || snapshots_ != 0) return std::nullopt;
    change.rev = model_->rev_;
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

core::Task<Result<std::optional<StateModel::Change>>> StateModel::Subscription::next(
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
    if (broken_) co_return std::unexpected(*broken_);
    if (auto change = try_next()) co_return change;
    if (late) co_return std::nullopt;
    co_await changed_.wait();
  }
}

// --- StateModel ----------------------------------------------------------------------------------

StateModel::~StateModel() {
  CAPSTAN_ASSERT(subscriptions_.empty());
}

std::unique_ptr<StateModel::Subscription> StateModel::subscribe(std::set<What> kinds) {
  std::unique_ptr<Subscription> made(new Subscription(*this, std::move(kinds)));
  for (const auto& [key, held] : objects_) made->offer(key, Event::kSnapshot, held.object);
  return made;
}

void StateModel::break_off(const Error& error) {
  for (auto* subscription : std::exchange(subscriptions_, {})) {
    subscription->model_ = nullptr;
    subscription->pending_.clear();
    subscription->by_age_.clear();
    subscription->broken_ = error;
    subscription->changed_.notify_all();
  }
}

void StateModel::pin(std::uint64_t rev) {
  rev_ = rev;
  pinned_ = true;
}

const google::protobuf::Message& StateModel::Object::message() const {
  if (pool) return *pool;
  if (replica) return *replica;
  return *progress;
}

bool StateModel::put(const Key& key, Object object) {
  std::string bytes = object.message().SerializeAsString();
  const auto [position, added] = objects_.try_emplace(key);
  Held& held = position->second;
  held.seen = true;
  if (!added && held.bytes == bytes) return false;
  held.bytes = std::move(bytes);
  held.object = std::move(object);
  tell(key, added ? Event::kCreated : Event::kChanged, held.object);
  return true;
}

void StateModel::remove(const Key& key) {
  const auto gone = objects_.find(key);
  if (gone == objects_.end()) return;
  tell(key, Event::kDestroyed, gone->second.object);
  objects_.erase(gone);
}

void StateModel::begin_look(bool replicas_too) {
  for (auto& [key, held] : objects_) held.seen = !replicas_too && key.what == What::kReplica;
}

void StateModel::end_look() {
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

void StateModel::clear() {
  if (objects_.empty()) return;
  objects_.clear();
  if (!pinned_) ++rev_;
}

void StateModel::tell(const Key& key, Event event, const Object& object) {
  if (!pinned_) ++rev_;
  for (auto* subscription : subscriptions_) subscription->offer(key, event, object);
}

}  // namespace capstan::model
