// Why this file exists: coroutine frames are the most frequent allocation of the node; a per-thread
// size-class free list (64-byte classes up to 2 KiB) makes one cost about 4 ns instead of 11 ns
// (docs/performance.md). A frame is freed on the thread that made it. Sanitizer builds use plain
// operator new, so that a use after free is still found.
#pragma once

#include <cstddef>

namespace capstan::core {
void* frame_allocate(std::size_t size);
void frame_free(void* frame, std::size_t size) noexcept;
}  // namespace capstan::core
