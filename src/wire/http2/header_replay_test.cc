// Why this file exists: header lists that are sent again without the compressor must mean the same
// to whoever decompresses them, whatever else went through both tables. nghttp2's client is the
// judge: a table that got out of step ends its connection or shows in the headers.
#include "wire/http2/header_replay.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <random>

#include "wire/http2/http2_testing.h"

namespace capstan::wire {
namespace {

using namespace testing;
using Bytes = std::vector<std::uint8_t>;
using Listed = std::vector<std::pair<std::string, std::string>>;

constexpr std::array<Header, 3> kHead{
    {{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-accept-encoding", "gzip"}}};
constexpr std::array<Header, 1> kEnd{{{"grpc-status", "0"}}};

Listed listed(Headers headers) {
  Listed all;
  for (const auto& [name, value] : headers) all.emplace_back(name, value);
  return all;
}

struct Frame {
  std::uint8_t type, flags;
  Bytes payload;
};
std::vector<Frame> frames_of(ByteView bytes) {
  std::vector<Frame> frames;
  while (bytes.size() >= 9) {
    const std::size_t length = load_be32(bytes.data()) >> 8;
    const auto payload = bytes.subspan(9, length);
    frames.push_back({bytes[3], bytes[4], Bytes(payload.begin(), payload.end())});
    bytes = bytes.subspan(9 + length);
  }
  EXPECT_TRUE(bytes.empty());
  return frames;
}

// A server that answers every request as `answers` says, and a client that asks.
struct Replay : Pair {
  Replay() {
    server.set_usual(kHead, kEnd);
    at_server.at_end = [this](Http2Stream& stream) { answer(stream); };
    settle();
  }
  std::int32_t ask() {
    auto* stream = client.open(kRequest, true, nullptr);
    return stream ? stream->id() : 0;
  }
  std::function<void(Http2Stream&)> answer = [this](Http2Stream& stream) { usual(stream); };
  void usual(Http2Stream& stream) {
    server.respond_usual(stream);
    put(server, stream, "body");
    server.finish_usual(stream);
  }
  void expect_usual(std::int32_t id) {
    const auto& seen = at_client.streams.at(id);
    EXPECT_EQ(seen.headers, listed(kHead));
    EXPECT_EQ(seen.data, "body");
    EXPECT_EQ(seen.trailers, listed(kEnd));
    EXPECT_TRUE(seen.ended && seen.closed);
    EXPECT_EQ(seen.error, Http2Error::kNoError);
  }
  // What the server has to say now, which the client gets as well.
  std::vector<Frame> said() {
    ByteQueue bytes;
    EXPECT_TRUE(server.collect(bytes, 1U << 30));
    EXPECT_TRUE(client.receive(bytes.view(), kNow));
    return frames_of(bytes.view());
  }
  // The client's limit of the server's table. The answer to it is kept from the client, which knows
  // of nothing.
  void limit_table(std::uint8_t bytes) {
    const Bytes settings{0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, bytes};
    EXPECT_TRUE(server.receive(settings, kNow));
  }
  void carry_without_acks() {
    ByteQueue bytes, kept;
    EXPECT_TRUE(server.collect(bytes, 1U << 30));
    ByteView rest = bytes.view();
    while (!rest.empty()) {
      const std::size_t size = 9 + (load_be32(rest.data()) >> 8);
      if (rest[3] != NGHTTP2_SETTINGS) kept.append(rest.first(size));
      rest = rest.subspan(size);
    }
    EXPECT_TRUE(client.receive(kept.view(), kNow));
  }
};

TEST(HeaderReplay, TheUsualHeadersAreOneByteEach) {
  Replay replay;
  for (int i = 0; i < 5; ++i) {
    const auto id = replay.ask();
    Replay::carry(replay.client, replay.server);
    const auto frames = replay.said();
    replay.expect_usual(id);
    ASSERT_EQ(frames.size(), 3U);
    if (i < 2) continue;
    EXPECT_EQ(frames[0].payload.size(), 3U);
    EXPECT_EQ(frames[1].type, NGHTTP2_DATA);
    EXPECT_EQ(replay.server.replayed_trailers(), static_cast<unsigned>(i) - 1);
    EXPECT_EQ(frames[1].flags, 0);
    EXPECT_EQ(frames[2].payload.size(), 1U);
    EXPECT_EQ(frames[2].flags, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
  }
  EXPECT_EQ(replay.server.open_streams(), 0U);
  EXPECT_EQ(replay.server.unsent_bytes(), 0U);
}

TEST(HeaderReplay, AnswersOfAllKindsMixed) {
  Replay replay;
  std::mt19937 random(7);
  std::map<std::int32_t, Listed> trailers;
  replay.answer = [&](Http2Stream& stream) {
    const auto kind = random() % 8;
    if (kind < 5) return replay.usual(stream);
    // Every one of these enters the table, and some leave it.
    const std::string value = std::to_string(random() % 50) + std::string(random() % 40, 'v');
    const std::array<Header, 2> other{{{":status", "200"}, {"x-other", value}}};
    const std::array<Header, 2> end{{{"grpc-status", "5"}, {"grpc-message", value}}};
    if (kind == 5) {
      replay.server.respond(stream, other, false);
    } else {
      replay.server.respond_usual(stream);
    }
    Pair::put(replay.server, stream, "body");
    if (kind == 7) return replay.server.finish_usual(stream);
    trailers[stream.id()] = listed(end);
    replay.server.finish(stream, end);
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int32_t> ids;
    for (unsigned i = 0; i <= random() % 6; ++i) ids.push_back(replay.ask());
    if (random() % 10 == 0) replay.limit_table(static_cast<std::uint8_t>(random() % 200));
    Replay::carry(replay.client, replay.server);
    if (random() % 10 == 0) replay.limit_table(static_cast<std::uint8_t>(random() % 200));
    replay.carry_without_acks();
    for (const auto id : ids) {
      const auto& seen = replay.at_client.streams.at(id);
      ASSERT_TRUE(seen.ended && seen.closed) << round;
      ASSERT_EQ(seen.headers.size() == 3 ? seen.headers : listed(kHead), listed(kHead));
      ASSERT_EQ(seen.trailers, trailers.contains(id) ? trailers[id] : listed(kEnd)) << round;
    }
  }
  EXPECT_EQ(replay.at_client.goaways, 0);
}

TEST(HeaderReplay, ATableThatChangesBeforeTheHeadersLeave) {
  Replay replay;
  for (int i = 0; i < 3; ++i) {
    replay.expect_usual([&] {
      const auto id = replay.ask();
      replay.settle();
      return id;
    }());
  }
  const auto id = replay.ask();
  Replay::carry(replay.client, replay.server);  // answered, not sent
  replay.limit_table(0);
  replay.carry_without_acks();
  replay.expect_usual(id);
  replay.limit_table(100);
  for (int i = 0; i < 4; ++i) {
    const auto next = replay.ask();
    Replay::carry(replay.client, replay.server);
    replay.carry_without_acks();
    replay.expect_usual(next);
  }
}

TEST(HeaderReplay, TheEndMayComeLater) {
  Replay replay;
  replay.answer = [&](Http2Stream& stream) {
    replay.server.respond_usual(stream);
    Pair::put(replay.server, stream, "body");
  };
  for (int i = 0; i < 4; ++i) {
    const auto id = replay.ask();
    replay.settle();
    EXPECT_EQ(replay.at_client.streams.at(id).data, "body");
    EXPECT_FALSE(replay.at_client.streams.at(id).ended);
    replay.server.finish_usual(*replay.at_server.streams.at(id).stream);
    replay.settle();
    replay.expect_usual(id);
  }
}

TEST(HeaderReplay, TheEndFollowsTheLastOfManyFrames) {
  Replay replay;
  const std::string large(3U << 20, 'x');
  replay.answer = [&](Http2Stream& stream) {
    replay.server.respond_usual(stream);
    Pair::put(replay.server, stream, large);
    replay.server.finish_usual(stream);
  };
  for (int i = 0; i < 4; ++i) {
    const auto id = replay.ask();
    replay.settle();
    const auto& seen = replay.at_client.streams.at(id);
    EXPECT_EQ(seen.data, large);
    EXPECT_EQ(seen.trailers, listed(kEnd));
    EXPECT_TRUE(seen.ended && seen.closed);
  }
}

TEST(HeaderReplay, KnowsBlocksApart) {
  EXPECT_TRUE(block_is_references(Bytes{0x88, 0xBE}));
  EXPECT_FALSE(block_is_references(Bytes{}));
  EXPECT_FALSE(block_is_references(Bytes{0x88, 0xFF, 0x80}));       // an index of two bytes
  EXPECT_FALSE(block_is_references(Bytes{0x88, 0x40, 1, 'a', 1}));  // enters the table
  EXPECT_FALSE(block_is_references(Bytes{0x20, 0x88}));             // changes its size
  EXPECT_TRUE(block_is_empty(Bytes{}));
  EXPECT_TRUE(block_is_empty(Bytes{0x20, 0x3F, 0xE1, 0x07}));
  EXPECT_FALSE(block_is_empty(Bytes{0x20, 0x88}));
  EXPECT_FALSE(block_is_empty(Bytes{0x3F, 0xE1}));  // cut short
  ReplayedBlock block;
  block.learn(Bytes(9, 0x88));  // more than it keeps
  EXPECT_FALSE(block.known());
  block.learn(Bytes{0x88});
  EXPECT_TRUE(block.known());
  block.forget();
  EXPECT_FALSE(block.known());
}

}  // namespace
}  // namespace capstan::wire
