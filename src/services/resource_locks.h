// Why this file exists: two calls must not change one pool at the same time. A resource lock is
// taken or refused at once, never waited for: the caller is told ABORTED and may retry
// (io-engine-behaviour section 3.1).
// Thread-safety: core 0. Guards do not outlive the ResourceLocks.
#pragma once

#include <set>
#include <string>

#include "base/result.h"
#include "services/name_guard.h"

namespace capstan::services {

class ResourceLocks {
 public:
  using Guard = NameGuard<ResourceLocks>;

  Result<Guard> try_lock(const std::string& name) {
    if (!held_.insert(name).second) {
      return fail(Code::kAborted, "Failed to acquire lock for the resource: " + name +
                                      ", lock already held by another call; retry");
    }
    return Guard(this, name);
  }
  bool held(const std::string& name) const { return held_.contains(name); }

 private:
  friend Guard;
  void unlock(const std::string& name) { held_.erase(name); }

  std::set<std::string> held_;
};

}  // namespace capstan::services
