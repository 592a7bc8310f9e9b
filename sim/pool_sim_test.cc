// Why this file exists: the simulation as a test: two thousand seeds, every crash point of small
// stories, and proof that it notices what it is there for (a disk whose syncs are lies).
#include "sim/pool_sim.h"

#include <gtest/gtest.h>

namespace capstan::sim {
namespace {

PoolSimResult run(const char* workload, std::uint64_t seed,
                  std::optional<std::uint64_t> cut_at = {}, bool kill = false,
                  bool strict = false) {
  PoolSimOptions options;
  options.strict = strict;
  options.seed = seed;
  options.workload = find_workload(workload);
  options.cut_at = cut_at;
  options.kill = kill;
  return PoolSim(options).run();
}

void expect_passed(const PoolSimResult& result, const char* workload, std::uint64_t seed,
                   std::optional<std::uint64_t> cut_at = {}, bool kill = false) {
  EXPECT_EQ(result.failure, "") << result.story << "\nrepeat: bin/sim --workload " << workload
                                << " --seed " << seed
                                << (cut_at ? " --cut-at " + std::to_string(*cut_at) : std::string())
                                << (kill ? " --kill" : "") << " --verbose";
}

PoolSimResult run_seeds(const char* workload, std::uint64_t first, std::uint64_t count) {
  PoolSimResult sum;
  unsigned cuts = 0, kills = 0, loads = 0, clean = 0, writes = 0, destroyed = 0;
  for (auto seed = first; seed < first + count; ++seed) {
    const auto result = run(workload, seed);
    expect_passed(result, workload, seed);
    cuts += result.cuts, kills += result.kills, loads += result.loads, clean += result.clean_loads;
    writes += result.writes, destroyed += result.destroyed;
    sum.resized += result.resized, sum.grown += result.grown;
    sum.refused_full += result.refused_full;
    sum.unreadable += result.unreadable, sum.failed_loads += result.failed_loads;
  }
  // The stories must really happen.
  EXPECT_GT(cuts, count);
  EXPECT_GT(kills, 0U);
  EXPECT_GT(loads, count / 2);
  EXPECT_GT(clean, 0U);
  EXPECT_GT(writes, count);
  EXPECT_GT(destroyed, 0U);
  return sum;
}

TEST(PoolSim, MixedSeeds) {
  run_seeds("mixed", 1, 160);
}
TEST(PoolSim, ManagementSeeds) {
  run_seeds("manage", 1000, 80);
}
TEST(PoolSim, IoSeeds) {
  run_seeds("io", 2000, 40);
}
TEST(PoolSim, FaultSeeds) {
  run_seeds("faults", 3000, 80);
}

TEST(PoolSim, SeedsOfLargeMaps) {
  run_seeds("groups", 4000, 20);
}

TEST(PoolSim, SeedsOfChangingSizes) {
  const auto sum = run_seeds("sizes", 5000, 100);
  EXPECT_GT(sum.resized, 1000U);
  EXPECT_GT(sum.grown, 200U);
}
TEST(PoolSim, SeedsOfChangingSizesOnFailingDisks) {
  const auto sum = run_seeds("sizefaults", 6000, 60);
  EXPECT_GT(sum.resized, 600U);
}
TEST(PoolSim, SeedsOfFullPools) {
  const auto sum = run_seeds("full", 7000, 80);
  EXPECT_GT(sum.refused_full, 150U);
  EXPECT_GT(sum.resized, 600U);
}
TEST(PoolSim, SeedsOfUnreadableSectors) {
  const auto sum = run_seeds("latent", 8000, 80);
  EXPECT_GT(sum.unreadable, 200U);
  EXPECT_GT(sum.failed_loads, 10U);
}
// Many, because they are short. With the others these are 2120 different stories, without counting
// the crash points below.
TEST(PoolSim, ManySmallSeeds) {
  run_seeds("small", 10'000, 600);
  const auto sum = run_seeds("smallsizes", 20'000, 820);
  EXPECT_GT(sum.resized, 1000U);
  EXPECT_GT(sum.grown, 300U);
}

void run_strictly(const char* workload, std::uint64_t first, std::uint64_t count) {
  std::uint64_t readings = 0;
  for (auto seed = first; seed < first + count; ++seed) {
    const auto result = run(workload, seed, {}, false, true);
    EXPECT_EQ(result.failure, "") << result.story << "\nrepeat: bin/sim --strict --workload "
                                  << workload << " --seed " << seed << " --verbose";
    readings += result.order_readings;
  }
  EXPECT_GE(readings, count);  // the power of a few fails before there is a pool
}

// What a power cut would have to hit by chance (order_watch.h).
TEST(StrictPoolSim, EveryWriteIsInOrder) {
  run_strictly("small", 1, 40);
  run_strictly("manage", 1, 4);
  run_strictly("mixed", 1, 4);
  run_strictly("groups", 1, 1);
  run_strictly("smallsizes", 1, 40);
  run_strictly("sizes", 1, 2);
  run_strictly("full", 1, 2);
}

// A killed process leaves changes in the disk's cache that nobody flushed. The next one saw them,
// built upon them without a barrier, and a power cut then took away what it stood on.
TEST(StrictPoolSim, FixedBugBuildingOnWhatAKilledProcessLeftInTheCache) {
  run_strictly("manage", 11, 1);
  run_strictly("mixed", 11, 1);
  run_strictly("mixed", 20, 1);
}

void cut_everywhere(const char* workload, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const auto whole = run(workload, seed, 1'000'000'000);
    expect_passed(whole, workload, seed, 1'000'000'000);
    ASSERT_GT(whole.first_generation_ios, 20U);
    for (std::uint64_t cut = 1; cut <= whole.first_generation_ios; ++cut) {
      expect_passed(run(workload, seed, cut), workload, seed, cut);
      expect_passed(run(workload, seed, cut, true), workload, seed, cut, true);
    }
  }
}

TEST(PoolSim, EveryCrashPointOfSmallStories) {
  cut_everywhere("small", 1, 6);
  cut_everywhere("smallsizes", 1, 6);
}

// A volume kept the list of pages that the load had found; after its metadata had moved, deleting
// it freed pages (and then clusters) of others.
TEST(PoolSim, FixedBugPagesOfARecoveredVolumeFreedTwice) {
  for (const std::uint64_t seed : {2, 17, 22, 27, 48, 57}) {
    expect_passed(run("manage", seed), "manage", seed);
  }
  for (const std::uint64_t seed : {26, 58}) expect_passed(run("small", seed), "small", seed);
}

// A kill right after a power cut, before everything was read again: the check took what the cut had
// taken for data that the kill must not lose. Seeds of two of those stories.
TEST(PoolSim, FixedBugAKillSoonAfterAPowerCutWasTakenForALoss) {
  expect_passed(run("mixed", 132), "mixed", 132);
  expect_passed(run("faults", 3011), "faults", 3011);
}

// A power cut took away a pool that a killed creation had left in the cache; the check held it for
// acknowledged because it had been seen.
TEST(PoolSim, FixedBugAPoolSeenInTheCacheWasTakenForAcknowledged) {
  expect_passed(run("full", 1'009'258), "full", 1'009'258);
  expect_passed(run("io", 1'061'249), "io", 1'061'249);
}

// A failed write could not take back the copy of a root; a second change of the same volume that
// had waited for the first then wrote another copy and tore the root: two copies, and none to be
// trusted.
TEST(PoolSim, FixedBugAWaitingChangeWroteBesideAFailedOne) {
  expect_passed(run("sizefaults", 1'069'647), "sizefaults", 1'069'647);
}

TEST(PoolSim, ASeedIsOneStory) {
  const auto first = run("mixed", 42), second = run("mixed", 42);
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_EQ(first.writes, second.writes);
  EXPECT_NE(first.trace_hash, run("mixed", 43).trace_hash);
}

TEST(PoolSim, NoticesADiskThatLiesAboutSyncs) {
  unsigned noticed = 0;
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    PoolSimOptions options;
    options.seed = seed;
    options.lying_disk = true;
    noticed += !PoolSim(options).run().failure.empty();
  }
  EXPECT_GT(noticed, 3U);
}

}  // namespace
}  // namespace capstan::sim
