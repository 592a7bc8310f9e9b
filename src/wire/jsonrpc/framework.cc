// Why this file exists: see framework.h.
#include "wire/jsonrpc/framework.h"

#include "rpc/json_call.h"

namespace capstan::wire::jsonrpc {

core::Task<Result<rpc::v1::GetMethodsResponse>> FrameworkService::get_methods(
    rpc::Call&, const rpc::v1::GetMethodsRequest& request) {
  rpc::v1::GetMethodsResponse response;
  const rpc::JsonMethods methods(directory_, allowed_);
  for (const auto& [name, method] : methods.all()) {
    if (method.old_name && !request.include_aliases()) continue;
    if (request.current() && !lifecycle_.callable(method.entry->operation.jsonrpc.states)) continue;
    response.add_methods(name);
  }
  co_return response;
}

core::Task<Result<google::protobuf::Empty>> FrameworkService::start_init(rpc::Call&, const Empty&) {
  CO_TRY(co_await lifecycle_.start());
  co_return Empty();
}

core::Task<Result<google::protobuf::Empty>> FrameworkService::wait_init(rpc::Call& call,
                                                                        const Empty&) {
  CO_TRY(co_await lifecycle_.wait(call.token));
  co_return Empty();
}

Result<void> bind_framework(rpc::Directory& directory, FrameworkService& service) {
  const auto* file = rpc::v1::GetMethodsRequest::descriptor()->file();
  TRY(directory.declare(file->FindServiceByName("FrameworkRpc")));
  const auto name = [](const char* method) {
    return std::string("capstan.rpc.v1.FrameworkRpc/") + method;
  };
  TRY(rpc::bind_unary(directory, name("GetMethods"), service, &FrameworkService::get_methods));
  TRY(rpc::bind_unary(directory, name("StartInit"), service, &FrameworkService::start_init));
  return rpc::bind_unary(directory, name("WaitInit"), service, &FrameworkService::wait_init);
}

}  // namespace capstan::wire::jsonrpc
