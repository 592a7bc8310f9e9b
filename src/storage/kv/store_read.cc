// Why this file exists: the reading half of store.h. Nothing here locks, waits for I/O or copies a
// value; what a reader finds is pinned by the map it is in.
#include <algorithm>

#include "base/checksum.h"
#include "core/os_bad_pages.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {

bool Value::checksum_right() const {
  return crc32(bytes()) == metadata().checksum;
}

Result<void> Value::intact() const {
  return core::check_readable({map_->data() + begin_, file_size()});
}

Result<void> Value::fetch() const {
  core::touch({map_->data() + begin_, file_size()});
  return intact();
}

std::optional<Value> Cursor::next() {
  while (tail_ != 0) {
    const Entry entry = entry_at(map_->data(), tail_ - kMetadataBytes, alignment_);
    if (!intact()) return std::nullopt;
    tail_ = entry.metadata.prev_offset;
    if (seen_.insert(entry.metadata.key_hash).second && !entry.tombstone) {
      return Value(map_, entry);
    }
  }
  return std::nullopt;
}

// What decides where the entry that ends at tail_ begins, and whether it is a tombstone.
Result<void> Cursor::intact() const {
  if (tail_ < kTombstoneBytes) return {};
  return core::check_readable({map_->data() + tail_ - kTombstoneBytes, kTombstoneBytes});
}

// A view and the one that replaces it when the file outgrows its map share the index. So a reader
// may find what was written behind the end of the map he knows; then there is a newer view, which
// was there before the offset was.
Store::Seen Store::look_up(const View* view, std::uint64_t hash) const {
  while (true) {
    const auto found = view->index->find(hash);
    if (!found || view->reaches(found.offset)) return {view, found};
    view = view_.load(std::memory_order_acquire);
  }
}

std::optional<Value> Store::value_at(const View& view, std::uint64_t hash,
                                     std::uint64_t offset) const {
  const auto& map = view.map(hash);
  Entry entry = entry_at(map->data(), offset, view.alignment);
  if (!core::check_readable({map->data() + offset, kMetadataBytes})) entry.begin = entry.end;
  return Value(map, entry);
}

std::optional<Value> Store::find(ByteView key) const {
  const std::uint64_t hash = hash_of(key);
  const auto section = gate_.enter(hash);
  gate_.wait_published();
  const auto [view, found] = look_up(view_.load(std::memory_order_acquire), hash);
  if (!found) return std::nullopt;
  // Another key with the same hash was written meanwhile.
  if (found.verifier != 0 && found.verifier != verifier_of(key)) return std::nullopt;
  return value_at(*view, hash, found.offset);
}

std::optional<Value> Store::find_hashed(std::uint64_t hash) const {
  const auto section = gate_.enter(hash);
  gate_.wait_published();
  const auto [view, found] = look_up(view_.load(std::memory_order_acquire), hash);
  if (!found) return std::nullopt;
  return value_at(*view, hash, found.offset);
}

Result<void> Store::verify(const std::optional<Value>& value) const {
  if (!value) return {};
  const bool right = !options_.verify_reads || value->checksum_right();
  TRY(value->intact());
  if (right) return {};
  return fail(Code::kDataLoss, "checksum mismatch: the value at byte " +
                                   std::to_string(value->begin_offset()) + " of '" + path_ +
                                   "' is damaged; write it again");
}

Result<std::optional<Value>> Store::read(ByteView key) const {
  auto value = find(key);
  TRY(verify(value));
  return value;
}

bool Store::exists(ByteView key) const {
  const std::uint64_t hash = hash_of(key);
  const auto found = index_entry(hash);
  return found && (found.verifier == 0 || found.verifier == verifier_of(key));
}

bool Store::exists_hashed(std::uint64_t hash) const {
  return static_cast<bool>(index_entry(hash));
}

Index::Found Store::index_entry(std::uint64_t hash) const {
  const auto section = gate_.enter(hash);
  gate_.wait_published();
  return view_.load(std::memory_order_acquire)->index->find(hash);
}

// False: something lies behind the end of the view's map, there is a newer view.
bool Store::read_batch(const View& view, Batch& batch) const {
  constexpr std::size_t kAhead = 8;
  const auto& [hashes, verifiers, offsets, values] = batch;
  const std::uint8_t* file = view.map(0)->data();
  const std::size_t count = hashes.size();
  batch.values.clear();
  // In three steps, each some keys ahead of the next: slot of the index, metadata, value.
  for (std::size_t i = 0; i < count + 2 * kAhead; ++i) {
    if (i < count) view.index->prefetch(hashes[i]);
    if (i >= kAhead && i - kAhead < count) {
      const std::size_t at = i - kAhead;
      const auto found = view.index->find(hashes[at]);
      if (!view.reaches(found.offset)) return false;
      const bool other =
          found.verifier != 0 && verifiers[at] != 0 && found.verifier != verifiers[at];
      batch.offsets[at] = other ? 0 : found.offset;
      __builtin_prefetch(file + offsets[at]);
    }
    if (i >= 2 * kAhead) {
      const std::size_t at = i - 2 * kAhead;
      batch.values.push_back(offsets[at] == 0 ? std::nullopt
                                              : value_at(view, hashes[at], offsets[at]));
    }
  }
  return true;
}

Result<std::vector<std::optional<Value>>> Store::batch(
    std::span<const std::uint64_t> hashes, std::span<const std::uint16_t> verifiers) const {
  Batch batch{hashes, verifiers, std::vector<std::uint64_t>(hashes.size()), {}};
  batch.values.reserve(hashes.size());
  const auto section = gate_.enter(hashes.empty() ? 0 : hashes.front());
  for (unsigned tries = 0;; ++tries) {
    std::optional<ReadGate::Hold> hold;  // when writers are faster than this batch
    if (tries > 2) hold.emplace(gate_);
    const auto publication = gate_.wait_published();
    const bool all = read_batch(*view_.load(std::memory_order_acquire), batch);
    if (all && (hold || gate_.unchanged_since(publication))) break;
  }
  for (const auto& value : batch.values) TRY(verify(value));
  return std::move(batch.values);
}

Result<std::vector<std::optional<Value>>> Store::batch_read(std::span<const ByteView> keys) const {
  std::vector<std::uint64_t> hashes;
  std::vector<std::uint16_t> verifiers;
  hashes.reserve(keys.size());
  verifiers.reserve(keys.size());
  for (const ByteView key : keys) {
    hashes.push_back(hash_of(key));
    verifiers.push_back(verifier_of(key));
  }
  return batch(hashes, verifiers);
}

Result<std::vector<std::optional<Value>>> Store::batch_read_hashed(
    std::span<const std::uint64_t> hashes, std::optional<std::span<const ByteView>> keys) const {
  if (keys && keys->size() != hashes.size()) {
    return fail(Code::kInvalidArgument, "Mismatched lengths for hashed and non-hashed keys.");
  }
  std::vector<std::uint16_t> verifiers(hashes.size(), 0);
  if (keys) std::ranges::transform(*keys, verifiers.begin(), &verifier_of);
  TRY_SET(auto values, batch(hashes, verifiers));
  for (std::size_t i = 0; keys && i < hashes.size(); ++i) {
    if (hash_of((*keys)[i]) != hashes[i]) values[i].reset();
  }
  return values;
}

std::optional<Value> Store::read_last_entry() const {
  const auto section = gate_.enter(0);
  while (true) {
    const auto publication = gate_.wait_published();
    const View& view = *view_.load(std::memory_order_acquire);
    const std::uint64_t tail = file_size();
    if (!gate_.unchanged_since(publication)) continue;
    if (tail == 0) return std::nullopt;
    return value_at(view, 0, tail - kMetadataBytes);
  }
}

Cursor Store::iterate() const {
  const auto section = gate_.enter(0);
  while (true) {
    const auto publication = gate_.wait_published();
    const View& view = *view_.load(std::memory_order_acquire);
    const std::uint64_t tail = file_size();
    if (gate_.unchanged_since(publication)) return Cursor(view.map(0), tail, view.alignment);
  }
}

std::vector<Value> Store::scan(unsigned part) const {
  CAPSTAN_ASSERT(part < kScanParts);
  std::vector<Value> values;
  const auto section = gate_.enter(part);
  do {
    gate_.wait_published();
  } while (!scan_view(*view_.load(std::memory_order_acquire), part, values));
  return values;
}

// False: see read_batch().
bool Store::scan_view(const View& view, unsigned part, std::vector<Value>& values) const {
  bool all = true;
  values.clear();
  view.index->each(part, [&](std::uint64_t, Index::Found found) {
    all = all && view.reaches(found.offset);
    if (all) values.push_back(*value_at(view, part, found.offset));
  });
  return all;
}

std::uint64_t Store::len() const {
  const auto section = gate_.enter(0);
  gate_.wait_published();
  return view_.load(std::memory_order_acquire)->index->size();
}

}  // namespace capstan::storage::kv
