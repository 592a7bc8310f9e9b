// Why this file exists: the deterministic environment. A SimWorld is one seed, one virtual clock
// and one reactor; a SimEnv is one node in it with its own disks, files and power. The same code
// that runs on UringEnv runs here on virtual time, with disks that lose, tear and reorder what was
// not synced and networks that split. A seed and a commit reproduce every run.
//
//     SimWorld world(seed);
//     SimEnv env(world);
//     env.add_disk("/disk0", SimDiskOptions{.size_bytes = 64 << 20});
//     world.run(test(env));                     // Task<void>; returns when it has ended
//
// Power: power_cut() (or cut_power_after(n), in the middle of the n-th I/O) fails everything in
// flight and everything later with EIO "power is off"; power_on() leaves what survived. Objects
// opened before the cut stay dead after it, so a coroutine of the old life cannot touch the new.
// Lifetimes: world outlives its nodes; nodes outlive every file, stream and listener they opened.
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/env.h"
#include "core/reactor.h"
#include "core/sim_disk.h"
#include "core/sim_network.h"
#include "core/sim_power.h"
#include "core/sim_random.h"

namespace capstan::core {

class SimEnv;
class SimFileSystem;
class SimWorld;

class SimReactor final : public Reactor {
 public:
  SimReactor() { set_now(clock_); }
  void post(std::move_only_function<void()> work) override { after(0, std::move(work)); }
  Nanos read_clock() const override { return clock_; }
  // Calls `work` at virtual time now + delay; equal times run in the order of these calls.
  void after(Nanos delay, std::move_only_function<void()> work);
  struct Delay {
    SimReactor& reactor;
    Nanos duration;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      reactor.after(duration, [&r = reactor, waiter = Suspended(handle)] { r.make_ready(waiter); });
    }
    void await_resume() const noexcept {}
  };
  // Suspends for `duration` of virtual time; not cancellable (a device owns the buffer meanwhile).
  Delay delay(Nanos duration) { return {*this, duration}; }

 protected:
  // One event per call, so that coroutines interleave between events of the same instant.
  void wait(bool block, Nanos deadline) override;

 private:
  Nanos clock_ = kSecond;
  std::uint64_t sequence_ = 0;
  struct Event {
    Nanos at;
    std::uint64_t sequence;
    std::move_only_function<void()> work;
    // Of two, whether this one comes later: the heap's front is the next.
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : sequence > other.sequence;
    }
  };
  std::vector<Event> events_;  // a heap
};

class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed);
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  std::uint64_t seed() const { return seed_; }
  SimRandom& random() { return random_; }
  SimReactor& reactor() { return reactor_; }
  SimNetworkHub& network() { return *hub_; }
  // Runs until `task` has ended. A task that waits for something that can never happen aborts with
  // "simulation deadlock".
  void run(Task<void> task) { reactor_.run(std::move(task)); }

  // Mixes what happened into the hash; two runs of a seed are equal iff their hashes are.
  void trace(std::uint64_t what, std::uint64_t first = 0, std::uint64_t second = 0);
  std::uint64_t trace_hash() const { return hash_; }
  unsigned add_node() { return nodes_++; }

 private:
  std::uint64_t seed_;
  SimRandom random_;
  SimReactor reactor_;
  std::unique_ptr<SimNetworkHub> hub_;
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
  unsigned nodes_ = 0;
};

class SimEnv final : public Env {
 public:
  // The node's address is `address`, or 10.0.0.<n> for the n-th node of the world.
  explicit SimEnv(SimWorld& world, std::string address = {});
  ~SimEnv() override;

  std::uint64_t wall_clock_ns() const override;
  void fill_random(MutableBytes out) override;
  FileSystem& files() override;
  SimNetwork& network() override { return *network_; }
  unsigned cores() const override { return 1; }
  Reactor& reactor(unsigned core) override;

  SimWorld& world() { return world_; }
  const std::string& address() const { return network_->host(); }

  // A disk that files().open(path) finds as a block device. The reference stays valid.
  SimDisk& add_disk(const std::string& path, SimDiskOptions options = {});
  SimDisk& disk(const std::string& path);

  void power_cut();
  // The process dies as by kill -9 and the power stays on: what completed is there, what was in
  // flight may be. power_on() then starts the process again.
  void kill();
  void power_on();
  bool powered() const { return power_.on(); }
  // The power fails during the n-th I/O from now (n = 1: the next one); 0 takes the order back.
  // Reads, writes, syncs, deallocations and truncations of disks and files count.
  void cut_power_after(std::uint64_t ios) { power_.cut_after(ios, SimPower::Cut::kPower); }
  void kill_after(std::uint64_t ios) { power_.cut_after(ios, SimPower::Cut::kKill); }
  std::uint64_t io_count() const { return power_.io_count(); }

 private:
  SimWorld& world_;
  SimPower power_;
  std::map<std::string, std::unique_ptr<SimDisk>> disks_;
  std::unique_ptr<SimFileSystem> files_;
  std::unique_ptr<SimNetwork> network_;
};

}  // namespace capstan::core
