// Why this file exists: the operations of a JSON-RPC server about itself (api/rpc/framework.proto):
// which methods it has, and starting the node that waits for it. They know the Directory and the
// Lifecycle, nothing of storage.
// Thread-safety: core 0.
#pragma once

#include <google/protobuf/empty.pb.h>

#include <set>
#include <string>

#include "rpc/directory.h"
#include "rpc/framework.pb.h"
#include "wire/jsonrpc/lifecycle.h"

namespace capstan::wire::jsonrpc {

class FrameworkService {
 public:
  // All outlive the service, the service the directory's calls. `allowed` as for JsonMethods.
  FrameworkService(const rpc::Directory& directory, Lifecycle& lifecycle,
                   const std::set<std::string>& allowed)
      : directory_(directory), lifecycle_(lifecycle), allowed_(allowed) {}

  using Empty = google::protobuf::Empty;
  core::Task<Result<rpc::v1::GetMethodsResponse>> get_methods(
      rpc::Call& call, const rpc::v1::GetMethodsRequest& request);
  core::Task<Result<Empty>> start_init(rpc::Call& call, const Empty&);
  core::Task<Result<Empty>> wait_init(rpc::Call& call, const Empty&);

 private:
  const rpc::Directory& directory_;
  Lifecycle& lifecycle_;
  const std::set<std::string>& allowed_;
};

Result<void> bind_framework(rpc::Directory& directory, FrameworkService& service);

}  // namespace capstan::wire::jsonrpc
