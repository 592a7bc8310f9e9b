// Why this file exists: names in Linux's abstract namespace have no zero byte at their end, as
// other programs expect; acknowledging at once leaves every stream working; reading without waiting
// loses nothing, on real and simulated sockets; and many who connect are taken in few turns.
#include "core/os_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "core/scope.h"
#include "core/sim_env.h"
#include "core/uring_env.h"

namespace capstan::core {
namespace {

// Connects as other programs do: a zero byte, the name, nothing else.
bool reaches(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, name.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const bool reached = connect(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0;
  close(fd);
  return reached;
}

TEST(AbstractNames, AreExactlyTheName) {
  const auto env = *UringEnv::create({});
  const std::string name = "capstan-test-" + std::to_string(getpid());
  const Address address = Address::unix_path("@" + name);
  EXPECT_FALSE(reaches(name));
  {
    const auto listener = env->network().listen(address);
    ASSERT_TRUE(listener) << listener.error().text();
    EXPECT_TRUE(reaches(name));
    EXPECT_FALSE(reaches(name + "x"));
    const auto second = env->network().listen(address);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  }
  EXPECT_FALSE(reaches(name));
}

Task<void> talk(Env* env, Address address) {
  const auto listener = env->network().listen(address);
  CAPSTAN_ASSERT(listener.has_value());
  auto client = co_await env->network().connect((*listener)->local(), {});
  auto server = co_await (*listener)->accept();
  CAPSTAN_ASSERT(client && server);
  acknowledge_at_once(**client);
  acknowledge_at_once(**server);
  std::array<std::uint8_t, 16> buffer;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(co_await (*client)->write(as_bytes("hello")));
    const auto got = co_await (*server)->read(buffer);
    CAPSTAN_ASSERT(got.has_value());
    EXPECT_EQ(as_text(ByteView(buffer).first(*got)), "hello");
  }
}

Task<void> connect_later(Env* env, Address address, std::unique_ptr<Stream>* into) {
  co_await yield();
  auto made = co_await env->network().connect(address, {});
  CAPSTAN_ASSERT(made.has_value());
  *into = *std::move(made);
}

// Everybody connects before the first is accepted.
Task<void> accept_many(Env* env, Address address) {
  constexpr std::size_t kMany = 100, kTurns = 20;
  const auto listener = env->network().listen(address);
  CAPSTAN_ASSERT(listener.has_value());
  const Address local = (*listener)->local();
  std::vector<std::unique_ptr<Stream>> clients(kMany), servers;
  Scope scope;
  for (auto& client : clients) scope.spawn(connect_later(env, local, &client));
  co_await scope.join();
  const std::uint64_t before = Reactor::current()->counters().turns;
  while (servers.size() < kMany) {
    auto server = co_await (*listener)->accept();
    CAPSTAN_ASSERT(server.has_value());
    servers.push_back(*std::move(server));
  }
  EXPECT_LE(Reactor::current()->counters().turns - before, kTurns);
  // And one that is waited for.
  clients.emplace_back();
  scope.spawn(connect_later(env, local, &clients.back()));
  auto server = co_await (*listener)->accept();
  EXPECT_TRUE(server.has_value());
  co_await scope.join();
}

// What is there, without waiting, between reads that wait.
Task<void> read_without_waiting(Env* env, Address address) {
  const auto listener = env->network().listen(address);
  CAPSTAN_ASSERT(listener.has_value());
  auto client = co_await env->network().connect((*listener)->local(), {});
  auto server = co_await (*listener)->accept();
  CAPSTAN_ASSERT(client && server);
  std::array<std::uint8_t, 4> small;
  std::array<std::uint8_t, 64> large;
  auto now = (*server)->read_now(large);
  EXPECT_TRUE(now && !*now);  // nothing yet
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(co_await (*client)->write(as_bytes("0123456789")));
    std::string heard;
    while (heard.size() < 10) {  // in as many parts as the network likes
      const auto got = co_await (*server)->read(small);
      CAPSTAN_ASSERT(got && *got != 0);
      heard += as_text(ByteView(small).first(*got));
      now = (*server)->read_now(large);
      CAPSTAN_ASSERT(now.has_value());
      if (*now) heard += as_text(ByteView(large).first(**now));
    }
    EXPECT_EQ(heard, "0123456789");
    now = (*server)->read_now(large);
    EXPECT_TRUE(now && !*now);
  }
  (*client)->shutdown_write();
  const auto end = co_await (*server)->read(small);
  EXPECT_TRUE(end && *end == 0);
  now = (*server)->read_now(large);
  EXPECT_TRUE(now && *now && **now == 0);  // the end is something, too
  (*server)->cancel();
  now = (*server)->read_now(large);
  EXPECT_FALSE(now);
}

TEST(ReadNow, RealSockets) {
  const auto env = *UringEnv::create({});
  env->run(read_without_waiting(env.get(), Address::tcp("127.0.0.1", 0)));
  env->run(read_without_waiting(env.get(),
                                Address::unix_path("@capstan-now-" + std::to_string(getpid()))));
}

TEST(ReadNow, SimulatedSockets) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SimWorld world(seed);
    SimEnv env(world);
    world.run(read_without_waiting(&env, Address::tcp(env.address(), 4000)));
  }
}

TEST(Accept, ManyInFewTurns) {
  const auto env = *UringEnv::create({});
  env->run(accept_many(env.get(), Address::tcp("127.0.0.1", 0)));
  env->run(accept_many(env.get(), Address::unix_path("@capstan-many-" + std::to_string(getpid()))));
}

TEST(AcknowledgeAtOnce, AnyStream) {
  const auto env = *UringEnv::create({});
  env->run(talk(env.get(), Address::tcp("127.0.0.1", 0)));
  env->run(talk(env.get(), Address::unix_path("@capstan-quick-" + std::to_string(getpid()))));
}

}  // namespace
}  // namespace capstan::core
