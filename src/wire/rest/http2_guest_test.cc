// Why this file exists: requests and answers on the streams of an HTTP/2 connection: bounds, who is
// told to go on, and answers that the client does not take: what they may hold, how long, and that
// requests go on once they are taken. A client's HTTP/2 session talks to a server's without a
// network between them.
#include "wire/rest/http2_guest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>

#include "wire/rest/rest_testing.h"

namespace capstan::wire::rest {
namespace {

using core::Task;
using testing::TestWorld;

// The server's side: every stream is the guest's.
struct Host final : Http2Events {
  Host(core::Reactor& reactor, const core::PeerInfo& peer, Pipeline& pipeline)
      : http2(Http2Session::Role::kServer, *this), guest(reactor, http2, peer, [] {}, pipeline) {}
  void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers, bool large) override {
    guest.on_headers(stream, kind, headers, large);
  }
  void on_data(Http2Stream& stream, ByteView data) override { guest.on_data(stream, data); }
  void on_end(Http2Stream& stream) override { guest.on_end(stream); }
  void on_closed(Http2Stream& stream, Http2Error error) override { guest.on_closed(stream, error); }
  void on_sent(Http2Stream& stream) override { guest.on_sent(stream); }
  int heads = 0;  // HEADERS frames it sent
  Http2Session http2;
  Http2Guest guest;
};

// The client's side; with a window of 0 it takes no body.
struct Client final : Http2Events {
  explicit Client(std::uint32_t window)
      : http2(Http2Session::Role::kClient, *this, {.stream_window_bytes = window}) {}
  void on_headers(Http2Stream&, HeadersKind, Headers headers, bool) override {
    for (const auto& [name, value] : headers) {
      if (name != ":status") continue;
      ++(value == "200" ? good : other);
      status = value;
    }
  }
  void on_data(Http2Stream& stream, ByteView data) override {
    bytes += data.size();
    if (slow) {
      untaken[&stream] += data.size();
    } else {
      http2.consume(stream, data.size());
    }
  }
  void on_end(Http2Stream&) override {}
  void on_closed(Http2Stream& stream, Http2Error error) override {
    untaken.erase(&stream);
    if (!leaving) ++(error == Http2Error::kNoError ? ended : reset);
  }
  void get(std::string_view path) {
    const std::array<Header, 4> headers{
        {{":method", "GET"}, {":scheme", "http"}, {":path", path}, {":authority", "localhost"}}};
    EXPECT_NE(http2.open(headers, true, nullptr), nullptr);
  }
  // The body follows with send().
  Http2Stream* put(std::string_view path, std::string_view expect) {
    const std::array<Header, 5> headers{{{":method", "PUT"},
                                         {":scheme", "http"},
                                         {":path", path},
                                         {":authority", "localhost"},
                                         {"expect", expect}}};
    return http2.open(headers, false, nullptr);
  }
  void send(Http2Stream& stream, std::string_view body) {
    std::ranges::copy(body, http2.reserve(stream, body.size()));
    http2.write(stream, body.size());
    http2.finish(stream, {});
  }
  void take() {
    for (const auto& [stream, count] : std::exchange(untaken, {})) http2.consume(*stream, count);
  }
  bool leaving = false;
  bool slow = false;  // takes what came with take() only
  std::map<Http2Stream*, std::size_t> untaken;
  int good = 0, other = 0, ended = 0, reset = 0;
  std::size_t bytes = 0;
  std::string status;  // of the last answer
  Http2Session http2;
};

// Of whole frames (RFC 9113 section 4.1).
int heads_of(ByteView frames) {
  int heads = 0;
  while (frames.size() >= 9) {
    heads += frames[3] == 0x01;
    const std::size_t length = frames[0] << 16U | frames[1] << 8U | frames[2];
    frames = frames.subspan(std::min(frames.size(), 9 + length));
  }
  return heads;
}

bool carry(Http2Session& from, Http2Session& to, std::uint64_t now, int* heads = nullptr) {
  ByteQueue queue;
  EXPECT_TRUE(from.collect(queue, 1U << 20));
  if (queue.size() == 0) return false;
  if (heads) *heads += heads_of(queue.view());
  EXPECT_TRUE(to.receive(queue.view(), now));
  return true;
}

Task<void> talk(Host* host, Client* client, core::Nanos duration) {
  auto& reactor = *core::Reactor::current();
  const core::Nanos end = reactor.now() + duration;
  while (reactor.now() < end) {
    bool moved = true;
    while (moved) {
      moved = carry(client->http2, host->http2, reactor.now());
      moved = carry(host->http2, client->http2, reactor.now(), &host->heads) || moved;
    }
    client->take();
    EXPECT_TRUE(co_await core::sleep_for(std::max<core::Nanos>(duration / 100, 1)));
  }
}

constexpr std::size_t kLarge = 1U << 20;
constexpr int kRequests = 100;

std::unique_ptr<TestWorld> large_world() {
  auto world = std::make_unique<TestWorld>();
  EXPECT_TRUE(world->server->add_view("/large", nullptr, [](const auto&) {
    Reply reply;
    reply.body = std::string(kLarge, 'l');
    return reply;
  }));
  return world;
}

Task<void> ask(TestWorld* world, core::Nanos duration, Client* client, std::size_t* most) {
  const core::PeerInfo peer;
  Host host(*core::Reactor::current(), peer, world->server->pipeline());
  *most = 0;
  for (int i = 0; i < kRequests; ++i) client->get("/large");
  for (int i = 0; i < 10; ++i) {
    co_await talk(&host, client, duration / 10);
    *most = std::max(*most, host.http2.unsent_bytes());
  }
  host.guest.abort();
  host.http2.abandon(Http2Error::kCancel);
  co_await host.guest.join();
  EXPECT_EQ(host.guest.calls_in_flight(), 0U);
  client->leaving = true;
  client->http2.abandon(Http2Error::kCancel);
}

// A path has the bound of an HTTP/1.1 request line; all headers together have one of their own.
TEST(Http2Guest, PathsHaveTheBoundOfALine) {
  auto world = large_world();
  struct Row {
    std::string path;
    const char* status;
  };
  const Row rows[] = {{"/" + std::string(9000, 'a'), "431"}, {"/nope", "404"}};
  for (const Row& row : rows) {
    Client client(1U << 20);
    world->run([&](TestWorld& in) -> Task<void> {
      return [](TestWorld* at, Client* asks, const Row* one) -> Task<void> {
        const core::PeerInfo peer;
        Host host(*core::Reactor::current(), peer, at->server->pipeline());
        asks->get(one->path);
        co_await talk(&host, asks, core::kSecond);
        co_await host.guest.join();
        asks->leaving = true;
        asks->http2.abandon(Http2Error::kCancel);
      }(&in, &client, &row);
    });
    EXPECT_EQ(client.status, row.status);
  }
}

// Whoever waits with the body is told to go on once it is wanted, and not when it never will be. An
// interim answer is one of which the client's session tells nobody.
TEST(Http2Guest, ExpectContinue) {
  auto world = large_world();
  Client client(1U << 20);
  world->run([&](TestWorld& in) -> Task<void> {
    return [](TestWorld* at, Client* asks) -> Task<void> {
      const core::PeerInfo peer;
      Host host(*core::Reactor::current(), peer, at->server->pipeline());
      Http2Stream* const pool = asks->put("/pools/p1", "100-Continue");
      EXPECT_NE(pool, nullptr);
      co_await talk(&host, asks, core::kSecond);
      EXPECT_EQ(host.heads, 1);
      EXPECT_EQ(asks->status, "");
      asks->send(*pool, "{}");
      co_await talk(&host, asks, core::kSecond);
      EXPECT_EQ(asks->status, "200");
      EXPECT_EQ(host.heads, 2);
      Http2Stream* const nowhere = asks->put("/nope", "100-continue");
      EXPECT_NE(nowhere, nullptr);
      co_await talk(&host, asks, core::kSecond);
      EXPECT_EQ(asks->status, "404");
      EXPECT_EQ(host.heads, 3);
      Http2Stream* const odd = asks->put("/pools/p2", "miracles");  // not for us
      EXPECT_NE(odd, nullptr);
      co_await talk(&host, asks, core::kSecond);
      EXPECT_EQ(host.heads, 3);
      asks->send(*odd, "{}");
      co_await talk(&host, asks, core::kSecond);
      EXPECT_EQ(asks->status, "200");
      EXPECT_EQ(host.heads, 4);
      Http2Stream* const hasty = asks->put("/pools/p3", "100-continue");  // the body comes at once
      EXPECT_NE(hasty, nullptr);
      asks->send(*hasty, "{}");
      co_await talk(&host, asks, core::kSecond);
      EXPECT_EQ(asks->good, 3);
      EXPECT_EQ(host.heads, 5);
      host.guest.abort();
      asks->leaving = true;
      asks->http2.abandon(Http2Error::kCancel);
      host.http2.abandon(Http2Error::kCancel);
      co_await host.guest.join();
    }(&in, &client);
  });
}

TEST(Http2Guest, AnswersThatNobodyTakesAreBounded) {
  auto world = large_world();
  Client client(0);
  std::size_t most = 0;
  world->run([&](TestWorld& in) { return ask(&in, 10 * core::kSecond, &client, &most); });
  EXPECT_GE(most, limits::kHttp2OutputBufferBytes);
  EXPECT_LE(most, limits::kHttp2OutputBufferBytes + 2 * kLarge);
  EXPECT_EQ(client.bytes, 0U);
  EXPECT_LT(client.good, 10);
}

// They are thrown away after a while, and then it is the turn of the requests that waited for room.
TEST(Http2Guest, AnswersThatNobodyTakesAreReset) {
  auto world = large_world();
  Client client(0);
  std::size_t most = 0;
  constexpr int kAtOnce = limits::kHttp2OutputBufferBytes / kLarge;
  constexpr core::Nanos kWhile = 3 * limits::kRestStalledNanos + limits::kRestStalledNanos / 2;
  world->run([&](TestWorld& in) { return ask(&in, kWhile, &client, &most); });
  EXPECT_EQ(client.reset, 3 * kAtOnce);
  EXPECT_EQ(client.good, 4 * kAtOnce);
  EXPECT_EQ(client.other, 0);
  EXPECT_EQ(client.bytes, 0U);
  EXPECT_LE(most, limits::kHttp2OutputBufferBytes + 2 * kLarge);
}

// Slowly is fast enough, as long as something is taken.
TEST(Http2Guest, AnswersThatAreTakenSlowlyAreNotReset) {
  auto world = large_world();
  Client client(kLarge / 16);
  client.slow = true;
  std::size_t most = 0;
  constexpr core::Nanos kStep = limits::kRestStalledNanos / 2;  // a sixteenth each
  world->run([&](TestWorld& in) { return ask(&in, 1000 * kStep, &client, &most); });
  EXPECT_EQ(client.reset, 0);
  EXPECT_EQ(client.ended, kRequests);
  EXPECT_EQ(client.bytes, kRequests * kLarge);
}

TEST(Http2Guest, WhoeverReadsGetsEverything) {
  auto world = large_world();
  Client client(limits::kHttp2StreamWindowBytes);
  std::size_t most = 0;
  world->run([&](TestWorld& in) { return ask(&in, 10 * core::kSecond, &client, &most); });
  EXPECT_EQ(client.good, kRequests);
  EXPECT_EQ(client.ended, kRequests);
  EXPECT_EQ(client.bytes, kRequests * kLarge);
  EXPECT_EQ(client.other, 0);
}

}  // namespace
}  // namespace capstan::wire::rest
