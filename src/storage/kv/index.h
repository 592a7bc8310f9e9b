// Why this file exists: where the newest value of each key hash is. A hash table with open
// addressing in 64 parts, each of which grows by itself, so that growing never takes long. One core
// changes it; any thread may look things up at the same time without a lock.
//
// Invariants:
//   * a slot's hash never changes once its word is not 0 (a deleted key keeps its slot until the
//     part is built anew), so a reader can never take one key's offset for another's;
//   * a word of 0 ends every search: parts are never full.
// A word is the offset of the entry's metadata (48 bits; 0 = deleted) and a verifier of the key
// above it (16 bits; 0 = not known, as after opening a file).
// Thread-safety: find() and size() on any thread within a ReadGate::Section; the rest on one core.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "core/os_map.h"
#include "storage/kv/read_gate.h"

namespace capstan::storage::kv {

class Index {
 public:
  static constexpr unsigned kParts = 64;
  struct Found {
    std::uint64_t offset = 0;    // of the metadata; 0 = the key is not there
    std::uint16_t verifier = 0;  // 0 = not known
    explicit operator bool() const { return offset != 0; }
  };

  // `keys` is how many are expected. What grows is given to `gate` to be freed.
  Index(ReadGate& gate, std::uint64_t keys);
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  Found find(std::uint64_t hash) const {
    const std::uint64_t mixed = mix(hash);
    const Table* table = parts_[part_of(mixed)].table.load(std::memory_order_acquire);
    for (std::uint64_t at = mixed & table->mask;; at = (at + 1) & table->mask) {
      const Slot& slot = table->slots[at];
      const std::uint64_t word = slot.word.load(std::memory_order_acquire);
      if (word == 0) return {};
      if (slot.hash.load(std::memory_order_relaxed) == hash) return unpack(word);
    }
  }
  void prefetch(std::uint64_t hash) const {
    const std::uint64_t mixed = mix(hash);
    const Table* table = parts_[part_of(mixed)].table.load(std::memory_order_acquire);
    __builtin_prefetch(&table->slots[mixed & table->mask]);
  }
  std::uint64_t size() const { return size_.load(std::memory_order_relaxed); }

  // Puts or replaces; answers what was there.
  Found put(std::uint64_t hash, Found value);
  // Answers what was there.
  Found erase(std::uint64_t hash);

  // Calls visit(hash, found) for the keys of one part, in no order.
  template <class Visit>
  void each(unsigned part, Visit visit) const {
    const Table* table = parts_[part].table.load(std::memory_order_acquire);
    for (std::uint64_t at = 0; at <= table->mask; ++at) {
      const std::uint64_t word = table->slots[at].word.load(std::memory_order_acquire);
      const Found found = unpack(word);
      if (found) visit(table->slots[at].hash.load(std::memory_order_relaxed), found);
    }
  }

 private:
  struct Slot {
    std::atomic<std::uint64_t> hash, word;
  };
  // Zeroed slots. What is large comes in large pages: a look-up then misses one cache less.
  struct Memory {
    explicit Memory(std::uint64_t slot_count);
    std::unique_ptr<core::MemoryMap> map;
    std::unique_ptr<Slot[]> heap;
    Slot* slots = nullptr;
  };
  struct Table {
    Table(std::shared_ptr<Memory> from, Slot* first, std::uint64_t slot_count)
        : slots(first), mask(slot_count - 1), memory(std::move(from)) {}
    Slot* slots;
    std::uint64_t mask;
    std::uint64_t used = 0;  // slots with a word, deleted keys included
    std::uint64_t live = 0;
    std::shared_ptr<Memory> memory;
  };
  struct Part {
    std::atomic<Table*> table{nullptr};
  };

  static constexpr std::uint64_t kOffsetMask = (1ULL << 48U) - 1;
  static constexpr std::uint64_t kDeleted = 1ULL << 48U;
  static Found unpack(std::uint64_t word) {
    if (word == kDeleted) return {};
    return {word & kOffsetMask, static_cast<std::uint16_t>(word >> 48U)};
  }
  // Hashes that a caller made up need not be well spread.
  static std::uint64_t mix(std::uint64_t hash) {
    const std::uint64_t product = hash * 0x9E3779B97F4A7C15ULL;
    return product ^ (product >> 32U);
  }
  static unsigned part_of(std::uint64_t mixed) { return static_cast<unsigned>(mixed >> 58U); }
  Slot* slot_of(Table& table, std::uint64_t hash) const;
  Table* grow(Part& part);

  ReadGate& gate_;
  std::array<Part, kParts> parts_;
  std::atomic<std::uint64_t> size_{0};
};

}  // namespace capstan::storage::kv
