// Why this file exists: the memory of a sparse device: chunks of 64 KiB by index, absent ones being
// zeros. Every access looks one up, so a look-up costs one small hash table (an entry for 512
// chunks) and one word. A chunk can be lent for reading; it does not change as long as it is.
// Thread-safety: one core; what was lent may be dropped on any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <vector>

namespace capstan::storage {

class ChunkTable {
 public:
  static constexpr std::size_t kChunkBytes = 64U << 10;
  struct Free {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::uint8_t, Free>;  // of one chunk, at an aligned address

  ChunkTable() = default;
  ~ChunkTable() { erase_from(0); }
  ChunkTable(const ChunkTable&) = delete;
  ChunkTable& operator=(const ChunkTable&) = delete;

  static Memory make();  // not initialised; null: out of memory

  // Null: absent.
  const std::uint8_t* find(std::uint64_t index) const { return address(word(index)); }
  // For a write in place; null: absent, or somebody has borrowed it, who must not see the write.
  std::uint8_t* find_own(std::uint64_t index) const {
    const std::uintptr_t found = word(index);
    return (found & kLent) != 0 && is_borrowed(index) ? nullptr : address(found);
  }
  // Takes the place of what is there, which lives on with those who have borrowed it.
  void put(std::uint64_t index, Memory memory);
  void erase(std::uint64_t index);
  void erase_from(std::uint64_t first);
  // Who has this has borrowed the chunk, which is there.
  std::shared_ptr<const void> lend(std::uint64_t index);
  std::size_t size() const { return size_; }
  // Those in [first, last], in order.
  std::vector<std::uint64_t> indexes(std::uint64_t first, std::uint64_t last) const;

 private:
  // A chunk's address and, as its lowest bit, whether it was lent: then the other table has it.
  static constexpr std::uintptr_t kLent = 1;
  static constexpr std::size_t kLeafChunks = 512;
  struct Leaf {
    std::array<std::uintptr_t, kLeafChunks> words{};
    std::size_t used = 0;
  };
  struct Lent {
    Memory memory;
    std::atomic<unsigned> loans = 0;
  };
  static std::uint8_t* address(std::uintptr_t word) {
    return reinterpret_cast<std::uint8_t*>(word & ~kLent);
  }
  std::uintptr_t word(std::uint64_t index) const {
    const auto leaf = leaves_.find(index / kLeafChunks);
    return leaf == leaves_.end() ? 0 : leaf->second->words[index % kLeafChunks];
  }
  bool is_borrowed(std::uint64_t index) const;
  void release(std::uint64_t index, std::uintptr_t& word);

  std::unordered_map<std::uint64_t, std::unique_ptr<Leaf>> leaves_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Lent>> lent_;
  std::size_t size_ = 0;
};

}  // namespace capstan::storage
