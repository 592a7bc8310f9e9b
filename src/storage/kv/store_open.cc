// Why this file exists: opening a store (lock, recovery, index) and closing it. Recovery never
// throws away what it cannot prove to be a torn write without keeping a copy, and never writes to a
// file of an older format.
#include <algorithm>
#include <cerrno>

#include "base/checksum.h"
#include "base/path.h"
#include "core/file_names.h"
#include "core/os_bad_pages.h"
#include "storage/kv/store.h"

namespace capstan::storage::kv {

namespace {

constexpr std::uint64_t kYieldEvery = 1U << 16;  // entries between two turns of the core
constexpr unsigned kOpenTries = 100;             // while others create and replace the file

// Whether other stores would take the file for a temporary one of theirs.
bool looks_temporary(std::string_view path) {
  if (path.ends_with(".compact") || path.ends_with(".kv-first")) return true;
  const auto digits = path.find_last_not_of("0123456789");
  return digits != path.npos && digits + 1 != path.size() &&
         path.substr(0, digits + 1).ends_with(".stream-");
}

}  // namespace

Store::Store(core::Env& env, std::string path, std::string real_path, StoreOptions options)
    : env_(env),
      path_(std::move(path)),
      real_path_(std::move(real_path)),
      options_(options),
      home_(core::Reactor::current()) {}

Store::~Store() {
  view_.store(nullptr);
  CAPSTAN_ASSERT(scope_.children() == 0);  // close() first
}

core::Task<Result<std::unique_ptr<core::File>>> Store::open_locked(core::Env& env, std::string path,
                                                                   bool create, bool write) {
  core::OpenOptions options;
  options.write = write;
  options.exclusive = true;
  for (unsigned tries = 0; tries < kOpenTries; ++tries) {
    auto file = co_await env.files().open(path, options);
    if (!file && file.error().code == Code::kNotFound && create) {
      core::OpenOptions fresh;
      fresh.write = fresh.create = fresh.exclusive = true;
      auto made = co_await env.files().open(path, fresh);
      if (!made && made.error().code != Code::kAlreadyExists) co_return made;
      continue;
    }
    if (!file && file.error().code == Code::kNotFound) {
      co_return fail(Code::kNotFound, "Storage file '" + path + "' does not exist.", ENOENT);
    }
    if (!file && file.error().sys_errno == EBUSY) {
      co_return fail(Code::kFailedPrecondition,
                     "store '" + path + "' is open in another process; close it there first",
                     EBUSY);
    }
    if (!file) co_return std::unexpected(std::move(file).error());
    if ((*file)->info().is_block_device) {
      co_return fail(Code::kInvalidArgument, "'" + path + "' is not a valid file.");
    }
    // The one who held the lock may have replaced the file while this one waited for it.
    CO_TRY_SET(const auto info, (*file)->refresh());
    if (info.unlinked) continue;
    // Its name is durable before anything in it is, whoever made the file.
    if (write) CO_TRY(co_await env.files().sync_directory(folder_of(path)));
    co_return file;
  }
  co_return fail(Code::kAborted, "'" + path + "' is replaced all the time; who else uses it?");
}

core::Task<Result<std::unique_ptr<Store>>> Store::open(core::Env& env, std::string path,
                                                       StoreOptions options) {
  // Behind a symbolic link: compaction replaces the file, not the link to it.
  std::string real = path;
  if (auto* names = dynamic_cast<core::FileNames*>(&env.files())) {
    auto resolved = names->resolve(path);
    if (!resolved && resolved.error().code != Code::kNotFound) {
      co_return std::unexpected(std::move(resolved).error());
    }
    if (resolved) real = *std::move(resolved);
  }
  if (looks_temporary(real)) {
    co_return fail(Code::kInvalidArgument,
                   "'" + path +
                       "' is the name of a temporary file of another store; give the "
                       "store a name that ends neither in .compact or .kv-first nor in "
                       ".stream-NUMBER");
  }
  std::unique_ptr<Store> store(new Store(env, path, real, options));
  const bool write = !options.read_only;
  CO_TRY_SET(store->file_, co_await open_locked(env, real, options.create && write, write));
  auto loaded = co_await store->load();
  if (!loaded) {
    co_return std::unexpected(std::move(loaded).error().within("open store '" + path + "'"));
  }
  if (options.durability == Durability::kInterval && !store->read_only_) {
    store->scope_.spawn(store->sync_now_and_then());
  }
  co_return std::move(store);
}

core::Task<Result<void>> Store::load() {
  const std::uint64_t size = file_->info().size_bytes;
  if (!options_.read_only) CO_TRY(co_await remove_left_over());
  CO_TRY_SET(auto map, file_->map(std::max(options_.map_bytes, size * 2)));
  const ByteView whole(map->data(), size);
  const Recovery found = recover(whole);
  // Zeros in the place of what cannot be read prove nothing: before anything is cut off.
  CO_TRY(core::check_readable(whole));
  const bool ours = options_.refuse_foreign && co_await has_first_mark();
  CO_TRY(acceptable(found, size, ours));
  counted_.alignment = found.alignment;
  counted_.read_only = found.kind == Recovery::Kind::kOld;
  read_only_ = counted_.read_only || options_.read_only;
  counted_.torn_bytes = size - found.tail;
  if (options_.refuse_foreign && !read_only_ && found.tail == 0 && !ours) {
    co_await make_first_mark();
  }
  if (ours && !read_only_ && found.tail != 0) {
    CO_TRY(co_await file_->sync_data());  // before what would excuse the entries' absence goes
    // Beside entries it is harmless, and the next opening tries again.
    const auto removed = co_await env_.files().remove(first_mark());
    static_cast<void>(removed.has_value());
  }
  if (found.tail < size && !read_only_) CO_TRY(co_await cut_torn(found, size));
  auto index = std::make_shared<Index>(gate_, found.entries);
  owned_view_ = make_view(std::move(map), std::move(index), found.alignment);
  tail_.store(found.tail);
  CO_TRY(co_await build_index(found));
  CO_TRY(core::check_readable(whole));
  view_.store(owned_view_.get(), std::memory_order_release);
  if (!read_only_) CO_TRY(co_await repair());
  co_return Result<void>();
}

// Whether what recovery found may be opened, and cut: any bytes may be the beginning of a value, so
// only a record of our own tells a torn first write from somebody else's file.
Result<void> Store::acceptable(const Recovery& found, std::uint64_t size, bool ours) const {
  if (found.kind == Recovery::Kind::kUndecided) {
    return fail(Code::kDataLoss,
                "'" + path_ +
                    "' is damaged, and too much of it looks like entries to tell which part a "
                    "crash left; nothing was changed; restore it from a copy");
  }
  if (found.tail == 0 && size != 0 && options_.refuse_foreign && !ours) {
    return fail(Code::kFailedPrecondition,
                "'" + path_ + "' has " + std::to_string(size) +
                    " bytes and holds no entry of a store, so it may be somebody else's; nothing "
                    "was changed; give another path, or move the file away");
  }
  return {};
}

// FILE.kv-first, empty: the file was empty when a store was opened there, so what is in it without
// being an entry is a torn write of the store.
core::Task<bool> Store::has_first_mark() {
  const auto mark = co_await env_.files().open(first_mark(), {});
  co_return mark && !(*mark)->info().is_block_device && (*mark)->info().size_bytes == 0;
}

// Where it cannot be made (a folder that nobody may write to) a torn first write is refused at the
// next opening; nothing is lost by that, so it is no reason to refuse the store now.
core::Task<void> Store::make_first_mark() {
  core::OpenOptions options;
  options.write = options.create = options.exclusive = true;
  if (!co_await env_.files().open(first_mark(), options)) co_return;
  (void)co_await env_.files().sync_directory(folder_of(real_path_));
}

// What a compaction left that a crash ended. Whoever holds its lock is no crashed compaction.
core::Task<Result<void>> Store::remove_left_over() {
  const std::string path = real_path_ + ".compact";
  core::OpenOptions options;
  options.write = options.exclusive = true;
  const auto left_over = co_await env_.files().open(path, options);
  if (!left_over && left_over.error().code == Code::kNotFound) co_return Result<void>();
  if (!left_over && left_over.error().sys_errno == EBUSY) {
    co_return fail(Code::kFailedPrecondition,
                   "'" + path +
                       "', which is where this store is compacted to, is in use; "
                       "close it there or give it another name",
                   EBUSY);
  }
  if (!left_over) co_return std::unexpected(left_over.error());
  co_return co_await env_.files().remove(path);
}

// Keeps what is cut off, then cuts.
core::Task<Result<void>> Store::cut_torn(const Recovery& found, std::uint64_t size) {
  if (options_.keep_torn) {
    // What ends with a sound entry was not torn: damage is in front of it, and all of it may
    // matter.
    const bool all = found.kind == Recovery::Kind::kForeign || found.sound_end;
    const std::uint64_t limit = all ? size : std::min(size, found.tail + limits::kKvTornBytesMax);
    auto kept = co_await keep_torn(found.tail, limit);
    if (!kept) {
      co_return std::unexpected(
          std::move(kept).error().within("keep " + std::to_string(limit - found.tail) +
                                         " torn bytes beside the store; make room for them"));
    }
  }
  CO_TRY(co_await file_->truncate(found.tail));
  co_return co_await file_->sync_data();
}

// Copies a part of the file to FILE.torn-<unix seconds>; never over what an opening before it kept.
core::Task<Result<void>> Store::keep_torn(std::uint64_t from, std::uint64_t to) {
  const std::string name =
      real_path_ + ".torn-" + std::to_string(env_.wall_clock_ns() / core::kSecond);
  core::OpenOptions options;
  options.write = options.create = options.exclusive = true;
  std::string made = name;
  auto copy = co_await env_.files().open(made, options);
  for (unsigned i = 2; !copy && copy.error().code == Code::kAlreadyExists && i < kOpenTries; ++i) {
    made = name + "-" + std::to_string(i);
    copy = co_await env_.files().open(made, options);
  }
  if (!copy) co_return std::unexpected(std::move(copy).error());
  auto kept = co_await copy_torn(**copy, from, to);
  if (kept) kept = co_await env_.files().sync_directory(folder_of(real_path_));
  if (!kept) (void)co_await env_.files().remove(made);  // half a copy is none
  if (kept) counted_.torn_copy = made;
  co_return kept;
}

core::Task<Result<void>> Store::copy_torn(core::File& to_file, std::uint64_t from,
                                          std::uint64_t to) {
  std::vector<std::uint8_t> piece(limits::kKvGroupBufferBytes);
  for (std::uint64_t at = from; at < to; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), to - at));
    CO_TRY_SET(const std::size_t got, co_await file_->read(at, piece));
    piece.resize(got);
    if (got == 0) break;
    CO_TRY(co_await to_file.write(at - from, piece));
  }
  co_return co_await to_file.sync_data();
}

std::unique_ptr<Store::View> Store::make_view(std::shared_ptr<core::FileMap> map,
                                              std::shared_ptr<Index> index,
                                              std::uint64_t alignment) const {
  auto view = std::make_unique<View>();
  for (auto& owner : view->maps) {
    // Its own reference count, which keeps the one map alive.
    auto share = std::make_shared<std::shared_ptr<core::FileMap>>(map);
    owner = std::shared_ptr<const core::FileMap>(map.get(), [share](const core::FileMap*) {});
  }
  view->index = std::move(index);
  view->alignment = alignment;
  view->capacity = view->maps[0]->capacity_bytes();
  return view;
}

core::Task<Result<void>> Store::build_index(const Recovery& found) {
  const std::uint8_t* file = owned_view_->maps[0]->data();
  Index& index = *owned_view_->index;
  boost::unordered_flat_set<std::uint64_t> removed;
  std::uint64_t count = 0;
  for (std::uint64_t tail = found.tail; tail != 0;) {
    const Entry entry = entry_at(file, tail - kMetadataBytes, found.alignment);
    tail = entry.metadata.prev_offset;
    const std::uint64_t hash = entry.metadata.key_hash;
    if (entry.tombstone) {
      if (!index.find(hash)) removed.insert(hash);
    } else if ((removed.empty() || !removed.contains(hash)) && !index.find(hash)) {
      index.put(hash, {entry.end, 0});
      counted_.live_bytes += entry.size() + kMetadataBytes;
    }
    if (++count % kYieldEvery == 0) co_await core::yield();
  }
  co_return Result<void>();
}

core::Task<Result<void>> Store::close() {
  if (home()) co_return co_await close_here();
  co_return co_await core::on<Result<void>>(*home_, [this] { return close_here(); });
}

core::Task<Result<void>> Store::close_here() {
  closing_ = true;
  scope_.cancel();
  co_await scope_.join();
  while (compacting_) co_await compacted_.wait();
  while (inside_ != 0 || arriving_.load() != 0) co_await idle_.wait();
  co_await lead();
  Result<void> synced;
  if (!closed_ && !read_only_ && options_.durability != Durability::kNone && fault_.empty()) {
    synced = co_await file_->sync_data();
  }
  if (!closed_ && !read_only_ && options_.refuse_foreign && synced && fault_.empty()) {
    if (co_await has_first_mark()) (void)co_await env_.files().remove(first_mark());
  }
  closed_ = true;
  file_.reset();
  hand_over();
  co_return synced;
}

StoreStats Store::stats() const {
  StoreStats stats = counted_;
  stats.keys = len();
  stats.file_bytes = file_size();
  stats.reads = gate_.entries();
  stats.fault = fault_;
  return stats;
}

}  // namespace capstan::storage::kv
