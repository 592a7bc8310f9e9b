// Why this file exists: keeps the node's StateModel in step with the engine, while somebody
// watches.
//
// A change is seen through the event bus at once; what has no event of its own (space that writes
// take) is looked for once a second, pool by pool.
// Lifetimes: the engine outlives the feed, the feed its subscriptions. Thread-safety: core 0.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string_view>

#include "core/reactor.h"
#include "model/state_monitors.h"
#include "services/engine.h"

namespace capstan::services {

class StateFeed final : public model::StateSource,
                        private EventBus::Listener,
                        private storage::DeviceRegistry::Observer {
 public:
  explicit StateFeed(Engine& engine);
  ~StateFeed() override;

  // kResourceExhausted when limits::kStateSubscribers watch already.
  Result<std::unique_ptr<Subscription>> subscribe(std::set<What> kinds) override;
  std::uint64_t epoch() const override { return epoch_; }  // of this start of the node, never 0
  std::uint64_t rev() const override { return model_.rev(); }
  // "<epoch>-<rev>" of a model that has everything that has happened by now; empty when nobody
  // watches, or when there are more objects (limits::kStateSettleObjects) than to look at at once.
  std::string settle();

 private:
  void published(std::string_view category, std::string_view action, std::string_view target,
                 const EventBus::Details& details) override;
  void device_added(const storage::DeviceEntry&) override { look_soon(); }
  void device_removed(const storage::Device&) override { look_soon(); }
  void device_resized(const storage::Device&) override { look_soon(); }

  void look_soon();
  void arm(core::Nanos when);
  void look();  // compares the model with the engine and tells the differences
  void compare_replicas(const LoadedPool& loaded);
  monitor::v1::Bootstrapped progress() const;
  void unwatched();

  Engine& engine_;
  std::uint64_t epoch_;
  model::StateModel model_;
  bool whole_ = false;  // the next look is at everything
  core::Nanos not_before_ = 0;
  core::Timer timer_;
};

}  // namespace capstan::services
