// Why this file exists: after a restart the node opens its pools by itself, whatever their disks
// do meanwhile: side by side, so that none waits for the disk of another one; what stands on a
// volume after the pool of that volume, whatever their names are; and the node does not wait
// longer than limits::kPoolRestoreNanos for any. A pool whose disk hangs joins the node when the
// disk answers; one whose disk is missing is tried again every limits::kPoolRetryNanos, and one
// whose device is missing when such a device comes. Until then it is in Engine::unavailable(), and
// calls that would get in the way of the opening are refused.
// Lifetimes: belongs to the engine, whose other parts outlive it. Thread-safety: core 0.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "core/sync.h"
#include "core/task.h"
#include "node/state.pb.h"
#include "services/event_bus.h"
#include "storage/device/registry.h"

namespace capstan::services {

class Engine;

class PoolRestore final : private EventBus::Listener, private storage::DeviceRegistry::Observer {
 public:
  explicit PoolRestore(Engine& engine);
  ~PoolRestore() override;

  // Begins with every recorded pool. Returns when each is open, cannot be opened now, or has had
  // its time.
  core::Task<void> start();
  // Begins with no further one.
  void give_up();
  // Waits until nothing is being opened any more.
  core::Task<void> join() { return scope_.join(); }

  // kUnavailable while the pool of that name is being opened here: which disk it waits for, and
  // what to do. Pools that are open, unknown or not being opened are fine.
  Result<void> check(std::string_view pool) const;
  // The same for all pools: kUnavailable while any is being opened.
  Result<void> check_all() const;
  // Whether the pool is opened by itself as soon as its disk is there.
  bool expects(std::string_view pool) const;

 private:
  enum class State { kNew, kOpening, kMissing, kSettled };
  struct One {
    node::v1::PoolRecord record;
    std::optional<std::string> device;  // that others make, and that must come first
    State state = State::kNew;
    core::Nanos since = 0;                      // kOpening: when it began; kMissing: when it failed
    bool late = false;                          // kOpening: nobody waits for it any more
    std::weak_ptr<storage::Device> tried = {};  // `device` as it was when the opening began
  };
  using Ones = std::map<std::string, One, std::less<>>;

  void device_added(const storage::DeviceEntry&) override { step_soon(); }
  void device_removed(const storage::Device&) override {}
  void device_resized(const storage::Device&) override {}
  void published(std::string_view category, std::string_view action, std::string_view target,
                 const EventBus::Details& details) override;

  // Looks who is late, begins what can begin, and sets the timer for the next look.
  void step();
  void step_soon();
  void drop_settled();
  void mark_late();
  void begin_what_can();
  void serve();
  void set_timer();
  bool can_begin(const One& one) const;
  std::optional<core::Nanos> next_look(const One& one) const;
  void begin(const std::string& name, One& one);
  core::Task<void> open(std::string name);
  void failed(const std::string& name, One& one, const Error& error);
  // The pool is unavailable for this reason: listed, logged and published.
  void tell(const std::string& name, const One& one, std::string reason);
  std::size_t in_time() const;  // how many are being opened and are not late

  Engine& engine_;
  Ones ones_;
  bool given_up_ = false;
  core::Event served_;  // start() need not wait any longer
  core::Timer timer_;
  core::Scope scope_;
};

}  // namespace capstan::services
