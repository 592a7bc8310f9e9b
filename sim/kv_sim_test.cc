// Why this file exists: the store simulation as a test: some hundred seeds, every crash point of a
// few stories, and proof that it notices a store that does not sync.
#include "sim/kv_sim.h"

#include <gtest/gtest.h>

namespace capstan::sim {
namespace {

KvSimResult run(std::uint64_t seed, std::optional<std::uint64_t> cut_at = {}, bool kill = false) {
  KvSimOptions options;
  options.seed = seed;
  options.cut_at = cut_at;
  options.kill = kill;
  auto result = KvSim(options).run();
  EXPECT_EQ(result.failure, "") << "seed " << seed << " cut at " << cut_at.value_or(0)
                                << (kill ? " kill" : "");
  return result;
}

TEST(KvSim, Seeds) {
  KvSimResult sum;
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    const auto result = run(seed);
    sum.cuts += result.cuts, sum.kills += result.kills, sum.writes += result.writes;
    sum.compactions += result.compactions, sum.torn += result.torn;
    sum.repaired += result.repaired, sum.renames += result.renames;
  }
  // The stories must really happen.
  EXPECT_GT(sum.cuts, 500U);
  EXPECT_GT(sum.kills, 100U);
  EXPECT_GT(sum.writes, 5000U);
  EXPECT_GT(sum.compactions, 100U);
  EXPECT_GT(sum.torn, 50U);
  EXPECT_GT(sum.repaired, 0U);
  EXPECT_GT(sum.renames, 20U);
}

TEST(KvSim, EveryCrashPointOfSomeStories) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const auto whole = run(seed, 1'000'000'000);
    ASSERT_GT(whole.first_generation_ios, 10U);
    for (std::uint64_t cut = 1; cut <= whole.first_generation_ios; ++cut) {
      run(seed, cut);
      run(seed, cut, true);
    }
  }
}

// A kill between the file's creation and the sync of its folder; the next opening took the name for
// durable.
TEST(KvSim, FixedBugTheNameOfANewFileWasNotDurable) {
  for (const std::uint64_t seed : {109, 315}) run(seed);
}

TEST(KvSim, ASeedIsOneStory) {
  EXPECT_EQ(run(7).trace_hash, run(7).trace_hash);
  EXPECT_NE(run(7).trace_hash, run(8).trace_hash);
}

TEST(KvSim, NoticesAStoreThatDoesNotSync) {
  unsigned noticed = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    KvSimOptions options;
    options.seed = seed;
    options.forget_syncs = true;
    noticed += !KvSim(options).run().failure.empty();
  }
  EXPECT_GT(noticed, 5U);
}

}  // namespace
}  // namespace capstan::sim
