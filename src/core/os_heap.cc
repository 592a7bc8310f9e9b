// Why this file exists: see os_heap.h.
#include "core/os_heap.h"

#include <malloc.h>

namespace capstan::core {

void keep_freed_memory() {
  constexpr int kBlockBytes = 8 << 20;    // the largest messages fit
  constexpr int kUnusedBytes = 16 << 20;  // at the end of the heap
  mallopt(M_MMAP_THRESHOLD, kBlockBytes);
  mallopt(M_TRIM_THRESHOLD, kUnusedBytes);
}

}  // namespace capstan::core
