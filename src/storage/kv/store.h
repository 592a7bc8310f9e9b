// Why this file exists: the key/value store, as the node and programs that link it use it. One file
// is one store, simd-r-drive's format byte for byte (FORMAT.md). Keys and values are byte strings;
// the file holds hashes instead of keys, so keys cannot be listed, only values by key hash.
//
// Reading takes no lock and copies nothing: a Value is a view into the mapped file. It stays valid
// as long as it exists, whatever happens to the key, the file (compaction) or the Store (close).
// Writing appends. A value is visible on every core when write() returns; changes of one batch
// become visible together; nobody sees part of a value. A failed write leaves nothing behind.
// Threads: reads on any thread. Everything that returns a Task may be awaited on any core of the
// env; it runs on the core that opened the store. Memory given to a Task stays valid until it ends.
// Errors: kInvalidArgument and kNotFound as datastore section 5 words them; kFailedPrecondition for
// a store that is read-only, locked or closed; kDataLoss for a checksum (with verify_reads);
// kResourceExhausted when the disk is full. After a failed sync it only reads until reopened. What
// the disk cannot read is kDataLoss; Value::intact() tells. The env outlives it; close() it first.
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "core/env.h"
#include "core/scope.h"
#include "core/sync.h"
#include "storage/kv/claims.h"
#include "storage/kv/index.h"
#include "storage/kv/kv_codec.h"
#include "storage/kv/read_gate.h"

namespace capstan::storage::kv {

// When a write is answered: kNone once the operating system has it (survives kill -9), kInterval
// likewise, and a sync follows within the interval, kEach once it is on stable storage.
enum class Durability : std::uint8_t { kNone, kInterval, kEach };

struct StoreOptions {
  bool create = true;  // a missing file is made; else kNotFound
  Durability durability = Durability::kNone;
  core::Nanos interval = core::kSecond;
  bool verify_reads = false;  // read() compares checksums
  bool keep_torn = true;      // what recovery cuts off is kept as FILE.torn-<unix seconds>
  // A file without a single entry is an error unless FILE.kv-first says that it is a first write of
  // ours, which a crash tore; else it becomes an empty store (FORMAT.md, "Opening").
  bool refuse_foreign = false;
  // For looking only: nothing is made, cut off, repaired or removed; what is torn is not shown.
  bool read_only = false;
  std::uint64_t map_bytes = limits::kKvMapBytesMin;  // first reservation of address space
};

// A value in the mapped file. Copyable, any thread. What of it the disk cannot read shows as zeros;
// where that is what says how long it is, it shows as empty.
class Value {
 public:
  Value(std::shared_ptr<const core::FileMap> map, const Entry& entry)
      : map_(std::move(map)), begin_(entry.begin), end_(entry.end) {}
  ByteView bytes() const { return {map_->data() + begin_, end_ - begin_}; }
  std::uint64_t begin_offset() const { return begin_; }  // in the file, a multiple of 64
  std::uint64_t end_offset() const { return end_; }
  std::uint64_t size() const { return end_ - begin_; }
  std::uint64_t file_size() const { return size() + kMetadataBytes; }
  Metadata metadata() const { return decode_metadata(map_->data() + end_); }
  std::uint64_t key_hash() const { return metadata().key_hash; }
  bool checksum_right() const;
  // kDataLoss when what was seen of it so far is not what the file holds, because the disk could
  // not read it. Asked after bytes() was used, before what came of it is handed on.
  Result<void> intact() const;
  // Looks at all of it first: for bytes that a system call will read.
  Result<void> fetch() const;

 private:
  std::shared_ptr<const core::FileMap> map_;
  std::uint64_t begin_, end_;
};

// One change of a batch.
struct Change {
  std::uint64_t hash = 0;
  std::uint16_t verifier = 0;  // 0: the key is not known
  bool remove = false;         // a tombstone, if the key is there
  ByteView value, key;         // the key is only for observers
  std::optional<std::uint32_t> checksum = {};

  static Change put(ByteView key, ByteView value) {
    return {hash_of(key), verifier_of(key), false, value, key};
  }
  static Change put_hashed(std::uint64_t hash, ByteView value) {
    return {hash, 0, false, value, {}};
  }
  static Change erase(ByteView key) { return {hash_of(key), verifier_of(key), true, {}, key}; }
  static Change erase_hashed(std::uint64_t hash) { return {hash, 0, true, {}, {}}; }
};

// What an observer is told after a change has become visible.
struct Changed {
  std::uint64_t key_hash = 0;
  bool removed = false;
  std::uint64_t size = 0;  // of the value
  std::uint64_t tail = 0;  // behind the entry
  ByteView key;            // empty when the caller gave only a hash; valid during the call
};

struct StoreStats {
  std::uint64_t keys = 0, file_bytes = 0, live_bytes = 0;
  std::uint64_t reads = 0;  // lookups since opening
  std::uint64_t writes = 0, deletes = 0, bytes_written = 0, groups = 0, syncs = 0;
  std::uint64_t compactions = 0, collisions = 0;
  std::uint64_t torn_bytes = 0;       // that opening cut off, or (read-only) does not count
  std::string torn_copy;              // where what it cut off is kept; empty: nowhere
  std::uint64_t repaired_values = 0;  // torn newest values that opening wrote anew from older ones
  std::uint64_t alignment = kAlignment;
  bool read_only = false;  // an older format
  std::string fault;       // empty: works
  // What compact() would free, as upstream counts it: padding and tombstones are savings.
  std::uint64_t compaction_savings() const {
    return file_bytes > live_bytes ? file_bytes - live_bytes : 0;
  }
};

// Walks the file from the newest to the oldest entry as it was when the cursor was made: every key
// once, in its newest version, deleted keys left out. Any one thread; independent of the store.
class Cursor {
 public:
  Cursor(std::shared_ptr<const core::FileMap> map, std::uint64_t tail, std::uint64_t alignment)
      : map_(std::move(map)), tail_(tail), alignment_(alignment) {}
  // Nothing at the end, or where the disk cannot read what leads on.
  std::optional<Value> next();
  // kDataLoss when the walk ended early. Asked at its end.
  Result<void> intact() const;

 private:
  std::shared_ptr<const core::FileMap> map_;
  std::uint64_t tail_, alignment_;
  boost::unordered_flat_set<std::uint64_t> seen_;
};

class ValueStream;

class Store {
 public:
  using Observer = std::function<void(std::span<const Changed>)>;
  struct Compacted {
    std::uint64_t bytes_before = 0, bytes_after = 0, values = 0;
  };
  using Progress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;
  static constexpr unsigned kScanParts = Index::kParts;

  static core::Task<Result<std::unique_ptr<Store>>> open(core::Env& env, std::string path,
                                                         StoreOptions options = {});
  ~Store();
  // Waits for every call that came before it, gives up a compaction, syncs unless the policy is
  // kNone, gives the file and its lock back. Calls that come later fail. Values and cursors live
  // on.
  core::Task<Result<void>> close();

  // --- reading: any thread ---
  // Never fails and verifies nothing; `read` does what the options say, and is kDataLoss where the
  // disk cannot read what leads to the value.
  std::optional<Value> find(ByteView key) const;
  std::optional<Value> find_hashed(std::uint64_t hash) const;
  Result<std::optional<Value>> read(ByteView key) const;
  // One answer per key, in order, all of one moment.
  Result<std::vector<std::optional<Value>>> batch_read(std::span<const ByteView> keys) const;
  // With `keys` (as many as hashes) an entry whose key does not have that hash is missing.
  Result<std::vector<std::optional<Value>>> batch_read_hashed(
      std::span<const std::uint64_t> hashes,
      std::optional<std::span<const ByteView>> keys = std::nullopt) const;
  bool exists(ByteView key) const;
  bool exists_hashed(std::uint64_t hash) const;
  // The newest entry of the file, also when it is a tombstone (one zero byte).
  std::optional<Value> read_last_entry() const;
  Cursor iterate() const;
  // The values of one of kScanParts parts of all keys, in no order: cores scan in parallel.
  std::vector<Value> scan(unsigned part) const;
  std::uint64_t len() const;
  bool is_empty() const { return len() == 0; }
  std::uint64_t file_size() const { return tail_.load(std::memory_order_acquire); }
  const std::string& path() const { return path_; }

  // --- writing: any core; each answers the new tail of the file ---
  core::Task<Result<std::uint64_t>> write(ByteView key, ByteView value);
  // All or nothing. Of two changes of one key the later one counts.
  core::Task<Result<std::uint64_t>> apply(std::span<const Change> changes);
  core::Task<Result<std::uint64_t>> erase(ByteView key);
  // The value moves to another key in one step.
  core::Task<Result<std::uint64_t>> rename(ByteView from, ByteView to);
  // Into another store; answers the target's tail.
  core::Task<Result<std::uint64_t>> copy(ByteView key, Store& target);
  // copy, then erase here; answers this store's tail. Unless neither store ever syncs, the copy is
  // on stable storage before the value here goes.
  core::Task<Result<std::uint64_t>> transfer(ByteView key, Store& target);
  // A value that arrives in pieces (value_stream.h); nobody waits for a slow one.
  ValueStream stream(ByteView key);
  ValueStream stream_hashed(std::uint64_t hash);
  // Everything written so far is on stable storage afterwards.
  core::Task<Result<void>> sync();

  // Copies what lives into a new file and replaces the old one by it. Reads and writes go on; a
  // crash leaves either file whole.
  core::Task<Result<Compacted>> compact(Progress progress = {}, core::CancelToken token = {});

  // --- the store's own core ---
  StoreStats stats() const;
  // Called after every publication; one at a time, empty = none.
  void observe(Observer observer) { observer_ = std::move(observer); }

 private:
  friend class ValueStream;
  friend class Compaction;
  friend struct StorePeek;  // tests
  // What readers see; replaced as a whole. The same map under several owners, so that readers on
  // different cores do not share a reference count.
  struct View {
    std::array<std::shared_ptr<const core::FileMap>, ReadGate::kStripes> maps;
    std::shared_ptr<Index> index;
    std::uint64_t alignment = kAlignment, capacity = 0;  // bytes that are mapped
    const std::shared_ptr<const core::FileMap>& map(std::uint64_t hash) const {
      return maps[hash % maps.size()];
    }
    // Whether the metadata at the offset is within the maps.
    bool reaches(std::uint64_t offset) const { return offset + kMetadataBytes <= capacity; }
  };
  struct Seen {
    const View* view;
    Index::Found found;
  };
  struct Batch {
    std::span<const std::uint64_t> hashes;
    std::span<const std::uint16_t> verifiers;
    std::vector<std::uint64_t> offsets;
    std::vector<std::optional<Value>> values;
  };
  // One caller waiting for its changes, or for its turn to do something alone.
  struct Request {
    std::span<const Change> changes;
    // Where the caller saw a value, and after how many compactions: an offset means one value only
    // until the next one. 0: nothing is expected.
    std::uint64_t expect_hash = 0, expect_offset = 0, expect_compactions = 0;
    bool alone = false, done = false;
    Result<std::uint64_t> result = std::uint64_t{0};
    core::Suspended waiter = {};
  };
  struct Publication {
    std::uint64_t hash, offset, size, tail;  // offset 0: removed
    std::uint16_t verifier;
    ByteView key;
    std::uint64_t replaced = 0;  // where what it replaces was
  };
  struct Turn;
  struct Damage;
  // A call is on the store's core; close() waits until it ends.
  class Inside {
   public:
    explicit Inside(Store& store) : store_(store) { ++store_.inside_; }
    ~Inside() {
      if (--store_.inside_ == 0 && store_.closing_) store_.idle_.notify_all();
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Store& store_;
  };

  Store(core::Env& env, std::string path, std::string real_path, StoreOptions options);

  // --- store_open.cc
  static core::Task<Result<std::unique_ptr<core::File>>> open_locked(core::Env& env,
                                                                     std::string path, bool create,
                                                                     bool write = true);
  core::Task<Result<void>> load();
  core::Task<Result<void>> cut_torn(const Recovery& found, std::uint64_t size);
  Result<void> acceptable(const Recovery& found, std::uint64_t size, bool ours) const;
  core::Task<Result<void>> remove_left_over();
  std::string first_mark() const { return real_path_ + ".kv-first"; }
  core::Task<bool> has_first_mark();
  core::Task<void> make_first_mark();
  core::Task<Result<void>> keep_torn(std::uint64_t from, std::uint64_t to);
  core::Task<Result<void>> copy_torn(core::File& to_file, std::uint64_t from, std::uint64_t to);
  core::Task<Result<void>> build_index(const Recovery& found);
  std::unique_ptr<View> make_view(std::shared_ptr<core::FileMap> map, std::shared_ptr<Index> index,
                                  std::uint64_t alignment) const;
  core::Task<void> sync_now_and_then();

  // --- store_repair.cc
  core::Task<Result<void>> repair();

  // --- store_read.cc
  Index::Found index_entry(std::uint64_t hash) const;
  Seen look_up(const View* view, std::uint64_t hash) const;
  bool read_batch(const View& view, Batch& batch) const;
  bool scan_view(const View& view, unsigned part, std::vector<Value>& values) const;
  std::optional<Value> value_at(const View& view, std::uint64_t hash, std::uint64_t offset) const;
  Result<std::vector<std::optional<Value>>> batch(std::span<const std::uint64_t> hashes,
                                                  std::span<const std::uint16_t> verifiers) const;
  Result<void> verify(const std::optional<Value>& value) const;

  // --- store_commit.cc
  bool home() const { return core::Reactor::current() == home_; }
  // Runs a call of another core here.
  template <class T>
  core::Task<T> at_home(std::move_only_function<core::Task<T>()> call) {
    arriving_.fetch_add(1);
    co_return co_await core::on<T>(
        *home_, [this, inner = std::move(call)]() mutable { return arrived<T>(std::move(inner)); });
  }
  template <class T>
  core::Task<T> arrived(std::move_only_function<core::Task<T>()> call) {
    const Inside inside(*this);
    arriving_.fetch_sub(1);
    co_return co_await call();
  }
  core::Task<Result<std::uint64_t>> commit(Request& request);
  core::Task<void> lead();
  void hand_over();
  core::Task<void> run_group();
  void expect(Request& request, const Value& value) const;
  Result<void> check(const Request& request);
  bool claim(const Change& change, bool grouped);
  Result<void> open_for_calls() const;
  Result<void> writable() const;
  Index::Found newest(std::uint64_t hash);
  core::Task<Result<void>> write_changes(const Request& request);
  void encode(const Change& change, bool with_payload);
  void note(const Change& change, std::uint64_t offset, std::uint64_t size);
  core::Task<Result<void>> write_large(const Change& change);
  core::Task<Result<void>> flush_buffer();
  core::Task<Result<void>> finish_group(std::uint64_t old_tail);
  core::Task<void> roll_back();
  Result<void> ensure_mapped(std::uint64_t tail);
  void publish();
  void tell_observer();
  void trim();
  void swap_view(std::unique_ptr<View> fresh);
  void fault(std::string reason);

  // --- store_write.cc
  core::Task<Result<std::uint64_t>> rename_here(ByteView from, ByteView to);
  core::Task<Result<std::uint64_t>> transfer_here(ByteView key, Store* target);
  core::Task<Result<void>> sync_here();
  core::Task<Result<Compacted>> compact_here(Progress progress, core::CancelToken token);
  core::Task<Result<void>> close_here();

  core::Env& env_;
  const std::string path_;       // as given, for messages
  const std::string real_path_;  // symbolic links followed
  const StoreOptions options_;
  core::Reactor* const home_;
  mutable ReadGate gate_;
  std::atomic<const View*> view_{nullptr};
  std::atomic<std::uint64_t> tail_{0};

  // --- the store's own core ---
  std::shared_ptr<core::File> file_;
  std::unique_ptr<View> owned_view_;
  std::deque<Request*> queue_;
  std::size_t group_size_ = 0;  // of the last group
  bool leading_ = false, compacting_ = false, closing_ = false, closed_ = false;
  bool read_only_ = false;
  std::string fault_;
  Observer observer_;
  StoreStats counted_;
  std::uint64_t streams_ = 0;
  // Of the group that is being written: bytes not yet written, where they go, what to publish.
  std::vector<std::uint8_t> buffer_;
  std::uint64_t buffer_at_ = 0, next_tail_ = 0;
  std::vector<Publication> publications_;
  std::vector<Changed> changed_;
  // By hash where the group's first `overlaid_` publications leave it.
  boost::unordered_flat_map<std::uint64_t, Index::Found> overlay_;
  Claims claims_;  // of the first `claimed_` publications, and of the request being checked
  std::size_t overlaid_ = 0, claimed_ = 0;
  // Calls that are here, and those on their way from other cores: close() waits for them.
  std::uint64_t inside_ = 0;
  std::atomic<std::uint64_t> arriving_{0};
  core::Event dirty_, compacted_, idle_;
  core::Scope scope_;
};

}  // namespace capstan::storage::kv
