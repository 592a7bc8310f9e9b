// Why this file exists: what a replica may show. For each 512-byte sector the oracle keeps the
// values since the last flush that covers it, oldest first. A running node must show the newest;
// after a power cut any of them may be there, but nothing older, nothing torn inside of a sector,
// and nothing that was never written to this sector of this replica.
//
// A value is the number of the write that made it (0: zeros); a sector's bytes are computed from
// replica, sector and value, so every foreign or torn sector is recognised and named.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace capstan::sim {

inline constexpr std::uint32_t kSector = 512;
using Value = std::uint32_t;

// Fills one sector; value 0 is zeros.
void fill_sector(MutableBytes sector, std::uint32_t replica, std::uint64_t number, Value value);
// What stands in a sector, in words ("write 17 to sector 4 of replica 2", "zeros", "torn …").
std::string describe_sector(ByteView sector);

class SectorOracle {
 public:
  SectorOracle() = default;
  SectorOracle(std::uint32_t replica, std::uint64_t sectors)
      : replica_(replica), settled_(sectors, 0), newest_(sectors, kNone) {}

  std::uint64_t sectors() const { return settled_.size(); }
  std::uint32_t replica() const { return replica_; }

  // A change of size: what is new is zeros, what is cut off is forgotten.
  void resize(std::uint64_t sectors);

  // A change begins; it counts as unacknowledged until ended(). `maybe`: even when acknowledged the
  // former content may remain (unmap).
  struct Change {
    std::uint64_t first = 0, count = 0;
    std::uint64_t token = 0;
  };
  Change begin(std::uint64_t first, std::uint64_t count, Value value, bool maybe);
  // `done` false: it failed and may or may not have happened, in every sector.
  void end(const Change& change, bool done);

  // Flushes cover what was acknowledged when they began.
  std::uint64_t flush_begins() { return ++clock_; }
  void flush_ended(std::uint64_t begun);

  // Empty when the sectors may look like this now; else what is wrong with the first that may not.
  std::string check(std::uint64_t first, ByteView content) const;
  // The same after a power cut, for one sector; on success the sector's history becomes this value.
  std::string check_survivor(std::uint64_t number, ByteView sector);
  // The process was killed and nobody will answer what was in flight: it may have happened or not.
  // Nothing acknowledged is lost by that, and nothing became durable by it.
  void process_killed();
  // How many values a sector may have.
  std::size_t history(std::uint64_t number) const;

 private:
  // A value that is not settled yet. They form a list for each sector, newest first, in one array:
  // tens of thousands of sectors, of which few have a history, must cost next to nothing.
  struct Entry {
    Value value = 0;
    std::uint32_t older = 0;         // index into entries_, or kNone
    std::uint64_t acknowledged = 0;  // 0: not (yet)
    std::uint64_t token = 0;
    bool maybe = false;
  };
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  static constexpr std::uint32_t kListed = 0xFFFFFFFE;  // none, and the sector is in changed_
  static bool empty(std::uint32_t newest) { return newest >= kListed; }

  void add(std::uint64_t number, Entry entry);
  // Gives back a list from this entry on.
  void drop(std::uint32_t entry);
  std::string complain(std::uint64_t number, ByteView sector, const char* expected) const;

  std::uint32_t replica_ = 0;
  std::vector<Value> settled_;         // the oldest value that each sector may have
  std::vector<std::uint32_t> newest_;  // the first of each sector's list
  std::vector<Entry> entries_;
  std::uint32_t free_ = kNone;          // a list of unused entries
  std::vector<std::uint64_t> changed_;  // sectors with a list, and some that had one
  std::uint64_t clock_ = 1;
};

}  // namespace capstan::sim
