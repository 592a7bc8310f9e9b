// Why this file exists: see frame_pool.h. The free lists are one of the two places where a
// thread_local is allowed (tools/tidy): they are a cache of memory, not state of the program.
#include "core/frame_pool.h"

#include <array>
#include <new>

namespace capstan::core {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAPSTAN_PLAIN_FRAMES 1
#endif
#endif

#ifdef CAPSTAN_PLAIN_FRAMES

void* frame_allocate(std::size_t size) {
  return ::operator new(size);
}
void frame_free(void* frame, std::size_t) noexcept {
  ::operator delete(frame);
}

#else

namespace {

constexpr std::size_t kClassBytes = 64;
constexpr std::size_t kClasses = 32;          // up to 2 KiB
constexpr std::size_t kCachedPerClass = 256;  // beyond that memory goes back to the heap

struct FreeFrame {
  FreeFrame* next;
};

struct FreeList {
  FreeFrame* head = nullptr;
  std::size_t length = 0;
};

struct FramePool {
  std::array<FreeList, kClasses> lists;
  ~FramePool() {
    for (auto& list : lists) {
      while (list.head) {
        auto* frame = list.head;
        list.head = frame->next;
        ::operator delete(frame);
      }
    }
  }
};

FramePool& pool() {
  static thread_local FramePool instance;
  return instance;
}

}  // namespace

void* frame_allocate(std::size_t size) {
  const std::size_t index = (size - 1) / kClassBytes;
  if (index >= kClasses) return ::operator new(size);
  auto& list = pool().lists[index];
  if (!list.head) return ::operator new((index + 1) * kClassBytes);
  auto* frame = list.head;
  list.head = frame->next;
  --list.length;
  return frame;
}

void frame_free(void* frame, std::size_t size) noexcept {
  const std::size_t index = (size - 1) / kClassBytes;
  if (index >= kClasses) return ::operator delete(frame);
  auto& list = pool().lists[index];
  if (list.length >= kCachedPerClass) return ::operator delete(frame);
  list.head = ::new (frame) FreeFrame{list.head};
  ++list.length;
}

#endif

}  // namespace capstan::core
