// Why this file exists: the pool file (-P): pools that the node creates, or imports when they exist
// already, each time it starts (io-engine-behaviour section 2.2).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::apps {

struct PoolFileEntry {
  std::string name;
  std::vector<std::string> disks;
  bool lvm = false;  // backend: Lvm
};

// kInvalidArgument names `file`, the line and what is wrong. An empty text is an empty list.
Result<std::vector<PoolFileEntry>> parse_pool_file(const std::string& text,
                                                   const std::string& file);

}  // namespace capstan::apps
