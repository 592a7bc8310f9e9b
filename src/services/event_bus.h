// Why this file exists: what happens on the node, told to whoever listens (NodeRpc.MonitorEvents).
// Publishing never waits: a subscriber that is slow loses events and is told how many, so a slow
// client can neither stop the node nor fill its memory.
// Lifetimes: the bus outlives its subscriptions; both belong to core 0.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/env.h"
#include "core/sync.h"
#include "core/task.h"
#include "node/node.pb.h"

namespace capstan::services {

class EventBus {
 public:
  using Details = std::map<std::string, std::string>;
  // What an event may be about; publishing under another name is a mistake in the program.
  static constexpr std::array<std::string_view, 5> kCategories{"pool", "replica", "device", "store",
                                                               "node"};

  struct Interest {
    std::set<std::string> categories = {};  // empty: all
    std::uint64_t since = 0;                // those behind the one of this `seq` first; 0: none
    bool abort_when_slow = false;           // instead of losing events
  };

  class Subscription {
   public:
    Subscription(EventBus& bus, Interest interest);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    // The next event; the token's error when it fires first. kResourceExhausted once events were
    // lost which may not be.
    core::Task<Result<node::v1::Event>> next(core::CancelToken token);

   private:
    friend class EventBus;
    void offer(const node::v1::Event& event);

    EventBus& bus_;
    Interest interest_;
    std::deque<node::v1::Event> queue_;
    std::uint64_t missed_ = 0;  // since the last event that found room
    core::Event changed_;
  };

  // Is told of every event in the middle of publish(); must not wait, publish or subscribe.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void published(std::string_view category, std::string_view action,
                           std::string_view target, const Details& details) = 0;
  };

  explicit EventBus(core::Env& env);
  ~EventBus() { CAPSTAN_ASSERT(subscriptions_.empty() && listeners_.empty()); }

  // Until forget(), which comes before the listener goes.
  void listen(Listener& listener) { listeners_.insert(&listener); }
  void forget(Listener& listener) { listeners_.erase(&listener); }

  void publish(std::string_view category, std::string_view action, std::string_view target,
               const Details& details = {});
  // kInvalidArgument for a category that does not exist; kOutOfRange when events behind `since` are
  // not kept any more; kResourceExhausted when limits::kEventSubscribers listen already.
  Result<std::unique_ptr<Subscription>> subscribe(Interest interest);

 private:
  Result<void> check_since(std::uint64_t since) const;

  core::Env& env_;
  std::uint64_t last_seq_;            // larger than any of an earlier start
  std::deque<node::v1::Event> kept_;  // the last ones, limits::kEventQueueLength at most
  std::set<Subscription*> subscriptions_;
  std::set<Listener*> listeners_;
};

}  // namespace capstan::services
