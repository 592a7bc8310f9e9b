// Why this file exists: the settings of the NVMe target from options, environment and -y
// (io-engine-behaviour sections 1.1, 1.2, 2.1 and 17.1).
#pragma once

#include "apps/io_engine/config.h"

namespace capstan::apps {

// After the file of -y has been read.
Result<void> read_shares(const Surroundings& surroundings, const Settings& settings,
                         NodeConfig& config);

}  // namespace capstan::apps
