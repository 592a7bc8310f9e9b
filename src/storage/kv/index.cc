// Why this file exists: the changing half of index.h.
#include "storage/kv/index.h"

#include <bit>

#include "base/assert.h"

namespace capstan::storage::kv {

namespace {
constexpr std::uint64_t kSlotsMin = 64;
constexpr std::uint64_t kLargeBytes = 4U << 20;  // two large pages, of which one is surely whole
// At most two thirds of the slots are in use.
std::uint64_t slots_for(std::uint64_t keys) {
  return std::max(kSlotsMin, std::bit_ceil(keys + keys / 2 + 1));
}
}  // namespace

Index::Memory::Memory(std::uint64_t slot_count) {
  if (slot_count * sizeof(Slot) >= kLargeBytes) {
    if (auto mapped = core::MemoryMap::of_zeros(slot_count * sizeof(Slot))) {
      mapped->prefer_large_pages();
      map = std::make_unique<core::MemoryMap>(*std::move(mapped));
      slots = reinterpret_cast<Slot*>(map->writable());
      return;
    }
  }
  heap = std::make_unique<Slot[]>(slot_count);
  slots = heap.get();
}

Index::Index(ReadGate& gate, std::uint64_t keys) : gate_(gate) {
  const std::uint64_t each = slots_for(keys / kParts + keys / kParts / 16);
  const auto memory = std::make_shared<Memory>(each * kParts);
  Slot* first = memory->slots;
  for (auto& part : parts_) {
    part.table.store(new Table(memory, first, each));
    first += each;
  }
}

Index::~Index() {
  for (auto& part : parts_) delete part.table.load();
}

// The slot of the hash, or the free one where it belongs.
Index::Slot* Index::slot_of(Table& table, std::uint64_t hash) const {
  for (std::uint64_t at = mix(hash) & table.mask;; at = (at + 1) & table.mask) {
    Slot& slot = table.slots[at];
    const bool free = slot.word.load(std::memory_order_relaxed) == 0;
    if (free || slot.hash.load(std::memory_order_relaxed) == hash) return &slot;
  }
}

// Builds the part anew without deleted keys, with room for as many keys again.
Index::Table* Index::grow(Part& part) {
  Table* old = part.table.load();
  const std::uint64_t count = slots_for(2 * old->live);
  auto memory = std::make_shared<Memory>(count);
  Slot* const first = memory->slots;
  auto table = std::make_unique<Table>(std::move(memory), first, count);
  for (std::uint64_t at = 0; at <= old->mask; ++at) {
    const std::uint64_t word = old->slots[at].word.load(std::memory_order_relaxed);
    if (!unpack(word)) continue;
    const std::uint64_t hash = old->slots[at].hash.load(std::memory_order_relaxed);
    Slot* slot = slot_of(*table, hash);
    slot->hash.store(hash, std::memory_order_relaxed);
    slot->word.store(word, std::memory_order_relaxed);
  }
  table->used = table->live = old->live;
  Table* fresh = table.release();
  part.table.store(fresh, std::memory_order_release);
  gate_.retire([old] { delete old; });
  return fresh;
}

Index::Found Index::put(std::uint64_t hash, Found value) {
  CAPSTAN_ASSERT(value.offset != 0 && value.offset <= kOffsetMask);
  Part& part = parts_[part_of(mix(hash))];
  Table* table = part.table.load(std::memory_order_relaxed);
  Slot* slot = slot_of(*table, hash);
  const std::uint64_t word = value.offset | (static_cast<std::uint64_t>(value.verifier) << 48U);
  const std::uint64_t before = slot->word.load(std::memory_order_relaxed);
  if (before == 0) {
    if ((table->used + 1) * 3 > (table->mask + 1) * 2) {
      table = grow(part);
      slot = slot_of(*table, hash);
    }
    ++table->used;
    slot->hash.store(hash, std::memory_order_relaxed);
  }
  slot->word.store(word, std::memory_order_release);
  const Found old = unpack(before);
  if (!old) {
    ++table->live;
    size_.store(size() + 1, std::memory_order_relaxed);
    return {};
  }
  return old;
}

Index::Found Index::erase(std::uint64_t hash) {
  Table* table = parts_[part_of(mix(hash))].table.load(std::memory_order_relaxed);
  Slot* slot = slot_of(*table, hash);
  const Found old = unpack(slot->word.load(std::memory_order_relaxed));
  if (!old) return {};
  slot->word.store(kDeleted, std::memory_order_release);
  --table->live;
  size_.store(size() - 1, std::memory_order_relaxed);
  return old;
}

}  // namespace capstan::storage::kv
