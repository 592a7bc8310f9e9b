// Why this file exists: options read right, contradictions refused, and the classes of gRPC's own
// services.
#include "rpc/operation.h"

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/framework.pb.h"
#include "rpc/options.pb.h"

namespace capstan::rpc {
namespace {

const google::protobuf::MethodDescriptor& method(const google::protobuf::FileDescriptor* file,
                                                 const char* service, const char* name) {
  return *file->FindServiceByName(service)->FindMethodByName(name);
}

// Declares service test.S with one method M and reads it.
class Declared {
 public:
  Declared(bool client_streams, bool server_streams, const OperationOptions& options)
      : pool_(google::protobuf::DescriptorPool::generated_pool()) {
    google::protobuf::FileDescriptorProto file;
    file.set_name("s.proto");
    file.set_package("test");
    file.set_syntax("proto3");
    auto& message = *file.add_message_type();
    message.set_name("Request");
    auto& field = *message.add_field();
    field.set_name("x");
    field.set_number(1);
    field.set_type(google::protobuf::FieldDescriptorProto::TYPE_STRING);
    field.set_label(google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
    auto& service = *file.add_service();
    service.set_name("S");
    auto& declared = *service.add_method();
    declared.set_name("M");
    declared.set_input_type(".test.Request");
    declared.set_output_type(".test.Request");
    declared.set_client_streaming(client_streams);
    declared.set_server_streaming(server_streams);
    *declared.mutable_options()->MutableExtension(capstan::rpc::operation) = options;
    method_ = pool_.BuildFile(file)->service(0)->method(0);
  }
  Result<Operation> read() const { return Operation::from(*method_); }
  std::string error() const {
    const auto result = read();
    return result ? "" : result.error().text();
  }

 private:
  google::protobuf::DescriptorPool pool_;
  const google::protobuf::MethodDescriptor* method_ = nullptr;
};

TEST(Operation, ReadsItsOptions) {
  OperationOptions options;
  options.set_access(OperationOptions::WRITE);
  options.set_idempotent(true);
  options.set_deadline_ms(1500);
  options.set_cost(7);
  options.set_gateway_local(true);
  options.mutable_http()->set_method("PUT");
  options.mutable_http()->set_path("/m/{x}");
  options.mutable_jsonrpc()->set_name("m");
  options.mutable_jsonrpc()->add_old_names("old_m");
  options.mutable_drpc()->set_module(100);
  options.mutable_drpc()->set_method(2);
  options.mutable_muxio()->set_name("mux");
  const Declared declared(false, false, options);
  const auto read = declared.read();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->full_name(), "test.S/M");
  EXPECT_EQ(read->service(), "test.S");
  EXPECT_EQ(read->name(), "M");
  EXPECT_EQ(read->kind, Kind::kUnary);
  EXPECT_EQ(read->access, Access::kWrite);
  EXPECT_TRUE(read->idempotent);
  EXPECT_EQ(read->default_deadline, 1500 * core::kMillisecond);
  EXPECT_EQ(read->cost, 7U);
  EXPECT_TRUE(read->gateway_local);
  EXPECT_EQ(read->http.front().text(), "PUT /m/{x}");
  EXPECT_EQ(read->jsonrpc_name, "m");
  EXPECT_EQ(read->jsonrpc_old_names, std::vector<std::string>{"old_m"});
  EXPECT_EQ(read->drpc_module, 100U);
  EXPECT_EQ(read->drpc_method, 2U);
  EXPECT_EQ(read->muxio_name, "mux");
}

TEST(Operation, WhatIsNotDeclaredIsForAdmins) {
  const Declared declared(false, false, {});
  const auto read = declared.read();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->access, Access::kAdmin);
  EXPECT_EQ(read->cost, 1U);
  EXPECT_EQ(read->default_deadline, 0U);
  EXPECT_FALSE(read->idempotent);
}

TEST(Operation, TheDescriptorDecidesTheKind) {
  OperationOptions unary, large, endless;
  large.set_kind(OperationOptions::LARGE);
  endless.set_kind(OperationOptions::ENDLESS);
  EXPECT_EQ(Declared(false, false, unary).read()->kind, Kind::kUnary);
  EXPECT_EQ(Declared(false, true, unary).read()->kind, Kind::kLarge);
  EXPECT_EQ(Declared(true, false, unary).read()->kind, Kind::kClientStream);
  EXPECT_EQ(Declared(true, true, unary).read()->kind, Kind::kBidirectional);
  EXPECT_EQ(Declared(false, true, large).read()->kind, Kind::kLarge);
  EXPECT_EQ(Declared(false, true, endless).read()->kind, Kind::kEndless);
  for (const auto& [client, server] : {std::pair(false, false), {true, false}, {true, true}}) {
    EXPECT_EQ(Declared(client, server, large).error(),
              "operation 'test.S/M': LARGE needs a single request and a stream of answers; correct "
              "its options");
    EXPECT_FALSE(Declared(client, server, endless).error().empty());
  }
}

TEST(Operation, WrongHttpBindingsAreRefused) {
  OperationOptions options;
  options.mutable_http()->set_method("FETCH");
  options.mutable_http()->set_path("/m");
  EXPECT_NE(Declared(false, false, options).error().find("http.method 'FETCH'"), std::string::npos);
  options.mutable_http()->set_method("GET");
  options.mutable_http()->set_path("m");
  EXPECT_NE(Declared(false, false, options).error().find("http.path 'm'"), std::string::npos);
  options.mutable_http()->set_path("");
  EXPECT_FALSE(Declared(false, false, options).error().empty());
}

TEST(Operation, JsonRpcShapes) {
  using States = JsonRpcShape::States;
  OperationOptions options;
  const auto unsaid = Declared(false, false, options).read();
  ASSERT_TRUE(unsaid);
  EXPECT_EQ(unsaid->jsonrpc.states, States::kRuntime);
  EXPECT_EQ(unsaid->jsonrpc.result, nullptr);
  EXPECT_FALSE(unsaid->jsonrpc.true_result || unsaid->jsonrpc.null_result);
  options.mutable_jsonrpc()->set_null_result(true);
  options.mutable_jsonrpc()->set_ignore_unknown(true);
  options.mutable_jsonrpc()->set_states(OperationOptions::STARTUP);
  const auto read = Declared(false, false, options).read();
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->jsonrpc.null_result && read->jsonrpc.ignore_unknown);
  EXPECT_EQ(read->jsonrpc.states, States::kStartup);
  options.mutable_jsonrpc()->set_result("nothing");
  EXPECT_NE(Declared(false, false, options).error().find("exclude"), std::string::npos);
  options.mutable_jsonrpc()->set_null_result(false);
  EXPECT_NE(Declared(false, false, options).error().find("'nothing' is no field"),
            std::string::npos);
  const auto* framework = v1::GetMethodsRequest::descriptor()->file();
  const auto methods = Operation::from(method(framework, "FrameworkRpc", "GetMethods"));
  ASSERT_TRUE(methods && methods->jsonrpc.result);
  EXPECT_EQ(methods->jsonrpc.result->name(), "methods");
  EXPECT_EQ(methods->jsonrpc.states, States::kBoth);
  EXPECT_TRUE(Operation::from(method(framework, "FrameworkRpc", "StartInit"))->jsonrpc.true_result);
}

TEST(Operation, ReadsOurOwnDeclarations) {
  const auto version = Operation::from(
      method(node::v1::GetVersionRequest::descriptor()->file(), "NodeRpc", "GetVersion"));
  ASSERT_TRUE(version);
  EXPECT_EQ(version->full_name(), "capstan.node.v1.NodeRpc/GetVersion");
  EXPECT_EQ(version->access, Access::kMonitor);
  EXPECT_EQ(version->http.front().text(), "GET /version");
  const auto* images = node::v1::ImportImageRequest::descriptor()->file();
  EXPECT_EQ(Operation::from(method(images, "ImageRpc", "ImportImage"))->kind, Kind::kClientStream);
  EXPECT_EQ(Operation::from(method(images, "ImageRpc", "ExportImage"))->kind, Kind::kLarge);
}

TEST(Operation, HealthAndReflectionAreMonitoring) {
  const auto* health = grpc::health::v1::HealthCheckRequest::descriptor()->file();
  const auto check = Operation::from(method(health, "Health", "Check"));
  EXPECT_EQ(check->access, Access::kMonitor);
  EXPECT_EQ(check->kind, Kind::kUnary);
  const auto watch = Operation::from(method(health, "Health", "Watch"));
  EXPECT_EQ(watch->access, Access::kMonitor);
  EXPECT_EQ(watch->kind, Kind::kEndless);
  for (const auto* file :
       {grpc::reflection::v1::ServerReflectionRequest::descriptor()->file(),
        grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()}) {
    const auto info = Operation::from(method(file, "ServerReflection", "ServerReflectionInfo"));
    EXPECT_EQ(info->access, Access::kMonitor);
    EXPECT_EQ(info->kind, Kind::kBidirectional);
  }
}

// Every declaration of the contract that is compiled in can be read.
TEST(Operation, AllDeclarationsAreRight) {
  for (const auto* file : {node::v1::Version::descriptor()->file(),
                           node::v1::ImportImageRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto read = Operation::from(*file->service(s)->method(m));
        EXPECT_TRUE(read) << (read ? "" : read.error().text());
      }
    }
  }
}

}  // namespace
}  // namespace capstan::rpc
