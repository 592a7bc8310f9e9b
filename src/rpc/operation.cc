// Why this file exists: reads one method's options and refuses what contradicts its descriptor, so
// a wrong declaration stops the node at start with the method's name instead of misbehaving on one
// wire. Also the one place that classifies gRPC's own protocols, which may come without our
// options.
#include "rpc/operation.h"

#include <algorithm>

#include "rpc/options.pb.h"

namespace capstan::rpc {

namespace {

Access access_of(int declared) {
  switch (declared) {
    case OperationOptions::READ: return Access::kRead;
    case OperationOptions::MONITOR: return Access::kMonitor;
    case OperationOptions::WRITE: return Access::kWrite;
    case OperationOptions::DATA: return Access::kData;
    default: return Access::kAdmin;  // also numbers that a newer options.proto may know
  }
}

std::unexpected<Error> wrong(std::string_view operation, std::string_view what) {
  return fail(Code::kInvalidArgument, "operation '" + std::string(operation) +
                                          "': " + std::string(what) + "; correct its options");
}

// The shape of the descriptor decides; the option only tells the two server streams apart.
Result<Kind> kind_of(const google::protobuf::MethodDescriptor& method, int declared,
                     std::string_view full_name) {
  const bool endless = declared == OperationOptions::ENDLESS;
  const bool large = declared == OperationOptions::LARGE;
  if ((endless || large) && (method.client_streaming() || !method.server_streaming())) {
    return wrong(full_name, std::string(endless ? "ENDLESS" : "LARGE") +
                                " needs a single request and a stream of answers");
  }
  if (method.client_streaming()) {
    return method.server_streaming() ? Kind::kBidirectional : Kind::kClientStream;
  }
  if (!method.server_streaming()) return Kind::kUnary;
  return endless ? Kind::kEndless : Kind::kLarge;
}

// Health and reflection are monitoring, also where their declarations come without our options:
// whoever may look at the node may use them. Watch has no end of its own. This is the only place
// that knows services by name.
void classify_grpc_service(Operation& operation) {
  const std::string_view name = operation.full_name();
  if (!name.starts_with("grpc.health.v1.") && !name.starts_with("grpc.reflection.")) return;
  operation.access = Access::kMonitor;
  if (name == "grpc.health.v1.Health/Watch") operation.kind = Kind::kEndless;
}

Result<std::vector<HttpBinding>> http_of(const google::protobuf::MethodDescriptor& method,
                                         const OperationOptions& declared) {
  std::vector<HttpBinding> bindings;
  if (declared.has_http()) {
    TRY_SET(auto first, HttpBinding::from(method, declared.http()));
    bindings.push_back(std::move(first));
  }
  for (const auto& more : declared.more_http()) {
    TRY_SET(auto binding, HttpBinding::from(method, more));
    bindings.push_back(std::move(binding));
  }
  return bindings;
}

Result<JsonRpcShape> shape_of(const google::protobuf::MethodDescriptor& method,
                              const OperationOptions::JsonRpc& declared,
                              std::string_view full_name) {
  JsonRpcShape shape;
  const auto& answer = *method.output_type();
  shape.true_result = answer.full_name() == "google.protobuf.Empty" && !declared.null_result();
  shape.null_result = declared.null_result();
  shape.ignore_unknown = declared.ignore_unknown();
  switch (declared.states()) {
    case OperationOptions::STARTUP: shape.states = JsonRpcShape::States::kStartup; break;
    case OperationOptions::BOTH: shape.states = JsonRpcShape::States::kBoth; break;
    default: shape.states = JsonRpcShape::States::kRuntime; break;
  }
  if (declared.result().empty()) return shape;
  if (declared.null_result()) {
    return wrong(full_name, "jsonrpc.result and jsonrpc.null_result exclude each other");
  }
  shape.result = answer.FindFieldByName(declared.result());
  if (!shape.result) {
    return wrong(full_name, "jsonrpc.result '" + declared.result() + "' is no field of " +
                                std::string(answer.full_name()));
  }
  return shape;
}

}  // namespace

Result<Operation> Operation::from(const google::protobuf::MethodDescriptor& method) {
  Operation made;
  made.method_ = &method;
  made.full_name_ = method.service()->full_name() + "/" + method.name();
  const auto& options = method.options().GetExtension(operation);
  TRY_SET(made.kind, kind_of(method, options.kind(), made.full_name_));
  made.access = access_of(options.access());
  made.idempotent = options.idempotent();
  made.default_deadline = options.deadline_ms() * core::kMillisecond;
  made.cost = std::max(1U, options.cost());
  made.gateway_local = options.gateway_local();
  made.jsonrpc_name = options.jsonrpc().name();
  made.jsonrpc_old_names = {options.jsonrpc().old_names().begin(),
                            options.jsonrpc().old_names().end()};
  TRY_SET(made.jsonrpc, shape_of(method, options.jsonrpc(), made.full_name_));
  made.drpc_module = options.drpc().module();
  made.drpc_method = options.drpc().method();
  made.muxio_name = options.muxio().name();
  classify_grpc_service(made);
  auto http = http_of(method, options);
  if (!http) return wrong(made.full_name_, http.error().message);
  made.http = std::move(*http);
  return made;
}

}  // namespace capstan::rpc
