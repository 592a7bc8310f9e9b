// Why this file exists: errors of servers that are not there, or that close without an answer, name
// the address, and name it once.
#include <gtest/gtest.h>

#include "client/http_exchange.h"
#include "client/remote.h"
#include "core/sim_env.h"
#include "node/node.pb.h"

namespace capstan::client {
namespace {

using core::Task;

struct World {
  core::SimWorld simulated{1};
  core::SimEnv server{simulated}, client{simulated};
  RemoteOptions options(Wire wire) const {
    RemoteOptions options;
    options.wire = wire;
    options.channel.address = core::Address::tcp(server.address(), 80);
    return options;
  }
};

Task<Result<void>> ask_version(World& world, Wire wire) {
  const auto remote = make_remote(world.client, world.options(wire));
  node::v1::Version version;
  const node::v1::GetVersionRequest request;
  auto done =
      co_await remote->unary("capstan.node.v1.NodeRpc/GetVersion", request, version, CallOptions());
  co_await remote->close();
  co_return done;
}

Task<void> refused(World& world) {
  const std::string where = world.options(Wire::kHttp).channel.address.text();
  for (const Wire wire : {Wire::kHttp, Wire::kMuxio, Wire::kGrpc}) {
    const auto done = co_await ask_version(world, wire);
    EXPECT_EQ(done ? "OK" : done.error().text(), "connect to " + where + ": Connection refused");
  }
}

TEST(Unreachable, ARefusedConnectionNamesTheAddressOnce) {
  World world;
  world.simulated.run(refused(world));
}

Task<void> close_each(core::StreamListener* listener) {
  while (co_await listener->accept()) continue;
}

Task<void> closed(World& world) {
  const auto options = world.options(Wire::kHttp);
  auto listener = world.server.network().listen(options.channel.address);
  CAPSTAN_ASSERT(listener);
  core::Scope scope;
  scope.spawn(close_each(listener->get()));
  const std::string where = "no answer from http://" + options.channel.address.text() + ": ";
  const auto typed = co_await ask_version(world, Wire::kHttp);
  EXPECT_TRUE(!typed && typed.error().text().starts_with(where));
  const auto asked = co_await http_exchange(
      world.client, options, {"GET", "/x"}, CallOptions(),
      [](const wire::Http1Response&, std::string_view, bool) { return Result<void>(); });
  EXPECT_TRUE(!asked && asked.error().text().starts_with(where));
  (*listener)->cancel();
  co_await scope.join();
}

TEST(Unreachable, AConnectionWithoutAnAnswerNamesTheServer) {
  World world;
  world.simulated.run(closed(world));
}

}  // namespace
}  // namespace capstan::client
