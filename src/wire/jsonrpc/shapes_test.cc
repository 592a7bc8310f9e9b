// Why this file exists: what the present API has few or no examples of: operations that answer in
// pieces (one array here), and methods that were renamed and still answer to their old name. The
// service is declared here; its descriptors are built at run time.
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "rpc/options.pb.h"
#include "wire/jsonrpc/jsonrpc_testing.h"

namespace capstan::wire::jsonrpc {
namespace {

using namespace testing;
using core::Task;

// Service test.Shapes: `Pieces` (timeout: how many, name: of what) and `Renamed`.
const google::protobuf::ServiceDescriptor* declared(google::protobuf::DescriptorPool& pool) {
  google::protobuf::FileDescriptorProto file;
  file.set_name("shapes.proto");
  file.set_package("test");
  file.set_syntax("proto3");
  file.add_dependency("spdk/bdev.proto");
  file.add_dependency("spdk/log.proto");
  auto& service = *file.add_service();
  service.set_name("Shapes");
  const auto add = [&](const char* name, const char* request, bool stream) {
    auto& method = *service.add_method();
    method.set_name(name);
    method.set_input_type(request);
    method.set_output_type(".spdk.LogLevel");
    method.set_server_streaming(stream);
    return method.mutable_options()->MutableExtension(capstan::rpc::operation);
  };
  auto* pieces = add("Pieces", ".spdk.GetBdevsRequest", true);
  pieces->set_kind(rpc::OperationOptions::LARGE);
  pieces->mutable_jsonrpc()->set_name("pieces");
  auto* renamed = add("Renamed", ".spdk.GetBdevsRequest", false);
  renamed->mutable_jsonrpc()->set_name("new_name");
  renamed->mutable_jsonrpc()->add_old_names("old_name");
  renamed->mutable_jsonrpc()->add_old_names("older_name");
  return pool.BuildFile(file)->service(0);
}

class Shapes {
 public:
  int sent = 0;

  Task<Result<void>> pieces(rpc::Call&, const spdk::GetBdevsRequest& request,
                            rpc::Sink<spdk::LogLevel> sink) {
    spdk::LogLevel piece;
    piece.set_level(request.name());
    for (std::uint64_t i = 0; i < request.timeout(); ++i) {
      CO_TRY(co_await sink.send(piece));
      ++sent;
    }
    if (request.name() == "fails") co_return fail(Code::kDataLoss, "the disk is gone");
    co_return Result<void>();
  }
  Task<Result<spdk::LogLevel>> renamed(rpc::Call&, const spdk::GetBdevsRequest&) {
    co_return spdk::LogLevel();
  }
};

struct ShapesWorld : TestWorld {
  google::protobuf::DescriptorPool pool{google::protobuf::DescriptorPool::generated_pool()};
  Shapes shapes;

  ShapesWorld() {
    TestService::ok(directory.declare(declared(pool)));
    TestService::ok(
        rpc::bind_server_stream(directory, "test.Shapes/Pieces", shapes, &Shapes::pieces));
    TestService::ok(rpc::bind_unary(directory, "test.Shapes/Renamed", shapes, &Shapes::renamed));
    server = std::make_unique<Server>(env, directory, rpc::JsonMethods(directory, allowed),
                                      lifecycle, log, ServerOptions());
  }
};

std::string pieces(std::uint64_t count, const std::string& name, int id) {
  return R"({"method":"pieces","params":{"timeout":)" + std::to_string(count) + R"(,"name":")" +
         name + R"("},"id":)" + std::to_string(id) + "}";
}

Task<void> several_pieces(TestWorld& world) {
  const auto client = co_await world.connect();
  co_await client->send(pieces(3, "x", 1));
  EXPECT_EQ(co_await client->lines(1),
            R"({"jsonrpc":"2.0","id":1,"result":[{"level":"x"},{"level":"x"},{"level":"x"}]})"
            "\n");
  co_await client->send(pieces(0, "x", 2));
  EXPECT_EQ(co_await client->lines(1), R"({"jsonrpc":"2.0","id":2,"result":[]})"
                                       "\n");
  // Nothing of an answer that fails is sent but the failure.
  co_await client->send(pieces(2, "fails", 3));
  EXPECT_EQ(co_await client->lines(1),
            R"({"jsonrpc":"2.0","id":3,"error":{"code":-5,"message":"the disk is gone"}})"
            "\n");
  co_await client->close();
}
TEST(JsonRpcShapes, AnAnswerInPiecesIsOneArray) {
  ShapesWorld().run(several_pieces);
}

Task<void> too_many_pieces(TestWorld& world) {
  const auto client = co_await world.connect();
  co_await client->send(pieces(1'000'000, std::string(1000, 'x'), 1));
  const std::string answer = co_await client->lines(1);
  EXPECT_TRUE(answer.starts_with(R"({"jsonrpc":"2.0","id":1,"error":{"code":-28,"message":")"))
      << answer.substr(0, 100);
  EXPECT_NE(answer.find("use another wire"), std::string::npos);
  co_await client->send(pieces(1, "x", 2));
  EXPECT_EQ(co_await client->lines(1), R"({"jsonrpc":"2.0","id":2,"result":[{"level":"x"}]})"
                                       "\n");
  co_await client->close();
}
TEST(JsonRpcShapes, PiecesAreBoundedAndTheHandlerIsTold) {
  ShapesWorld world;
  world.run(too_many_pieces);
  EXPECT_LT(world.shapes.sent, 50'000);
}

Task<void> old_names(TestWorld& world) {
  const auto client = co_await world.connect();
  const auto ok = [](int id) {
    return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"result":{"level":""}})" + "\n";
  };
  co_await client->send(R"({"method":"new_name","id":1})");
  EXPECT_EQ(co_await client->lines(1), ok(1));
  EXPECT_TRUE(world.sink.events.empty());
  for (int id = 2; id < 5; ++id) {
    co_await client->send(R"({"method":"old_name","id":)" + std::to_string(id) + "}");
    EXPECT_EQ(co_await client->lines(1), ok(id));
  }
  EXPECT_EQ(world.sink.events, std::vector<std::string>{"old_name"});  // once
  // Another connection does not make it new; another old name is one more warning.
  const auto other = co_await world.connect();
  co_await other->send(R"({"method":"old_name","id":5}{"method":"older_name","id":6})");
  EXPECT_EQ(co_await other->lines(2), ok(5) + ok(6));
  EXPECT_EQ(world.sink.events.size(), 2U);
  co_await client->close();
  co_await other->close();
}
TEST(JsonRpcShapes, OldNamesAnswerAndAreWarnedOfOnce) {
  ShapesWorld().run(old_names);
}

Task<void> listing(TestWorld& world) {
  const auto client = co_await world.connect();
  co_await client->send(R"({"method":"rpc_get_methods","id":1})");
  const std::string plain = co_await client->lines(1);
  EXPECT_NE(plain.find("\"new_name\""), std::string::npos);
  EXPECT_EQ(plain.find("\"old_name\""), std::string::npos);
  co_await client->send(R"({"method":"rpc_get_methods","params":{"include_aliases":true},"id":2})");
  const std::string all = co_await client->lines(1);
  EXPECT_NE(all.find("\"old_name\""), std::string::npos);
  EXPECT_NE(all.find("\"older_name\""), std::string::npos);
  co_await client->close();
}
TEST(JsonRpcShapes, OldNamesAreListedOnDemandOnly) {
  ShapesWorld().run(listing);
}

}  // namespace
}  // namespace capstan::wire::jsonrpc
