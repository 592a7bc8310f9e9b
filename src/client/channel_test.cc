// Why this file exists: both halves of gRPC against each other on a simulated network with short
// reads and latency: every shape of call, and every way a call, a client or a server can end.
#include "client/channel.h"

#include <gtest/gtest.h>

#include "client/forward.h"
#include "wire/grpc/grpc_testing.h"
#include "wire/tls/tls_testing.h"

namespace capstan::client {
namespace {

using namespace wire::testing;  // NOLINT(google-build-using-namespace)
using core::kSecond;
using core::Task;

using Body = Task<void> (*)(TestWorld&, Channel&);

Task<void> with_channel(TestWorld& world, Body body, ChannelOptions options) {
  Channel channel(world.client_env, std::move(options));
  co_await body(world, channel);
  co_await channel.close();
}

void run(TestWorld& world, Body body, ChannelOptions options = {}) {
  options.address = world.address();
  world.run([&](TestWorld& w) { return with_channel(w, body, options); });
}
void run(Body body) {
  TestWorld world;
  run(world, body);
}

HealthCheckRequest check_of(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

Task<void> look_after(core::Nanos delay, const std::uint64_t& value, std::uint64_t& seen) {
  EXPECT_TRUE(co_await core::sleep_for(delay));
  seen = value;
}

Task<void> unary_body(TestWorld& world, Channel& channel) {
  CallOptions options;
  options.deadline = channel.deadline_in(kSecond);
  options.metadata = {{"x-key", "value"},
                      {"blob-bin", std::string("\0\x01\xFF", 3)},
                      {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}};
  HealthCheckResponse response;
  MetadataList trailers;
  const auto request = check_of("x");
  const auto called = co_await channel.unary(kUnary, request, response, options, &trailers);
  EXPECT_TRUE(called) << called.error().text();
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  EXPECT_EQ(trailers, (MetadataList{{"gtm-602", "0"}, {"echo-bin", std::string("\0\xFF", 2)}}));
  const auto& seen = world.service.last;
  EXPECT_EQ(seen.metadata.get("x-key"), "value");
  EXPECT_EQ(seen.metadata.get("blob-bin"), std::string_view("\0\x01\xFF", 3));
  EXPECT_EQ(seen.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(seen.peer.address.substr(0, 3), "10.");
  EXPECT_GT(seen.deadline, 0U);
}
TEST(Channel, Unary) {
  run(unary_body);
}

Task<void> error_body(TestWorld&, Channel& channel) {
  HealthCheckResponse response;
  MetadataList trailers;
  const auto request = check_of("missing");
  const auto called = co_await channel.unary(kUnary, request, response, {}, &trailers);
  EXPECT_FALSE(called);
  EXPECT_EQ(called.error().code, Code::kNotFound);
  EXPECT_NE(called.error().message.find("f\xC3\xBCr"), std::string::npos);
  EXPECT_EQ(trailers.at(0), (std::pair<std::string, std::string>("gtm-602", "0")));
  CAPSTAN_ASSERT(called.error().details);
  EXPECT_EQ(called.error().details->facts,
            (std::vector<std::pair<std::string, std::string>>{{"operation", kUnary}}));
}
TEST(Channel, ErrorsArriveWithMessageAndTrailers) {
  run(error_body);
}

Task<void> unknown_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  const HealthCheckRequest request;
  auto called = co_await channel.unary("grpc.health.v1.Health/Chek", request, response, {});
  EXPECT_EQ(called.error().code, Code::kUnimplemented);
  EXPECT_NE(called.error().message.find("Chek"), std::string::npos);
  EXPECT_NE(called.error().message.find("Watch"), std::string::npos);
  called = co_await channel.unary("no.Such/Method", request, response, {});
  EXPECT_EQ(called.error().code, Code::kUnimplemented);
  EXPECT_NE(called.error().message.find("no.Such"), std::string::npos);
  EXPECT_EQ(world.service.started, 0);
}
TEST(Channel, UnknownOperationsAreUnimplemented) {
  run(unknown_body);
}

Task<void> deadline_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  CallOptions options;
  options.deadline = channel.deadline_in(kSecond);
  const auto request = check_of("wait");
  const auto called = co_await channel.unary(kUnary, request, response, options);
  EXPECT_EQ(called.error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.cancelled, 1);
  EXPECT_NE(world.service.cancel_reason, Code::kOk);
  EXPECT_TRUE(channel.connected());
}
TEST(Channel, DeadlineEndsBothSides) {
  run(deadline_body);
}

Task<void> fire_later(core::CancelSource* source) {
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  source->fire();
}
Task<void> cancel_body(TestWorld& world, Channel& channel) {
  core::CancelSource source;
  core::Scope scope;
  scope.spawn(fire_later(&source));
  CallOptions options;
  options.token = source.token();
  HealthCheckResponse response;
  const auto request = check_of("wait");
  const auto called = co_await channel.unary(kUnary, request, response, options);
  EXPECT_EQ(called.error().code, Code::kCancelled);
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.cancel_reason, Code::kCancelled);
  co_await scope.join();
}
TEST(Channel, CancelReachesTheHandler) {
  run(cancel_body);
}

Task<void> one_call(Channel* channel, int* done) {
  HealthCheckResponse response;
  const auto request = check_of(std::string(300, 'x'));
  const auto called = co_await channel->unary(kUnary, request, response, {});
  EXPECT_TRUE(called) << called.error().text();
  ++*done;
}
Task<void> many_body(TestWorld& world, Channel& channel) {
  core::Scope scope;
  int done = 0;
  for (int i = 0; i < 2000; ++i) scope.spawn(one_call(&channel, &done));
  co_await scope.join();
  EXPECT_EQ(done, 2000);
  EXPECT_EQ(world.server->counters().connections_opened, 1U);
}
TEST(Channel, ManyCallsShareOneConnection) {
  run(many_body);
}

Task<void> import_body(TestWorld&, Channel& channel) {
  auto call = co_await channel.stream<ImportImageRequest, ImportImageResponse>(kClientStream, {});
  EXPECT_TRUE(call);
  ImportImageRequest part;
  // Together far more than both windows.
  part.mutable_data()->set_data(std::string(1U << 20, 'x'));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(co_await call->send(part));
  const auto answer = co_await call->answer();
  EXPECT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->size_bytes(), 20U);
  EXPECT_EQ(answer->data_bytes(), 20U << 20);
}
TEST(Channel, ClientStream) {
  run(import_body);
}

Task<void> slow_import_body(TestWorld& world, Channel& channel) {
  world.service.pause = kSecond;
  auto call = co_await channel.stream<ImportImageRequest, ImportImageResponse>(kClientStream, {});
  ImportImageRequest part;
  part.mutable_data()->set_data(std::string(256U << 10, 'x'));
  const core::Nanos begun = core::Reactor::current()->now();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(co_await call->send(part));
  // 5 MiB: the windows and the queue take less than 3, the handler one part each second.
  EXPECT_GT(core::Reactor::current()->now() - begun, 8 * kSecond);
  EXPECT_TRUE(co_await call->answer());
}
TEST(Channel, SlowHandlersSlowTheirClients) {
  run(slow_import_body);
}

Task<void> stop_body(TestWorld&, Channel& channel) {
  auto call = co_await channel.stream<ImportImageRequest, ImportImageResponse>(kClientStream, {});
  ImportImageRequest part;
  part.mutable_header()->set_replica("stop");
  Result<void> sent;
  for (int i = 0; i < 1000 && sent; ++i) {
    sent = co_await call->send(part);
    EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  }
  EXPECT_EQ(sent.error().code, Code::kFailedPrecondition);
  EXPECT_EQ((co_await call->answer()).error().code, Code::kFailedPrecondition);
}
TEST(Channel, HandlersMayEndAClientStreamEarly) {
  run(stop_body);
}

Task<void> export_body(TestWorld& world, Channel& channel) {
  ExportImageRequest request;
  request.set_offset(1U << 20);
  request.set_length(20);
  auto call = co_await channel.server_stream<ExportImageRequest, ExportImageResponse>(kServerStream,
                                                                                      request, {});
  // Nothing is taken yet: the server may run ahead by windows and queues only.
  EXPECT_TRUE(co_await core::sleep_for(10 * kSecond));
  EXPECT_LT(world.service.sent, 6);
  ExportImageResponse part;
  int count = 0;
  while (true) {
    const auto got = co_await call->next(part);
    EXPECT_TRUE(got);
    if (!got || !*got) break;
    EXPECT_EQ(part.data().data().size(), 1U << 20);
    ++count;
  }
  EXPECT_EQ(count, 20);
  request.set_replica("broken");
  request.set_length(2);
  call = co_await channel.server_stream<ExportImageRequest, ExportImageResponse>(kServerStream,
                                                                                 request, {});
  EXPECT_TRUE(*co_await call->next(part));
  EXPECT_TRUE(*co_await call->next(part));
  EXPECT_EQ((co_await call->next(part)).error().code, Code::kDataLoss);
}
TEST(Channel, ServerStreamAndItsBackPressure) {
  run(export_body);
}

Task<void> bidirectional_body(TestWorld&, Channel& channel) {
  auto call = co_await channel.stream<ServerReflectionRequest, ServerReflectionResponse>(
      kBidirectional, {});
  ServerReflectionRequest request;
  ServerReflectionResponse response;
  for (int i = 0; i < 50; ++i) {
    request.set_host(std::to_string(i));
    EXPECT_TRUE(co_await call->send(request));
    EXPECT_TRUE(*co_await call->next(response));
    EXPECT_EQ(response.valid_host(), request.host());
  }
  call->finish_sending();
  EXPECT_FALSE(*co_await call->next(response));
}
TEST(Channel, Bidirectional) {
  run(bidirectional_body);
}

Task<void> leave_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  {
    auto call = co_await channel.server_stream<HealthCheckRequest, HealthCheckResponse>(
        kEndless, check_of("slow"), {});
    EXPECT_TRUE(*co_await call->next(response));
  }  // destroyed: RST_STREAM
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.cancelled, 1);
  EXPECT_EQ(world.server->calls_in_flight(), 0U);
}
TEST(Channel, LeavingAnEndlessCallEndsItsHandler) {
  run(leave_body);
}

Task<void> lost_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  auto call = co_await channel.server_stream<HealthCheckRequest, HealthCheckResponse>(
      kEndless, check_of("slow"), {});
  EXPECT_TRUE(*co_await call->next(response));
  world.world.network().reset(world.server_env.address(), world.client_env.address());
  Result<bool> got = true;
  while (got && *got) got = co_await call->next(response);
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  EXPECT_TRUE(co_await core::sleep_for(2 * kSecond));
  EXPECT_EQ(world.service.cancelled, 1);
  const auto request = check_of("again");
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, {}));
  EXPECT_EQ(world.server->counters().connections_opened, 2U);
}
TEST(Channel, LostConnectionsEndCallsAndComeBack) {
  run(lost_body);
}

Task<void> silent_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  const auto request = check_of("x");
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, {}));
  world.world.network().partition(world.server_env.address(), world.client_env.address());
  EXPECT_TRUE(co_await core::sleep_for(330 * kSecond));
  EXPECT_FALSE(channel.connected());
  EXPECT_EQ(world.server->connections(), 0U);
  world.world.network().heal_all();
}
TEST(Channel, KeepAliveFindsDeadPeers) {
  run(silent_body);
}

Task<void> drain_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  auto endless = co_await channel.server_stream<HealthCheckRequest, HealthCheckResponse>(
      kEndless, check_of("slow"), {});
  auto import = co_await channel.stream<ImportImageRequest, ImportImageResponse>(kClientStream, {});
  ImportImageRequest part;
  EXPECT_TRUE(co_await import->send(part));
  EXPECT_TRUE(*co_await endless->next(response));
  world.server->stop(60 * kSecond);
  Result<bool> got = true;
  while (got && *got) got = co_await endless->next(response);
  EXPECT_EQ(got.error().code, Code::kUnavailable);
  EXPECT_NE(got.error().message.find("shutting down"), std::string::npos);
  EXPECT_TRUE(co_await core::sleep_for(5 * kSecond));
  EXPECT_TRUE(co_await import->send(part));  // in flight: may finish
  const auto answer = co_await import->answer();
  EXPECT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->size_bytes(), 2U);
  const auto request = check_of("new");
  EXPECT_EQ((co_await channel.unary(kUnary, request, response, {})).error().code,
            Code::kUnavailable);
}
TEST(Channel, ShutdownDrainsAndCutsEndlessCalls) {
  run(drain_body);
}

Task<void> gzip_requests_body(TestWorld& world, Channel& channel) {
  CallOptions options;
  options.gzip = true;
  auto request = check_of("");
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
      1000, std::string(100'000, 'x'));
  HealthCheckResponse response;
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, options));
  const auto small = check_of("x");
  EXPECT_TRUE(co_await channel.unary(kUnary, small, response, options));
  // What the server holds of a request while its call runs is what came over the wire.
  request.set_service("wait");
  options.deadline = channel.deadline_in(3 * kSecond);
  core::Scope scope;
  std::uint64_t held = 0;
  scope.spawn(look_after(kSecond, world.server->counters().request_bytes, held));
  EXPECT_FALSE(co_await channel.unary(kUnary, request, response, options));
  co_await scope.join();
  EXPECT_GT(held, 0U);
  EXPECT_LT(held, 2000U);
  EXPECT_EQ(world.service.started, 3);
}
TEST(Channel, RequestsAreCompressedWhenAsked) {
  run(gzip_requests_body);
}

Task<void> age_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  const auto request = check_of("x");
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, {}));
  auto endless = co_await channel.server_stream<HealthCheckRequest, HealthCheckResponse>(
      kEndless, check_of("slow"), {});
  EXPECT_TRUE(*co_await endless->next(response));
  EXPECT_TRUE(co_await core::sleep_for(68 * kSecond));
  // Still there for what runs on it; new calls go elsewhere.
  EXPECT_EQ(world.server->connections(), 1U);
  EXPECT_EQ(world.service.cancelled, 0);
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, {}));
  EXPECT_EQ(world.server->counters().connections_opened, 2U);
  EXPECT_EQ(world.server->connections(), 2U);
  EXPECT_TRUE(co_await core::sleep_for(30 * kSecond));
  EXPECT_EQ(world.server->connections(), 1U);
  EXPECT_EQ(world.service.cancelled, 1);
  Result<bool> got = true;
  while (got && *got) got = co_await endless->next(response);
  EXPECT_EQ(got.error().code, Code::kUnavailable);
}
TEST(Channel, OldConnectionsAreReplacedWithoutLosingCalls) {
  wire::ServerOptions options;
  options.connection.max_age = 60 * kSecond;
  TestWorld world(options);
  run(world, age_body);
}

Task<void> two_sessions_body(TestWorld& world, Channel& channel) {
  auto import = co_await channel.stream<ImportImageRequest, ImportImageResponse>(kClientStream, {});
  ImportImageRequest part;
  EXPECT_TRUE(co_await import->send(part));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  world.server->stop(3600 * kSecond);  // the import may go on for as long as it likes
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  wire::GrpcServer next(world.server_env, world.directory, world.log, {});
  EXPECT_TRUE(next.listen(world.address()));
  core::Scope scope;
  scope.spawn(next.run());
  HealthCheckResponse response;
  const auto request = check_of("x");
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, {}));
  EXPECT_EQ(world.server->connections() + next.connections(), 2U);
  const core::Nanos begun = core::Reactor::current()->now();
  co_await channel.close();
  EXPECT_LT(core::Reactor::current()->now() - begun, 5 * kSecond);
  EXPECT_FALSE(co_await import->send(part));
  next.stop(kSecond);
  co_await scope.join();
}
TEST(Channel, CloseEndsDrainingSessionsToo) {
  run(two_sessions_body);
}

Task<void> patience_body(TestWorld& world, Channel& channel) {
  auto call = co_await channel.stream<ServerReflectionRequest, ServerReflectionResponse>(
      kBidirectional, {});
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.started, 1);
  world.server->stop(3 * kSecond);
  const core::Nanos begun = core::Reactor::current()->now();
  ServerReflectionResponse response;
  EXPECT_EQ((co_await call->next(response)).error().code, Code::kUnavailable);
  const core::Nanos waited = core::Reactor::current()->now() - begun;
  EXPECT_GT(waited, 2 * kSecond);
  EXPECT_LT(waited, 5 * kSecond);
}
TEST(Channel, ShutdownPatienceIsBounded) {
  run(patience_body);
}

Task<void> refused_body(TestWorld& world, Channel& channel) {
  world.server->stop(kSecond);
  EXPECT_TRUE(co_await core::sleep_for(2 * kSecond));
  HealthCheckResponse response;
  const auto request = check_of("x");
  auto called = co_await channel.unary(kUnary, request, response, {});
  EXPECT_EQ(called.error().code, Code::kUnavailable);
  EXPECT_NE(called.error().message.find("10.0.0.1:10124"), std::string::npos);
  CallOptions patient;
  patient.wait_for_ready = true;
  patient.deadline = channel.deadline_in(30 * kSecond);
  called = co_await channel.unary(kUnary, request, response, patient);
  EXPECT_EQ(called.error().code, Code::kDeadlineExceeded);
}
TEST(Channel, NobodyThereIsUnavailable) {
  run(refused_body);
}

Task<void> begin_later(core::Nanos delay, TestWorld* world, wire::GrpcServer* server) {
  EXPECT_TRUE(co_await core::sleep_for(delay));
  EXPECT_TRUE(server->listen(world->address()));
  co_await server->run();
}
Task<void> patient_body(TestWorld& world, Channel& channel) {
  world.server->stop(kSecond);
  EXPECT_TRUE(co_await core::sleep_for(2 * kSecond));
  wire::GrpcServer next(world.server_env, world.directory, world.log, {});
  core::Scope scope;
  scope.spawn(begin_later(10 * kSecond, &world, &next));
  CallOptions patient;
  patient.wait_for_ready = true;
  patient.deadline = channel.deadline_in(60 * kSecond);
  HealthCheckResponse response;
  const auto request = check_of("x");
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, patient));
  EXPECT_EQ(world.service.started, 1);
  next.stop(kSecond);
  co_await scope.join();
}
TEST(Channel, WhoeverWaitsIsServedOnceTheServerIsThere) {
  run(patient_body);
}

// The client's own limit, for what comes as it is and for what unpacks to more.
Task<void> large_answer_body(TestWorld& world, Channel& channel) {
  ExportImageRequest request;
  request.set_length(1);
  for (const std::uint64_t bytes : {99'000U, 101'000U}) {
    request.set_offset(bytes);
    auto call = co_await channel.server_stream<ExportImageRequest, ExportImageResponse>(
        kServerStream, request, {});
    ExportImageResponse part;
    const auto got = co_await call->next(part);
    EXPECT_EQ(got.has_value(), bytes < 100'000);
    if (!got) EXPECT_EQ(got.error().code, Code::kResourceExhausted) << got.error().text();
  }
  EXPECT_EQ(world.service.started, 2);
  EXPECT_EQ(world.server->counters().connections_opened, 1U);
}
TEST(Channel, AnswersAreBounded) {
  for (const bool gzip : {false, true}) {
    wire::ServerOptions server;
    server.compress_answers = gzip;
    TestWorld world(server);
    ChannelOptions options;
    options.receive_message_bytes = 100'000;
    run(world, large_answer_body, options);
  }
}

Task<void> large_body(TestWorld&, Channel& channel) {
  HealthCheckResponse response;
  auto request = check_of(std::string((4U << 20) - 100, 'x'));
  EXPECT_TRUE(co_await channel.unary(kUnary, request, response, {}));
  request = check_of(std::string((4U << 20) + 1, 'x'));
  EXPECT_EQ((co_await channel.unary(kUnary, request, response, {})).error().code,
            Code::kResourceExhausted);
}
TEST(Channel, RequestsAreBounded) {
  run(large_body);
}

Task<void> gzip_body(TestWorld& world, Channel& channel) {
  // Uncompressed, what lies beyond the windows would keep the server waiting for us.
  ExportImageRequest request;
  request.set_offset(1U << 20);
  request.set_length(10);
  auto call = co_await channel.server_stream<ExportImageRequest, ExportImageResponse>(kServerStream,
                                                                                      request, {});
  EXPECT_TRUE(co_await core::sleep_for(10 * kSecond));
  EXPECT_EQ(world.service.sent, 10);
  ExportImageResponse part;
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(*co_await call->next(part));
    EXPECT_EQ(part.data().data(), std::string(1U << 20, 'd'));
  }
  EXPECT_FALSE(*co_await call->next(part));
  HealthCheckResponse small;
  const auto check = check_of("x");
  EXPECT_TRUE(co_await channel.unary(kUnary, check, small, {}));
}
TEST(Channel, GzipAnswers) {
  wire::ServerOptions options;
  options.compress_answers = true;
  TestWorld world(options);
  run(world, gzip_body);
}

TEST(Channel, TlsBothWays) {
  const wire::testing::TestAuthority authority("ca");
  const auto node = authority.issue("node-1");
  const auto user = authority.issue("user");
  TestWorld world;
  world.server_tls =
      *wire::TlsContext::server({node.certificate_pem, node.key_pem, authority.pem(), true});
  ChannelOptions options;
  options.tls = *wire::TlsContext::client({authority.pem(), user.certificate_pem, user.key_pem});
  run(world, export_body, options);  // the address 10.0.0.1 is in the certificate
}

Task<void> refused_tls_body(TestWorld& world, Channel& channel) {
  HealthCheckResponse response;
  const auto request = check_of("x");
  const auto called = co_await channel.unary(kUnary, request, response, {});
  EXPECT_FALSE(called);
  if (!called) {
    EXPECT_EQ(called.error().code, Code::kUnavailable);
    EXPECT_NE(called.error().message.find("TLS"), std::string::npos) << called.error().message;
  }
  EXPECT_EQ(world.service.started, 0);
}
TEST(Channel, TlsRefusesWrongNames) {
  const wire::testing::TestAuthority authority("ca");
  const auto node = authority.issue("node-1");
  TestWorld world;
  world.server_tls = *wire::TlsContext::server({node.certificate_pem, node.key_pem, "", true});
  ChannelOptions options;
  options.tls = *wire::TlsContext::client({authority.pem(), "", ""});
  options.tls_host = "node-2";
  run(world, refused_tls_body, options);
}

// The second world serves by forwarding every call to the first.
struct Gateway {
  TestWorld* backend;
  Body body;
};
Task<void> gateway_body(TestWorld& world, Channel& channel) {
  co_await bidirectional_body(world, channel);
  auto early = co_await channel.stream<ServerReflectionRequest, ServerReflectionResponse>(
      kBidirectional, {});
  ServerReflectionRequest stop;
  stop.set_host("stop");
  EXPECT_TRUE(co_await early->send(stop));
  ServerReflectionResponse response;
  // Not half-closed by us: the error must come through all the same.
  EXPECT_EQ((co_await early->next(response)).error().code, Code::kAborted);
  co_await error_body(world, channel);
  co_await import_body(world, channel);
  co_await leave_body(world, channel);
}
Task<void> through_gateway(TestWorld& world) {
  core::SimEnv gateway_env(world.world);
  Channel backend(world.client_env, {.address = world.address()});
  const ForwardOptions forwarding;
  rpc::Directory directory;
  for (const char* name : {"grpc.health.v1.Health", "capstan.node.v1.ImageRpc",
                           "grpc.reflection.v1.ServerReflection"}) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    EXPECT_TRUE(directory.declare(service));
    for (int i = 0; i < service->method_count(); ++i) {
      EXPECT_TRUE(directory.bind_raw(std::string(name) + "/" + service->method(i)->name(),
                                     forward_handler(backend, forwarding)));
    }
  }
  wire::GrpcServer server(gateway_env, directory, world.log, {});
  const auto address = server.listen(core::Address::tcp(gateway_env.address(), 1));
  EXPECT_TRUE(address);
  core::Scope scope;
  scope.spawn(server.run());
  core::SimEnv user_env(world.world);
  Channel channel(user_env, {.address = *address});
  co_await gateway_body(world, channel);
  co_await channel.close();
  server.stop(kSecond);
  co_await scope.join();
  co_await backend.close();
}
TEST(Channel, IsUsableAsAService) {
  TestWorld world;
  world.run([](TestWorld& w) { return through_gateway(w); });
}

// Connections that break after any number of bytes: nothing hangs, nothing crashes, and the error
// says that it was the connection.
Task<void> breaking_body(TestWorld& world, Channel& channel) {
  for (std::uint64_t bytes = 1; bytes < 1200; ++bytes) {
    world.world.network().reset(world.server_env.address(), world.client_env.address());
    EXPECT_TRUE(co_await core::sleep_for(20 * kSecond));
    world.world.network().reset_next_connection_after(bytes);
    ExportImageRequest request;
    request.set_offset(300);
    request.set_length(2);
    auto call = co_await channel.server_stream<ExportImageRequest, ExportImageResponse>(
        kServerStream, request, {});
    Result<bool> got = true;
    ExportImageResponse part;
    while (call && got && *got) got = co_await call->next(part);
    if (!call) EXPECT_EQ(call.error().code, Code::kUnavailable) << bytes;
    if (!got) EXPECT_EQ(got.error().code, Code::kUnavailable) << bytes << got.error().text();
  }
  world.world.network().reset_next_connection_after(0);
}
TEST(Channel, SurvivesConnectionsThatBreakAnywhere) {
  run(breaking_body);
}

}  // namespace
}  // namespace capstan::client
