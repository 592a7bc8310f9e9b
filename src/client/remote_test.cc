// Why this file exists: one node behind every wire, on a simulated network: the same calls have the
// same outcome, deadlines and cancelling reach the handler, and what a wire cannot carry is said.
#include "client/remote.h"

#include <gtest/gtest.h>

#include "wire/drpc/operations.h"
#include "wire/drpc/server.h"
#include "wire/grpc/grpc_testing.h"
#include "wire/jsonrpc/server.h"
#include "wire/muxio/server.h"
#include "wire/rest/server.h"

namespace capstan::client {
namespace {

using namespace wire::testing;  // NOLINT(google-build-using-namespace)
using core::kSecond;
using core::Task;

constexpr char kMuxioSocket[] = "/muxio", kJsonRpcSocket[] = "/jsonrpc", kDrpcSocket[] = "/drpc",
               kHttpSocket[] = "/http";

struct Node : TestWorld {
  Node()
      : methods(*wire::muxio::MethodTable::make(directory)),
        muxio(server_env, directory, methods, log, {}),
        jsonrpc(server_env, directory, rpc::JsonMethods(directory), lifecycle, log, {}),
        drpc(server_env, log, kDrpcSocket, {}),
        http(*wire::rest::Server::create(directory, log, {})) {
    EXPECT_TRUE(wire::drpc::register_operations(drpc, directory));
  }
  std::unique_ptr<Remote> remote(Wire wire) {
    RemoteOptions options;
    options.wire = wire;
    options.channel.address = wire == Wire::kGrpc      ? address()
                              : wire == Wire::kMuxio   ? core::Address::unix_path(kMuxioSocket)
                              : wire == Wire::kJsonRpc ? core::Address::unix_path(kJsonRpcSocket)
                              : wire == Wire::kHttp    ? core::Address::unix_path(kHttpSocket)
                                                       : core::Address::unix_path(kDrpcSocket);
    return make_remote(server_env, std::move(options));
  }
  wire::muxio::MethodTable methods;
  wire::muxio::Server muxio;
  wire::jsonrpc::Lifecycle lifecycle;
  wire::jsonrpc::Server jsonrpc;
  wire::drpc::DomainSocketServer drpc;
  std::unique_ptr<wire::rest::Server> http;
};

Task<void> accept_http(Node* node, core::StreamListener* listener) {
  while (true) {
    auto stream = co_await listener->accept();
    if (!stream) co_return;
    node->http->adopt(*std::move(stream));
  }
}

using Body = Task<void> (*)(Node&, Remote&);

Task<void> serve_all(Node* node, Body body, Wire wire) {
  EXPECT_TRUE(node->muxio.listen(core::Address::unix_path(kMuxioSocket)));
  EXPECT_TRUE(node->jsonrpc.listen(core::Address::unix_path(kJsonRpcSocket)));
  EXPECT_TRUE(node->drpc.start());
  core::Scope scope;
  scope.spawn(node->muxio.run());
  scope.spawn(node->jsonrpc.run());
  auto http = node->server_env.network().listen(core::Address::unix_path(kHttpSocket));
  EXPECT_TRUE(http);
  scope.spawn(node->http->run());
  scope.spawn(accept_http(node, http->get()));
  const auto remote = node->remote(wire);
  co_await body(*node, *remote);
  co_await remote->close();
  node->muxio.stop(kSecond);
  node->jsonrpc.stop(kSecond);
  (*http)->cancel();
  node->http->stop(kSecond);
  co_await node->drpc.shutdown(kSecond);
  co_await scope.join();
}

class RemoteTest : public ::testing::TestWithParam<Wire> {
 protected:
  void run(Body body) {
    Node node;
    node.run([&](TestWorld&) { return serve_all(&node, body, GetParam()); });
  }
};
std::string name_of(const ::testing::TestParamInfo<Wire>& info) {
  constexpr const char* kNames[] = {"Grpc", "Muxio", "JsonRpc", "Drpc", "Http"};
  return kNames[static_cast<int>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Wires, RemoteTest,
                         ::testing::Values(Wire::kGrpc, Wire::kMuxio, Wire::kJsonRpc, Wire::kDrpc,
                                           Wire::kHttp),
                         name_of);

template <class T>
Code code_of(const Result<T>& result) {
  return result ? Code::kOk : result.error().code;
}
template <class T>
std::string text_of(const Result<T>& result) {
  return result ? "OK" : result.error().text();
}

HealthCheckRequest check_of(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

Task<void> unary_body(Node& node, Remote& remote) {
  HealthCheckResponse response;
  const auto good = check_of("x"), missing = check_of("missing");
  for (int i = 1; i <= 2; ++i) {
    const auto called = co_await remote.unary(kUnary, good, response, {});
    EXPECT_TRUE(called) << text_of(called);
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
    EXPECT_EQ(node.service.started, i);
  }
  EXPECT_TRUE(remote.connected());
  const auto refused = co_await remote.unary(kUnary, missing, response, {});
  EXPECT_EQ(code_of(refused), Code::kNotFound);
  EXPECT_NE(text_of(refused).find("f\xC3\xBCr' not found"), std::string::npos);
  const auto unknown = co_await remote.unary("grpc.health.v1.Health/Chek", good, response, {});
  EXPECT_EQ(code_of(unknown), Code::kUnimplemented);
}
TEST_P(RemoteTest, UnaryCallsAndErrors) {
  run(unary_body);
}

Task<void> deadline_body(Node& node, Remote& remote) {
  HealthCheckResponse response;
  const auto request = check_of("wait"), good = check_of("x");
  CallOptions options;
  options.deadline = core::Reactor::current()->now() + kSecond;
  const auto called = co_await remote.unary(kUnary, request, response, options);
  EXPECT_EQ(code_of(called), Code::kDeadlineExceeded) << text_of(called);
  EXPECT_EQ(node.service.started, 1);
}
TEST_P(RemoteTest, ADeadlineEndsTheCall) {
  run(deadline_body);
}

Task<void> fire_later(core::CancelSource* source) {
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  source->fire();
}
Task<void> cancel_body(Node& node, Remote& remote) {
  core::CancelSource source;
  core::Scope scope;
  scope.spawn(fire_later(&source));
  CallOptions options;
  options.token = source.token();
  HealthCheckResponse response;
  const auto request = check_of("wait");
  const auto called = co_await remote.unary(kUnary, request, response, options);
  EXPECT_EQ(code_of(called), Code::kCancelled) << text_of(called);
  EXPECT_EQ(node.service.started, 1);
  co_await scope.join();
}
TEST_P(RemoteTest, CancellingEndsTheCall) {
  run(cancel_body);
}

Task<void> endless_body(Node& node, Remote& remote) {
  const auto request = check_of("slow");
  auto call = co_await remote.open(kEndless, &request, {});
  HealthCheckResponse response;
  if (!remote.streams()) {
    const Code code = call ? code_of(co_await (*call)->next(response)) : code_of(call);
    EXPECT_EQ(code, Code::kUnimplemented);
    co_return;
  }
  EXPECT_TRUE(call) << text_of(call);
  for (int i = 0; i < 3; ++i) {
    const auto more = co_await (*call)->next(response);
    EXPECT_TRUE(more && *more);
  }
  (*call)->cancel(Code::kCancelled);
  call = std::unexpected(Error{Code::kCancelled, 0, {}, {}});
  while (node.service.cancelled == 0) EXPECT_TRUE(co_await core::sleep_for(kSecond));
}
TEST_P(RemoteTest, EndlessAnswers) {
  run(endless_body);
}

Task<void> upload_body(Node& node, Remote& remote) {
  auto opened = co_await remote.open(kClientStream, nullptr, {});
  EXPECT_EQ(opened.has_value(), remote.streams());
  if (!opened) {
    EXPECT_EQ(code_of(opened), Code::kUnimplemented);
    EXPECT_EQ(node.service.started, 0);
    co_return;
  }
  RemoteStream<ImportImageRequest, ImportImageResponse> upload(*std::move(opened));
  ImportImageRequest part;
  part.mutable_header()->set_replica("r");
  EXPECT_TRUE(co_await upload.send(part));
  part.mutable_data()->set_data(std::string(100'000, 'd'));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(co_await upload.send(part));
  const auto answer = co_await upload.answer();
  EXPECT_TRUE(answer) << text_of(answer);
  EXPECT_EQ(answer->size_bytes(), 6U);
  EXPECT_EQ(answer->data_bytes(), 500'000U);
}
TEST_P(RemoteTest, StreamsOfRequests) {
  run(upload_body);
}

Task<void> download_body(Node&, Remote& remote) {
  ExportImageRequest request;
  request.set_replica("r");
  request.set_offset(1000);
  request.set_length(7);
  auto opened = co_await remote.open(kServerStream, &request, {});
  if (!opened) {  // an image has no form in JSON
    EXPECT_EQ(code_of(opened), Code::kUnimplemented) << text_of(opened);
    co_return;
  }
  RemoteStream<ExportImageRequest, ExportImageResponse> download(*std::move(opened));
  ExportImageResponse part;
  for (int i = 0; i < 7; ++i) {
    const auto more = co_await download.next(part);
    EXPECT_TRUE(more && *more);
    EXPECT_EQ(part.data().data().size(), 1000U);
  }
  EXPECT_TRUE(co_await download.finish());
}
TEST_P(RemoteTest, StreamsOfAnswers) {
  run(download_body);
}

Task<void> metadata_body(Node& node, Remote& remote) {
  CallOptions options;
  options.metadata = {{"capstan-force", "true"}};
  HealthCheckResponse response;
  const auto request = check_of("x");
  const auto called = co_await remote.unary(kUnary, request, response, options);
  if (called) {  // gRPC and HTTP
    EXPECT_EQ(node.service.last.metadata.get("capstan-force"), "true");
    co_return;
  }
  EXPECT_EQ(code_of(called), Code::kUnimplemented);
  EXPECT_NE(text_of(called).find("capstan-force"), std::string::npos);
}
TEST_P(RemoteTest, MetadataIsNotDroppedSilently) {
  run(metadata_body);
}

TEST_P(RemoteTest, NobodyThere) {
  Node node;
  struct Calling {
    static Task<void> run(Node* at, Wire wire) {
      const auto remote = at->remote(wire);
      HealthCheckResponse response;
      const HealthCheckRequest request;
      const auto called = co_await remote->unary(kUnary, request, response, {});
      EXPECT_EQ(code_of(called), Code::kUnavailable) << text_of(called);
      EXPECT_FALSE(remote->connected());
      co_await remote->close();
    }
  };
  node.world.run(Calling::run(&node, GetParam()));
}

}  // namespace
}  // namespace capstan::client
