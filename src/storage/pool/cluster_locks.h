// Why this file exists: requests on one cluster of a volume must agree about its mapping: reads and
// overwrites share it, allocation and release have it alone (a released cluster may belong to
// another volume a moment later). Locks exist only while someone uses them.
//
// A request that needs several clusters takes them in ascending order, so nobody waits in a circle.
// Thread-safety: one core.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/sync.h"
#include "core/task.h"

namespace capstan::storage::lvs {

class ClusterLocks {
  struct Entry {
    core::SharedMutex mutex;
    std::size_t users = 0;  // holders and waiters
  };

 public:
  class Guard {
   public:
    Guard() = default;
    Guard(ClusterLocks* owner, std::uint64_t index, core::SharedMutex::Guard held)
        : owner_(owner), index_(index), held_(std::move(held)) {}
    Guard(Guard&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          index_(other.index_),
          held_(std::move(other.held_)) {}
    Guard& operator=(Guard&& other) noexcept {
      if (this != &other) {
        release();
        owner_ = std::exchange(other.owner_, nullptr);
        index_ = other.index_;
        held_ = std::move(other.held_);
      }
      return *this;
    }
    ~Guard() { release(); }
    void release() {
      if (!owner_) return;
      held_.release();
      std::exchange(owner_, nullptr)->leave(index_);
    }

   private:
    ClusterLocks* owner_ = nullptr;
    std::uint64_t index_ = 0;
    core::SharedMutex::Guard held_;
  };

  // At once or not at all: what nearly every request gets, without a coroutine of its own.
  std::optional<Guard> try_lock_shared(std::uint64_t index) {
    Entry& entry = join(index);
    auto held = entry.mutex.try_lock_shared();
    if (held) return Guard(this, index, *std::move(held));
    leave(index);
    return std::nullopt;
  }
  core::Task<Guard> lock_shared(std::uint64_t index) {
    Entry& entry = join(index);
    core::SharedMutex::Guard held = co_await entry.mutex.lock_shared();
    co_return Guard(this, index, std::move(held));
  }
  core::Task<Guard> lock(std::uint64_t index) {
    Entry& entry = join(index);
    core::SharedMutex::Guard held = co_await entry.mutex.lock();
    co_return Guard(this, index, std::move(held));
  }

 private:
  Entry& join(std::uint64_t index) {
    Entry& entry = entries_[index];
    ++entry.users;
    return entry;
  }
  void leave(std::uint64_t index) {
    auto found = entries_.find(index);
    if (--found->second.users == 0) entries_.erase(found);
  }
  std::unordered_map<std::uint64_t, Entry> entries_;  // references stay valid
};

}  // namespace capstan::storage::lvs
