// Why this file exists: calls that meet at one point of a store, put together step by step: a
// reader with yesterday's view, a sync in the middle of a compaction, a write behind a close, two
// keys with one hash in one group, names that are taken. Whatever could only be hit by chance is
// made to happen: an I/O is held (kv_faulty_env.h), or a reader is kept inside (StorePeek).
#include "storage/kv/kv_faulty_env.h"
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {

struct StorePeek {
  using View = Store::View;
  using Batch = Store::Batch;
  static const View* view(const Store& store) { return store.view_.load(); }
  static ReadGate::Section enter(const Store& store) { return store.gate_.enter(0); }
  // What find() does with a view that it loaded a moment ago.
  static std::optional<Value> find_from(const Store& store, const View* old, ByteView key) {
    const auto [view, found] = store.look_up(old, hash_of(key));
    if (!found) return std::nullopt;
    EXPECT_TRUE(view->reaches(found.offset));
    if (!view->reaches(found.offset)) return std::nullopt;
    return store.value_at(*view, hash_of(key), found.offset);
  }
  static bool batch_from(const Store& store, const View* view, ByteView key) {
    const std::uint64_t hash = hash_of(key);
    const std::uint16_t verifier = 0;
    Batch batch{{&hash, 1}, {&verifier, 1}, {0}, {}};
    return store.read_batch(*view, batch);
  }
  static bool scan_from(const Store& store, const View* view) {
    std::vector<Value> values;
    bool all = true;
    for (unsigned part = 0; part < Store::kScanParts; ++part) {
      all = store.scan_view(*view, part, values) && all;
    }
    return all;
  }
  static std::size_t kept_changes(const Store& store) {
    return std::max({store.publications_.capacity(), store.overlay_.bucket_count(),
                     store.claims_.slots(), store.changed_.capacity()});
  }
  static std::weak_ptr<const core::FileMap> map(const Store& store) {
    return store.owned_view_->maps[0];
  }
};

namespace {

class StoreRaces : public StoreTest {};

StoreOptions tiny_map() {
  StoreOptions options;
  options.map_bytes = 4096;
  return options;
}

TEST_F(StoreRaces, FixedBugAReaderWithTheViewBeforeAGrowthReadOutsideOfIt) {
  open(tiny_map());
  ASSERT_TRUE(write("a", "1"));
  {
    const auto inside = StorePeek::enter(*store_);
    const auto* old = StorePeek::view(*store_);
    ASSERT_TRUE(StorePeek::scan_from(*store_, old));
    ASSERT_TRUE(write("large", std::string(3 * 4096, 'x')));
    ASSERT_NE(StorePeek::view(*store_), old);  // the map grew
    ASSERT_GT(store_->find(as_bytes("large"))->end_offset(), old->capacity);
    const auto value = StorePeek::find_from(*store_, old, as_bytes("large"));
    ASSERT_TRUE(value);
    EXPECT_EQ(value->bytes().size(), 3U * 4096);
    EXPECT_FALSE(StorePeek::batch_from(*store_, old, as_bytes("large")));
    EXPECT_FALSE(StorePeek::scan_from(*store_, old));
    EXPECT_TRUE(StorePeek::batch_from(*store_, old, as_bytes("a")));
    EXPECT_EQ(as_text(StorePeek::find_from(*store_, old, as_bytes("a"))->bytes()), "1");
  }
  EXPECT_EQ(get("a"), "1");
}

// --- two stores, one call held ------------------------------------------------------------------

class StoreHolds : public ::testing::Test {
 protected:
  std::unique_ptr<Store> open(const char* path) {
    StoreOptions options;
    options.map_bytes = 1U << 20;
    auto store = run_on(world_, Store::open(env_, path, options));
    EXPECT_TRUE(store);
    return *std::move(store);
  }
  void write(Store& store, std::string_view key, std::string_view value) {
    ASSERT_TRUE(run_on(world_, store.write(as_bytes(key), as_bytes(value))));
  }
  static std::string get(const Store& store, std::string_view key) {
    const auto value = store.find(as_bytes(key));
    return value ? std::string(as_text(value->bytes())) : "<none>";
  }
  core::SimWorld world_{1};
  core::SimEnv sim_{world_};
  FaultyEnv env_{sim_};
};

template <class T>
core::Task<void> note_end(core::Task<T> task, std::vector<std::string>* ends, std::string name) {
  const auto result = co_await std::move(task);
  ends->push_back(name + (result ? "" : " failed"));
}

core::Task<void> change_while_transferring(FaultyEnv* env, Store* source, Store* target) {
  env->hold.what = "write /target";
  core::Scope scope;
  std::vector<std::string> ends;
  scope.spawn(note_end(source->transfer(as_bytes("k"), *target), &ends, "transfer"));
  co_await env->hold.reached.wait();
  EXPECT_TRUE(co_await source->write(as_bytes("k"), as_bytes("v2")));
  EXPECT_TRUE(co_await source->write(as_bytes("d"), as_bytes("y")));
  EXPECT_TRUE(co_await source->compact());
  EXPECT_EQ(source->find(as_bytes("k"))->end_offset(), 66U);  // where v1 was
  env->hold.released.set();
  co_await scope.join();
  EXPECT_EQ(ends, std::vector<std::string>{"transfer"});
}

TEST_F(StoreHolds, FixedBugATransferDeletedAValueThatACompactionPutWhereTheOldOneWas) {
  auto source = open("/source"), target = open("/target");
  write(*source, "d", "x");
  write(*source, "k", "v1");
  ASSERT_EQ(source->find(as_bytes("k"))->end_offset(), 66U);
  world_.run(change_while_transferring(&env_, source.get(), target.get()));
  EXPECT_EQ(get(*target, "k"), "v2");
  EXPECT_EQ(get(*source, "k"), "<none>");
  EXPECT_TRUE(run_on(world_, source->close()) && run_on(world_, target->close()));
}

core::Task<void> sync_before_the_name_is_durable(FaultyEnv* env, core::SimEnv* sim, Store* store) {
  env->hold.what = "sync_directory /";
  env->hold.skip = 1;  // that of the fresh file
  core::Scope scope;
  std::vector<std::string> ends;
  scope.spawn(note_end(store->compact(), &ends, "compact"));
  co_await env->hold.reached.wait();
  EXPECT_EQ(store->stats().compactions, 1U);
  EXPECT_TRUE(co_await store->sync());
  sim->power_cut();
  env->hold.released.set();
  co_await scope.join();
  EXPECT_EQ(ends, std::vector<std::string>{"compact failed"});
}

TEST(StoreSyncs, FixedBugASyncDuringACompactionSyncedTheFileWithoutAName) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    core::SimWorld world(seed);
    core::SimEnv sim(world);
    FaultyEnv env(sim);
    StoreOptions options;
    options.map_bytes = 1U << 20;
    auto store = *run_on(world, Store::open(env, "/store", options));
    for (const char* key : {"a", "b"}) {
      ASSERT_TRUE(run_on(world, store->write(as_bytes(std::string_view(key)), as_bytes("value"))));
    }
    world.run(sync_before_the_name_is_durable(&env, &sim, store.get()));
    (void)run_on(world, store->close());
    sim.power_on();
    store = *run_on(world, Store::open(env, "/store", options));
    EXPECT_EQ(store->len(), 2U) << seed;
    ASSERT_TRUE(run_on(world, store->close()));
  }
}

// --- close --------------------------------------------------------------------------------------

core::Task<void> close_among_writers(FaultyEnv* env, std::unique_ptr<Store> store,
                                     std::vector<std::string>* ends) {
  env->hold.what = "write /store";
  core::Scope scope;
  scope.spawn(note_end(store->write(as_bytes("a"), as_bytes("1")), ends, "first"));
  scope.spawn(note_end(store->write(as_bytes("b"), as_bytes("2")), ends, "second"));
  co_await env->hold.reached.wait();
  scope.spawn(note_end(store->close(), ends, "close"));
  co_await core::yield();
  scope.spawn(note_end(store->write(as_bytes("c"), as_bytes("3")), ends, "late"));
  scope.spawn(note_end(store->compact(), ends, "late compaction"));
  env->hold.released.set();
  while (std::ranges::find(*ends, "close") == ends->end()) co_await core::yield();
  store.reset();
  const auto at_close = ends->size();
  co_await scope.join();
  EXPECT_EQ(at_close, ends->size());  // nobody was left behind
}

TEST_F(StoreHolds, FixedBugACloseAnsweredBeforeThoseBehindIt) {
  std::vector<std::string> ends;
  world_.run(close_among_writers(&env_, open("/store"), &ends));
  EXPECT_EQ(ends, (std::vector<std::string>{"late failed", "late compaction failed", "first",
                                            "second", "close"}));
  auto store = open("/store");
  EXPECT_EQ(get(*store, "a") + get(*store, "b") + get(*store, "c"), "12<none>");
  EXPECT_TRUE(run_on(world_, store->close()));
}

core::Task<void> close_while_transferring(FaultyEnv* env, std::unique_ptr<Store> source,
                                          Store* target, std::vector<std::string>* ends) {
  env->hold.what = "write /target";
  core::Scope scope;
  scope.spawn(note_end(source->transfer(as_bytes("k"), *target), ends, "transfer"));
  co_await env->hold.reached.wait();
  scope.spawn(note_end(source->close(), ends, "close"));
  for (int i = 0; i < 100; ++i) co_await core::yield();
  EXPECT_TRUE(ends->empty());
  env->hold.released.set();
  while (std::ranges::find(*ends, "close") == ends->end()) co_await core::yield();
  source.reset();
  co_await scope.join();
}

TEST_F(StoreHolds, FixedBugATransferOutlivedItsStore) {
  auto source = open("/source"), target = open("/target");
  write(*source, "k", "v");
  std::vector<std::string> ends;
  world_.run(close_while_transferring(&env_, std::move(source), target.get(), &ends));
  EXPECT_EQ(ends, (std::vector<std::string>{"transfer failed", "close"}));
  EXPECT_EQ(get(*target, "k"), "v");
  EXPECT_TRUE(run_on(world_, target->close()));
}

// --- collisions ---------------------------------------------------------------------------------

// Two keys with one hash: eight bytes that are those of XXH3's secret make the next eight count for
// nothing.
std::string colliding(char filler) {
  return "\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe" + std::string(8, filler) + std::string(16, 'e');
}

TEST_F(StoreRaces, FixedBugCollisionsWithinAGroup) {
  const std::string one = colliding('1'), two = colliding('2');
  ASSERT_EQ(hash_of(as_bytes(one)), hash_of(as_bytes(two)));
  ASSERT_NE(verifier_of(as_bytes(one)), verifier_of(as_bytes(two)));
  open();
  const Change both[] = {Change::put(as_bytes("z"), as_bytes("z")),
                         Change::put(as_bytes(one), as_bytes("1")),
                         Change::put(as_bytes(two), as_bytes("2"))};
  const auto refused = run(store_->apply(both));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.starts_with("Hash collision detected"));
  EXPECT_EQ(store_->stats().collisions, 1U);
  EXPECT_TRUE(store_->is_empty());
  // Not the other key's value, and nothing of the refused batch counts later.
  const Change erased[] = {Change::put(as_bytes(one), as_bytes("1")), Change::erase(as_bytes(two))};
  ASSERT_TRUE(run(store_->apply(erased)));
  EXPECT_EQ(get(one), "1");
  // One key makes room for the other.
  const Change in_turn[] = {Change::erase(as_bytes(one)),
                            Change::put(as_bytes(two), as_bytes("2"))};
  ASSERT_TRUE(run(store_->apply(in_turn)));
  EXPECT_EQ(get(one) + get(two), "<none>2");
}

core::Task<void> write_all(Store* store, std::vector<std::string> keys,
                           std::vector<std::string>* ends) {
  core::Scope scope;
  for (const auto& key : keys) {
    scope.spawn(note_end(store->write(as_bytes(key), as_bytes("v")), ends, "write"));
  }
  co_await scope.join();
}

TEST_F(StoreRaces, FixedBugCollisionsBetweenTwoWritersOfAGroup) {
  open();
  std::vector<std::string> ends;
  world_.run(write_all(store_.get(), {"x", "y", colliding('1'), colliding('2'), "z"}, &ends));
  EXPECT_EQ(std::ranges::count(ends, "write"), 4);
  EXPECT_EQ(std::ranges::count(ends, "write failed"), 1);
  EXPECT_LE(store_->stats().groups, 2U);
  EXPECT_EQ(store_->len(), 4U);
}

TEST_F(StoreRaces, FixedBugARenameOntoAnEqualHashDeletedTheValue) {
  const std::string from = colliding('1'), to = colliding('2');
  open();
  ASSERT_TRUE(write(from, "precious"));
  reopen();  // the key is not known any more
  const auto refused = run(store_->rename(as_bytes(from), as_bytes(to)));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.starts_with("Hash collision detected"));
  EXPECT_EQ(get(from), "precious");
}

// --- memory, names, space -----------------------------------------------------------------------

TEST_F(StoreRaces, FixedBugALargeBatchSlowedDownEveryLaterOne) {
  open();
  store_->observe([](std::span<const Changed>) {});
  std::vector<std::string> keys;
  for (int i = 0; i < 60'000; ++i) keys.push_back(std::to_string(i));
  std::vector<Change> changes;
  for (const auto& key : keys) changes.push_back(Change::put(as_bytes(key), as_bytes("v")));
  for (const auto& key : keys) changes.push_back(Change::erase(as_bytes(key)));
  ASSERT_TRUE(run(store_->apply(changes)));
  EXPECT_TRUE(store_->is_empty());
  EXPECT_LT(StorePeek::kept_changes(*store_), keys.size() + keys.size() / 10);
}

TEST_F(StoreRaces, FixedBugTemporaryNamesOfOtherStores) {
  for (const char* name : {"/s.compact", "/s.stream-1", "/s.stream-42"}) {
    const auto refused = run(Store::open(env_, name, small_map()));
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  }
  for (const char* name : {"/s.compacted", "/s.stream-", "/s.stream-1x", "/s-1", "/7"}) {
    auto opened = run(Store::open(env_, name, small_map()));
    ASSERT_TRUE(opened) << name;
    EXPECT_TRUE(run((*opened)->close()));
  }
}

TEST_F(StoreRaces, FixedBugAStreamOverwroteAFileOfItsName) {
  const std::vector<std::uint8_t> precious(100, 'p');
  for (const char* name : {"/store.stream-1", "/store.stream-2"}) {
    ASSERT_TRUE(run(put_file(&env_, name, precious)));
  }
  open();
  auto stream = store_->stream(as_bytes("k"));
  const std::string value(1'500'000, 's');
  ASSERT_TRUE(run(stream.append(as_bytes(value))));
  ASSERT_TRUE(run(stream.commit()));
  EXPECT_EQ(get("k"), value);
  EXPECT_EQ(image("/store.stream-1"), precious);
  EXPECT_EQ(image("/store.stream-2"), precious);
}

core::Task<void> compact_under_a_reader(Store* store, bool* freed) {
  const auto old = StorePeek::map(*store);
  core::Scope scope;
  std::vector<std::string> ends;
  {
    const auto inside = StorePeek::enter(*store);
    scope.spawn(note_end(store->compact(), &ends, "compact"));
    while (store->stats().compactions == 0) (void)co_await core::sleep_for(core::kMillisecond);
    EXPECT_FALSE(old.expired());
  }
  co_await scope.join();
  EXPECT_EQ(ends, std::vector<std::string>{"compact"});
  *freed = old.expired();
}

TEST_F(StoreHolds, FixedBugTheOldFileStayedUntilTheNextWrite) {
  auto store = open("/store");
  write(*store, "a", "1");
  bool freed = false;
  world_.run(compact_under_a_reader(store.get(), &freed));
  EXPECT_TRUE(freed);
  EXPECT_TRUE(run_on(world_, store->close()));
}

}  // namespace
}  // namespace capstan::storage::kv
