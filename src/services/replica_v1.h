// Why this file exists: mayastor.v1.ReplicaRpc over replica_ops.h. Lists run beside each other,
// everything else alone, as upstream. Thread-safety: core 0. The engine outlives the service, the
// service the directory.
#pragma once

#include "replica.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"

namespace capstan::services {

class ReplicaServiceV1 {
 public:
  explicit ReplicaServiceV1(Engine& engine) : engine_(engine) {}

  using Replica = mayastor::v1::Replica;
  core::Task<Result<Replica>> create_replica(rpc::Call& call,
                                             const mayastor::v1::CreateReplicaRequest& request);
  core::Task<Result<google::protobuf::Empty>> destroy_replica(
      rpc::Call& call, const mayastor::v1::DestroyReplicaRequest& request);
  core::Task<Result<void>> list_replicas(rpc::Call& call,
                                         const mayastor::v1::ListReplicaOptions& request,
                                         mayastor::v1::ListReplicasResponse& response);
  core::Task<Result<Replica>> share_replica(rpc::Call& call,
                                            const mayastor::v1::ShareReplicaRequest& request);
  core::Task<Result<Replica>> unshare_replica(rpc::Call& call,
                                              const mayastor::v1::UnshareReplicaRequest& request);
  core::Task<Result<Replica>> resize_replica(rpc::Call& call,
                                             const mayastor::v1::ResizeReplicaRequest& request);
  core::Task<Result<Replica>> set_entity_id(rpc::Call& call,
                                            const mayastor::v1::SetReplicaEntityIdRequest& request);

 private:
  Engine& engine_;
};

// A replica as v1 clients see it.
mayastor::v1::Replica replica_message_v1(const Shares& shares, const storage::Replica& replica);

Result<void> bind_replica_v1(rpc::Directory& directory, ReplicaServiceV1& service);

}  // namespace capstan::services
