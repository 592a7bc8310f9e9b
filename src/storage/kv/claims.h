// Why this file exists: two keys with one hash are told apart by a verifier that the index keeps,
// but what a group writes comes into the index only when the group is published. Claims knows it
// before that: which key a group has put under which hash. It is a small hash table whose slots
// count only for the group they were made in, so that the next group starts without clearing it.
// Thread-safety: the store's core.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace capstan::storage::kv {

class Claims {
 public:
  // Forgets everything.
  void clear() {
    count_ = 0;
    if (++group_ != 0) return;
    slots_.clear();  // the number came around
    group_ = 1;
  }
  // The verifier of the key that has the hash (0: deleted, or not known); nothing when the group
  // has not touched it.
  std::optional<std::uint16_t> find(std::uint64_t hash) const {
    if (slots_.empty()) return std::nullopt;
    const Slot& slot = slots_[place_of(hash)];
    if (slot.group != group_) return std::nullopt;
    return slot.verifier;
  }
  void set(std::uint64_t hash, std::uint16_t verifier) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[place_of(hash)];
    count_ += slot.group != group_;
    slot = {hash, group_, verifier};
  }
  std::size_t slots() const { return slots_.size(); }
  // Gives its memory back.
  void drop() { *this = Claims(); }

 private:
  static constexpr std::size_t kSlotsMin = 64;
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t group = 0;
    std::uint16_t verifier = 0;
  };
  // Of the hash's slot, or the free one where it belongs.
  std::size_t place_of(std::uint64_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = (hash * 0x9E3779B97F4A7C15ULL) >> 20U;
    for (;; ++at) {
      const Slot& slot = slots_[at & mask];
      if (slot.group != group_ || slot.hash == hash) return at & mask;
    }
  }
  void grow() {
    const auto old =
        std::exchange(slots_, std::vector<Slot>(std::max(kSlotsMin, slots_.size() * 2)));
    for (const Slot& slot : old) {
      if (slot.group == group_) slots_[place_of(slot.hash)] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::size_t count_ = 0;
  std::uint32_t group_ = 1;
};

}  // namespace capstan::storage::kv
