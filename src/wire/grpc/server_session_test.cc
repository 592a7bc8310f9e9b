// Why this file exists: what a server answers to requests that no proper client sends. A
// hand-driven HTTP/2 client says exactly what it wants; its connection must survive every refusal.
#include "wire/grpc/server_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <optional>

#include "rpc/interceptors/refused_testing.h"
#include "wire/grpc/connection.h"
#include "wire/grpc/grpc_testing.h"
#include "wire/tls/tls_testing.h"

namespace capstan::wire::testing {
namespace {

using core::Task;

struct Answer {
  std::map<std::string, std::string> headers, trailers;
  std::string data;
  bool ended = false, closed = false;
  Http2Error error = Http2Error::kNoError;
  // grpc-status wherever it stood.
  std::string status() const {
    for (const auto* list : {&trailers, &headers}) {
      if (const auto found = list->find("grpc-status"); found != list->end()) return found->second;
    }
    return "none";
  }
  std::string message() const {
    const auto& list = trailers.empty() ? headers : trailers;
    const auto found = list.find("grpc-message");
    return found == list.end() ? "" : found->second;
  }
};

class RawClient final : private Http2Events {
 public:
  explicit RawClient(std::unique_ptr<core::Stream> stream)
      : connection(*core::Reactor::current(), std::move(stream), Http2Session::Role::kClient, *this,
                   {}) {}

  // A request with these headers in place of, or in addition to, the usual ones.
  Task<Answer> call(std::map<std::string, std::string> headers, std::string body, bool end = true) {
    std::map<std::string, std::string> all = {
        {":method", "POST"}, {":scheme", "http"}, {":path", std::string("/") + kUnary},
        {":authority", "x"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
    for (const auto& [name, value] : headers) all[name] = value;
    std::vector<Header> list;
    for (const auto& [name, value] : all) {
      if (!value.empty()) list.push_back({name, value});
    }
    Answer answer;
    auto* stream = connection.http2().open(list, false, &answer);
    std::memcpy(connection.http2().reserve(*stream, body.size() + 1), body.data(), body.size());
    connection.http2().write(*stream, body.size());
    if (end) connection.http2().finish(*stream, {});
    connection.wake();
    while (!answer.closed) co_await changed.wait();
    co_return answer;
  }

  Connection connection;
  Signal changed;
  bool consume = true;  // false: received bytes keep the windows closed

 private:
  static Answer& of(Http2Stream& stream) { return *static_cast<Answer*>(stream.context); }
  void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers, bool) override {
    auto& to = kind == HeadersKind::kTrailers ? of(stream).trailers : of(stream).headers;
    for (const auto& [name, value] : headers) to[std::string(name)] = value;
  }
  void on_data(Http2Stream& stream, ByteView data) override {
    of(stream).data += as_text(data);
    if (consume) connection.http2().consume(stream, data.size());
  }
  void on_end(Http2Stream& stream) override { of(stream).ended = true; }
  void on_closed(Http2Stream& stream, Http2Error error) override {
    of(stream).closed = true;
    of(stream).error = error;
    changed.notify();
  }
};

using Body = Task<void> (*)(TestWorld&, RawClient&);

Task<void> with_client(TestWorld& world, Body body) {
  auto stream = co_await world.client_env.network().connect(world.address(), {});
  EXPECT_TRUE(stream);
  RawClient client(*std::move(stream));
  core::Scope scope;
  scope.spawn(client.connection.run());
  co_await body(world, client);
  // Still alive after everything that was refused.
  const auto last = co_await client.call({}, std::string(5, '\0'));
  EXPECT_EQ(last.status(), "0");
  client.connection.cut("done");
  co_await scope.join();
}

void run(Body body, const ServerOptions& options = {}) {
  TestWorld world(options);
  world.run([body](TestWorld& w) { return with_client(w, body); });
}

std::string message(std::string_view body, bool compressed = false) {
  std::string out(kGrpcPrefixBytes, '\0');
  grpc_write_prefix(reinterpret_cast<std::uint8_t*>(out.data()), compressed,
                    static_cast<std::uint32_t>(body.size()));
  return out.append(body);
}

Task<void> http_body(TestWorld& world, RawClient& client) {
  const auto empty = message("");
  const auto get = co_await client.call({{":method", "GET"}}, "");
  EXPECT_EQ(get.headers.at(":status"), "405");
  EXPECT_EQ(get.headers.at("allow"), "POST");
  EXPECT_NE(get.data.find("gRPC server"), std::string::npos);
  const auto head = co_await client.call({{":method", "HEAD"}}, "");
  EXPECT_EQ(head.headers.at(":status"), "405");
  EXPECT_EQ(head.data, "");
  EXPECT_EQ((co_await client.call({{"content-type", "application/json"}}, "{}")).headers[":status"],
            "415");
  EXPECT_EQ((co_await client.call({{"content-type", ""}}, empty)).headers[":status"], "415");
  EXPECT_EQ((co_await client.call({{"content-type", "application/grpc+json"}}, empty)).status(),
            "12");
  EXPECT_EQ((co_await client.call({{"content-type", "application/grpc+proto"}}, empty)).status(),
            "0");
  EXPECT_EQ((co_await client.call({{"te", ""}}, empty)).status(), "0");  // tolerated
  EXPECT_EQ(world.service.started, 2);
}
TEST(ServerSession, RefusesWhatIsNotGrpc) {
  run(http_body);
}

Task<void> headers_body(TestWorld& world, RawClient& client) {
  const auto empty = message("");
  auto answer = co_await client.call({{"grpc-timeout", "soon"}}, empty);
  EXPECT_EQ(answer.status(), "3");
  EXPECT_EQ(answer.headers[":status"], "200");
  EXPECT_EQ((co_await client.call({{"grpc-timeout", "0n"}}, empty)).status(), "4");
  answer = co_await client.call({{"grpc-encoding", "snappy"}}, empty);
  EXPECT_EQ(answer.status(), "12");
  EXPECT_EQ(answer.headers["grpc-accept-encoding"], "identity,gzip");
  EXPECT_NE(answer.message().find("snappy"), std::string::npos);
  EXPECT_EQ((co_await client.call({{"key-bin", "not base64"}}, empty)).status(), "3");
  EXPECT_EQ((co_await client.call({{"large", std::string(20'000, 'x')}}, empty)).status(), "8");
  EXPECT_EQ((co_await client.call({{":path", "/no/slash/here"}}, empty)).status(), "12");
  EXPECT_EQ((co_await client.call({{":path", "/"}}, empty)).status(), "12");
  EXPECT_EQ(world.service.started, 0);
}
TEST(ServerSession, RefusesBadHeaders) {
  run(headers_body);
}

Task<void> messages_body(TestWorld& world, RawClient& client) {
  EXPECT_EQ((co_await client.call({}, "")).status(), "12");
  EXPECT_EQ((co_await client.call({}, message("") + message(""))).status(), "12");
  EXPECT_EQ((co_await client.call({}, message("").substr(0, 3))).status(), "13");
  EXPECT_EQ((co_await client.call({}, message("\xFF\xFF\xFF"))).status(), "13");
  EXPECT_EQ((co_await client.call({}, std::string("\x07\0\0\0\0", 5))).status(), "13");
  // The length alone is enough, and the request need not end.
  EXPECT_EQ((co_await client.call({}, std::string("\0\xFF\xFF\xFF\xFF", 5), false)).status(), "8");
  EXPECT_EQ((co_await client.call({}, message("", true))).status(), "13");
  EXPECT_EQ(world.service.started, 0);
}
TEST(ServerSession, RefusesBadMessages) {
  run(messages_body);
}

TEST(ServerSession, LogsAndMetricsHearOfRefusals) {
  rpc::testing::HeardRefusals heard;
  ServerOptions options;
  options.refused = &heard.refused;
  run(
      [](TestWorld&, RawClient& client) -> Task<void> {
        for (const char* path : {"/no.Such/Thing?secret=1", "/grpc.health.v1.Health/Nope", "/"}) {
          EXPECT_EQ((co_await client.call({{":path", path}}, message(""))).status(), "12");
        }
        EXPECT_EQ((co_await client.call({{"grpc-timeout", "soon"}}, "")).status(), "3");
        EXPECT_EQ((co_await client.call({}, message("\xFF\xFF\xFF"))).status(), "13");
        EXPECT_EQ((co_await client.call({}, message("").substr(0, 3))).status(), "13");
        EXPECT_EQ((co_await client.call({{"grpc-timeout", "1S"}}, "", false)).status(), "4");
        EXPECT_EQ((co_await client.call({}, message(""))).status(), "0");  // the chain's, not ours
      },
      options);
  const std::string check = "grpc.health.v1.Health/Check";
  EXPECT_TRUE(heard.ended(check, "grpc", "INVALID_ARGUMENT")) << heard.text();
  EXPECT_TRUE(heard.ended(check, "grpc", "INTERNAL", 2)) << heard.text();
  EXPECT_TRUE(heard.ended(check, "grpc", "DEADLINE_EXCEEDED")) << heard.text();
  EXPECT_FALSE(heard.text().contains("\"OK\""));
  EXPECT_TRUE(heard.unknown("grpc", "UNIMPLEMENTED", 3)) << heard.text();
  EXPECT_EQ(heard.records.count("call_failed", "wire=grpc"), 4);
  EXPECT_EQ(heard.records.count("request_refused", "asked=no.Such/Thing wire=grpc"), 1);
  EXPECT_EQ(heard.records.count("", "secret"), 0);
}

Task<void> two_at_once_body(TestWorld& world, RawClient& client) {
  const auto two = message("") + message("");
  for (const char* path : {kServerStream, kEndless}) {
    const auto answer = co_await client.call({{":path", std::string("/") + path}}, two);
    EXPECT_EQ(answer.status(), "12");
    EXPECT_NE(answer.message().find("takes one request"), std::string::npos);
  }
  EXPECT_EQ(world.service.started, 0);
}
TEST(ServerSession, OperationsThatStreamAnswersTakeOneRequest) {
  run(two_at_once_body);
}

Task<void> gzip_body(TestWorld& world, RawClient& client) {
  HealthCheckRequest request;
  request.set_service(std::string(2000, 'x'));
  const auto packed = grpc_gzip(as_bytes(request.SerializeAsString()));
  const auto answer = co_await client.call({{"grpc-encoding", "gzip"}}, message(*packed, true));
  EXPECT_EQ(answer.status(), "0");
  EXPECT_EQ(world.service.started, 1);
  // Nobody asked for compressed answers.
  EXPECT_EQ(answer.headers.count("grpc-encoding"), 0U);
  request.set_service(std::string(5U << 20, 'x'));
  const auto bomb = grpc_gzip(as_bytes(request.SerializeAsString()));
  EXPECT_EQ((co_await client.call({{"grpc-encoding", "gzip"}}, message(*bomb, true))).status(),
            "8");
}
TEST(ServerSession, TakesGzipRequestsWithinTheLimit) {
  run(gzip_body);
}

Task<void> trailers_body(TestWorld&, RawClient& client) {
  auto answer = co_await client.call({}, message(""));
  EXPECT_EQ(answer.headers[":status"], "200");
  EXPECT_EQ(answer.headers["content-type"], "application/grpc");
  EXPECT_EQ(answer.data, message("\x08\x01"));
  EXPECT_EQ(answer.trailers["gtm-602"], "0");
  EXPECT_EQ(answer.trailers["echo-bin"], "AP8");
  HealthCheckRequest request;
  request.set_service("missing");
  answer = co_await client.call({}, message(request.SerializeAsString()));
  EXPECT_TRUE(answer.trailers.empty());  // trailers-only
  EXPECT_EQ(answer.headers["grpc-status"], "5");
  EXPECT_EQ(answer.headers["grpc-message"], "service 'f%C3%BCr' not found");
  EXPECT_EQ(answer.headers["gtm-602"], "0");
}
TEST(ServerSession, AnswersAsDocumented) {
  run(trailers_body);
}

Task<void> late_body(TestWorld& world, RawClient& client) {
  // The request never ends, the deadline does.
  const auto answer = co_await client.call({{"grpc-timeout", "1S"}}, "\0", false);
  EXPECT_EQ(answer.status(), "4");
  EXPECT_EQ(world.service.started, 0);
}
TEST(ServerSession, DeadlineEndsAnUnfinishedRequest) {
  run(late_body);
}

Task<void> truncated_body(TestWorld& world, RawClient& client) {
  const auto answer = co_await client.call({{":path", std::string("/") + kClientStream}},
                                           message("") + message("0123456789").substr(0, 9));
  EXPECT_EQ(answer.status(), "13");
  EXPECT_EQ(world.service.cancelled, 1);  // the handler saw an error, not an end
}
TEST(ServerSession, TruncatedStreamsAreErrors) {
  run(truncated_body);
}

Task<void> garbage(TestWorld& world) {
  for (const char* text :
       {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01 client hello", "PRI * HTTP/2.0\r\n"}) {
    auto stream = co_await world.client_env.network().connect(world.address(), {});
    EXPECT_TRUE(stream);
    EXPECT_TRUE(co_await (*stream)->write(as_bytes(text)));
    (*stream)->shutdown_write();
    std::array<std::uint8_t, 512> bytes;
    while (true) {
      const auto got = co_await (*stream)->read(bytes);
      if (!got || *got == 0) break;
    }
  }
  EXPECT_TRUE(co_await core::sleep_for(5 * core::kSecond));
  EXPECT_EQ(world.server->connections(), 0U);
}
TEST(ServerSession, OtherProtocolsEndTheirConnectionOnly) {
  TestWorld world;
  world.run([](TestWorld& w) { return garbage(w); });
}

// --- limits and ends ----------------------------------------------------------------------------

using WorldBody = Task<void> (*)(TestWorld&);
void run_world(WorldBody body) {
  TestWorld world;
  world.run([body](TestWorld& w) { return body(w); });
}

// Several calls at once on one connection; answers are looked at after a while.
class ManyCalls {
 public:
  explicit ManyCalls(TestWorld& world) : world_(world) {}
  Task<void> connect() {
    auto stream = co_await world_.client_env.network().connect(world_.address(), {});
    EXPECT_TRUE(stream);
    client_.emplace(*std::move(stream));
    scope_.spawn(client_->connection.run());
  }
  void add(std::size_t index, const std::string& body) {
    auto& http2 = client_->connection.http2();
    std::memcpy(http2.reserve(*streams_[index], body.size()), body.data(), body.size());
    http2.write(*streams_[index], body.size());
    client_->connection.wake();
  }
  Answer& begin(const std::string& path, const std::string& body, bool end) {
    const std::array<Header, 6> headers{{{":method", "POST"},
                                         {":scheme", "http"},
                                         {":path", path},
                                         {":authority", "x"},
                                         {"te", "trailers"},
                                         {"content-type", "application/grpc"}}};
    auto& http2 = client_->connection.http2();
    Answer& answer = answers_.emplace_back();
    auto* stream = http2.open(headers, false, &answer);
    streams_.push_back(stream);
    std::memcpy(http2.reserve(*stream, body.size() + 1), body.data(), body.size());
    http2.write(*stream, body.size());
    if (end) http2.finish(*stream, {});
    client_->connection.wake();
    return answer;
  }
  void reset(std::size_t index) {
    client_->connection.http2().reset(*streams_[index], Http2Error::kCancel);
    client_->connection.wake();
  }
  RawClient& client() { return *client_; }
  std::list<Answer>& answers() { return answers_; }
  Task<void> close() {
    client_->connection.cut("done");
    co_await scope_.join();
    client_.reset();
  }

 private:
  TestWorld& world_;
  std::optional<RawClient> client_;
  core::Scope scope_;
  std::list<Answer> answers_;
  std::vector<Http2Stream*> streams_;
};

std::string unfinished_message(std::size_t bytes) {
  std::string body = message(std::string(bytes, 'x'));
  grpc_write_prefix(reinterpret_cast<std::uint8_t*>(body.data()), false,
                    static_cast<std::uint32_t>(limits::kGrpcReceiveMessageBytes));
  return body;
}

Task<void> unfinished_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  constexpr std::size_t kEach = 512U << 10;
  for (int i = 0; i < 80; ++i) {
    calls.begin(std::string("/") + kUnary, unfinished_message(kEach), false);
    EXPECT_TRUE(co_await core::sleep_for(100 * core::kMillisecond));
  }
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  const auto refused = std::ranges::count_if(
      calls.answers(), [](const Answer& answer) { return answer.status() == "8"; });
  EXPECT_EQ(refused, 80 - static_cast<int>(limits::kGrpcRequestBytesPerConnection / kEach) + 1);
  EXPECT_LE(world.server->counters().request_bytes, limits::kGrpcRequestBytesPerConnection);
  for (std::size_t i = 0; i < 20; ++i) calls.reset(i);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  const auto& later = calls.begin(std::string("/") + kUnary, message(""), true);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(later.status(), "0");
  co_await calls.close();
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(world.server->counters().request_bytes, 0U);
}
TEST(ServerSession, UnfinishedRequestsAreBoundedTogether) {
  run_world(unfinished_body);
}

Task<void> silent_body(TestWorld& world) {
  auto silent = co_await world.client_env.network().connect(world.address(), {});
  ManyCalls proper(world);
  co_await proper.connect();
  EXPECT_TRUE(co_await core::sleep_for(limits::kHttp2HandshakeNanos / 2));
  EXPECT_EQ(world.server->connections(), 2U);
  EXPECT_TRUE(co_await core::sleep_for(limits::kHttp2HandshakeNanos));
  EXPECT_EQ(world.server->connections(), 1U);
  co_await proper.close();
}
TEST(ServerSession, AConnectionThatSaysNothingIsClosed) {
  run_world(silent_body);
}

Task<void> silent_tls_body(TestWorld& world) {
  auto silent = co_await world.client_env.network().connect(world.address(), {});
  CAPSTAN_ASSERT(silent);
  // The beginning of a ClientHello: one record of 512 bytes, of which the beginning comes.
  EXPECT_TRUE(
      co_await (*silent)->write(as_bytes(std::string_view("\x16\3\1\2\0\1\0\1\xFC\3", 10))));
  EXPECT_TRUE(co_await core::sleep_for(limits::kHttp2HandshakeNanos / 2));
  EXPECT_EQ(world.server->connections(), 1U);
  EXPECT_TRUE(co_await core::sleep_for(limits::kHttp2HandshakeNanos));
  EXPECT_EQ(world.server->connections(), 0U);
}
TEST(ServerSession, AHandshakeThatDoesNotEndIsClosed) {
  const TestAuthority authority("ca");
  const auto node = authority.issue("node-1");
  TestWorld world;
  world.server_tls = *TlsContext::server({node.certificate_pem, node.key_pem, "", true});
  world.run([](TestWorld& w) { return silent_tls_body(w); });
}

constexpr std::size_t kCrowd = 64;
Task<void> crowd_body(TestWorld& world) {
  std::vector<std::unique_ptr<core::Stream>> crowd;
  for (std::size_t i = 0; i < kCrowd; ++i) {
    auto stream = co_await world.client_env.network().connect(world.address(), {});
    CAPSTAN_ASSERT(stream);
    crowd.push_back(*std::move(stream));
  }
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(world.server->connections(), kCrowd);
  auto surplus = co_await world.client_env.network().connect(world.address(), {});
  CAPSTAN_ASSERT(surplus);
  std::array<std::uint8_t, 16> bytes;
  const auto got = co_await (*surplus)->read(bytes);
  EXPECT_TRUE(!got || *got == 0);
  EXPECT_EQ(world.server->counters().connections_refused, 1U);
  crowd.pop_back();
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  ManyCalls calls(world);
  co_await calls.connect();
  const auto& served = calls.begin(std::string("/") + kUnary, message(""), true);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(served.status(), "0");
  co_await calls.close();
}
TEST(ServerSession, ConnectionsAreBounded) {
  ServerOptions options;
  options.connections_max = kCrowd;
  TestWorld world(options);
  world.run(crowd_body);
}

Task<void> until_gone(TestWorld& world, core::Nanos within) {
  const core::Nanos begun = core::Reactor::current()->now();
  while (world.server->connections() != 0) {
    if (!co_await core::sleep_for(10 * core::kMillisecond)) break;
  }
  EXPECT_LT(core::Reactor::current()->now() - begun, within);
}

Task<void> quick_stop_body(TestWorld& world) {
  auto silent = co_await world.client_env.network().connect(world.address(), {});
  auto sleeping = co_await world.client_env.network().connect(world.address(), {});
  // A preface and SETTINGS, then nothing: no answer to any PING.
  const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  EXPECT_TRUE(co_await (*sleeping)->write(as_bytes(hello)));
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(world.server->connections(), 2U);
  world.server->stop(60 * core::kSecond);
  co_await until_gone(world, 5 * core::kSecond);
}
TEST(ServerSession, PeersThatDoNotAnswerDoNotHoldUpTheStop) {
  run_world(quick_stop_body);
}

Task<void> late_watch_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  world.server->stop(60 * core::kSecond);
  const auto& late = calls.begin(std::string("/") + kEndless, message("\x0A\x04slow"), true);
  co_await until_gone(world, 5 * core::kSecond);
  EXPECT_EQ(late.status(), "14");
  co_await calls.close();
}
TEST(ServerSession, AnEndlessCallThatCrossesTheStopIsEnded) {
  run_world(late_watch_body);
}

Task<void> announced_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  const auto& silent = calls.begin(std::string("/") + kEndless, message("\x0A\x06silent"), true);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(world.service.started, 1);
  EXPECT_EQ(world.service.sent, 0);
  const auto status = silent.headers.find(":status");
  CAPSTAN_ASSERT(status != silent.headers.end());
  EXPECT_EQ(status->second, "200");
  // Not before the handler has its request.
  const auto& waiting = calls.begin(std::string("/") + kEndless, "", false);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_TRUE(waiting.headers.empty());
  co_await calls.close();
}
TEST(ServerSession, CallsWithoutAnEndAnswerTheirHeadersFirst) {
  run_world(announced_body);
}

Task<void> late_request_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  const auto& watch = calls.begin(std::string("/") + kEndless, message("\x0A\x04slow"), false);
  EXPECT_TRUE(co_await core::sleep_for(10 * core::kSecond));
  EXPECT_GE(world.service.sent, 9);
  EXPECT_FALSE(watch.ended);
  calls.add(0, message("").substr(0, 1));  // already one byte of it is too much
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(watch.status(), "12");
  EXPECT_EQ(world.service.cancelled, 1);  // the handler was told
  EXPECT_EQ(world.server->calls_in_flight(), 0U);
  co_await calls.close();
}
TEST(ServerSession, ASecondRequestEndsACallThatIsAnswered) {
  run_world(late_request_body);
}

Task<void> slow_streams_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  calls.client().consume = false;
  ExportImageRequest request;
  request.set_offset(1U << 20);
  request.set_length(8);
  for (int i = 0; i < 6; ++i) {
    calls.begin(std::string("/") + kServerStream, message(request.SerializeAsString()), true);
  }
  EXPECT_TRUE(co_await core::sleep_for(5 * core::kSecond));
  EXPECT_LE(world.service.sent, 6 * 2);
  calls.client().consume = true;
  const auto& other = calls.begin(std::string("/") + kUnary, message(""), true);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(other.status(), "0");
  co_await calls.close();
}
TEST(ServerSession, StreamsThatAreReadSlowlyDoNotHoldUpOtherCalls) {
  run_world(slow_streams_body);
}

Task<void> many_unread_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  calls.client().consume = false;
  ExportImageRequest request;
  request.set_offset(256U << 10);
  request.set_length(1000);
  constexpr int kStreams = 32;
  for (int i = 0; i < kStreams; ++i) {
    calls.begin(std::string("/") + kServerStream, message(request.SerializeAsString()), true);
  }
  EXPECT_TRUE(co_await core::sleep_for(60 * core::kSecond));
  // The client holds 16 MiB in its windows. Of what waits here, 4 MiB may be anybody's, and then
  // each stream may add one message, which is the one that its handler waits with.
  const std::uint64_t written =
      (static_cast<std::uint64_t>(world.service.sent) + kStreams) * request.offset();
  constexpr std::uint64_t kLeast =
      limits::kHttp2ConnectionWindowBytes + limits::kHttp2OutputBufferBytes;
  EXPECT_GE(written, kLeast);
  EXPECT_LE(written, kLeast + kStreams * request.offset());
  co_await calls.close();
}
TEST(ServerSession, ManyUnreadStreamsShareOneBound) {
  run_world(many_unread_body);
}

Task<void> unread_answers_body(TestWorld& world) {
  ManyCalls calls(world);
  co_await calls.connect();
  calls.client().consume = false;
  constexpr int kLarge = 4;  // each leaves one megabyte unsent
  for (int i = 0; i < kLarge; ++i) {
    calls.begin(std::string("/") + kUnary, message("\x0A\x05large"), true);
  }
  EXPECT_TRUE(co_await core::sleep_for(5 * core::kSecond));
  EXPECT_EQ(world.service.started, kLarge);
  const auto& waiting = calls.begin(std::string("/") + kUnary, message(""), true);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(world.service.started,
            kLarge);  // the client has four megabytes of answers to read first
  for (std::size_t i = 0; i < kLarge; ++i) calls.reset(i);
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(waiting.status(), "0");
  co_await calls.close();
}
TEST(ServerSession, CallsThatWaitForRoomRunWhenAnswersAreThrownAway) {
  run_world(unread_answers_body);
}

}  // namespace
}  // namespace capstan::wire::testing
