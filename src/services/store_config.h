// Why this file exists: a store that the node is to open, as its configuration says it.
#pragma once

#include <string>

#include "storage/kv/store.h"

namespace capstan::services {

struct StoreConfig {
  std::string name, path;
  storage::kv::StoreOptions options;
};

}  // namespace capstan::services
