// Why this file exists: what `capstan rpc get` prints, from answers as nodes give them: streams as
// they come, nothing made of what is absent, and of a path that is no operation's where to look.
#include <gtest/gtest.h>

#include "apps/capstan/path_call.h"
#include "core/sim_env.h"
#include "datastore/datastore.pb.h"

namespace capstan::apps {
namespace {

// Knows no entry of any store.
class EmptyNode final : public client::Remote {
 public:
  core::Task<Result<void>> unary(std::string full_name, const rpc::Message&, rpc::Message& response,
                                 client::CallOptions) override {
    asked = std::move(full_name);
    response.Clear();
    co_return Result<void>();
  }
  core::Task<Result<std::unique_ptr<client::RemoteCall>>> open(std::string, const rpc::Message*,
                                                               client::CallOptions) override {
    co_return fail(Code::kUnimplemented, "no streams here");
  }
  bool connected() const override { return true; }
  bool streams() const override { return false; }
  core::Task<void> close() override { co_return; }

  std::string asked;
};

// A session of the program on wire `wire`, whose output is caught.
struct World {
  explicit World(client::Wire wire, rpc::Media media = rpc::Media::kJson) {
    way.wire = wire;
    way.http.media = {media};
  }
  Result<void> run(Done (*command)(Session&, Arguments), Arguments arguments) {
    Result<void> result;
    simulated.run([](World& w, Done (*run)(Session&, Arguments), Arguments given,
                     Result<void>& done) -> core::Task<void> {
      done = co_await run(w.session, std::move(given));
    }(*this, command, std::move(arguments), result));
    return result;
  }

  core::SimWorld simulated{1};
  core::SimEnv env{simulated};
  client::RemoteOptions way;
  EmptyNode node;
  Printer out{{}};
  Session session{env, way, node, {}, out, 0, {}, {}};
};

Arguments url(std::string text, std::string method = {}) {
  Arguments arguments;
  arguments.values["URL"] = {std::move(text)};
  if (!method.empty()) arguments.values["METHOD"] = {std::move(method)};
  return arguments;
}

TEST(RpcGet, WhatIsAbsentIsNotFoundOverEveryWire) {
  for (const auto wire : {client::Wire::kGrpc, client::Wire::kMuxio, client::Wire::kDrpc}) {
    for (const char* path : {"/kv/main/entries/k", "/pools/p1"}) {
      World world(wire);
      const auto got = world.run(rpc_get, url(path));
      ASSERT_FALSE(got) << path;
      EXPECT_EQ(got.error().code, Code::kNotFound) << path;
      EXPECT_EQ(got.error().sys_errno, kFatalErrno) << path;
      EXPECT_EQ(got.error().text(), "nothing is at " + std::string(path));
      EXPECT_EQ(world.out.buffered(), "");
      EXPECT_FALSE(world.node.asked.empty());
    }
    World world(wire);
    EXPECT_TRUE(world.run(rpc_get, url("/pools"))) << "a list may be empty";
  }
}

wire::Http1Response binary_head() {
  wire::Http1Response head;
  head.status = 200;
  head.headers.emplace_back("content-type", "application/octet-stream");
  return head;
}

// What is on standard output after each piece.
std::vector<std::string> shown(World& world, const PathCall& call,
                               const std::vector<std::string>& pieces, Result<void>& result) {
  PathAnswer answer(world.session, call);
  const auto head = binary_head();
  std::vector<std::string> texts;
  for (std::size_t i = 0; result && i < pieces.size(); ++i) {
    ::testing::internal::CaptureStdout();
    result = answer.take(head, pieces[i], i + 1 == pieces.size());
    const auto flushed = world.out.flush();
    texts.push_back(::testing::internal::GetCapturedStdout());
    EXPECT_TRUE(flushed);
  }
  return texts;
}

TEST(RpcGet, ABinaryMonitorShowsEachElementAsItComes) {
  using namespace std::string_literals;
  World world(client::Wire::kHttp, rpc::Media::kBinary);
  const PathCall monitor{.method = "GET", .target = "/monitor/pools", .stream = true};
  const std::vector<std::string> pieces = {"\0\0\0\2\xab\1\0\0"s, "\0\1\2\0\0\0\0\0\0"s,
                                           "\0\1\xff"s, ""};
  Result<void> result;
  const std::vector<std::string> lines = {"ab01\n", "02\n\n", "ff\n", ""};
  EXPECT_EQ(shown(world, monitor, pieces, result), lines);
  EXPECT_TRUE(result);
  shown(world, monitor, {"\0\0\0\2\xab"s, ""}, result);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().text().find("in the middle of an element"), std::string::npos);
}

TEST(RpcGet, ABinaryAnswerIsOneLineAndBytesStayBytes) {
  using namespace std::string_literals;
  World world(client::Wire::kHttp, rpc::Media::kBinary);
  Result<void> result;
  EXPECT_EQ(shown(world, {.method = "GET", .target = "/x"}, {"\0\0\0\1"s, "\7"s}, result),
            (std::vector<std::string>{"", "07\n"}));
  const PathCall bytes{.method = "GET", .target = "/kv/main/raw/k", .raw = true};
  EXPECT_EQ(shown(world, bytes, {"value"s, ""}, result), (std::vector<std::string>{"value", ""}));
  EXPECT_TRUE(result);
}

TEST(RpcSchema, APathOfNoOperationIsNotDeniedOverHttp) {
  World http(client::Wire::kHttp), grpc(client::Wire::kGrpc);
  for (const auto command : {rpc_schema, rpc_format}) {
    const auto refused = http.run(command, url("/health/live?x=1", "GET"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().text(),
              "no operation that this program knows is at /health/live. What the node says of the "
              "path: capstan rpc get /describe/health/live");
    const auto other = grpc.run(command, url("/health/live", "GET"));
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().text().find("Over this wire only operations"), std::string::npos);
    EXPECT_TRUE(http.run(command, url("/pools", "get")));
  }
}

}  // namespace
}  // namespace capstan::apps
