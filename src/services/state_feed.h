// Why this file exists: the pools and replicas of the node as one model with a revision, so that
// whoever watches them (monitor_service.h) is told what changed, and a slow one only the newest of
// it. The model is kept only while somebody watches.
//
// A change is seen through the event bus at once; what has no event of its own (space that writes
// take) is looked for once a second, pool by pool. Each subscription remembers at most one pending
// change per object, so its size is bounded by the number of objects.
// Source: http-rpc sections 9 (state monitors) and 20.5.
// Lifetimes: the engine outlives the feed, the feed its subscriptions. Thread-safety: core 0.
#pragma once

#include <compare>
#include <cstdint>
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
#include "pool.pb.h"
#include "replica.pb.h"
#include "services/engine.h"

namespace capstan::services {

class StateFeed final : private EventBus::Listener, private storage::DeviceRegistry::Observer {
 public:
  enum class What : std::uint8_t { kPool, kReplica };
  enum class Event : std::uint8_t { kNone, kSnapshot, kCreated, kChanged, kDestroyed };

  struct Key {
    What what = What::kPool;
    std::string id;  // a pool's name, a replica's UUID
    auto operator<=>(const Key&) const = default;
  };
  // Exactly one is set; of a destroyed object it is what it was last.
  struct Object {
    std::shared_ptr<const mayastor::v1::Pool> pool;
    std::shared_ptr<const mayastor::v1::Replica> replica;
  };
  struct Change {
    std::uint64_t rev = 0;
    Event event = Event::kNone;  // kNone: only `synced` is to be told
    Key key;
    Object object;
    bool synced = false;  // with it, all that existed at the start has been told
  };

  class Subscription {
   public:
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    // The next change, the oldest first; nothing after `patience` nanoseconds without one
    // (0: waits for ever); the token's error when it fires first.
    core::Task<Result<std::optional<Change>>> next(core::CancelToken token, core::Nanos patience);
    // What is pending, at once; nothing when there is none.
    std::optional<Change> try_next();

   private:
    friend class StateFeed;
    struct Pending {
      std::uint64_t order = 0, rev = 0;
      Event event = Event::kNone;
      Object object;
    };
    Subscription(StateFeed& feed, std::set<What> kinds);
    void offer(const Key& key, Event event, const Object& object);
    void move_to_the_end(Pending& waiting, const Key& key);

    StateFeed& feed_;
    std::set<What> kinds_;
    std::map<Key, Pending> pending_;
    std::map<std::uint64_t, Key> by_age_;  // the same, in the order in which they are told
    std::uint64_t next_order_ = 0;
    std::size_t snapshots_ = 0;  // of pending_
    bool synced_told_ = false;
    core::Event changed_;
  };

  explicit StateFeed(Engine& engine);
  ~StateFeed() override;

  // kResourceExhausted when limits::kStateSubscribers watch already.
  Result<std::unique_ptr<Subscription>> subscribe(std::set<What> kinds);
  std::uint64_t epoch() const { return epoch_; }  // of this start of the node, never 0
  std::uint64_t rev() const { return rev_; }
  // "<epoch>-<rev>" of a model that has everything that has happened by now; empty when nobody
  // watches, or when there are more objects (limits::kStateSettleObjects) than to look at at once.
  std::string settle();

 private:
  void published(std::string_view category, std::string_view action, std::string_view target,
                 const EventBus::Details& details) override;
  void device_added(const storage::DeviceEntry&) override { look_soon(); }
  void device_removed(const storage::Device&) override { look_soon(); }
  void device_resized(const storage::Device&) override { look_soon(); }

  struct Held {
    Object object;
    std::string bytes;  // of the message, to compare
    bool seen = false;  // by the look that goes on
  };

  void look_soon();
  void arm(core::Nanos when);
  void look();  // compares the model with the engine and tells the differences
  bool compare(const Key& key, Object object);  // true when it differed
  void compare_replicas(const LoadedPool& loaded);
  void remove_unseen();
  void tell(const Key& key, Event event, const Object& object);

  Engine& engine_;
  std::uint64_t epoch_, rev_ = 0;
  std::map<Key, Held> objects_;
  std::set<Subscription*> subscriptions_;
  bool whole_ = false;  // the next look is at everything
  core::Nanos not_before_ = 0;
  core::Timer timer_;
};

// "created", …; "" for kNone.
std::string_view event_name(StateFeed::Event event);

}  // namespace capstan::services
