// Why this file exists: one port, all guests: each protocol in one piece and byte by byte, those
// who say nothing or nonsense, TLS, and shutting down, in the simulator.
#include "apps/serving/door.h"

#include <gtest/gtest.h>

#include "core/log_sinks.h"
#include "core/sim_env.h"
#include "grpc/health/v1/health.pb.h"
#include "rpc/directory.h"
#include "wire/grpc/client_session.h"
#include "wire/muxio/client.h"
#include "wire/tls/tls_testing.h"
#include "wire/websocket/websocket_handshake.h"

namespace capstan::apps {
namespace {

using core::Task;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
constexpr char kCheck[] = "grpc.health.v1.Health/Check";

using core::NoLog;

struct Service {
  int calls = 0;
  Task<Result<HealthCheckResponse>> check(rpc::Call&, const HealthCheckRequest&) {
    ++calls;
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    co_return response;
  }
};

// Answers every request over HTTP/2 that is not gRPC's.
class NothingHere final : public wire::Guest {
 public:
  explicit NothingHere(wire::Http2Session& http2) : http2_(http2) {}
  void on_headers(wire::Http2Stream& stream, wire::HeadersKind, wire::Headers, bool) override {
    const std::array<wire::Header, 1> headers{{{":status", "404"}}};
    http2_.respond(stream, headers, true);
  }
  void on_data(wire::Http2Stream& stream, ByteView data) override {
    http2_.consume(stream, data.size());
  }
  void on_end(wire::Http2Stream&) override {}
  void on_closed(wire::Http2Stream&, wire::Http2Error) override {}
  void drain() override {}
  void abort() override {}
  Task<void> join() override { co_return; }
  std::size_t calls_in_flight() const override { return 0; }

 private:
  wire::Http2Session& http2_;
};

wire::ServerOptions with_guest() {
  wire::ServerOptions options;
  options.guest = [](wire::Http2Session& http2, const core::PeerInfo&, std::function<void()>) {
    return std::make_unique<NothingHere>(http2);
  };
  return options;
}

struct World {
  explicit World(wire::rest::ServerOptions http = {})
      : world(1), server_env(world), client_env(world) {
    const auto* health = HealthCheckRequest::descriptor()->file()->FindServiceByName("Health");
    EXPECT_TRUE(directory.declare(health, {"Watch"}));
    EXPECT_TRUE(rpc::bind_unary(directory, kCheck, service, &Service::check));
    methods = *wire::muxio::MethodTable::make(directory);
    grpc = std::make_unique<wire::GrpcServer>(server_env, directory, log, with_guest());
    muxio = std::make_unique<wire::muxio::Server>(server_env, directory, methods, log,
                                                  wire::muxio::ServerOptions());
    rest = *wire::rest::Server::create(directory, log, std::move(http));
    door = std::make_unique<Door>(server_env, log, *grpc, *muxio, *rest);
  }
  core::Address address() const { return core::Address::tcp(server_env.address(), 10124); }
  template <class Body>
  void run(Body body) {
    world.run(whole(this, body));
  }

  core::SimWorld world;
  core::SimEnv server_env, client_env;
  NoLog sink;
  core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  Service service;
  rpc::Directory directory;
  wire::muxio::MethodTable methods;
  std::unique_ptr<wire::GrpcServer> grpc;
  std::unique_ptr<wire::muxio::Server> muxio;
  std::unique_ptr<wire::rest::Server> rest;
  std::unique_ptr<Door> door;
  std::shared_ptr<const wire::TlsContext> tls;
  bool http_only = false, metrics = false;

 private:
  template <class Body>
  static Task<void> whole(World* self, Body body) {
    if (self->metrics) {
      EXPECT_TRUE(self->door->listen_metrics(self->address()));
    } else if (self->http_only) {
      EXPECT_TRUE(self->door->listen_http(self->address(), self->tls));
    } else {
      EXPECT_TRUE(self->door->listen(self->address(), self->tls));
    }
    core::Scope scope;
    scope.spawn(self->grpc->run());
    scope.spawn(self->muxio->run());
    scope.spawn(self->rest->run());
    scope.spawn(self->door->run());
    co_await body(*self);
    self->door->stop();
    self->grpc->stop(core::kSecond);
    self->muxio->stop(core::kSecond);
    self->rest->stop(core::kSecond);
    co_await scope.join();
  }
};

// Sends `bytes` in pieces, then takes everything until the server closes or `enough` is there.
Task<std::string> talk(World* world, std::string bytes, std::size_t part, std::size_t enough) {
  auto connected = co_await world->client_env.network().connect(world->address(), {});
  CAPSTAN_ASSERT(connected.has_value());
  auto stream = *std::move(connected);
  for (std::size_t at = 0; at < bytes.size(); at += part) {
    const auto piece = std::string_view(bytes).substr(at, part);
    if (!co_await stream->write(as_bytes(piece))) break;
    if (part < bytes.size()) EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  }
  std::string answer;
  std::array<std::uint8_t, 4096> buffer;
  while (answer.size() < enough) {
    const auto got = co_await stream->read(buffer);
    if (!got || *got == 0) break;
    answer.append(as_text(ByteView(buffer).first(*got)));
  }
  co_return answer;
}

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// The preface and an empty SETTINGS frame; the server's first frame is SETTINGS as well (type 4).
const std::string kHttp2 = std::string(kPreface) + std::string("\0\0\0\4\0\0\0\0\0", 9);

TEST(Door, KnowsItsGuests) {
  EXPECT_EQ(Door::kind_of(""), Door::Kind::kUnknown);
  EXPECT_EQ(Door::kind_of("P"), Door::Kind::kUnknown);
  EXPECT_EQ(Door::kind_of("PR"), Door::Kind::kUnknown);
  EXPECT_EQ(Door::kind_of("PRI"), Door::Kind::kHttp2);
  EXPECT_EQ(Door::kind_of(kPreface), Door::Kind::kHttp2);
  for (const char* text : {"G", "GET /ws HTTP/1.1", "POST", "PUT", "PO", "PA", "\x16\x03"}) {
    EXPECT_EQ(Door::kind_of(text), Door::Kind::kHttp1) << text;
  }
}

TEST(Door, Http2HoweverCut) {
  for (const std::size_t part : {1U, 2U, 5U, 100U}) {
    World world;
    world.run([part](World& in) -> Task<void> {
      return [](World* at, std::size_t size) -> Task<void> {
        const std::string answer = co_await talk(at, kHttp2, size, 9);
        EXPECT_GE(answer.size(), 9U);
        EXPECT_EQ(answer[3], 4) << "a SETTINGS frame";
        EXPECT_EQ(at->grpc->counters().connections_opened, 1U);
      }(&in, part);
    });
  }
}

TEST(Door, WebSocketHoweverCut) {
  const std::string request = wire::websocket_request("x", "/ws?a=b", "dGhlIHNhbXBsZSBub25jZQ==");
  for (const std::size_t part : {1U, 7U, 1000U}) {
    World world;
    world.run([part, &request](World& in) -> Task<void> {
      return [](World* at, std::string bytes, std::size_t size) -> Task<void> {
        const std::string answer = co_await talk(at, bytes, size, 129);
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 ")) << answer;
        EXPECT_NE(answer.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
        EXPECT_EQ(at->muxio->counters().connections_opened, 1U);
      }(&in, request, part);
    });
  }
}

TEST(Door, ShortAnswers) {
  struct Row {
    const char* request;
    const char* answer;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"},
      {"GET /ws/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"},
      {"POST /v1/pools HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "HTTP/1.1 404 "},
      {"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
      {"POST /ws HTTP/1.1\r\nHost: x\r\n\r\n",
       "HTTP/1.1 405 Method Not Allowed\r\nallow: GET,HEAD"},
      {"GET /ws HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
       "Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
       "HTTP/1.1 426 Upgrade Required\r\n"},
      {"\x16\x03\x01\x02\x03nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
      {"PRO nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
  };
  for (const Row& row : rows) {
    World world;
    world.run([row](World& in) -> Task<void> {
      return [](World* at, Row one) -> Task<void> {
        const std::string answer = co_await talk(at, one.request, 1000, 100'000);
        EXPECT_TRUE(answer.starts_with(one.answer)) << one.request << answer;
      }(&in, row);
    });
  }
}

// A page of `origin` connects; "" is a program.
Task<std::string> visit(World* world, std::string origin) {
  std::string request = wire::websocket_request("node1:10124", "/ws", "dGhlIHNhbXBsZSBub25jZQ==");
  if (!origin.empty()) request.insert(request.size() - 2, "Origin: " + origin + "\r\n");
  const std::string answer = co_await talk(world, request, 1000, 13);
  co_return answer.substr(0, 13);
}

TEST(Door, OnlyPagesThatMay) {
  World world;
  world.run([](World& in) -> Task<void> {
    EXPECT_EQ(co_await visit(&in, ""), "HTTP/1.1 101 ");
    EXPECT_EQ(co_await visit(&in, "http://node1"), "HTTP/1.1 101 ");
    EXPECT_EQ(co_await visit(&in, "http://localhost:3000"), "HTTP/1.1 101 ");
    EXPECT_EQ(co_await visit(&in, "https://evil.example"), "HTTP/1.1 403 ");
    EXPECT_EQ(co_await visit(&in, "null"), "HTTP/1.1 403 ");
    EXPECT_EQ(in.muxio->counters().connections_opened, 3U);
  });
}

TEST(Door, EndlessHeadersAreRefused) {
  World world;
  world.run([](World& in) -> Task<void> {
    const std::string head = "GET / HTTP/1.1\r\nx: " + std::string(100'000, 'y');
    const std::string answer = co_await talk(&in, head, 1000, 100'000);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 431 ")) << answer.substr(0, 100);
  });
}

struct Silence {
  const char* first;
  core::Nanos patience;
  const char* answer;
};
Task<void> is_sent_away(World* world, Silence one) {
  const std::string wanted = one.answer;
  const auto before = core::Reactor::current()->now();
  const std::string answer = co_await talk(world, one.first, 100, 1);
  EXPECT_EQ(answer.substr(0, std::max<std::size_t>(wanted.size(), 1)), wanted) << one.first;
  const auto waited = core::Reactor::current()->now() - before;
  EXPECT_GE(waited, one.patience);
  EXPECT_LE(waited, one.patience + core::kSecond);
}

TEST(Door, WhoSaysNothingIsSentAway) {
  using Row = Silence;
  // Where a request has begun the HTTP server waits for the rest of it.
  const Row rows[] = {{"", limits::kRestIdleNanos, ""},
                      {"PR", limits::kRestHeaderNanos, "HTTP/1.1 408 "},
                      {"GET /w", limits::kRestHeaderNanos, "HTTP/1.1 408 "},
                      {"GET /ws HT", limits::kRestHeaderNanos, "HTTP/1.1 408 "},
                      {"GET / HT", limits::kRestHeaderNanos, "HTTP/1.1 408 "}};
  for (const Row& row : rows) {
    World world;
    world.run([row](World& in) { return is_sent_away(&in, row); });
  }
  // The options decide, not the bounds that they have when nobody says anything.
  for (Row row : rows) {
    const bool silent = *row.first == 0;
    row.patience = (silent ? 7 : 3) * core::kSecond;
    wire::rest::ServerOptions options;
    options.session.idle = 7 * core::kSecond;
    options.session.header = 3 * core::kSecond;
    World world(options);
    world.run([row](World& in) { return is_sent_away(&in, row); });
  }
}

// Those of `clients` that have got an answer by now.
std::vector<std::size_t> answered(const std::vector<std::unique_ptr<core::Stream>>& clients) {
  std::vector<std::size_t> those;
  std::array<std::uint8_t, 4096> buffer;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const auto got = clients[i] ? clients[i]->read_now(buffer) : std::nullopt;
    if (!got || !*got || **got == 0) continue;
    EXPECT_TRUE(as_text(ByteView(buffer).first(**got)).starts_with("HTTP/1.1 404 "));
    those.push_back(i);
  }
  return those;
}

// Six connect, and only then the first of them asks.
Task<void> six_where_three_may(World* world) {
  std::vector<std::unique_ptr<core::Stream>> clients;
  for (int i = 0; i < 6; ++i) {
    auto connected = co_await world->client_env.network().connect(world->address(), {});
    CAPSTAN_ASSERT(connected.has_value());
    clients.push_back(*std::move(connected));
  }
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  for (auto& client : clients) {
    EXPECT_TRUE(co_await client->write(as_bytes("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")));
  }
  // Who comes first is the network's business.
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  const auto served = answered(clients);
  EXPECT_EQ(served.size(), 3U);
  EXPECT_EQ(world->rest->connections(), 3U);
  if (served.size() != 3) co_return;
  clients[served[1]].reset();
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(answered(clients).size(), 1U);
  for (const std::size_t i : {0U, 2U}) clients[served[i]].reset();
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  EXPECT_EQ(answered(clients).size(), 2U);
  EXPECT_EQ(world->rest->connections(), 3U);
}

TEST(Door, WhoComesWhenItIsFullWaitsUntilOneLeaves) {
  for (const bool http_only : {true, false}) {
    wire::rest::ServerOptions options;
    options.connections = 3;
    World world(options);
    world.http_only = http_only;
    world.run([](World& in) -> Task<void> { return six_where_three_may(&in); });
  }
}

Task<std::unique_ptr<core::Stream>> asking(World* world) {
  auto stream = co_await world->client_env.network().connect(world->address(), {});
  CAPSTAN_ASSERT(stream.has_value());
  EXPECT_TRUE(co_await (*stream)->write(as_bytes("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")));
  co_return *std::move(stream);
}
Task<std::string> told(core::Stream* stream) {
  std::array<std::uint8_t, 4096> buffer;
  const auto got = co_await stream->read(buffer);
  co_return std::string(as_text(ByteView(buffer).first(got.value_or(0)))).substr(0, 12);
}
constexpr core::Nanos kMayBeIdle = 10 * core::kSecond;
Task<void> ask_three_times(World* world) {
  const auto served = co_await asking(world);
  EXPECT_NE(co_await told(served.get()), "HTTP/1.1 503");
  const auto waiting = co_await asking(world);
  const auto one_too_many = co_await asking(world);
  EXPECT_EQ(co_await told(one_too_many.get()), "HTTP/1.1 503");
  // And nobody waits for ever, also when the one that is served goes on.
  const auto before = core::Reactor::current()->now();
  EXPECT_TRUE(co_await core::sleep_for(kMayBeIdle / 2));
  EXPECT_TRUE(co_await served->write(as_bytes("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")));
  EXPECT_EQ(co_await told(waiting.get()), "HTTP/1.1 503");
  EXPECT_LE(core::Reactor::current()->now() - before, kMayBeIdle + core::kSecond);
}

// FixedBug: whoever waited kept its descriptor until there was none for other wires.
TEST(Door, WhoWaitsIsBoundedInNumberAndTime) {
  wire::rest::ServerOptions options;
  options.connections = 1;
  options.session.idle = kMayBeIdle;
  World world(options);
  world.run([](World& in) -> Task<void> { return ask_three_times(&in); });
}

Task<void> ask_where_one_is_silent(World* world) {
  auto silent = co_await world->client_env.network().connect(world->address(), {});
  CAPSTAN_ASSERT(silent.has_value());
  auto asking = co_await world->client_env.network().connect(world->address(), {});
  CAPSTAN_ASSERT(asking.has_value());
  EXPECT_TRUE(co_await (*asking)->write(as_bytes("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")));
  EXPECT_TRUE(co_await core::sleep_for(core::kSecond));
  std::array<std::uint8_t, 4096> buffer;
  const auto got = (*asking)->read_now(buffer);
  EXPECT_EQ(got && *got && **got != 0, !world->http_only);
}

// An address for HTTP alone counts who is accepted; one for all, who speaks HTTP/1.1.
TEST(Door, WhoSaysNothingCountsWhereAllIsHttp) {
  for (const bool http_only : {true, false}) {
    wire::rest::ServerOptions options;
    options.connections = 1;
    World world(options);
    world.http_only = http_only;
    world.run([](World& in) -> Task<void> { return ask_where_one_is_silent(&in); });
  }
}

// Through TLS, with the ALPN that our clients send; the bytes decide.
Task<void> over_tls(World& world, const wire::TlsContext& context) {
  auto connected = co_await world.client_env.network().connect(world.address(), {});
  CAPSTAN_ASSERT(connected.has_value());
  auto stream = wire::make_tls_stream(*std::move(connected), context, "node-1");
  core::Scope scope;
  std::string answer;
  std::array<std::uint8_t, 4096> buffer;
  const std::string request = wire::websocket_request("x", "/ws", "dGhlIHNhbXBsZSBub25jZQ==");
  struct Writing {
    static Task<void> run(core::Stream* to, std::string bytes) {
      EXPECT_TRUE(co_await to->write(as_bytes(bytes)));
    }
  };
  scope.spawn(Writing::run(stream.get(), request));
  while (answer.size() < 129) {
    const auto got = co_await stream->read(buffer);
    CAPSTAN_ASSERT(got && *got != 0);
    answer.append(as_text(ByteView(buffer).first(*got)));
  }
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 ")) << answer;
  co_await scope.join();
}

TEST(Door, Tls) {
  wire::testing::TestAuthority authority("test authority");
  const auto identity = authority.issue("node-1");
  World world;
  world.tls = *wire::TlsContext::server({.certificate_pem = identity.certificate_pem,
                                         .private_key_pem = identity.key_pem,
                                         .client_ca_pem = {},
                                         .http1 = true});
  const auto client = *wire::TlsContext::client(
      {.ca_pem = authority.pem(), .certificate_pem = {}, .private_key_pem = {}});
  world.run([&client](World& in) { return over_tls(in, *client); });
}

// Whether a gRPC call is answered by its operation.
Task<bool> grpc_call(World* world) {
  auto connected = co_await world->client_env.network().connect(world->address(), {});
  CAPSTAN_ASSERT(connected.has_value());
  auto session = std::make_shared<wire::ClientSession>(
      *core::Reactor::current(), *std::move(connected), wire::ClientOptions());
  core::Scope scope;
  scope.spawn(session->run());
  HealthCheckRequest request;
  HealthCheckResponse response;
  bool answered = false;
  {
    wire::ClientCall call(session);
    EXPECT_TRUE(call.begin(kCheck, {}, &request));
    const auto got = co_await call.next(response);
    answered = got && *got;
    call.cancel(Code::kCancelled);
  }
  session->abort("the test is over");
  co_await scope.join();
  co_return answered;
}

TEST(Door, AnAddressForHttpAlone) {
  World world;
  world.http_only = true;
  world.run([](World& in) -> Task<void> {
    const std::string settings = co_await talk(&in, kHttp2, 100, 9);
    EXPECT_GE(settings.size(), 9U);
    EXPECT_EQ(settings[3], 4) << "a SETTINGS frame";
    EXPECT_FALSE(co_await grpc_call(&in));
    EXPECT_EQ(in.service.calls, 0);
    const std::string request = wire::websocket_request("x", "/ws", "dGhlIHNhbXBsZSBub25jZQ==");
    const std::string answer = co_await talk(&in, request, 100, 129);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 ")) << answer;
  });
}

TEST(Door, AnAddressForAllServesGrpc) {
  World world;
  world.run([](World& in) -> Task<void> {
    EXPECT_TRUE(co_await grpc_call(&in));
    EXPECT_EQ(in.service.calls, 1);
  });
}

// Neither HTTP/2 nor a WebSocket: everything is the HTTP server's, which knows what is served
// there.
TEST(Door, AnAddressForMetrics) {
  World world;
  world.metrics = true;
  world.run([](World& in) -> Task<void> {
    const std::string refused = co_await talk(&in, kHttp2, 100, 100'000);
    EXPECT_TRUE(refused.starts_with("HTTP/1.1 ")) << refused;
    EXPECT_NE(refused.substr(0, 10), "HTTP/1.1 2");
    const std::string request = wire::websocket_request("x", "/ws", "dGhlIHNhbXBsZSBub25jZQ==");
    const std::string answer = co_await talk(&in, request, 100, 12);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 404")) << answer;
    EXPECT_FALSE(co_await grpc_call(&in));
    EXPECT_EQ(co_await talk(&in, "", 100, 1), "");  // and who says nothing is sent away
    EXPECT_EQ(in.service.calls, 0);
    EXPECT_EQ(in.grpc->counters().connections_opened, 0U);
    EXPECT_EQ(in.muxio->counters().connections_opened, 0U);
  });
}

Task<void> call_on_both(World& world) {
  wire::muxio::Client muxio(world.client_env, {.address = world.address()});
  EXPECT_TRUE(co_await muxio.connect({}));
  HealthCheckRequest request;
  HealthCheckResponse response;
  EXPECT_TRUE(co_await muxio.unary(kCheck, request, response, {}));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  EXPECT_EQ(world.muxio->connections(), 1U);
  // Stopping while guests are there.
  world.door->stop();
  world.muxio->stop(core::kSecond);
  while (muxio.connected()) EXPECT_TRUE(co_await core::sleep_for(core::kMillisecond));
  co_await muxio.close();
}

TEST(Door, CallsAndStops) {
  World world;
  world.run(call_on_both);
}

}  // namespace
}  // namespace capstan::apps
