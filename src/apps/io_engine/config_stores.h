// Why this file exists: the options of key/value stores (--kv, --kv-sync, --kv-verify) as what the
// node opens.
#pragma once

#include <vector>

#include "apps/serving/options.h"
#include "services/store_config.h"

namespace capstan::apps {

// Errors are usage errors.
Result<std::vector<services::StoreConfig>> read_stores(const Settings& settings);

}  // namespace capstan::apps
