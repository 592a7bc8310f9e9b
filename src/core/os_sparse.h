// Why this file exists: finding the holes of a sparse file (SEEK_DATA / SEEK_HOLE), so that an
// image of a terabyte with a gigabyte of data costs a gigabyte. io_uring has no such operation;
// the calls only look at the file's extent map and do not read data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace capstan::core {

struct FileExtent {
  std::uint64_t offset = 0, length = 0;
};

class SparseMap {
 public:
  static Result<SparseMap> open(std::string path);
  SparseMap(SparseMap&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
  SparseMap& operator=(SparseMap&&) = delete;
  ~SparseMap();

  // The first range at or after `offset` that may hold data; nothing when only a hole is left.
  // A file system that does not know its holes answers the whole rest as data.
  Result<std::optional<FileExtent>> next_data(std::uint64_t offset);

 private:
  SparseMap(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  int descriptor_ = -1;
  std::string path_;
};

}  // namespace capstan::core
