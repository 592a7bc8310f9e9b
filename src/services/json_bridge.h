// Why this file exists: mayastor.v1.JsonRpc and mayastor.JsonRpc: JSON-RPC methods for gRPC
// clients (jsonrpc sections C.1 and C.2). The call goes through the directory, not through the
// socket; what the client sees is what it would see from there.
// Thread-safety: core 0. The directory outlives the service and is complete at the first call.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "json.pb.h"
#include "mayastor.pb.h"
#include "rpc/directory.h"
#include "rpc/json_call.h"

namespace capstan::services {

class JsonBridge {
 public:
  // `allowed` as for JsonMethods; it outlives the bridge.
  JsonBridge(const rpc::Directory& directory, const std::set<std::string>& allowed)
      : directory_(directory), allowed_(allowed) {}

  core::Task<Result<mayastor::v1::JsonRpcResponse>> call_v1(
      rpc::Call& call, const mayastor::v1::JsonRpcRequest& request);
  core::Task<Result<mayastor::JsonRpcReply>> call_v0(rpc::Call& call,
                                                     const mayastor::JsonRpcRequest& request);

 private:
  core::Task<Result<std::string>> run(rpc::Call& call, const std::string& method,
                                      const std::string& params);

  const rpc::Directory& directory_;
  const std::set<std::string>& allowed_;
  std::optional<rpc::JsonMethods> methods_;
};

Result<void> bind_json_bridge_v1(rpc::Directory& directory, JsonBridge& bridge);
Result<void> bind_json_bridge_v0(rpc::Directory& directory, JsonBridge& bridge);

}  // namespace capstan::services
