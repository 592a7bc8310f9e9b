// Why this file exists: DataStoreRpc as a wire sees it: every operation, its errors, watchers, and
// what a restart of the node keeps.
#include "datastore/datastore.pb.h"
#include "rpc/wishes.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace d1 = datastore::v1;

class DataStoreTest : public ServicesTest {
 protected:
  void SetUp() override { open(); }
  void TearDown() override {
    if (node_) world_.run(node_->stores.stop());
    ServicesTest::TearDown();
  }
  void open() {
    start();
    storage::kv::StoreOptions options;
    options.map_bytes = 1U << 20;
    const auto opened =
        run(node_->stores.start({{"main", "/main", options}, {"other", "/other", options}}));
    ASSERT_TRUE(opened) << opened.error().text();
  }
  static std::string name(const char* method) {
    return std::string("capstan.datastore.v1.DataStoreRpc/") + method;
  }
  Result<d1::WriteResponse> write(const std::string& key, const std::string& value,
                                  const std::string& store = {}) {
    d1::WriteRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_store(store);
    return call<d1::WriteResponse>(name("Write"), request);
  }
  std::string read(const std::string& key, const std::string& store = {}) {
    d1::ReadRequest request;
    request.set_key(key);
    request.set_store(store);
    const auto answer = call<d1::ReadResponse>(name("Read"), request);
    if (!answer) return answer.error().text();
    return answer->has_value() ? answer->value() : "<none>";
  }
  template <class Request>
  static Request with_key(const std::string& key) {
    Request request;
    request.set_key(key);
    return request;
  }
};

TEST_F(DataStoreTest, TheNineMethodsOfTheReleasedClients) {
  EXPECT_EQ(write("a", "1")->tail_offset(), 21U);
  d1::BatchWriteRequest batch;
  for (const auto* text : {"b", "c"}) {
    auto* entry = batch.add_entries();
    entry->set_key(text);
    entry->set_value(text);
  }
  EXPECT_TRUE(call<d1::WriteResponse>(name("BatchWrite"), batch));
  EXPECT_EQ(read("a") + read("b") + read("c") + read("d"), "1bc<none>");
  d1::BatchReadRequest keys;
  for (const auto* text : {"c", "x", "a"}) keys.add_keys(text);
  const auto values = call<d1::BatchReadResponse>(name("BatchRead"), keys);
  ASSERT_TRUE(values);
  EXPECT_EQ(values->values(0).value(), "c");
  EXPECT_FALSE(values->values(1).has_value());
  EXPECT_EQ(values->values(2).value(), "1");
  EXPECT_TRUE(call<d1::WriteResponse>(name("Delete"), with_key<d1::DeleteRequest>("b")));
  const auto there = [this](const char* key) {
    return call<d1::ExistsResponse>(name("Exists"), with_key<d1::ExistsRequest>(key))->exists();
  };
  EXPECT_TRUE(there("a"));
  EXPECT_FALSE(there("b"));
  EXPECT_EQ(call<d1::LenResponse>(name("Len"), d1::LenRequest())->entries(), 2U);
  EXPECT_FALSE(call<d1::IsEmptyResponse>(name("IsEmpty"), d1::IsEmptyRequest())->is_empty());
  EXPECT_EQ(call<d1::FileSizeResponse>(name("FileSize"), d1::FileSizeRequest())->file_size_bytes(),
            170U);
}

TEST_F(DataStoreTest, ErrorsAreThoseTheClientsKnow) {
  const auto empty = write("a", "");
  EXPECT_EQ(code_of(empty), Code::kInvalidArgument);
  EXPECT_EQ(empty.error().message, "Payload cannot be empty.");  // what DataStore clients see
  EXPECT_EQ(text_of(empty), "store 'main': Payload cannot be empty.");
  EXPECT_EQ(text_of(write("a", std::string(1, '\0'), "other")),
            "store 'other': NULL-byte payloads cannot be written directly.");
  EXPECT_EQ(code_of(write("a", "1", "missing")), Code::kNotFound);
  EXPECT_EQ(code_of(call<d1::Metadata>(name("GetMetadata"), with_key<d1::GetMetadataRequest>("q"))),
            Code::kNotFound);
}

TEST_F(DataStoreTest, StoresOfOneNode) {
  ASSERT_TRUE(write("a", "1"));
  auto move = with_key<d1::CopyRequest>("a");
  move.set_target("other");
  EXPECT_TRUE(call<d1::WriteResponse>(name("Copy"), move));
  EXPECT_EQ(read("a") + read("a", "other"), "11");
  auto rename = with_key<d1::RenameRequest>("a");
  rename.set_new_key("b");
  EXPECT_TRUE(call<d1::WriteResponse>(name("Rename"), rename));
  move.set_key("b");
  EXPECT_TRUE(call<d1::WriteResponse>(name("Transfer"), move));
  EXPECT_EQ(read("b") + read("b", "other"), "<none>1");
  const auto list = call<d1::ListStoresResponse>(name("ListStores"), d1::ListStoresRequest());
  ASSERT_EQ(list->stores_size(), 2);
  EXPECT_EQ(list->stores(0).name(), "main");
  EXPECT_EQ(list->stores(0).keys(), 0U);
  EXPECT_EQ(list->stores(1).keys(), 2U);
  EXPECT_EQ(list->stores(1).path(), "/other");
}

TEST_F(DataStoreTest, StreamsOfAnySize) {
  std::string large(2'500'000, 'x');
  for (std::size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>(i / 1000);
  std::vector<d1::WriteStreamRequest> pieces;
  for (std::size_t at = 0; at < large.size(); at += 1'000'000) {
    auto& piece = pieces.emplace_back();
    if (at == 0) piece.set_key("large");
    piece.set_data(large.substr(at, 1'000'000));
  }
  ASSERT_TRUE((stream<d1::WriteResponse>(name("WriteStream"), pieces)));
  auto request = with_key<d1::ReadStreamRequest>("large");
  const auto answers = stream<d1::ReadStreamResponse>(name("ReadStream"), std::vector{request});
  ASSERT_TRUE(answers);
  std::string got;
  for (const auto& answer : *answers) got += answer.data();
  EXPECT_EQ(got, large);
  EXPECT_EQ(answers->front().size_bytes(), large.size());
  request.set_offset(2'000'000);
  request.set_length(10);
  const auto part = stream<d1::ReadStreamResponse>(name("ReadStream"), std::vector{request});
  EXPECT_EQ(part->front().data(), large.substr(2'000'000, 10));
  request.set_offset(3'000'000);
  const auto behind = stream<d1::ReadStreamResponse>(name("ReadStream"), std::vector{request});
  EXPECT_EQ(code_of(behind), Code::kOutOfRange);
  // A broken stream stores nothing.
  pieces[0].set_key("broken");
  EXPECT_FALSE((stream<d1::WriteResponse>(name("WriteStream"), pieces, true)));
  EXPECT_EQ(read("broken"), "<none>");
}

TEST_F(DataStoreTest, ListsEveryKeyAndCompacts) {
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(write("key" + std::to_string(i % 1500), std::to_string(i)));
  }
  d1::ListKeysRequest request;
  request.set_values(true);
  const auto list = stream<d1::ListKeysResponse>(name("ListKeys"), std::vector{request});
  ASSERT_TRUE(list);
  EXPECT_EQ(list->size(), 2U);
  EXPECT_EQ((*list)[0].keys(0).value(), "2999");
  EXPECT_EQ((*list)[0].keys_size() + (*list)[1].keys_size(), 1500);
  const auto done = stream<d1::CompactResponse>(name("Compact"), std::vector{d1::CompactRequest()});
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->back().finished());
  EXPECT_EQ(done->back().values(), 1500U);
  EXPECT_LT(done->back().bytes_after(), done->back().bytes_before());
  EXPECT_EQ(read("key7"), "1507");
}

core::Task<Result<void>> watch_store(rpc::Directory* directory, rpc::Call* call,
                                     Answers<d1::Change>* answers) {
  Requests<d1::WatchRequest> source({d1::WatchRequest()});
  co_return co_await directory->run(*directory->find("capstan.datastore.v1.DataStoreRpc/Watch"),
                                    *call, source, *answers);
}
core::Task<void> keep_watch(core::Task<Result<void>> task, Result<void>* into) {
  *into = co_await std::move(task);
}
core::Task<void> change_things(DataStoreService* stores, core::Task<void> watching) {
  core::Scope scope;
  scope.spawn(std::move(watching));
  rpc::Call call;
  d1::WriteRequest write;
  write.set_key("a");
  write.set_value("123");
  EXPECT_TRUE(co_await stores->write(call, write));
  d1::DeleteRequest erase;
  erase.set_key("a");
  EXPECT_TRUE(co_await stores->erase(call, erase));
  co_await scope.join();
}

TEST_F(DataStoreTest, WatchersHearOfChanges) {
  core::CancelSource leave;
  rpc::Call watching;
  watching.token = leave.token();
  Answers<d1::Change> answers;
  answers.after = &leave;
  answers.count = 2;
  Result<void> ended;
  world_.run(change_things(
      &node_->stores, keep_watch(watch_store(&node_->directory, &watching, &answers), &ended)));
  EXPECT_EQ(code_of(ended), Code::kCancelled);
  ASSERT_EQ(answers.messages.size(), 2U);
  EXPECT_EQ(answers.messages[0].key(), "a");
  EXPECT_EQ(answers.messages[0].size_bytes(), 3U);
  EXPECT_FALSE(answers.messages[0].removed());
  EXPECT_TRUE(answers.messages[1].removed());
}

// Of a longer key a watcher is told the hash alone.
core::Task<void> write_keys(DataStoreService* stores, std::vector<std::string> keys,
                            core::Task<void> watching) {
  core::Scope scope;
  scope.spawn(std::move(watching));
  rpc::Call call;
  for (const auto& key : keys) {
    d1::WriteRequest write;
    write.set_key(key);
    write.set_value("1");
    EXPECT_TRUE(co_await stores->write(call, write));
  }
  co_await scope.join();
}

TEST_F(DataStoreTest, WatchersHearLongKeysByTheirHash) {
  core::CancelSource leave;
  rpc::Call watching;
  watching.token = leave.token();
  Answers<d1::Change> answers;
  answers.after = &leave;
  answers.count = 2;
  Result<void> ended;
  const std::string fits(kKvToldKeyBytes, 'k'), longer(kKvToldKeyBytes + 1, 'k');
  world_.run(write_keys(&node_->stores, {longer, fits},
                        keep_watch(watch_store(&node_->directory, &watching, &answers), &ended)));
  ASSERT_EQ(answers.messages.size(), 2U);
  EXPECT_EQ(answers.messages[0].key(), "");
  EXPECT_EQ(answers.messages[0].key_hash(), storage::kv::hash_of(as_bytes(longer)));
  EXPECT_EQ(answers.messages[0].missed(), 0U);
  EXPECT_EQ(answers.messages[1].key(), fits);
  EXPECT_EQ(read(longer), "1");
}

TEST_F(DataStoreTest, KeysPageByPage) {
  std::vector<std::uint64_t> all;
  for (int i = 0; i < 20; ++i) {
    const std::string key = "k" + std::to_string(i);
    ASSERT_TRUE(write(key, key));
    all.push_back(storage::kv::hash_of(as_bytes(key)));
  }
  std::ranges::sort(all);
  d1::ListKeysRequest request;
  const auto page = [&] {
    std::vector<std::uint64_t> hashes;
    const auto parts = stream<d1::ListKeysResponse>(name("ListKeys"), std::vector{request});
    EXPECT_TRUE(parts) << text_of(parts);
    for (const auto& part : *parts) {
      for (const auto& key : part.keys()) hashes.push_back(key.key_hash());
    }
    return hashes;
  };
  EXPECT_EQ(page().front(), storage::kv::hash_of(as_bytes(std::string("k19"))));  // newest first
  request.set_limit(7);
  std::vector<std::uint64_t> met;
  for (std::size_t wanted : {7U, 7U, 6U, 0U}) {
    const auto hashes = page();
    EXPECT_EQ(hashes.size(), wanted);
    met.insert(met.end(), hashes.begin(), hashes.end());
    if (!met.empty()) request.set_after(met.back());
    ASSERT_TRUE(write("k3", "newer"));  // between pages nothing is missed or met twice
  }
  EXPECT_EQ(met, all);
  request.set_limit(0);
  request.set_after(all[4]);
  EXPECT_EQ(page(), std::vector(all.begin() + 5, all.end()));
  request.set_prefix("k");
  EXPECT_EQ(code_of(stream<d1::ListKeysResponse>(name("ListKeys"), std::vector{request})),
            Code::kInvalidArgument);
}

core::Task<Result<void>> watch_prefix(rpc::Directory* directory, rpc::Call* call,
                                      Answers<d1::Change>* answers) {
  d1::WatchRequest request;
  request.set_prefix("a/");
  Requests<d1::WatchRequest> source({request});
  co_return co_await directory->run(*directory->find("capstan.datastore.v1.DataStoreRpc/Watch"),
                                    *call, source, *answers);
}

TEST_F(DataStoreTest, WatchersOfAPrefix) {
  core::CancelSource leave;
  rpc::Call watching;
  watching.token = leave.token();
  Answers<d1::Change> answers;
  answers.after = &leave;
  answers.count = 2;
  Result<void> ended;
  world_.run(write_keys(&node_->stores, {"a/1", "b/1", "a", "a/2"},
                        keep_watch(watch_prefix(&node_->directory, &watching, &answers), &ended)));
  ASSERT_EQ(answers.messages.size(), 2U);
  EXPECT_EQ(answers.messages[0].key(), "a/1");
  EXPECT_EQ(answers.messages[0].op(), "write");
  EXPECT_EQ(answers.messages[1].key(), "a/2");
  EXPECT_EQ(answers.messages[1].seq(), answers.messages[0].seq() + 3);
}

// A client that takes one change, then none for a while.
class SlowAnswers final : public rpc::MessageSink {
 public:
  std::vector<d1::Change> messages;
  core::Event gate;
  core::CancelSource* leave = nullptr;
  std::size_t until = 0;
  core::Task<Result<void>> send(const rpc::Message& message) override {
    messages.push_back(static_cast<const d1::Change&>(message));
    co_await gate.wait();
    if (messages.size() == until) leave->fire();
    co_return Result<void>();
  }
};

core::Task<Result<void>> watch_slowly(rpc::Directory* directory, rpc::Call* call,
                                      SlowAnswers* answers) {
  Requests<d1::WatchRequest> source({d1::WatchRequest()});
  co_return co_await directory->run(*directory->find("capstan.datastore.v1.DataStoreRpc/Watch"),
                                    *call, source, *answers);
}

// The first change is being sent; behind it wait as many keys as may, `lost` more are missed.
core::Task<void> write_large_keys(DataStoreService* stores, SlowAnswers* answers, std::size_t lost,
                                  core::Task<void> watching) {
  core::Scope scope;
  scope.spawn(std::move(watching));
  rpc::Call call;
  d1::WriteRequest write;
  write.set_value("1");
  const std::size_t fit = kKvWatchBytes / kKvToldKeyBytes;
  answers->until = 1 + fit + 1;
  for (std::size_t i = 0; i < 1 + fit + lost; ++i) {
    write.set_key(std::to_string(1000 + i) + std::string(kKvToldKeyBytes - 4, 'k'));
    EXPECT_TRUE(co_await stores->write(call, write));
  }
  answers->gate.set();
  co_await scope.join();
}

TEST_F(DataStoreTest, SlowWatchersCostAFewMegabytesAndHearWhatTheyMissed) {
  core::CancelSource leave;
  rpc::Call watching;
  watching.token = leave.token();
  SlowAnswers answers;
  answers.leave = &leave;
  Result<void> ended;
  world_.run(
      write_large_keys(&node_->stores, &answers, 5,
                       keep_watch(watch_slowly(&node_->directory, &watching, &answers), &ended)));
  EXPECT_EQ(code_of(ended), Code::kCancelled);
  ASSERT_EQ(answers.messages.size(), answers.until);
  EXPECT_EQ(answers.messages.front().key().size(), kKvToldKeyBytes);
  EXPECT_EQ(answers.messages[answers.until - 2].missed(), 0U);
  EXPECT_EQ(answers.messages.back().missed(), 5U);
  EXPECT_EQ(answers.messages.back().tail_offset(), 0U);
}

TEST_F(DataStoreTest, OrTheirStreamEnds) {
  rpc::Call watching;
  watching.metadata.request = {{rpc::kWishOverflow, "abort"}};
  core::CancelSource never;
  SlowAnswers answers;
  answers.leave = &never;
  Result<void> ended;
  world_.run(
      write_large_keys(&node_->stores, &answers, 5,
                       keep_watch(watch_slowly(&node_->directory, &watching, &answers), &ended)));
  EXPECT_EQ(code_of(ended), Code::kResourceExhausted);
  ASSERT_EQ(answers.messages.size(), answers.until - 1);  // none that tells of others
  for (const auto& message : answers.messages) EXPECT_EQ(message.missed(), 0U);
}

TEST_F(DataStoreTest, ARestartKeepsEverythingAndMetricsTell) {
  ASSERT_TRUE(write("a", "1"));
  EXPECT_NE(node_->metrics.prometheus_text().find("store_keys{store=\"main\"} 1"),
            std::string::npos);
  world_.run(node_->stores.stop());
  EXPECT_EQ(code_of(write("a", "2")), Code::kUnavailable);
  stop();
  open();
  EXPECT_EQ(read("a"), "1");
}

core::Task<Result<void>> zero_bytes(core::Env* env, std::string path, std::uint64_t at,
                                    std::size_t size) {
  core::OpenOptions options;
  options.write = true;
  CO_TRY_SET(auto file, co_await env->files().open(std::move(path), options));
  const std::vector<std::uint8_t> zeros(size, 0);
  CO_TRY(co_await file->write(at, zeros));
  co_return co_await file->sync_data();
}

// The newest value of a key is torn although the file ends well: its predecessor comes back, and
// the log warns of it.
TEST_F(DataStoreTest, AStartThatRepairsValuesWarns) {
  ASSERT_TRUE(write("a", "old a"));
  ASSERT_TRUE(write("a", "new a"));  // at byte 64
  ASSERT_TRUE(write("b", "b"));
  const auto warnings = [this] {
    return std::ranges::count(node_->sink.events, "store_recovered");
  };
  EXPECT_EQ(warnings(), 0);
  world_.run(node_->stores.stop());
  stop();
  open();
  EXPECT_EQ(warnings(), 0) << "nothing was torn";
  world_.run(node_->stores.stop());
  stop();
  ASSERT_TRUE(run(zero_bytes(&env_, "/main", 64, 5)));
  open();
  EXPECT_EQ(warnings(), 1);
  EXPECT_EQ(read("a"), "old a");
  d1::GetStatsRequest request;
  request.set_store("main");
  const auto stats = call<d1::Stats>(name("GetStats"), request);
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->repaired_values(), 1U);
  EXPECT_EQ(stats->torn_bytes(), 0U);
}

// What --kv names may be somebody's text: the node must not start on it, nor change it.
TEST_F(DataStoreTest, FixedBugAPathOfSomebodyElsesFileEmptiedIt) {
  const std::string thesis(3800, 't');
  ASSERT_TRUE(run(env_.files().replace_file("/thesis.txt", thesis)));
  storage::kv::StoreOptions options;
  options.map_bytes = 1U << 20;
  const auto refused = run(node_->stores.start({{"thesis", "/thesis.txt", options}}));
  ASSERT_FALSE(refused);
  const std::string text = refused.error().text();
  for (const char* part : {"store 'thesis'", "/thesis.txt", "3800 bytes", "give another path"}) {
    EXPECT_TRUE(text.contains(part)) << text;
  }
  world_.run([](core::Env& env, const std::string& expected) -> core::Task<void> {
    EXPECT_EQ(*co_await env.files().read_file("/thesis.txt", 1U << 20), expected);
  }(env_, thesis));
}

TEST_F(DataStoreTest, ANodeWithoutStoresSaysHowToHaveOne) {
  world_.run(node_->stores.stop());
  stop();
  start();
  const auto refused = write("a", "1");
  EXPECT_EQ(code_of(refused), Code::kFailedPrecondition);
  EXPECT_NE(text_of(refused).find("--kv NAME=PATH"), std::string::npos);
}

}  // namespace
}  // namespace capstan::services
