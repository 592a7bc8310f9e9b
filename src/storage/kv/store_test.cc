// Why this file exists: every operation of a store and its rules, on a simulated machine.
#include "storage/kv/store.h"

#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

const std::string kZero(1, '\0');

TEST_F(StoreTest, WritesAsTheSampleDoes) {
  open();
  EXPECT_EQ(write("hello", "world"), 25U);
  EXPECT_EQ(write("k1", "v1"), 86U);
  EXPECT_EQ(write("hello", "WORLD2"), 154U);
  EXPECT_EQ(erase("k1"), 175U);
  const Change batch[] = {Change::put(as_bytes("a"), as_bytes("1")),
                          Change::put(as_bytes("b"), as_bytes("22"))};
  EXPECT_EQ(run(store_->apply(batch)), 278U);
  EXPECT_EQ(image(), vector_file("a64.bin"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store_->len(), 3U);
    EXPECT_EQ(store_->file_size(), 278U);
    EXPECT_EQ(get("hello"), "WORLD2");
    EXPECT_EQ(get("k1"), "<none>");
    EXPECT_FALSE(store_->exists(as_bytes("k1")));
    EXPECT_EQ(values(), (std::vector<std::string>{"22", "1", "WORLD2"}));
    EXPECT_EQ(store_->stats().live_bytes, 6U + 1 + 2 + 3 * 20);
    reopen();
  }
}

TEST_F(StoreTest, OlderFormatsAreReadAndNeverChanged) {
  for (const char* name : {"a16.bin", "a1.bin"}) {
    const auto file = vector_file(name);
    ASSERT_TRUE(run(put_file(&env_, "/store", file)));
    open();
    EXPECT_EQ(store_->len(), 3U);
    EXPECT_EQ(get("hello"), "WORLD2");
    EXPECT_EQ(get("a"), "1");
    EXPECT_EQ(get("b"), "22");
    EXPECT_EQ(get("k1"), "<none>");
    const auto refused = write("x", "y");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
    EXPECT_FALSE(run(store_->compact()));
    close();
    EXPECT_EQ(image(), file) << name;
  }
}

TEST_F(StoreTest, RefusedValuesWriteNothing) {
  open();
  ASSERT_TRUE(write("a", "1"));
  EXPECT_EQ(write("a", "").error().message, "Payload cannot be empty.");
  EXPECT_EQ(write("a", kZero).error().message, "NULL-byte payloads cannot be written directly.");
  const Change batch[] = {Change::put(as_bytes("b"), as_bytes("2")),
                          Change::put(as_bytes("c"), as_bytes(kZero))};
  EXPECT_FALSE(run(store_->apply(batch)));
  EXPECT_EQ(run(store_->apply({})), 21U);
  EXPECT_EQ(store_->len(), 1U);
  EXPECT_EQ(store_->file_size(), 21U);
  ASSERT_TRUE(write("z", std::string(2, '\0')));
  EXPECT_EQ(get("z"), std::string(2, '\0'));
}

TEST_F(StoreTest, DeletingWhatIsNotThereWritesNothing) {
  open();
  EXPECT_EQ(erase("nothing"), 0U);
  ASSERT_TRUE(write("a", "1"));
  EXPECT_EQ(erase("a"), 42U);
  EXPECT_EQ(erase("a"), 42U);
  EXPECT_TRUE(store_->is_empty());
  reopen();
  EXPECT_TRUE(store_->is_empty());
  EXPECT_EQ(erase("a"), 42U);
  ASSERT_TRUE(store_->read_last_entry());
  EXPECT_EQ(as_text(store_->read_last_entry()->bytes()), kZero);
}

// The mark of a deleted key was taken for another key with the same hash.
TEST_F(StoreTest, FixedBugADeletedKeyCouldNotBeWrittenAgain) {
  open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(write("a", "1"));
    ASSERT_TRUE(erase("a"));
  }
  ASSERT_TRUE(write("a", "2"));
  EXPECT_EQ(get("a"), "2");
}

TEST_F(StoreTest, TheOrderOfABatchDecides) {
  open();
  const Change batch[] = {Change::put(as_bytes("a"), as_bytes("1")),
                          Change::erase(as_bytes("a")),
                          Change::put(as_bytes("b"), as_bytes("1")),
                          Change::put(as_bytes("b"), as_bytes("2")),
                          Change::erase(as_bytes("c")),
                          Change::put(as_bytes("c"), as_bytes("3"))};
  ASSERT_TRUE(run(store_->apply(batch)));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(get("a"), "<none>");
    EXPECT_EQ(get("b"), "2");
    EXPECT_EQ(get("c"), "3");
    EXPECT_EQ(store_->len(), 2U);
    reopen();
  }
}

TEST_F(StoreTest, RenameCopyTransfer) {
  open();
  auto other = run(Store::open(env_, "/other", small_map()));
  ASSERT_TRUE(other);
  Store& target = **other;
  ASSERT_TRUE(write("a", std::string(5, '\0')));  // zeros may be moved as well
  const auto tail = store_->file_size();
  EXPECT_EQ(run(store_->rename(as_bytes("a"), as_bytes("a"))).error().message,
            "Cannot rename a key to itself");
  EXPECT_EQ(run(store_->rename(as_bytes("x"), as_bytes("y"))).error().message, "Old key not found");
  EXPECT_EQ(store_->file_size(), tail);
  ASSERT_TRUE(run(store_->rename(as_bytes("a"), as_bytes("b"))));
  EXPECT_EQ(get("a"), "<none>");
  EXPECT_EQ(get("b"), std::string(5, '\0'));
  EXPECT_EQ(run(store_->copy(as_bytes("b"), target)), 25U);
  EXPECT_EQ(get(target, "b"), std::string(5, '\0'));
  EXPECT_EQ(run(store_->copy(as_bytes("q"), target)).error().message, "Key not found: \"q\"");
  EXPECT_EQ(run(store_->copy(as_bytes("b"), *store_)).error().message,
            "Cannot copy entry to the same storage (\"/store\"). Use `rename` instead.");
  EXPECT_EQ(run(store_->transfer(as_bytes("b"), target)), store_->file_size());
  EXPECT_TRUE(store_->is_empty());
  EXPECT_EQ(target.len(), 1U);
  EXPECT_TRUE(run(target.close()));
}

TEST_F(StoreTest, ValuesOfEverySizeAreAlignedAndWhole) {
  open();
  std::map<std::string, std::string> model;
  for (std::size_t size = 1; size <= 3'000'000; size = size * 3 + 1) {
    const auto key = "k" + std::to_string(size);
    std::string value(size, '\0');
    for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<char>(i * 7 + size);
    if (size == 1) value[0] = 'x';
    ASSERT_TRUE(write(key, value));
    model[key] = std::move(value);
  }
  for (int round = 0; round < 2; ++round) {
    for (const auto& [key, value] : model) {
      const auto found = store_->find(as_bytes(key));
      ASSERT_TRUE(found) << key;
      EXPECT_EQ(as_text(found->bytes()), value);
      EXPECT_EQ(found->begin_offset() % 64, 0U);
      EXPECT_TRUE(found->checksum_right());
      EXPECT_EQ(found->file_size(), value.size() + 20);
      EXPECT_EQ(found->key_hash(), hash_of(as_bytes(key)));
    }
    reopen();
  }
}

TEST_F(StoreTest, AValueOutlivesEverything) {
  open();
  ASSERT_TRUE(write("a", "first"));
  const auto value = store_->find(as_bytes("a"));
  auto cursor = store_->iterate();
  ASSERT_TRUE(write("a", "second"));
  ASSERT_TRUE(write("big", std::string(2U << 20, 'b')));  // outgrows the first map
  ASSERT_TRUE(erase("a"));
  ASSERT_TRUE(run(store_->compact()));
  EXPECT_EQ(get("big").size(), 2U << 20);
  close();
  EXPECT_EQ(as_text(value->bytes()), "first");
  EXPECT_EQ(as_text(cursor.next()->bytes()), "first");
  EXPECT_FALSE(cursor.next());
}

TEST_F(StoreTest, HashedKeys) {
  open();
  const Change change = Change::put_hashed(hash_of(as_bytes("k")), as_bytes("v"));
  ASSERT_TRUE(run(store_->apply({&change, 1})));
  EXPECT_EQ(get("k"), "v");
  EXPECT_TRUE(store_->exists_hashed(hash_of(as_bytes("k"))));
  const std::uint64_t hashes[] = {hash_of(as_bytes("k")), 12345};
  auto both = store_->batch_read_hashed(hashes);
  ASSERT_TRUE(both);
  EXPECT_TRUE((*both)[0]);
  EXPECT_FALSE((*both)[1]);
  const ByteView right[] = {as_bytes("k"), as_bytes("?")}, wrong[] = {as_bytes("x"), as_bytes("?")};
  EXPECT_TRUE((*store_->batch_read_hashed(hashes, right))[0]);
  EXPECT_FALSE((*store_->batch_read_hashed(hashes, wrong))[0]);
  EXPECT_EQ(store_->batch_read_hashed(hashes, std::span(right).first(1)).error().message,
            "Mismatched lengths for hashed and non-hashed keys.");
}

// Two keys with one hash, as a collision of XXH3 would be: told apart while both are known.
TEST_F(StoreTest, CollidingKeysAreDetected) {
  open();
  Change first = Change::put(as_bytes("first"), as_bytes("1"));
  Change second = Change::put(as_bytes("second"), as_bytes("2"));
  first.hash = second.hash = hash_of(as_bytes("second"));
  ASSERT_TRUE(run(store_->apply({&first, 1})));
  EXPECT_EQ(get("second"), "<none>");  // not the value of another key
  const auto refused = run(store_->apply({&second, 1}));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.starts_with("Hash collision detected"));
  EXPECT_EQ(erase("second"), 21U);  // and does not delete it
  EXPECT_EQ(store_->len(), 1U);
  EXPECT_EQ(store_->stats().collisions, 1U);
}

core::Task<Result<std::uint64_t>> stream_in(Store* store, std::string key, std::string value,
                                            std::size_t piece) {
  auto stream = store->stream(as_bytes(key));
  for (std::size_t at = 0; at < value.size(); at += piece) {
    CO_TRY(co_await stream.append(as_bytes(value).subspan(at, std::min(piece, value.size() - at))));
    CO_TRY(co_await store->write(as_bytes("other"), as_bytes("interleaved")));
  }
  co_return co_await stream.commit();
}

TEST_F(StoreTest, Streams) {
  open();
  std::string large(3'500'000, 'x');
  for (std::size_t i = 0; i < large.size(); i += 100) large[i] = static_cast<char>(i / 100);
  ASSERT_TRUE(run(stream_in(store_.get(), "large", large, 100'000)));
  ASSERT_TRUE(run(stream_in(store_.get(), "small", "tiny", 1)));
  EXPECT_EQ(run(stream_in(store_.get(), "zero", std::string(100, '\0'), 30)).error().message,
            "NULL-byte-only streams cannot be written directly.");
  EXPECT_EQ(run(stream_in(store_.get(), "none", "", 1)).error().message,
            "Payload cannot be empty.");
  ASSERT_TRUE(write("after", "good"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(get("large"), large);
    EXPECT_TRUE(store_->find(as_bytes("large"))->checksum_right());
    EXPECT_EQ(get("small"), "tiny");
    EXPECT_EQ(get("zero"), "<none>");
    EXPECT_EQ(get("after"), "good");
    EXPECT_EQ(store_->len(), 4U);
    reopen();
  }
  EXPECT_EQ(run(env_.files().list("/")), std::vector<std::string>{"store"});
}

TEST_F(StoreTest, CompactsAsTheSampleDoes) {
  open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(write("a", "a" + std::to_string(i)));
    ASSERT_TRUE(write("b", "b" + std::to_string(i)));
  }
  ASSERT_TRUE(erase("b"));
  ASSERT_TRUE(write("c", "cc"));
  EXPECT_EQ(store_->file_size(), 406U);
  EXPECT_EQ(store_->stats().compaction_savings(), 406U - 44);
  auto done = run(store_->compact());
  ASSERT_TRUE(done);
  EXPECT_EQ(done->bytes_before, 406U);
  EXPECT_EQ(done->bytes_after, 86U);
  EXPECT_EQ(done->values, 2U);
  EXPECT_EQ(image(), vector_file("compacted.bin"));
  EXPECT_EQ(store_->file_size(), 86U);
  ASSERT_TRUE(write("d", "d"));  // lands in the new file
  reopen();
  EXPECT_EQ(get("a"), "a2");
  EXPECT_EQ(get("c"), "cc");
  EXPECT_EQ(get("d"), "d");
  EXPECT_EQ(store_->len(), 3U);
}

TEST_F(StoreTest, VerifiedReadsTellDamage) {
  auto options = small_map();
  options.verify_reads = true;
  open(options);
  ASSERT_TRUE(write("a", "1"));
  ASSERT_TRUE(write("b", "2"));
  close();
  auto file = image();
  file[0] ^= 1;
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  open(options);
  EXPECT_EQ(store_->len(), 2U);
  EXPECT_EQ(store_->read(as_bytes("a")).error().code, Code::kDataLoss);
  EXPECT_TRUE(store_->read(as_bytes("a")).error().message.starts_with("checksum mismatch"));
  EXPECT_TRUE(store_->read(as_bytes("b")));
  EXPECT_FALSE(store_->find(as_bytes("a"))->checksum_right());
}

// The file ends well, but a value in the middle of the last group is torn: its predecessor counts.
TEST_F(StoreTest, ATornValueInTheMiddleGivesWayToItsPredecessor) {
  open();
  ASSERT_TRUE(write("a", "old a"));
  ASSERT_TRUE(write("n", "only n"));
  ASSERT_TRUE(write("a", "new a"));
  ASSERT_TRUE(write("b", "b"));
  close();
  auto file = image();
  std::fill_n(file.begin() + 64, 6, 0);   // n: what the sector had of it did not arrive
  std::fill_n(file.begin() + 128, 5, 0);  // new a
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  open();
  EXPECT_EQ(get("a"), "old a");
  EXPECT_EQ(store_->stats().repaired_values, 1U);
  EXPECT_TRUE(store_->find(as_bytes("a"))->checksum_right());
  EXPECT_NE(get("n"), "<none>");  // has none: kept and told
  EXPECT_FALSE(store_->find(as_bytes("n"))->checksum_right());
  reopen();
  EXPECT_EQ(get("a"), "old a");
  EXPECT_EQ(store_->stats().repaired_values, 0U);
}

// A rotten bit is not a torn write: the newest value stays, and its checksum tells.
TEST_F(StoreTest, FixedBugARottenValueWasReplacedByAnOlderOne) {
  open();
  ASSERT_TRUE(write("a", "old a"));
  ASSERT_TRUE(write("a", std::string(2000, 'n')));
  ASSERT_TRUE(write("b", "b"));
  close();
  auto file = image();
  file[700] ^= 1;
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  open();
  EXPECT_EQ(get("a").size(), 2000U);
  EXPECT_FALSE(store_->find(as_bytes("a"))->checksum_right());
  EXPECT_EQ(store_->stats().repaired_values, 0U);
  close();
  EXPECT_EQ(image(), file);
  std::fill(file.begin() + 512, file.begin() + 1024, 0);  // one sector of it never arrived
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  open();
  EXPECT_EQ(get("a"), "old a");
  EXPECT_EQ(store_->stats().repaired_values, 1U);
}

TEST_F(StoreTest, ATornTailIsKeptAside) {
  open();
  ASSERT_TRUE(write("a", "1"));
  close();
  auto file = image();
  for (const char c : std::string("CORRUPT")) file.push_back(static_cast<std::uint8_t>(c));
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  open();
  EXPECT_EQ(store_->file_size(), 21U);
  EXPECT_EQ(store_->stats().torn_bytes, 7U);
  ASSERT_TRUE(write("b", "2"));
  reopen();
  EXPECT_EQ(get("a") + get("b"), "12");
  const auto names = *run(env_.files().list("/"));
  ASSERT_EQ(names.size(), 2U);
  EXPECT_TRUE(names[1].starts_with("store.torn-"));
  EXPECT_EQ(as_text(image("/" + names[1])), "CORRUPT");
}

TEST_F(StoreTest, ForeignFilesAndMissingFiles) {
  auto options = small_map();
  options.create = false;
  EXPECT_EQ(try_open(options).error().message, "Storage file '/store' does not exist.");
  ASSERT_TRUE(run(put_file(&env_, "/store", std::vector<std::uint8_t>(500, 'x'))));
  options.refuse_foreign = true;
  EXPECT_EQ(try_open(options).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(image().size(), 500U);
  open();
  EXPECT_TRUE(store_->is_empty());
  const auto names = *run(env_.files().list("/"));
  EXPECT_EQ(image("/" + names[1]), std::vector<std::uint8_t>(500, 'x'));
  env_.add_disk("/disk");
  EXPECT_FALSE(run(Store::open(env_, "/disk", small_map())));
}

// Any text may be the beginning of a value: only what the store itself noted tells.
TEST_F(StoreTest, FixedBugSomebodyElsesFileWasEmptied) {
  auto options = small_map();
  options.refuse_foreign = true;
  for (const std::size_t size : {1U, 6U, 20U, 3800U}) {
    const std::vector<std::uint8_t> thesis(size, 'x');
    ASSERT_TRUE(run(put_file(&env_, "/store", thesis)));
    for (const bool read_only : {false, true}) {
      options.read_only = read_only;
      const auto refused = try_open(options);
      ASSERT_FALSE(refused) << size;
      EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
      const std::string text = refused.error().text();
      EXPECT_TRUE(text.contains("'/store' has " + std::to_string(size) + " bytes")) << text;
      EXPECT_TRUE(text.contains("give another path, or move the file away")) << text;
      EXPECT_EQ(image(), thesis);
    }
    EXPECT_EQ(run(env_.files().list("/"))->size(), 1U);
  }
}

// kill -9 in the middle of the first write, of a new store and of one that compaction emptied.
TEST_F(StoreTest, AFirstWriteThatWasTornIsNotTakenForSomebodyElsesFile) {
  auto options = small_map();
  options.refuse_foreign = true;
  for (const bool emptied : {false, true}) {
    SCOPED_TRACE(emptied);
    open(options);
    if (emptied) {
      ASSERT_TRUE(write("a", "1"));
      reopen(options);
      ASSERT_TRUE(erase("a"));
      ASSERT_TRUE(run(store_->compact()));
      ASSERT_EQ(store_->file_size(), 0U);
    }
    store_.reset();
    const std::vector<std::uint8_t> torn(4096, 'x');
    ASSERT_TRUE(run(put_file(&env_, "/store", torn)));
    auto looking = options;
    looking.read_only = true;
    open(looking);
    EXPECT_TRUE(store_->is_empty());
    close();
    EXPECT_EQ(image(), torn);
    open(options);
    EXPECT_TRUE(store_->is_empty());
    EXPECT_EQ(store_->stats().torn_bytes, 4096U);
    EXPECT_EQ(image(store_->stats().torn_copy), torn);
    ASSERT_TRUE(write("b", "2"));
    store_.reset();
    open(options);  // the mark goes once there is an entry
    EXPECT_EQ(get("b"), "2");
    for (const auto& name : *run(env_.files().list("/"))) EXPECT_FALSE(name.contains("kv-first"));
    close();
    ASSERT_TRUE(run(put_file(&env_, "/store", torn)));
    EXPECT_FALSE(try_open(options));
    ASSERT_TRUE(run(env_.files().remove("/store")));
  }
}

TEST_F(StoreTest, OpeningForReadingOnlyChangesNothing) {
  auto looking = small_map();
  looking.read_only = true;
  EXPECT_EQ(try_open(looking).error().code, Code::kNotFound);
  EXPECT_TRUE(run(env_.files().list("/"))->empty());
  open();
  ASSERT_TRUE(write("a", "1"));
  close();
  auto file = image();
  file.resize(file.size() + 7, 'x');
  ASSERT_TRUE(run(put_file(&env_, "/store", file)));
  ASSERT_TRUE(run(put_file(&env_, "/store.compact", {1})));
  open(looking);
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(store_->stats().torn_bytes, 7U);
  EXPECT_FALSE(store_->stats().read_only) << "no older format";
  const auto refused = write("b", "2");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().text().contains("for reading only"));
  EXPECT_FALSE(run(store_->compact()));
  close();
  EXPECT_EQ(image(), file);
  EXPECT_EQ(run(env_.files().list("/"))->size(), 2U);
}

TEST_F(StoreTest, ObserversHearOfEveryChange) {
  open();
  std::vector<std::string> heard;
  store_->observe([&heard](std::span<const Changed> changes) {
    for (const auto& change : changes) {
      heard.push_back(std::string(change.removed ? "-" : "+") + std::string(as_text(change.key)) +
                      ":" + std::to_string(change.size) + "@" + std::to_string(change.tail));
    }
  });
  ASSERT_TRUE(write("a", "123"));
  ASSERT_TRUE(run(store_->rename(as_bytes("a"), as_bytes("b"))));
  EXPECT_EQ(heard, (std::vector<std::string>{"+a:3@23", "+b:3@87", "-a:0@108"}));
}

TEST_F(StoreTest, ScansCoverEveryKeyOnce) {
  open();
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(write("k" + std::to_string(i), std::to_string(i)));
  std::set<std::string> seen;
  for (unsigned part = 0; part < Store::kScanParts; ++part) {
    for (const auto& value : store_->scan(part)) {
      EXPECT_TRUE(seen.insert(std::string(as_text(value.bytes()))).second);
    }
  }
  EXPECT_EQ(seen.size(), 500U);
}

core::Task<void> write_one(Store* store, int i, int* done) {
  const auto text = std::to_string(i);
  *done += (co_await store->write(as_bytes(text), as_bytes(text))).has_value();
}
core::Task<Result<void>> write_many(Store* store, int count, int* done) {
  core::Scope scope;
  for (int i = 0; i < count; ++i) scope.spawn(write_one(store, i, done));
  co_await scope.join();
  co_return Result<void>();
}

TEST_F(StoreTest, ConcurrentWritersShareASync) {
  auto options = small_map();
  options.durability = Durability::kEach;
  open(options);
  int done = 0;
  ASSERT_TRUE(run(write_many(store_.get(), 100, &done)));
  EXPECT_EQ(done, 100);
  EXPECT_EQ(store_->len(), 100U);
  EXPECT_LE(store_->stats().syncs, 3U);
}

core::Task<void> write_on_and_on(Store* store, int writer, int count, int* done) {
  for (int i = 0; i < count; ++i) {
    const auto text = std::to_string(writer) + "/" + std::to_string(i);
    *done += (co_await store->write(as_bytes(text), as_bytes(text))).has_value();
  }
}
core::Task<int> many_write_on_and_on(Store* store) {
  core::Scope scope;
  int done = 0;
  for (int i = 0; i < 50; ++i) scope.spawn(write_on_and_on(store, i, 20, &done));
  co_await scope.join();
  co_return done;
}

// Every other sync was for the one writer who came back first.
TEST_F(StoreTest, FixedBugASyncForOneWriterWhileTheOthersWait) {
  auto options = small_map();
  options.durability = Durability::kEach;
  open(options);
  EXPECT_EQ(run(many_write_on_and_on(store_.get())), 1000);
  EXPECT_LE(store_->stats().syncs, 22U);
}

TEST_F(StoreTest, TheIntervalSyncsInTheBackground) {
  auto options = small_map();
  options.durability = Durability::kInterval;
  open(options);
  ASSERT_TRUE(write("a", "1"));
  EXPECT_EQ(store_->stats().syncs, 0U);
  (void)run(core::sleep_for(2 * core::kSecond));
  EXPECT_EQ(store_->stats().syncs, 1U);
  env_.power_cut();
  env_.power_on();
  reopen(options);
  EXPECT_EQ(get("a"), "1");
}

TEST_F(StoreTest, AStreamAndAWriteOfTheSameBytesAreTheSame) {
  open();
  const std::string value = std::string(70'000, 'x') + "end";
  ASSERT_TRUE(write("written", value));
  auto stream = store_->stream(as_bytes("streamed"));
  for (std::size_t at = 0; at < value.size(); at += 999) {
    ASSERT_TRUE(run(
        stream.append(as_bytes(value).subspan(at, std::min<std::size_t>(999, value.size() - at)))));
  }
  ASSERT_TRUE(run(stream.commit()));
  const auto one = store_->find(as_bytes("written")), other = store_->find(as_bytes("streamed"));
  EXPECT_EQ(one->metadata().checksum, other->metadata().checksum);
  EXPECT_EQ(as_text(one->bytes()), as_text(other->bytes()));
}

TEST_F(StoreTest, ABatchOfDeletionsSkipsWhatIsMissing) {
  open();
  ASSERT_TRUE(write("a", "1"));
  ASSERT_TRUE(write("b", "2"));
  const auto size = store_->file_size();
  const Change batch[] = {Change::erase(as_bytes("a")), Change::erase(as_bytes("missing")),
                          Change::erase(as_bytes("a"))};
  EXPECT_EQ(run(store_->apply(batch)), size + kTombstoneBytes);
  EXPECT_EQ(store_->len(), 1U);
}

// A store's file as a value of another store: copied out it is a store again.
TEST_F(StoreTest, AStoreIsAValueOfAStore) {
  open();
  ASSERT_TRUE(write("inner", "value"));
  close();
  const auto inner = image();
  ASSERT_TRUE(run(put_file(&env_, "/store", {})));
  open();
  ASSERT_TRUE(write("nested", as_text(inner)));
  reopen();
  EXPECT_EQ(store_->len(), 1U);
  const auto value = store_->find(as_bytes("nested"));
  const std::vector<std::uint8_t> out(value->bytes().begin(), value->bytes().end());
  close();
  ASSERT_TRUE(run(put_file(&env_, "/store", out)));
  open();
  EXPECT_EQ(get("inner"), "value");
}

core::Task<void> compact_into(Store* store, std::optional<Code>* code) {
  const auto done = co_await store->compact();
  *code = done ? Code::kOk : done.error().code;
}
core::Task<int> close_while_compacting(Store* store, std::optional<Code>* code) {
  core::Scope scope;
  scope.spawn(compact_into(store, code));
  co_await core::yield();
  EXPECT_TRUE(co_await store->close());
  EXPECT_TRUE(code->has_value());  // nobody works on a closed store any more
  co_await scope.join();
  co_return 0;
}

TEST_F(StoreTest, FixedBugACompactionOutlivedItsStore) {
  open();
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(write("k" + std::to_string(i), "value"));
  std::optional<Code> code;
  run(close_while_compacting(store_.get(), &code));
  EXPECT_EQ(code, Code::kCancelled);
  store_.reset();
  open();
  EXPECT_EQ(store_->len(), 2000U);
  EXPECT_EQ(run(env_.files().list("/")), std::vector<std::string>{"store"});
}

// The target's copy was not yet on stable storage when the source's tombstone was.
TEST(StoreTransfers, FixedBugAPowerCutLostATransferredValue) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    core::SimWorld world(seed);
    core::SimEnv env(world);
    StoreOptions options;
    options.map_bytes = 1U << 20;
    options.durability = Durability::kInterval;
    auto source = *run_on(world, Store::open(env, "/source", options));
    auto target = *run_on(world, Store::open(env, "/target", options));
    ASSERT_TRUE(run_on(world, source->write(as_bytes("a"), as_bytes("value"))));
    ASSERT_TRUE(run_on(world, source->sync()));
    ASSERT_TRUE(run_on(world, source->transfer(as_bytes("a"), *target)));
    env.power_cut();
    (void)run_on(world, source->close());
    (void)run_on(world, target->close());
    env.power_on();
    source = *run_on(world, Store::open(env, "/source", options));
    target = *run_on(world, Store::open(env, "/target", options));
    EXPECT_TRUE(source->exists(as_bytes("a")) || target->exists(as_bytes("a"))) << seed;
    (void)run_on(world, source->close());
    (void)run_on(world, target->close());
  }
}

}  // namespace
}  // namespace capstan::storage::kv
