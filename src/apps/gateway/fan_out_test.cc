// Why this file exists: what thousands watch is made once: all watchers of one path get the same
// message, and the bytes that the first of them made of it; those whose wire cannot share get it
// as a message like any other.
#include <gtest/gtest.h>

#include <vector>

#include "apps/gateway/mirror.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "model/state_monitors.h"
#include "rpc/shared_message.h"

namespace capstan::gateway {
namespace {

using core::Task;
using monitor::v1::PoolChange;
using monitor::v1::ReplicaChange;
using monitor::v1::StateChange;
using Shared = std::shared_ptr<const rpc::SharedMessage>;

StateChange pools(std::uint64_t base, std::uint64_t rev, const char* name) {
  StateChange change;
  change.set_epoch(1);
  change.set_base_rev(base);
  change.set_rev(rev);
  change.set_full(base == 0);
  if (name) change.add_pools()->set_name(name);
  return change;
}

class Sharing final : public rpc::SharedSink {
 public:
  Task<Result<void>> send(const rpc::Message&) override {
    ++alone;
    co_return Result<void>();
  }
  Task<Result<void>> send_shared(Shared message) override {
    seen.push_back(std::move(message));
    co_return Result<void>();
  }
  int alone = 0;
  std::vector<Shared> seen;
};

class Plain final : public rpc::MessageSink {
 public:
  Task<Result<void>> send(const rpc::Message& message) override {
    seen.push_back(static_cast<const PoolChange&>(message));
    co_return Result<void>();
  }
  std::vector<PoolChange> seen;
};

Task<void> watch_pools(model::StateMonitors* monitors, core::CancelToken token,
                       rpc::MessageSink* sink) {
  rpc::Call call;
  call.token = std::move(token);
  const monitor::v1::MonitorPoolsRequest all;
  const auto ended = co_await monitors->pools(call, all, rpc::SharedAnswers<PoolChange>(*sink));
  EXPECT_EQ(ended.error().code, Code::kCancelled);
}
Task<void> watch_replicas(model::StateMonitors* monitors, core::CancelToken token,
                          rpc::MessageSink* sink) {
  rpc::Call call;
  call.token = std::move(token);
  const monitor::v1::MonitorReplicasRequest all;
  const auto ended =
      co_await monitors->replicas(call, all, rpc::SharedAnswers<ReplicaChange>(*sink));
  EXPECT_EQ(ended.error().code, Code::kCancelled);
}

Task<void> told_once() {
  Mirror mirror;
  EXPECT_TRUE(mirror.apply(pools(0, 5, "a")));
  model::StateMonitors monitors(mirror);
  Sharing first, second, replicas;
  Plain plain;
  core::Scope scope;
  scope.spawn(watch_pools(&monitors, scope.token(), &first));
  scope.spawn(watch_replicas(&monitors, scope.token(), &replicas));
  scope.spawn(watch_pools(&monitors, scope.token(), &second));
  scope.spawn(watch_pools(&monitors, scope.token(), &plain));
  EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  EXPECT_TRUE(mirror.apply(pools(5, 6, "b")));
  EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  scope.cancel();
  co_await scope.join();

  EXPECT_EQ(first.alone + second.alone, 0);
  EXPECT_EQ(first.seen.size(), 2U);
  EXPECT_EQ(second.seen.size(), 2U);
  EXPECT_EQ(plain.seen.size(), 2U);
  if (first.seen.size() != 2 || second.seen.size() != 2 || plain.seen.size() != 2) co_return;
  EXPECT_EQ(first.seen[1], second.seen[1]) << "made once";
  EXPECT_NE(first.seen[0], first.seen[1]);
  EXPECT_EQ(static_cast<const PoolChange&>(first.seen[1]->message()).pool().name(), "b");
  EXPECT_EQ(plain.seen[1].pool().name(), "b");
  // The same revision, but nothing to tell: of the right kind all the same.
  EXPECT_EQ(replicas.seen.size(), 1U);
  EXPECT_EQ(replicas.seen.at(0)->message().GetDescriptor(), ReplicaChange::descriptor());
}
TEST(FanOut, AChangeIsMadeIntoAMessageOnce) {
  core::SimWorld world(1);
  world.run(told_once());
}

TEST(FanOut, BytesAreMadeOnceForEachForm) {
  const rpc::SharedMessage message(std::make_unique<PoolChange>());
  int made = 0;
  const auto make = [&made]() -> Result<std::string> { return std::to_string(++made); };
  const int here = 0, there = 0;
  const auto one = message.bytes({&here, 0}, make), again = message.bytes({&here, 0}, make);
  ASSERT_TRUE(one && again);
  EXPECT_EQ(*one, *again) << "the same text, not an equal one";
  EXPECT_EQ(**message.bytes({&here, 1}, make), "2");
  EXPECT_EQ(**message.bytes({&there, 0}, make), "3");
  EXPECT_EQ(**message.bytes({&here, 0}, make), "1");
  const auto failing = []() -> Result<std::string> { return fail(Code::kInternal, "no"); };
  EXPECT_FALSE(message.bytes({&there, 1}, failing));
  EXPECT_EQ(**message.bytes({&there, 1}, make), "4") << "who failed leaves nothing behind";
}

}  // namespace
}  // namespace capstan::gateway
