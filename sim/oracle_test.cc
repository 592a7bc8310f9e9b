// Why this file exists: the oracle must accept what a correct disk may show and refuse everything
// else; a check that accepts too much would make every simulation pass.
#include "sim/oracle.h"

#include <gtest/gtest.h>

namespace capstan::sim {
namespace {

std::vector<std::uint8_t> sector(std::uint32_t replica, std::uint64_t number, Value value) {
  std::vector<std::uint8_t> bytes(kSector);
  fill_sector(bytes, replica, number, value);
  return bytes;
}

TEST(SectorOracle, ARunningNodeShowsTheLastWrite) {
  SectorOracle oracle(7, 4);
  EXPECT_EQ(oracle.check(2, sector(7, 2, 0)), "");
  oracle.end(oracle.begin(2, 1, 1, false), true);
  oracle.end(oracle.begin(2, 1, 2, false), true);
  EXPECT_EQ(oracle.check(2, sector(7, 2, 2)), "");
  EXPECT_NE(oracle.check(2, sector(7, 2, 1)), "");
  EXPECT_NE(oracle.check(2, sector(7, 2, 0)), "");
  EXPECT_NE(oracle.check(2, sector(7, 3, 2)), "");  // the right write in the wrong place
  EXPECT_NE(oracle.check(2, sector(8, 2, 2)), "");  // another replica's
}

TEST(SectorOracle, FlushedDataNeverGoesBack) {
  SectorOracle oracle(1, 1);
  oracle.end(oracle.begin(0, 1, 1, false), true);
  oracle.flush_ended(oracle.flush_begins());
  oracle.end(oracle.begin(0, 1, 2, false), true);
  const auto pending = oracle.begin(0, 1, 3, false);
  (void)pending;
  for (const Value value : {1U, 2U, 3U}) {
    auto copy = oracle;
    EXPECT_EQ(copy.check_survivor(0, sector(1, 0, value)), "") << value;
    EXPECT_EQ(copy.history(0), 1U);
    EXPECT_EQ(copy.check(0, sector(1, 0, value)), "");
  }
  EXPECT_NE(oracle.check_survivor(0, sector(1, 0, 0)), "");
  EXPECT_NE(oracle.check_survivor(0, sector(1, 0, 4)), "");
}

TEST(SectorOracle, AFlushCoversOnlyWhatWasAcknowledgedBefore) {
  SectorOracle oracle(1, 1);
  const auto late = oracle.begin(0, 1, 1, false);
  const auto begun = oracle.flush_begins();
  oracle.end(late, true);
  oracle.flush_ended(begun);
  EXPECT_EQ(oracle.check_survivor(0, sector(1, 0, 0)), "");
}

TEST(SectorOracle, UnmappedAndFailedMayBeOldOrNew) {
  SectorOracle oracle(1, 1);
  oracle.end(oracle.begin(0, 1, 1, false), true);
  oracle.end(oracle.begin(0, 1, 0, true), true);    // unmap
  oracle.end(oracle.begin(0, 1, 2, false), false);  // failed
  oracle.flush_ended(oracle.flush_begins());
  for (const Value value : {0U, 1U, 2U}) EXPECT_EQ(oracle.check(0, sector(1, 0, value)), "");
  EXPECT_NE(oracle.check(0, sector(1, 0, 3)), "");
}

TEST(SectorOracle, AKillLosesNothingAcknowledgedAndMakesNothingDurable) {
  SectorOracle oracle(1, 1);
  oracle.end(oracle.begin(0, 1, 1, false), true);
  const auto in_flight = oracle.begin(0, 1, 2, false);
  (void)in_flight;
  oracle.process_killed();
  EXPECT_EQ(oracle.check(0, sector(1, 0, 1)), "");
  EXPECT_EQ(oracle.check(0, sector(1, 0, 2)), "");
  EXPECT_NE(oracle.check(0, sector(1, 0, 0)), "");
  EXPECT_EQ(oracle.check_survivor(0, sector(1, 0, 0)), "");  // the power failed after all
}

TEST(SectorOracle, TornSectorsAreNamed) {
  auto torn = sector(1, 0, 5);
  const auto other = sector(1, 0, 6);
  std::copy(other.begin() + 256, other.end(), torn.begin() + 256);
  SectorOracle oracle(1, 1);
  oracle.end(oracle.begin(0, 1, 5, false), true);
  oracle.end(oracle.begin(0, 1, 6, false), true);
  EXPECT_NE(oracle.check_survivor(0, torn).find("torn"), std::string::npos);
  EXPECT_EQ(describe_sector(sector(3, 9, 4)), "write 4 to sector 9 of replica 3");
  EXPECT_EQ(describe_sector(std::vector<std::uint8_t>(kSector, 1)), "bytes that no write made");
}

}  // namespace
}  // namespace capstan::sim
