// Why this file exists: gRPC's whole client half under any bytes of a server, on a simulated
// network: headers, framing, gzip, statuses and their details. Whatever it is told, a call ends,
// with an answer and OK or with an error, and nothing waits for ever.
#include <array>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "grpc/health/v1/health.pb.h"
#include "wire/grpc/client_session.h"

namespace {

using namespace capstan;
using namespace capstan::wire;
using core::Task;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr char kOperation[] = "grpc.health.v1.Health/Watch";
constexpr std::size_t kAnswersMax = 10'000;

Task<void> serve(core::StreamListener* listener, ByteView bytes) {
  auto stream = co_await listener->accept();
  CAPSTAN_ASSERT(stream);
  std::array<std::uint8_t, 4096> heard;
  const auto got = co_await (*stream)->read(heard);
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  auto said = got ? co_await (*stream)->write(as_bytes(settings)) : Result<void>();
  while (said && !bytes.empty()) {
    const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 1000));
    bytes = bytes.subspan(piece.size());
    said = co_await (*stream)->write(piece);
  }
  (*stream)->shutdown_write();
  while (said) {  // until the client leaves
    const auto more = co_await (*stream)->read(heard);
    if (!more || *more == 0) break;
  }
}

Task<void> ask(std::shared_ptr<ClientSession> session) {
  HealthCheckRequest request;
  HealthCheckResponse response;
  ClientCall call(session);
  if (!call.begin(kOperation, {}, &request)) co_return;
  for (std::size_t i = 0; i < kAnswersMax; ++i) {
    const auto got = co_await call.next(response);
    if (!got || !*got) co_return;
  }
}

Task<void> whole(core::SimEnv* env, ByteView bytes) {
  auto listener = env->network().listen(core::Address::tcp(env->address(), 4000));
  CAPSTAN_ASSERT(listener);
  core::Scope server, client;
  server.spawn(serve(listener->get(), bytes));
  auto stream = co_await env->network().connect((*listener)->local(), {});
  CAPSTAN_ASSERT(stream);
  ClientOptions options;
  options.receive_message_bytes = 1U << 16;
  auto session = std::make_shared<ClientSession>(*core::Reactor::current(), *std::move(stream),
                                                 std::move(options));
  client.spawn(session->run());
  core::Scope calls;
  for (int i = 0; i < 2; ++i) calls.spawn(ask(session));
  co_await calls.join();
  session->abort("done");
  co_await client.join();
  session.reset();  // closes the connection, which the server waits for
  co_await server.join();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  world.run(whole(&env, ByteView(data, size)));
  return 0;
}
