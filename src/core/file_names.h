// Why this file exists: what a file system may be able to do beside core/env.h's FileSystem, for
// whoever replaces a file by a new one under its name: find out which name that really is, and give
// the new file the old one's owner and permissions. A FileSystem that can is also a FileNames
// (dynamic_cast); the simulated one has neither links nor permissions and is not.
// Thread-safety: any; the calls block for as long as the kernel needs to look up a name.
#pragma once

#include <string>

#include "base/result.h"

namespace capstan::core {

class FileNames {
 public:
  virtual ~FileNames() = default;
  // The absolute path that `path` leads to, symbolic links followed. The last part, or what a link
  // names, may be missing; a missing folder is kNotFound.
  virtual Result<std::string> resolve(std::string path) = 0;
  // Gives `to` the permissions of `from`, and its owner and group as far as this process may.
  virtual Result<void> copy_access(const std::string& from, const std::string& to) = 0;
};

}  // namespace capstan::core
