// Why this file exists: errors that somebody orders for commands of a controller that this node is
// connected to, to see what hosts and what stands above them do: the n next commands of an opcode
// are answered with a status, instead of being sent or after they were done. Fused pairs are left
// alone. Kept by the controller, one list for its admin queue and one for all its I/O queues;
// reconnecting does not change them. Thread-safety: one core.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/reactor.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

struct HostFault {
  std::uint8_t opcode = 0;
  bool submit = true;      // false: the target never sees the command
  core::Nanos delay = 0;   // until the answer of one that is not sent
  std::uint32_t left = 1;  // commands that it happens to yet
  Status status;           // that they are answered with
};

class HostFaults {
 public:
  // In place of the one for that opcode, if there is one.
  void add(const HostFault& fault) {
    remove(fault.opcode);
    if (fault.left != 0) faults_.push_back(fault);
  }
  void remove(std::uint8_t opcode) {
    std::erase_if(faults_, [opcode](const auto& each) { return each.opcode == opcode; });
  }
  // What happens to a command that is about to leave.
  std::optional<HostFault> take(std::uint8_t opcode) {
    const auto found = std::ranges::find(faults_, opcode, &HostFault::opcode);
    if (found == faults_.end()) return std::nullopt;
    const HostFault fault = *found;
    if (--found->left == 0) faults_.erase(found);
    return fault;
  }

 private:
  std::vector<HostFault> faults_;
};

}  // namespace capstan::storage::nvme
