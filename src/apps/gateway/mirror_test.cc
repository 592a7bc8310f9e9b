// Why this file exists: what a gateway shows and when: never a state that has a gap, never an older
// one than asked for, nothing while the link is down; and what watchers hear of it.
#include "apps/gateway/mirror.h"

#include <gtest/gtest.h>

#include "core/sim_env.h"

namespace capstan::gateway {
namespace {

using monitor::v1::StateChange;
using What = model::StateModel::What;
using Event = model::StateModel::Event;

constexpr std::uint64_t kEpoch = 77;

StateChange whole(std::uint64_t rev, std::initializer_list<const char*> pools,
                  std::uint64_t epoch = kEpoch) {
  StateChange change;
  change.set_epoch(epoch);
  change.set_rev(rev);
  change.set_full(true);
  for (const char* name : pools) change.add_pools()->set_name(name);
  return change;
}
StateChange step(std::uint64_t base, std::uint64_t rev, const char* pool = nullptr,
                 std::uint64_t used = 0) {
  StateChange change;
  change.set_epoch(kEpoch);
  change.set_base_rev(base);
  change.set_rev(rev);
  if (!pool) return change;
  auto* added = change.add_pools();
  added->set_name(pool);
  added->set_used(used);
  return change;
}
std::string names(const Mirror& mirror) {
  std::string all;
  for (const auto& [key, held] : mirror.model().objects()) all += key.id + " ";
  return all;
}

TEST(Mirror, ShowsNothingBeforeTheWholeModelCame) {
  Mirror mirror;
  EXPECT_FALSE(mirror.serves(""));
  EXPECT_EQ(mirror.since(), "");
  EXPECT_EQ(mirror.apply(step(0, 1, "p")).error().code, Code::kDataLoss);
  EXPECT_FALSE(mirror.in_sync());
  EXPECT_EQ(names(mirror), "");
  EXPECT_FALSE(mirror.subscribe({What::kPool}));
}

TEST(Mirror, FollowsStepByStep) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a", "b"})));
  EXPECT_EQ(mirror.since(), "77-5");
  ASSERT_TRUE(mirror.apply(step(5, 9, "c")));
  EXPECT_EQ(names(mirror), "a b c ");
  StateChange gone = step(9, 10);
  gone.add_removed_pools("a");
  gone.add_removed_pools("never there");
  ASSERT_TRUE(mirror.apply(gone));
  EXPECT_EQ(names(mirror), "b c ");
  ASSERT_TRUE(mirror.apply(step(10, 10)));  // a heartbeat
  EXPECT_EQ(mirror.revision(), "77-10");
}

TEST(Mirror, AnElementThatDoesNotFollowDropsTheModel) {
  for (const StateChange& wrong : {step(6, 9, "c"), step(4, 9, "c"), step(5, 4, "c")}) {
    Mirror mirror;
    ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
    EXPECT_EQ(mirror.apply(wrong).error().code, Code::kDataLoss);
    EXPECT_FALSE(mirror.serves(""));
    EXPECT_EQ(mirror.since(), "") << "the whole model is asked for";
    EXPECT_EQ(names(mirror), "");
  }
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
  StateChange other = step(5, 6, "c");
  other.set_epoch(kEpoch + 1);
  EXPECT_EQ(mirror.apply(other).error().code, Code::kDataLoss);
}

TEST(Mirror, AWholeModelReplacesWhatWasThere) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a", "b"})));
  ASSERT_TRUE(mirror.apply(whole(1, {"b", "c"}, kEpoch + 1)));
  EXPECT_EQ(names(mirror), "b c ");
  EXPECT_EQ(mirror.revision(), "78-1");
}

TEST(Mirror, ServesWhatIsAsNewAsAskedFor) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
  for (const char* yes : {"", "77-5", "77-4", "77-0"}) EXPECT_TRUE(mirror.serves(yes)) << yes;
  for (const char* no : {"77-6", "78-1", "76-5", "77", "77-", "-5", "x-y", "77-5x", "77--5"}) {
    EXPECT_FALSE(mirror.serves(no)) << no;
  }
}

TEST(Mirror, AfterAWriteTheNodeIsAskedUntilItWasHeardOf) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
  mirror.expect_change("");
  EXPECT_FALSE(mirror.serves(""));
  EXPECT_TRUE(mirror.in_sync()) << "watchers go on";
  ASSERT_TRUE(mirror.apply(step(5, 6, "b")));
  EXPECT_TRUE(mirror.serves(""));
}

// An element that the node sent before the write must not be taken for the write's.
TEST(Mirror, AfterAWriteWithARevisionTheMirrorHasToReachIt) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
  mirror.expect_change("77-7");
  mirror.expect_change("77-6");  // the answers may overtake each other
  ASSERT_TRUE(mirror.apply(step(5, 6, "b")));
  EXPECT_FALSE(mirror.serves(""));
  ASSERT_TRUE(mirror.apply(step(6, 7, "c")));
  EXPECT_TRUE(mirror.serves(""));
  mirror.expect_change("77-7");
  EXPECT_TRUE(mirror.serves("")) << "it was there before the answer";
  mirror.expect_change("77-9");
  ASSERT_TRUE(mirror.apply(whole(1, {"c"}, kEpoch + 1)));
  EXPECT_TRUE(mirror.serves("")) << "a node that started anew knows all that was written";
}

TEST(Mirror, KnowsHowFarTheNodeIsOnlyWhenItSays) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
  EXPECT_FALSE(mirror.knows_progress());
  StateChange said = step(5, 6);
  said.mutable_progress()->set_state("starting");
  said.mutable_progress()->set_total_pools(2);
  ASSERT_TRUE(mirror.apply(said));
  EXPECT_TRUE(mirror.knows_progress());
  EXPECT_EQ(names(mirror), "a  ") << "it comes last and has no name";
  ASSERT_TRUE(mirror.apply(whole(1, {"a"}, kEpoch + 1)));
  EXPECT_FALSE(mirror.knows_progress()) << "another node, which does not say";
}

TEST(Mirror, ALostLinkKeepsTheModelForItsReturn) {
  Mirror mirror;
  ASSERT_TRUE(mirror.apply(whole(5, {"a"})));
  mirror.lose({Code::kUnavailable, 0, "gone", {}});
  EXPECT_FALSE(mirror.serves(""));
  EXPECT_EQ(mirror.since(), "77-5");
  ASSERT_TRUE(mirror.apply(step(5, 5)));  // nothing happened meanwhile
  EXPECT_TRUE(mirror.serves("77-5"));
  EXPECT_EQ(names(mirror), "a ");
}

core::Task<void> watch(Mirror* mirror) {
  EXPECT_TRUE(mirror->apply(whole(5, {"a"})));
  auto subscription = mirror->subscribe({What::kPool});
  EXPECT_TRUE(subscription);
  if (!subscription) co_return;
  auto& changes = **subscription;
  auto change = changes.try_next();
  EXPECT_TRUE(change && change->synced && change->event == Event::kSnapshot);
  EXPECT_TRUE(mirror->apply(step(5, 6, "b")));
  EXPECT_TRUE(mirror->apply(step(6, 8, "a", 100)));
  EXPECT_TRUE(mirror->apply(step(8, 9, "a", 200)));
  change = changes.try_next();
  EXPECT_TRUE(change && change->event == Event::kCreated && change->rev == 6);
  change = changes.try_next();
  EXPECT_TRUE(change && change->event == Event::kChanged && change->rev == 9);
  if (change) EXPECT_EQ(change->object.pool->used(), 200U);
  EXPECT_FALSE(changes.try_next());
  EXPECT_TRUE(mirror->apply(step(9, 10, "c")));
  mirror->lose({Code::kUnavailable, 0, "connection reset", {}});
  const auto ended = co_await changes.next({}, 0);
  EXPECT_FALSE(ended) << "what nobody can go on with does not begin";
  if (!ended) {
    EXPECT_EQ(ended.error().code, Code::kUnavailable);
    EXPECT_NE(ended.error().message.find("connection reset"), std::string::npos);
  }
  EXPECT_EQ(mirror->model().watchers(), 0U);
}
TEST(Mirror, WatchersHearChangesAndAreBrokenOff) {
  core::SimWorld world(1);
  Mirror mirror;
  world.run(watch(&mirror));
}

}  // namespace
}  // namespace capstan::gateway
