// Why this file exists: the golden vectors of tests/vectors/jsonrpc_wire.txt through real sessions,
// whole, cut at random places and byte by byte, and the worked example of PROTOCOL.md, which is
// read from the document itself.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "capstan_test_paths.h"
#include "wire/jsonrpc/jsonrpc_testing.h"

namespace capstan::wire::jsonrpc::testing {
namespace {

struct Vector {
  std::string name, sent, answer;
  bool eof = false;
};

std::string unescape(const std::string& line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line.compare(i, 2, "\\x") == 0) {
      out += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
      i += 3;
    } else {
      out += line[i];
    }
  }
  return out;
}

bool repeats(const std::string& word) {
  return word.size() > 1 && word[0] == '*' &&
         word.find_first_not_of("0123456789", 1) == std::string::npos;
}

// "x *3 y" is "xxxy"; a line without *N stands for itself.
std::string expand(const std::string& line) {
  std::istringstream words(line);
  std::string out, last;
  bool any = false;
  for (std::string word; words >> word;) {
    if (!repeats(word)) {
      out += last = word;
      continue;
    }
    any = true;
    for (int n = std::stoi(word.substr(1)); n > 1; --n) out += last;
  }
  return any ? out : line;
}

std::vector<Vector> read_vectors() {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/tests/vectors/jsonrpc_wire.txt");
  std::vector<Vector> vectors;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("vector ")) vectors.push_back({line.substr(7), {}, {}, false});
    if (line.starts_with("> ")) vectors.back().sent += unescape(expand(line.substr(2)));
    if (line.starts_with("< ")) vectors.back().answer += line.substr(2) + "\n";
    if (line == "eof") vectors.back().eof = true;
  }
  return vectors;
}

// The same through a connection; `cut` gives the size of the next piece.
template <class Cut>
core::Task<void> replay(TestWorld& world, const Vector& vector, Cut cut) {
  SCOPED_TRACE(vector.name);
  auto client = co_await world.connect();
  for (std::string_view rest = vector.sent; !rest.empty();) {
    const auto piece = rest.substr(0, cut());
    if (!co_await client->send(piece)) break;  // closed already
    rest.remove_prefix(piece.size());
  }
  (void)co_await core::sleep_for(2 * core::kSecond);
  EXPECT_EQ(client->received, vector.answer) << vector.name;
  EXPECT_EQ(client->ended, vector.eof) << vector.name;
  if (!vector.eof) {
    client->received.clear();
    co_await client->send(R"({"method":"log_get_level","id":"still"})");
    (void)co_await core::sleep_for(core::kSecond);
    EXPECT_EQ(client->received, "{\"jsonrpc\":\"2.0\",\"id\":\"still\",\"result\":\"NOTICE\"}\n")
        << vector.name;
  }
  co_await client->close();
}

core::Task<void> replay_all(TestWorld& world) {
  const auto vectors = read_vectors();
  EXPECT_GT(vectors.size(), 50U);
  std::minstd_rand random(7);
  for (const auto& vector : vectors) {
    co_await replay(world, vector, [] { return std::string_view::npos; });
    const std::size_t few = std::max<std::size_t>(vector.sent.size() / 100, 1);
    for (int round = 0; round < 5; ++round) {
      co_await replay(world, vector, [&] { return 1 + random() % (2 * few + 8); });
    }
    if (vector.sent.size() < 2000) co_await replay(world, vector, [] { return 1; });
  }
}

TEST(JsonRpcVectors, AnyCutGivesTheSameAnswers) {
  TestWorld world;
  world.run([](TestWorld& w) { return replay_all(w); });
}

std::string block_of_protocol_md(const std::string& language) {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/wire/jsonrpc/PROTOCOL.md");
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  const auto begin = text.find("```" + language + "\n") + language.size() + 4;
  std::istringstream words(text.substr(begin, text.find("```", begin) - begin));
  std::string out, word;
  while (words >> word) out += static_cast<char>(std::stoi(word, nullptr, 16));
  return out;
}

core::Task<void> worked_example(TestWorld& world) {
  auto client = co_await world.connect();
  co_await client->send(block_of_protocol_md("hex-request"));
  EXPECT_EQ(co_await client->lines(1), block_of_protocol_md("hex-answer"));
  co_await client->close();
}

TEST(JsonRpcVectors, WorkedExampleOfTheDocument) {
  TestWorld world;
  world.run([](TestWorld& w) { return worked_example(w); });
}

}  // namespace
}  // namespace capstan::wire::jsonrpc::testing
