// Why this file exists: what opening does about values that a crash tore in the middle of a group.
// A sector that never arrived reads as zeros; a wrong checksum without such a sector is a rotten
// bit, and the value stays as it is. The entries behind a torn value may be whole, so that the file
// ends well and the newest version of a key is damaged although its predecessor was on stable
// storage. Where the newest bytes of the file hold such a value, its predecessor is written again.
// Of a rename the tombstone may have survived and the value not: then the value is where it was
// renamed from, because only a file's index forgets what was deleted.
#include "base/checksum.h"
#include "core/os_bad_pages.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {

// The damaged values and what may stand in for them, found while walking to older entries.
struct Store::Damage {
  struct Value {
    std::uint64_t size = 0;
    std::uint32_t checksum = 0;
    std::optional<Entry> older, source;  // an older version; what was renamed
    bool renamed = false;                // the source may still be found
  };
  ByteView file;
  boost::unordered_flat_map<std::uint64_t, Value> values;           // by key
  boost::unordered_flat_map<std::uint64_t, std::uint64_t> renames;  // from what to what
  std::size_t open = 0;  // values for which something better may still be found

  // `next` is the entry behind `entry` in the file.
  void add(const Entry& entry, const std::optional<Entry>& next) {
    ++open;
    expect_source(entry, next, entry.metadata.key_hash);
  }
  // If a tombstone follows, the value may be what a rename put there for `key`.
  void expect_source(const Entry& entry, const std::optional<Entry>& next, std::uint64_t key) {
    Value& value = values[key];
    if (!next || !next->tombstone || next->metadata.key_hash == entry.metadata.key_hash) return;
    value.renamed = renames.try_emplace(next->metadata.key_hash, key).second;
    value.size = entry.size();
    value.checksum = entry.metadata.checksum;
  }
  void offer(const Entry& entry, const std::optional<Entry>& next) {
    const std::uint64_t hash = entry.metadata.key_hash;
    if (const auto found = renames.find(hash); found != renames.end()) {
      const std::uint64_t key = found->second;
      renames.erase(found);
      offer_source(entry, next, key);
    }
    const auto found = values.find(hash);
    if (found == values.end() || found->second.older || found->second.source) return;
    if (entry.tombstone || checksum_right(file, entry)) {
      found->second.older = entry;
      if (!found->second.renamed) --open;
    } else if (!found->second.renamed) {
      expect_source(entry, next, hash);
    }
  }
  // The newest version of what was renamed: it, or where it in turn came from.
  void offer_source(const Entry& entry, const std::optional<Entry>& next, std::uint64_t key) {
    Value& value = values[key];
    value.renamed = false;
    if (!entry.tombstone && entry.size() == value.size &&
        entry.metadata.checksum == value.checksum) {
      if (checksum_right(file, entry)) {
        value.source = entry;
      } else {
        expect_source(entry, next, key);
      }
    }
    if (value.source || (value.older && !value.renamed)) --open;
  }
};

core::Task<Result<void>> Store::repair() {
  const auto map = owned_view_->maps[0];
  const ByteView file(map->data(), tail_.load());
  const std::uint64_t from =
      file.size() - std::min<std::uint64_t>(file.size(), limits::kKvRepairBytes);
  Damage damage{file, {}, {}};
  std::optional<Entry> next;
  for (std::uint64_t tail = file.size(); tail > from || (tail != 0 && damage.open != 0);) {
    const Entry entry = entry_at(file.data(), tail - kMetadataBytes, kAlignment);
    const bool newest =
        owned_view_->index->find(entry.metadata.key_hash).offset == entry.end && tail > from;
    if (newest && !checksum_right(file, entry) && looks_torn(file, entry)) {
      damage.add(entry, next);
    } else if (damage.open != 0) {
      damage.offer(entry, next);
    }
    tail = entry.metadata.prev_offset;
    next = entry;
  }
  CO_TRY(core::check_readable(file));
  std::vector<Change> changes;
  for (const auto& [hash, value] : damage.values) {
    const auto& stand_in = value.source ? value.source : value.older;
    if (!stand_in || stand_in->tombstone) continue;
    changes.push_back(Change::put_hashed(hash, file.subspan(stand_in->begin, stand_in->size())));
  }
  if (changes.empty()) co_return Result<void>();
  Request request;
  request.changes = changes;
  CO_TRY(co_await commit(request));
  counted_.repaired_values = changes.size();
  co_return co_await file_->sync_data();
}

}  // namespace capstan::storage::kv
