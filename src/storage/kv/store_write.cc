// Why this file exists: the writing operations of store.h in terms of one commit
// (store_commit.cc). Each has a half that crosses to the store's core and a half that runs there.
#include "base/checksum.h"
#include "storage/kv/store.h"
#include "storage/kv/value_stream.h"

namespace capstan::storage::kv {

namespace {

constexpr unsigned kStreamNames = 1000;  // that may be taken already

Result<void> check_value(ByteView value) {
  if (value.empty()) return fail(Code::kInvalidArgument, "Payload cannot be empty.");
  if (value.size() == 1 && value[0] == 0) {
    return fail(Code::kInvalidArgument, "NULL-byte payloads cannot be written directly.");
  }
  return {};
}

}  // namespace

core::Task<Result<std::uint64_t>> Store::write(ByteView key, ByteView value) {
  CO_TRY(check_value(value));
  const Change change = Change::put(key, value);
  if (!home()) co_return co_await apply({&change, 1});
  Request request;
  request.changes = {&change, 1};
  co_return co_await commit(request);
}

core::Task<Result<std::uint64_t>> Store::apply(std::span<const Change> changes) {
  if (!home()) {
    co_return co_await at_home<Result<std::uint64_t>>([this, changes] { return apply(changes); });
  }
  for (const Change& change : changes) {
    if (!change.remove) CO_TRY(check_value(change.value));
  }
  if (changes.empty()) co_return file_size();
  Request request;
  request.changes = changes;
  co_return co_await commit(request);
}

core::Task<Result<std::uint64_t>> Store::erase(ByteView key) {
  const Change change = Change::erase(key);
  co_return co_await apply({&change, 1});
}

core::Task<Result<std::uint64_t>> Store::rename(ByteView from, ByteView to) {
  if (home()) co_return co_await rename_here(from, to);
  co_return co_await at_home<Result<std::uint64_t>>(
      [this, from, to] { return rename_here(from, to); });
}

core::Task<Result<std::uint64_t>> Store::rename_here(ByteView from, ByteView to) {
  if (std::ranges::equal(from, to)) {
    co_return fail(Code::kInvalidArgument, "Cannot rename a key to itself");
  }
  if (hash_of(from) == hash_of(to)) {  // the tombstone would delete what was renamed
    co_return fail(
        Code::kFailedPrecondition,
        "Hash collision detected: both keys of a rename in '" + path_ + "' have the same hash");
  }
  const Inside inside(*this);
  while (true) {
    const auto value = find(from);
    if (!value) co_return fail(Code::kNotFound, "Old key not found");
    CO_TRY(value->fetch());
    Change changes[] = {Change::put(to, value->bytes()), Change::erase(from)};
    changes[0].checksum = value->metadata().checksum;
    Request request;
    request.changes = changes;
    expect(request, *value);
    auto done = co_await commit(request);
    if (done || done.error().code != Code::kAborted) co_return done;
  }
}

core::Task<Result<std::uint64_t>> Store::copy(ByteView key, Store& target) {
  if (this == &target) {
    co_return fail(Code::kInvalidArgument, "Cannot copy entry to the same storage (\"" + path_ +
                                               "\"). Use `rename` instead.");
  }
  const auto value = find(key);
  if (!value) {
    co_return fail(Code::kNotFound, "Key not found: \"" + std::string(as_text(key)) + "\"");
  }
  CO_TRY(value->fetch());
  Change change = Change::put(key, value->bytes());
  change.checksum = value->metadata().checksum;
  co_return co_await target.apply({&change, 1});
}

core::Task<Result<std::uint64_t>> Store::transfer(ByteView key, Store& target) {
  if (home()) co_return co_await transfer_here(key, &target);
  co_return co_await at_home<Result<std::uint64_t>>(
      [this, key, &target] { return transfer_here(key, &target); });
}

// Erases only what was copied: a value written meanwhile is copied as well.
core::Task<Result<std::uint64_t>> Store::transfer_here(ByteView key, Store* target) {
  const Inside inside(*this);
  while (true) {
    Request request;
    if (const auto value = find(key)) expect(request, *value);
    CO_TRY(co_await copy(key, *target));
    const bool syncs = options_.durability != Durability::kNone ||
                       target->options_.durability != Durability::kNone;
    if (syncs && target->options_.durability != Durability::kEach) CO_TRY(co_await target->sync());
    const Change change = Change::erase(key);
    request.changes = {&change, 1};
    auto done = co_await commit(request);
    if (done || done.error().code != Code::kAborted) co_return done;
  }
}

ValueStream Store::stream(ByteView key) {
  return ValueStream(*this, hash_of(key), verifier_of(key), std::string(as_text(key)));
}

ValueStream Store::stream_hashed(std::uint64_t hash) {
  return ValueStream(*this, hash, 0, {});
}

core::Task<Result<void>> Store::sync() {
  if (home()) co_return co_await sync_here();
  co_return co_await at_home<Result<void>>([this] { return sync_here(); });
}

core::Task<Result<void>> Store::sync_here() {
  CO_TRY(open_for_calls());
  const Inside inside(*this);
  CO_TRY(writable());
  const auto file = file_;
  ++counted_.syncs;
  auto synced = co_await file->sync_data();
  if (synced || file != file_) co_return synced;  // a compacted file was synced whole
  fault("a sync failed (" + synced.error().text() + ")");
  co_return std::unexpected(std::move(synced).error().within("sync store '" + path_ + "'"));
}

core::Task<void> Store::sync_now_and_then() {
  const auto token = scope_.token();
  const core::CancelCallback wake(token, [this] { dirty_.set(); });
  while (true) {
    co_await dirty_.wait();
    if (!co_await core::sleep_for(options_.interval, token)) co_return;
    dirty_.reset();
    // A failure faults the store; writers are told.
    if (auto synced = co_await sync_here(); !synced && !fault_.empty()) co_return;
  }
}

// --- ValueStream -------------------------------------------------------------------------------

core::Task<Result<void>> ValueStream::append(ByteView piece) {
  checksum_ = crc32(piece, checksum_);
  zeros_ = zeros_ && all_zero(piece);
  size_ += piece.size();
  memory_.insert(memory_.end(), piece.begin(), piece.end());
  if (memory_.size() < limits::kKvStreamMemoryBytes) co_return Result<void>();
  co_return co_await spill();
}

core::Task<Result<void>> ValueStream::spill() {
  if (!spilled_) {
    auto& files = store_->env_.files();
    core::OpenOptions options;
    options.write = options.create = options.exclusive = true;
    std::string path;
    Result<std::unique_ptr<core::File>> made;
    for (unsigned tries = 0; tries < kStreamNames; ++tries) {  // what is there is not ours
      path = store_->real_path_ + ".stream-" + std::to_string(++store_->streams_);
      made = co_await files.open(path, options);
      if (made || made.error().code != Code::kAlreadyExists) break;
    }
    CO_TRY_SET(spilled_, std::move(made));
    CO_TRY(co_await files.remove(path));  // nobody else needs its name
  }
  CO_TRY(co_await spilled_->write(on_disk_, memory_));
  on_disk_ += memory_.size();
  memory_.clear();
  co_return Result<void>();
}

core::Task<Result<std::uint64_t>> ValueStream::commit() {
  if (size_ == 0) co_return fail(Code::kInvalidArgument, "Payload cannot be empty.");
  if (zeros_) {
    co_return fail(Code::kInvalidArgument, "NULL-byte-only streams cannot be written directly.");
  }
  std::shared_ptr<core::FileMap> map;
  ByteView value = memory_;
  if (spilled_) {
    CO_TRY(co_await spill());
    CO_TRY_SET(map, spilled_->map(on_disk_));
    value = ByteView(map->data(), on_disk_);
  }
  const Change change{hash_, verifier_, false, value, as_bytes(key_), checksum_};
  Store::Request request;
  request.changes = {&change, 1};
  co_return co_await store_->commit(request);
}

}  // namespace capstan::storage::kv
