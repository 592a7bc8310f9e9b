// Why this file exists: what real TCP connections say to each other beside their bytes, as the
// kernel counts it: acknowledgements go along with answers, and alone only when no answer comes.
// And the watch by which a stream waits: it misses no end, holds no connection open, outlives its
// ring, and does without what old kernels lack.
#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "core/os_socket.h"
#include "core/scope.h"
#include "core/uring_env.h"
#include "core/uring_reactor.h"

namespace capstan::core {
namespace {

constexpr unsigned kExchanges = 50;

tcp_info info_of(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info;
}

// A client of another make: it sends what it has in pieces, and Nagle's algorithm holds back all
// but the first until that is acknowledged.
class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CAPSTAN_ASSERT(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    const timeval patience{10, 0};  // for tests that fail
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(std::string_view text) const {
    EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  void end() const { ::shutdown(fd_, SHUT_WR); }
  // Empty at the end of the stream.
  std::string receive() const {
    std::array<char, 64> buffer;
    ssize_t got = -1;
    do {  // a ring that ends interrupts the thread
      got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return "error " + std::to_string(errno);
    return {buffer.data(), static_cast<std::size_t>(got)};
  }
  // Segments that nobody has acknowledged.
  unsigned waiting() const { return info_of(fd_).tcpi_unacked; }
  // Segments that came, with or without bytes.
  unsigned came() const { return info_of(fd_).tcpi_segs_in; }

 private:
  int fd_;
};

struct Pair {
  std::unique_ptr<StreamListener> listener;
  std::unique_ptr<Client> client;
  std::unique_ptr<Stream> server;
  std::array<std::uint8_t, 64> buffer;
};

Task<std::string> heard(Pair& pair) {
  const auto got = co_await pair.server->read(pair.buffer);
  CAPSTAN_ASSERT(got.has_value());
  co_return std::string(as_text(ByteView(pair.buffer).first(*got)));
}

Task<void> exchange(Pair& pair, unsigned times) {
  for (unsigned i = 0; i < times; ++i) {
    pair.client->send("question");
    EXPECT_EQ(co_await heard(pair), "question");
    EXPECT_TRUE(co_await pair.server->write(as_bytes("answer")));
    EXPECT_EQ(pair.client->receive(), "answer");
  }
}

// Long enough that the kernel takes it for one where answers follow questions.
Task<void> make(Env* env, Pair& pair) {
  auto listener = env->network().listen(Address::tcp("127.0.0.1", 0));
  CAPSTAN_ASSERT(listener.has_value());
  pair.listener = *std::move(listener);
  pair.client = std::make_unique<Client>(pair.listener->local().port);
  auto server = co_await pair.listener->accept();
  CAPSTAN_ASSERT(server.has_value());
  pair.server = *std::move(server);
  acknowledge_at_once(*pair.server);
  co_await exchange(pair, kExchanges);
}

Task<void> answers_carry_it(Env* env) {
  Pair pair;
  co_await make(env, pair);
  const unsigned before = pair.client->came();
  co_await exchange(pair, kExchanges);
  EXPECT_EQ(pair.client->came() - before, kExchanges);
}
TEST(AcknowledgeAtOnce, WithTheAnswerWhenThereIsOne) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(answers_carry_it(env.get()));
}

// The rest of a question comes once its beginning is acknowledged, which the kernel alone would put
// off by 40 ms.
Task<void> pieces(Env* env) {
  Pair pair;
  co_await make(env, pair);
  const Nanos begun = Reactor::current()->read_clock();
  for (unsigned i = 0; i < kExchanges; ++i) {
    pair.client->send("ques");
    EXPECT_EQ(co_await heard(pair), "ques");
    pair.client->send("tion");
    EXPECT_EQ(co_await heard(pair), "tion");
    EXPECT_TRUE(co_await pair.server->write(as_bytes("answer")));
    EXPECT_EQ(pair.client->receive(), "answer");
  }
  EXPECT_LT(Reactor::current()->read_clock() - begun, kExchanges * 20 * kMillisecond);
}
TEST(AcknowledgeAtOnce, AloneWhenTheCoreWaitsForMore) {
  for (const int poll_us : {0, 20}) {
    const auto env = *UringEnv::create({.cores = 1, .poll_us = poll_us, .on_stall = {}});
    env->run(pieces(env.get()));
  }
}

Task<void> busy(Env* env) {
  Pair pair;
  co_await make(env, pair);
  pair.client->send("question");
  EXPECT_EQ(co_await heard(pair), "question");
  EXPECT_EQ(pair.client->waiting(), 1U);
  for (int turn = 0; turn < 20; ++turn) co_await yield();
  EXPECT_EQ(pair.client->waiting(), 0U);
}
TEST(AcknowledgeAtOnce, AloneAfterSomeTurnsWhenTheCoreIsNeverIdle) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(busy(env.get()));
}

Task<void> gone(Env* env) {
  Pair pair;
  co_await make(env, pair);
  pair.client->send("question");
  EXPECT_EQ(co_await heard(pair), "question");
  pair.server.reset();  // with its acknowledgement put off
  for (int turn = 0; turn < 20; ++turn) co_await yield();
}
TEST(AcknowledgeAtOnce, NotForAConnectionThatIsClosed) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(gone(env.get()));
}

// --- watches ------------------------------------------------------------------------------------

Task<void> hear(Pair& pair, std::string& into) {
  into = co_await heard(pair);
}

// The kernel tells once of both.
Task<void> ends_with_bytes(Env* env) {
  Pair pair;
  co_await make(env, pair);
  Scope scope;
  std::string last;
  scope.spawn(hear(pair, last));
  for (int turn = 0; turn < 3; ++turn) co_await yield();
  pair.client->send("last");
  pair.client->end();
  co_await scope.join();
  EXPECT_EQ(last, "last");
  EXPECT_EQ(co_await heard(pair), "");
  EXPECT_EQ(co_await heard(pair), "");
}
TEST(Watch, BytesThatComeWithTheEnd) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(ends_with_bytes(env.get()));
}

Task<void> closes(Env* env) {
  Pair pair;
  co_await make(env, pair);  // the watch is in the ring
  pair.server.reset();
  EXPECT_EQ(pair.client->receive(), "");  // before the core has done anything else
}
TEST(Watch, HoldsNoConnectionOpen) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(closes(env.get()));
}

TEST(Watch, MayOutliveItsRing) {
  Pair kept;
  auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(make(env.get(), kept));
  kept.listener.reset();
  env.reset();
  kept.server.reset();
  EXPECT_EQ(kept.client->receive(), "");
}

Task<void> old_kernel(Env* env) {
  auto& ring = static_cast<UringReactor&>(*Reactor::current());
  bool refused = false;
  ring.inject_results(
      [&](int result) { return result > 0 && !std::exchange(refused, true) ? -EINVAL : result; });
  Pair first, second;
  co_await make(env, first);
  EXPECT_TRUE(refused);
  ring.inject_results({});
  co_await make(env, second);  // with one request for each wait
  second.client->send("last");
  second.client->end();
  EXPECT_EQ(co_await heard(second), "last");
  EXPECT_EQ(co_await heard(second), "");
  co_await exchange(first, kExchanges);
}
TEST(Watch, AKernelWithoutMultishotIsAskedEachTime) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(old_kernel(env.get()));
}

}  // namespace
}  // namespace capstan::core
