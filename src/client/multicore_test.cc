// Why this file exists: a server on one core and its clients on another, on the real runtime:
// everything that crosses must cross by message. Meant for ThreadSanitizer as well.
#include <gtest/gtest.h>

#include <optional>

#include "client/channel.h"
#include "core/uring_env.h"
#include "wire/grpc/grpc_testing.h"

namespace capstan::client {
namespace {

using namespace wire::testing;  // NOLINT(google-build-using-namespace)
using core::Task;

// Touched by the serving core only.
struct Served {
  NoLog sink;
  core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  rpc::Directory directory;
  TestService service;
  std::optional<wire::GrpcServer> server;
};

Task<Result<core::Address>> open_server(core::Env* env, Served* served) {
  served->service.bind(served->directory);
  served->server.emplace(*env, served->directory, served->log, wire::ServerOptions());
  co_return served->server->listen(core::Address::tcp("127.0.0.1", 0));
}
Task<int> run_server(Served* served) {
  co_await served->server->run();
  const int started = served->service.started;
  served->server.reset();
  co_return started;
}
Task<bool> stop_server(Served* served) {
  served->server->stop(core::kSecond);
  co_return true;
}

Task<void> serve(core::Reactor& reactor, Served* served, int& started) {
  started = co_await core::on<int>(reactor, [served] { return run_server(served); });
}

Task<void> some_calls(Channel& channel, int count) {
  HealthCheckRequest request;
  HealthCheckResponse response;
  for (int i = 0; i < count; ++i) {
    request.set_service(i % 10 == 9 ? "missing" : "x");
    const auto called = co_await channel.unary(kUnary, request, response, {});
    EXPECT_EQ(called ? Code::kOk : called.error().code, i % 10 == 9 ? Code::kNotFound : Code::kOk);
  }
}

Task<void> whole(core::Env& env, Served& served, int& started) {
  core::Reactor& other = env.reactor(1);
  const auto address = co_await core::on<Result<core::Address>>(
      other, [&env, &served] { return open_server(&env, &served); });
  CAPSTAN_ASSERT(address);
  core::Scope serving, calling;
  serving.spawn(serve(other, &served, started));
  std::vector<std::unique_ptr<Channel>> channels;
  for (int i = 0; i < 3; ++i) {
    ChannelOptions options;
    options.address = *address;
    channels.push_back(std::make_unique<Channel>(env, options));
    for (int k = 0; k < 4; ++k) calling.spawn(some_calls(*channels.back(), 50));
  }
  co_await calling.join();
  for (auto& channel : channels) co_await channel->close();
  EXPECT_TRUE(co_await core::on<bool>(other, [&served] { return stop_server(&served); }));
  co_await serving.join();
}

TEST(Multicore, CallsCrossCores) {
  core::UringOptions options;
  options.cores = 2;
  auto env = core::UringEnv::create(options);
  ASSERT_TRUE(env) << env.error().text();
  Served served;
  int started = 0;
  (*env)->run(whole(**env, served, started));
  EXPECT_EQ(started, 3 * 4 * 50);
}

}  // namespace
}  // namespace capstan::client
