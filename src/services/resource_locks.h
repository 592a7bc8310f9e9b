// Why this file exists: two calls must not change one pool at the same time. A resource lock is
// taken or refused at once, never waited for: the caller is told ABORTED and may retry
// (io-engine-behaviour section 3.1).
// Thread-safety: core 0. Guards do not outlive the ResourceLocks.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "base/result.h"

namespace capstan::services {

class ResourceLocks {
 public:
  class Guard {
   public:
    Guard() = default;
    Guard(ResourceLocks* locks, std::string name) : locks_(locks), name_(std::move(name)) {}
    Guard(Guard&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), name_(std::move(other.name_)) {}
    Guard& operator=(Guard&& other) noexcept {
      if (this != &other) {
        release();
        locks_ = std::exchange(other.locks_, nullptr);
        name_ = std::move(other.name_);
      }
      return *this;
    }
    ~Guard() { release(); }
    void release() {
      if (locks_) std::exchange(locks_, nullptr)->held_.erase(name_);
    }

   private:
    ResourceLocks* locks_ = nullptr;
    std::string name_;
  };

  Result<Guard> try_lock(const std::string& name) {
    if (!held_.insert(name).second) {
      return fail(Code::kAborted, "Failed to acquire lock for the resource: " + name +
                                      ", lock already held by another call; retry");
    }
    return Guard(this, name);
  }

 private:
  std::set<std::string> held_;
};

}  // namespace capstan::services
