// Why this file exists: the histories of oracle.h.
#include "sim/oracle.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace capstan::sim {

namespace {
constexpr std::uint32_t kMagic = 0x43535357;

struct Stamp {
  std::uint32_t magic, replica;
  std::uint64_t number;
  std::uint32_t value, word;
};
struct Sector {
  Stamp stamps[kSector / sizeof(Stamp)];
  std::uint64_t rest;
};
static_assert(sizeof(Stamp) == 24 && sizeof(Sector) == kSector);

// Whether the sector shows the value, every byte of it.
bool shows(ByteView sector, std::uint32_t replica, std::uint64_t number, Value value) {
  if (value == 0) return all_zero(sector);
  Sector found;
  std::memcpy(&found, sector.data(), sizeof found);
  std::uint64_t wrong = found.rest;
  std::uint32_t word = 0;
  for (const Stamp& stamp : found.stamps) {
    wrong |= (stamp.magic ^ kMagic) | (stamp.replica ^ replica) | (stamp.number ^ number) |
             (stamp.value ^ value) | (stamp.word ^ word++);
  }
  return wrong == 0;
}

}  // namespace

void fill_sector(MutableBytes sector, std::uint32_t replica, std::uint64_t number, Value value) {
  CAPSTAN_ASSERT(sector.size() == kSector);
  Sector content{};
  std::uint32_t word = 0;
  if (value != 0) {
    for (Stamp& stamp : content.stamps) stamp = {kMagic, replica, number, value, word++};
  }
  std::memcpy(sector.data(), &content, sizeof content);
}

std::string describe_sector(ByteView sector) {
  if (all_zero(sector)) return "zeros";
  Stamp stamp{};
  std::memcpy(&stamp, sector.data(), sizeof stamp);
  if (stamp.magic != kMagic) return "bytes that no write made";
  const auto text = "write " + std::to_string(stamp.value) + " to sector " +
                    std::to_string(stamp.number) + " of replica " + std::to_string(stamp.replica);
  const bool whole = shows(sector, stamp.replica, stamp.number, stamp.value);
  return whole ? text : "torn: begins as " + text;
}

void SectorOracle::add(std::uint64_t number, Entry entry) {
  auto& newest = newest_[number];
  if (newest == kNone) changed_.push_back(number);
  entry.older = empty(newest) ? kNone : newest;
  if (free_ == kNone) {
    newest = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back(entry);
  } else {
    newest = std::exchange(free_, entries_[free_].older);
    entries_[newest] = entry;
  }
}

void SectorOracle::drop(std::uint32_t entry) {
  while (!empty(entry)) {
    const auto older = std::exchange(entries_[entry].older, free_);
    free_ = std::exchange(entry, older);
  }
}

std::size_t SectorOracle::history(std::uint64_t number) const {
  std::size_t values = 1;
  for (auto at = newest_[number]; !empty(at); at = entries_[at].older) ++values;
  return values;
}

void SectorOracle::resize(std::uint64_t sectors) {
  for (std::uint64_t number = sectors; number < newest_.size(); ++number) drop(newest_[number]);
  std::erase_if(changed_, [sectors](std::uint64_t number) { return number >= sectors; });
  settled_.resize(sectors, 0);
  newest_.resize(sectors, kNone);
}

SectorOracle::Change SectorOracle::begin(std::uint64_t first, std::uint64_t count, Value value,
                                         bool maybe) {
  CAPSTAN_ASSERT(first + count <= settled_.size());
  const Change change{first, count, ++clock_};
  for (std::uint64_t i = first; i < first + count; ++i)
    add(i, Entry{.value = value, .token = change.token, .maybe = maybe});
  return change;
}

void SectorOracle::end(const Change& change, bool done) {
  const auto now = ++clock_;
  const std::uint64_t last = std::min<std::uint64_t>(change.first + change.count, settled_.size());
  for (std::uint64_t i = change.first; i < last; ++i) {
    for (auto at = newest_[i]; !empty(at); at = entries_[at].older) {
      auto& entry = entries_[at];
      if (entry.token != change.token) continue;
      entry.acknowledged = now;
      entry.maybe |= !done;
    }
  }
}

void SectorOracle::flush_ended(std::uint64_t begun) {
  std::erase_if(changed_, [&](std::uint64_t number) {
    // What is older than the newest value that the flush covers can no longer be seen.
    auto* link = &newest_[number];
    while (!empty(*link)) {
      const auto& entry = entries_[*link];
      if (!entry.maybe && entry.acknowledged != 0 && entry.acknowledged <= begun) {
        settled_[number] = entry.value;
        drop(std::exchange(*link, kNone));
        break;
      }
      link = &entries_[*link].older;
    }
    if (empty(newest_[number])) newest_[number] = kNone;
    return newest_[number] == kNone;
  });
}

std::string SectorOracle::complain(std::uint64_t number, ByteView sector,
                                   const char* expected) const {
  std::string values;
  for (auto at = newest_[number]; !empty(at); at = entries_[at].older) {
    const auto& entry = entries_[at];
    values = " " + std::to_string(entry.value) + (entry.acknowledged ? "" : "(unacknowledged)") +
             (entry.maybe ? "(maybe)" : "") + values;
  }
  return "sector " + std::to_string(number) + " of replica " + std::to_string(replica_) +
         " shows " + describe_sector(sector) + "; " + expected + " " +
         std::to_string(settled_[number]) + values;
}

std::string SectorOracle::check(std::uint64_t first, ByteView content) const {
  for (std::uint64_t i = 0; i < content.size() / kSector; ++i) {
    const auto number = first + i;
    const auto sector = content.subspan(i * kSector, kSector);
    bool found = false, older = true;  // older: the values so far may not have reached the sector
    for (auto at = newest_[number]; !found && older && !empty(at); at = entries_[at].older) {
      found = shows(sector, replica_, number, entries_[at].value);
      older = entries_[at].maybe;
    }
    if (!found && !(older && shows(sector, replica_, number, settled_[number])))
      return complain(number, sector, "a running node must show the last of");
  }
  return {};
}

void SectorOracle::process_killed() {
  const auto now = ++clock_;
  for (const auto number : changed_) {
    for (auto at = newest_[number]; !empty(at); at = entries_[at].older) {
      auto& entry = entries_[at];
      if (entry.acknowledged != 0) continue;
      entry.acknowledged = now;
      entry.maybe = true;
    }
  }
}

std::string SectorOracle::check_survivor(std::uint64_t number, ByteView sector) {
  auto& newest = newest_[number];
  auto at = newest;
  while (!empty(at) && !shows(sector, replica_, number, entries_[at].value))
    at = entries_[at].older;
  if (empty(at) && !shows(sector, replica_, number, settled_[number]))
    return complain(number, sector, "after the cut it may show one of");
  if (empty(newest)) return {};
  if (!empty(at)) settled_[number] = entries_[at].value;
  drop(std::exchange(newest, kListed));
  return {};
}

}  // namespace capstan::sim
