// Why this file exists: which core runs the I/O queues of a host. All queues of one host are on one
// core, so that the end of an old connection and the commands of a new one, or of another path, are
// seen in the order in which they came: on two cores a write of the lost connection could be read
// after the newer ones. Hosts go to the core with the fewest queues. Thread-safety: one core.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <vector>

#include "base/assert.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

class Placement {
 public:
  explicit Placement(std::size_t cores) : queues_(cores) {}

  // The core, from 0, for one more queue of that host.
  std::size_t take(const HostId& host) {
    const auto [at, first] = hosts_.try_emplace(host);
    if (first) {
      const auto least = std::ranges::min_element(queues_);
      at->second.core = static_cast<std::size_t>(least - queues_.begin());
    }
    ++at->second.queues;
    ++queues_[at->second.core];
    return at->second.core;
  }
  // One of the host's queues is gone.
  void give(const HostId& host) {
    const auto found = hosts_.find(host);
    CAPSTAN_ASSERT(found != hosts_.end());
    --queues_[found->second.core];
    if (--found->second.queues == 0) hosts_.erase(found);
  }
  std::size_t cores() const { return queues_.size(); }

 private:
  struct Place {
    std::size_t core = 0, queues = 0;
  };
  std::map<HostId, Place> hosts_;
  std::vector<std::size_t> queues_;  // by core
};

}  // namespace capstan::storage::nvme
