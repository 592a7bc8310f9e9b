// Why this file exists: see os_map.h.
#include "core/os_map.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>

namespace capstan::core {

Result<MemoryMap> MemoryMap::make(int descriptor, std::uint64_t bytes, int protection, int flags) {
  void* data = ::mmap(nullptr, bytes, protection, flags | MAP_NORESERVE, descriptor, 0);
  if (data == MAP_FAILED) {
    return fail_errno(errno, "map " + std::to_string(bytes) +
                                 " bytes of address space (a limit on virtual memory, ulimit -v, "
                                 "must allow it)");
  }
  return MemoryMap(data, bytes);
}

Result<MemoryMap> MemoryMap::of_file(int descriptor, std::uint64_t bytes, std::string path) {
  TRY_SET(auto map, make(descriptor, bytes, PROT_READ, MAP_SHARED));
  TRY_SET(map.file_, MappedFile::add(map.data(), map.size(), std::move(path)));
  return map;
}

Result<MemoryMap> MemoryMap::of_zeros(std::uint64_t bytes) {
  return make(-1, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

void MemoryMap::prefer_large_pages() const {
  if (data_) ::madvise(data_, size_, MADV_HUGEPAGE);
}

MemoryMap::~MemoryMap() {
  file_.reset();
  if (data_) ::munmap(data_, size_);
}

}  // namespace capstan::core
