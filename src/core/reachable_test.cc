// Why this file exists: which of a name's addresses is taken, and how long that may last.
#include "core/reachable.h"

#include <gtest/gtest.h>

#include "core/sim_env.h"

namespace capstan::core {
namespace {

Task<void> choose(Env& env, std::vector<Address> addresses, Nanos within, Nanos& took,
                  Address& chosen) {
  const Nanos begun = Reactor::current()->now();
  chosen = co_await reachable(env, std::move(addresses), within, {});
  took = Reactor::current()->now() - begun;
}

TEST(Reachable, TheFirstAddressAtWhichSomebodyListensIsTaken) {
  SimWorld world{1};
  SimEnv server{world}, client{world};
  const auto listens = Address::tcp(server.address(), 80);
  const auto refuses = Address::tcp(server.address(), 81), silent = Address::tcp("10.9.9.9", 80);
  auto listener = server.network().listen(listens);
  ASSERT_TRUE(listener);
  const auto chosen = [&](std::vector<Address> addresses, Nanos most, Nanos within = 0) {
    Nanos took = 0;
    Address address;
    world.run(choose(client, std::move(addresses), within, took, address));
    EXPECT_LE(took, most);
    return address.text();
  };
  EXPECT_EQ(chosen({refuses, listens}, kSecond), listens.text());
  EXPECT_EQ(chosen({listens, refuses}, kSecond), listens.text());
  EXPECT_EQ(chosen({silent, listens}, 2 * kSecond), listens.text());
  EXPECT_EQ(chosen({silent, refuses}, 2 * kSecond), refuses.text());
  EXPECT_EQ(chosen({silent, silent, listens}, kSecond / 2, kSecond / 2), listens.text());
  EXPECT_EQ(chosen({silent}, 0), silent.text()) << "one address is not tried beforehand";
}

}  // namespace
}  // namespace capstan::core
