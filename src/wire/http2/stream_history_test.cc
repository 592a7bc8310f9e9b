// Why this file exists: what is remembered of the latest streams, and that it is no more than that.
#include "wire/http2/stream_history.h"

#include <gtest/gtest.h>

#include <limits>

namespace capstan::wire {
namespace {

using Fate = StreamHistory::Fate;

TEST(StreamHistory, RemembersWhatThePeerDid) {
  StreamHistory history;
  EXPECT_EQ(history.of(1), Fate::kUnknown);
  history.opened(1);
  history.opened(7);
  history.opened(3);  // too late: 7 has closed it
  EXPECT_EQ(history.of(1), Fate::kUsed);
  EXPECT_EQ(history.of(3), Fate::kSkipped);
  EXPECT_EQ(history.of(5), Fate::kSkipped);
  EXPECT_EQ(history.of(7), Fate::kUsed);
  EXPECT_EQ(history.of(9), Fate::kUnknown);
  history.ended(1);
  history.reset(7);
  history.opened(9);
  EXPECT_EQ(history.of(1), Fate::kEnded);
  EXPECT_EQ(history.of(7), Fate::kReset);
  EXPECT_EQ(history.of(9), Fate::kUsed);
}

TEST(StreamHistory, ForgetsTheOldest) {
  StreamHistory history;
  for (std::int32_t id = 1; id <= 2 * StreamHistory::kRemembered + 1; id += 2) {
    history.opened(id);
    history.ended(id);
  }
  EXPECT_EQ(history.of(1), Fate::kUnknown);
  EXPECT_EQ(history.of(3), Fate::kEnded);
  const auto last = std::numeric_limits<std::int32_t>::max();
  history.opened(last);
  EXPECT_EQ(history.of(3), Fate::kUnknown);
  EXPECT_EQ(history.of(last), Fate::kUsed);
  EXPECT_EQ(history.of(last - 2), Fate::kSkipped);
}

TEST(StreamHistory, TheFirstStreamMayBeTheLast) {
  StreamHistory history;
  const auto last = std::numeric_limits<std::int32_t>::max();
  history.opened(last);
  EXPECT_EQ(history.of(last), Fate::kUsed);
  EXPECT_EQ(history.of(last - 2), Fate::kSkipped);
}

TEST(StreamHistory, KnowsTheClientsStreamsOnly) {
  StreamHistory history;
  for (const std::int32_t id : {0, 2, -1, -7}) {
    history.opened(id);
    history.ended(id);
    history.reset(id);
    EXPECT_EQ(history.of(id), Fate::kUnknown);
  }
  history.opened(1);
  EXPECT_EQ(history.of(1), Fate::kUsed);
}

}  // namespace
}  // namespace capstan::wire
