// Why this file exists: every I/O of every operation fails once. Whatever fails: the operation says
// so or succeeds, what was acknowledged stays readable, and the file opens again with it.
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

// Counts the changing operations of the files below it and fails one of them.
struct Plan {
  std::uint64_t count = 0, fail_at = 0;
  bool full = false;  // the disk: nothing can be written, everything else works
  Result<void> next() {
    if (++count != fail_at) return {};
    return fail_errno(ENOSPC, "planned fault");
  }
};

class FaultyFile final : public core::File {
 public:
  FaultyFile(std::unique_ptr<core::File> file, Plan& plan) : file_(std::move(file)), plan_(plan) {}
  const core::FileInfo& info() const override { return file_->info(); }
  Result<core::FileInfo> refresh() override { return file_->refresh(); }
  core::Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override {
    CO_TRY(plan_.next());
    co_return co_await file_->read(offset, into);
  }
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override {
    auto planned = plan_.next();
    if (plan_.full) planned = fail_errno(ENOSPC, "planned");
    if (!planned) {  // half of it arrived
      (void)co_await file_->write(offset, from.first(from.size() / 2));
      co_return planned;
    }
    co_return co_await file_->write(offset, from);
  }
  core::Task<Result<void>> sync_data() override {
    CO_TRY(plan_.next());
    co_return co_await file_->sync_data();
  }
  core::Task<Result<void>> deallocate(std::uint64_t offset, std::uint64_t length) override {
    return file_->deallocate(offset, length);
  }
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
    return file_->write_zeroes(offset, length);
  }
  core::Task<Result<void>> truncate(std::uint64_t size) override {
    CO_TRY(plan_.next());
    co_return co_await file_->truncate(size);
  }
  Result<std::shared_ptr<core::FileMap>> map(std::uint64_t capacity) override {
    TRY(plan_.next());
    return file_->map(capacity);
  }

 private:
  std::unique_ptr<core::File> file_;
  Plan& plan_;
};

class FaultyFiles final : public core::FileSystem {
 public:
  FaultyFiles(core::FileSystem& files, Plan& plan) : files_(files), plan_(plan) {}
  core::Task<Result<std::unique_ptr<core::File>>> open(std::string path,
                                                       core::OpenOptions options) override {
    CO_TRY(plan_.next());
    CO_TRY_SET(auto file, co_await files_.open(std::move(path), options));
    co_return std::make_unique<FaultyFile>(std::move(file), plan_);
  }
  core::Task<Result<void>> rename(std::string from, std::string to) override {
    CO_TRY(plan_.next());
    co_return co_await files_.rename(std::move(from), std::move(to));
  }
  core::Task<Result<void>> remove(std::string path) override {
    CO_TRY(plan_.next());
    co_return co_await files_.remove(std::move(path));
  }
  core::Task<Result<void>> make_directories(std::string path) override {
    return files_.make_directories(std::move(path));
  }
  core::Task<Result<std::vector<std::string>>> list(std::string path) override {
    return files_.list(std::move(path));
  }
  core::Task<Result<void>> sync_directory(std::string path) override {
    CO_TRY(plan_.next());
    co_return co_await files_.sync_directory(std::move(path));
  }

 private:
  core::FileSystem& files_;
  Plan& plan_;
};

class FaultyEnv final : public core::Env {
 public:
  explicit FaultyEnv(core::SimEnv& env) : env_(env), files_(env.files(), plan) {}
  std::uint64_t wall_clock_ns() const override { return env_.wall_clock_ns(); }
  void fill_random(MutableBytes out) override { env_.fill_random(out); }
  core::FileSystem& files() override { return files_; }
  core::Network& network() override { return env_.network(); }
  unsigned cores() const override { return 1; }
  core::Reactor& reactor(unsigned core) override { return env_.reactor(core); }
  Plan plan;

 private:
  core::SimEnv& env_;
  FaultyFiles files_;
};

using Model = std::map<std::string, std::string>;

// One operation after the other; `model` has what was acknowledged, `maybe` what failed last.
struct Story {
  Store* store;
  Model model;
  Model maybe;
  unsigned failures = 0;

  core::Task<void> put(std::string key, std::string value) {
    const auto done = co_await store->write(as_bytes(key), as_bytes(value));
    settle(done.has_value(), key, value);
  }
  core::Task<void> stream(std::string key, std::string value) {
    auto stream = store->stream(as_bytes(key));
    auto appended = co_await stream.append(as_bytes(value));
    if (appended) {
      settle((co_await stream.commit()).has_value(), key, value);
    } else {
      ++failures;
    }
  }
  void settle(bool done, const std::string& key, const std::string& value) {
    (done ? model : maybe)[key] = value;
    failures += !done;
  }
  core::Task<void> tell() {
    co_await put("a", "1");
    co_await put("large", std::string(300'000, 'x'));
    co_await stream("streamed", std::string(1'500'000, 's'));
    co_await put("b", "2");
    const auto renamed = co_await store->rename(as_bytes("b"), as_bytes("c"));
    if (renamed) {
      model.erase("b");
      model["c"] = "2";
    } else {
      maybe["c"] = "2";
      ++failures;
    }
    const auto compacted = co_await store->compact();
    failures += !compacted;
    co_await put("a", "3");
  }
  void check(const Store& of, bool reopened) const {
    for (const auto& [key, value] : model) {
      const auto found = of.find(as_bytes(key));
      ASSERT_TRUE(found) << key;
      const auto other = maybe.find(key);
      const std::string text(as_text(found->bytes()));
      const bool as_failed = reopened && other != maybe.end() && text == other->second;
      EXPECT_TRUE(text == value || as_failed) << key;
      EXPECT_TRUE(found->checksum_right());
    }
    for (const auto& [key, value] : maybe) {
      if (!reopened && !model.contains(key)) EXPECT_FALSE(of.exists(as_bytes(key))) << key;
    }
  }
};

core::Task<void> run_story(FaultyEnv* env, std::uint64_t fail_at, Durability durability,
                           bool* reached) {
  env->plan = {};
  StoreOptions options;
  options.map_bytes = 1U << 18;
  options.durability = durability;
  auto opened = co_await Store::open(*env, "/store", options);
  EXPECT_TRUE(opened);
  if (!opened) co_return;
  env->plan = {0, fail_at};
  Story story{opened->get(), {}, {}};
  co_await story.tell();
  *reached = env->plan.count >= fail_at;
  env->plan.fail_at = 0;
  story.check(**opened, false);
  (void)co_await (*opened)->close();
  opened->reset();
  auto again = co_await Store::open(*env, "/store", options);
  EXPECT_TRUE(again) << again.error().text();
  if (!again) co_return;
  story.check(**again, true);
  EXPECT_TRUE(co_await (*again)->write(as_bytes("after"), as_bytes("all")));
  EXPECT_TRUE((*again)->exists(as_bytes("after")));
  EXPECT_TRUE(co_await (*again)->close());
}

TEST(StoreFaults, EveryIoFailsOnce) {
  for (const auto durability : {Durability::kNone, Durability::kEach}) {
    bool reached = true;
    std::uint64_t at = 1;
    for (; reached; ++at) {
      core::SimWorld world(at);
      core::SimEnv sim(world);
      FaultyEnv env(sim);
      SCOPED_TRACE("I/O " + std::to_string(at));
      world.run(run_story(&env, at, durability, &reached));
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(at, 25U);
  }
}

core::Task<void> fill_up(FaultyEnv* env, Durability durability) {
  StoreOptions options;
  options.map_bytes = 1U << 18;
  options.durability = durability;
  auto opened = co_await Store::open(*env, "/store", options);
  EXPECT_TRUE(opened);
  Store& store = **opened;
  EXPECT_TRUE(co_await store.write(as_bytes("a"), as_bytes("1")));
  const std::uint64_t size = store.file_size();
  env->plan.full = true;
  const std::string large(2'000'000, 'x');
  for (const ByteView value : {as_bytes("2"), as_bytes(large)}) {
    const auto done = co_await store.write(as_bytes("a"), value);
    EXPECT_FALSE(done);
    if (!done) EXPECT_EQ(done.error().code, Code::kResourceExhausted);
    auto stream = store.stream(as_bytes("s"));
    const auto appended = co_await stream.append(value);
    EXPECT_FALSE(appended && (co_await stream.commit()));
  }
  EXPECT_FALSE(co_await store.compact());
  EXPECT_FALSE(co_await store.erase(as_bytes("a")));
  EXPECT_EQ(as_text(store.find(as_bytes("a"))->bytes()), "1");
  EXPECT_EQ(store.file_size(), size);
  env->plan.full = false;  // somebody made room: no need to open it again
  EXPECT_EQ(store.stats().fault, "");
  EXPECT_TRUE(co_await store.write(as_bytes("a"), as_bytes("3")));
  EXPECT_TRUE(co_await store.compact());
  EXPECT_TRUE(co_await store.close());
  opened->reset();
  auto again = co_await Store::open(*env, "/store", options);
  EXPECT_TRUE(again);
  if (!again) co_return;
  EXPECT_EQ((*again)->stats().torn_bytes, 0U);
  EXPECT_EQ(as_text((*again)->find(as_bytes("a"))->bytes()), "3");
  EXPECT_TRUE(co_await (*again)->close());
}

TEST(StoreFaults, AFullDiskRefusesWritesAndLosesNothing) {
  for (const auto durability : {Durability::kNone, Durability::kEach}) {
    core::SimWorld world(1);
    core::SimEnv sim(world);
    FaultyEnv env(sim);
    world.run(fill_up(&env, durability));
  }
}

// Opening a torn file fails at any I/O and succeeds afterwards with the same content.
core::Task<void> run_opening(FaultyEnv* env, std::uint64_t fail_at, bool* reached) {
  env->plan = {0, fail_at};
  StoreOptions options;
  options.map_bytes = 1U << 18;
  auto opened = co_await Store::open(*env, "/store", options);
  *reached = env->plan.count >= fail_at;
  EXPECT_TRUE(opened || *reached);
  env->plan.fail_at = 0;
  if (opened) EXPECT_TRUE(co_await (*opened)->close());
  if (opened) opened->reset();
  opened = co_await Store::open(*env, "/store", options);
  EXPECT_TRUE(opened);
  if (!opened) co_return;
  EXPECT_EQ((*opened)->len(), 3U);
  EXPECT_TRUE(co_await (*opened)->close());
}

TEST(StoreFaults, EveryIoOfRecoveryFailsOnce) {
  bool reached = true;
  for (std::uint64_t at = 1; reached; ++at) {
    core::SimWorld world(at);
    core::SimEnv sim(world);
    auto file = vector_file("a64.bin");
    file.resize(file.size() + 100, 'x');
    ASSERT_TRUE(run_on(world, put_file(&sim, "/store", file)));
    FaultyEnv env(sim);
    SCOPED_TRACE("I/O " + std::to_string(at));
    world.run(run_opening(&env, at, &reached));
  }
}

}  // namespace
}  // namespace capstan::storage::kv
