// Why this file exists: what a forwarded call brings back, on a simulated network: the node's own
// answer and error untouched, and otherwise where on the way it ended, at every stage of a call.
#include "client/forward.h"

#include <gtest/gtest.h>

#include "wire/grpc/grpc_testing.h"

namespace capstan::client {
namespace {

using namespace wire::testing;  // NOLINT(google-build-using-namespace)
using core::kSecond;
using core::Task;

struct Hop {
  ForwardOptions options;
  std::vector<std::string> troubles;
  rpc::Call call;
  core::CancelSource client;
  MetadataList added = {{"x-forwarded-for", "1.2.3.4"}};

  Hop() {
    options.add_metadata = [this](const rpc::Call&, MetadataList& to) {
      to.insert(to.end(), added.begin(), added.end());
    };
    options.on_trouble = [this](const rpc::Call&, std::string_view reason, const Error&) {
      troubles.emplace_back(reason);
    };
    call.token = client.token();
  }
};

Task<Result<void>> check(TestWorld* world, Channel* channel, Hop* hop, std::string service,
                         HealthCheckResponse* response) {
  hop->call.operation = &world->directory.find(kUnary)->operation;
  HealthCheckRequest request;
  request.set_service(service);
  co_return co_await forward_unary(*channel, hop->options, hop->call, request, *response);
}

void expect_reason(const Result<void>& result, Code code, std::string_view reason) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code) << result.error().text();
  ASSERT_TRUE(result.error().details);
  EXPECT_EQ(result.error().details->domain, kGatewayDomain);
  EXPECT_EQ(result.error().details->reason, reason);
}

Task<void> unary_body(TestWorld& world, Channel& channel) {
  Hop hop;
  hop.call.metadata.request = {{"x-key", "value"},
                               {"user-agent", "curl"},
                               {"host", "gateway"},
                               {"x-min-rev", "1-2"},
                               {"authorization", "Bearer t"}};
  HealthCheckResponse response;
  const auto done = co_await check(&world, &channel, &hop, "x", &response);
  EXPECT_TRUE(done);
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  const auto& seen = world.service.last.metadata;
  EXPECT_EQ(seen.get("x-key"), "value");
  EXPECT_EQ(seen.get("authorization"), "Bearer t");
  EXPECT_EQ(seen.get("x-forwarded-for"), "1.2.3.4");
  EXPECT_EQ(seen.get("user-agent"), "capstan") << "this hop's own";
  EXPECT_EQ(seen.get("x-min-rev"), "");
  EXPECT_EQ(hop.call.metadata.trailers.at(0).first, "gtm-602");
}
Task<void> error_body(TestWorld& world, Channel& channel) {
  Hop hop;
  HealthCheckResponse response;
  const auto done = co_await check(&world, &channel, &hop, "missing", &response);
  EXPECT_EQ(done.error().code, Code::kNotFound);
  EXPECT_EQ(done.error().message, "service 'f\xC3\xBCr' not found");
  EXPECT_TRUE(!done.error().details || done.error().details->domain.empty());
  EXPECT_TRUE(!done.error().details || done.error().details->facts.empty());
  EXPECT_TRUE(hop.troubles.empty());
}
Task<void> late_body(TestWorld& world, Channel& channel) {
  Hop hop;
  hop.options.answer_timeout = 2 * kSecond;
  HealthCheckResponse response;
  expect_reason(co_await check(&world, &channel, &hop, "wait", &response), Code::kDeadlineExceeded,
                kUpstreamTimeout);
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.cancelled, 1);
  hop.options.answer_timeout = 1500 * core::kMillisecond;
  const auto named = co_await check(&world, &channel, &hop, "wait", &response);
  EXPECT_NE(named.error().text().find("1500ms, the gateway's --upstream-timeout"),
            std::string::npos)
      << named.error().text();
  // The client's own deadline is no trouble of the way.
  Hop own;
  own.options.answer_timeout = 20 * kSecond;
  own.call.deadline = channel.deadline_in(kSecond);
  const auto ended = co_await check(&world, &channel, &own, "wait", &response);
  EXPECT_EQ(ended.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(own.troubles.empty());
}
Task<void> cut_later(TestWorld* world) {
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  world->world.network().reset(world->server_env.address(), world->client_env.address());
}
Task<void> closed_body(TestWorld& world, Channel& channel) {
  Hop hop;
  HealthCheckResponse response;
  core::Scope scope;
  scope.spawn(cut_later(&world));
  expect_reason(co_await check(&world, &channel, &hop, "wait", &response), Code::kUnavailable,
                kUpstreamClosed);
  co_await scope.join();
  EXPECT_EQ(hop.troubles, std::vector<std::string>{"UPSTREAM_CLOSED"});
}
Task<void> leave_later(core::CancelSource* client) {
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  client->fire();
}
Task<void> left_body(TestWorld& world, Channel& channel) {
  Hop hop;
  HealthCheckResponse response;
  core::Scope scope;
  scope.spawn(leave_later(&hop.client));
  const auto ended = co_await check(&world, &channel, &hop, "wait", &response);
  EXPECT_EQ(ended.error().code, Code::kCancelled);
  EXPECT_TRUE(hop.troubles.empty());
  co_await scope.join();
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.cancelled, 1) << "the node's call was cancelled at once";
}
Task<void> refused_body(TestWorld& world, Channel&) {
  Channel nobody(world.client_env,
                 {.address = core::Address::tcp(world.server_env.address(), 4321)});
  for (int i = 0; i < 2; ++i) {  // the second while it waits to try again
    Hop hop;
    HealthCheckResponse response;
    expect_reason(co_await check(&world, &nobody, &hop, "x", &response), Code::kUnavailable,
                  kUpstreamRefused);
  }
  co_await nobody.close();
}

// --- streams ------------------------------------------------------------------------------------

struct One final : rpc::MessageSource {
  std::string service;
  bool given = false;
  Task<Result<bool>> next(Message& into) override {
    if (std::exchange(given, true)) co_return false;
    static_cast<HealthCheckRequest&>(into).set_service(service);
    co_return true;
  }
};
struct Broken final : rpc::MessageSource {
  Task<Result<bool>> next(Message&) override {
    co_return fail(Code::kInvalidArgument, "element 3 is no JSON");
  }
};
struct Count final : rpc::MessageSink {
  int messages = 0;
  Task<Result<void>> send(const Message&) override {
    ++messages;
    co_return Result<void>();
  }
};
Task<Result<void>> watch(TestWorld* world, Channel* channel, Hop* hop, rpc::MessageSource* source,
                         Count* sink, const char* operation = kEndless) {
  hop->call.operation = &world->directory.find(operation)->operation;
  co_return co_await forward(*channel, hop->options, hop->call, *source, *sink);
}

Task<void> stream_cut_body(TestWorld& world, Channel& channel) {
  Hop hop;
  hop.options.answer_timeout = kSecond / 2;  // endless answers may take longer than any limit
  One source;
  source.service = "slow";
  Count sink;
  core::Scope scope;
  scope.spawn(cut_later(&world));
  expect_reason(co_await watch(&world, &channel, &hop, &source, &sink), Code::kUnavailable,
                kUpstreamClosed);
  EXPECT_GT(sink.messages, 0);
  co_await scope.join();
}
Task<void> stream_left_body(TestWorld& world, Channel& channel) {
  Hop hop;
  One source;
  source.service = "silent";
  Count sink;
  core::Scope scope;
  scope.spawn(leave_later(&hop.client));
  const auto ended = co_await watch(&world, &channel, &hop, &source, &sink);
  EXPECT_EQ(ended.error().code, Code::kCancelled);
  EXPECT_TRUE(hop.troubles.empty());
  co_await scope.join();
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.cancelled, 1);
}
Task<void> source_body(TestWorld& world, Channel& channel) {
  Hop hop;
  Broken source;
  Count sink;
  const auto ended = co_await watch(&world, &channel, &hop, &source, &sink, kClientStream);
  EXPECT_EQ(ended.error().code, Code::kInvalidArgument);
  EXPECT_EQ(ended.error().message, "element 3 is no JSON") << "the client's mistake in its words";
  EXPECT_TRUE(hop.troubles.empty());
}

using Body = Task<void> (*)(TestWorld&, Channel&);
Task<void> with_channel(TestWorld& world, Body body) {
  Channel channel(world.client_env, {.address = world.address()});
  co_await body(world, channel);
  co_await channel.close();
}
void run(Body body) {
  TestWorld world;
  world.run([&](TestWorld& w) { return with_channel(w, body); });
}

TEST(Forward, AnswersAndMetadata) {
  run(unary_body);
}
TEST(Forward, TheNodesErrorsAreItsOwn) {
  run(error_body);
}
TEST(Forward, AnAnswerThatDoesNotBegin) {
  run(late_body);
}
TEST(Forward, ANodeThatLeavesDuringACall) {
  run(closed_body);
}
TEST(Forward, AClientThatLeavesDuringACall) {
  run(left_body);
}
TEST(Forward, NobodyThere) {
  run(refused_body);
}
TEST(Forward, ANodeThatLeavesDuringAStream) {
  run(stream_cut_body);
}
TEST(Forward, AClientThatLeavesDuringAStream) {
  run(stream_left_body);
}
TEST(Forward, AMistakeInTheRequestsIsTheClients) {
  run(source_body);
}

}  // namespace
}  // namespace capstan::client
