// Why this file exists: bytes with a volatile cache in front of them, as disks and page caches
// have. A completed change is seen by every later read; it is durable after sync_to() has covered
// it. When the power fails, chance decides for every change since then which of its atomic units
// reached the medium: lost, torn and reordered changes all come out of that.
//
// Invariants: outside the ranges of pending changes the current and the durable image are equal;
// the durable image changes only in sync_to() and power_failed().
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "core/sim_random.h"

namespace capstan::core {

// A large array of bytes that costs memory only where something was written.
class SparseBytes {
 public:
  void read(std::uint64_t offset, MutableBytes into) const;
  void write(std::uint64_t offset, ByteView from);
  void zero(std::uint64_t offset, std::uint64_t length);
  void zero_from(std::uint64_t offset);
  // Makes [offset, offset+length) equal to `other`'s.
  void copy_range(const SparseBytes& other, std::uint64_t offset, std::uint64_t length);
  std::size_t resident_bytes() const { return pages_.size() * kPage; }

 private:
  static constexpr std::uint64_t kPage = 16384;
  using Page = std::array<std::uint8_t, kPage>;
  static std::unique_ptr<Page> new_page();
  std::map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

// One change: a write, a range made zero (data empty), or a new size of a file.
struct SimChange {
  enum class Kind { kWrite, kZero, kResize } kind = Kind::kWrite;
  std::uint64_t offset = 0, length = 0;  // kResize: length is the new size
  std::vector<std::uint8_t> data;
};

class SimMedia {
 public:
  // Writes of `unit_bytes`, aligned to it, are atomic. Without a cache a completed change is
  // durable.
  SimMedia(std::uint64_t size, std::uint32_t unit_bytes, bool cached)
      : unit_(unit_bytes), cached_(cached), size_(size), durable_size_(size) {}

  std::uint64_t size() const { return size_; }
  void read(std::uint64_t offset, MutableBytes into) const { current_.read(offset, into); }
  void read_durable(std::uint64_t offset, MutableBytes into) const { durable_.read(offset, into); }
  std::size_t resident_bytes() const {
    return current_.resident_bytes() + durable_.resident_bytes();
  }
  std::size_t pending() const { return pending_.size(); }

  // A completed change.
  void apply(SimChange change);
  // Content that was always there; everything before it becomes durable.
  void put(std::uint64_t offset, ByteView bytes);
  // `mirror` shows the current content up to its own size from here on, until it is removed.
  void add_mirror(MutableBytes mirror);
  void remove_mirror(const std::uint8_t* data);
  // Part of a failed change: chance decides which units arrived.
  void apply_torn(SimRandom& random, const SimChange& change);
  // The number of the last completed change, to be given to sync_to().
  std::uint64_t last_change() const { return first_pending_ + pending_.size(); }
  void sync_to(std::uint64_t change);
  // Decides what survives of the pending changes and of those in flight, in this order.
  void power_failed(SimRandom& random, std::vector<SimChange> in_flight);

 private:
  void apply_to(SparseBytes& image, std::uint64_t& size, const SimChange& change);
  void survive(const SimChange& change, SimRandom& random, unsigned percent);

  void update_mirrors(const SimChange& change, std::uint64_t old_size);

  std::uint32_t unit_;
  bool cached_;
  std::vector<MutableBytes> mirrors_;
  SparseBytes current_, durable_;
  std::uint64_t size_, durable_size_;
  std::deque<SimChange> pending_;
  std::uint64_t first_pending_ = 0;  // how many changes came before pending_
};

}  // namespace capstan::core
