// Why this file exists: a server and a client session talk in memory, so every promise of
// http2_session.h is tried without a socket: exchanges, windows, limits, floods, drains, garbage.
#include "wire/http2/http2_session.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "wire/http2/http2_testing.h"

namespace capstan::wire {
namespace {

using namespace testing;

TEST(Http2Session, RequestAndAnswerWithTrailers) {
  Pair pair;
  pair.echo("answer");
  auto* stream = pair.client.open(kRequest, false, nullptr);
  ASSERT_NE(stream, nullptr);
  const auto id = stream->id();
  Pair::put(pair.client, *stream, "request");
  pair.client.finish(*stream, {});
  pair.settle();
  const auto& request = pair.at_server.streams.at(id);
  EXPECT_EQ(request.data, "request");
  EXPECT_EQ(request.headers[2], std::pair(std::string(":path"), std::string("/a.B/C")));
  const auto& answer = pair.at_client.streams.at(id);
  EXPECT_EQ(answer.data, "answer");
  EXPECT_EQ(answer.trailers.at(0).second, "0");
  EXPECT_TRUE(answer.ended && answer.closed && request.closed);
  EXPECT_EQ(answer.error, Http2Error::kNoError);
  EXPECT_EQ(pair.server.open_streams(), 0U);
  EXPECT_EQ(pair.server.unsent_bytes(), 0U);
}

TEST(Http2Session, HeadersDataAndTrailersLeaveTogether) {
  Pair pair;
  pair.settle();
  auto* stream = pair.client.open(kRequest, true, nullptr);
  ASSERT_NE(stream, nullptr);
  Pair::carry(pair.client, pair.server);
  pair.echo("x");
  pair.at_server.at_end(*pair.at_server.streams.at(1).stream);
  ByteQueue bytes;
  ASSERT_TRUE(pair.server.collect(bytes, 1U << 20));
  std::vector<std::uint8_t> types;
  for (auto rest = bytes.view(); !rest.empty();) {
    const std::size_t length = load_be32(rest.data()) >> 8;
    types.push_back(rest[3]);
    rest = rest.subspan(9 + length);
  }
  EXPECT_EQ(types, (std::vector<std::uint8_t>{1, 0, 1}));  // HEADERS, DATA, HEADERS
}

TEST(Http2Session, WindowsOpenOnlyWhenTheConsumerTook) {
  Pair pair;
  pair.at_server.consume_at_once = false;
  pair.settle();
  auto* stream = pair.client.open(kRequest, false, nullptr);
  const std::string big(3U << 20, 'x');
  Pair::put(pair.client, *stream, big);
  pair.settle();
  auto& seen = pair.at_server.streams.at(1);
  EXPECT_EQ(seen.data.size(), limits::kHttp2StreamWindowBytes);
  EXPECT_EQ(stream->unsent_bytes(), big.size() - limits::kHttp2StreamWindowBytes);
  pair.server.consume(*seen.stream, limits::kHttp2StreamWindowBytes);
  pair.settle();
  EXPECT_EQ(seen.data.size(), 2U * limits::kHttp2StreamWindowBytes);
}

TEST(Http2Session, ClosedStreamsGiveTheConnectionWindowBack) {
  Pair pair;
  pair.at_server.consume_at_once = false;
  pair.settle();
  const std::string part(limits::kHttp2StreamWindowBytes, 'x');
  // Four times the connection's window, never consumed by anybody, each stream cancelled.
  for (int i = 0; i < 64; ++i) {
    auto* stream = pair.client.open(kRequest, false, nullptr);
    ASSERT_NE(stream, nullptr);
    const auto id = stream->id();
    Pair::put(pair.client, *stream, part);
    pair.settle();
    ASSERT_EQ(pair.at_server.streams.at(id).data.size(), part.size()) << "stream " << i;
    pair.client.reset(*stream, Http2Error::kCancel);
    pair.settle();
    EXPECT_EQ(pair.at_server.streams.at(id).error, Http2Error::kCancel);
  }
}

// Half of the connection's window could not be consumed any more when streams that nobody reads
// held more than the other half, so it was never opened again (gateways stood still).
TEST(Http2Session, StreamsThatNobodyReadsLeaveTheOthersTheRestOfTheWindow) {
  constexpr int kUnread = limits::kHttp2ConnectionWindowBytes / limits::kHttp2StreamWindowBytes - 1;
  for (const std::size_t consumed_before : {0U, 1U << 20, (8U << 20) - 16384U, 8U << 20}) {
    SCOPED_TRACE(consumed_before);
    Pair pair;
    pair.settle();
    std::size_t size = consumed_before;
    pair.at_server.at_end = [&](Http2Stream& stream) {
      pair.server.respond(stream, kOk, false);
      Pair::put(pair.server, stream, std::string(size, 'x'));
      pair.server.finish(stream, {});
    };
    const auto ask = [&](std::size_t bytes) -> Seen& {
      size = bytes;
      const auto id = pair.client.open(kRequest, true, nullptr)->id();
      pair.settle();
      return pair.at_client.streams.at(id);
    };
    EXPECT_TRUE(ask(consumed_before).closed);
    pair.at_client.consume_at_once = false;
    for (int i = 0; i < kUnread; ++i) {
      EXPECT_EQ(ask(3U << 20).data.size(), limits::kHttp2StreamWindowBytes) << i;
    }
    pair.at_client.consume_at_once = true;
    EXPECT_TRUE(ask(40U << 20).closed);
  }
}

TEST(Http2Session, TooManyHeadersAreCutAndSaidSo) {
  Pair pair;
  const std::string value(limits::kHttp2HeaderListBytes, 'v');
  std::vector<Header> headers(kRequest.begin(), kRequest.end());
  headers.push_back({"x-large", value});
  ASSERT_NE(pair.client.open(headers, true, nullptr), nullptr);
  pair.settle();
  const auto& seen = pair.at_server.streams.at(1);
  EXPECT_TRUE(seen.too_large);
  EXPECT_EQ(seen.headers.size(), kRequest.size());
}

// A request of which `first` has come is answered; the rest of it may be under way.
struct EarlyAnswer : Pair {
  EarlyAnswer() {
    settle();
    stream = client.open(kRequest, false, nullptr);
    put(client, *stream, "first");
    settle();
    server.respond(*at_server.streams.at(1).stream, kOk, true);
    settle();
    EXPECT_TRUE(at_client.streams.at(1).ended);
    EXPECT_FALSE(at_client.streams.at(1).closed);
    EXPECT_EQ(server.unwanted_streams(), 1U);
  }
  void expect_closed(Http2Error error) {
    settle();
    EXPECT_TRUE(at_client.streams.at(1).closed);
    EXPECT_EQ(at_client.streams.at(1).error, error);
    EXPECT_EQ(server.open_streams(), 0U);
    EXPECT_EQ(server.unwanted_streams(), 0U);
    EXPECT_FALSE(server.reset_unwanted(kNow));
  }
  Http2Stream* stream = nullptr;
};

TEST(Http2Session, ARequestMayEndAfterItsAnswer) {
  EarlyAnswer pair;
  EXPECT_TRUE(pair.server.reset_unwanted(kNow));
  Pair::put(pair.client, *pair.stream, "second");
  pair.client.finish(*pair.stream, kTrailers);
  pair.settle();
  EXPECT_EQ(pair.at_server.streams.at(1).data, "firstsecond");  // thrown away by the adapter
  EXPECT_TRUE(pair.at_server.streams.at(1).ended);
  pair.expect_closed(Http2Error::kNoError);
}

TEST(Http2Session, ARequestThatDoesNotEndAfterItsAnswerIsStopped) {
  EarlyAnswer pair;
  EXPECT_TRUE(pair.server.reset_unwanted(kNow));
  EXPECT_TRUE(pair.server.reset_unwanted(kNow + limits::kHttp2UnwantedNanos - 1));
  pair.settle();
  EXPECT_FALSE(pair.at_client.streams.at(1).closed);
  EXPECT_FALSE(pair.server.reset_unwanted(kNow + limits::kHttp2UnwantedNanos));
  pair.expect_closed(Http2Error::kNoError);
}

TEST(Http2Session, ARequestThatGetsOnAfterItsAnswerIsNotStopped) {
  EarlyAnswer pair;
  for (std::uint64_t second = 0; second < 10; ++second) {
    const std::uint64_t now = kNow + second * limits::kHttp2UnwantedNanos;
    EXPECT_TRUE(pair.server.reset_unwanted(now));
    Pair::put(pair.client, *pair.stream, "more");
    pair.settle();
    EXPECT_FALSE(pair.at_client.streams.at(1).closed);
  }
  EXPECT_TRUE(pair.server.reset_unwanted(kNow));
  EXPECT_FALSE(pair.server.reset_unwanted(kNow + limits::kHttp2UnwantedNanos));
  pair.expect_closed(Http2Error::kNoError);
}

TEST(Http2Session, ARequestThatGrowsAfterItsAnswerIsStopped) {
  EarlyAnswer pair;
  Pair::put(pair.client, *pair.stream, std::string(2 * limits::kHttp2UnwantedBytes, 'x'));
  pair.expect_closed(Http2Error::kNoError);
  const std::size_t more = pair.at_server.streams.at(1).data.size();
  EXPECT_GT(more, limits::kHttp2UnwantedBytes);
  EXPECT_LT(more, limits::kHttp2UnwantedBytes + (64U << 10));
}

TEST(Http2Session, WhoeverLeavesWithTheAnswerIsNoRapidReset) {
  Http2Session::Options options;
  options.reset_burst = 5;
  Pair pair(options);
  pair.settle();
  for (int i = 0; i < 50; ++i) {
    auto* stream = pair.client.open(kRequest, false, nullptr);
    ASSERT_NE(stream, nullptr);
    const auto id = stream->id();
    pair.settle();
    pair.server.respond(*pair.at_server.streams.at(id).stream, kOk, true);
    pair.settle();
    pair.client.reset(*stream, Http2Error::kNoError);
    pair.settle();
    EXPECT_TRUE(pair.at_server.streams.at(id).closed);
  }
  EXPECT_EQ(pair.at_client.goaways, 0);
}

// What a client sends, byte by byte, and how the server answers: RFC 9113 section 5.1.
struct Wrong {
  explicit Wrong(const Http2Session::Options& options = {})
      : server(Http2Session::Role::kServer, at_server, options) {
    at_server.session = &server;
    at_server.at_end = [this](Http2Stream& stream) { server.respond(stream, kOk, true); };
    EXPECT_TRUE(server.receive(as_bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), kNow));
    say(4, 0, 0, "");
  }
  void say(std::uint8_t type, std::uint8_t flags, std::uint8_t stream, std::string_view payload) {
    std::string bytes{0, 0, static_cast<char>(payload.size())};
    for (const std::uint8_t one : {type, flags}) bytes.push_back(static_cast<char>(one));
    bytes += std::string(3, '\0') + static_cast<char>(stream) + std::string(payload);
    EXPECT_TRUE(server.receive(as_bytes(bytes), kNow));
    EXPECT_TRUE(server.collect(heard, 1U << 20));
  }
  // The error codes of the frames of this type that the server has sent.
  std::vector<Http2Error> codes(std::uint8_t type) const {
    std::vector<Http2Error> found;
    for (auto rest = heard.view(); !rest.empty();) {
      const std::size_t length = load_be32(rest.data()) >> 8;
      const std::size_t at = type == kGoawayType ? 4 : 0;
      if (rest[3] == type) {
        found.push_back(static_cast<Http2Error>(load_be32(rest.data() + 9 + at)));
      }
      rest = rest.subspan(9 + length);
    }
    return found;
  }
  static constexpr std::uint8_t kDataType = 0, kHeadersType = 1, kResetType = 3, kGoawayType = 7;
  // :method GET, :scheme http, :path /, :authority x
  static constexpr std::string_view kBlock = "\x82\x86\x84\x01\x01x";
  Recorder at_server;
  Http2Session server;
  ByteQueue heard;
};

TEST(Http2Session, NothingFollowsTheEndOfARequest) {
  for (const auto type : {Wrong::kDataType, Wrong::kHeadersType}) {
    Wrong peer;
    peer.say(Wrong::kHeadersType, 5, 1, Wrong::kBlock);
    EXPECT_TRUE(peer.at_server.streams.at(1).closed);
    EXPECT_TRUE(peer.codes(Wrong::kGoawayType).empty());
    peer.say(type, 5, 1, Wrong::kBlock);
    EXPECT_EQ(peer.codes(Wrong::kGoawayType), std::vector{Http2Error::kStreamClosed});
    EXPECT_TRUE(peer.server.finished());
  }
}

TEST(Http2Session, WhatFollowsTheResetOfARequestIsResetUntilItIsTooMuch) {
  for (const auto type : {Wrong::kDataType, Wrong::kHeadersType}) {
    Http2Session::Options options;
    options.reset_burst = 10;
    Wrong peer(options);
    peer.say(Wrong::kHeadersType, 4, 1, Wrong::kBlock);
    peer.say(Wrong::kResetType, 0, 1, std::string_view("\0\0\0\x08", 4));
    EXPECT_TRUE(peer.at_server.streams.at(1).closed);
    peer.say(type, 5, 1, Wrong::kBlock);
    EXPECT_EQ(peer.codes(Wrong::kResetType), std::vector{Http2Error::kStreamClosed});
    EXPECT_TRUE(peer.codes(Wrong::kGoawayType).empty());
    for (int i = 0; i < 10; ++i) peer.say(type, 5, 1, Wrong::kBlock);
    EXPECT_FALSE(peer.codes(Wrong::kGoawayType).empty());
    EXPECT_EQ(peer.codes(Wrong::kGoawayType).back(), Http2Error::kEnhanceYourCalm);
    EXPECT_TRUE(peer.server.finished());
  }
}

TEST(Http2Session, StreamsThatWerePassedOverStayClosed) {
  Wrong peer;
  peer.say(Wrong::kHeadersType, 5, 5, Wrong::kBlock);
  peer.say(Wrong::kHeadersType, 5, 3, Wrong::kBlock);
  EXPECT_EQ(peer.codes(Wrong::kGoawayType), std::vector{Http2Error::kProtocolError});
  EXPECT_TRUE(peer.server.finished());
  EXPECT_EQ(peer.at_server.streams.size(), 1U);
}

TEST(Http2Session, StreamsAboveTheLimitWait) {
  Http2Session::Options options;
  options.max_concurrent_streams = 2;
  Pair pair(options);
  pair.settle();
  for (int i = 0; i < 5; ++i) ASSERT_NE(pair.client.open(kRequest, true, nullptr), nullptr);
  pair.settle();
  EXPECT_EQ(pair.at_server.streams.size(), 2U);
  pair.server.respond(*pair.at_server.streams.at(1).stream, kOk, true);
  pair.settle();
  EXPECT_EQ(pair.at_server.streams.size(), 3U);
}

TEST(Http2Session, RapidResetEndsTheConnection) {
  Http2Session::Options options;
  options.reset_burst = 20;
  Pair pair(options);
  pair.settle();
  for (int i = 0; i < 100 && pair.at_client.goaways == 0; ++i) {
    auto* stream = pair.client.open(kRequest, false, nullptr);
    if (!stream) break;
    Pair::carry(pair.client, pair.server);
    pair.client.reset(*stream, Http2Error::kCancel);
    pair.settle();
  }
  EXPECT_GE(pair.at_client.goaways, 1);
  EXPECT_EQ(pair.at_client.goaway, Http2Error::kEnhanceYourCalm);
  EXPECT_EQ(pair.at_server.streams.size(), 21U);
  EXPECT_TRUE(pair.server.finished());
}

TEST(Http2Session, ResetsWithinTheRateAreFine) {
  Http2Session::Options options;
  options.reset_burst = 20;
  options.resets_per_second = 10;
  Pair pair(options);
  pair.settle();
  std::uint64_t now = kNow;
  for (int i = 0; i < 200; ++i, now += 100'000'000) {
    auto* stream = pair.client.open(kRequest, false, nullptr);
    ASSERT_NE(stream, nullptr);
    Pair::carry(pair.client, pair.server);
    pair.client.reset(*stream, Http2Error::kCancel);
    ByteQueue bytes;
    ASSERT_TRUE(pair.client.collect(bytes, 1U << 20));
    ASSERT_TRUE(pair.server.receive(bytes.view(), now));
    Pair::carry(pair.server, pair.client);
  }
  EXPECT_EQ(pair.at_client.goaways, 0);
}

TEST(Http2Session, PingFloodEndsTheConnection) {
  Pair pair;
  pair.settle();
  std::string flood;
  const std::string ping("\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong", 17);
  for (std::size_t i = 0; i < limits::kHttp2ChatterBurst; ++i) flood += ping;
  EXPECT_TRUE(pair.server.receive(as_bytes(flood), kNow));  // the client's SETTINGS count as well
  pair.settle();
  EXPECT_GE(pair.at_client.goaways, 1);
  EXPECT_EQ(pair.at_client.goaway, Http2Error::kEnhanceYourCalm);
  EXPECT_TRUE(pair.server.finished());
}

TEST(Http2Session, PingsWithinTheRateAreFine) {
  Http2Session::Options options;
  options.chatter_burst = 5;
  options.chatter_per_second = 10;
  Pair pair(options);
  pair.settle();
  const std::string ping("\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong", 17);
  std::uint64_t now = kNow;
  for (int i = 0; i < 200; ++i, now += 100'000'000) {
    ASSERT_TRUE(pair.server.receive(as_bytes(ping), now));
    Pair::carry(pair.server, pair.client);
  }
  EXPECT_EQ(pair.at_client.goaways, 0);
  // Faster than that, they are too many after a burst.
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(pair.server.receive(as_bytes(ping), now));
  pair.settle();
  EXPECT_GE(pair.at_client.goaways, 1);
}

TEST(Http2Session, UnsentAnswersAreBounded) {
  Http2Session::Options options;
  options.chatter_burst = 1U << 20;
  Pair pair(options);
  pair.settle();
  std::string flood;
  const std::string ping("\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong", 17);
  for (std::size_t i = 0; i <= limits::kHttp2OutboundAcksMax; ++i) flood += ping;
  EXPECT_FALSE(pair.server.receive(as_bytes(flood), kNow));
}

TEST(Http2Session, PrioritiesAreOfStreams) {
  Pair pair;
  pair.settle();
  const std::string priority("\x00\x00\x05\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10", 14);
  EXPECT_TRUE(pair.server.receive(as_bytes(priority), kNow));
  pair.settle();
  EXPECT_EQ(pair.at_client.goaway, Http2Error::kProtocolError);
}

TEST(Http2Session, DrainServesWhatIsUnderWay) {
  Pair pair;
  pair.settle();
  auto* first = pair.client.open(kRequest, false, nullptr);
  ASSERT_NE(first, nullptr);
  pair.settle();
  pair.server.begin_drain();
  // This one crosses the GOAWAY on the wire and must be served.
  ASSERT_NE(pair.client.open(kRequest, true, nullptr), nullptr);
  Pair::carry(pair.client, pair.server);
  pair.settle();
  EXPECT_FALSE(pair.client.can_open());
  EXPECT_EQ(pair.client.open(kRequest, true, nullptr), nullptr);
  EXPECT_FALSE(pair.server.finished());
  for (const std::int32_t id : {1, 3}) {
    pair.server.respond(*pair.at_server.streams.at(id).stream, kOk, true);
  }
  pair.client.finish(*first, {});
  pair.settle();
  EXPECT_TRUE(pair.at_client.streams.at(3).ended);
  EXPECT_TRUE(pair.server.finished());
  EXPECT_TRUE(pair.client.finished());
}

TEST(Http2Session, ADrainNobodyAnswersIsSealedByItsOwner) {
  Http2Session::Options options;
  Recorder events;
  Http2Session server(Http2Session::Role::kServer, events, options);
  events.session = &server;
  server.begin_drain();
  ByteQueue out;
  ASSERT_TRUE(server.collect(out, 1U << 20));
  EXPECT_FALSE(server.peer_started());
  EXPECT_FALSE(server.wants_write());
  server.seal();
  ASSERT_TRUE(server.collect(out, 1U << 20));
  EXPECT_TRUE(server.finished());
}

TEST(Http2Session, AClientDrainsAfterItsLastStream) {
  Pair pair;
  pair.echo("answer");
  ASSERT_NE(pair.client.open(kRequest, true, nullptr), nullptr);
  pair.client.begin_drain();
  EXPECT_EQ(pair.client.open(kRequest, true, nullptr), nullptr);
  pair.settle();
  EXPECT_EQ(pair.at_client.streams.at(1).data, "answer");
  EXPECT_TRUE(pair.client.finished());
  EXPECT_TRUE(pair.server.finished());
}

TEST(Http2Session, PacedStreamsAreCountedApart) {
  Pair pair;
  pair.settle();
  for (int i = 0; i < 2; ++i) ASSERT_NE(pair.client.open(kRequest, true, nullptr), nullptr);
  pair.settle();
  auto& paced = *pair.at_server.streams.at(1).stream;
  auto& plain = *pair.at_server.streams.at(3).stream;
  paced.paced = true;
  Pair::put(pair.server, paced, std::string(100, 'p'));
  Pair::put(pair.server, plain, std::string(10, 'q'));
  EXPECT_EQ(pair.server.unsent_bytes(), 110U);
  EXPECT_EQ(pair.server.unpaced_bytes(), 10U);
  pair.server.respond(plain, kOk, false);
  pair.settle();
  EXPECT_EQ(pair.server.unsent_bytes(), 100U);
  EXPECT_EQ(pair.server.unpaced_bytes(), 0U);
  pair.server.reset(paced, Http2Error::kCancel);
  pair.settle();
  EXPECT_EQ(pair.server.unsent_bytes(), 0U);
}

TEST(Http2Session, AbandonClosesEveryStreamOnce) {
  Pair pair;
  pair.settle();
  for (int i = 0; i < 3; ++i) ASSERT_NE(pair.client.open(kRequest, false, nullptr), nullptr);
  pair.settle();
  pair.server.abandon(Http2Error::kCancel);
  EXPECT_EQ(pair.server.open_streams(), 0U);
  for (const auto& [id, seen] : pair.at_server.streams) EXPECT_TRUE(seen.closed) << id;
  EXPECT_TRUE(pair.server.finished());
  EXPECT_FALSE(pair.server.receive(as_bytes("x"), kNow));
}

TEST(Http2Session, PingsAreAnswered) {
  Pair pair;
  pair.settle();
  pair.client.ping(7);
  pair.settle();
  EXPECT_EQ(pair.at_client.pings, 1);
}

TEST(Http2Session, SurvivesAnotherProtocol) {
  Pair pair;
  EXPECT_FALSE(pair.server.receive(as_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), kNow));
  EXPECT_TRUE(pair.at_server.streams.empty());
}

// Every single-byte damage of a real conversation, and its truncations: no crash, no hang, and
// every stream that was announced is closed in the end.
TEST(Http2Session, SurvivesDamagedBytes) {
  ByteQueue good;
  {
    Pair pair;
    for (int i = 0; i < 3; ++i) {
      auto* stream = pair.client.open(kRequest, false, nullptr);
      Pair::put(pair.client, *stream, "0123456789");
      pair.client.finish(*stream, {});
    }
    ASSERT_TRUE(pair.client.collect(good, 1U << 20));
  }
  std::minstd_rand random(1);
  for (std::size_t at = 24; at < good.size(); ++at) {
    for (int variant = 0; variant < 8; ++variant) {
      std::string bytes(as_text(good.view()));
      bytes[at] = static_cast<char>(variant == 0 ? ~bytes[at] : static_cast<int>(random()));
      Pair pair;
      pair.echo("answer");
      (void)pair.server.receive(as_bytes(bytes), kNow).has_value();
      ByteQueue out;
      (void)pair.server.collect(out, 1U << 20).has_value();
      pair.server.abandon(Http2Error::kCancel);
      for (const auto& [id, seen] : pair.at_server.streams) ASSERT_TRUE(seen.closed) << at;
    }
  }
}

TEST(Http2Session, ByteByByteIsTheSame) {
  Pair pair;
  pair.echo("answer");
  auto* stream = pair.client.open(kRequest, false, nullptr);
  Pair::put(pair.client, *stream, "request");
  pair.client.finish(*stream, {});
  ByteQueue bytes;
  ASSERT_TRUE(pair.client.collect(bytes, 1U << 20));
  for (const auto byte : bytes.view()) ASSERT_TRUE(pair.server.receive({&byte, 1}, kNow));
  EXPECT_EQ(pair.at_server.streams.at(1).data, "request");
  EXPECT_TRUE(pair.at_server.streams.at(1).ended);
}

TEST(ByteQueue, KeepsOrderThroughGrowthAndMoves) {
  ByteQueue queue;
  std::string expected, got;
  std::minstd_rand random(7);
  for (int i = 0; i < 2000; ++i) {
    const std::string part(random() % 700, static_cast<char>('a' + i % 26));
    queue.append(as_bytes(part));
    expected += part;
    const std::size_t take = random() % (queue.size() + 1);
    got += as_text(queue.view().first(take));
    queue.pop(take);
  }
  got += as_text(queue.view());
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace capstan::wire
