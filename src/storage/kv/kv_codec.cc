// Why this file exists: see kv_codec.h.
//
// Recovery is stricter than what upstream does, and must be: zero bytes are everywhere in a torn
// file, zero is a legal prev_offset, and an entry that claims to be the first one swallows all that
// was there before it. So a tail is only looked for with right checksums. A file that was closed
// properly is accepted at once by the same rules upstream has.
#include "storage/kv/kv_codec.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <vector>

#include "base/checksum.h"
#include "base/xxh3.h"

namespace capstan::storage::kv {

namespace {

constexpr std::uint64_t kVerifierSeed = 0x6361707374616E21ULL;
constexpr std::uint64_t kSectorBytes = 512;  // what arrives on a disk whole or not at all
constexpr unsigned kOldValues = 64;          // of an older format that must prove themselves
// So many times the file's size, and at least this, is checksummed before giving up.
constexpr std::uint64_t kBudget = 64, kBudgetMin = 64U << 20;

// Whether an entry needs its checksum to be believed: its padding is not zero, or half of its
// metadata may have been in a sector that never arrived, which makes prev_offset wrong.
bool doubtful(ByteView file, const Entry& entry) {
  const std::uint64_t previous = entry.metadata.prev_offset;
  return entry.metadata.key_hash == 0 || entry.metadata.checksum == 0 ||
         !all_zero(file.subspan(previous, entry.begin - previous));
}

// The entry that ends at `tail`, as far as offsets can tell: costs nothing, proves little.
std::optional<Entry> shape_before(ByteView file, std::uint64_t tail, std::uint64_t alignment) {
  if (tail <= kMetadataBytes || tail > file.size()) return std::nullopt;
  const std::uint64_t end = tail - kMetadataBytes;
  const std::uint64_t previous = load_le<std::uint64_t>(file.data() + end + 8);
  if (previous >= end || (previous != 0 && previous < kTombstoneBytes)) return std::nullopt;
  if (previous == 0 && all_zero(file.subspan(end, kMetadataBytes))) return std::nullopt;
  const Entry entry = entry_at(file.data(), end, alignment);
  if (!entry.tombstone && entry.begin >= end) return std::nullopt;
  return entry;
}

// Counts the entries of the chain that ends at `tail`; nothing when it does not lead to 0.
std::optional<std::uint64_t> chain_length(ByteView file, std::uint64_t tail,
                                          std::uint64_t alignment) {
  std::uint64_t count = 0;
  for (; tail != 0; ++count) {
    const auto entry = entry_before(file, tail, alignment);
    if (!entry) return std::nullopt;
    tail = entry->metadata.prev_offset;
  }
  return count;
}

// Whether the newest `values` values, and the tombstones between them, are undamaged.
bool newest_right(ByteView file, std::uint64_t tail, std::uint64_t alignment, unsigned values) {
  while (values != 0 && tail != 0) {
    const auto entry = shape_before(file, tail, alignment);
    if (!entry || !checksum_right(file, *entry)) return false;
    tail = entry->metadata.prev_offset;
    values -= entry->tombstone ? 0 : 1;
  }
  return true;
}

// Answers for many tails whether their chains lead to 0, each entry looked at once. Entries of one
// chain do not overlap, so proving the doubtful ones costs less than the file; bytes that only look
// like entries may overlap as they like, which a budget ends: then nothing is decided.
class Chains {
 public:
  Chains(ByteView file, std::uint64_t alignment)
      : file_(file), alignment_(alignment), budget_(kBudgetMin + kBudget * file.size()) {}
  bool valid(std::uint64_t tail) {
    path_.clear();
    bool good = true;
    while (good && tail != 0 && !good_.contains(tail)) {
      path_.push_back(tail);
      good = !bad_.contains(tail);
      if (!good) break;
      const auto entry = shape_before(file_, tail, alignment_);
      good = entry && (!doubtful(file_, *entry) || proven(*entry));
      if (good) tail = entry->metadata.prev_offset;
    }
    (good ? good_ : bad_).insert(path_.begin(), path_.end());
    return good;
  }
  bool proven(const Entry& entry) {
    if (entry.size() > budget_) exhausted_ = true;
    if (exhausted_) return false;
    budget_ -= entry.size();
    return checksum_right(file_, entry);
  }
  bool newest_right(std::uint64_t tail, unsigned values) {
    while (values != 0 && tail != 0) {
      const auto entry = shape_before(file_, tail, alignment_);
      if (!entry || !proven(*entry)) return false;
      tail = entry->metadata.prev_offset;
      values -= entry->tombstone ? 0 : 1;
    }
    return true;
  }
  bool exhausted() const { return exhausted_; }

 private:
  ByteView file_;
  std::uint64_t alignment_, budget_;
  bool exhausted_ = false;
  boost::unordered_flat_set<std::uint64_t> good_, bad_;
  std::vector<std::uint64_t> path_;
};

// The largest tail between `above` and the file's end whose entry has a predecessor, is undamaged
// like the newest `values` values before it, and leads to 0; 0 = there is none. Nothing when that
// cannot be decided.
std::optional<std::uint64_t> last_linked_tail(ByteView file, std::uint64_t above,
                                              std::uint64_t alignment, unsigned values) {
  Chains chains(file, alignment);
  for (std::uint64_t tail = file.size() - 1; tail > std::max(above, kMetadataBytes); --tail) {
    const auto entry = shape_before(file, tail, alignment);
    if (!entry || entry->metadata.prev_offset == 0) continue;
    const std::uint64_t previous = entry->metadata.prev_offset;
    if (chains.valid(previous) && chains.proven(*entry) && chains.newest_right(previous, values)) {
      return tail;
    }
    if (chains.exhausted()) return std::nullopt;
  }
  return 0;
}

// The largest tail above `above` at which everything from 0 is one undamaged entry. There may be
// many candidates, all starting at 0: one checksum runs along with them.
std::uint64_t last_first_tail(ByteView file, std::uint64_t above) {
  std::uint64_t found = 0, covered = 0;
  std::uint32_t running = 0;
  for (std::uint64_t tail = std::max(above, kMetadataBytes) + 1; tail <= file.size(); ++tail) {
    const std::uint64_t end = tail - kMetadataBytes;
    if (load_le<std::uint64_t>(file.data() + end + 8) != 0) continue;
    const auto entry = shape_before(file, tail, kAlignment);
    if (!entry) continue;
    running = crc32(file.subspan(covered, end - covered), running);
    covered = end;
    if (running == entry->metadata.checksum) found = tail;
  }
  return found;
}

}  // namespace

Metadata decode_metadata(const std::uint8_t* from) {
  return {load_le<std::uint64_t>(from), load_le<std::uint64_t>(from + 8),
          load_le<std::uint32_t>(from + 16)};
}

void encode_metadata(const Metadata& metadata, std::uint8_t* to) {
  store_le(to, metadata.key_hash);
  store_le(to + 8, metadata.prev_offset);
  store_le(to + 16, metadata.checksum);
}

std::uint64_t hash_of(ByteView key) {
  return xxh3_64(key);
}

std::uint16_t verifier_of(ByteView key) {
  const std::uint64_t hash = xxh3_64(key, kVerifierSeed);
  const auto bits = static_cast<std::uint16_t>(hash ^ (hash >> 32U));
  return bits == 0 ? 1 : bits;
}

std::array<std::uint8_t, 16> namespaced_key(ByteView prefix, ByteView key) {
  std::array<std::uint8_t, 16> out{};
  store_le(out.data(), xxh3_64(prefix));
  store_le(out.data() + 8, xxh3_64(key));
  return out;
}

std::optional<Entry> entry_before(ByteView file, std::uint64_t tail, std::uint64_t alignment) {
  auto entry = shape_before(file, tail, alignment);
  if (entry && doubtful(file, *entry) && !checksum_right(file, *entry)) return std::nullopt;
  return entry;
}

bool checksum_right(ByteView file, const Entry& entry) {
  return crc32(file.subspan(entry.begin, entry.size())) == entry.metadata.checksum;
}

bool looks_torn(ByteView file, const Entry& entry) {
  for (std::uint64_t at = entry.begin; at < entry.end;) {
    const std::uint64_t next = std::min(entry.end, (at / kSectorBytes + 1) * kSectorBytes);
    if (all_zero(file.subspan(at, next - at))) return true;
    at = next;
  }
  return false;
}

namespace {

// An older format that a crash tore: read as far as it is sound, but never cut.
std::optional<Recovery> recover_old(ByteView file, std::uint64_t above) {
  for (const std::uint64_t alignment : {16U, 1U}) {
    const auto tail = last_linked_tail(file, above, alignment, kOldValues);
    if (!tail || *tail == 0) continue;
    const auto entries = chain_length(file, *tail, alignment);
    if (entries) return Recovery{Recovery::Kind::kOld, *tail, alignment, *entries};
  }
  return std::nullopt;
}

}  // namespace

Recovery recover(ByteView file) {
  using Kind = Recovery::Kind;
  const std::uint64_t size = file.size();
  if (size == 0) return {};
  const auto whole = chain_length(file, size, kAlignment);
  const Recovery clean{Kind::kClean, size, kAlignment, whole.value_or(0)};
  if (whole && newest_right(file, size, kAlignment, 1)) return clean;
  for (const std::uint64_t alignment : {16U, 1U}) {
    const auto old = chain_length(file, size, alignment);
    if (old && newest_right(file, size, alignment, kOldValues)) {
      return {Kind::kOld, size, alignment, *old};
    }
  }
  // With a predecessor a wrong checksum is one rotten value, not a torn tail.
  if (whole && shape_before(file, size, kAlignment)->metadata.prev_offset != 0) return clean;
  const auto linked = last_linked_tail(file, 0, kAlignment, 0);
  if (!linked) return {Kind::kUndecided, 0, kAlignment, 0};
  const std::uint64_t tail = std::max(*linked, last_first_tail(file, *linked));
  if (tail < size) {
    if (const auto old = recover_old(file, tail)) return *old;
  }
  if (tail == size) return {Kind::kClean, tail, kAlignment, 1};
  if (tail != 0) {
    const auto last = shape_before(file, size, kAlignment);
    const bool sound_end = last && checksum_right(file, *last);
    const auto entries = chain_length(file, tail, kAlignment).value_or(0);
    return {Kind::kTorn, tail, kAlignment, entries, sound_end};
  }
  if (whole) return clean;
  return {size >= kMetadataBytes ? Kind::kForeign : Kind::kTorn, 0, kAlignment, 0};
}

}  // namespace capstan::storage::kv
