// Why this file exists: a share that a control plane made as a replica's (ShareReplica) is stored
// with the replica; one that was made for a while (nexus_share) is not. Hosts see the difference as
// the time after which they repeat what failed (io-engine-behaviour section 17.2).
#pragma once

#include <cstdint>

#include "storage/nvme/subsystem.h"

namespace capstan::services {

inline constexpr std::uint8_t kReplicaDelay = 3;

inline bool is_replica_share(const storage::nvme::Subsystem& subsystem) {
  return subsystem.options().error_delay == kReplicaDelay;
}

}  // namespace capstan::services
