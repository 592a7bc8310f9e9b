// Why this file exists: an Operation is one declared method: its protobuf descriptor plus what the
// options of api/rpc/options.proto say about it on every wire. Read from the descriptors at start;
// there is no code generator of ours.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/reactor.h"
#include "rpc/http_binding.h"

namespace capstan::rpc {

enum class Kind : std::uint8_t { kUnary, kLarge, kEndless, kClientStream, kBidirectional };
enum class Access : std::uint8_t { kRead, kMonitor, kWrite, kAdmin, kData };

// What JSON-RPC asks of an operation beyond its names; see OperationOptions.JsonRpc.
struct JsonRpcShape {
  enum class States : std::uint8_t { kRuntime, kStartup, kBoth } states = States::kRuntime;
  // The field of the response that is the whole result; null: the message is the result object.
  const google::protobuf::FieldDescriptor* result = nullptr;
  bool true_result = false;  // the response is google.protobuf.Empty
  bool null_result = false;
  bool ignore_unknown = false;
};

class Operation {
 public:
  // Fails when the options contradict the descriptor (an "endless" method that does not stream).
  static Result<Operation> from(const google::protobuf::MethodDescriptor& method);

  const google::protobuf::MethodDescriptor& method() const { return *method_; }
  std::string_view service() const { return method_->service()->full_name(); }
  std::string_view name() const { return method_->name(); }
  const std::string& full_name() const { return full_name_; }  // "mayastor.v1.PoolRpc/CreatePool"

  Kind kind = Kind::kUnary;
  Access access = Access::kAdmin;  // what is not declared is denied to everyone but admins
  bool idempotent = false;
  core::Nanos default_deadline = 0;  // 0 = none
  std::uint32_t cost = 1;            // tokens of the limiter
  std::vector<HttpBinding> http;     // the declared one first
  std::string jsonrpc_name;
  std::vector<std::string> jsonrpc_old_names;
  JsonRpcShape jsonrpc;
  std::uint32_t drpc_module = 0, drpc_method = 0;  // 0 module = not served on dRPC
  std::string muxio_name;
  bool gateway_local = false;

 private:
  const google::protobuf::MethodDescriptor* method_ = nullptr;
  std::string full_name_;
};

}  // namespace capstan::rpc
