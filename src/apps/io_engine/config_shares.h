// Why this file exists: the settings of the NVMe target and initiator from options, environment and
// -y (io-engine-behaviour sections 1.1, 1.2, 2.1 and 17.1).
#pragma once

#include "apps/io_engine/config.h"

namespace capstan::apps {

// After the file of -y has been read.
Result<void> read_shares(const Surroundings& surroundings, const Settings& settings,
                         NodeConfig& config);

// Section nvme_bdev_opts of -y and its variables: what devices of other nodes get unless their URI
// says otherwise. Only what differs from Mayastor's defaults counts (exported files have them all);
// the rest has this node's own, which do not remove a device after five seconds of silence.
Result<void> read_remotes(const Settings& settings, NodeConfig& config);

}  // namespace capstan::apps
