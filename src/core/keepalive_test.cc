// Why this file exists: a peer whose machine or network is gone says nothing. Every TCP connection,
// accepted or made, asks for keepalive, so that its end is found out within a minute.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/uring_env.h"

namespace capstan::core {
namespace {

int option(int descriptor, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(descriptor, level, name, &value, &size) == 0 ? value : -1;
}

// The descriptors of this process that are TCP connections with `port` at one end.
std::vector<int> connections_of(std::uint16_t port) {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename().string());
    sockaddr_in near{}, far{};
    socklen_t near_size = sizeof near, far_size = sizeof far;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&near), &near_size) != 0 ||
        ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&far), &far_size) != 0 ||
        near.sin_family != AF_INET) {
      continue;  // no socket, or nobody at its other end
    }
    if (ntohs(near.sin_port) == port || ntohs(far.sin_port) == port) found.push_back(descriptor);
  }
  return found;
}

Task<void> talk(Env* env) {
  const auto listener = env->network().listen(Address::tcp("127.0.0.1", 0));
  CAPSTAN_ASSERT(listener.has_value());
  const Address address = (*listener)->local();
  const auto client = co_await env->network().connect(address, {});
  const auto server = co_await (*listener)->accept();
  CAPSTAN_ASSERT(client && server);
  const auto both = connections_of(address.port);
  EXPECT_EQ(both.size(), 2U);
  for (const int descriptor : both) {
    EXPECT_EQ(option(descriptor, SOL_SOCKET, SO_KEEPALIVE), 1);
    const int idle = option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE);
    const int interval = option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL);
    const int probes = option(descriptor, IPPROTO_TCP, TCP_KEEPCNT);
    EXPECT_GT(idle, 0);
    EXPECT_GT(interval, 0);
    EXPECT_GT(probes, 0);
    EXPECT_LE(idle + interval * probes, 60) << "seconds until a silent peer is given up";
  }
}

TEST(Keepalive, EveryTcpConnectionFindsOutThatItsPeerIsGone) {
  const auto env = *UringEnv::create({});
  env->run(talk(env.get()));
}

}  // namespace
}  // namespace capstan::core
