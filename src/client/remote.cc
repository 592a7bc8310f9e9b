// Why this file exists: see remote.h. What all wires share, and gRPC, whose Channel does the work.
#include "client/remote.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <utility>

namespace capstan::client {

Result<const google::protobuf::MethodDescriptor*> find_method(const std::string& full_name) {
  std::string name = full_name;
  std::ranges::replace(name, '/', '.');
  const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (method) return method;
  return fail(Code::kUnimplemented, "this program knows no operation '" + full_name + "'");
}

core::Task<Result<void>> RemoteCall::finish() {
  const auto* type =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(method_.output_type());
  const std::unique_ptr<Message> rest(type->New());
  CO_TRY_SET(const bool more, co_await next(*rest));
  if (!more) co_return Result<void>();
  cancel(Code::kCancelled);
  co_return fail(Code::kInternal,
                 "the node sent more answers to " + method_.full_name() + " than belong to it");
}

namespace {

class GrpcCall final : public RemoteCall {
 public:
  GrpcCall(const google::protobuf::MethodDescriptor& method, std::unique_ptr<wire::ClientCall> call)
      : RemoteCall(method), call_(std::move(call)) {}
  core::Task<Result<void>> send(const Message& message) override { return call_->send(message); }
  core::Task<Result<bool>> next(Message& into) override { return call_->next(into); }
  void finish_sending() override { call_->finish_sending(); }
  core::Task<Result<void>> finish() override { return call_->finish(); }
  void cancel(Code reason) override { call_->cancel(reason); }

 private:
  std::unique_ptr<wire::ClientCall> call_;
};

class GrpcRemote final : public Remote {
 public:
  GrpcRemote(core::Env& env, ChannelOptions options) : channel_(env, std::move(options)) {}
  core::Task<Result<void>> unary(std::string full_name, const Message& request, Message& response,
                                 CallOptions options) override {
    return channel_.unary(std::move(full_name), request, response, std::move(options));
  }
  core::Task<Result<std::unique_ptr<RemoteCall>>> open(std::string full_name,
                                                       const Message* request,
                                                       CallOptions options) override {
    CO_TRY_SET(const auto* method, find_method(full_name));
    CO_TRY_SET(auto call, co_await channel_.open(std::move(full_name), std::move(options)));
    if (request) {
      CO_TRY(co_await call->send(*request));
      call->finish_sending();
    }
    co_return std::make_unique<GrpcCall>(*method, std::move(call));
  }
  bool connected() const override { return channel_.connected(); }
  bool streams() const override { return true; }
  core::Task<void> close() override { return channel_.close(); }

 private:
  Channel channel_;
};

}  // namespace

std::unique_ptr<Remote> make_grpc_remote(core::Env& env, ChannelOptions options) {
  return std::make_unique<GrpcRemote>(env, std::move(options));
}

std::unique_ptr<Remote> make_remote(core::Env& env, RemoteOptions options) {
  switch (options.wire) {
    case Wire::kGrpc: return make_grpc_remote(env, std::move(options.channel));
    case Wire::kMuxio: return make_muxio_remote(env, std::move(options.channel));
    case Wire::kHttp:
      return make_http_remote(env, std::move(options.channel), std::move(options.http));
    case Wire::kJsonRpc: return make_jsonrpc_remote(env, std::move(options.channel.address));
    case Wire::kDrpc: return make_drpc_remote(env, std::move(options.channel.address));
  }
  CAPSTAN_ASSERT(false);
  return nullptr;
}

}  // namespace capstan::client
