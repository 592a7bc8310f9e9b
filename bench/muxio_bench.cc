// Why this file exists: what Muxio costs on top of a bare WebSocket. One run measures, over
// loopback and with the server on a core of its own:
//   * a bare WebSocket echo (our codec, nothing else): the floor;
//   * the Muxio server with pipelined small calls from a generator that only counts answers, with
//   an
//     empty chain of interceptors and with the node's;
//   * our client against our server, 64 calls under way, and one at a time.
// The server's cost is the CPU time of its thread, so other load on the machine counts little.
//   muxio_bench [SECONDS]
#include <ctime>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/log_sinks.h"
#include "core/uring_env.h"
#include "grpc/health/v1/health.pb.h"
#include "rpc/directory.h"
#include "rpc/interceptors/concurrency.h"
#include "rpc/interceptors/deadline.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "wire/http2/byte_queue.h"
#include "wire/muxio/client.h"
#include "wire/muxio/server.h"
#include "wire/websocket/websocket_handshake.h"

namespace capstan::bench {
namespace {

using namespace wire;
using namespace wire::muxio;
using core::Nanos;
using core::Task;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr char kCheck[] = "grpc.health.v1.Health/Check";
constexpr std::size_t kUnderWay = 1024;

struct Service {
  Task<Result<HealthCheckResponse>> check(rpc::Call&, const HealthCheckRequest&) {
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    co_return response;
  }
};

using core::NoLog;

// Reads until the empty line; both ends of the handshake are ours and send nothing behind it.
Task<Result<std::string>> read_head(core::Stream* stream) {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    std::uint8_t byte = 0;
    CO_TRY_SET(const std::size_t got, co_await stream->read({&byte, 1}));
    if (got == 0) co_return fail(Code::kUnavailable, "closed");
    head.push_back(static_cast<char>(byte));
  }
  co_return head;
}

// The floor: every message comes back; what arrived together leaves together.
Task<void> echo(core::Stream* stream) {
  WebSocketDecoder decoder(WebSocketDecoder::Role::kServer);
  auto buffer = std::make_unique<std::uint8_t[]>(limits::kMuxioReadBytes);
  ByteQueue output;
  while (true) {
    const auto got = co_await stream->read({buffer.get(), limits::kMuxioReadBytes});
    if (!got || *got == 0) co_return;
    MutableBytes input(buffer.get(), *got);
    while (const auto event = *decoder.next(input)) {
      if (event->kind != WebSocketEvent::Kind::kData) co_return;
      if (event->first) {
        std::uint8_t* to = output.reserve(kWebSocketHeaderBytes);
        output.commit(websocket_write_header(to, WebSocketOpcode::kBinary, true,
                                             event->message_bytes, nullptr));
      }
      output.append(event->data);
    }
    if (!co_await stream->write(output.view())) co_return;
    output.clear();
  }
}

// Serves one connection after the other on its own core until told to stop.
struct Host {
  core::UringEnv* env = nullptr;
  bool bare = false, interceptors = false;
  std::uint16_t port = 0;
};

// CPU time of the thread of core 1.
Task<Nanos> read_cpu() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  co_return static_cast<Nanos>(time.tv_sec) * core::kSecond + static_cast<Nanos>(time.tv_nsec);
}
Task<Nanos> server_cpu(Host* host) {
  co_return co_await core::on<Nanos>(host->env->reactor(1), [] { return read_cpu(); });
}

Task<void> welcome(core::StreamListener* listener, Server* server, bool bare) {
  while (true) {
    auto stream = co_await listener->accept();
    if (!stream) co_return;
    const auto head = co_await read_head(stream->get());
    if (!head) continue;
    const auto at = head->find("Sec-WebSocket-Key: ") + 19;
    const std::string answer =
        websocket_accept_response(head->substr(at, head->find('\r', at) - at));
    if (!co_await (*stream)->write(as_bytes(answer))) continue;
    if (bare)
      co_await echo(stream->get());
    else
      server->adopt(*std::move(stream), {});
  }
}

// On core 1; ends when `stop` is set there.
Task<bool> host(Host* self, core::Event* listening, core::Reactor* home, core::Event* stop) {
  NoLog sink;
  core::Log log(sink, core::LogLevel::kInfo, &core::UringEnv::wall_clock, nullptr);
  core::Metrics metrics;
  Service service;
  rpc::Directory directory;
  const auto* health = HealthCheckRequest::descriptor()->file()->FindServiceByName("Health");
  CAPSTAN_ASSERT(directory.declare(health, {"Watch"}).has_value());
  CAPSTAN_ASSERT(rpc::bind_unary(directory, kCheck, service, &Service::check).has_value());
  if (self->interceptors) {
    directory.add_interceptor(std::make_unique<rpc::LogInterceptor>(log.child("call")));
    directory.add_interceptor(std::make_unique<rpc::MetricsInterceptor>(metrics));
    directory.add_interceptor(std::make_unique<rpc::DeadlineInterceptor>());
    directory.add_interceptor(std::make_unique<rpc::ConcurrencyInterceptor>());
  }
  const auto methods = MethodTable::make(directory);
  CAPSTAN_ASSERT(methods.has_value());
  Server server(*self->env, directory, *methods, log, {});
  auto listener = self->env->network().listen(core::Address::tcp("127.0.0.1", 0));
  CAPSTAN_ASSERT(listener.has_value());
  self->port = (*listener)->local().port;
  core::Scope scope;
  scope.spawn(server.run());
  scope.spawn(welcome(listener->get(), &server, self->bare));
  home->post([listening] { listening->set(); });
  co_await stop->wait();
  (*listener)->cancel();
  server.stop(core::kSecond);
  co_await scope.join();
  co_return true;
}

struct Figures {
  double calls = 0, seconds = 0, server_seconds = 0;
  void print(const char* what) const {
    std::printf("%-44s %10.0f/s  server %6.0f ns each, %10.0f/s per core\n", what, calls / seconds,
                server_seconds * 1e9 / calls, calls / server_seconds);
  }
};

std::string masked_message(const std::string& payload) {
  const WebSocketMask key = {1, 2, 3, 4};
  std::array<std::uint8_t, kWebSocketHeaderBytes> header;
  const auto size =
      websocket_write_header(header.data(), WebSocketOpcode::kBinary, true, payload.size(), &key);
  std::string bytes = payload;
  websocket_mask({reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()}, key, 0);
  return std::string(as_text(ByteView(header).first(size))) + bytes;
}

// One small call: open and end frame in one message.
std::string call_bytes(std::uint32_t number) {
  std::string out(kLongHeaderBytes + kMessageHeaderBytes, '\0');
  auto* to = reinterpret_cast<std::uint8_t*>(out.data());
  write_frame_header(to, kLongHeaderBytes, {kMessageHeaderBytes, number, 0, FrameKind::kOpen}, 0);
  write_message_header(to + kLongHeaderBytes, {MessageType::kCall, number, method_id(kCheck), 0});
  std::string end(kLongHeaderBytes, '\0');
  write_frame_header(reinterpret_cast<std::uint8_t*>(end.data()), kLongHeaderBytes,
                     {0, number, 1, FrameKind::kEnd}, 0);
  return out + end;
}

// Sends blocks of messages and counts the messages that come back.
Task<Figures> generate(Host* host, Nanos duration) {
  auto& reactor = *core::Reactor::current();
  auto connected =
      co_await host->env->network().connect(core::Address::tcp("127.0.0.1", host->port), {});
  CAPSTAN_ASSERT(connected.has_value());
  auto stream = *std::move(connected);
  const std::string request = websocket_request("bench", "/ws", "dGhlIHNhbXBsZSBub25jZQ==");
  CAPSTAN_ASSERT((co_await stream->write(as_bytes(request))).has_value());
  CAPSTAN_ASSERT((co_await read_head(stream.get())).has_value());
  std::string block;
  for (std::uint32_t i = 0; i < kUnderWay; ++i) block += masked_message(call_bytes(i));
  auto buffer = std::make_unique<std::uint8_t[]>(limits::kMuxioReadBytes);
  WebSocketDecoder decoder(WebSocketDecoder::Role::kClient);
  const Nanos busy_before = co_await server_cpu(host);
  const Nanos before = reactor.read_clock();
  Figures figures;
  // Two blocks are under way, so that the server never waits for us.
  CAPSTAN_ASSERT((co_await stream->write(as_bytes(block))).has_value());
  std::size_t answered = 0;
  while (reactor.read_clock() - before < duration) {
    CAPSTAN_ASSERT((co_await stream->write(as_bytes(block))).has_value());
    while (answered < kUnderWay) {
      const auto got = co_await stream->read({buffer.get(), limits::kMuxioReadBytes});
      CAPSTAN_ASSERT(got && *got != 0);
      MutableBytes input(buffer.get(), *got);
      while (const auto event = *decoder.next(input)) answered += event->last;
    }
    answered -= kUnderWay;
    figures.calls += kUnderWay;
  }
  figures.seconds = static_cast<double>(reactor.read_clock() - before) / 1e9;
  figures.server_seconds = static_cast<double>(co_await server_cpu(host) - busy_before) / 1e9;
  co_return figures;
}

Task<void> worker(Client* client, Nanos until, double* calls) {
  auto& reactor = *core::Reactor::current();
  const HealthCheckRequest request;
  HealthCheckResponse response;
  while (reactor.now() < until) {
    const auto done = co_await client->unary(kCheck, request, response, {});
    CAPSTAN_ASSERT(done.has_value());
    ++*calls;
  }
}

Task<Figures> with_client(Host* host, Nanos duration, int workers) {
  auto& reactor = *core::Reactor::current();
  Client client(*host->env, {.address = core::Address::tcp("127.0.0.1", host->port)});
  const auto connected = co_await client.connect({});
  CAPSTAN_ASSERT(connected.has_value());
  Figures figures;
  const Nanos busy_before = co_await server_cpu(host);
  const Nanos before = reactor.read_clock();
  core::Scope scope;
  for (int i = 0; i < workers; ++i) {
    scope.spawn(worker(&client, reactor.now() + duration, &figures.calls));
  }
  co_await scope.join();
  figures.seconds = static_cast<double>(reactor.read_clock() - before) / 1e9;
  figures.server_seconds = static_cast<double>(co_await server_cpu(host) - busy_before) / 1e9;
  co_await client.close();
  co_return figures;
}

// Runs `guest` on core 0 against a host on core 1.
template <class Guest>
Task<Figures> beside(Host* self, Guest guest) {
  core::Event listening, stop;  // `stop` belongs to core 1 while the host runs
  auto* home = core::Reactor::current();
  struct Hosting {
    static Task<void> run(Host* host_of, core::Event* up, core::Event* down, core::Reactor* from) {
      (void)co_await core::on<bool>(host_of->env->reactor(1),
                                    [=] { return host(host_of, up, from, down); });
    }
  };
  core::Scope scope;
  scope.spawn(Hosting::run(self, &listening, &stop, home));
  co_await listening.wait();
  const Figures figures = co_await guest(self);
  self->env->reactor(1).post([down = &stop] { down->set(); });
  co_await scope.join();
  co_return figures;
}

Task<void> all(core::UringEnv* env, Nanos duration) {
  const auto generator = [duration](Host* host) { return generate(host, duration); };
  const auto clients = [duration](Host* host) { return with_client(host, duration, 64); };
  const auto single = [duration](Host* host) { return with_client(host, duration, 1); };
  Host bare{env, true}, plain{env}, node{env, false, true};
  const Figures floor = co_await beside(&bare, generator);
  floor.print("bare WebSocket echo, pipelined");
  const Figures calls = co_await beside(&plain, generator);
  calls.print("Muxio calls, pipelined, no interceptors");
  const Figures full = co_await beside(&node, generator);
  full.print("Muxio calls, pipelined, as in the node");
  (co_await beside(&node, clients)).print("our client, 64 under way, as in the node");
  const Figures one = co_await beside(&node, single);
  one.print("our client, one at a time, as in the node");
  std::printf(
      "ratio of the server's cost, Muxio : bare echo   %.2f without, %.2f with the node's "
      "interceptors\n",
      calls.server_seconds / calls.calls / (floor.server_seconds / floor.calls),
      full.server_seconds / full.calls / (floor.server_seconds / floor.calls));
  std::printf("one call: %.1f us\n", one.seconds / one.calls * 1e6);
}

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 3;
  auto env = core::UringEnv::create({.cores = 2, .poll_us = 20, .on_stall = {}});
  if (!env) {
    std::fprintf(stderr, "%s\n", env.error().text().c_str());
    return 1;
  }
  (*env)->run(all(env->get(), static_cast<Nanos>(seconds * 1e9)));
  return 0;
}

}  // namespace
}  // namespace capstan::bench

int main(int count, char** arguments) {
  return capstan::bench::main(count, arguments);
}
