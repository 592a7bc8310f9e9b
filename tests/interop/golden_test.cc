// Why this file exists: the captured session (tests/vectors/muxio_session.txt) played to our server
// with both sizes of headers: every answer must be upstream's, byte for byte. And the order that a
// client which pipelines may rely on.
#include <gtest/gtest.h>

#include <fstream>

#include "capstan_test_paths.h"
#include "core/log_sinks.h"
#include "core/sim_env.h"
#include "memory_store.h"
#include "wire/muxio/client.h"
#include "wire/muxio/server.h"

namespace capstan::interop {
namespace {

using namespace wire::muxio;

constexpr char kSocket[] = "/run/store.sock";

using core::NoLog;

struct World {
  World() : world(1), env(world) {
    EXPECT_TRUE(store.bind(directory));
    auto made = MethodTable::make(directory);
    EXPECT_TRUE(made) << (made ? "" : made.error().text());
    methods = *std::move(made);
    server = std::make_unique<Server>(env, directory, methods, log, ServerOptions());
  }
  template <class Body>
  void run(Body body) {
    world.run(whole(this, body));
  }
  template <class Body>
  static Task<void> whole(World* self, Body body) {
    EXPECT_TRUE(self->server->listen(core::Address::unix_path(kSocket)));
    core::Scope scope;
    scope.spawn(self->server->run());
    co_await body(*self);
    self->server->stop(core::kSecond);
    co_await scope.join();
  }

  core::SimWorld world;
  core::SimEnv env;
  NoLog sink;
  core::Log log{sink, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  Store store;
  rpc::Directory directory;
  MethodTable methods;
  std::unique_ptr<Server> server;
};

// Hexadecimal pieces and one quoted text at the end.
std::string bytes_of(std::string_view line) {
  const auto quote = line.find('"');
  std::string out, digits;
  for (const char c : line.substr(0, quote)) {
    if (std::isxdigit(static_cast<unsigned char>(c))) digits.push_back(c);
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  if (quote != std::string_view::npos) {
    out += line.substr(quote + 1, line.rfind('"') - quote - 1);
  }
  return out;
}

struct Exchange {
  std::string call, answer;
};

std::vector<Exchange> session() {
  std::ifstream file(CAPSTAN_SOURCE_DIR "/tests/vectors/muxio_session.txt");
  std::vector<Exchange> exchanges;
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with('>')) exchanges.push_back({bytes_of(line.substr(1)), {}});
    if (line.starts_with('<')) exchanges.back().answer = bytes_of(line.substr(1));
  }
  return exchanges;
}

// Talks in frames over the socket.
struct Peer {
  std::unique_ptr<core::Stream> stream;
  std::size_t header_bytes;
  std::string received;

  std::string frame(std::uint32_t number, std::uint32_t sequence, FrameKind kind,
                    const std::string& payload) const {
    std::string out(header_bytes, '\0');
    write_frame_header(reinterpret_cast<std::uint8_t*>(out.data()), header_bytes,
                       {static_cast<std::uint32_t>(payload.size()), number, sequence, kind},
                       1'780'000'000'000'000);
    return out + payload;
  }
  Task<std::string> take(std::size_t size) {
    std::array<std::uint8_t, 4096> buffer;
    while (received.size() < size) {
      const auto got = co_await stream->read(buffer);
      CAPSTAN_ASSERT(got && *got != 0);
      received.append(as_text(ByteView(buffer).first(*got)));
    }
    const std::string taken = received.substr(0, size);
    received.erase(0, size);
    co_return taken;
  }
  // The content of the next stream.
  Task<std::string> answer() {
    std::string content;
    while (true) {
      const std::string header = co_await take(header_bytes);
      const auto* from = reinterpret_cast<const std::uint8_t*>(header.data());
      EXPECT_NE(load_le<std::uint32_t>(from + 4) & 0x80000000U, 0U) << "a server's stream";
      content += co_await take(load_le<std::uint32_t>(from));
      if (from[12] == static_cast<std::uint8_t>(FrameKind::kEnd)) co_return content;
    }
  }
};

Task<void> play(World* world, std::size_t header_bytes) {
  auto connected = co_await world->env.network().connect(core::Address::unix_path(kSocket), {});
  CAPSTAN_ASSERT(connected.has_value());
  Peer peer{*std::move(connected), header_bytes, {}};
  std::uint32_t number = 0;
  for (const auto& [call, answer] : session()) {
    const std::string bytes =
        peer.frame(number, 0, FrameKind::kOpen, call) + peer.frame(number, 1, FrameKind::kEnd, "");
    ++number;
    EXPECT_TRUE(co_await peer.stream->write(as_bytes(bytes)));
    EXPECT_EQ(co_await peer.answer(), answer) << "call " << number;
  }
  EXPECT_EQ(number, 11U);
}

TEST(MuxioGolden, CapturedSession) {
  for (const std::size_t header_bytes : {kLongHeaderBytes, kShortHeaderBytes}) {
    World world;
    world.run([header_bytes](World& in) { return play(&in, header_bytes); });
  }
}

Task<void> note(Client* client, std::string method, std::string arguments, std::string* log) {
  const auto answer = co_await client->raw(method, std::move(arguments), {});
  CAPSTAN_ASSERT(answer.has_value());
  *log += method + ":" + *answer + ";";
}

// write k=1, read k, write k=2, read k, all at once; writes take a second.
Task<void> pipeline(World& world) {
  world.store.write_pause = core::kSecond;
  Client client(world.env, {.address = core::Address::unix_path(kSocket)});
  EXPECT_TRUE(co_await client.connect({}));
  core::Scope scope;
  std::string log;
  scope.spawn(note(&client, "read", "\1k", &log));
  scope.spawn(note(&client, "write",
                   "\1k\1"
                   "1",
                   &log));
  scope.spawn(note(&client, "read", "\1k", &log));
  scope.spawn(note(&client, "write",
                   "\1k\1"
                   "2",
                   &log));
  scope.spawn(note(&client, "read", "\1k", &log));
  co_await scope.join();
  const std::string none(1, '\0');
  EXPECT_EQ(log, "read:" + none +
                     ";write:\6\x15;read:\1\1"
                     "1;write:\6\x55;read:\1\1"
                     "2;");
  co_await client.close();
}

TEST(MuxioGolden, CallsOfOneConnectionTakeEffectInOrder) {
  World world;
  world.run(pipeline);
}

Task<void> garbage(World& world) {
  Client client(world.env, {.address = core::Address::unix_path(kSocket)});
  EXPECT_TRUE(co_await client.connect({}));
  const auto refused = co_await client.raw("read", "\5", {});
  CAPSTAN_ASSERT(!refused);
  EXPECT_EQ(refused.error().message, "bitcode error");
  // Nobody looks at the arguments of these.
  EXPECT_EQ((co_await client.raw("len", "garbage", {})).value_or("?"), std::string("\6\0", 2));
  EXPECT_EQ((co_await client.raw("is_empty", "garbage", {})).value_or("?"), "\1");
  // The same operations by their full names, in protobuf, with codes in their errors.
  TailReply tail;
  WriteRequest request;
  request.set_key("k");
  const auto empty = co_await client.unary("capstan.interop.MemoryStore/Write", request, tail, {});
  CAPSTAN_ASSERT(!empty);
  EXPECT_EQ(empty.error().code, Code::kInvalidArgument);
  request.set_value("v");
  EXPECT_TRUE(co_await client.unary("capstan.interop.MemoryStore/Write", request, tail, {}));
  EXPECT_EQ(tail.tail_offset(), 21U);
  co_await client.close();
}

TEST(MuxioGolden, Arguments) {
  World world;
  world.run(garbage);
}

}  // namespace
}  // namespace capstan::interop
