// Why this file exists: what a dRPC server promises beside the bytes: sessions that do not wait for
// each other, calls that are finished whoever leaves, bounded memory, and an end in order.
#include "wire/drpc/server.h"

#include <gtest/gtest.h>

#include "wire/drpc/drpc_testing.h"

namespace capstan::wire::drpc {
namespace {

using namespace testing;
using core::kMillisecond;
using core::kSecond;

core::Task<void> pause(core::Nanos duration = 100 * kMillisecond) {
  (void)co_await core::sleep_for(duration);
}

core::Task<void> sessions_in_parallel(DrpcWorld& world) {
  const auto slow = co_await world.connect(), fast = co_await world.connect();
  co_await send(*slow, framed(call_message(77, 11, 1, "slow")));
  co_await send(*slow, framed(call_message(77, 1, 2, "next")));
  co_await pause();
  EXPECT_EQ(world.echo->running, 1);
  co_await send(*fast, framed(call_message(77, 1, 1, "fast")));
  EXPECT_EQ(co_await receive(*fast), framed("\x08\x01\x1a\x04"
                                            "fast"));
  EXPECT_EQ(world.echo->finished, 1);
  EXPECT_EQ(world.server.num_sessions(), 2U);
  world.echo->gate.set();
  EXPECT_EQ(co_await receive(*slow), framed("\x08\x01\x1a\x04slow"));
  EXPECT_EQ(co_await receive(*slow), framed("\x08\x02\x1a\x04next"));
  EXPECT_FALSE(world.echo->saw_peer_gone);
  EXPECT_EQ(world.echo->peer.uid, 0U);
}
TEST(DrpcServer, SessionsDoNotWaitForEachOther) {
  DrpcWorld().run(sessions_in_parallel);
}

core::Task<void> client_leaves(DrpcWorld& world) {
  auto socket = co_await world.connect();
  co_await send(*socket, framed(call_message(77, 11, 1, "first")));
  co_await send(*socket, framed(call_message(77, 1, 2, "second")));
  co_await pause();
  socket.reset();
  co_await pause();
  EXPECT_EQ(world.echo->finished, 0);
  world.echo->gate.set();
  co_await pause();
  EXPECT_EQ(world.echo->finished, 2);
  EXPECT_TRUE(world.echo->saw_peer_gone);
  EXPECT_EQ(world.echo->stopped, Code::kOk);
  EXPECT_EQ(world.server.num_sessions(), 0U);
  EXPECT_EQ(world.server.counters().broken, 0U);
}
TEST(DrpcServer, CallsOfAClientThatLeftAreWorkedOff) {
  DrpcWorld().run(client_leaves);
}

core::Task<void> failing_handlers(DrpcWorld& world) {
  const auto socket = co_await world.connect();
  co_await send(*socket, framed(call_message(3, 399, 1, "")));
  EXPECT_EQ(co_await receive(*socket), framed("\x08\x01\x10\x02"));
  co_await send(*socket, framed(call_message(77, 1, 2, "on")));
  EXPECT_EQ(co_await receive(*socket), framed("\x08\x02\x1a\x02on"));
  EXPECT_EQ(world.server.counters().calls, 2U);
  EXPECT_EQ(world.server.counters().calls_failed, 1U);
  co_await send(*socket, framed(call_message(77, 13, 3, "bye")));
  EXPECT_FALSE(co_await receive(*socket));
  EXPECT_EQ(world.echo->finished, 2);
}
TEST(DrpcServer, AThrowingFunctionIsAFailureAndAHandlerMayClose) {
  DrpcWorld().run(failing_handlers);
}

// Wherever a module throws: the call fails, the session and the server go on.
core::Task<void> throwing_modules(DrpcWorld& world) {
  const auto socket = co_await world.connect();
  const auto status_of = [&](std::int32_t method, char sequence) -> std::string {
    return framed(std::string("\x08") + sequence + "\x10" + static_cast<char>(method));
  };
  co_await send(*socket, framed(call_message(77, 12, 1, "in the coroutine")));
  EXPECT_EQ(co_await receive(*socket), status_of(2, 1));
  co_await send(*socket, framed(call_message(77, 15, 2, "a Failure, after an await")));
  EXPECT_EQ(co_await receive(*socket), status_of(6, 2));
  co_await send(*socket, framed(call_message(77, 16, 3, "when asked for the method")));
  EXPECT_EQ(co_await receive(*socket), status_of(2, 3));
  co_await send(*socket, framed(call_message(77, 1, 4, "on")));
  EXPECT_EQ(co_await receive(*socket), framed("\x08\x04\x1a\x02on"));
  EXPECT_EQ(world.server.counters().calls_failed, 3U);
  EXPECT_EQ(world.sink.records, 4);  // one for each, after "listening"
  EXPECT_EQ(world.server.counters().broken, 0U);
}
TEST(DrpcServer, AModuleMayThrowAnywhere) {
  DrpcWorld().run(throwing_modules);
}

TEST(DrpcServer, WhatWasThrownBecomesAFailure) {
  const auto caught = [](auto thrown) {
    return failure_of(std::make_exception_ptr(std::move(thrown)));
  };
  EXPECT_EQ(caught(Failure(Status::kSubmitted)).status(), Status::kSubmitted);
  EXPECT_EQ(caught(std::runtime_error("why")).status(), Status::kFailure);
  EXPECT_EQ(caught(std::runtime_error("why")).text(), "it threw: why");
  EXPECT_EQ(caught(7).status(), Status::kFailure);
}

// --- memory ------------------------------------------------------------------------------------

core::Task<void> dies_inside(DrpcWorld& world) {
  const std::string data(kChunkBytesMax, 'x');
  for (int round = 0; round < 3; ++round) {
    auto socket = co_await world.connect();
    for (std::uint32_t i = 0; i < 3; ++i) {
      const auto header = encode_header({limits::kDrpcMessageBytes, kChunkBytesMax, i, 513});
      co_await send(*socket, std::string(as_text(header)) + data);
    }
    co_await pause();
    // As much as has arrived and some more, not what the header promises.
    EXPECT_LE(limits::kDrpcMessagesBytes - world.server.memory().left(), 2U << 20);
    EXPECT_LT(world.server.memory().left(), limits::kDrpcMessagesBytes);
    socket.reset();
    co_await pause();
    EXPECT_EQ(world.server.memory().left(), limits::kDrpcMessagesBytes);
  }
  EXPECT_EQ(world.server.counters().broken, 3U);
}
TEST(DrpcServer, AClientThatDiesInsideOfAMessageCostsWhatArrived) {
  DrpcWorld().run(dies_inside);
}

ServerOptions small_memory() {
  ServerOptions options;
  options.memory_bytes = 3U << 20;
  return options;
}

core::Task<void> exhaust(DomainSocketServer& server, core::Env& env, std::string path) {
  EXPECT_TRUE(server.register_module(std::make_unique<EchoModule>()));
  EXPECT_TRUE(server.start());
  Client big(env, path), other(env, path);
  EXPECT_TRUE(co_await big.connect());
  EXPECT_TRUE(co_await other.connect());
  const std::string body(8U << 20, 'x');
  EXPECT_FALSE(co_await big.call(77, 1, as_bytes(body), {}));
  EXPECT_FALSE(big.is_connected());
  EXPECT_EQ(server.counters().broken, 1U);
  const auto reply = co_await other.call(77, 1, as_bytes(std::string_view("still here")), {});
  EXPECT_TRUE(reply);
  other.close();
  co_await pause();
  EXPECT_EQ(server.memory().left(), 3U << 20);
  co_await server.shutdown();
}
TEST(DrpcServer, MemoryOfAllSessionsIsBounded) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  NoLog sink;
  core::Log log{sink, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  DomainSocketServer server(env, log, "/run/s", small_memory());
  world.run(exhaust(server, env, "/run/s"));
}

core::Task<void> stops_reading(DrpcWorld& world) {
  const auto mute = co_await world.connect(), other = co_await world.connect();
  for (int i = 1; i <= 20; ++i) {
    co_await send(*mute, framed(call_message(77, 14, i, std::string(2000, 'x'))));
  }
  co_await pause(kSecond);
  EXPECT_LT(world.echo->finished, 5);  // the rest waits in the socket
  co_await send(*other, framed(call_message(77, 1, 1, "ok")));
  EXPECT_EQ(co_await receive(*other), framed("\x08\x01\x1a\x02ok"));
  const auto before = core::Reactor::current()->read_clock();
  co_await world.server.shutdown(2 * kSecond);
  const auto took = core::Reactor::current()->read_clock() - before;
  EXPECT_GE(took, 2 * kSecond);
  EXPECT_LT(took, 3 * kSecond);
}
TEST(DrpcServer, AClientThatStopsReadingHarmsNobody) {
  DrpcWorld().run(stops_reading);
}

// --- limits and ends ---------------------------------------------------------------------------

core::Task<void> too_many(DrpcWorld& world) {
  const auto first = co_await world.connect(), second = co_await world.connect();
  co_await pause();
  auto third = co_await world.connect();
  EXPECT_FALSE(co_await receive(*third));
  EXPECT_EQ(world.server.counters().refused, 1U);
  co_await send(*second, framed(call_message(77, 1, 1, "ok")));
  EXPECT_EQ(co_await receive(*second), framed("\x08\x01\x1a\x02ok"));
}
TEST(DrpcServer, SessionsAreLimited) {
  ServerOptions options;
  options.sessions = 2;
  DrpcWorld(options).run(too_many);
}

core::Task<void> only_chunked(DrpcWorld& world) {
  const auto socket = co_await world.connect();
  co_await send(*socket, call_message(3, 301, 1, "a legacy call that is long enough"));
  EXPECT_FALSE(co_await receive(*socket));
}
TEST(DrpcServer, LegacyClientsMayBeRefused) {
  ServerOptions options;
  options.session.accept_legacy = false;
  DrpcWorld(options).run(only_chunked);
}

core::Task<void> shut_down(DomainSocketServer* server, core::Nanos grace, core::Nanos* took) {
  const auto before = core::Reactor::current()->read_clock();
  co_await server->shutdown(grace);
  *took = core::Reactor::current()->read_clock() - before;
}

core::Task<void> drains(DrpcWorld& world) {
  const auto idle = co_await world.connect(), busy = co_await world.connect();
  co_await send(*idle, framed(call_message(77, 1, 1, "a")));
  EXPECT_TRUE(co_await receive(*idle));
  co_await send(*busy, framed(call_message(77, 11, 1, "last")));
  co_await send(*busy, framed(call_message(77, 1, 2, "too late")));
  co_await pause();
  core::Scope scope;
  core::Nanos took = 0;
  scope.spawn(shut_down(&world.server, 5 * kSecond, &took));
  EXPECT_FALSE(co_await receive(*idle));  // at once
  EXPECT_EQ((co_await world.env.network().connect_packets(core::Address::unix_path(world.path), {}))
                .error()
                .sys_errno,
            ENOENT);
  world.echo->gate.set();
  EXPECT_EQ(co_await receive(*busy), framed("\x08\x01\x1a\x04last"));
  EXPECT_FALSE(co_await receive(*busy));
  co_await scope.join();
  EXPECT_LT(took, kSecond);
  EXPECT_EQ(world.echo->finished, 2);
  EXPECT_EQ(world.echo->stopped, Code::kOk);
}
TEST(DrpcServer, ShutdownLetsRunningCallsAnswer) {
  DrpcWorld().run(drains);
}

core::Task<void> runs_over(DrpcWorld& world) {
  const auto busy = co_await world.connect();
  co_await send(*busy, framed(call_message(77, 11, 1, "never")));
  co_await pause();
  core::Nanos took = 0;
  co_await shut_down(&world.server, 2 * kSecond, &took);
  EXPECT_GE(took, 2 * kSecond);
  EXPECT_LT(took, 3 * kSecond);
  EXPECT_EQ(world.echo->stopped, Code::kCancelled);
  EXPECT_FALSE(co_await receive(*busy));
}
TEST(DrpcServer, AfterTheGraceHandlersAreStopped) {
  DrpcWorld().run(runs_over);
}

core::Task<void> stops_listening(DrpcWorld& world) {
  const auto socket = co_await world.connect();
  co_await send(*socket, framed(call_message(77, 1, 1, "a")));
  EXPECT_TRUE(co_await receive(*socket));
  world.server.stop_listening();
  co_await pause();
  EXPECT_FALSE(
      co_await world.env.network().connect_packets(core::Address::unix_path(world.path), {}));
  co_await send(*socket, framed(call_message(77, 1, 2, "b")));
  EXPECT_EQ(co_await receive(*socket), framed("\x08\x02\x1a\x01"
                                              "b"));
}
TEST(DrpcServer, StopListeningLeavesSessionsAlone) {
  DrpcWorld().run(stops_listening);
}

core::Task<void> refusals(DrpcWorld& world) {
  EXPECT_EQ(world.server.register_module(std::make_unique<FunctionModule>(5, "late")).error().code,
            Code::kFailedPrecondition);
  EXPECT_EQ(world.server.start().error().code, Code::kAlreadyExists);
  DomainSocketServer second(world.env, world.log, world.path, {});
  const auto started = second.start();
  CAPSTAN_ASSERT(!started);
  EXPECT_EQ(started.error().sys_errno, EADDRINUSE);
  EXPECT_NE(started.error().text().find("Configured dRPC socket file '" + world.path +
                                        "' is already in use."),
            std::string::npos);
  for (const std::int32_t id : {-1, 7, 255, 1, 2147483647}) {
    EXPECT_TRUE(second.register_module(std::make_unique<FunctionModule>(id, "any")));
  }
  const auto twice = second.register_module(std::make_unique<FunctionModule>(7, "any"));
  EXPECT_NE(twice.error().text().find("module with ID 7 already exists"), std::string::npos);

  DomainSocketServer nowhere(world.env, world.log, "", {});
  EXPECT_EQ(nowhere.start().error().code, Code::kInvalidArgument);
  ServerOptions no_mode;
  no_mode.listen.mode = 0;
  DomainSocketServer closed(world.env, world.log, "/run/closed", no_mode);
  EXPECT_EQ(closed.start().error().code, Code::kInvalidArgument);
  co_return;
}
TEST(DrpcServer, WrongUseIsRefused) {
  DrpcWorld().run(refusals);
}

TEST(DrpcFailure, TextsAndStatuses) {
  EXPECT_EQ(Failure::unknown_module().text(), "unrecognized module ID");
  EXPECT_EQ(Failure::unknown_method().text(), "unrecognized method ID");
  EXPECT_EQ(Failure::unmarshaling_call().text(), "failed to unmarshal incoming call");
  EXPECT_EQ(Failure::unmarshaling_payload().text(), "failed to unmarshal method-specific payload");
  EXPECT_EQ(Failure::marshaling().text(), "failed to marshal response payload");
  EXPECT_EQ(Failure(Status::kFailure).text(), "an unknown error occurred");
  EXPECT_EQ(Failure(static_cast<Status>(99)).text(), "an unknown error occurred");
  EXPECT_EQ(Failure(Status::kSuccess).text(), "");
  EXPECT_EQ(Failure::with_message("m").status(), Status::kFailure);
  EXPECT_EQ(Failure(Error{Code::kNotFound, 0, "gone", {}}).status(), Status::kFailure);
}

}  // namespace
}  // namespace capstan::wire::drpc
