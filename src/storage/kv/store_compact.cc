// Why this file exists: compaction. What lives is copied, newest first, into FILE.compact while
// reads and writes go on; what is written meanwhile is copied after it, in rounds that get smaller;
// the last round runs alone, then the new file is synced, renamed over the old one and becomes the
// store. Values that somebody still holds stay in the old file's map, which goes with the last.
//
// A crash before the rename leaves FILE.compact, which the next opening removes; a crash after it
// leaves the new file, which was complete and on stable storage before it got the name.
#include <algorithm>

#include "base/checksum.h"
#include "base/path.h"
#include "core/file_names.h"
#include "core/os_bad_pages.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {

namespace {
constexpr std::uint64_t kYieldEvery = 256;  // values between two turns of the core
constexpr std::uint64_t kLastRoundBytes = 1U << 20;
constexpr unsigned kRoundsMax = 8;
}  // namespace

class Compaction {
 public:
  Compaction(Store& store, Store::Progress progress, core::CancelToken token)
      : store_(store), progress_(std::move(progress)), token_(std::move(token)) {}
  core::Task<Result<Store::Compacted>> run();

 private:
  core::Task<Result<void>> start();
  core::Task<Result<void>> copy_living();
  core::Task<Result<void>> catch_up(std::uint64_t to);
  core::Task<Result<void>> take_over();
  core::Task<Result<void>> copy(const std::uint8_t* file, const Entry& entry);
  core::Task<Result<void>> flush();
  const std::string& temporary() const { return temporary_; }

  Store& store_;
  Store::Progress progress_;
  core::CancelToken token_;
  std::string temporary_ = store_.real_path_ + ".compact";
  std::shared_ptr<core::File> file_;
  std::shared_ptr<Index> index_;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t written_ = 0, tail_ = 0, live_bytes_ = 0;
  std::uint64_t seen_to_ = 0;  // of the old file: everything before it is in the new one
};

core::Task<Result<void>> Compaction::start() {
  auto& files = store_.env_.files();
  // Locked before anything in it is touched, so what somebody else uses is left alone, and before
  // it gets the name of the store, so that no other process can come in between.
  CO_TRY_SET(file_, co_await Store::open_locked(store_.env_, temporary(), true));
  CO_TRY(co_await file_->truncate(0));
  if (auto* names = dynamic_cast<core::FileNames*>(&files)) {
    CO_TRY(names->copy_access(store_.real_path_, temporary()));
  }
  index_ = std::make_shared<Index>(store_.gate_, store_.len());
  co_return Result<void>();
}

core::Task<Result<void>> Compaction::flush() {
  if (buffer_.empty()) co_return Result<void>();
  CO_TRY(co_await file_->write(written_, buffer_));
  written_ += buffer_.size();
  buffer_.clear();
  co_return Result<void>();
}

core::Task<Result<void>> Compaction::copy(const std::uint8_t* file, const Entry& entry) {
  const std::uint64_t hash = entry.metadata.key_hash;
  const ByteView payload(file + entry.begin, entry.size());
  const std::uint64_t pad = entry.tombstone ? 0 : padding(tail_);
  const Metadata metadata{hash, tail_, entry.metadata.checksum};
  buffer_.resize(buffer_.size() + pad, 0);
  if (payload.size() > limits::kKvGroupBufferBytes) {
    core::touch(payload);
    CO_TRY(core::check_readable(payload));
    CO_TRY(co_await flush());
    CO_TRY(co_await file_->write(written_, payload));
    written_ += payload.size();
  } else {
    buffer_.insert(buffer_.end(), payload.begin(), payload.end());
    CO_TRY(core::check_readable({payload.data(), payload.size() + kMetadataBytes}));
  }
  buffer_.resize(buffer_.size() + kMetadataBytes);
  encode_metadata(metadata, buffer_.data() + buffer_.size() - kMetadataBytes);
  const std::uint64_t end = tail_ + pad + payload.size();
  tail_ = end + kMetadataBytes;
  if (entry.tombstone) {
    index_->erase(hash);
  } else {
    const auto known = store_.owned_view_->index->find(hash);
    index_->put(hash, {end, known.verifier});
  }
  if (buffer_.size() >= limits::kKvGroupBufferBytes) CO_TRY(co_await flush());
  co_return Result<void>();
}

core::Task<Result<void>> Compaction::copy_living() {
  seen_to_ = store_.file_size();
  const std::uint64_t total = store_.counted_.live_bytes;
  Cursor cursor = store_.iterate();
  const auto map = store_.owned_view_->maps[0];
  std::uint64_t count = 0, done = 0;
  while (const auto value = cursor.next()) {
    CO_TRY(token_.check());
    if (store_.closing_) co_return fail(Code::kCancelled, "the store is being closed");
    CO_TRY(co_await copy(map->data(), entry_at(map->data(), value->end_offset(), kAlignment)));
    done += value->file_size();
    if (++count % kYieldEvery != 0) continue;
    if (progress_) progress_(done, std::max(total, done));
    co_await core::yield();
  }
  CO_TRY(cursor.intact());
  co_return co_await flush();
}

// Appends what was written to the old file in [seen_to_, to), in the order of the file.
core::Task<Result<void>> Compaction::catch_up(std::uint64_t to) {
  const auto map = store_.owned_view_->maps[0];
  std::vector<std::uint64_t> ends;
  for (std::uint64_t tail = to; tail > seen_to_;) {
    const std::uint64_t end = tail - kMetadataBytes;
    ends.push_back(end);
    tail = decode_metadata(map->data() + end).prev_offset;
    CO_TRY(core::check_readable({map->data() + end, kMetadataBytes}));
  }
  std::uint64_t count = 0;
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const Entry entry = entry_at(map->data(), *end, kAlignment);
    if (entry.tombstone && !index_->find(entry.metadata.key_hash)) continue;
    CO_TRY(co_await copy(map->data(), entry));
    if (++count % kYieldEvery == 0) co_await core::yield();
  }
  seen_to_ = to;
  co_return co_await flush();
}

// Alone: no writer is in between.
core::Task<Result<void>> Compaction::take_over() {
  CO_TRY(store_.writable());
  CO_TRY(co_await catch_up(store_.file_size()));
  ++store_.counted_.syncs;
  CO_TRY(co_await file_->sync_data());
  CO_TRY_SET(auto map, file_->map(std::max(store_.options_.map_bytes, tail_ * 2)));
  for (unsigned part = 0; part < Index::kParts; ++part) {
    index_->each(part, [&](std::uint64_t, Index::Found found) {
      live_bytes_ += entry_at(map->data(), found.offset, kAlignment).size() + kMetadataBytes;
    });
  }
  // The next write is a first one again.
  if (tail_ == 0 && store_.options_.refuse_foreign) co_await store_.make_first_mark();
  CO_TRY(co_await store_.env_.files().rename(temporary(), store_.real_path_));
  auto view = store_.make_view(std::move(map), index_, kAlignment);
  store_.gate_.begin_publication();
  store_.swap_view(std::move(view));
  store_.tail_.store(tail_, std::memory_order_release);
  store_.gate_.end_publication();
  store_.counted_.live_bytes = live_bytes_;
  ++store_.counted_.compactions;
  auto named = co_await store_.env_.files().sync_directory(folder_of(store_.real_path_));
  // Only now: until then a power cut may bring the old file back, so that is what sync() syncs.
  store_.file_ = file_;
  if (!named) {
    // The next crash may bring the old file back: nothing may be acknowledged in the new one.
    store_.fault("the compacted file's name could not be synced (" + named.error().text() + ")");
  }
  co_return named;
}

core::Task<Result<Store::Compacted>> Compaction::run() {
  Store::Compacted result;
  CO_TRY(co_await start());
  auto done = co_await copy_living();
  for (unsigned round = 0; done && round < kRoundsMax; ++round) {
    if (store_.file_size() - seen_to_ <= kLastRoundBytes) break;
    done = co_await catch_up(store_.file_size());
  }
  if (done) done = co_await file_->sync_data();  // so that the last sync has little to do
  if (done) {
    co_await store_.lead();
    result.bytes_before = store_.file_size();
    done = co_await take_over();
    store_.hand_over();
  }
  // A reader was inside: the old map, and with it the disk space of the old file, goes when he has
  // left, not when somebody writes again.
  while (done && !store_.gate_.advance() && !store_.closing_) co_await core::yield();
  if (!done) {
    if (store_.file_ != file_) (void)co_await store_.env_.files().remove(temporary());
    co_return std::unexpected(
        std::move(done).error().within("compact store '" + store_.path_ + "'"));
  }
  result.bytes_after = tail_;
  result.values = index_->size();
  if (progress_) progress_(live_bytes_, live_bytes_);
  co_return result;
}

core::Task<Result<Store::Compacted>> Store::compact(Progress progress, core::CancelToken token) {
  if (home()) co_return co_await compact_here(std::move(progress), std::move(token));
  // A token belongs to its core: from elsewhere a compaction cannot be cancelled.
  co_return co_await at_home<Result<Compacted>>([this, report = std::move(progress)]() mutable {
    return compact_here(std::move(report), {});
  });
}

core::Task<Result<Store::Compacted>> Store::compact_here(Progress progress,
                                                         core::CancelToken token) {
  CO_TRY(open_for_calls());
  CO_TRY(writable());
  if (compacting_) {
    co_return fail(Code::kFailedPrecondition,
                   "store '" + path_ + "' is being compacted already; wait for it");
  }
  compacting_ = true;
  Compaction compaction(*this, std::move(progress), std::move(token));
  auto result = co_await compaction.run();
  compacting_ = false;
  compacted_.notify_all();
  co_return result;
}

}  // namespace capstan::storage::kv
