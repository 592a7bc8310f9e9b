// Why this file exists: what the tests of this wire share: a service whose few operations answer at
// once, late, never or with much, a server in a simulated world, and a client that sends exactly
// the bytes it is told to. For tests only.
#pragma once

#include <google/protobuf/empty.pb.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "core/log_sinks.h"
#include "core/sim_env.h"
#include "spdk/bdev.pb.h"
#include "spdk/log.pb.h"
#include "wire/jsonrpc/framework.h"
#include "wire/jsonrpc/server.h"

namespace capstan::wire::jsonrpc::testing {

using google::protobuf::Empty;

// The methods of `service`, but for `kept`.
inline std::set<std::string> all_but(const google::protobuf::ServiceDescriptor* service,
                                     const std::set<std::string>& kept) {
  std::set<std::string> absent;
  for (int i = 0; i < service->method_count(); ++i) {
    if (!kept.contains(service->method(i)->name())) absent.insert(service->method(i)->name());
  }
  return absent;
}

class TestService {
 public:
  std::string level = "NOTICE";
  rpc::Call last;
  int started = 0, ended = 0, cancelled = 0;

  core::Task<Result<spdk::LogLevel>> get_level(rpc::Call& call, const Empty&) {
    ++started;
    last.peer = call.peer;
    last.wire = call.wire;
    spdk::LogLevel response;
    response.set_level(level);
    ++ended;
    co_return response;
  }

  // Times out after `timeout` milliseconds.
  core::Task<Result<spdk::Bdevs>> get_bdevs(rpc::Call& call, const spdk::GetBdevsRequest& request) {
    ++started;
    const auto slept = co_await core::sleep_for(request.timeout() * core::kMillisecond, call.token);
    ++ended;
    if (!slept) {
      ++cancelled;
      co_return std::unexpected(slept.error());
    }
    if (request.timeout() == 0) co_return rpc::json_errno(ENODEV);
    co_return rpc::json_errno(ETIMEDOUT);
  }

  core::Task<Result<Empty>> set_options(rpc::Call&, const spdk::SetBdevOptionsRequest&) {
    ++started, ++ended;
    co_return Empty();
  }

  void bind(rpc::Directory& directory) {
    const auto* log = spdk::LogLevel::descriptor()->file()->FindServiceByName("Log");
    const auto* bdev = spdk::Bdevs::descriptor()->file()->FindServiceByName("Bdev");
    ok(directory.declare(log, all_but(log, {"GetLevel"})));
    ok(directory.declare(bdev, all_but(bdev, {"GetBdevs", "SetOptions"})));
    ok(rpc::bind_unary(directory, "spdk.Log/GetLevel", *this, &TestService::get_level));
    ok(rpc::bind_unary(directory, "spdk.Bdev/GetBdevs", *this, &TestService::get_bdevs));
    ok(rpc::bind_unary(directory, "spdk.Bdev/SetOptions", *this, &TestService::set_options));
  }
  static void ok(const Result<void>& result) {
    ASSERT_TRUE(result) << (result ? "" : result.error().text());
  }
};

// Sends bytes, keeps what comes back.
class RawClient {
 public:
  explicit RawClient(std::unique_ptr<core::Stream> stream) : stream_(std::move(stream)) {
    scope_.spawn(read());
  }
  core::Task<bool> send(std::string_view bytes) {
    const auto written = co_await stream_->write(as_bytes(bytes));
    co_return written.has_value();
  }
  // Until so many lines are there, the connection has ended, or ten virtual seconds have passed.
  core::Task<std::string> lines(std::size_t count) {
    for (int i = 0; i < 10'000 && !ended && lines_ < count; ++i) {
      (void)co_await core::sleep_for(core::kMillisecond);
    }
    lines_ = 0;
    co_return std::exchange(received, {});
  }
  core::Task<void> until_ended() {
    for (int i = 0; i < 100'000 && !ended; ++i) {
      (void)co_await core::sleep_for(core::kMillisecond);
    }
    EXPECT_TRUE(ended);
  }
  void half_close() { stream_->shutdown_write(); }
  void stop_reading() { paused_ = true; }
  void read_again() {
    paused_ = false;
    go_on_.notify_all();
  }
  core::Task<void> close() {
    read_again();
    stream_->cancel();
    co_await scope_.join();
    stream_.reset();
  }

  std::string received;
  bool ended = false;  // regularly
  std::size_t received_bytes = 0;

 private:
  core::Task<void> read() {
    std::vector<std::uint8_t> buffer(1 << 16);
    while (true) {
      while (paused_) co_await go_on_.wait();
      const auto got = co_await stream_->read(buffer);
      if (!got) co_return;
      if (*got == 0) break;
      const auto text = as_text(ByteView(buffer.data(), *got));
      if (keep) received += text;
      received_bytes += *got;
      lines_ += static_cast<std::size_t>(std::ranges::count(text, '\n'));
    }
    ended = true;
  }

  std::unique_ptr<core::Stream> stream_;
  core::Scope scope_;
  core::Event go_on_;
  std::size_t lines_ = 0;
  bool paused_ = false;

 public:
  bool keep = true;
};

// One node that serves TestService on a Unix socket.
struct TestWorld {
  explicit TestWorld(std::set<std::string> allowed_methods = {}, Lifecycle::Start start = nullptr,
                     std::size_t connections = limits::kJsonRpcConnections,
                     rpc::RefusedCalls* refused = nullptr)
      : world(1), env(world), allowed(std::move(allowed_methods)), lifecycle(std::move(start)) {
    service.bind(directory);
    TestService::ok(bind_framework(directory, framework));
    TestService::ok(directory.check_complete());
    ServerOptions options;
    options.connections = connections;
    options.refused = refused;
    server = std::make_unique<Server>(env, directory, rpc::JsonMethods(directory, allowed),
                                      lifecycle, log, options);
  }
  core::Task<std::unique_ptr<RawClient>> connect() {
    auto stream = co_await env.network().connect(address, {});
    EXPECT_TRUE(stream);
    co_return std::make_unique<RawClient>(*std::move(stream));
  }

  // Runs `body(*this)` with the server running, then shuts the server down.
  template <class Body>
  void run(Body body) {
    world.run(whole(this, std::move(body)));
  }

  core::SimWorld world;
  core::SimEnv env;
  core::Address address = core::Address::unix_path("/rpc.sock");
  std::set<std::string> allowed;
  core::EventLog sink{core::LogLevel::kWarn};
  core::Log log{sink, core::LogLevel::kWarn, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  rpc::Directory directory;
  Lifecycle lifecycle;
  TestService service;
  FrameworkService framework{directory, lifecycle, allowed};
  std::unique_ptr<Server> server;

 private:
  template <class Body>
  static core::Task<void> whole(TestWorld* self, Body body) {
    core::Scope scope;
    EXPECT_TRUE(self->server->listen(self->address));
    scope.spawn(self->server->run());
    co_await body(*self);
    self->server->stop(core::kSecond);
    co_await scope.join();
    EXPECT_EQ(self->server->connections(), 0U);
  }
};

}  // namespace capstan::wire::jsonrpc::testing
