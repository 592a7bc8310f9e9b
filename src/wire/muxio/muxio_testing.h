// Why this file exists: what the tests of both Muxio halves share: a service with one method of
// every shape, a simulated world with a server in it that upgrades connections on port 10124 and
// listens on a Unix socket, and a peer that sends hand-made bytes. Test code.
#pragma once

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
#include "wire/muxio/client.h"
#include "wire/muxio/server.h"

namespace capstan::wire::muxio::testing {

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
inline constexpr char kSocket[] = "/run/muxio.sock";

class TestService {
 public:
  int started = 0, cancelled = 0, sent = 0;
  Code cancel_reason = Code::kOk;
  core::Nanos pause = 0;                            // before every message that import_image takes
  std::size_t initial_seen = 0, trailers_seen = 0;  // when the last check() began, of an answer

  // "missing": NOT_FOUND; "wait": until cancelled; "slow": a second; any other: SERVING.
  core::Task<Result<HealthCheckResponse>> check(rpc::Call& call,
                                                const HealthCheckRequest& request) {
    ++started;
    initial_seen = call.metadata.initial.size(), trailers_seen = call.metadata.trailers.size();
    call.metadata.initial.emplace_back("x-rev", "1-1");
    call.metadata.trailers.emplace_back("x-end", "1");
    if (request.service() == "missing") co_return fail(Code::kNotFound, "no such service");
    if (request.service() == "slow") CO_TRY(co_await wait(call, core::kSecond));
    if (request.service() == "wait") CO_TRY(co_await wait(call, 3600 * core::kSecond));
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    co_return response;
  }

  core::Task<Result<void>> watch(rpc::Call& call, const HealthCheckRequest&,
                                 rpc::Sink<HealthCheckResponse> sink) {
    ++started;
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    while (true) {
      auto step = co_await sink.send(response);
      if (!step) {
        ++cancelled;
        cancel_reason = call.token.reason();
        co_return step;
      }
      ++sent;
    }
  }

  core::Task<Result<ImportImageResponse>> import_image(rpc::Call& call,
                                                       rpc::Source<ImportImageRequest> source) {
    ++started;
    ImportImageResponse response;
    ImportImageRequest part;
    while (true) {
      if (pause != 0) CO_TRY(co_await wait(call, pause));
      auto got = co_await source.next(part);
      if (!got) {
        ++cancelled;
        co_return std::unexpected(std::move(got).error());
      }
      if (!*got) co_return response;
      if (part.header().replica() == "stop") co_return fail(Code::kFailedPrecondition, "stopped");
      response.set_size_bytes(response.size_bytes() + 1);
      response.set_data_bytes(response.data_bytes() + part.data().data().size());
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
      ServerReflectionResponse response;
      response.set_valid_host(request.host());
      CO_TRY(co_await sink.send(response));
    }
  }

  void bind(rpc::Directory& directory) {
    const auto ok = [](const Result<void>& result) {
      ASSERT_TRUE(result) << (result ? "" : result.error().text());
    };
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
  core::Task<Result<void>> wait(rpc::Call& call, core::Nanos duration) {
    const auto slept = co_await core::sleep_for(duration, call.token);
    if (!slept) ++cancelled, cancel_reason = call.token.reason();
    co_return slept;
  }
};

using core::NoLog;

// Two nodes; the first serves TestService.
struct TestWorld {
  explicit TestWorld(const ServerOptions& options = {}, std::uint64_t seed = 1)
      : world(seed), server_env(world), client_env(world) {
    service.bind(directory);
    auto made = MethodTable::make(directory);
    EXPECT_TRUE(made) << (made ? "" : made.error().text());
    methods = *std::move(made);
    server = std::make_unique<Server>(server_env, directory, methods, log, options);
  }
  core::Address address() const { return core::Address::tcp(server_env.address(), 10124); }
  ClientOptions client_options() const { return {.address = address()}; }

  // Runs `body(*this)` with the server running, then shuts the server down.
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
  MethodTable methods;
  std::unique_ptr<Server> server;

 private:
  // What the door of a node does, for one kind of guest.
  static core::Task<void> upgrade(TestWorld* self, std::unique_ptr<core::Stream> stream) {
    Http1RequestParser parser;
    std::array<std::uint8_t, 4096> buffer;
    while (true) {
      const auto got = co_await stream->read(buffer);
      if (!got || *got == 0) co_return;
      const auto done = parser.add(ByteView(buffer).first(*got));
      if (!done) co_return;
      if (*done) break;
    }
    const std::string rest(as_text(parser.rest()));
    co_await self->server->upgrade(std::move(stream), parser.request(), rest);
  }
  static core::Task<void> accept(TestWorld* self, core::StreamListener* listener,
                                 core::Scope* scope) {
    while (true) {
      auto stream = co_await listener->accept();
      if (!stream) co_return;
      scope->spawn(upgrade(self, *std::move(stream)));
    }
  }
  template <class Body>
  static core::Task<void> whole(TestWorld* self, Body body) {
    core::Scope scope;
    auto listener = self->server_env.network().listen(self->address());
    EXPECT_TRUE(listener);
    EXPECT_TRUE(self->server->listen(core::Address::unix_path(kSocket)));
    scope.spawn(self->server->run());
    scope.spawn(accept(self, listener->get(), &scope));
    co_await body(*self);
    (*listener)->cancel();
    self->server->stop(core::kSecond);
    co_await scope.join();
    EXPECT_EQ(self->server->connections(), 0U);
    EXPECT_EQ(self->server->counters().unfinished_bytes, 0U);
  }
};

}  // namespace capstan::wire::muxio::testing
