// Why this file exists: a unary call costs coroutine frames and nothing else. Frames come from the
// frame pool; after one call to fill it, a further one must not allocate at all. Sanitizer builds
// have no pool, so this is a program of the release build (rpc_allocation_test).
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "core/sync.h"
#include "node/node.pb.h"
#include "rpc/directory.h"
#include "rpc/interceptors/access.h"
#include "rpc/interceptors/authenticate.h"
#include "rpc/interceptors/concurrency.h"
#include "rpc/interceptors/deadline.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "rpc/interceptors/rate_limit.h"
#include "rpc/interceptors/trace.h"

namespace {
std::size_t allocations = 0;  // the program has one thread
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace capstan::rpc {
namespace {

using node::v1::GetConfigRequest;

constexpr const char* kConfig = "capstan.node.v1.NodeRpc/GetConfig";

struct Service {
  core::Task<Result<node::v1::Config>> config(Call&, const GetConfigRequest&) {
    co_return node::v1::Config();
  }
};

core::Task<void> count(const Directory& directory, core::Nanos deadline, std::size_t& counted,
                       bool& right) {
  const auto& entry = *directory.find(kConfig);
  Call call;
  call.deadline = deadline;
  call.wire = "grpc";
  call.peer.address = "10.0.0.1:5000";
  call.peer.listener = "127.0.0.1:10124";
  const GetConfigRequest request;
  node::v1::Config response;
  for (int round = 0; round < 3; ++round) {  // the last round counts
    const std::size_t before = allocations;
    const auto result = co_await directory.run(entry, call, request, response);
    counted = allocations - before;
    right = result.has_value();
  }
}

using core::NoLog;
std::uint64_t no_clock(const void*) {
  return 0;
}

// The chain of a node that was started without flags, and rate limits for known clients.
TEST(Allocation, AUnaryCallMakesNone) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  core::Metrics metrics;
  Service service;
  Directory directory;
  ASSERT_TRUE(directory.declare(GetConfigRequest::descriptor()->file()->service(0)));
  ASSERT_TRUE(bind_unary(directory, kConfig, service, &Service::config));
  NoLog records;
  const Acl acl;
  RateLimits limits;
  limits.client = Rate::parse("1000").value();
  ASSERT_TRUE(limits.add_class("admin=1000"));
  directory.add_interceptor(std::make_unique<LogInterceptor>(
      core::Log(records, core::LogLevel::kWarn, no_clock, nullptr)));
  directory.add_interceptor(std::make_unique<TraceInterceptor>());
  directory.add_interceptor(std::make_unique<MetricsInterceptor>(metrics));
  directory.add_interceptor(
      std::make_unique<AuthenticateInterceptor>(std::nullopt, [] { return std::uint64_t{0}; }));
  directory.add_interceptor(std::make_unique<AccessInterceptor>(std::vector<AccessRule>(), &acl));
  directory.add_interceptor(std::make_unique<RateLimitInterceptor>(limits));
  directory.add_interceptor(std::make_unique<DeadlineInterceptor>());
  directory.add_interceptor(std::make_unique<ConcurrencyInterceptor>());
  const std::size_t before = allocations;
  std::size_t counted = 1;
  bool right = false;
  world.run(count(directory, 0, counted, right));
  EXPECT_TRUE(right);
  EXPECT_EQ(counted, 0U);
  EXPECT_GT(allocations, before);  // the counter works
  // What fires at its end, and the timer's place among the others.
  world.run(count(directory, ~core::Nanos{0} >> 1, counted, right));
  EXPECT_TRUE(right);
  EXPECT_EQ(counted, 2U);
}

core::Task<void> wake(core::Event& event) {
  event.notify_all();
  co_return;
}

core::Task<void> wait_again_and_again(std::size_t& counted) {
  core::Event event;
  for (int round = 0; round < 3; ++round) {
    core::Scope scope;
    scope.spawn(wake(event));
    const std::size_t before = allocations;
    co_await event.wait();
    counted = allocations - before;
    co_await scope.join();
  }
}

TEST(Allocation, WaitingAgainForAnEventMakesNone) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  std::size_t counted = 1;
  world.run(wait_again_and_again(counted));
  EXPECT_EQ(counted, 0U);
}

}  // namespace
}  // namespace capstan::rpc
