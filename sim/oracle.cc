// Why this file exists: the histories of oracle.h.
#include "sim/oracle.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace capstan::sim {

namespace {
constexpr std::uint32_t kMagic = 0x43535357;

struct Stamp {
  std::uint32_t magic, replica;
  std::uint64_t number;
  std::uint32_t value, word;
};
static_assert(sizeof(Stamp) == 24);
}  // namespace

void fill_sector(MutableBytes sector, std::uint32_t replica, std::uint64_t number, Value value) {
  CAPSTAN_ASSERT(sector.size() == kSector);
  std::memset(sector.data(), 0, sector.size());
  if (value == 0) return;
  for (std::uint32_t word = 0; (word + 1) * sizeof(Stamp) <= kSector; ++word) {
    const Stamp stamp{kMagic, replica, number, value, word};
    std::memcpy(sector.data() + word * sizeof(Stamp), &stamp, sizeof stamp);
  }
}

std::string describe_sector(ByteView sector) {
  if (all_zero(sector)) return "zeros";
  Stamp stamp{};
  std::memcpy(&stamp, sector.data(), sizeof stamp);
  if (stamp.magic != kMagic) return "bytes that no write made";
  const auto text = "write " + std::to_string(stamp.value) + " to sector " +
                    std::to_string(stamp.number) + " of replica " + std::to_string(stamp.replica);
  std::array<std::uint8_t, kSector> whole{};
  fill_sector(whole, stamp.replica, stamp.number, stamp.value);
  return std::equal(whole.begin(), whole.end(), sector.begin()) ? text : "torn: begins as " + text;
}

void SectorOracle::resize(std::uint64_t sectors) {
  sectors_.resize(sectors, {Entry{0, 1, false}});
  unflushed_.erase(unflushed_.lower_bound(sectors), unflushed_.end());
}

SectorOracle::Change SectorOracle::begin(std::uint64_t first, std::uint64_t count, Value value,
                                         bool maybe) {
  CAPSTAN_ASSERT(first + count <= sectors_.size());
  const Change change{first, count, ++clock_};
  for (std::uint64_t i = first; i < first + count; ++i) {
    sectors_[i].push_back(Entry{value, 0, maybe, change.token});
    unflushed_.insert(i);
  }
  return change;
}

void SectorOracle::end(const Change& change, bool done) {
  const auto now = ++clock_;
  const std::uint64_t last = std::min<std::uint64_t>(change.first + change.count, sectors_.size());
  for (std::uint64_t i = change.first; i < last; ++i) {
    for (auto& entry : sectors_[i]) {
      if (entry.token != change.token) continue;
      entry.acknowledged = now;
      entry.maybe |= !done;
    }
  }
}

void SectorOracle::flush_ended(std::uint64_t begun) {
  for (auto place = unflushed_.begin(); place != unflushed_.end();) {
    auto& history = sectors_[*place];
    std::size_t keep = 0;
    for (std::size_t i = 0; i < history.size(); ++i) {
      const auto& entry = history[i];
      if (!entry.maybe && entry.acknowledged != 0 && entry.acknowledged <= begun) keep = i;
    }
    history.erase(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(keep));
    place = history.size() == 1 ? unflushed_.erase(place) : std::next(place);
  }
}

std::optional<Value> SectorOracle::match(std::uint64_t number, ByteView sector,
                                         const History& history, std::size_t from) const {
  std::array<std::uint8_t, kSector> expected{};
  for (std::size_t i = history.size(); i > from; --i) {
    fill_sector(expected, replica_, number, history[i - 1].value);
    if (std::equal(expected.begin(), expected.end(), sector.begin())) return history[i - 1].value;
  }
  return std::nullopt;
}

std::string SectorOracle::complain(std::uint64_t number, ByteView sector, const char* expected,
                                   const History& history) const {
  std::string text = "sector " + std::to_string(number) + " of replica " +
                     std::to_string(replica_) + " shows " + describe_sector(sector) + "; " +
                     expected;
  for (const auto& entry : history) {
    text += " " + std::to_string(entry.value) + (entry.acknowledged ? "" : "(unacknowledged)") +
            (entry.maybe ? "(maybe)" : "");
  }
  return text;
}

std::string SectorOracle::check(std::uint64_t first, ByteView content) const {
  for (std::uint64_t i = 0; i < content.size() / kSector; ++i) {
    const auto& history = sectors_[first + i];
    const auto sector = content.subspan(i * kSector, kSector);
    std::size_t from = history.size() - 1;
    while (from > 0 && history[from].maybe) --from;
    if (!match(first + i, sector, history, from)) {
      return complain(first + i, sector, "a running node must show the last of", history);
    }
  }
  return {};
}

void SectorOracle::process_killed() {
  const auto now = ++clock_;
  for (const auto number : unflushed_) {
    for (auto& entry : sectors_[number]) {
      if (entry.acknowledged != 0) continue;
      entry.acknowledged = now;
      entry.maybe = true;
    }
  }
}

std::string SectorOracle::check_survivor(std::uint64_t number, ByteView sector) {
  auto& history = sectors_[number];
  const auto value = match(number, sector, history, 0);
  if (!value) return complain(number, sector, "after the cut it may show one of", history);
  history = {Entry{*value, ++clock_, false}};
  unflushed_.erase(number);
  return {};
}

}  // namespace capstan::sim
