// Why this file exists: the client half against the real server half.
#include "wire/jsonrpc/client.h"

#include <gtest/gtest.h>

#include "rpc/json_call.h"
#include "wire/jsonrpc/jsonrpc_testing.h"

namespace capstan::wire::jsonrpc::testing {
namespace {

using core::Task;

Task<std::unique_ptr<Client>> connect(TestWorld& world) {
  auto client = co_await Client::connect(world.env, world.address);
  EXPECT_TRUE(client);
  co_return *std::move(client);
}

Task<void> ask(Client* client, int milliseconds, int* place, int* order) {
  const auto reply = co_await client->call(
      "bdev_get_bdevs", R"({"name":"zz","timeout":)" + std::to_string(milliseconds) + "}");
  EXPECT_TRUE(reply && reply->failed && reply->code == -110);
  *place = (*order)++;
}

Task<void> calls(TestWorld& world) {
  auto client = co_await connect(world);
  const auto level = co_await client->call("log_get_level");
  EXPECT_TRUE(level && !level->failed);
  EXPECT_EQ(level->result, "\"NOTICE\"");
  int order = 0, first = -1, second = -1;
  core::Scope scope;
  scope.spawn(ask(client.get(), 500, &first, &order));
  scope.spawn(ask(client.get(), 100, &second, &order));
  co_await scope.join();
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, 0);

  const auto missing = co_await client->call("bdev_get_bdevs", R"({"name":"zz"})");
  EXPECT_TRUE(missing && missing->failed);
  const Error error = error_of(*missing);
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_EQ(error.sys_errno, ENODEV);
  EXPECT_EQ(error_of(*co_await client->call("nope")).code, Code::kUnimplemented);
  EXPECT_EQ(error_of(*co_await client->call("bdev_get_bdevs", R"({"nam":"zz"})")).code,
            Code::kInvalidArgument);
  co_await client->close();
}

TEST(JsonRpcClient, CallsEndInAnyOrder) {
  TestWorld world;
  world.run([](TestWorld& w) { return calls(w); });
}

Task<void> batches(TestWorld& world) {
  auto client = co_await connect(world);
  std::vector<ClientCall> list = {
      {"bdev_get_bdevs", R"({"name":"zz","timeout":50})"}, {"log_get_level", ""}, {"nope", ""}};
  const auto replies = co_await client->batch(list);
  EXPECT_TRUE(replies);
  if (replies) {
    EXPECT_EQ(replies->at(0).code, -110);
    EXPECT_EQ(replies->at(1).result, "\"NOTICE\"");
    EXPECT_EQ(replies->at(2).code, -32601);
  }
  EXPECT_TRUE(co_await client->notify("log_get_level"));
  EXPECT_TRUE(co_await client->notify("nope"));
  EXPECT_TRUE(co_await client->call("log_get_level"));
  EXPECT_TRUE(client->complaint());
  if (client->complaint()) EXPECT_EQ(client->complaint()->code, -32601);
  co_await client->close();
}

TEST(JsonRpcClient, BatchesAndNotifications) {
  TestWorld world;
  world.run([](TestWorld& w) { return batches(w); });
  EXPECT_EQ(world.service.started, 4);
}

Task<void> deadlines(TestWorld& world) {
  auto client = co_await connect(world);
  const auto late = co_await client->call("bdev_get_bdevs", R"({"name":"zz","timeout":5000})",
                                          core::Reactor::current()->now() + core::kSecond);
  EXPECT_TRUE(!late && late.error().code == Code::kDeadlineExceeded);
  (void)co_await core::sleep_for(10 * core::kSecond);  // the answer comes and is dropped
  EXPECT_TRUE(co_await client->call("log_get_level"));
  // The server goes in the middle of a call.
  core::Scope scope;
  scope.spawn([](TestWorld* w) -> Task<void> {
    (void)co_await core::sleep_for(core::kSecond);
    w->server->stop(0);
  }(&world));
  const auto lost = co_await client->call("bdev_get_bdevs", R"({"name":"zz","timeout":50000})");
  EXPECT_TRUE(!lost && lost.error().code == Code::kUnavailable);
  const auto after = co_await client->call("log_get_level");
  EXPECT_TRUE(!after && after.error().code == Code::kUnavailable);
  co_await scope.join();
  co_await client->close();
}

TEST(JsonRpcClient, DeadlinesAndLostConnections) {
  TestWorld world;
  world.run([](TestWorld& w) { return deadlines(w); });
}

// Where two codes are one on the wire, the one that the client takes it for.
Code as_told(Code code) {
  switch (code) {
    case Code::kOutOfRange: return Code::kInvalidArgument;
    case Code::kCancelled: return Code::kUnavailable;
    case Code::kUnauthenticated: return Code::kPermissionDenied;
    case Code::kUnknown: return Code::kInternal;
    default: return code;
  }
}

TEST(JsonRpcClient, CodesComeBackAsTheServerMeantThem) {
  for (int i = 1; i <= static_cast<int>(Code::kUnauthenticated); ++i) {
    const auto code = static_cast<Code>(i);
    const auto sent = rpc::json_rpc_error({code, 0, "why", {}});
    const Error error = error_of({true, sent.code, sent.message, {}});
    EXPECT_EQ(code_name(error.code), code_name(as_told(code))) << sent.code;
    EXPECT_EQ(error.message, "why");
  }
}

}  // namespace
}  // namespace capstan::wire::jsonrpc::testing
