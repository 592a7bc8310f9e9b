// Why this file exists: see http2_memory.h.
#include "wire/http2/http2_memory.h"

#include <malloc.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace capstan::wire {

namespace {

constexpr std::size_t kLarge = 4096;             // smaller ones stay where they are
constexpr std::size_t kStreamsBytes = 4096;      // 256 places of 16 bytes
constexpr std::size_t kFramesBytes = 20U << 10;  // one frame, its header, and padding

constexpr std::size_t kShelfBytes = 16;  // from one size to the next
constexpr std::size_t kMallocBytes = 8;  // of every block are malloc's own

// The shelf whose blocks have room for `bytes`, and the one that a block of `bytes` fits on.
std::size_t shelf_for(std::size_t bytes) {
  return std::max<std::size_t>((bytes + kMallocBytes + kShelfBytes - 1) / kShelfBytes, 2);
}
std::size_t shelf_of(std::size_t bytes) {
  return (bytes + kMallocBytes) / kShelfBytes;
}
// What every block on a shelf has room for.
std::size_t room_on(std::size_t shelf) {
  return shelf * kShelfBytes - kMallocBytes;
}

std::size_t page_bytes() {
  return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t whole_pages(std::size_t bytes, std::size_t page) {
  return (bytes + page - 1) / page * page;
}

}  // namespace

Http2Memory::Http2Memory() {
  const std::size_t page = page_bytes();
  streams_.bytes = whole_pages(kStreamsBytes, page);
  frames_.bytes = whole_pages(kFramesBytes, page);
  block_ = std::aligned_alloc(page, streams_.bytes + frames_.bytes);
  if (!block_) return;  // then nothing is kept here
  streams_.at = static_cast<std::uint8_t*>(block_);
  frames_.at = streams_.at + streams_.bytes;
}

Http2Memory::~Http2Memory() {
  empty_shelves();
  std::free(block_);
}

void Http2Memory::give_back(bool writing) {
  const auto drop = [](const Part& part) { ::madvise(part.at, part.bytes, MADV_DONTNEED); };
  empty_shelves();
  if (!block_) return;
  if (!writing) drop(frames_);
  const std::uint8_t* first = streams_.at;
  if (std::all_of(first, first + streams_.used, [](std::uint8_t byte) { return byte == 0; })) {
    drop(streams_);
  }
}

bool Http2Memory::take(Part& part, std::size_t bytes) {
  if (!making_ || !part.at || part.used != 0 || bytes < kLarge || bytes > part.bytes) return false;
  part.used = bytes;
  return true;
}

Http2Memory::Part* Http2Memory::part_of(const void* memory) {
  if (!memory) return nullptr;
  if (memory == streams_.at) return &streams_;
  return memory == frames_.at ? &frames_ : nullptr;
}

// A block on a shelf is nobody's: whoever touches it is found by the address sanitizer.
bool Http2Memory::shelve(void* memory) {
  if (releases_ < kBusyReleases) return ++releases_, false;
  const std::size_t shelf = shelf_of(malloc_usable_size(memory));
  if (shelf < 2 || shelf >= kShelves || shelved_[shelf] == kShelfMax) return false;
  shelves_[shelf] = ::new (memory) Shelved{shelves_[shelf]};
  ++shelved_[shelf];
  ASAN_POISON_MEMORY_REGION(memory, room_on(shelf));
  return true;
}

void* Http2Memory::unshelve(std::size_t bytes) {
  const std::size_t shelf = shelf_for(bytes);
  if (shelf >= kShelves || !shelves_[shelf]) return nullptr;
  Shelved* block = shelves_[shelf];
  ASAN_UNPOISON_MEMORY_REGION(block, room_on(shelf));
  shelves_[shelf] = block->next;
  --shelved_[shelf];
  return block;
}

void Http2Memory::empty_shelves() {
  releases_ = 0;
  for (std::size_t shelf = 2; shelf < kShelves; ++shelf) {
    while (void* block = unshelve(room_on(shelf))) std::free(block);
  }
}

void* Http2Memory::allocate(std::size_t bytes) {
  void* block = unshelve(bytes);
  return block ? block : std::malloc(bytes);
}

void* Http2Memory::allocate_zeros(std::size_t count, std::size_t bytes) {
  // Both are nghttp2's own numbers and small.
  if (!take(streams_, count * bytes)) {
    void* block = unshelve(count * bytes);
    return block ? std::memset(block, 0, count * bytes) : std::calloc(count, bytes);
  }
  std::memset(streams_.at, 0, streams_.used);
  return streams_.at;
}

void* Http2Memory::resize(void* memory, std::size_t bytes) {
  if (!memory && take(frames_, bytes)) return frames_.at;
  Part* part = part_of(memory);
  if (!part) return std::realloc(memory, bytes);
  void* moved = std::malloc(bytes);
  if (!moved) return nullptr;
  std::memcpy(moved, part->at, std::min(part->used, bytes));
  part->used = 0;
  return moved;
}

void Http2Memory::release(void* memory) {
  if (Part* part = part_of(memory)) {
    part->used = 0;
  } else if (memory && !shelve(memory)) {
    std::free(memory);
  }
}

}  // namespace capstan::wire
