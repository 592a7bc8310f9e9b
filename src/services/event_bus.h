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

  class Subscription {
   public:
    Subscription(EventBus& bus, std::set<std::string> categories);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    // The next event; the token's error when it fires first.
    core::Task<Result<node::v1::Event>> next(core::CancelToken token);

   private:
    friend class EventBus;
    void offer(const node::v1::Event& event);

    EventBus& bus_;
    std::set<std::string> categories_;  // empty: all
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

  explicit EventBus(core::Env& env) : env_(env) {}
  ~EventBus() { CAPSTAN_ASSERT(subscriptions_.empty() && listeners_.empty()); }

  // Until forget(), which comes before the listener goes.
  void listen(Listener& listener) { listeners_.insert(&listener); }
  void forget(Listener& listener) { listeners_.erase(&listener); }

  void publish(std::string_view category, std::string_view action, std::string_view target,
               const Details& details = {});
  // kInvalidArgument for a category that does not exist; kResourceExhausted when
  // limits::kEventSubscribers listen already.
  Result<std::unique_ptr<Subscription>> subscribe(std::set<std::string> categories);

 private:
  core::Env& env_;
  std::set<Subscription*> subscriptions_;
  std::set<Listener*> listeners_;
};

}  // namespace capstan::services
