// Why this file exists: the only way into a store's file. Callers queue up; the first of them
// leads: it takes everybody who waits into one group, lays the group out behind the tail, writes
// it, syncs if the policy says so, publishes it, and hands the lead to whoever came meanwhile. What
// one caller did wrong fails that caller; what the disk did fails the group, and the file is cut
// back. Work that must be alone (the end of a compaction, closing) queues up like everybody else.
// Thread-safety: the store's core; publish() is where readers of other cores begin to see things.
#include <algorithm>

#include "base/checksum.h"
#include "core/os_bad_pages.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {

namespace {
// Values from here on go to the file from where they are.
constexpr std::size_t kLargeBytes = 64U << 10;
constexpr std::size_t kAhead = 16;           // so many keys ahead memory is asked for
constexpr std::size_t kKeptChanges = 16384;  // room for so many changes is kept between groups

// Whether these are verifiers of two keys.
bool differ(std::uint16_t one, std::uint16_t other) {
  return one != 0 && other != 0 && one != other;
}
}  // namespace

// Suspends the caller until the lead, or the result, is his.
struct Store::Turn {
  Request& request;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { request.waiter = handle; }
  void await_resume() const noexcept {}
};

core::Task<Result<std::uint64_t>> Store::commit(Request& request) {
  CO_TRY(open_for_calls());
  const Inside inside(*this);
  queue_.push_back(&request);
  if (leading_) {
    // By the time the group is made its slots of the index are in the cache.
    if (request.changes.size() == 1) owned_view_->index->prefetch(request.changes.front().hash);
    co_await Turn{request};
    if (request.done) co_return std::move(request.result);
  }
  leading_ = true;
  // Those whom the last sync answered are about to come back; without them this one would have a
  // sync of its own, and they would wait for it.
  if (options_.durability == Durability::kEach && group_size_ > 1) co_await core::yield();
  co_await run_group();
  hand_over();
  co_return std::move(request.result);
}

core::Task<void> Store::lead() {
  Request request;
  request.alone = true;
  queue_.push_back(&request);
  if (leading_) co_await Turn{request};
  leading_ = true;
  queue_.pop_front();
}

void Store::hand_over() {
  if (queue_.empty()) {
    leading_ = false;
  } else {
    core::Reactor::current()->make_ready(std::move(queue_.front()->waiter));
  }
}

// Those who came before close() get their answer, nobody queues up behind it.
Result<void> Store::open_for_calls() const {
  if (!closing_) return {};
  return fail(Code::kFailedPrecondition, "store '" + path_ + "' is closed");
}

Result<void> Store::writable() const {
  if (closed_) return fail(Code::kFailedPrecondition, "store '" + path_ + "' is closed");
  if (read_only_ && !counted_.read_only) {
    return fail(Code::kFailedPrecondition, "store '" + path_ + "' was opened for reading only");
  }
  if (read_only_) {
    return fail(Code::kFailedPrecondition,
                "store '" + path_ + "' is in an older format (alignment " +
                    std::to_string(counted_.alignment) +
                    ") and open for reading only; copy its values into a new store");
  }
  if (!fault_.empty()) {
    return fail(Code::kFailedPrecondition, "store '" + path_ + "' only reads since " + fault_ +
                                               "; check the disk and open the store again");
  }
  return {};
}

// Where the newest entry of the hash is, changes of this group included. Only few changes ask, so
// the group is looked through when the first one does.
Index::Found Store::newest(std::uint64_t hash) {
  for (; overlaid_ < publications_.size(); ++overlaid_) {
    const auto& done = publications_[overlaid_];
    overlay_[done.hash] = {done.offset, done.offset == 0 ? std::uint16_t{0} : done.verifier};
  }
  if (const auto found = overlay_.find(hash); found != overlay_.end()) return found->second;
  return owned_view_->index->find(hash);
}

// Whether the change may be made: not when it puts a value under the hash of another key, be that
// in the index, in an earlier request of the group, or in an earlier change of its request.
bool Store::claim(const Change& change, bool grouped) {
  const auto claimed = grouped ? claims_.find(change.hash) : std::nullopt;
  const auto known = claimed ? *claimed : owned_view_->index->find(change.hash).verifier;
  const bool other = differ(known, change.verifier);
  if (grouped && !other) {
    claims_.set(change.hash, change.remove ? std::uint16_t{0} : change.verifier);
  }
  return change.remove || !other;
}

void Store::expect(Request& request, const Value& value) const {
  request.expect_hash = value.key_hash();
  request.expect_offset = value.end_offset();
  request.expect_compactions = counted_.compactions;
}

Result<void> Store::check(const Request& request) {
  TRY(writable());
  if (request.expect_offset != 0 && (request.expect_compactions != counted_.compactions ||
                                     newest(request.expect_hash).offset != request.expect_offset)) {
    return fail(Code::kAborted, "the key was written meanwhile");
  }
  const Index& index = *owned_view_->index;
  const bool grouped = request.changes.size() > 1 || !publications_.empty();
  for (; grouped && claimed_ < publications_.size(); ++claimed_) {
    const auto& done = publications_[claimed_];
    claims_.set(done.hash, done.offset == 0 ? std::uint16_t{0} : done.verifier);
  }
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < request.changes.size(); ++i) {
    const Change& change = request.changes[i];
    if (i + kAhead < request.changes.size()) index.prefetch(request.changes[i + kAhead].hash);
    bytes += kAlignment + change.value.size() + kMetadataBytes;
    if (claim(change, grouped)) continue;
    claims_.clear();  // what this request claimed does not count
    claimed_ = 0;
    ++counted_.collisions;
    return fail(Code::kFailedPrecondition,
                "Hash collision detected: another key of '" + path_ + "' has the same hash");
  }
  if (next_tail_ + bytes > kFileBytesMax) {
    claims_.clear();
    claimed_ = 0;
    return fail(Code::kResourceExhausted, "store '" + path_ + "' would grow beyond 256 TiB");
  }
  return {};
}

// Notes what is to be published for an entry whose metadata is at `offset`.
void Store::note(const Change& change, std::uint64_t offset, std::uint64_t size) {
  next_tail_ = offset + kMetadataBytes;
  const std::uint64_t at = change.remove ? 0 : offset;
  publications_.push_back({change.hash, at, size, next_tail_, change.verifier, change.key});
}

// Puts an entry, or of a large one what surrounds its payload, into the buffer.
void Store::encode(const Change& change, bool with_payload) {
  const ByteView payload = change.remove ? ByteView(kTombstone) : change.value;
  const std::uint64_t pad = change.remove ? 0 : padding(next_tail_);
  const std::uint64_t end = next_tail_ + pad + payload.size();
  const std::size_t at = buffer_.size();
  buffer_.resize(at + (with_payload ? pad + payload.size() : 0) + kMetadataBytes);
  std::uint8_t* to = buffer_.data() + at;
  if (with_payload) {
    std::memset(to, 0, pad);
    std::memcpy(to + pad, payload.data(), payload.size());
    to += pad + payload.size();
  }
  const std::uint32_t checksum = change.checksum ? *change.checksum : crc32(payload);
  encode_metadata({change.hash, next_tail_, checksum}, to);
  note(change, end, payload.size());
}

core::Task<Result<void>> Store::flush_buffer() {
  if (buffer_.empty()) co_return Result<void>();
  bool written = false;
  if (buffer_.size() <= limits::kKvInlineWriteBytes) {
    CO_TRY_SET(written, file_->write_cached(buffer_at_, buffer_));
  }
  if (!written) CO_TRY(co_await file_->write(buffer_at_, buffer_));
  buffer_at_ += buffer_.size();
  buffer_.clear();
  co_return Result<void>();
}

core::Task<Result<void>> Store::write_large(const Change& change) {
  buffer_.resize(buffer_.size() + padding(next_tail_), 0);
  CO_TRY(co_await flush_buffer());
  CO_TRY(co_await file_->write(buffer_at_, change.value));
  buffer_at_ += change.value.size();
  encode(change, false);
  co_return Result<void>();
}

core::Task<Result<void>> Store::write_changes(const Request& request) {
  for (const Change& change : request.changes) {
    if (change.remove) {
      const auto there = newest(change.hash);
      if (!there || differ(there.verifier, change.verifier)) continue;
    }
    if (!change.remove && change.value.size() >= kLargeBytes) {
      CO_TRY(co_await write_large(change));
    } else {
      encode(change, true);
    }
    if (buffer_.size() >= limits::kKvGroupBufferBytes) CO_TRY(co_await flush_buffer());
  }
  co_return Result<void>();
}

core::Task<void> Store::run_group() {
  const std::uint64_t old_tail = tail_.load(std::memory_order_relaxed);
  buffer_.clear();
  publications_.clear();
  if (!overlay_.empty()) overlay_.clear();
  claims_.clear();
  overlaid_ = claimed_ = 0;
  buffer_at_ = next_tail_ = old_tail;
  std::vector<Request*> others;
  others.reserve(queue_.size());
  Request* const first = queue_.front();
  Result<void> disk;
  while (!queue_.empty() && !queue_.front()->alone && disk &&
         next_tail_ - old_tail < limits::kKvGroupBytes) {
    Request& request = *queue_.front();
    queue_.pop_front();
    if (&request != first) others.push_back(&request);
    auto checked = check(request);
    if (!checked) {
      request.result = std::unexpected(std::move(checked).error());
      continue;
    }
    const bool claimed = claimed_ == publications_.size() && request.changes.size() > 1;
    disk = co_await write_changes(request);
    if (claimed) claimed_ = publications_.size();
    request.result = next_tail_;
  }
  if (disk) disk = co_await finish_group(old_tail);
  if (!disk) {
    co_await roll_back();
    const auto undo = [&disk](Request& request) {
      if (request.result) request.result = std::unexpected(disk.error());
    };
    undo(*first);
    for (Request* request : others) undo(*request);
  }
  trim();
  group_size_ = 1 + others.size();
  for (Request* request : others) {
    request->done = true;
    core::Reactor::current()->make_ready(std::move(request->waiter));
  }
}

core::Task<Result<void>> Store::finish_group(std::uint64_t old_tail) {
  if (next_tail_ == old_tail) co_return Result<void>();
  const std::string what = "write to store '" + path_ + "'";
  const auto named = [&what](Result<void> result) -> Result<void> {
    if (!result) return std::unexpected(std::move(result).error().within(what));
    return result;
  };
  CO_TRY(named(co_await flush_buffer()));
  CO_TRY(named(ensure_mapped(next_tail_)));
  if (options_.durability == Durability::kEach) {
    ++counted_.syncs;
    auto synced = co_await file_->sync_data();
    if (!synced) {
      fault("a sync failed (" + synced.error().text() + ")");
      co_return named(std::move(synced));
    }
  }
  publish();
  co_return Result<void>();
}

// What was written behind the tail is no part of the file.
core::Task<void> Store::roll_back() {
  auto cut = co_await file_->truncate(tail_.load(std::memory_order_relaxed));
  if (!cut) fault("a failed write could not be taken back (" + cut.error().text() + ")");
}

void Store::fault(std::string reason) {
  if (fault_.empty()) fault_ = std::move(reason);
}

Result<void> Store::ensure_mapped(std::uint64_t tail) {
  const std::uint64_t capacity = owned_view_->maps[0]->capacity_bytes();
  if (tail <= capacity) return {};
  TRY_SET(auto map, file_->map(std::max(capacity * 2, tail * 2)));
  auto fresh = make_view(std::move(map), owned_view_->index, owned_view_->alignment);
  gate_.begin_publication();
  swap_view(std::move(fresh));
  gate_.end_publication();
  return {};
}

// The old view goes when the last reader has left it; values keep the map they are in.
void Store::swap_view(std::unique_ptr<View> fresh) {
  auto old = std::exchange(owned_view_, std::move(fresh));
  view_.store(owned_view_.get(), std::memory_order_release);
  gate_.retire([old = std::move(old)] {});
}

void Store::publish() {
  Index& index = *owned_view_->index;
  const std::uint8_t* file = owned_view_->maps[0]->data();
  gate_.begin_publication();
  for (std::size_t i = 0; i < publications_.size(); ++i) {
    auto& change = publications_[i];
    if (i + kAhead < publications_.size()) index.prefetch(publications_[i + kAhead].hash);
    const auto old = change.offset == 0 ? index.erase(change.hash)
                                        : index.put(change.hash, {change.offset, change.verifier});
    if (change.offset != 0) counted_.live_bytes += change.size + kMetadataBytes;
    change.replaced = old.offset;
    if (old) __builtin_prefetch(file + old.offset);
    ++(change.offset == 0 ? counted_.deletes : counted_.writes);
  }
  counted_.bytes_written += next_tail_ - tail_.load(std::memory_order_relaxed);
  ++counted_.groups;
  tail_.store(next_tail_, std::memory_order_release);
  gate_.end_publication();
  gate_.advance();
  // Not while readers wait: what was replaced may have to come from the disk.
  for (const auto& change : publications_) {
    if (change.replaced == 0) continue;
    const std::uint64_t size = entry_at(file, change.replaced, kAlignment).size();
    const ByteView metadata(file + change.replaced, kMetadataBytes);
    if (core::check_readable(metadata)) counted_.live_bytes -= size + kMetadataBytes;
  }
  if (options_.durability == Durability::kInterval) dirty_.set();
  if (observer_) tell_observer();
}

// Memory of a large group is not kept (assigning {} would keep it), nor what clearing
// it for every small one would cost.
void Store::trim() {
  if (buffer_.capacity() > 2 * limits::kKvGroupBufferBytes) buffer_ = std::vector<std::uint8_t>();
  if (publications_.capacity() > kKeptChanges) publications_ = std::vector<Publication>();
  if (changed_.capacity() > kKeptChanges) changed_ = std::vector<Changed>();
  if (overlay_.bucket_count() > kKeptChanges) overlay_ = decltype(overlay_)();
  if (claims_.slots() > 4 * kKeptChanges) claims_.drop();
}

void Store::tell_observer() {
  changed_.clear();
  for (const auto& change : publications_) {
    const bool removed = change.offset == 0;
    changed_.push_back({change.hash, removed, removed ? 0 : change.size, change.tail, change.key});
  }
  observer_(changed_);
}

}  // namespace capstan::storage::kv
