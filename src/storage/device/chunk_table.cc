// Why this file exists: see chunk_table.h.
#include "storage/device/chunk_table.h"

#include <algorithm>

#include "base/assert.h"
#include "core/buffer.h"

namespace capstan::storage {

ChunkTable::Memory ChunkTable::make() {
  return Memory(
      static_cast<std::uint8_t*>(std::aligned_alloc(core::kBufferAlignment, kChunkBytes)));
}

void ChunkTable::put(std::uint64_t index, Memory memory) {
  auto& leaf = leaves_[index / kLeafChunks];
  if (!leaf) leaf = std::make_unique<Leaf>();
  std::uintptr_t& word = leaf->words[index % kLeafChunks];
  if (word != 0) {
    release(index, word);
  } else {
    ++leaf->used;
    ++size_;
  }
  word = reinterpret_cast<std::uintptr_t>(memory.release());
}

void ChunkTable::erase(std::uint64_t index) {
  const auto leaf = leaves_.find(index / kLeafChunks);
  if (leaf == leaves_.end()) return;
  std::uintptr_t& word = leaf->second->words[index % kLeafChunks];
  if (word == 0) return;
  release(index, word);
  --size_;
  if (--leaf->second->used == 0) leaves_.erase(leaf);
}

void ChunkTable::erase_from(std::uint64_t first) {
  for (const std::uint64_t index : indexes(first, UINT64_MAX)) erase(index);
}

// What the word says is no more: the memory goes, or its owner leaves it to its borrowers.
void ChunkTable::release(std::uint64_t index, std::uintptr_t& word) {
  if ((word & kLent) != 0) {
    lent_.erase(index);
  } else {
    Free()(address(word));
  }
  word = 0;
}

// Acquired: whoever dropped a loan has read before we write.
bool ChunkTable::is_borrowed(std::uint64_t index) const {
  return lent_.at(index)->loans.load(std::memory_order_acquire) != 0;
}

std::shared_ptr<const void> ChunkTable::lend(std::uint64_t index) {
  std::uintptr_t& word = leaves_.at(index / kLeafChunks)->words[index % kLeafChunks];
  CAPSTAN_ASSERT(word != 0);
  auto& lent = lent_[index];
  if (!lent) {
    lent = std::make_shared<Lent>();
    lent->memory.reset(address(word));
    word |= kLent;
  }
  lent->loans.fetch_add(1, std::memory_order_relaxed);
  return std::shared_ptr<const void>(
      address(word), [lent](const void*) { lent->loans.fetch_sub(1, std::memory_order_release); });
}

std::vector<std::uint64_t> ChunkTable::indexes(std::uint64_t first, std::uint64_t last) const {
  std::vector<std::uint64_t> found;
  for (const auto& [number, leaf] : leaves_) {
    const std::uint64_t base = number * kLeafChunks;
    if (base > last || base + (kLeafChunks - 1) < first) continue;
    for (std::size_t i = 0; i < kLeafChunks; ++i) {
      if (leaf->words[i] != 0 && base + i >= first && base + i <= last) found.push_back(base + i);
    }
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace capstan::storage
