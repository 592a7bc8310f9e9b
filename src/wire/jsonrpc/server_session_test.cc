// Why this file exists: connections that no proper client makes, and what the vectors cannot say:
// half-close, back-pressure, floods, death in the middle, the 65th connection, states, allow-list.
#include "wire/jsonrpc/server_session.h"

#include <gtest/gtest.h>

#include "rpc/interceptors/refused_testing.h"
#include "wire/jsonrpc/jsonrpc_testing.h"

namespace capstan::wire::jsonrpc::testing {
namespace {

using core::Task;

std::string call(std::string_view method, int id, std::string_view params = {}) {
  std::string text = R"({"jsonrpc":"2.0","method":")" + std::string(method) + "\"";
  if (!params.empty()) text += ",\"params\":" + std::string(params);
  return text + ",\"id\":" + std::to_string(id) + "}";
}
std::string slow(int id, int milliseconds) {
  return call("bdev_get_bdevs", id,
              R"({"name":"zz","timeout":)" + std::to_string(milliseconds) + "}");
}
std::string notice(int id) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + ",\"result\":\"NOTICE\"}\n";
}
std::string error(int id, int code, std::string_view message) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"error":{"code":)" +
         std::to_string(code) + ",\"message\":\"" + std::string(message) + "\"}}\n";
}

Task<void> check_answers(TestWorld& world) {
  auto client = co_await world.connect();
  co_await client->send(call("log_get_level", 1));
  EXPECT_EQ(co_await client->lines(1), notice(1));
  co_await client->close();
}

Task<void> half_close(TestWorld& world) {
  auto client = co_await world.connect();
  co_await client->send(slow(1, 700) + call("log_get_level", 2) + "{\"method\":\"cut of");
  client->half_close();
  co_await client->until_ended();
  EXPECT_EQ(client->received, notice(2) + error(1, -110, "Connection timed out"));
  co_await client->close();
}

TEST(JsonRpcSession, HalfCloseAnswersWhatIsOutstanding) {
  TestWorld world;
  world.run([](TestWorld& w) { return half_close(w); });
  EXPECT_EQ(world.service.ended, 2);
}

Task<void> peer_credentials(TestWorld& world) {
  co_await check_answers(world);
  EXPECT_TRUE(world.service.last.peer.uid);
  EXPECT_EQ(world.service.last.wire, "jsonrpc");
}

TEST(JsonRpcSession, CallsKnowTheirPeer) {
  TestWorld world;
  world.run([](TestWorld& w) { return peer_credentials(w); });
}

Task<void> die(TestWorld& world) {
  auto cut = co_await world.connect();
  co_await cut->send(slow(1, 60'000) + R"({"method":"log_get_le)");
  (void)co_await core::sleep_for(core::kSecond);
  EXPECT_EQ(world.server->calls_in_flight(), 1U);
  co_await cut->close();
  // Nobody can tell it from a half-close, so the call goes on; its answer then goes nowhere.
  co_await check_answers(world);
  (void)co_await core::sleep_for(70 * core::kSecond);
  EXPECT_EQ(world.server->calls_in_flight(), 0U);
  EXPECT_EQ(world.server->connections(), 0U);
  EXPECT_EQ(world.service.started, world.service.ended);
}

TEST(JsonRpcSession, ClientThatDiesInTheMiddle) {
  TestWorld world;
  world.run([](TestWorld& w) { return die(w); });
}

TEST(JsonRpcSession, LogsAndMetricsHearOfRefusals) {
  rpc::testing::HeardRefusals heard;
  TestWorld world({}, nullptr, limits::kJsonRpcConnections, &heard.refused);
  world.run([](TestWorld& in) -> Task<void> {
    auto client = co_await in.connect();
    co_await client->send(call("nope", 1) + R"({"jsonrpc":"2.0","id":2})" +
                          R"({"jsonrpc":"2.0","id":3,"method":"bdev_get_bdevs","params":{"x":1}})" +
                          call("log_get_level", 4) + call("bdev_get_bdevs", 5));
    co_await client->lines(5);
    co_await client->close();
  });
  EXPECT_TRUE(heard.ended("spdk.Bdev/GetBdevs", "jsonrpc", "INVALID_ARGUMENT")) << heard.text();
  for (const char* code : {"UNIMPLEMENTED", "INVALID_ARGUMENT"}) {
    EXPECT_TRUE(heard.unknown("jsonrpc", code)) << heard.text();
  }
  EXPECT_EQ(heard.records.count("call_failed", "wire=jsonrpc"), 1);
  EXPECT_EQ(heard.records.count("request_refused", "asked=nope wire=jsonrpc"), 1);
}

// A client that asks for much and reads nothing.
Task<void> stop_reading(TestWorld& world) {
  world.service.level = std::string(100'000, 'x');
  auto deaf = co_await world.connect();
  deaf->stop_reading();
  std::string many;
  for (int i = 0; i < 500; ++i) many += call("log_get_level", i);
  core::Scope scope;
  scope.spawn([](RawClient* client, std::string bytes) -> Task<void> {
    co_await client->send(bytes);
  }(deaf.get(), many));
  (void)co_await core::sleep_for(10 * core::kSecond);
  const int started = world.service.started;
  EXPECT_GT(started, 5);
  EXPECT_LT(started, 100) << "more was asked of the node than the client would read";
  auto other = co_await world.connect();  // nobody else is harmed
  co_await other->send(call("nope", 1));
  EXPECT_EQ(co_await other->lines(1), error(1, -32601, "Method not found"));
  co_await other->close();
  deaf->keep = false;
  deaf->read_again();
  (void)co_await core::sleep_for(600 * core::kSecond);
  co_await scope.join();
  EXPECT_EQ(world.service.started, 500);
  EXPECT_GT(deaf->received_bytes, 500U * 100'000U);
  co_await deaf->close();
}

TEST(JsonRpcSession, ClientThatStopsReadingPausesItself) {
  TestWorld world;
  world.run([](TestWorld& w) { return stop_reading(w); });
}

// Calls that run already when the client stops reading may bring more than it will take.
Task<void> too_much(TestWorld& world) {
  world.service.level = std::string(20U << 20, 'x');
  auto deaf = co_await world.connect();
  deaf->stop_reading();
  std::string batch;
  for (int i = 0; i < 8; ++i) batch += call("log_get_level", i);
  co_await deaf->send(batch);
  (void)co_await core::sleep_for(10 * core::kSecond);
  EXPECT_EQ(world.server->connections(), 0U);
  world.service.level = "NOTICE";
  co_await deaf->close();
  co_await check_answers(world);
}

TEST(JsonRpcSession, UnreadAnswersAreBounded) {
  TestWorld world;
  world.run([](TestWorld& w) { return too_much(w); });
}

Task<void> large_answers(TestWorld& world) {
  auto client = co_await world.connect();
  world.service.level = std::string((32U << 20) + 1, 'x');
  co_await client->send(call("log_get_level", 1));
  EXPECT_EQ(co_await client->lines(1), error(1, -32603, "Internal error"));
  // A batch is one answer; what no longer fits it becomes an error, under its own id.
  world.service.level = std::string(20U << 20, 'x');
  client->keep = false;
  co_await client->send("[" + call("log_get_level", 1) + "," + call("log_get_level", 2) + "]");
  co_await client->lines(2);
  EXPECT_GT(client->received_bytes, 20U << 20);
  EXPECT_LT(client->received_bytes, 21U << 20);
  co_await client->close();
}

TEST(JsonRpcSession, AnswersAreBounded) {
  TestWorld world;
  world.run([](TestWorld& w) { return large_answers(w); });
}

// Calls that do not end: the session stops reading at its limit, whatever the client sends.
Task<void> flood(TestWorld& world) {
  auto client = co_await world.connect();
  std::string many;
  for (int i = 0; i < 4000; ++i) many += slow(i, 50'000);
  core::Scope scope;
  scope.spawn([](RawClient* c, std::string bytes) -> Task<void> { co_await c->send(bytes); }(
                                                      client.get(), many));
  (void)co_await core::sleep_for(10 * core::kSecond);
  EXPECT_EQ(world.server->calls_in_flight(), limits::kJsonRpcCallsInFlight);
  co_await check_answers(world);
  (void)co_await core::sleep_for(200 * core::kSecond);
  co_await scope.join();
  EXPECT_EQ(std::ranges::count(client->received, '\n'), 4000);
  co_await client->close();
}

TEST(JsonRpcSession, FloodOfSlowCallsIsBounded) {
  TestWorld world;
  world.run([](TestWorld& w) { return flood(w); });
}

Task<void> discard_flood(TestWorld& world) {
  auto client = co_await world.connect();
  co_await client->send("oops");
  EXPECT_EQ(co_await client->lines(1),
            "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse "
            "error\"}}\n");
  for (int i = 0; i < 100; ++i) {
    if (!co_await client->send(std::string(10'000, 'x'))) break;
    (void)co_await core::sleep_for(50 * core::kMillisecond);
  }
  EXPECT_EQ(world.server->connections(), 0U) << "a client that goes on is not waited for";
  co_await client->close();
}

TEST(JsonRpcSession, WhoGoesOnAfterGarbageIsCut) {
  TestWorld world;
  world.run([](TestWorld& w) { return discard_flood(w); });
}

Task<void> one_too_many(TestWorld& world) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 70; ++i) {
    clients.push_back(co_await world.connect());
    co_await clients.back()->send(call("log_get_level", i));
  }
  (void)co_await core::sleep_for(core::kSecond);
  EXPECT_EQ(world.server->connections(), 64U);
  for (std::size_t i = 0; i < 70; ++i) {
    EXPECT_EQ(clients[i]->received, i < 64 ? notice(static_cast<int>(i)) : "") << i;
  }
  for (std::size_t i = 0; i < 6; ++i) {
    co_await clients[i]->close();
    EXPECT_EQ(co_await clients[64 + i]->lines(1), notice(static_cast<int>(64 + i)));
  }
  for (std::size_t i = 6; i < 70; ++i) co_await clients[i]->close();
}

TEST(JsonRpcServer, TheSixtyFifthConnectionWaitsItsTurn) {
  TestWorld world;
  world.run([](TestWorld& w) { return one_too_many(w); });
}

Task<void> stop_with_calls(TestWorld& world, std::unique_ptr<RawClient>& client) {
  client = co_await world.connect();
  co_await client->send(slow(1, 500) + slow(2, 3'600'000));
  (void)co_await core::sleep_for(100 * core::kMillisecond);
}

TEST(JsonRpcServer, StopWaitsForCallsAsLongAsItSays) {
  TestWorld world;
  std::unique_ptr<RawClient> client;
  world.run([&](TestWorld& w) { return stop_with_calls(w, client); });
  EXPECT_EQ(world.service.ended, 2);
  EXPECT_EQ(world.service.cancelled, 1);
  world.world.run(client->close());
  EXPECT_EQ(client->received, error(1, -110, "Connection timed out"));
}

Task<void> states(TestWorld& world, bool& started) {
  auto client = co_await world.connect();
  const std::string before =
      "Method may only be called after framework is initialized using framework_start_init RPC.";
  co_await client->send(slow(1, 10));
  EXPECT_EQ(co_await client->lines(1), error(1, -1, before));
  co_await client->send(call("bdev_set_options", 2));
  EXPECT_EQ(co_await client->lines(1), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":true}\n");
  co_await client->send(call("rpc_get_methods", 3, R"({"current":true})"));
  EXPECT_EQ(co_await client->lines(1),
            "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[\"bdev_set_options\",\"framework_start_init"
            "\",\"framework_wait_init\",\"log_get_level\",\"rpc_get_methods\"]}\n");
  co_await client->send(call("framework_wait_init", 4));
  co_await client->send(call("log_get_level", 5));
  EXPECT_EQ(co_await client->lines(1), notice(5));
  co_await client->send(call("framework_start_init", 6));
  co_await client->send(call("framework_start_init", 7));
  const auto answers = co_await client->lines(3);
  EXPECT_TRUE(started);
  for (const char* one : {"\"id\":4,\"result\":true}", "\"id\":6,\"result\":true}",
                          "\"id\":7,\"error\":{\"code\":-114,"}) {
    EXPECT_NE(answers.find(one), std::string::npos) << one << " in " << answers;
  }
  co_await client->send(call("framework_start_init", 8));
  EXPECT_NE((co_await client->lines(1))
                .find("\"code\":-1,\"message\":\"Method may only be called "
                      "before"),
            std::string::npos);
  co_await client->send(call("framework_wait_init", 9));
  EXPECT_EQ(co_await client->lines(1), "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":true}\n");
  co_await client->close();
}

Task<Result<void>> start_slowly(bool& started) {
  (void)co_await core::sleep_for(core::kSecond);
  started = true;
  co_return Result<void>();
}

TEST(JsonRpcServer, StartupAndRuntime) {
  bool started = false;
  TestWorld world({}, [&started] { return start_slowly(started); });
  world.run([&](TestWorld& w) { return states(w, started); });
}

Task<void> allowed_only(TestWorld& world) {
  auto client = co_await world.connect();
  co_await client->send(call("log_get_level", 1) + slow(2, 10) + call("rpc_get_methods", 3));
  EXPECT_EQ(co_await client->lines(3),
            notice(1) + error(2, -32601, "Method not found") +
                "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":[\"log_get_level\",\"rpc_get_methods\"]}"
                "\n");
  co_await client->close();
}

TEST(JsonRpcServer, AllowList) {
  TestWorld world({"log_get_level", "rpc_get_methods"});
  world.run([](TestWorld& w) { return allowed_only(w); });
}

}  // namespace
}  // namespace capstan::wire::jsonrpc::testing
