// Why this file exists: readers, writers and compactions of several cores on one real file, against
// what must be true at every moment; also the lock between processes. Runs under TSan as well.
#include <sys/stat.h>

#include <filesystem>

#include "core/uring_env.h"
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

constexpr int kPairs = 20;

struct Shared {
  Store* store = nullptr;
  core::Env* env = nullptr;
  int rounds = 0;
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> reads{0}, wrong{0}, keys{0};
};

// "<number of the pair>:<version>:" and filler that both follow from.
std::string value_of(int pair, int version) {
  return std::to_string(pair) + ":" + std::to_string(version) + ":" +
         std::string(static_cast<std::size_t>(pair * 37 + version % 500), 'v');
}
int version_of(const std::optional<Value>& value, int pair, Shared* shared) {
  if (!value) return -1;
  const std::string text(as_text(value->bytes()));
  const auto colon = text.find(':');
  const int version = std::atoi(text.c_str() + colon + 1);
  if (text != value_of(pair, version) || !value->checksum_right()) ++shared->wrong;
  return version;
}
std::string key_of(char which, int writer, int pair) {
  return std::string(1, which) + std::to_string(writer) + "/" + std::to_string(pair);
}

// Writes both keys of each pair in one batch, version after version; deletes and renames between.
core::Task<int> writer(Shared* shared, int number) {
  for (int version = 1; version <= shared->rounds; ++version) {
    for (int pair = 0; pair < kPairs; ++pair) {
      const std::string a = key_of('a', number, pair), b = key_of('b', number, pair);
      const std::string value = value_of(pair, version);
      const Change both[] = {Change::put(as_bytes(a), as_bytes(value)),
                             Change::put(as_bytes(b), as_bytes(value))};
      if (!co_await shared->store->apply(both)) ++shared->wrong;
    }
    const std::string moved = key_of('m', number, 0), to = key_of('n', number, 0);
    const std::string text = value_of(0, version);
    if (!co_await shared->store->write(as_bytes(moved), as_bytes(text))) ++shared->wrong;
    if (!co_await shared->store->rename(as_bytes(moved), as_bytes(to))) ++shared->wrong;
    if (shared->store->exists(as_bytes(moved))) ++shared->wrong;
    if (version_of(shared->store->find(as_bytes(to)), 0, shared) != version) ++shared->wrong;
    if (!co_await shared->store->erase(as_bytes(to))) ++shared->wrong;
    co_await core::yield();
  }
  co_return 0;
}

// Both keys of a pair always have one version, and versions never go back.
core::Task<int> reader(Shared* shared, int number) {
  std::vector<int> seen(kPairs, -1);
  while (!shared->done.load()) {
    for (int pair = 0; pair < kPairs; ++pair) {
      const std::string a = key_of('a', number, pair), b = key_of('b', number, pair);
      const ByteView keys[] = {as_bytes(a), as_bytes(b)};
      const auto both = shared->store->batch_read(keys);
      const int first = version_of((*both)[0], pair, shared);
      if (first != version_of((*both)[1], pair, shared) || first < seen[pair]) ++shared->wrong;
      const int one = version_of(shared->store->find(as_bytes(b)), pair, shared);
      const int other = version_of(shared->store->find(as_bytes(a)), pair, shared);
      if (one < first || other < one) ++shared->wrong;
      seen[pair] = other;
      ++shared->reads;
    }
    auto cursor = shared->store->iterate();
    while (const auto value = cursor.next()) {
      if (!value->checksum_right()) ++shared->wrong;
    }
    co_await core::yield();
  }
  co_return 0;
}

core::Task<int> compactor(Shared* shared) {
  while (!shared->done.load()) {
    if (!co_await shared->store->compact()) ++shared->wrong;
    (void)co_await core::sleep_for(core::kMillisecond);
  }
  co_return 0;
}

core::Task<void> on_core(Shared* shared, unsigned core, int number,
                         core::Task<int> (*work)(Shared*, int)) {
  co_await core::on<int>(shared->env->reactor(core),
                         [shared, number, work] { return work(shared, number); });
}
core::Task<void> compact_here(Shared* shared) {
  co_await compactor(shared);
}

core::Task<void> story(Shared* shared, std::string path, StoreOptions options) {
  auto opened = co_await Store::open(*shared->env, path, options);
  if (!opened) {
    ADD_FAILURE() << opened.error().text();
    co_return;
  }
  shared->store = opened->get();
  core::Scope writers, others;
  for (int i = 0; i < 3; ++i) {
    others.spawn(on_core(shared, static_cast<unsigned>(i + 1) % 3, i, &reader));
  }
  others.spawn(compact_here(shared));
  for (int i = 0; i < 3; ++i) {
    writers.spawn(on_core(shared, static_cast<unsigned>(i) % 3, i, &writer));
  }
  co_await writers.join();
  shared->done.store(true);
  co_await others.join();
  EXPECT_EQ(shared->store->len(), 3U * 2 * kPairs);
  EXPECT_TRUE(co_await shared->store->close());
  opened->reset();
  auto again = co_await Store::open(*shared->env, path, options);
  EXPECT_TRUE(again);
  if (!again) co_return;
  for (int writer = 0; writer < 3; ++writer) {
    for (int pair = 0; pair < kPairs; ++pair) {
      const auto value = (*again)->find(as_bytes(key_of('b', writer, pair)));
      EXPECT_EQ(version_of(value, pair, shared), shared->rounds);
    }
  }
  EXPECT_TRUE(co_await (*again)->close());
}

class StoreThreads : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "kv_threads_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void tell(Durability durability, int rounds) {
    core::UringOptions cores;
    cores.cores = 3;
    auto env = core::UringEnv::create(cores);
    ASSERT_TRUE(env) << env.error().text();
    Shared shared;
    shared.env = env->get();
    shared.rounds = rounds;
    StoreOptions options;
    options.durability = durability;
    options.interval = core::kMillisecond;
    options.map_bytes = 1U << 20;  // outgrown soon
    (*env)->run(story(&shared, folder_ + "/store", options));
    EXPECT_EQ(shared.wrong.load(), 0U);
    EXPECT_GT(shared.reads.load(), 0U);
  }
  std::string folder_;
};

TEST_F(StoreThreads, ReadersWritersAndCompactions) {
  tell(Durability::kNone, 15);
}
TEST_F(StoreThreads, ReadersWritersAndCompactionsWithIntervals) {
  tell(Durability::kInterval, 8);
}
TEST_F(StoreThreads, ReadersWritersAndCompactionsSynced) {
  tell(Durability::kEach, 3);
}

// --- models ------------------------------------------------------------------------------------

// Keys of its own and a map that is told the same as the store; what the store answers must agree
// at every moment, whatever the others and the compactions do.
struct Modelled {
  std::map<std::string, std::string> model;
  core::SimRandom random;
  std::uint64_t wrong = 0;
};

core::Task<void> random_step(Store* store, Modelled* own, int number) {
  auto& [model, random, wrong] = *own;
  const auto some_key = [&] {
    return std::to_string(number) + "/" + std::to_string(random.below(30));
  };
  const std::string key = some_key(), other = some_key();
  const std::string value(random.between(1, random.chance(3) ? 100'000 : 300),
                          static_cast<char>('a' + random.below(26)));
  switch (random.below(8)) {
    case 0: {
      wrong += !co_await store->erase(as_bytes(key));
      model.erase(key);
      break;
    }
    case 1: {
      const auto done = co_await store->rename(as_bytes(key), as_bytes(other));
      wrong += done.has_value() != (key != other && model.contains(key));
      if (!done) break;
      model[other] = model[key];
      model.erase(key);
      break;
    }
    case 2: {
      const Change changes[] = {Change::erase(as_bytes(other)),
                                Change::put(as_bytes(key), as_bytes(value))};
      wrong += !co_await store->apply(changes);
      model.erase(other);
      model[key] = value;
      break;
    }
    default: {
      wrong += !co_await store->write(as_bytes(key), as_bytes(value));
      model[key] = value;
    }
  }
  for (const auto& name : {key, other}) {
    const auto found = store->find(as_bytes(name));
    const auto expected = model.find(name);
    wrong += found.has_value() != (expected != model.end());
    if (found && expected != model.end()) wrong += as_text(found->bytes()) != expected->second;
  }
}

core::Task<int> modelled_writer(Shared* shared, int number) {
  Modelled own{{}, core::SimRandom(static_cast<std::uint64_t>(number) + 1)};
  for (int i = 0; i < shared->rounds; ++i) {
    co_await random_step(shared->store, &own, number);
    if (i % 10 == 0) co_await core::yield();
  }
  for (const auto& [key, value] : own.model) {
    const auto found = shared->store->find(as_bytes(key));
    own.wrong += !found || as_text(found->bytes()) != value;
  }
  shared->wrong += own.wrong;
  shared->keys += own.model.size();
  co_return 0;
}

// Whatever is found is undamaged, and counting agrees with itself while nothing is known of when.
core::Task<int> walker(Shared* shared, int number) {
  while (!shared->done.load()) {
    auto cursor = shared->store->iterate();
    while (const auto value = cursor.next()) shared->wrong += !value->checksum_right();
    for (const auto& value : shared->store->scan(static_cast<unsigned>(number))) {
      shared->wrong += !value.checksum_right();
    }
    const auto last = shared->store->read_last_entry();
    shared->wrong += last && !last->checksum_right();
    ++shared->reads;
    co_await core::yield();
  }
  co_return 0;
}

core::Task<void> modelled_story(Shared* shared, std::string path, StoreOptions options) {
  auto opened = co_await Store::open(*shared->env, path, options);
  EXPECT_TRUE(opened);
  if (!opened) co_return;
  shared->store = opened->get();
  core::Scope writers, others;
  for (int i = 0; i < 2; ++i) {
    others.spawn(on_core(shared, static_cast<unsigned>(i + 1) % 3, i, &walker));
  }
  others.spawn(compact_here(shared));
  for (int i = 0; i < 6; ++i) {
    writers.spawn(on_core(shared, static_cast<unsigned>(i) % 3, i, &modelled_writer));
  }
  co_await writers.join();
  shared->done.store(true);
  co_await others.join();
  for (int opening = 0; opening < 2; ++opening) {
    EXPECT_EQ((*opened)->len(), shared->keys.load());
    EXPECT_TRUE(co_await (*opened)->close());
    opened->reset();
    opened = co_await Store::open(*shared->env, path, options);
    EXPECT_TRUE(opened);
    if (!opened) co_return;
  }
  EXPECT_TRUE(co_await (*opened)->close());
}

TEST_F(StoreThreads, ModelsOfManyWritersHold) {
  core::UringOptions cores;
  cores.cores = 3;
  auto env = core::UringEnv::create(cores);
  ASSERT_TRUE(env) << env.error().text();
  Shared shared;
  shared.env = env->get();
  shared.rounds = 200;
  StoreOptions options;
  options.map_bytes = 1U << 20;
  (*env)->run(modelled_story(&shared, folder_ + "/store", options));
  EXPECT_EQ(shared.wrong.load(), 0U);
  EXPECT_GT(shared.keys.load(), 0U);
  EXPECT_GT(shared.reads.load(), 0U);
}

// --- one process, one file ---------------------------------------------------------------------

core::Task<void> open_twice(core::Env* env, std::string path) {
  auto first = co_await Store::open(*env, path);
  EXPECT_TRUE(first);
  const auto second = co_await Store::open(*env, path);
  EXPECT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kFailedPrecondition);
  EXPECT_TRUE(co_await (*first)->write(as_bytes("a"), as_bytes("1")));
  const auto value = (*first)->find(as_bytes("a"));
  EXPECT_TRUE(co_await (*first)->compact());
  EXPECT_FALSE(co_await Store::open(*env, path));  // the new file is locked as well
  EXPECT_TRUE(co_await (*first)->close());
  first->reset();
  auto third = co_await Store::open(*env, path);  // a value that lives on holds no lock
  EXPECT_TRUE(third);
  EXPECT_EQ(as_text(value->bytes()), "1");
  if (third) EXPECT_TRUE(co_await (*third)->close());
}

TEST_F(StoreThreads, AFileIsOpenOnce) {
  auto env = core::UringEnv::create({});
  ASSERT_TRUE(env);
  (*env)->run(open_twice(env->get(), folder_ + "/store"));
}

// Somebody else uses the file that the store would be compacted to: it is left alone.
core::Task<void> open_beside(core::Env* env, std::string path) {
  core::OpenOptions options;
  options.write = options.create = true;
  EXPECT_TRUE(co_await env->files().open(path + ".compact", options));
  options.create = false;
  options.exclusive = true;
  {
    auto other = co_await env->files().open(path + ".compact", options);
    EXPECT_TRUE(other);
    if (other) EXPECT_TRUE(co_await (*other)->write(0, as_bytes("precious")));
    const auto refused = co_await Store::open(*env, path);
    EXPECT_FALSE(refused);
    if (!refused) EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
    EXPECT_EQ(*co_await env->files().read_file(path + ".compact", 100), "precious");
  }
  auto store = co_await Store::open(*env, path);  // nobody does: a crashed compaction left it
  EXPECT_TRUE(store);
  EXPECT_FALSE(std::filesystem::exists(path + ".compact"));
  if (!store) co_return;
  EXPECT_TRUE(co_await (*store)->write(as_bytes("a"), as_bytes("1")));
  options.create = true;
  options.exclusive = false;
  EXPECT_TRUE(co_await env->files().open(path + ".compact", options));
  options.create = false;
  options.exclusive = true;
  {
    auto other = co_await env->files().open(path + ".compact", options);
    if (other) EXPECT_TRUE(co_await (*other)->write(0, as_bytes("precious")));
    EXPECT_FALSE(co_await (*store)->compact());
    EXPECT_EQ(*co_await env->files().read_file(path + ".compact", 100), "precious");
  }
  EXPECT_TRUE(co_await (*store)->compact());
  EXPECT_TRUE(co_await (*store)->close());
}

TEST_F(StoreThreads, FixedBugACompactionDestroyedAFileInUse) {
  auto env = core::UringEnv::create({});
  ASSERT_TRUE(env);
  (*env)->run(open_beside(env->get(), folder_ + "/store"));
}

// --- growth ------------------------------------------------------------------------------------

// The newest value is always the farthest from the map's beginning.
core::Task<int> newest_reader(Shared* shared, int number) {
  while (!shared->done.load()) {
    const std::string name = "newest";
    const ByteView key = as_bytes(name);
    const auto found = shared->store->find(key);
    shared->wrong += found && !found->checksum_right();
    const auto batch = shared->store->batch_read({&key, 1});
    shared->wrong += (*batch)[0] && !(*batch)[0]->checksum_right();
    for (const auto& value : shared->store->scan(static_cast<unsigned>(number))) {
      shared->wrong += !value.checksum_right();
    }
    ++shared->reads;
    co_await core::yield();
  }
  co_return 0;
}

core::Task<void> grow(Shared* shared, std::string path) {
  StoreOptions options;
  options.map_bytes = 4096;
  auto store = co_await Store::open(*shared->env, path, options);
  EXPECT_TRUE(store);
  if (!store) co_return;
  shared->store = store->get();
  shared->done.store(false);
  core::Scope readers;
  for (int i = 0; i < 2; ++i) {
    readers.spawn(on_core(shared, static_cast<unsigned>(i + 1), i, &newest_reader));
  }
  std::set<const std::uint8_t*> maps;
  for (int i = 0; i < 500; ++i) {
    const std::string value(static_cast<std::size_t>(i) + 1, 'v');
    const std::string other = std::to_string(i);
    const Change both[] = {Change::put(as_bytes(other), as_bytes(value)),
                           Change::put(as_bytes("newest"), as_bytes(value))};
    if (!co_await (*store)->apply(both)) ++shared->wrong;
    const auto value_now = (*store)->find(as_bytes("newest"));
    maps.insert(value_now->bytes().data() - value_now->begin_offset());
    if (i % 10 == 0) co_await core::yield();
  }
  EXPECT_GT(maps.size(), 4U);  // the map grew
  shared->done.store(true);
  co_await readers.join();
  EXPECT_TRUE(co_await (*store)->close());
}

TEST_F(StoreThreads, ReadersDuringGrowth) {
  core::UringOptions cores;
  cores.cores = 3;
  auto env = core::UringEnv::create(cores);
  ASSERT_TRUE(env) << env.error().text();
  Shared shared;
  shared.env = env->get();
  for (int i = 0; i < 10; ++i) {
    (*env)->run(grow(&shared, folder_ + "/store" + std::to_string(i)));
  }
  EXPECT_EQ(shared.wrong.load(), 0U);
  EXPECT_GT(shared.reads.load(), 0U);
}

// --- links -------------------------------------------------------------------------------------

// The file is reached through a link, and somebody else may read it: both stay so.
core::Task<void> compact_behind(core::Env* env, std::string link) {
  auto store = co_await Store::open(*env, link);
  EXPECT_TRUE(store);
  if (!store) co_return;
  for (const char* value : {"1", "2"}) {
    EXPECT_TRUE(co_await (*store)->write(as_bytes("a"), as_bytes(std::string_view(value))));
  }
  EXPECT_TRUE(co_await (*store)->compact());
  EXPECT_EQ((*store)->path(), link);
  EXPECT_TRUE(co_await (*store)->close());
}

TEST_F(StoreThreads, CompactionReplacesTheFileAndNotTheLinkToIt) {
  namespace fs = std::filesystem;
  const std::string link = folder_ + "/link", file = folder_ + "/else/store";
  fs::create_directories(folder_ + "/else");
  fs::create_symlink("else/store", link);  // that does not exist yet
  auto env = core::UringEnv::create({});
  ASSERT_TRUE(env);
  (*env)->run(compact_behind(env->get(), link));
  ASSERT_TRUE(fs::is_regular_file(file));
  ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
  (*env)->run(compact_behind(env->get(), link));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(fs::file_size(file), 21U);
  EXPECT_EQ(fs::status(file).permissions(), fs::perms(0640));
}

}  // namespace
}  // namespace capstan::storage::kv
