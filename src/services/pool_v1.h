// Why this file exists: mayastor.v1.PoolRpc over pool_ops.h. Its calls on one pool follow each
// other, as upstream's do; those on other pools go on beside them. A change whose caller is gone
// goes on (carry_on.h). Thread-safety: core 0. The engine outlives the service, the service the
// directory.
#pragma once

#include "pool.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"

namespace capstan::services {

class PoolServiceV1 {
 public:
  explicit PoolServiceV1(Engine& engine) : engine_(engine) {}

  core::Task<Result<mayastor::v1::Pool>> create_pool(
      rpc::Call& call, const mayastor::v1::CreatePoolRequest& request);
  core::Task<Result<mayastor::v1::Pool>> import_pool(
      rpc::Call& call, const mayastor::v1::ImportPoolRequest& request);
  core::Task<Result<google::protobuf::Empty>> destroy_pool(
      rpc::Call& call, const mayastor::v1::DestroyPoolRequest& request);
  core::Task<Result<google::protobuf::Empty>> export_pool(
      rpc::Call& call, const mayastor::v1::ExportPoolRequest& request);
  core::Task<Result<mayastor::v1::GrowPoolResponse>> grow_pool(
      rpc::Call& call, const mayastor::v1::GrowPoolRequest& request);
  core::Task<Result<void>> list_pools(rpc::Call& call, const mayastor::v1::ListPoolOptions& request,
                                      mayastor::v1::ListPoolsResponse& response);

 private:
  Engine& engine_;
};

// A pool as v1 clients see it.
mayastor::v1::Pool pool_message_v1(const LoadedPool& loaded);

Result<void> bind_pool_v1(rpc::Directory& directory, PoolServiceV1& service);

}  // namespace capstan::services
