// Why this file exists: what the tests of HTTP/2 share: a server and a client session that talk in
// memory, and a record of what each was told.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "wire/http2/http2_session.h"

namespace capstan::wire::testing {

inline constexpr std::uint64_t kNow = 1'000'000'000;

struct Seen {
  std::vector<std::pair<std::string, std::string>> headers, trailers;
  std::string data;
  bool too_large = false, ended = false, closed = false;
  Http2Error error = Http2Error::kNoError;
  Http2Stream* stream = nullptr;
};

class Recorder : public Http2Events {
 public:
  std::map<std::int32_t, Seen> streams;
  std::vector<std::int32_t> order;
  bool consume_at_once = true;
  Http2Session* session = nullptr;
  std::function<void(Http2Stream&)> at_end;
  int goaways = 0, pings = 0;
  Http2Error goaway = Http2Error::kNoError;

  void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers, bool big) override {
    auto& seen = streams[stream.id()];
    order.push_back(stream.id());
    seen.stream = &stream;
    seen.too_large = big;
    auto& to = kind == HeadersKind::kTrailers ? seen.trailers : seen.headers;
    for (const auto& [name, value] : headers) to.emplace_back(name, value);
  }
  void on_data(Http2Stream& stream, ByteView data) override {
    streams[stream.id()].data += as_text(data);
    if (consume_at_once) session->consume(stream, data.size());
  }
  void on_end(Http2Stream& stream) override {
    streams[stream.id()].ended = true;
    if (at_end) at_end(stream);
  }
  void on_closed(Http2Stream& stream, Http2Error error) override {
    auto& seen = streams[stream.id()];
    EXPECT_FALSE(seen.closed);
    seen.closed = true;
    seen.error = error;
    seen.stream = nullptr;
  }
  void on_goaway(std::int32_t, Http2Error error, ByteView) override {
    ++goaways;
    goaway = error;
  }
  void on_ping_ack(std::uint64_t) override { ++pings; }
};

inline const std::array<Header, 4> kRequest{
    {{":method", "POST"}, {":scheme", "http"}, {":path", "/a.B/C"}, {":authority", "x"}}};
inline const std::array<Header, 1> kOk{{{":status", "200"}}};
inline const std::array<Header, 1> kTrailers{{{"grpc-status", "0"}}};

struct Pair {
  explicit Pair(const Http2Session::Options& server_options = {})
      : server(Http2Session::Role::kServer, at_server, server_options),
        client(Http2Session::Role::kClient, at_client) {
    at_server.session = &server;
    at_client.session = &client;
  }
  // Carries bytes both ways until nobody has any.
  void settle() {
    for (bool moved = true; moved;) {
      moved = carry(client, server);
      moved = carry(server, client) || moved;
    }
  }
  static bool carry(Http2Session& from, Http2Session& to) {
    ByteQueue bytes;
    EXPECT_TRUE(from.collect(bytes, 1U << 30));
    if (bytes.empty()) return false;
    EXPECT_TRUE(to.receive(bytes.view(), kNow));
    return true;
  }
  static void put(Http2Session& session, Http2Stream& stream, std::string_view text) {
    if (text.empty()) return;
    std::memcpy(session.reserve(stream, text.size()), text.data(), text.size());
    session.write(stream, text.size());
  }
  // Answers every request with `body` and trailers.
  void echo(const std::string& body) {
    at_server.at_end = [this, body](Http2Stream& stream) {
      server.respond(stream, kOk, false);
      put(server, stream, body);
      server.finish(stream, kTrailers);
    };
  }
  Recorder at_server, at_client;
  Http2Session server, client;
};

}  // namespace capstan::wire::testing
