// Why this file exists: what the tests of the gRPC halves share: a service with one method of every
// shape whose behaviour its request chooses, and a simulated world with a server in it. Test code.
#pragma once

#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "core/log_sinks.h"
#include "core/reactor.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "node/image.pb.h"
#include "rpc/directory.h"
#include "wire/grpc/server.h"

namespace capstan::wire::testing {

using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using ::grpc::reflection::v1::ServerReflectionRequest;
using ::grpc::reflection::v1::ServerReflectionResponse;
using node::v1::ExportImageRequest;
using node::v1::ExportImageResponse;
using node::v1::ImportImageRequest;
using node::v1::ImportImageResponse;

inline constexpr char kUnary[] = "grpc.health.v1.Health/Check";
inline constexpr char kEndless[] = "grpc.health.v1.Health/Watch";
inline constexpr char kClientStream[] = "capstan.node.v1.ImageRpc/ImportImage";
inline constexpr char kServerStream[] = "capstan.node.v1.ImageRpc/ExportImage";
inline constexpr char kBidirectional[] = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

class TestService {
 public:
  int started = 0, cancelled = 0, sent = 0;
  Code cancel_reason = Code::kOk;
  rpc::Call last;         // a copy of what a handler saw
  core::Nanos pause = 0;  // between the messages that import_image takes

  // "missing": NOT_FOUND; "overdue": DEADLINE_EXCEEDED; "wait": until cancelled; "stubborn": ten
  // seconds, cancelled or not; "large": SERVING and two megabytes that no declared field holds; any
  // other: SERVING.
  core::Task<Result<HealthCheckResponse>> check(rpc::Call& call,
                                                const HealthCheckRequest& request) {
    ++started;
    last.metadata = call.metadata;
    last.deadline = call.deadline;
    last.trace_id = call.trace_id;
    last.peer = call.peer;
    call.metadata.trailers = {{"gtm-602", "0"}, {"echo-bin", std::string("\0\xFF", 2)}};
    if (request.service() == "missing") {
      co_return fail(Code::kNotFound, "service 'f\xC3\xBCr' not found");
    }
    if (request.service() == "overdue") {
      co_return fail(Code::kDeadlineExceeded, "device 'x' did not appear");
    }
    if (request.service() == "wait") CO_TRY(co_await wait(call));
    if (request.service() == "stubborn") CO_TRY(co_await core::sleep_for(10 * core::kSecond));
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    if (request.service() == "large") {
      response.GetReflection()->MutableUnknownFields(&response)->AddLengthDelimited(
          1000, std::string(2U << 20, 'l'));
    }
    co_return response;
  }

  // Sends until somebody stops it; "slow" sends once a second, "silent" never; "missing" fails.
  core::Task<Result<void>> watch(rpc::Call& call, const HealthCheckRequest& request,
                                 rpc::Sink<HealthCheckResponse> sink) {
    ++started;
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    if (request.service() == "missing") co_return fail(Code::kNotFound, "service not found");
    call.metadata.initial = {{"x-watch", request.service()}};
    if (request.service() == "silent") co_return co_await wait(call);
    while (true) {
      auto step = co_await sink.send(response);
      if (step) ++sent;
      if (step && request.service() == "slow")
        step = co_await core::sleep_for(core::kSecond, call.token);
      if (!step) {
        ++cancelled;
        cancel_reason = call.token.reason();
        co_return step;
      }
    }
  }

  // The number of messages and bytes; a header named "stop" ends it early with an error.
  core::Task<Result<ImportImageResponse>> import_image(rpc::Call& call,
                                                       rpc::Source<ImportImageRequest> source) {
    ++started;
    ImportImageResponse response;
    ImportImageRequest part;
    while (true) {
      auto got = co_await source.next(part);
      if (!got) {
        ++cancelled;
        cancel_reason = call.token.reason();
        co_return std::unexpected(std::move(got).error());
      }
      if (!*got) co_return response;
      if (part.header().replica() == "stop") co_return fail(Code::kFailedPrecondition, "stopped");
      response.set_size_bytes(response.size_bytes() + 1);
      response.set_data_bytes(response.data_bytes() + part.data().data().size());
      if (pause != 0) CO_TRY(co_await core::sleep_for(pause, call.token));
    }
  }

  // `length` messages of `offset` bytes each; replica "broken" fails after them.
  core::Task<Result<void>> export_image(rpc::Call&, const ExportImageRequest& request,
                                        rpc::Sink<ExportImageResponse> sink) {
    ++started;
    ExportImageResponse part;
    part.mutable_data()->set_data(std::string(request.offset(), 'd'));
    for (std::uint64_t i = 0; i < request.length(); ++i) {
      CO_TRY(co_await sink.send(part));
      ++sent;
    }
    if (request.replica() == "broken") co_return fail(Code::kDataLoss, "the rest is gone");
    co_return Result<void>();
  }

  core::Task<Result<void>> reflect(rpc::Call&, rpc::Source<ServerReflectionRequest> source,
                                   rpc::Sink<ServerReflectionResponse> sink) {
    ++started;
    ServerReflectionRequest request;
    while (true) {
      CO_TRY_SET(const bool got, co_await source.next(request));
      if (!got) co_return Result<void>();
      if (request.host() == "stop") co_return fail(Code::kAborted, "stopped");
      ServerReflectionResponse response;
      response.set_valid_host(request.host());
      CO_TRY(co_await sink.send(response));
    }
  }

  void bind(rpc::Directory& directory) {
    ok(directory.declare(HealthCheckRequest::descriptor()->file()->FindServiceByName("Health")));
    ok(directory.declare(ImportImageRequest::descriptor()->file()->FindServiceByName("ImageRpc")));
    ok(directory.declare(
        ServerReflectionRequest::descriptor()->file()->FindServiceByName("ServerReflection")));
    ok(rpc::bind_unary(directory, kUnary, *this, &TestService::check));
    ok(rpc::bind_server_stream(directory, kEndless, *this, &TestService::watch));
    ok(rpc::bind_client_stream(directory, kClientStream, *this, &TestService::import_image));
    ok(rpc::bind_server_stream(directory, kServerStream, *this, &TestService::export_image));
    ok(rpc::bind_bidirectional(directory, kBidirectional, *this, &TestService::reflect));
    ok(directory.check_complete());
  }

 private:
  static void ok(const Result<void>& result) {
    ASSERT_TRUE(result) << (result ? "" : result.error().text());
  }
  core::Task<Result<void>> wait(rpc::Call& call) {
    const auto slept = co_await core::sleep_for(3600 * core::kSecond, call.token);
    ++cancelled;
    cancel_reason = call.token.reason();
    co_return slept;
  }
};

using core::NoLog;

// Two nodes; the first serves TestService on port 10124.
struct TestWorld {
  explicit TestWorld(const ServerOptions& options = {}, std::uint64_t seed = 1)
      : world(seed), server_env(world), client_env(world) {
    service.bind(directory);
    server = std::make_unique<GrpcServer>(server_env, directory, log, options);
  }
  core::Address address() const { return core::Address::tcp(server_env.address(), 10124); }

  // Runs `body(*this, arguments…)` with the server running, then shuts the server down.
  template <class Body>
  void run(Body body) {
    world.run(whole(this, std::move(body)));
  }

  core::SimWorld world;
  core::SimEnv server_env, client_env;
  NoLog sink;
  core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  rpc::Directory directory;
  TestService service;
  std::unique_ptr<GrpcServer> server;
  std::shared_ptr<const TlsContext> server_tls;

 private:
  template <class Body>
  static core::Task<void> whole(TestWorld* self, Body body) {
    core::Scope scope;
    const auto listening = self->server->listen(self->address(), self->server_tls);
    EXPECT_TRUE(listening);
    scope.spawn(self->server->run());
    co_await body(*self);
    self->server->stop(core::kSecond);
    co_await scope.join();
    EXPECT_EQ(self->server->connections(), 0U);
  }
};

}  // namespace capstan::wire::testing
