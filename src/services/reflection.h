// Why this file exists: gRPC reflection, by which grpcurl and others call a node without having its
// .proto files. Everything is answered from the descriptors of the services that the directory has
// declared and of the files they import; other files that happen to be linked in do not exist here.
// v1 and v1alpha differ in the package name only: one implementation answers both.
// Thread-safety: core 0. The directory is complete before the first call.
#pragma once

#include <google/protobuf/descriptor.h>

#include <set>

#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "rpc/directory.h"

namespace capstan::services {

class ReflectionService {
 public:
  explicit ReflectionService(const rpc::Directory& directory) : directory_(directory) {}

  using Request = ::grpc::reflection::v1::ServerReflectionRequest;
  using Response = ::grpc::reflection::v1::ServerReflectionResponse;
  using RequestAlpha = ::grpc::reflection::v1alpha::ServerReflectionRequest;
  using ResponseAlpha = ::grpc::reflection::v1alpha::ServerReflectionResponse;

  core::Task<Result<void>> info(rpc::Call& call, rpc::Source<Request> source,
                                rpc::Sink<Response> sink);
  core::Task<Result<void>> info_alpha(rpc::Call& call, rpc::Source<RequestAlpha> source,
                                      rpc::Sink<ResponseAlpha> sink);

  // One question, one answer; what has none gets an error_response.
  Response answer(const Request& request);

 private:
  using Files = std::set<const google::protobuf::FileDescriptor*>;

  const Files& files();
  Result<void> find(const Request& request, Response& response);
  Result<void> put_file(const google::protobuf::FileDescriptor* file, std::string_view asked,
                        Response& response);
  Result<void> put_extension_numbers(const std::string& type, Response& response);

  const rpc::Directory& directory_;
  Files files_;  // filled at the first question
};

Result<void> bind_reflection(rpc::Directory& directory, ReflectionService& service);

}  // namespace capstan::services
