// Why this file exists: every I/O of every operation fails once. Whatever fails: the operation says
// so, what was acknowledged stays readable, and the file opens again with it, also after a power
// cut. After a failed sync the store takes no writes.
#include "storage/kv/kv_faulty_env.h"
#include "storage/kv/kv_test_support.h"

namespace capstan::storage::kv {
namespace {

using Model = std::map<std::string, std::string>;

// One operation after the other; `model` has what was acknowledged, `maybe` what failed last.
struct Story {
  Store* store;
  const Plan* plan;
  Model model = {};
  Model maybe = {};
  unsigned failures = 0;
  bool synced = false;  // all of it

  // Whether what failed is a sync of the store's own file: then nobody knows what is on the disk.
  bool lost_sync(bool of_store) const { return of_store && plan->failed.starts_with("sync "); }
  // After such a failure nothing may be taken any more.
  core::Task<void> check_fault(bool expected) {
    EXPECT_EQ(!store->stats().fault.empty(), expected) << plan->failed;
    if (!expected) co_return;
    const auto refused = co_await store->write(as_bytes("refused"), as_bytes("value"));
    EXPECT_FALSE(refused);
    if (!refused) EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
    EXPECT_FALSE(co_await store->sync());
  }

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
    co_await check_fault(lost_sync(true));
    const bool works = store->stats().fault.empty();
    const auto compacted = co_await store->compact();
    failures += !compacted;
    // In the new file only once its name is durable.
    if (works) co_await check_fault(!compacted && store->stats().compactions == 1);
    const bool still_works = store->stats().fault.empty();
    const bool failed_before = !plan->failed.empty();
    co_await put("a", "3");
    synced = (co_await store->sync()).has_value();
    failures += !synced;
    if (still_works) co_await check_fault(lost_sync(!failed_before));
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

core::Task<void> run_story(FaultyEnv* env, core::SimEnv* sim, std::uint64_t fail_at,
                           Durability durability, bool cut, bool* reached) {
  env->plan = {};
  StoreOptions options;
  options.map_bytes = 1U << 18;
  options.durability = durability;
  auto opened = co_await Store::open(*env, "/store", options);
  EXPECT_TRUE(opened);
  if (!opened) co_return;
  env->plan = {0, fail_at};
  Story story{opened->get(), &env->plan};
  co_await story.tell();
  *reached = env->plan.count >= fail_at;
  EXPECT_EQ(story.failures != 0, *reached) << env->plan.failed;  // no failure is passed over
  env->plan.fail_at = 0;
  story.check(**opened, false);
  if (cut && (durability == Durability::kEach || story.synced)) sim->power_cut();
  (void)co_await (*opened)->close();
  opened->reset();
  sim->power_on();
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
    for (const bool cut : {false, true}) {
      bool reached = true;
      std::uint64_t at = 1;
      for (; reached; ++at) {
        core::SimWorld world(at);
        core::SimEnv sim(world);
        FaultyEnv env(sim);
        SCOPED_TRACE("I/O " + std::to_string(at) + (cut ? ", then a power cut" : ""));
        world.run(run_story(&env, &sim, at, durability, cut, &reached));
        if (HasFatalFailure()) return;
      }
      EXPECT_GT(at, 25U);
    }
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
  unsigned kept = 0;
  for (const auto& name : *co_await env->files().list("/")) {
    if (name.find(".torn-") == name.npos) continue;
    const auto content = co_await env->files().read_file("/" + name, 1U << 20);
    EXPECT_EQ(*content, std::string(100, 'x')) << name;  // half a copy is not kept
    ++kept;
  }
  EXPECT_GE(kept, 1U);
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
