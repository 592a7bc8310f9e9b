// Why this file exists: operations of a Directory called over dRPC: what answers look like for each
// kind, which errors travel in which form, and what a handler knows of its caller.
#include "wire/drpc/operations.h"

#include <gtest/gtest.h>

#include "drpc/reply.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "node/image.pb.h"
#include "wire/drpc/drpc_testing.h"
#include "wire/drpc/error_map.h"

namespace capstan::wire::drpc {
namespace {

using namespace testing;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using node::v1::ExportImageRequest;
using node::v1::ExportImageResponse;
using node::v1::ImportImageRequest;
using node::v1::ImportImageResponse;
using V1Reply = ::capstan::drpc::v1::Reply;

class Service {
 public:
  rpc::Call last;

  core::Task<Result<HealthCheckResponse>> check(rpc::Call& call,
                                                const HealthCheckRequest& request) {
    last.peer = call.peer;
    last.wire = call.wire;
    if (request.service() == "gone") co_return fail(Code::kNotFound, "it is gone", ENOENT);
    HealthCheckResponse response;
    if (request.service() != "default") response.set_status(HealthCheckResponse::SERVING);
    co_return response;
  }
  core::Task<Result<void>> watch(rpc::Call&, const HealthCheckRequest&,
                                 rpc::Sink<HealthCheckResponse>) {
    ADD_FAILURE();
    co_return Result<void>();
  }
  core::Task<Result<ImportImageResponse>> import_image(rpc::Call&,
                                                       rpc::Source<ImportImageRequest>) {
    ADD_FAILURE();
    co_return ImportImageResponse();
  }
  // `length` messages of `offset` bytes.
  core::Task<Result<void>> export_image(rpc::Call&, const ExportImageRequest& request,
                                        rpc::Sink<ExportImageResponse> sink) {
    ExportImageResponse part;
    part.mutable_data()->set_data(std::string(request.offset(), 'd'));
    for (std::uint64_t i = 0; i < request.length(); ++i) CO_TRY(co_await sink.send(part));
    if (request.replica() == "broken") co_return fail(Code::kDataLoss, "the rest is gone");
    co_return Result<void>();
  }
};

struct OperationWorld {
  OperationWorld() {
    const auto* health = HealthCheckRequest::descriptor()->file()->FindServiceByName("Health");
    const auto* image = ImportImageRequest::descriptor()->file()->FindServiceByName("ImageRpc");
    EXPECT_TRUE(directory.declare(health));
    EXPECT_TRUE(directory.declare(image));
    EXPECT_TRUE(
        rpc::bind_unary(directory, "grpc.health.v1.Health/Check", service, &Service::check));
    EXPECT_TRUE(rpc::bind_server_stream(directory, "grpc.health.v1.Health/Watch", service,
                                        &Service::watch));
    EXPECT_TRUE(rpc::bind_client_stream(directory, "capstan.node.v1.ImageRpc/ImportImage", service,
                                        &Service::import_image));
    EXPECT_TRUE(rpc::bind_server_stream(directory, "capstan.node.v1.ImageRpc/ExportImage", service,
                                        &Service::export_image));
    EXPECT_TRUE(register_operations(node.server, directory));
  }
  rpc::Directory directory;
  Service service;
  DrpcWorld node;
};

core::Task<Response> raw(Client& client, std::int32_t module, std::int32_t method,
                         std::string body) {
  auto response = co_await client.call(module, method, as_bytes(body), {});
  CAPSTAN_ASSERT(response);
  co_return *std::move(response);
}
core::Task<V1Reply> reply_of(Client& client, std::int32_t module, std::int32_t method,
                             const google::protobuf::Message& request) {
  const Response response = co_await raw(client, module, method, request.SerializeAsString());
  EXPECT_EQ(response.status, Status::kSuccess);
  V1Reply reply;
  EXPECT_TRUE(reply.ParseFromString(std::string(as_text(response.body.view()))));
  co_return reply;
}

core::Task<void> unary(OperationWorld* world, Client& client) {
  HealthCheckRequest request;
  HealthCheckResponse response;
  const Response good = co_await raw(client, 130, 13001, request.SerializeAsString());
  EXPECT_TRUE(read_reply(good.body.view(), response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  EXPECT_EQ(world->service.last.wire, "drpc");
  EXPECT_EQ(world->service.last.peer.uid, 0U);

  // A response of defaults is there all the same.
  request.set_service("default");
  EXPECT_EQ((co_await reply_of(client, 130, 13001, request)).reply_size(), 1);

  request.set_service("gone");
  const Response bad = co_await raw(client, 130, 13001, request.SerializeAsString());
  EXPECT_EQ(bad.status, Status::kSuccess);
  V1Reply reply;
  EXPECT_TRUE(reply.ParseFromString(std::string(as_text(bad.body.view()))));
  EXPECT_EQ(reply.status(), -1005);
  EXPECT_EQ(reply.code(), 5);
  EXPECT_EQ(reply.message(), "it is gone");
  EXPECT_EQ(reply.sys_errno(), ENOENT);
  EXPECT_EQ(reply.reply_size(), 0);
  const auto error = read_reply(bad.body.view(), response);
  EXPECT_EQ(error.error().code, Code::kNotFound);
  EXPECT_EQ(error.error().sys_errno, ENOENT);
}

core::Task<void> streams(Client& client) {
  ExportImageRequest request;
  request.set_offset(1000);
  request.set_length(5);
  const V1Reply five = co_await reply_of(client, 100, 10021, request);
  EXPECT_EQ(five.status(), 0);
  EXPECT_EQ(five.reply_size(), 5);
  ExportImageResponse part;
  EXPECT_TRUE(part.ParseFromString(five.reply(4)));
  EXPECT_EQ(part.data().data().size(), 1000U);

  request.set_replica("broken");
  const V1Reply broken = co_await reply_of(client, 100, 10021, request);
  EXPECT_EQ(broken.code(), static_cast<int>(Code::kDataLoss));
  EXPECT_EQ(broken.reply_size(), 0);  // never a truncated answer that looks complete

  request.set_replica("");
  request.set_offset(1U << 20);
  request.set_length(64);
  const V1Reply large = co_await reply_of(client, 100, 10021, request);
  EXPECT_EQ(large.code(), static_cast<int>(Code::kResourceExhausted));

  const std::pair<std::int32_t, std::int32_t> refused[] = {{100, 10020}, {130, 13002}};
  for (const auto& [module, method] : refused) {
    const V1Reply reply = co_await reply_of(client, module, method, HealthCheckRequest());
    EXPECT_EQ(reply.status(), -1010);
    EXPECT_EQ(reply.code(), static_cast<int>(Code::kUnimplemented));
    EXPECT_NE(reply.message().find("gRPC"), std::string::npos);
  }
}

core::Task<void> all(OperationWorld* world) {
  EXPECT_TRUE(world->node.server.start());
  Client client(world->node.env, world->node.path);
  EXPECT_TRUE(co_await client.connect());
  co_await unary(world, client);
  co_await streams(client);
  EXPECT_EQ((co_await raw(client, 130, 13001, "\xff")).status, Status::kFailedUnmarshalPayload);
  EXPECT_EQ((co_await raw(client, 130, 13003, "")).status, Status::kUnknownMethod);
  EXPECT_EQ((co_await raw(client, 130, 1, "")).status, Status::kUnknownMethod);
  EXPECT_EQ((co_await raw(client, 101, 10101, "")).status, Status::kUnknownModule);
  client.close();
  co_await world->node.server.shutdown();
  EXPECT_EQ(world->node.server.memory().left(), limits::kDrpcMessagesBytes);
}

TEST(DrpcOperations, EveryKind) {
  OperationWorld world;
  world.node.world.run(all(&world));
}

TEST(DrpcOperations, NumbersOfErrorsGoBothWays) {
  for (int code = 0; code <= 16; ++code) {
    const auto number = drpc_status_number(static_cast<Code>(code));
    EXPECT_EQ(number == 0, code == 0);
    EXPECT_LE(number, 0);
    EXPECT_EQ(drpc_code_of_status(number), static_cast<Code>(code));
  }
  EXPECT_EQ(drpc_code_of_status(-1), Code::kUnknown);
}

}  // namespace
}  // namespace capstan::wire::drpc
