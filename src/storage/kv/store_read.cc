// Why this file exists: the reading half of store.h. Nothing here locks, waits for I/O or copies a
// value; what a reader finds is pinned by the map it is in.
#include <algorithm>

#include "base/checksum.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {

bool Value::checksum_right() const {
  return crc32(bytes()) == metadata().checksum;
}

std::optional<Value> Cursor::next() {
  while (tail_ != 0) {
    const Entry entry = entry_at(map_->data(), tail_ - kMetadataBytes, alignment_);
    tail_ = entry.metadata.prev_offset;
    if (seen_.insert(entry.metadata.key_hash).second && !entry.tombstone) {
      return Value(map_, entry);
    }
  }
  return std::nullopt;
}

std::optional<Value> Store::value_at(const View& view, std::uint64_t hash,
                                     std::uint64_t offset) const {
  const auto& map = view.map(hash);
  return Value(map, entry_at(map->data(), offset, view.alignment));
}

std::optional<Value> Store::find(ByteView key) const {
  const std::uint64_t hash = hash_of(key);
  const auto section = gate_.enter(hash);
  gate_.wait_published();
  const View& view = *view_.load(std::memory_order_acquire);
  const auto found = view.index->find(hash);
  if (!found) return std::nullopt;
  // Another key with the same hash was written meanwhile.
  if (found.verifier != 0 && found.verifier != verifier_of(key)) return std::nullopt;
  return value_at(view, hash, found.offset);
}

std::optional<Value> Store::find_hashed(std::uint64_t hash) const {
  const auto section = gate_.enter(hash);
  gate_.wait_published();
  const View& view = *view_.load(std::memory_order_acquire);
  const auto found = view.index->find(hash);
  if (!found) return std::nullopt;
  return value_at(view, hash, found.offset);
}

Result<void> Store::verify(const std::optional<Value>& value) const {
  if (!options_.verify_reads || !value || value->checksum_right()) return {};
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
  const auto found = look_up(hash);
  return found && (found.verifier == 0 || found.verifier == verifier_of(key));
}

bool Store::exists_hashed(std::uint64_t hash) const {
  return static_cast<bool>(look_up(hash));
}

Index::Found Store::look_up(std::uint64_t hash) const {
  const auto section = gate_.enter(hash);
  gate_.wait_published();
  return view_.load(std::memory_order_acquire)->index->find(hash);
}

Result<std::vector<std::optional<Value>>> Store::batch(
    std::span<const std::uint64_t> hashes, std::span<const std::uint16_t> verifiers) const {
  constexpr std::size_t kAhead = 8;
  std::vector<std::optional<Value>> values;
  std::vector<std::uint64_t> offsets(hashes.size());
  values.reserve(hashes.size());
  const auto section = gate_.enter(hashes.empty() ? 0 : hashes.front());
  for (unsigned tries = 0;; ++tries) {
    std::optional<ReadGate::Hold> hold;  // when writers are faster than this batch
    if (tries > 2) hold.emplace(gate_);
    values.clear();
    const auto publication = gate_.wait_published();
    const View& view = *view_.load(std::memory_order_acquire);
    // In three steps, each some keys ahead of the next: slot of the index, metadata, value.
    const std::uint8_t* file = view.map(0)->data();
    const std::size_t count = hashes.size();
    for (std::size_t i = 0; i < count + 2 * kAhead; ++i) {
      if (i < count) view.index->prefetch(hashes[i]);
      if (i >= kAhead && i - kAhead < count) {
        const std::size_t at = i - kAhead;
        const auto found = view.index->find(hashes[at]);
        const bool other =
            found.verifier != 0 && verifiers[at] != 0 && found.verifier != verifiers[at];
        offsets[at] = other ? 0 : found.offset;
        __builtin_prefetch(file + offsets[at]);
      }
      if (i >= 2 * kAhead) {
        const std::size_t at = i - 2 * kAhead;
        values.push_back(offsets[at] == 0 ? std::nullopt : value_at(view, hashes[at], offsets[at]));
      }
    }
    if (hold || gate_.unchanged_since(publication)) break;
  }
  for (const auto& value : values) TRY(verify(value));
  return values;
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
    return Value(view.map(0), entry_at(view.map(0)->data(), tail - kMetadataBytes, view.alignment));
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
  gate_.wait_published();
  const View& view = *view_.load(std::memory_order_acquire);
  view.index->each(part, [&](std::uint64_t, Index::Found found) {
    values.push_back(*value_at(view, part, found.offset));
  });
  return values;
}

std::uint64_t Store::len() const {
  const auto section = gate_.enter(0);
  gate_.wait_published();
  return view_.load(std::memory_order_acquire)->index->size();
}

}  // namespace capstan::storage::kv
