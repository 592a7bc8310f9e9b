// Why this file exists: peers that speak HTTP/2 to harm (PROTOCOL.md, "Hostile peers"): each sends
// bytes of its own making to a server on a simulated network, is ended as the table says, and costs
// the proper client beside it nothing.
#include <gtest/gtest.h>

#include "wire/grpc/client_session.h"
#include "wire/grpc/raw_peer_testing.h"

namespace capstan::wire::testing {
namespace {

using core::kSecond;
using core::Task;

// Runs the peer, and a proper client before, beside and after it.
using Attack = Task<void> (*)(TestWorld&, Peer&);
Task<void> proper_call(std::shared_ptr<ClientSession> session) {
  const HealthCheckRequest request;
  HealthCheckResponse response;
  ClientCall call(std::move(session));
  EXPECT_TRUE(call.begin(kUnary, {}, &request));
  EXPECT_TRUE((co_await call.next(response)).value_or(false));
  EXPECT_TRUE(co_await call.finish());
}
Task<void> beside(TestWorld& world, Attack attack) {
  auto stream = co_await world.client_env.network().connect(world.address(), {});
  CAPSTAN_ASSERT(stream);
  auto proper = std::make_shared<ClientSession>(*core::Reactor::current(), *std::move(stream),
                                                ClientOptions());
  core::Scope scope;
  scope.spawn(proper->run());
  co_await proper_call(proper);
  Peer peer;
  co_await peer.connect(world);
  co_await attack(world, peer);
  co_await proper_call(proper);
  co_await peer.close();
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  co_await proper_call(proper);
  EXPECT_EQ(world.server->connections(), 1U);
  EXPECT_EQ(world.server->calls_in_flight(), 0U);
  proper->abort("done");
  co_await scope.join();
}
void run(Attack attack) {
  TestWorld world;
  world.run([attack](TestWorld& w) { return beside(w, attack); });
}

// Says `part` until the server hangs up, at most `limit` times; answers how often.
Task<int> repeat(Peer& peer, std::string part, int limit) {
  for (int i = 0; i < limit; ++i) {
    if (!co_await peer.say(part)) co_return i;
    if (i % 50 == 49) EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  }
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  co_return limit;
}

constexpr int kCalm = static_cast<int>(Http2Error::kEnhanceYourCalm);
constexpr int kMuch = 20 * static_cast<int>(limits::kHttp2ChatterBurst);

Task<void> is_calmed(Peer& peer, std::string begin, std::string part) {
  EXPECT_TRUE(co_await peer.say(std::move(begin)));
  const int said = co_await repeat(peer, std::move(part), kMuch);
  EXPECT_LT(said, kMuch);
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), kCalm);
}

Task<void> pings(TestWorld&, Peer& peer) {
  co_await is_calmed(peer, hello(), frame(kPing, 0, 0, "12345678"));
  EXPECT_NE(peer.heard.find("too_many_pings"), std::string::npos);
  EXPECT_LE(peer.count(kPing), static_cast<int>(limits::kHttp2ChatterBurst));
}
TEST(HostilePeer, PingFlood) {
  run(pings);
}

Task<void> settings(TestWorld&, Peer& peer) {
  co_await is_calmed(peer, hello(), frame(kSettings, 0, 0, setting(3, 100)));
}
TEST(HostilePeer, SettingsFlood) {
  run(settings);
}

Task<void> priorities(TestWorld&, Peer& peer) {
  co_await is_calmed(peer, hello(), frame(kPriority, 0, 1, std::string("\0\0\0\0\x10", 5)));
}
TEST(HostilePeer, PriorityFlood) {
  run(priorities);
}

Task<void> empty_data(TestWorld& world, Peer& peer) {
  co_await is_calmed(peer, hello() + frame(kHeaders, kEndHeaders, 1, request_block()),
                     frame(kData, 0, 1, ""));
  EXPECT_EQ(world.service.started, 1);  // the proper client's
}
TEST(HostilePeer, DataWithoutBytes) {
  run(empty_data);
}

Task<void> resets(TestWorld&, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello()));
  constexpr std::uint32_t kStreams = 3 * limits::kHttp2ResetBurst;
  for (std::uint32_t i = 0; i < kStreams && !peer.ended; ++i) {
    const std::uint32_t id = 2 * i + 1;
    if (!co_await peer.say(frame(kHeaders, kEndHeaders, id, request_block()) +
                           frame(kReset, 0, id, big_endian(8, 4)))) {
      break;
    }
  }
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), kCalm);
}
TEST(HostilePeer, RapidReset) {
  run(resets);
}

// A gateway resets for all of its clients that leave.
Task<void> adopt_gateway(TestWorld* world, core::StreamListener* listener) {
  auto stream = co_await listener->accept();
  CAPSTAN_ASSERT(stream);
  world->server->adopt_gateway(*std::move(stream));
}
Task<void> gateway_resets(TestWorld& world) {
  auto address = world.address();
  address.port = 10125;
  auto listener = world.server_env.network().listen(address);
  CAPSTAN_ASSERT(listener);
  core::Scope scope;
  scope.spawn(adopt_gateway(&world, listener->get()));
  Peer peer;
  co_await peer.connect(world, address);
  co_await scope.join();
  EXPECT_TRUE(co_await peer.say(hello()));
  constexpr std::uint32_t kStreams = 3 * limits::kHttp2ResetBurst;
  for (std::uint32_t i = 0; i < kStreams && !peer.ended; ++i) {
    const std::uint32_t id = 2 * i + 1;
    EXPECT_TRUE(co_await peer.say(frame(kHeaders, kEndHeaders, id, request_block()) +
                                  frame(kReset, 0, id, big_endian(8, 4))));
  }
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_FALSE(peer.ended);
  co_await peer.close();
}
TEST(HostilePeer, ResetsOfAGatewayAreItsClients) {
  TestWorld world;
  world.run(gateway_resets);
}

// The same at our expense: a window beyond two gigabytes makes us reset the stream.
Task<void> makes_us_reset(TestWorld&, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello()));
  constexpr std::uint32_t kStreams = 3 * limits::kHttp2ResetBurst;
  for (std::uint32_t i = 0; i < kStreams && !peer.ended; ++i) {
    const std::uint32_t id = 2 * i + 1;
    if (!co_await peer.say(frame(kHeaders, kEndHeaders, id, request_block()) +
                           frame(kWindowUpdate, 0, id, big_endian(0x7FFF'FFFF, 4)))) {
      break;
    }
    if (i % 50 == 49) EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  }
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), kCalm);
  EXPECT_NE(peer.heard.find("too_many_resets"), std::string::npos);
}
TEST(HostilePeer, MakesUsResetItsStreams) {
  run(makes_us_reset);
}

Task<void> many_settings(TestWorld&, Peer& peer) {
  std::string entries;
  for (std::size_t i = 0; i <= limits::kHttp2SettingsEntriesMax; ++i) entries += setting(3, 100);
  EXPECT_TRUE(co_await peer.say(hello() + frame(kSettings, 0, 0, entries)));
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), kCalm);
}
TEST(HostilePeer, ManySettingsInOneFrame) {
  run(many_settings);
}

Task<void> pings_of_a_busy_client(TestWorld& world, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello()));
  constexpr std::uint32_t kCalls = 40;
  const std::string ping = frame(kPing, 0, 0, "12345678");
  std::string many;
  for (int i = 0; i < 100; ++i) many += ping;
  for (std::uint32_t i = 0; i < kCalls; ++i) {
    EXPECT_TRUE(co_await peer.say(call(2 * i + 1) + many));
    EXPECT_TRUE(co_await core::sleep_for(10 * core::kMillisecond));
  }
  EXPECT_FALSE(peer.ended);
  EXPECT_EQ(peer.count(kPing), 4000);
  EXPECT_EQ(world.service.started, 1 + static_cast<int>(kCalls));
}
TEST(HostilePeer, PingsOfAClientThatIsServedAreNoFlood) {
  run(pings_of_a_busy_client);
}

Task<void> continuations(TestWorld& world, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello() + frame(kHeaders, 0, 1, request_block())));
  const std::string more = frame(kContinuation, 0, 1, literal("x-more", std::string(100, 'x')));
  EXPECT_LT(co_await repeat(peer, more, 10'000), 10'000);
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(world.service.started, 1);
}
TEST(HostilePeer, EndlessContinuation) {
  run(continuations);
}

// One header of 4 KiB enters the table; naming it costs one byte each time.
Task<void> header_bomb(TestWorld& world, Peer& peer) {
  std::string block = request_block();
  block += std::string("\x40\x01") + "b";                         // literal, into the table: "b"
  block += std::string("\x7F\x81\x1E") + std::string(4000, 'b');  // 4000 bytes, 127 + 3873
  block += std::string(10'000, '\xBE');  // index 62, again and again: 40 MB
  EXPECT_TRUE(co_await peer.say(hello() + frame(kHeaders, kEndHeaders | kEndStream, 1, block)));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_FALSE(peer.ended);
  EXPECT_EQ(peer.goaway(), -1);
  EXPECT_EQ(peer.count(kHeaders), 1);  // the refusal, which server_session_test.cc reads
  EXPECT_EQ(world.service.started, 1);
}
TEST(HostilePeer, HeadersThatUnpackToMegabytes) {
  run(header_bomb);
}

Task<void> table(TestWorld&, Peer& peer) {
  // A table larger than what we announced: 5-bit prefix integer of 65536.
  EXPECT_TRUE(co_await peer.say(
      hello() + frame(kHeaders, kEndHeaders, 1, "\x3F\xE1\xFF\x03" + request_block())));
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), static_cast<int>(Http2Error::kCompressionError));
}
TEST(HostilePeer, HeaderTableAboveTheLimit) {
  run(table);
}

Task<void> large_frame(TestWorld&, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello() + frame(kHeaders, kEndHeaders, 1, request_block()) +
                                frame(kData, 0, 1, std::string(16'385, 'x'))));
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), static_cast<int>(Http2Error::kFrameSizeError));
}
TEST(HostilePeer, FrameAboveTheLimit) {
  run(large_frame);
}

Task<void> overrun(TestWorld& world, Peer& peer) {
  // A handler that takes nothing, and a client that sends on although its window is closed.
  world.service.pause = 3600 * kSecond;
  EXPECT_TRUE(co_await peer.say(
      hello() + frame(kHeaders, kEndHeaders, 1, request_block(std::string("/") + kClientStream))));
  const std::string message = std::string("\0\0\0\x3F\xFB", 5) + std::string(16'379, '\0');
  int said = 0;
  while (said < 300 && co_await peer.say(frame(kData, 0, 1, message))) ++said;
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  const bool reset = peer.count(kReset) != 0;
  EXPECT_TRUE(reset || peer.goaway() == static_cast<int>(Http2Error::kFlowControlError));
  world.service.pause = 0;
}
TEST(HostilePeer, MoreThanTheWindow) {
  run(overrun);
}

Task<void> one_byte_window(TestWorld& world, Peer& peer) {
  // INITIAL_WINDOW_SIZE 1, then two megabytes asked for: one byte leaves, the rest waits.
  EXPECT_TRUE(co_await peer.say(hello(setting(4, 1)) +
                                call(1, std::string_view("\0\0\0\0\7\x0A\5large", 12))));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.started, 2);
  EXPECT_EQ(peer.count(kData), 1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(co_await peer.say(frame(kWindowUpdate, 0, 1, big_endian(1, 4))));
    EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  }
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(peer.count(kData), 101);
  EXPECT_FALSE(peer.ended);
}
TEST(HostilePeer, WindowsOfOneByte) {
  run(one_byte_window);
}

Task<void> window_overflow(TestWorld&, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello() + frame(kWindowUpdate, 0, 0, big_endian(0x7FFF'FFFF, 4))));
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), static_cast<int>(Http2Error::kFlowControlError));
}
TEST(HostilePeer, WindowAboveTwoGigabytes) {
  run(window_overflow);
}

Task<void> many_streams(TestWorld& world, Peer& peer) {
  std::string bytes = hello();
  constexpr std::uint32_t kOpened = limits::kHttp2MaxConcurrentStreams + 50;
  for (std::uint32_t i = 0; i < kOpened; ++i) {
    bytes += frame(kHeaders, kEndHeaders, 2 * i + 1, request_block());
  }
  EXPECT_TRUE(co_await peer.say(bytes));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(peer.count(kReset), 50);
  EXPECT_EQ(world.service.started, 1);
}
TEST(HostilePeer, StreamsAboveTheLimitAreRefused) {
  run(many_streams);
}

Task<void> leaves(TestWorld& world, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello()));
  const std::string body = std::string("\0\0\0\0\x0A\x0A\x08stubborn", 15);
  const int before = world.service.started;
  for (std::uint32_t i = 0; i < limits::kGrpcRunningCalls + 40; ++i) {
    EXPECT_TRUE(co_await peer.say(call(2 * i + 1, body)));
    EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    EXPECT_TRUE(co_await peer.say(frame(kReset, 0, 2 * i + 1, big_endian(8, 4))));
  }
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.started - before, static_cast<int>(limits::kGrpcRunningCalls));
  EXPECT_EQ(world.server->calls_in_flight(), limits::kGrpcRunningCalls);
  EXPECT_TRUE(co_await core::sleep_for(15 * kSecond));
  EXPECT_EQ(world.server->calls_in_flight(), 0U);
  EXPECT_TRUE(co_await peer.say(call(5001)));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(peer.count(kData), 1);
}
TEST(HostilePeer, LeavesItsCallsBehind) {
  run(leaves);
}

Task<void> half_open(TestWorld& world, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello() + call(1)));
  EXPECT_TRUE(co_await core::sleep_for(kSecond));
  EXPECT_EQ(world.service.started, 2);
  // Alive below, dead above: it answers no PING.
  EXPECT_TRUE(co_await core::sleep_for(limits::kHttp2KeepaliveNanos +
                                       limits::kHttp2KeepaliveTimeoutNanos + 5 * kSecond));
  EXPECT_EQ(peer.count(kPing), 1);
  EXPECT_TRUE(peer.ended);
}
TEST(HostilePeer, HalfOpen) {
  run(half_open);
}

Task<void> push(TestWorld&, Peer& peer) {
  EXPECT_TRUE(co_await peer.say(hello() +
                                frame(kPush, kEndHeaders, 1, big_endian(2, 4) + request_block())));
  EXPECT_TRUE(co_await core::sleep_for(3 * kSecond));
  EXPECT_TRUE(peer.ended);
  EXPECT_EQ(peer.goaway(), static_cast<int>(Http2Error::kProtocolError));
}
TEST(HostilePeer, PushFromAClient) {
  run(push);
}

}  // namespace
}  // namespace capstan::wire::testing
