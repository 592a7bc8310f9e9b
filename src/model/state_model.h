// Why this file exists: the pools and replicas of a node, and how far it is in opening them, as one
// model with a revision, so that whoever watches is told what changed, and a slow one only the
// newest of it. The node fills
// it from its engine (services/state_feed.h), a gateway from what the node tells it
// (apps/gateway/mirror.h); those who watch cannot tell which.
//
// Each subscription remembers at most one pending change per object, so its size is bounded by the
// number of objects.
// Source: http-rpc sections 9 (state monitors) and 20.5.
// Lifetimes: the model outlives its subscriptions. Thread-safety: one core.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/cancel.h"
#include "core/reactor.h"
#include "core/sync.h"
#include "core/task.h"
#include "monitor/monitor.pb.h"
#include "pool.pb.h"
#include "replica.pb.h"

namespace capstan::model {

class StateModel {
 public:
  enum class What : std::uint8_t { kPool, kReplica, kProgress };
  enum class Event : std::uint8_t { kNone, kSnapshot, kCreated, kChanged, kDestroyed };

  struct Key {
    What what = What::kPool;
    std::string id;  // a pool's name, a replica's UUID; of the one progress none
    auto operator<=>(const Key&) const = default;
  };
  // Exactly one is set; of a destroyed object it is what it was last.
  struct Object {
    std::shared_ptr<const mayastor::v1::Pool> pool = {};
    std::shared_ptr<const mayastor::v1::Replica> replica = {};
    std::shared_ptr<const monitor::v1::Bootstrapped> progress = {};
    const google::protobuf::Message& message() const;
  };
  struct Change {
    std::uint64_t rev = 0;
    Event event = Event::kNone;  // kNone: only `synced` is to be told
    Key key;
    Object object;
    bool synced = false;  // with it, all that existed at the start has been told
  };
  struct Held {
    Object object;
    std::string bytes;  // of the message, to compare
    bool seen = false;  // by the look that goes on
  };

  class Subscription {
   public:
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    // The next change, the oldest first; nothing after `patience` nanoseconds without one
    // (0: waits for ever); the token's error when it fires first, the model's when it broke off.
    core::Task<Result<std::optional<Change>>> next(core::CancelToken token, core::Nanos patience);
    // What existed at the start and is not wanted is not told, nor counted for `synced`. Before
    // anything is told.
    template <class Wanted>
    void narrow(Wanted wanted);
    // What is pending, at once; nothing when there is none.
    std::optional<Change> try_next();

   private:
    friend class StateModel;
    struct Pending {
      std::uint64_t order = 0, rev = 0;
      Event event = Event::kNone;
      Object object;
    };
    Subscription(StateModel& model, std::set<What> kinds);
    void offer(const Key& key, Event event, const Object& object);
    void move_to_the_end(Pending& waiting, const Key& key);

    StateModel* model_;  // null once it has broken off
    std::set<What> kinds_;
    std::map<Key, Pending> pending_;
    std::map<std::uint64_t, Key> by_age_;  // the same, in the order in which they are told
    std::uint64_t next_order_ = 0;
    std::size_t snapshots_ = 0;  // of pending_
    bool synced_told_ = false;
    std::optional<Error> broken_;
    core::Event changed_;
  };

  // `unwatched` is called when the last subscription has gone.
  explicit StateModel(std::function<void()> unwatched = {}) : unwatched_(std::move(unwatched)) {}
  ~StateModel();
  StateModel(const StateModel&) = delete;
  StateModel& operator=(const StateModel&) = delete;

  // All that exists is told first.
  std::unique_ptr<Subscription> subscribe(std::set<What> kinds);
  std::size_t watchers() const { return subscriptions_.size(); }
  // Every subscription ends with `error` after what it has been offered was dropped.
  void break_off(const Error& error);

  std::uint64_t rev() const { return rev_; }
  const std::map<Key, Held>& objects() const { return objects_; }

  // Each change gets the next revision, until a revision is pinned: then all get that one.
  void pin(std::uint64_t rev);
  // True when it differed from what was there, which is then told.
  bool put(const Key& key, Object object);
  void remove(const Key& key);
  // Between the two everything that exists is put again; what was not is gone. Without
  // `replicas_too` replicas stay as they are.
  void begin_look(bool replicas_too);
  void end_look();
  // Forgets all objects without telling anybody; those who come back cannot know what happened.
  void clear();

 private:
  void tell(const Key& key, Event event, const Object& object);

  std::function<void()> unwatched_;
  std::uint64_t rev_ = 0;
  bool pinned_ = false;
  std::map<Key, Held> objects_;
  std::set<Subscription*> subscriptions_;
};

template <class Wanted>
void StateModel::Subscription::narrow(Wanted wanted) {
  for (auto position = pending_.begin(); position != pending_.end();) {
    const auto at = position++;
    const Pending& waiting = at->second;
    if (waiting.event != Event::kSnapshot || wanted(at->first, waiting.object)) continue;
    --snapshots_;
    by_age_.erase(waiting.order);
    pending_.erase(at);
  }
}

// "created", …; "" for kNone.
std::string_view event_name(StateModel::Event event);

}  // namespace capstan::model
