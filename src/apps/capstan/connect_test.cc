// Why this file exists: how a node is reached by a name with several addresses, and what is said of
// connections on which nothing was understood.
#include "apps/capstan/connect.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "core/sim_env.h"

namespace capstan::apps {
namespace {

using core::Address;

core::Task<void> choose(core::Env& env, std::vector<Address> addresses, core::Nanos& took,
                        Address& chosen) {
  const core::Nanos begun = core::Reactor::current()->now();
  chosen = co_await reachable(env, std::move(addresses), core::kSecond, {});
  took = core::Reactor::current()->now() - begun;
}

TEST(Connect, TheFirstAddressAtWhichSomebodyListensIsTaken) {
  core::SimWorld world{1};
  core::SimEnv server{world}, client{world};
  const auto listens = Address::tcp(server.address(), 80);
  const auto refuses = Address::tcp(server.address(), 81), silent = Address::tcp("10.9.9.9", 80);
  auto listener = server.network().listen(listens);
  ASSERT_TRUE(listener);
  const auto chosen = [&](std::vector<Address> addresses, core::Nanos most) {
    core::Nanos took = 0;
    Address address;
    world.run(choose(client, std::move(addresses), took, address));
    EXPECT_LE(took, most);
    return address.text();
  };
  EXPECT_EQ(chosen({refuses, listens}, core::kSecond), listens.text());
  EXPECT_EQ(chosen({listens, refuses}, core::kSecond), listens.text());
  EXPECT_EQ(chosen({silent, listens}, 2 * core::kSecond), listens.text());
  EXPECT_EQ(chosen({silent, refuses}, 2 * core::kSecond), refuses.text());
  EXPECT_EQ(chosen({silent}, 0), silent.text()) << "one address is not tried beforehand";
}

TEST(Connect, TlsOnOneSideOnlyHasARemedy) {
  client::RemoteOptions options;
  options.channel.address = Address::tcp("10.0.0.1", 80);
  const Error closed{Code::kUnavailable, 0, "closed", {"no answer"}};
  EXPECT_EQ(with_remedy(closed, options).text(), "no answer: closed. A node with TLS is https://…");
  options.wire = client::Wire::kMuxio;
  EXPECT_NE(with_remedy(closed, options).text().find(" wss://…"), std::string::npos);
  auto tls = wire::TlsContext::client({});
  ASSERT_TRUE(tls);
  options.channel.tls = *tls;
  options.wire = client::Wire::kHttp;
  const std::string text = with_remedy(closed, options).text();
  EXPECT_NE(text.find("http://…"), std::string::npos) << text;
  EXPECT_NE(text.find("--tls-ca"), std::string::npos) << text;
  const Error refused{Code::kUnavailable, ECONNREFUSED, "refused", {}};
  EXPECT_EQ(with_remedy(refused, options).text(), "refused");
  EXPECT_EQ(with_remedy({Code::kNotFound, 0, "x", {}}, options).text(), "x");
}

}  // namespace
}  // namespace capstan::apps
