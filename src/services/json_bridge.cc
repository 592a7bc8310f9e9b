// Why this file exists: see json_bridge.h.
#include "services/json_bridge.h"

#include <cerrno>

#include "rpc/acl_operation.h"
#include "rpc/json_pretty.h"
#include "rpc/wishes.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
namespace v0 = ::mayastor;

// Section C.2. ENODEV, by far the most common one, is INTERNAL: clients expect it.
Code code_of(std::int64_t code) {
  switch (code) {
    case rpc::json_code::kInvalidParams: return Code::kInvalidArgument;
    case -ENOENT: return Code::kNotFound;
    case -EEXIST: return Code::kAlreadyExists;
    default: return Code::kInternal;
  }
}

}  // namespace

core::Task<Result<std::string>> JsonBridge::run(rpc::Call& outer, const std::string& method,
                                                const std::string& params) {
  // The API has INTERNAL for nearly everything.
  const bool own = rpc::wishes(outer, rpc::kWishErrors, "own");
  const auto code = [own](Code cause) { return own ? cause : Code::kInternal; };
  if (!methods_) methods_.emplace(directory_, allowed_);
  std::string checked;  // in one form, so that its first byte tells what it is
  if (!params.empty()) {
    auto parsed = rpc::pretty_sorted_json(params);
    if (!parsed) {
      co_return fail(code(Code::kInvalidArgument), "Invalid json reply: " + parsed.error().message);
    }
    checked = *std::move(parsed);
    if (checked != "null" && !checked.starts_with('{') && !checked.starts_with('[')) {
      co_return fail(code(Code::kInvalidArgument), "Invalid request");
    }
  }
  const auto* found = methods_->find(method);
  if (!found) co_return fail(code(Code::kNotFound), "Method not found");
  if (found->entry->operation.jsonrpc.states == rpc::JsonRpcShape::States::kStartup) {
    co_return fail(code(Code::kFailedPrecondition),
                   "Method may only be called before framework is initialized. Use --wait-for-rpc "
                   "command line parameter and then issue this RPC before the "
                   "framework_start_init RPC.");
  }
  rpc::Call inner;
  inner.peer = outer.peer;
  inner.deadline = outer.deadline;
  inner.token = outer.token;
  inner.metadata.request = outer.metadata.request;
  inner.trace_id = outer.trace_id;
  inner.wire = rpc::bridged_wire(outer.wire);
  const auto result = co_await rpc::call_json(*methods_, *found->entry, inner, params);
  if (!result) {
    const auto& error = result.error();
    co_return fail(own ? error.cause : code_of(error.code), error.message);
  }
  auto pretty = rpc::pretty_sorted_json(*result);
  if (!pretty) {
    co_return fail(Code::kInternal, "Invalid json reply: " + pretty.error().message);
  }
  co_return pretty;
}

core::Task<Result<v1::JsonRpcResponse>> JsonBridge::call_v1(rpc::Call& call,
                                                            const v1::JsonRpcRequest& request) {
  v1::JsonRpcResponse response;
  CO_TRY_SET(*response.mutable_result(), co_await run(call, request.method(), request.params()));
  co_return response;
}

core::Task<Result<v0::JsonRpcReply>> JsonBridge::call_v0(rpc::Call& call,
                                                         const v0::JsonRpcRequest& request) {
  v0::JsonRpcReply reply;
  CO_TRY_SET(*reply.mutable_result(), co_await run(call, request.method(), request.params()));
  co_return reply;
}

Result<void> bind_json_bridge_v1(rpc::Directory& directory, JsonBridge& bridge) {
  TRY(directory.declare(v1::JsonRpcRequest::descriptor()->file()->service(0)));
  return rpc::bind_unary(directory, "mayastor.v1.JsonRpc/JsonRpcCall", bridge,
                         &JsonBridge::call_v1);
}

Result<void> bind_json_bridge_v0(rpc::Directory& directory, JsonBridge& bridge) {
  TRY(directory.declare(v0::JsonRpcRequest::descriptor()->file()->FindServiceByName("JsonRpc")));
  return rpc::bind_unary(directory, "mayastor.JsonRpc/JsonRpcCall", bridge, &JsonBridge::call_v0);
}

}  // namespace capstan::services
