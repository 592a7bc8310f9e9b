// Why this file exists: writes of several pieces, and writes whose memory the kernel keeps: every
// byte arrives in order however it is cut, and memory is let go when the kernel needs it no longer,
// neither before nor never, whatever happens to the connection. Over loopback the kernel copies
// what it need not send at once, so what is outstanding here is what the peer has no room for.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <array>
#include <cstdio>
#include <utility>

#include "core/os_socket.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "core/uring_env.h"
#include "core/uring_stream.h"

namespace capstan::core {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + (i >> 9));
  return bytes;
}

// The kernel says what it copied from 6.2 on; before that nothing is kept.
bool kernel_tells() {
  utsname name{};
  int major = 0, minor = 0;
  CAPSTAN_ASSERT(uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2);
  return major > 6 || (major == 6 && minor >= 2);
}

struct Ends {
  std::unique_ptr<StreamListener> listener;
  std::unique_ptr<Stream> server, client;  // server: the accepted one
};
Task<void> accept(Ends* ends) {
  auto accepted = co_await ends->listener->accept();
  CAPSTAN_ASSERT(accepted.has_value());
  ends->server = *std::move(accepted);
}
Task<void> open(Env* env, Ends* ends, Address address) {
  auto listener = env->network().listen(address);
  CAPSTAN_ASSERT(listener.has_value());
  ends->listener = *std::move(listener);
  Scope scope;
  scope.spawn(accept(ends));
  auto client = co_await env->network().connect(ends->listener->local(), {});
  CAPSTAN_ASSERT(client.has_value());
  ends->client = *std::move(client);
  co_await scope.join();
}

// Until `into` is full; in `bites`.
Task<void> take(Stream* from, Bytes* into, std::size_t bites) {
  for (std::size_t at = 0; at < into->size();) {
    const auto got =
        co_await from->read(MutableBytes(*into).subspan(at, std::min(bites, into->size() - at)));
    EXPECT_TRUE(got && *got != 0);
    if (!got || *got == 0) co_return;
    at += *got;
  }
}

std::vector<ByteView> cut(ByteView whole, std::size_t pieces) {
  std::vector<ByteView> out;
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t rest = pieces - i;
    const std::size_t size = rest == 1 ? whole.size() : i % 3 == 1 ? 0 : whole.size() / rest / 2;
    out.push_back(whole.first(size));
    whole = whole.subspan(size);
  }
  return out;
}

Task<void> pieces_arrive(Env* env, Address address, std::size_t most) {
  Ends ends;
  co_await open(env, &ends, address);
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{70'000}, most}) {
    for (const std::size_t count : {1U, 2U, 7U, 16U}) {
      const Bytes sent = pattern(size);
      Bytes received(size);
      Scope scope;
      scope.spawn(take(ends.client.get(), &received, 65'536));
      const auto pieces = cut(sent, count);
      EXPECT_TRUE(co_await ends.server->write_pieces(pieces));
      co_await scope.join();
      EXPECT_TRUE(received == sent) << size << " in " << count;
    }
  }
  EXPECT_TRUE(co_await ends.server->write_pieces({}));
}
TEST(Pieces, ArriveInOrderOnRealSockets) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(pieces_arrive(env.get(), Address::tcp("127.0.0.1", 0), 9'000'000));
}
TEST(Pieces, ArriveInOrderInSimulation) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SimWorld world(seed);
    SimEnv node(world);
    world.run(pieces_arrive(&node, Address::tcp(node.address(), 1), 300'000));
  }
}

// --- kept memory --------------------------------------------------------------------------------

constexpr std::size_t kLong = 16U << 20;  // more than the buffers of both sockets hold

struct Memory {
  std::shared_ptr<Bytes> bytes = std::make_shared<Bytes>(pattern(kLong));
  std::weak_ptr<Bytes> seen = bytes;
};
Task<Result<void>> write_kept(Stream* stream, Memory* memory) {
  const ByteView pieces[] = {*memory->bytes};
  co_return co_await stream->write_kept(pieces, std::exchange(memory->bytes, nullptr));
}
Task<void> write_and_tell(Stream* stream, Memory* memory, std::optional<Error>* error) {
  const auto written = co_await write_kept(stream, memory);
  *error = written ? Error{} : written.error();
}
Task<void> until_gone(const Memory* memory) {
  for (int i = 0; i < 500 && !memory->seen.expired(); ++i) {
    static_cast<void>(co_await sleep_for(10 * kMillisecond));
  }
  EXPECT_TRUE(memory->seen.expired());
}

// What is not yet known of a connection is found out on whatever core it is.
Task<void> moved(Env* env) {
  Ends ends;
  co_await open(env, &ends, Address::tcp("127.0.0.1", 0));
  leave_core(*ends.server);
  EXPECT_EQ(ends.server->kept_bytes(), limits::kZeroCopySendBytes);
  Memory memory;
  Bytes received(kLong);
  Scope scope;
  scope.spawn(take(ends.client.get(), &received, 1U << 20));
  EXPECT_TRUE(co_await write_kept(ends.server.get(), &memory));
  co_await scope.join();
  co_await until_gone(&memory);
  leave_core(*ends.server);
  EXPECT_EQ(ends.server->kept_bytes(), SIZE_MAX);
}
TEST(KeptMemory, ConnectionsThatMoveRemember) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(moved(env.get()));
}

// Loopback copies, which the first write finds out.
Task<void> back_to_copies(Env* env) {
  Ends ends;
  co_await open(env, &ends, Address::tcp("127.0.0.1", 0));
  EXPECT_EQ(ends.client->kept_bytes(), SIZE_MAX);
  EXPECT_EQ(ends.server->kept_bytes(), limits::kZeroCopySendBytes);
  for (int round = 0; round < 2; ++round) {
    Memory memory;
    Bytes received(kLong);
    Scope scope;
    scope.spawn(take(ends.client.get(), &received, 1U << 20));
    EXPECT_TRUE(co_await write_kept(ends.server.get(), &memory));
    co_await scope.join();
    EXPECT_TRUE(received == pattern(kLong));
    co_await until_gone(&memory);
    EXPECT_EQ(ends.server->kept_bytes(), SIZE_MAX);
  }
}
TEST(KeptMemory, ConnectionsThatCopyGoBackToCopies) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(back_to_copies(env.get()));
}

// A write that the peer has no room for, from which somebody else walks away.
Task<void> blocked(Ends* ends, Memory* memory, Scope* scope, std::optional<Error>* error) {
  scope->spawn(write_and_tell(ends->server.get(), memory, error));
  for (int turn = 0; turn < 50; ++turn) co_await yield();
  EXPECT_FALSE(error->has_value());
  EXPECT_FALSE(memory->seen.expired());
}
Task<void> cancelled(Env* env) {
  Ends ends;
  co_await open(env, &ends, Address::tcp("127.0.0.1", 0));
  Memory memory;
  std::optional<Error> error;
  Scope scope;
  co_await blocked(&ends, &memory, &scope, &error);
  ends.server->cancel();
  co_await scope.join();
  EXPECT_EQ(error->code, Code::kCancelled);
  EXPECT_FALSE(memory.seen.expired()) << "the kernel still sends from it";
  ends.server.reset();
  co_await until_gone(&memory);
  Bytes received(kLong);
  std::size_t at = 0;
  auto got = co_await ends.client->read(received);
  for (; got && *got != 0; got = co_await ends.client->read(received)) at += *got;
  EXPECT_LT(at, kLong);
  EXPECT_EQ(got.has_value() ? 0 : got.error().sys_errno, ECONNRESET);
}
TEST(KeptMemory, IsKeptUntilACancelledConnectionHasGone) {
  if (!kernel_tells()) GTEST_SKIP() << "Linux before 6.2";
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(cancelled(env.get()));
}

Task<void> peer_dies(Env* env) {
  Ends ends;
  co_await open(env, &ends, Address::tcp("127.0.0.1", 0));
  Memory memory;
  std::optional<Error> error;
  Scope scope;
  co_await blocked(&ends, &memory, &scope, &error);
  ends.client.reset();
  co_await scope.join();
  EXPECT_NE(error->code, Code::kOk);
  co_await until_gone(&memory);
}
TEST(KeptMemory, GoesWithAConnectionThatThePeerBreaks) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(peer_dies(env.get()));
}

Task<void> leave_outstanding(Env* env, Ends* ends, Memory* memory) {
  co_await open(env, ends, Address::tcp("127.0.0.1", 0));
  std::optional<Error> error;
  Scope scope;
  co_await blocked(ends, memory, &scope, &error);
  ends->server->cancel();
  co_await scope.join();
  ends->server.reset();
}
TEST(KeptMemory, GoesWithItsRing) {
  Memory memory;
  Ends ends;
  auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(leave_outstanding(env.get(), &ends, &memory));
  ends.listener.reset();
  ends.client.reset();
  env.reset();
  EXPECT_TRUE(memory.seen.expired());
}

// A network that has no such sends: everything leaves all the same.
Task<void> refused() {
  std::array<int, 2> pair{};
  CAPSTAN_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  UringStream sender(pair[0], {}, 1), receiver(pair[1], {});
  EXPECT_EQ(sender.kept_bytes(), 1U);
  Memory memory;
  Bytes received(kLong);
  Scope scope;
  scope.spawn(take(&receiver, &received, 1U << 20));
  EXPECT_TRUE(co_await write_kept(&sender, &memory));
  EXPECT_TRUE(memory.seen.expired());
  co_await scope.join();
  EXPECT_TRUE(received == pattern(kLong));
  EXPECT_EQ(sender.kept_bytes(), SIZE_MAX);
}
TEST(KeptMemory, ANetworkThatCannotIsAskedOnce) {
  const auto env = *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}});
  env->run(refused());
}

Task<void> never(Env* env) {
  Ends ends;
  co_await open(env, &ends, Address::tcp("127.0.0.1", 0));
  EXPECT_EQ(ends.server->kept_bytes(), SIZE_MAX);
}
TEST(KeptMemory, NotWhenItIsSwitchedOff) {
  const auto env =
      *UringEnv::create({.cores = 1, .poll_us = 0, .on_stall = {}, .zero_copy_bytes = SIZE_MAX});
  env->run(never(env.get()));
}

}  // namespace
}  // namespace capstan::core
