// Why this file exists: tests/vectors/drpc.txt, packet by packet, through a server in the simulator
// and through one on real sockets.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "capstan_test_paths.h"
#include "core/uring_env.h"
#include "wire/drpc/drpc_testing.h"

namespace capstan::wire::drpc {
namespace {

struct Step {
  char what = 0;  // C, S or X
  std::string packet;
};
struct Vector {
  std::string name;
  std::vector<Step> steps;
};

std::string unhex(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  }
  return out;
}

std::vector<Vector> read_vectors() {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/tests/vectors/drpc.txt");
  std::vector<Vector> vectors;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("== ")) {
      vectors.push_back({line.substr(3), {}});
    } else {
      vectors.back().steps.push_back(
          {line[0], line.size() > 2 && line[2] != '-' ? unhex(line.substr(2)) : ""});
    }
  }
  return vectors;
}

core::Task<void> replay(core::PacketSocket& socket, const Vector& vector) {
  for (const Step& step : vector.steps) {
    if (step.what == 'C') {
      co_await testing::send(socket, step.packet);
      continue;
    }
    const auto got = co_await testing::receive(socket);
    // An empty packet and the end look alike to a receiver.
    if (step.what == 'X' || step.packet.empty()) {
      EXPECT_FALSE(got);
    } else {
      EXPECT_EQ(got, std::optional(step.packet));
    }
  }
}

core::Task<void> replay_all(testing::DrpcWorld& world) {
  const auto vectors = read_vectors();
  EXPECT_GT(vectors.size(), 60U);
  for (const Vector& vector : vectors) {
    SCOPED_TRACE(vector.name);
    const auto socket = co_await world.connect();
    co_await replay(*socket, vector);
  }
}

TEST(DrpcVectors, Simulated) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    testing::DrpcWorld world({}, seed);
    world.run(replay_all);
  }
}

core::Task<void> with_a_real_server(core::Env& env, core::Log& log, std::string path) {
  DomainSocketServer server(env, log, path, {});
  EXPECT_TRUE(server.register_module(std::make_unique<testing::EchoModule>()));
  EXPECT_TRUE(server.register_module(testing::make_module_3()));
  EXPECT_TRUE(server.register_module(std::make_unique<FunctionModule>(2, "mgmt")));
  EXPECT_TRUE(server.register_module(make_hello_module()));
  EXPECT_TRUE(server.start());
  for (const Vector& vector : read_vectors()) {
    SCOPED_TRACE(vector.name);
    auto socket = co_await env.network().connect_packets(core::Address::unix_path(path), {});
    CAPSTAN_ASSERT(socket);
    co_await replay(**socket, vector);
  }

  // Several packets each way, received in pieces, and the identity of the caller.
  Client client(env, path);
  EXPECT_TRUE(co_await client.connect());
  for (const std::size_t size : {0U, 5U, 131'000U, 131'048U, 1U << 20, 5U << 20}) {
    const std::string body(size, 'b');
    const auto reply = co_await client.call(77, 1, as_bytes(body), {});
    CAPSTAN_ASSERT(reply);
    EXPECT_EQ(reply->status, Status::kSuccess);
    EXPECT_TRUE(as_text(reply->body.view()) == body) << size;
  }
  EXPECT_TRUE(std::filesystem::is_socket(path));
  co_await server.shutdown();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(DrpcVectors, RealSockets) {
  char name[] = "/tmp/capstan-drpc-XXXXXX";
  const std::string directory = mkdtemp(name);
  testing::NoLog sink;
  core::Log log{sink, core::LogLevel::kInfo, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  auto env = core::UringEnv::create({});
  ASSERT_TRUE(env);
  (*env)->run(with_a_real_server(**env, log, directory + "/s"));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace capstan::wire::drpc
