// Why this file exists: HTTP's whole client half under any bytes of a server, on a simulated
// network: head, framing, media types, elements, traces, redirects and what is asked again.
// Whatever it is told, a call ends, with an answer or an error, and nothing waits for ever. The
// first byte of the input chooses the call.
#include <array>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "client/remote.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "datastore/datastore.pb.h"
#include "node/node.pb.h"
#include "pool.pb.h"

namespace {

using namespace capstan;
using core::Task;

constexpr int kAnswersMax = 10'000;

Task<void> talk(std::unique_ptr<core::Stream> stream, ByteView bytes) {
  std::array<std::uint8_t, 4096> heard;
  const auto got = co_await stream->read(heard);
  auto said = got ? Result<void>() : std::unexpected(got.error());
  while (said && !bytes.empty()) {
    const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 1000));
    bytes = bytes.subspan(piece.size());
    said = co_await stream->write(piece);
  }
  stream->shutdown_write();
  while (said) {  // until the client leaves
    const auto more = co_await stream->read(heard);
    if (!more || *more == 0) break;
  }
}

Task<void> serve(core::StreamListener* listener, core::Scope* talks, ByteView bytes) {
  while (true) {
    auto stream = co_await listener->accept();
    if (!stream) co_return;
    talks->spawn(talk(*std::move(stream), bytes));
  }
}

template <class Response, class Request>
Task<void> ask(client::Remote* remote, const char* method, Request request) {
  auto call = co_await remote->open(method, &request, {});
  Response response;
  for (int i = 0; call && i < kAnswersMax; ++i) {
    const auto got = co_await (*call)->next(response);
    if (!got || !*got) break;
  }
}

Task<void> ask_one(client::Remote* remote, unsigned which) {
  if (which == 0) {
    co_await ask<node::v1::Version>(remote, "capstan.node.v1.NodeRpc/GetVersion",
                                    node::v1::GetVersionRequest());
  } else if (which == 1) {
    co_await ask<node::v1::Event>(remote, "capstan.node.v1.NodeRpc/MonitorEvents",
                                  node::v1::MonitorEventsRequest());
  } else if (which == 2) {
    co_await ask<node::v1::MetricsText>(remote, "capstan.node.v1.NodeRpc/GetMetrics",
                                        node::v1::GetMetricsRequest());
  } else if (which == 3) {
    mayastor::v1::CreatePoolRequest request;
    request.set_name("p");
    co_await ask<mayastor::v1::Pool>(remote, "mayastor.v1.PoolRpc/CreatePool", request);
  } else {
    datastore::v1::ReadRequest request;
    request.set_store("s");
    request.set_key("k");
    co_await ask<datastore::v1::ReadResponse>(remote, "capstan.datastore.v1.DataStoreRpc/Read",
                                              request);
  }
}

Task<void> whole(core::SimEnv* env, ByteView bytes) {
  auto listener = env->network().listen(core::Address::tcp(env->address(), 4000));
  CAPSTAN_ASSERT(listener);
  core::Scope server, talks;
  const unsigned which = bytes.empty() ? 0 : bytes[0] % 5;
  server.spawn(serve(listener->get(), &talks, bytes.subspan(bytes.empty() ? 0 : 1)));
  client::ChannelOptions options;
  options.address = (*listener)->local();
  options.receive_message_bytes = 1U << 16;
  const auto remote = client::make_http_remote(*env, std::move(options));
  for (int i = 0; i < 2; ++i) co_await ask_one(remote.get(), which);
  co_await remote->close();
  (*listener)->cancel();
  co_await server.join();
  co_await talks.join();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  core::SimWorld world(1);
  core::SimEnv env(world);
  world.run(whole(&env, ByteView(data, size)));
  return 0;
}
