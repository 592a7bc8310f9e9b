// Why this file exists: see os_sparse.h.
#include "core/os_sparse.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace capstan::core {

Result<SparseMap> SparseMap::open(std::string path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail_errno(errno, "open '" + path + "'");
  return SparseMap(descriptor, std::move(path));
}

SparseMap::~SparseMap() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<std::optional<FileExtent>> SparseMap::next_data(std::uint64_t offset) {
  const auto from = static_cast<off_t>(offset);
  const off_t end = ::lseek(descriptor_, 0, SEEK_END);
  if (end < 0) return fail_errno(errno, "find the size of '" + path_ + "'");
  if (from >= end) return std::optional<FileExtent>{};
  const off_t data = ::lseek(descriptor_, from, SEEK_DATA);
  if (data < 0 && errno == ENXIO) return std::optional<FileExtent>{};
  if (data < 0 && errno == EINVAL) {  // block devices and old file systems: no map
    return std::optional<FileExtent>(FileExtent{offset, static_cast<std::uint64_t>(end) - offset});
  }
  if (data < 0) return fail_errno(errno, "find data in '" + path_ + "'");
  off_t hole = ::lseek(descriptor_, data, SEEK_HOLE);
  if (hole < 0) {
    if (errno != EINVAL) return fail_errno(errno, "find holes in '" + path_ + "'");
    hole = end;
  }
  return std::optional<FileExtent>(
      FileExtent{static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(hole - data)});
}

}  // namespace capstan::core
