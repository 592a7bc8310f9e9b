// Why this file exists: connections that end after every possible byte, in both directions: a
// request of which only so much arrives leaves no call behind, an answer of which only so much
// arrives is never taken for a whole one.
#include <gtest/gtest.h>

#include "wire/grpc/client_session.h"
#include "wire/grpc/raw_peer_testing.h"

namespace capstan::wire::testing {
namespace {

using core::Task;

// Two calls of different shapes, one with a message in two frames.
std::string conversation() {
  return hello(setting(4, 65'535)) + call(1, std::string_view("\0\0\0\0\3\x0A\1x", 8)) +
         frame(kHeaders, kEndHeaders, 3, request_block(std::string("/") + kClientStream)) +
         frame(kData, 0, 3, std::string_view("\0\0\0\0", 4)) +
         frame(kData, kEndStream, 3, std::string_view("\0", 1));
}

Task<void> requests_cut(TestWorld& world) {
  const std::string bytes = conversation();
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    const int before = world.service.started;
    Peer peer;
    co_await peer.connect(world);
    EXPECT_TRUE(co_await peer.say(bytes.substr(0, cut)));
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    if (cut == bytes.size()) {
      EXPECT_EQ(world.service.started - before, 2);
      EXPECT_EQ(peer.count(kData), 2);
    }
    co_await peer.close();
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    EXPECT_EQ(world.server->connections(), 0U) << cut;
    EXPECT_EQ(world.server->calls_in_flight(), 0U) << cut;
    EXPECT_EQ(world.server->counters().request_bytes, 0U) << cut;
  }
}
TEST(CutConnections, RequestsCutAfterEveryByte) {
  TestWorld world;
  world.run(requests_cut);
}

// --- a server that says the first bytes of a recorded answer and leaves
// ---------------------------

struct Recorded {
  std::string bytes;
  std::size_t cut = 0;
};

Task<void> play(core::StreamListener* listener, const Recorded* recorded) {
  auto stream = co_await listener->accept();
  CAPSTAN_ASSERT(stream);
  std::array<std::uint8_t, 4096> heard;
  // The request first: an answer to nothing would be refused.
  std::size_t total = 0;
  while (total < 150) {
    const auto got = co_await (*stream)->read(heard);
    CAPSTAN_ASSERT(got && *got != 0);
    total += *got;
  }
  (void)co_await (*stream)->write(as_bytes(recorded->bytes).first(recorded->cut));
  (*stream)->shutdown_write();
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
}

struct Outcome {
  Result<void> result;
  int answers = 0;
};
Task<void> ask(std::shared_ptr<ClientSession> session, const char* operation, Outcome* outcome) {
  HealthCheckRequest request;
  request.set_service("x");
  CallOptions options;
  options.metadata = {{"padding", std::string(150, 'p')}};
  ClientCall call(session);
  outcome->result = call.begin(operation, options, &request);
  while (outcome->result) {
    HealthCheckResponse response;
    const auto got = co_await call.next(response);
    if (!got) outcome->result = std::unexpected(got.error());
    if (!got || !*got) break;
    ++outcome->answers;
  }
}

Task<void> one_answer(TestWorld* world, core::StreamListener* listener, const Recorded* recorded,
                      Outcome* outcome) {
  core::Scope scope;
  scope.spawn(play(listener, recorded));
  auto stream = co_await world->client_env.network().connect(listener->local(), {});
  CAPSTAN_ASSERT(stream);
  auto session = std::make_shared<ClientSession>(*core::Reactor::current(), *std::move(stream),
                                                 ClientOptions());
  scope.spawn(session->run());
  co_await ask(session, kUnary, outcome);
  session->abort("done");
  co_await scope.join();
}

Task<void> answers_cut(TestWorld& world) {
  Recorded recorded;
  {
    Peer peer;
    co_await peer.connect(world);
    EXPECT_TRUE(co_await peer.say(hello() + call(1)));
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    recorded.bytes = peer.heard;
    co_await peer.close();
  }
  EXPECT_GT(recorded.bytes.size(), 100U);
  const auto listener =
      world.server_env.network().listen(core::Address::tcp(world.server_env.address(), 4000));
  CAPSTAN_ASSERT(listener);
  int whole = 0;
  for (recorded.cut = 0; recorded.cut <= recorded.bytes.size(); ++recorded.cut) {
    Outcome outcome;
    co_await one_answer(&world, listener->get(), &recorded, &outcome);
    if (outcome.result) {
      ++whole;
      EXPECT_EQ(outcome.answers, 1) << recorded.cut;
    } else {
      EXPECT_EQ(outcome.result.error().code, Code::kUnavailable) << recorded.cut;
    }
    EXPECT_LE(outcome.answers, 1);
    EXPECT_EQ(outcome.result.has_value(), recorded.cut == recorded.bytes.size()) << recorded.cut;
  }
  EXPECT_EQ(whole, 1);
}
TEST(CutConnections, AnswersCutAfterEveryByte) {
  TestWorld world;
  world.run(answers_cut);
}

}  // namespace
}  // namespace capstan::wire::testing
