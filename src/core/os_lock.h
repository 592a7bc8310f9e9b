// Why this file exists: two nodes on one state directory would overwrite each other's state, so a
// node holds an advisory lock (flock) on a file there for as long as it lives. The kernel drops the
// lock when the process ends, however it ends: a lock file left behind means nothing.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace capstan::core {

class FileLock {
 public:
  // Creates `path` (mode 0600) when missing and locks it, writing this process's id into it.
  // kFailedPrecondition with EWOULDBLOCK, naming the holder's id, when somebody else holds it.
  static Result<FileLock> acquire(std::string path);

  FileLock(FileLock&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();
  const std::string& path() const { return path_; }

 private:
  FileLock(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_ = -1;
  std::string path_;
};

}  // namespace capstan::core
