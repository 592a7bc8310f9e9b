// Why this file exists: what the tests of the HTTP wire share: a service with an operation of every
// shape, a simulated world with a server in it, and a client that sends hand-made bytes in pieces
// of any size. The operations are the node's own; their handlers here are as short as a test needs.
// Test code.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "datastore/datastore.pb.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "pool.pb.h"
#include "registration.pb.h"
#include "rest/v0.pb.h"
#include "rpc/announcing.h"
#include "rpc/condition.h"
#include "rpc/directory.h"
#include "wire/rest/server.h"

namespace capstan::wire::rest::testing {

namespace pools = ::mayastor::v1;
namespace kv = datastore::v1;
namespace v0 = ::capstan::rest::v0;

class TestService {
 public:
  int started = 0, cancelled = 0, sent = 0;
  Code cancel_reason = Code::kOk;
  int pool_count = 2, event_count = 2;  // of lists and of monitors, which then wait for ever
  bool events_end = false;
  std::string written, trace, authorization;
  int pieces = 0;

  core::Task<Result<node::v1::Version>> version(rpc::Call& call,
                                                const node::v1::GetVersionRequest&) {
    ++started;
    trace = call.trace_id;
    authorization = call.metadata.get("authorization");
    node::v1::Version version;
    version.set_version("demo/1.0");
    co_return version;
  }

  // event_count of them at once; then it ends or waits for the client to leave.
  core::Task<Result<void>> monitor(rpc::Call& call, const node::v1::MonitorEventsRequest& request,
                                   rpc::Sink<node::v1::Event> sink) {
    ++started;
    if (request.categories_size() == 1 && request.categories(0) == "refused") {
      co_return fail(Code::kInvalidArgument, "no such category");
    }
    for (int i = 0; i < event_count; ++i) {
      node::v1::Event event;
      event.set_id(std::to_string(i));
      CO_TRY(co_await finish(call, co_await sink.send(event)));
      ++sent;
    }
    if (events_end) co_return Result<void>();
    if (request.categories_size() == 1 && request.categories(0) == "broken") {
      co_return fail(Code::kDataLoss, "events were lost");
    }
    co_return co_await wait(call, 3600 * core::kSecond);
  }

  // With "held" nothing is announced before a second has passed, and another one is silent.
  core::Task<Result<void>> monitor_raw(rpc::Call& call, rpc::MessageSource& source,
                                       rpc::MessageSink& sink) {
    node::v1::MonitorEventsRequest request;
    CO_TRY_SET(const bool got, co_await source.next(request));
    EXPECT_TRUE(got);
    if (request.categories_size() != 0 && request.categories(0) == "held") {
      auto& announcing = dynamic_cast<rpc::Announcing&>(sink);
      announcing.hold_announcement();
      CO_TRY(co_await wait(call, core::kSecond));
      if (request.categories_size() == 2) co_return fail(Code::kNotFound, "no such store");
      announcing.release_announcement();
      co_return co_await wait(call, core::kSecond);
    }
    co_return co_await monitor(call, request, rpc::Sink<node::v1::Event>(sink));
  }

  core::Task<Result<void>> list_pools(rpc::Call&, const pools::ListPoolOptions& request,
                                      pools::ListPoolsResponse& response) {
    ++started;
    for (int i = 0; i < pool_count; ++i) {
      const std::string name = "p" + std::to_string(i);
      if (request.has_name() && request.name().value() != name) continue;
      auto* pool = response.add_pools();
      pool->set_name(name);
      pool->set_capacity(1024);
    }
    co_return Result<void>();
  }

  // "taken": ALREADY_EXISTS; "slow": a second; "wait": until cancelled; else the pool.
  core::Task<Result<pools::Pool>> create_pool(rpc::Call& call,
                                              const pools::CreatePoolRequest& request) {
    ++started;
    if (request.name() == "taken") co_return fail(Code::kAlreadyExists, "boom");
    if (request.name() == "slow") CO_TRY(co_await wait(call, core::kSecond));
    if (request.name() == "wait") CO_TRY(co_await wait(call, 3600 * core::kSecond));
    pools::Pool pool;
    pool.set_name(request.name());
    for (const auto& disk : request.disks()) pool.add_disks(disk);
    pool.set_uuid(request.uuid().value());
    co_return pool;
  }

  core::Task<Result<google::protobuf::Empty>> destroy_pool(rpc::Call& call,
                                                           const pools::DestroyPoolRequest& r) {
    if (rpc::is_conditional(call)) {
      pools::ListPoolOptions which;
      which.mutable_name()->set_value(r.name());
      pools::ListPoolsResponse found;
      CO_TRY(co_await list_pools(call, which, found));
      CO_TRY(rpc::check_condition(call, found.pools().empty() ? nullptr : &found, "pools"));
    }
    ++started;
    if (r.name() == "p9") co_return fail(Code::kNotFound, "pool 'p9' not found");
    co_return google::protobuf::Empty();
  }

  core::Task<Result<google::protobuf::Empty>> hello(rpc::Call&, const pools::RegisterRequest&) {
    ++started;
    co_return google::protobuf::Empty();
  }

  core::Task<Result<kv::WriteResponse>> write_stream(rpc::Call&,
                                                     rpc::Source<kv::WriteStreamRequest> source) {
    ++started;
    kv::WriteStreamRequest part;
    while (true) {
      auto got = co_await source.next(part);
      if (!got) {
        ++cancelled;
        co_return std::unexpected(std::move(got).error());
      }
      if (!*got) break;
      ++pieces;
      if (!part.key().empty()) written += "[" + part.store() + "/" + part.key() + "]";
      written += part.data();
    }
    kv::WriteResponse response;
    response.set_tail_offset(written.size());
    co_return response;
  }

  // `length` messages of `offset` bytes each; key "broken" fails after them, "missing" before.
  core::Task<Result<void>> read_stream(rpc::Call& call, const kv::ReadStreamRequest& request,
                                       rpc::Sink<kv::ReadStreamResponse> sink) {
    ++started;
    if (request.key() == "missing") co_return fail(Code::kNotFound, "no such key");
    kv::ReadStreamResponse part;
    part.set_data(std::string(request.offset(), 'd'));
    for (std::uint64_t i = 0; i < request.length(); ++i) {
      CO_TRY(co_await finish(call, co_await sink.send(part)));
      ++sent;
    }
    if (request.key() == "broken") co_return fail(Code::kDataLoss, "the rest is gone");
    co_return Result<void>();
  }

  core::Task<Result<kv::ReadResponse>> read(rpc::Call&, const kv::ReadRequest& request) {
    ++started;
    kv::ReadResponse response;
    if (request.key() != "missing") response.set_value("\x01\xff");
    co_return response;
  }
  core::Task<Result<kv::WriteResponse>> write(rpc::Call&, const kv::WriteRequest& request) {
    ++started;
    written = request.store() + "/" + request.key() + "=" + request.value();
    co_return kv::WriteResponse();
  }

  core::Task<Result<v0::PoolList>> v0_pools(rpc::Call&, const v0::GetPoolsRequest&) {
    ++started;
    v0::PoolList list;
    auto* pool = list.add_pools();
    pool->set_id("p0");
    pool->mutable_state()->set_capacity(1ULL << 40);
    co_return list;
  }
  // The id is the code's name, or the reason's, of the error that is answered; else the pool.
  core::Task<Result<v0::Pool>> v0_put_pool(rpc::Call&, const v0::PutPoolRequest& request) {
    ++started;
    for (int code = 1; code <= 16; ++code) {
      if (request.id() == code_name(static_cast<Code>(code))) {
        co_return fail(static_cast<Code>(code), "boom");
      }
    }
    if (request.id() == "ALREADY_SHARED") {
      auto details = std::make_shared<ErrorDetails>();
      details->reason = request.id();
      co_return std::unexpected(
          Error{Code::kFailedPrecondition, 0, "boom", {}, std::move(details)});
    }
    v0::Pool pool;
    pool.set_id(request.id());
    co_return pool;
  }

  void bind(rpc::Directory& directory) {
    declare(directory, pools::Pool::descriptor()->file(), "PoolRpc",
            {"ExportPool", "ImportPool", "GrowPool"});
    declare(directory, node::v1::Version::descriptor()->file(), "NodeRpc",
            {"GetVersion", "MonitorEvents"}, false);
    declare(directory, pools::RegisterRequest::descriptor()->file(), "Registration",
            {"Deregister"});
    declare(directory, kv::WriteRequest::descriptor()->file(), "DataStoreRpc",
            {"WriteStream", "ReadStream", "Read", "Write"}, false);
    declare(directory, v0::Pool::descriptor()->file(), "Pools", {"GetPool", "DelPool"});
    const std::string rest = "capstan.rest.v0.Pools/";
    ok(rpc::bind_unary(directory, rest + "GetPools", *this, &TestService::v0_pools));
    ok(rpc::bind_unary(directory, rest + "PutPool", *this, &TestService::v0_put_pool));
    const std::string node = "capstan.node.v1.NodeRpc/", pool = "mayastor.v1.PoolRpc/",
                      store = "capstan.datastore.v1.DataStoreRpc/";
    ok(rpc::bind_unary(directory, node + "GetVersion", *this, &TestService::version));
    rpc::Handler events;
    events.stream = [this](rpc::Call& call, rpc::MessageSource& source, rpc::MessageSink& sink) {
      return monitor_raw(call, source, sink);
    };
    ok(directory.bind_raw(node + "MonitorEvents", std::move(events)));
    ok(rpc::bind_unary(directory, pool + "ListPools", *this, &TestService::list_pools));
    ok(rpc::bind_unary(directory, pool + "CreatePool", *this, &TestService::create_pool));
    ok(rpc::bind_unary(directory, pool + "DestroyPool", *this, &TestService::destroy_pool));
    ok(rpc::bind_unary(directory, "mayastor.v1.Registration/Register", *this, &TestService::hello));
    ok(rpc::bind_client_stream(directory, store + "WriteStream", *this,
                               &TestService::write_stream));
    ok(rpc::bind_server_stream(directory, store + "ReadStream", *this, &TestService::read_stream));
    ok(rpc::bind_unary(directory, store + "Read", *this, &TestService::read));
    ok(rpc::bind_unary(directory, store + "Write", *this, &TestService::write));
    ok(directory.check_complete());
  }

 private:
  static void ok(const Result<void>& result) {
    ASSERT_TRUE(result) << (result ? "" : result.error().text());
  }
  // With `absent` false the names are those that are there.
  static void declare(rpc::Directory& directory, const google::protobuf::FileDescriptor* file,
                      const char* name, std::set<std::string> names, bool absent = true) {
    const auto* service = file->FindServiceByName(name);
    ASSERT_NE(service, nullptr);
    std::set<std::string> out = names;
    if (!absent) {
      out.clear();
      for (int i = 0; i < service->method_count(); ++i) {
        const std::string method(service->method(i)->name());
        if (!names.contains(method)) out.insert(method);
      }
    }
    ok(directory.declare(service, out));
  }
  core::Task<Result<void>> wait(rpc::Call& call, core::Nanos duration) {
    auto slept = co_await core::sleep_for(duration, call.token);
    co_return co_await finish(call, std::move(slept));
  }
  core::Task<Result<void>> finish(rpc::Call& call, Result<void> step) {
    if (!step) ++cancelled, cancel_reason = call.token.reason();
    co_return step;
  }
};

using core::NoLog;

// A client's connection: sends text in pieces, takes what comes.
class Peer {
 public:
  explicit Peer(std::unique_ptr<core::Stream> stream) : stream_(std::move(stream)) {}

  core::Task<bool> send(std::string bytes, std::size_t part = 1U << 20) {
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      const auto piece = std::string_view(bytes).substr(at, part);
      if (!co_await stream_->write(as_bytes(piece))) co_return false;
      if (part < bytes.size()) {
        EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
      }
    }
    co_return true;
  }
  // Until there are `enough` bytes, or the server closes.
  core::Task<std::string> receive(std::size_t enough) {
    while (received.size() < enough && co_await read_more()) {
    }
    co_return std::exchange(received, {});
  }
  // Until `end` has come, or the server closes.
  core::Task<std::string> until(std::string end) {
    while (!received.contains(end) && co_await read_more()) {
    }
    co_return std::exchange(received, {});
  }
  core::Task<std::string> rest() { return receive(std::string::npos); }
  void end_sending() { stream_->shutdown_write(); }
  void leave() { stream_.reset(); }

  std::string received;
  bool closed = false, broken = false;

 private:
  core::Task<bool> read_more() {
    std::array<std::uint8_t, 16384> buffer;
    const auto got = co_await stream_->read(buffer);
    closed = !got || *got == 0;
    broken = !got;
    if (closed) co_return false;
    received.append(as_text(ByteView(buffer).first(*got)));
    co_return true;
  }

  std::unique_ptr<core::Stream> stream_;
};

struct TestWorld {
  explicit TestWorld(ServerOptions options = {}, std::uint64_t seed = 1)
      : world(seed), server_env(world), client_env(world) {
    service.bind(directory);
    auto made = Server::create(directory, log, std::move(options));
    CAPSTAN_ASSERT(made.has_value());
    server = *std::move(made);
  }
  core::Address address() const { return core::Address::tcp(server_env.address(), 8080); }
  core::Task<std::unique_ptr<Peer>> connect() {
    auto stream = co_await client_env.network().connect(address(), {});
    CAPSTAN_ASSERT(stream.has_value());
    co_return std::make_unique<Peer>(*std::move(stream));
  }

  // Runs `body(world)` with the server running, then shuts the server down.
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
  std::unique_ptr<Server> server;

 private:
  static core::Task<void> accept(TestWorld* self, core::StreamListener* listener) {
    while (true) {
      auto stream = co_await listener->accept();
      if (!stream) co_return;
      self->server->adopt(*std::move(stream));
    }
  }
  template <class Body>
  static core::Task<void> whole(TestWorld* self, Body body) {
    core::Scope scope;
    auto listener = self->server_env.network().listen(self->address());
    CAPSTAN_ASSERT(listener.has_value());
    scope.spawn(self->server->run());
    scope.spawn(accept(self, listener->get()));
    co_await body(*self);
    (*listener)->cancel();
    self->server->stop(core::kSecond);
    co_await scope.join();
    EXPECT_EQ(self->server->connections(), 0U);
    EXPECT_EQ(self->server->pipeline().counters().streams, 0U);
    EXPECT_EQ(self->server->pipeline().counters().body_bytes, 0U);
  }
};

// One request on a connection of its own, everything the server says. HTTP/1.1 without a Connection
// header stays open, so the client ends its sending once the answer is there.
inline core::Task<std::string> exchange(TestWorld* world, std::string request,
                                        std::size_t part = 1U << 20) {
  auto peer = co_await world->connect();
  EXPECT_TRUE(co_await peer->send(std::move(request), part));
  EXPECT_TRUE(co_await core::sleep_for(100 * core::kMillisecond));
  peer->end_sending();
  co_return co_await peer->rest();
}

}  // namespace capstan::wire::rest::testing
