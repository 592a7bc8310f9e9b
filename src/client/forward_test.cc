// Why this file exists: what a forwarded call brings back, on a simulated network: the node's own
// answer and error untouched, and otherwise where on the way it ended, at every stage of a call.
#include "client/forward.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "rpc/announcing.h"
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
  hop.call.metadata.request = {{"x-key", "value"},   {"user-agent", "curl"},
                               {"host", "gateway"},  {"proxy-connection", "keep-alive"},
                               {"x-min-rev", "1-2"}, {"authorization", "Bearer t"}};
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
  EXPECT_EQ(seen.get("proxy-connection"), "");
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
Task<void> overdue_body(TestWorld& world, Channel& channel) {
  Hop hop;
  hop.options.answer_timeout = 300 * kSecond;
  HealthCheckResponse response;
  const auto done = co_await check(&world, &channel, &hop, "overdue", &response);
  EXPECT_EQ(done.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(done.error().message, "device 'x' did not appear");
  EXPECT_TRUE(!done.error().details || done.error().details->domain != kGatewayDomain);
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
struct Count : rpc::MessageSink {
  int messages = 0;
  Task<Result<void>> send(const Message&) override {
    ++messages;
    co_return Result<void>();
  }
};
struct Begun final : Count, rpc::Announcing {
  bool held = false;
  int released = 0;
  void hold_announcement() override { held = true; }
  void release_announcement() override { ++released; }
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

Task<void> watch_into(TestWorld* world, Channel* channel, Hop* hop, rpc::MessageSource* source,
                      Count* sink, Result<void>* ended) {
  *ended = co_await watch(world, channel, hop, source, sink);
}
Task<void> announce_body(TestWorld& world, Channel& channel) {
  Hop missing;
  One no;
  no.service = "missing";
  Begun never;
  const auto refused = co_await watch(&world, &channel, &missing, &no, &never);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  EXPECT_TRUE(never.held);
  EXPECT_EQ(never.released, 0) << "it never began";

  Hop hop;
  One source;
  source.service = "silent";
  Begun sink;
  Result<void> ended;
  core::Scope scope;
  world.world.network().partition(world.server_env.address(), world.client_env.address());
  scope.spawn(watch_into(&world, &channel, &hop, &source, &sink, &ended));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_TRUE(sink.held);
  EXPECT_EQ(sink.released, 0) << "the node has not answered";
  world.world.network().heal_all();
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(sink.released, 1);
  EXPECT_EQ(sink.messages, 0);
  hop.client.fire();
  co_await scope.join();
  EXPECT_EQ(ended.error().code, Code::kCancelled);
}

// A gateway's gRPC server in front of the node's, and a client of it.
Task<void> grpc_hop(TestWorld* world, Channel* node) {
  const ForwardOptions options;
  rpc::Directory directory;
  const auto* health = HealthCheckRequest::descriptor()->file()->FindServiceByName("Health");
  EXPECT_TRUE(directory.declare(health));
  EXPECT_TRUE(directory.bind_raw(kUnary, forward_unary_handler(*node, options)));
  EXPECT_TRUE(directory.bind_raw(kEndless, forward_handler(*node, options)));
  wire::GrpcServer server(world->client_env, directory, world->log, {});
  const auto address = core::Address::tcp(world->client_env.address(), 10126);
  EXPECT_TRUE(server.listen(address));
  core::Scope scope;
  scope.spawn(server.run());
  Channel channel(world->client_env, {.address = address});
  HealthCheckResponse response;  // so that there are connections
  EXPECT_TRUE(co_await channel.unary(kUnary, HealthCheckRequest(), response, {}));
  {
    world->world.network().partition(world->server_env.address(), world->client_env.address());
    auto call = co_await channel.open(kEndless, {});
    EXPECT_TRUE(call);
    HealthCheckRequest request;
    request.set_service("silent");
    EXPECT_TRUE(co_await (*call)->send(request));
    (*call)->finish_sending();
    bool begun = false;
    (*call)->when_answered([&begun] { begun = true; });
    EXPECT_TRUE(co_await core::sleep_for(kSecond));
    EXPECT_FALSE(begun) << "the node has not answered";
    world->world.network().heal_all();
    EXPECT_TRUE(co_await core::sleep_for(kSecond));
    EXPECT_TRUE(begun);
    const MetadataList with = {{"x-watch", "silent"}};
    EXPECT_EQ((*call)->headers(), with) << "the node's, which come before anything else";
  }
  co_await channel.close();
  server.stop(kSecond);
  co_await scope.join();
}
Task<void> grpc_body(TestWorld& world, Channel& channel) {
  co_await grpc_hop(&world, &channel);
}

// --- what a node takes from gateways
// --------------------------------------------------------------

Task<void> adopt_gateway(TestWorld* world, core::StreamListener* listener) {
  auto stream = co_await listener->accept();
  CAPSTAN_ASSERT(stream);
  world->server->adopt_gateway(*std::move(stream));
}
Task<void> gateway_limits(TestWorld* world) {
  auto address = world->address();
  address.port = 10125;
  auto listener = world->server_env.network().listen(address);
  CAPSTAN_ASSERT(listener);
  core::Scope scope;
  scope.spawn(adopt_gateway(world, listener->get()));
  Channel channel(world->client_env, {.address = address});
  HealthCheckResponse response;
  {  // one long header, and as many of them as HTTP/1.1 takes
    Hop hop;
    for (int i = 0; i < 98; ++i) {
      hop.call.metadata.request.emplace_back("x-" + std::to_string(i), std::string(150, 'v'));
    }
    hop.call.metadata.request.emplace_back("x-long", std::string(45U << 10, 'v'));
    const auto done = co_await check(world, &channel, &hop, "x", &response);
    EXPECT_TRUE(done) << done.error().text();
    EXPECT_EQ(world->service.last.metadata.get("x-long").size(), 45U << 10);
  }
  {  // more than any server takes: this call alone fails
    Hop hop;
    for (int i = 0; i < 5; ++i) {
      hop.call.metadata.request.emplace_back("x-long", std::string(50U << 10, 'v'));
    }
    EXPECT_FALSE(co_await check(world, &channel, &hop, "x", &response));
    Hop next;
    EXPECT_TRUE(co_await check(world, &channel, &next, "x", &response));
    EXPECT_TRUE(channel.connected());
  }
  Hop hop;
  EXPECT_TRUE(co_await check(world, &channel, &hop, std::string(9U << 20, 's'), &response));
  const auto large = co_await check(world, &channel, &hop, std::string(11U << 20, 's'), &response);
  EXPECT_EQ(large.error().code, Code::kResourceExhausted);
  co_await channel.close();
  co_await scope.join();
}

// Bytes that others hold are nothing that the client of a gateway did.
Task<void> busy_body(TestWorld& world, Channel& channel) {
  Hop hop;
  HealthCheckResponse response;
  const auto busy = co_await check(&world, &channel, &hop, std::string(2U << 20, 's'), &response);
  EXPECT_EQ(busy.error().code, Code::kUnavailable);
  EXPECT_TRUE(busy.error().details && busy.error().details->retry_after_ns != 0);
  EXPECT_TRUE(hop.troubles.empty());
  EXPECT_EQ(world.server->counters().gateway_request_bytes, 0U);
}

using Body = Task<void> (*)(TestWorld&, Channel&);
Task<void> with_channel(TestWorld& world, Body body) {
  Channel channel(world.client_env, {.address = world.address()});
  co_await body(world, channel);
  co_await channel.close();
}
void run(Body body, const wire::ServerOptions& options = {}) {
  TestWorld world(options);
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
TEST(Forward, ANodesOwnDeadlineIsNoTroubleOfTheWay) {
  run(overdue_body);
}
TEST(Forward, AStreamIsAnnouncedWhenTheNodeHasBegun) {
  run(announce_body);
}
TEST(Forward, GrpcClientsSeeTheNodesHeaders) {
  run(grpc_body);
}
TEST(Forward, ANodeTakesTheRequestsOfManyClients) {
  wire::ServerOptions options;
  options.gateway_message_bytes = 10U << 20;
  TestWorld world(options);
  world.run([](TestWorld& w) { return gateway_limits(&w); });
}
TEST(Forward, TooManyBytesOfAllAreToBeTriedAgain) {
  wire::ServerOptions options;
  options.from_gateway = true;
  options.all_request_bytes = 1U << 20;
  run(busy_body, options);
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
