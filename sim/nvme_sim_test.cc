// Why this file exists: the NVMe simulation as a test: a few hundred seeds, and proof that it
// notices what it is there for: disks whose syncs are lies, and reservations that are forgotten.
#include "sim/nvme_sim.h"

#include <gtest/gtest.h>

namespace capstan::sim {
namespace {

NvmeSimResult run(std::uint64_t seed) {
  NvmeSimOptions options;
  options.seed = seed;
  auto result = NvmeSim(options).run();
  EXPECT_EQ(result.failure, "") << result.story
                                << "\nrepeat: bin/sim --workload nvme --verbose --seed " << seed;
  return result;
}

void run_seeds(std::uint64_t first, std::uint64_t count) {
  NvmeSimResult sum;
  for (auto seed = first; seed < first + count; ++seed) {
    const auto result = run(seed);
    sum.cuts += result.cuts, sum.kills += result.kills, sum.restarts += result.restarts;
    sum.reconnects += result.reconnects, sum.partitions += result.partitions;
    sum.swaps += result.swaps, sum.unknown_swaps += result.unknown_swaps;
    sum.reservations += result.reservations, sum.conflicts += result.conflicts;
    sum.writes += result.writes, sum.reads += result.reads;
  }
  // The stories must really happen.
  EXPECT_GT(sum.cuts, count / 3);
  EXPECT_GT(sum.kills, count / 3);
  EXPECT_GT(sum.restarts, count / 3);
  EXPECT_GT(sum.reconnects, count);
  EXPECT_GT(sum.partitions, count / 2);
  EXPECT_GT(sum.swaps, count);
  EXPECT_GT(sum.unknown_swaps, 0U);
  EXPECT_GT(sum.reservations, count);
  EXPECT_GT(sum.conflicts, count / 2);
  EXPECT_GT(sum.writes, 10 * count);
  EXPECT_GT(sum.reads, 10 * count);
}

TEST(NvmeSim, Seeds) {
  run_seeds(1, 100);
}
TEST(NvmeSim, MoreSeeds) {
  run_seeds(1000, 100);
}

TEST(NvmeSim, ASeedIsAStory) {
  for (const std::uint64_t seed : {3, 8, 21}) EXPECT_EQ(run(seed).trace_hash, run(seed).trace_hash);
}

unsigned failures(NvmeSimOptions options) {
  unsigned failed = 0;
  for (options.seed = 1; options.seed <= 40; ++options.seed) {
    failed += !NvmeSim(options).run().failure.empty();
  }
  return failed;
}
TEST(NvmeSim, NoticesADiskThatLies) {
  EXPECT_GT(failures({.lying_disk = true}), 5U);
}
TEST(NvmeSim, NoticesReservationsThatAreForgotten) {
  EXPECT_GT(failures({.forget_ptpl = true}), 5U);
}

}  // namespace
}  // namespace capstan::sim
