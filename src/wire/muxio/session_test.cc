// Why this file exists: both halves of Muxio against each other in the simulator, and the server
// against hand-made bytes: what upstream's clients send, what they never would, and peers that do
// not read.
#include "wire/muxio/session.h"

#include <gtest/gtest.h>

#include "rpc/interceptors/refused_testing.h"
#include "wire/muxio/muxio_testing.h"
#include "wire/websocket/websocket_handshake.h"

namespace capstan::wire::muxio::testing {
namespace {

using core::Task;

HealthCheckRequest check_of(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

// Connects a client, runs `body(world, client)`, closes it.
template <class Body>
Task<void> with_client(TestWorld* world, ClientOptions options, Body body) {
  const bool local = options.address.kind == core::Address::Kind::kUnix;
  Client client(local ? world->server_env : world->client_env, std::move(options));
  const auto connected = co_await client.connect({});
  EXPECT_TRUE(connected) << (connected ? "" : connected.error().text());
  if (connected) co_await body(*world, client);
  co_await client.close();
}

template <class Body>
void run_with_client(TestWorld& world, Body body, ClientOptions options = {}) {
  if (options.address.host.empty() && options.address.path.empty()) {
    options.address = world.address();
  }
  world.run([body, options](TestWorld& in) { return with_client(&in, options, body); });
}

Task<void> unary_calls(TestWorld& world, Client& client) {
  HealthCheckResponse response;
  const auto good = co_await client.unary(kUnary, check_of("x"), response, {});
  EXPECT_TRUE(good) << (good ? "" : good.error().text());
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  const auto missing = co_await client.unary(kUnary, check_of("missing"), response, {});
  CAPSTAN_ASSERT(!missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(missing.error().message, "no such service");
  const auto unknown = co_await client.unary("no.Such/Method", check_of(""), response, {});
  CAPSTAN_ASSERT(!unknown);
  EXPECT_EQ(unknown.error().code, Code::kUnimplemented);
  // Arguments on both sides of the border between metadata and payload, and of whole frames.
  for (const std::size_t size :
       {65'000U, 65'521U, 65'532U, 65'533U, 65'536U, 131'054U, 1'000'000U}) {
    const auto large =
        co_await client.unary(kUnary, check_of(std::string(size, 'a')), response, {});
    EXPECT_TRUE(large) << size;
  }
  EXPECT_EQ(world.service.started, 9);
}

TEST(MuxioSession, UnaryCalls) {
  for (const std::size_t header_bytes : {kLongHeaderBytes, kShortHeaderBytes}) {
    TestWorld world;
    run_with_client(world, unary_calls, {.header_bytes = header_bytes});
  }
}

TEST(MuxioSession, UnaryCallsOverIpc) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    return with_client(&in, {.address = core::Address::unix_path(kSocket)}, unary_calls);
  });
}

TEST(MuxioSession, NothingOfACallsMetadataIsLeftForTheNext) {
  TestWorld world;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    HealthCheckResponse response;
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(co_await client.unary(kUnary, check_of("x"), response, {}));
      EXPECT_EQ(in.service.initial_seen, 0U);
      EXPECT_EQ(in.service.trailers_seen, 0U);
    }
  });
}

Task<void> ask(Client* client, std::string service, int* done, int* at) {
  HealthCheckResponse response;
  const auto result = co_await client->unary(kUnary, check_of(service), response, {});
  EXPECT_TRUE(result);
  *at = ++*done;
}

TEST(MuxioSession, OtherOperationsRunSideBySide) {
  TestWorld world;
  run_with_client(world, [](TestWorld&, Client& client) -> Task<void> {
    core::Scope scope;
    int done = 0, slow = 0, fast = 0;
    scope.spawn(ask(&client, "slow", &done, &slow));
    scope.spawn(ask(&client, "fast", &done, &fast));
    co_await scope.join();
    EXPECT_EQ(fast, 1);
    EXPECT_EQ(slow, 2);
  });
}

Task<void> streams(TestWorld& world, Client& client) {
  ExportImageRequest request;
  request.set_offset(100'000);
  request.set_length(50);
  auto answers = client.open(kServerStream, &request);
  CAPSTAN_ASSERT(answers.has_value());
  ExportImageResponse part;
  int count = 0;
  while (true) {
    const auto got = co_await (*answers)->next(part);
    CAPSTAN_ASSERT(got.has_value());
    if (!*got) break;
    EXPECT_EQ(part.data().data().size(), 100'000U);
    ++count;
  }
  EXPECT_EQ(count, 50);

  request.set_replica("broken");
  request.set_length(1);
  auto broken = client.open(kServerStream, &request);
  EXPECT_TRUE((co_await (*broken)->next(part)).value_or(false));
  const auto error = co_await (*broken)->next(part);
  CAPSTAN_ASSERT(!error);
  EXPECT_EQ(error.error().code, Code::kDataLoss);

  auto both = client.open(kBidirectional, nullptr);
  ServerReflectionRequest question;
  ServerReflectionResponse answer;
  for (int i = 0; i < 5; ++i) {
    question.set_host(std::to_string(i));
    EXPECT_TRUE(co_await (*both)->send(question));
    EXPECT_TRUE((co_await (*both)->next(answer)).value_or(false));
    EXPECT_EQ(answer.valid_host(), std::to_string(i));
  }
  (*both)->finish_sending();
  EXPECT_FALSE((co_await (*both)->next(answer)).value_or(true));
  EXPECT_EQ(world.service.started, 3);
}

TEST(MuxioSession, Streams) {
  TestWorld world;
  run_with_client(world, streams);
}

TEST(MuxioSession, SlowHandlerOfAStreamHoldsTheSenderUp) {
  TestWorld world;
  world.service.pause = 10 * core::kMillisecond;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    auto call = client.open(kClientStream, nullptr);
    ImportImageRequest part;
    part.mutable_data()->set_data(std::string(200'000, 'd'));
    std::uint64_t sent = 0;
    for (int i = 0; i < 60; ++i) {
      const auto step = co_await (*call)->send(part);
      EXPECT_TRUE(step);
      sent += 200'000;
    }
    (*call)->finish_sending();
    ImportImageResponse answer;
    EXPECT_TRUE((co_await (*call)->next(answer)).value_or(false));
    EXPECT_EQ(answer.size_bytes(), 60U);
    EXPECT_EQ(answer.data_bytes(), sent);
    EXPECT_EQ(in.service.started, 1);
  });
}

TEST(MuxioSession, EndlessCallIsCancelledAndWaitsForTheReader) {
  TestWorld world;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    const HealthCheckRequest request;
    auto call = client.open(kEndless, &request);
    HealthCheckResponse response;
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE((co_await (*call)->next(response)).value_or(false));
    }
    (*call)->cancel(Code::kCancelled);
    while (in.service.cancelled == 0) {
      EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    }
    EXPECT_EQ(in.service.cancel_reason, Code::kCancelled);
    // The connection goes on.
    EXPECT_TRUE(co_await client.unary(kUnary, check_of("x"), response, {}));
  });
}

TEST(MuxioSession, UnaryCallIsCancelledByItsToken) {
  TestWorld world;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    core::CancelSource source;
    core::Timer timer([&source] { source.fire(Code::kDeadlineExceeded); });
    auto& reactor = *core::Reactor::current();
    timer.arm_at(reactor, reactor.now() + core::kSecond);
    HealthCheckResponse response;
    const auto result = co_await client.unary(kUnary, check_of("wait"), response, source.token());
    CAPSTAN_ASSERT(!result);
    EXPECT_EQ(result.error().code, Code::kDeadlineExceeded);
    while (in.service.cancelled == 0) {
      EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    }
  });
}

TEST(MuxioSession, LostConnectionEndsCallsOnBothSides) {
  TestWorld world;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    in.world.reactor().after(core::kSecond, [&in] {
      in.world.network().reset(in.server_env.address(), in.client_env.address());
    });
    HealthCheckResponse response;
    const auto result = co_await client.unary(kUnary, check_of("wait"), response, {});
    CAPSTAN_ASSERT(!result);
    EXPECT_EQ(result.error().code, Code::kUnavailable);
    const auto later = co_await client.unary(kUnary, check_of("x"), response, {});
    CAPSTAN_ASSERT(!later);
    EXPECT_EQ(later.error().code, Code::kUnavailable);
    while (in.service.cancelled == 0) {
      EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    }
  });
}

TEST(MuxioSession, ShuttingDownLetsCallsEnd) {
  TestWorld world;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    core::Scope scope;
    int done = 0, at = 0;
    scope.spawn(ask(&client, "slow", &done, &at));
    while (in.service.started == 0) EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    in.server->stop(10 * core::kSecond);
    co_await scope.join();
    EXPECT_EQ(done, 1);
    HealthCheckResponse response;
    while (client.connected()) EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    EXPECT_FALSE(co_await client.unary(kUnary, check_of("x"), response, {}));
  });
}

TEST(MuxioSession, ServerCallsItsClient) {
  TestWorld world;
  const Served served{&world.directory, &world.methods};
  run_with_client(world,
                  [](TestWorld& in, Client& client) -> Task<void> {
                    HealthCheckResponse response;
                    EXPECT_TRUE(co_await client.unary(kUnary, check_of("x"), response, {}));
                    Session* session = in.server->sessions().front();
                    auto answer = co_await session->call(method_id(kUnary),
                                                         check_of("y").SerializeAsString(), {});
                    CAPSTAN_ASSERT(answer.has_value());
                    EXPECT_TRUE(response.ParseFromString(*answer));
                    const auto unknown = co_await session->call(1, "", {});
                    CAPSTAN_ASSERT(!unknown);
                    EXPECT_EQ(unknown.error().code, Code::kUnimplemented);
                  },
                  {.served = served});
}

// --- hand-made bytes ----------------------------------------------------------------------------

// A WebSocket client without any manners.
class RawPeer {
 public:
  static Task<std::unique_ptr<RawPeer>> connect(TestWorld* world) {
    auto stream = co_await world->client_env.network().connect(world->address(), {});
    CAPSTAN_ASSERT(stream.has_value());
    auto peer = std::make_unique<RawPeer>();
    peer->stream_ = *std::move(stream);
    const std::string request = websocket_request("x", "/ws", "dGhlIHNhbXBsZSBub25jZQ==");
    EXPECT_TRUE(co_await peer->stream_->write(as_bytes(request)));
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      std::uint8_t byte = 0;
      const auto got = co_await peer->stream_->read({&byte, 1});
      CAPSTAN_ASSERT(got && *got == 1);
      head.push_back(static_cast<char>(byte));
    }
    co_return peer;
  }

  Task<void> send(std::string message, WebSocketOpcode opcode = WebSocketOpcode::kBinary,
                  bool masked = true) {
    const WebSocketMask key = {1, 2, 3, 4};
    std::array<std::uint8_t, kWebSocketHeaderBytes> header;
    const std::size_t size = websocket_write_header(header.data(), opcode, true, message.size(),
                                                    masked ? &key : nullptr);
    if (masked) {
      websocket_mask({reinterpret_cast<std::uint8_t*>(message.data()), message.size()}, key, 0);
    }
    message.insert(0, as_text(ByteView(header).first(size)));
    (void)co_await stream_->write(as_bytes(message));
  }

  // The answers until `count` of them have ended: "request:status:payload " each; also "close:code"
  // and "end" of the connection.
  Task<std::string> answers(std::size_t count) {
    while (ended_ < count && !over_) {
      std::array<std::uint8_t, 4096> buffer;
      const auto got = co_await stream_->read(buffer);
      if (!got || *got == 0) {
        over_ = true;
        text_ += "end";
        break;
      }
      MutableBytes input(buffer.data(), *got);
      while (const auto event = *decoder_.next(input)) take(*event);
    }
    ended_ = 0;
    co_return std::exchange(text_, {});
  }
  core::Stream& stream() { return *stream_; }

 private:
  void take(const WebSocketEvent& event) {
    if (event.kind == WebSocketEvent::Kind::kClose)
      text_ += "close:" + std::to_string(event.code) + " ";
    if (event.kind == WebSocketEvent::Kind::kPing) text_ += "ping ", ++ended_;
    if (event.kind == WebSocketEvent::Kind::kPong) text_ += "pong ", ++ended_;
    if (event.kind != WebSocketEvent::Kind::kData) return;
    bytes_.append(as_text(event.data));
    const auto* at = reinterpret_cast<const std::uint8_t*>(bytes_.data());
    while (bytes_.size() >= 21 && bytes_.size() >= 21 + load_le<std::uint32_t>(at)) {
      const auto size = load_le<std::uint32_t>(at);
      if (at[12] == 0) {  // Open: all answers here are short
        text_ += std::to_string(load_le<std::uint32_t>(at + 22)) + ":" +
                 std::to_string(at[21 + 15]) + ":" + bytes_.substr(37, size - 16) + " ";
      }
      if (at[12] == 2) ++ended_;
      bytes_.erase(0, 21 + size);
      at = reinterpret_cast<const std::uint8_t*>(bytes_.data());
    }
  }

  std::unique_ptr<core::Stream> stream_;
  WebSocketDecoder decoder_{WebSocketDecoder::Role::kClient};
  std::string bytes_, text_;
  std::size_t ended_ = 0;
  bool over_ = false;
};

std::string frame(std::uint32_t stream, std::uint32_t sequence, FrameKind kind,
                  const std::string& payload = "") {
  std::string out(kLongHeaderBytes, '\0');
  write_frame_header(reinterpret_cast<std::uint8_t*>(out.data()), kLongHeaderBytes,
                     {static_cast<std::uint32_t>(payload.size()), stream, sequence, kind}, 0);
  return out + payload;
}

std::string call(std::uint32_t request, const std::string& metadata,
                 const std::string& payload = "", MessageType type = MessageType::kCall,
                 std::uint64_t method = method_id(kUnary)) {
  std::string out(kMessageHeaderBytes, '\0');
  write_message_header(reinterpret_cast<std::uint8_t*>(out.data()),
                       {type, request, method, static_cast<std::uint16_t>(metadata.size())});
  return out + metadata + payload;
}

constexpr char kServing[] = "\x08\x01";  // HealthCheckResponse
using enum FrameKind;

template <class Body>
Task<void> with_peer(TestWorld* world, Body body) {
  const auto peer = co_await RawPeer::connect(world);
  co_await body(*world, *peer);
}

template <class Body>
void run_with_peer(TestWorld& world, Body body) {
  world.run([body](TestWorld& in) { return with_peer(&in, body); });
}

const std::string kX = "\x0A\x01x";  // HealthCheckRequest{service: "x"}
const std::string kMissing = "\x0A\x07missing";

TEST(MuxioServer, WhatUpstreamsClientsMaySend) {
  TestWorld world;
  run_with_peer(world, [](TestWorld&, RawPeer& peer) -> Task<void> {
    // One frame per message, as they do.
    co_await peer.send(frame(0, 0, kOpen, call(1, kX)));
    co_await peer.send(frame(0, 1, kEnd));
    EXPECT_EQ(co_await peer.answers(1), std::string("1:0:") + kServing + " ");
    // Everything in one message; a payload wins over metadata; numbers may be used again.
    co_await peer.send(frame(0, 0, kOpen, call(2, kX, kMissing)) + frame(0, 1, kEnd));
    EXPECT_EQ(co_await peer.answers(1), "2:2:NOT_FOUND: no such service ");
    // Out of order, and cut anywhere.
    const std::string mixed = frame(5, 1, kEnd) + frame(5, 0, kOpen, call(3, kX));
    co_await peer.send(mixed.substr(0, 30));
    co_await peer.send("ignored", WebSocketOpcode::kText);
    co_await peer.send(mixed.substr(30));
    EXPECT_EQ(co_await peer.answers(1), std::string("3:0:") + kServing + " ");
    // The end frame's payload counts.
    co_await peer.send(frame(6, 0, kEnd, call(4, kX)));
    EXPECT_EQ(co_await peer.answers(1), std::string("4:0:") + kServing + " ");
    // Unknown method, undecodable arguments.
    co_await peer.send(frame(7, 0, kEnd, call(5, "", "", MessageType::kCall, 77)));
    EXPECT_EQ(co_await peer.answers(1), "5:3: ");
    co_await peer.send(frame(8, 0, kEnd, call(6, "\xFF\xFF")));
    EXPECT_NE((co_await peer.answers(1)).find("6:2:"), std::string::npos);
    // Pings are answered.
    co_await peer.send("p", WebSocketOpcode::kPing);
    EXPECT_EQ(co_await peer.answers(1), "pong ");
  });
}

TEST(MuxioServer, LogsAndMetricsHearOfRefusals) {
  rpc::testing::HeardRefusals heard;
  ServerOptions options;
  options.session.refused = &heard.refused;
  TestWorld world(options);
  run_with_peer(world, [](TestWorld&, RawPeer& peer) -> Task<void> {
    co_await peer.send(frame(0, 0, kOpen, call(1, "\xFF\xFF")) + frame(0, 1, kEnd));
    co_await peer.answers(1);
    co_await peer.send(frame(1, 0, kOpen, call(2, kX, "", MessageType::kCall, 17)) +
                       frame(1, 1, kEnd));
    co_await peer.answers(1);
    co_await peer.send(frame(2, 0, kOpen, call(3, kX)) + frame(2, 1, kEnd));  // the chain's
    co_await peer.answers(1);
  });
  EXPECT_TRUE(heard.ended("grpc.health.v1.Health/Check", "muxio", "INVALID_ARGUMENT"))
      << heard.text();
  EXPECT_TRUE(heard.unknown("muxio", "UNIMPLEMENTED")) << heard.text();
  EXPECT_EQ(heard.records.count("call_failed", "wire=muxio"), 1);
  EXPECT_EQ(heard.records.count("request_refused", "asked=method 17 wire=muxio"), 1);
}

TEST(MuxioServer, WhatIsIgnored) {
  TestWorld world;
  run_with_peer(world, [](TestWorld& in, RawPeer& peer) -> Task<void> {
    // A cancelled call, a message of unknown type, an answer to nothing, an event: no answer, and
    // the rest of the same message counts.
    std::string junk = frame(1, 0, kOpen, call(1, kX)) + frame(1, 1, kCancel);
    junk += frame(2, 0, kEnd, call(2, kX, "", static_cast<MessageType>(9)));
    junk += frame(3, 0, kEnd, call(3, "", "", MessageType::kResponse));
    junk += frame(4, 0, kEnd, call(4, "", "", MessageType::kEvent));
    junk += frame(5, 0, kEnd, "short") + frame(6, 0, kEnd);
    junk += frame(7, 0, kEnd, call(7, kX));
    co_await peer.send(junk);
    EXPECT_EQ(co_await peer.answers(1), std::string("7:0:") + kServing + " ");
    // A request id twice among unanswered calls.
    co_await peer.send(frame(8, 0, kOpen, call(8, kX)) + frame(9, 0, kEnd, call(8, kMissing)) +
                       frame(8, 1, kEnd));
    EXPECT_EQ(co_await peer.answers(1), std::string("8:0:") + kServing + " ");
    EXPECT_EQ(in.service.started, 2);
  });
}

TEST(MuxioServer, Closing) {
  struct Row {
    std::string message;
    WebSocketOpcode opcode;
    bool masked;
    const char* answer;
  };
  const Row rows[] = {
      {std::string("\x03\xE8"
                   "bye",
                   5),
       WebSocketOpcode::kClose, true, "close:1000 end"},
      {std::string("\x0F\xA0", 2), WebSocketOpcode::kClose, true, "close:4000 end"},
      {"", WebSocketOpcode::kClose, true, "close:1005 end"},
      {"x", WebSocketOpcode::kBinary, false, "close:1002 end"},
      {"\xFF", WebSocketOpcode::kText, true, "close:1007 end"},
      {frame(0, 0, kOpen, "").replace(0, 4, "\xFF\xFF\xFF\x7F"), WebSocketOpcode::kBinary, true,
       "close:1009 end"},
  };
  for (const Row& row : rows) {
    TestWorld world;
    run_with_peer(world, [row](TestWorld&, RawPeer& peer) -> Task<void> {
      return [](Row one, RawPeer* from) -> Task<void> {
        // The size of the headers is known first.
        co_await from->send(frame(0, 0, kEnd, call(1, kX)));
        (void)co_await from->answers(1);
        co_await from->send(one.message, one.opcode, one.masked);
        EXPECT_EQ(co_await from->answers(9), one.answer);
      }(row, &peer);
    });
  }
}

TEST(MuxioServer, TooManyStreamsAndTooLargeRequests) {
  ServerOptions options;
  options.session.request_bytes = 1000;
  options.session.frames.streams = 4;
  TestWorld world(options);
  run_with_peer(world, [](TestWorld&, RawPeer& peer) -> Task<void> {
    const std::string part(400, 'a');
    co_await peer.send(frame(1, 0, kOpen, call(1, "", part)) + frame(1, 1, kData, part) +
                       frame(1, 2, kData, part));
    co_await peer.send(frame(1, 3, kData, part) + frame(1, 4, kEnd) +
                       frame(2, 0, kEnd, call(2, kX)));
    EXPECT_EQ(co_await peer.answers(2), std::string("1:2:request too large 2:0:") + kServing + " ");
    std::string many;
    for (std::uint32_t i = 0; i < 5; ++i) many += frame(10 + i, 0, kOpen, call(10 + i, kX));
    co_await peer.send(many);
    EXPECT_EQ(co_await peer.answers(9), "close:1008 end");
  });
}

TEST(MuxioServer, HalfARequestCostsNothingOnceItsSenderIsGone) {
  TestWorld world;
  run_with_peer(world, [](TestWorld& in, RawPeer& peer) -> Task<void> {
    co_await peer.send(frame(1, 0, kOpen, call(1, "", std::string(50'000, 'a'))));
    while (in.server->counters().unfinished_bytes == 0) {
      EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    }
    in.world.network().reset(in.server_env.address(), in.client_env.address());
    while (in.server->connections() != 0) {
      EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    }
    EXPECT_EQ(in.server->counters().unfinished_bytes, 0U);
    EXPECT_EQ(in.service.started, 0);
  });
}

TEST(MuxioServer, PeerThatDoesNotReadIsNotReadEither) {
  TestWorld world;
  run_with_peer(world, [](TestWorld& in, RawPeer& peer) -> Task<void> {
    co_await peer.send(frame(0, 0, kEnd, call(0, "", "", MessageType::kCall, method_id(kEndless))));
    EXPECT_TRUE(co_await core::sleep_for(10 * core::kSecond));
    const int sent = in.service.sent;
    EXPECT_TRUE(co_await core::sleep_for(100 * core::kSecond));
    EXPECT_EQ(in.service.sent, sent) << "the handler must wait";
    EXPECT_LT(static_cast<std::size_t>(sent) * 30, 2 * limits::kMuxioStreamQueuedBytes);
    in.world.network().reset(in.server_env.address(), in.client_env.address());
    while (in.server->connections() != 0) {
      EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
    }
    EXPECT_EQ(in.service.cancelled, 1);
  });
}

TEST(MuxioServer, SilentPeersArePinged) {
  TestWorld world;
  run_with_peer(world, [](TestWorld&, RawPeer& peer) -> Task<void> {
    const auto before = core::Reactor::current()->now();
    EXPECT_EQ(co_await peer.answers(2), "ping ping ");
    const auto waited = core::Reactor::current()->now() - before;
    EXPECT_GE(waited, 2 * limits::kMuxioPingNanos - core::kSecond);
    EXPECT_LE(waited, 2 * limits::kMuxioPingNanos + core::kSecond);
  });
}

TEST(MuxioServer, RandomBytesDoNoHarm) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    TestWorld world({}, seed);
    run_with_peer(world, [](TestWorld& in, RawPeer& peer) -> Task<void> {
      for (int i = 0; i < 30; ++i) {
        std::string junk(in.world.random().below(200), '\0');
        in.client_env.fill_random({reinterpret_cast<std::uint8_t*>(junk.data()), junk.size()});
        if (i % 2 == 0) junk = frame(static_cast<std::uint32_t>(i), 0, kOpen, junk);
        co_await peer.send(junk);
      }
      EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    });
  }
}

// --- what waits, stalls and ends ----------------------------------------------------------------

// A check whose message has `size` bytes more, in a field that nobody knows.
std::string padded(const std::string& request, std::size_t size) {
  std::string out = request + "\x7A";
  for (; size >= 0x80; size >>= 7) out.push_back(static_cast<char>(size | 0x80));
  out.push_back(static_cast<char>(size));
  return out;
}
const std::string kSlow = padded("\x0A\x04slow", 400) + std::string(400, 'p');
const std::string kWait = padded("\x0A\x04wait", 5000) + std::string(5000, 'p');

TEST(MuxioServer, RequestsOfRunningCallsCount) {
  ServerOptions options;
  options.session.held_bytes = 1000;
  TestWorld world(options);
  run_with_peer(world, [](TestWorld& in, RawPeer& peer) -> Task<void> {
    for (std::uint32_t i = 1; i <= 4; ++i) {
      co_await peer.send(frame(i, 0, kEnd, call(i, kSlow)));
      EXPECT_TRUE(co_await core::sleep_for(50 * core::kMillisecond));
    }
    EXPECT_EQ(in.service.started, 3) << "the fourth must not be read yet";
    EXPECT_GE(in.server->counters().unfinished_bytes, 3 * kSlow.size());
    (void)co_await peer.answers(4);
    EXPECT_EQ(in.service.started, 4);
    EXPECT_EQ(in.server->counters().unfinished_bytes, 0U);
    co_await peer.send(frame(5, 0, kEnd, call(5, "", kWait)));
    EXPECT_TRUE(co_await core::sleep_for(50 * core::kMillisecond));
    EXPECT_GE(in.server->counters().unfinished_bytes, kWait.size());
  });
}

Task<void> two_peers(TestWorld* world) {
  const auto greedy = co_await RawPeer::connect(world);
  const auto modest = co_await RawPeer::connect(world);
  // Half of a request that fits, and the beginning of one that does not: half of 2000 is all that
  // one connection may have.
  co_await greedy->send(frame(1, 0, kOpen, call(1, "", std::string(800, 'a'))));
  co_await greedy->send(frame(2, 0, kOpen, call(2, std::string(500, 'a')).substr(0, 315)));
  co_await greedy->send(frame(2, 1, kEnd, std::string(200, 'a')));
  constexpr char kRefusal[] =
      "2:RESOURCE_EXHAUSTED: too many bytes of requests are unfinished; try again later ";
  EXPECT_EQ(co_await greedy->answers(1), std::string("2:") + kRefusal);
  co_await greedy->send(frame(3, 0, kOpen, call(3, "", std::string(300, 'a'))));
  co_await greedy->send(frame(3, 1, kEnd));
  EXPECT_EQ(co_await greedy->answers(1), std::string("3:") + kRefusal);
  // Others are served, and so is the first call.
  co_await modest->send(frame(1, 0, kEnd, call(1, kX)));
  EXPECT_EQ(co_await modest->answers(1), std::string("1:0:") + kServing + " ");
  co_await greedy->send(frame(1, 1, kEnd));
  EXPECT_TRUE((co_await greedy->answers(1)).starts_with("1:2:INVALID_ARGUMENT"));
  co_await greedy->send(frame(4, 0, kEnd, call(4, kX)));
  EXPECT_EQ(co_await greedy->answers(1), std::string("4:0:") + kServing + " ");
}

TEST(MuxioServer, WhoAsksForTooMuchIsToldAndOthersAreServed) {
  ServerOptions options;
  options.session.all_bytes = 2000;
  TestWorld world(options);
  world.run([](TestWorld& in) { return two_peers(&in); });
}

TEST(MuxioSession, SilenceCountsOnlyWhileListening) {
  TestWorld world;
  run_with_client(world, [](TestWorld& in, Client& client) -> Task<void> {
    const HealthCheckRequest request;
    auto call = client.open(kEndless, &request);
    HealthCheckResponse response;
    EXPECT_TRUE((co_await (*call)->next(response)).value_or(false));
    EXPECT_TRUE(co_await core::sleep_for(100 * core::kSecond));  // nothing is taken meanwhile
    EXPECT_TRUE(client.connected());
    for (int i = 0; i < 100'000; ++i) {
      const auto got = co_await (*call)->next(response);
      CAPSTAN_ASSERT(got.value_or(false));
    }
    call->reset();
    EXPECT_TRUE(co_await client.unary(kUnary, check_of("x"), response, {}));
    // A server that is gone without a word still is found out.
    in.world.network().partition(in.server_env.address(), in.client_env.address());
    EXPECT_TRUE(co_await core::sleep_for(30 * core::kSecond));
    EXPECT_FALSE(client.connected());
    in.world.network().heal_all();
  });
}

TEST(MuxioSession, SlowWritesAreASignOfLife) {
  TestWorld world;
  world.world.network().options().bytes_per_second = 50'000;
  run_with_client(world, [](TestWorld&, Client& client) -> Task<void> {
    auto upload = client.open(kClientStream, nullptr);
    ImportImageRequest part;
    part.mutable_data()->set_data(std::string(1'000'000, 'd'));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(co_await (*upload)->send(part));
    (*upload)->finish_sending();
    ImportImageResponse answer;
    const auto got = co_await (*upload)->next(answer);
    EXPECT_TRUE(got) << (got ? "" : got.error().text());
    EXPECT_EQ(answer.size_bytes(), 3U);
  });
}

TEST(MuxioServer, ClosingDoesNotWaitForAPeerThatTakesNothing) {
  TestWorld world;
  run_with_peer(world, [](TestWorld& in, RawPeer& peer) -> Task<void> {
    co_await peer.send(frame(0, 0, kEnd, call(0, "", "", MessageType::kCall, method_id(kEndless))));
    EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
    in.server->sessions().front()->finish();
    EXPECT_TRUE(co_await core::sleep_for(15 * core::kSecond));
    EXPECT_EQ(in.server->connections(), 0U);
    if (in.server->connections() != 0) in.server->sessions().front()->abort("test");
  });
}

TEST(MuxioServer, SilentClientsAreDroppedWhenAsked) {
  ServerOptions options;
  options.session.link.silence_limit = 12 * core::kSecond;
  TestWorld world(options);
  run_with_peer(world, [](TestWorld&, RawPeer& peer) -> Task<void> {
    const auto before = core::Reactor::current()->now();
    EXPECT_EQ(co_await peer.answers(9), "ping ping end");
    const auto waited = core::Reactor::current()->now() - before;
    EXPECT_GE(waited, 11 * core::kSecond);
    EXPECT_LE(waited, 13 * core::kSecond);
  });
}

TEST(MuxioServer, TheLastCancelledRequestEndsADrainedConnection) {
  for (const FrameKind how : {kCancel, kEnd}) {
    TestWorld world;
    run_with_peer(world, [how](TestWorld& in, RawPeer& peer) -> Task<void> {
      return [](FrameKind kind, TestWorld* at, RawPeer* from) -> Task<void> {
        co_await from->send(frame(1, 0, kOpen, call(1, "\xFF\xFF")));
        while (at->server->calls_in_flight() == 0 && at->server->counters().unfinished_bytes == 0) {
          EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
        }
        at->server->stop(3600 * core::kSecond);
        const auto before = core::Reactor::current()->now();
        co_await from->send(frame(1, 1, kind));
        const std::string said = co_await from->answers(9);
        EXPECT_NE(said.find("close:1001 end"), std::string::npos) << said;
        EXPECT_LE(core::Reactor::current()->now() - before, 5 * core::kSecond);
      }(how, &in, &peer);
    });
  }
}

TEST(MuxioServer, WhoComesAfterTheEndIsSentAway) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    auto listener = in.server_env.network().listen(core::Address::tcp(in.server_env.address(), 99));
    auto client = co_await in.client_env.network().connect(
        core::Address::tcp(in.server_env.address(), 99), {});
    auto guest = co_await (*listener)->accept();
    in.server->stop(core::kSecond);
    EXPECT_TRUE(co_await core::sleep_for(2 * core::kSecond));
    in.server->adopt(*std::move(guest), {});
    EXPECT_EQ(in.server->counters().connections_opened, 0U);
    std::uint8_t byte = 0;
    EXPECT_EQ((co_await (*client)->read({&byte, 1})).value_or(0), 0U);
  });
}

}  // namespace
}  // namespace capstan::wire::muxio::testing
