// Why this file exists: mayastor.Mayastor and mayastor.BdevRpc, the first version of Mayastor's
// API, over the same operations as v1 (io-engine-behaviour section 20). What differs stands here:
// in v0 names take the place of UUIDs, making and deleting is idempotent, and answers are smaller.
// What the engine does not have yet (nexuses, rebuild, snapshots) is declared as absent.
//
// Thread-safety: core 0. Everything given outlives the services, the services the directory.
#pragma once

#include "mayastor.pb.h"
#include "rpc/directory.h"
#include "services/bdev_v1.h"
#include "services/engine.h"
#include "services/host_v1.h"
#include "services/node_info.h"

namespace capstan::services {

class MayastorServiceV0 {
 public:
  template <class T>
  using Answer = core::Task<Result<T>>;
  using Null = mayastor::Null;

  MayastorServiceV0(Engine& engine, const NodeInfo& info, HostServiceV1& host)
      : engine_(engine), info_(info), host_(host) {}

  Answer<mayastor::Pool> create_pool(rpc::Call&, const mayastor::CreatePoolRequest& request);
  Answer<Null> destroy_pool(rpc::Call&, const mayastor::DestroyPoolRequest& request);
  Answer<mayastor::ListPoolsReply> list_pools(rpc::Call&, const Null&);

  Answer<mayastor::Replica> create_replica(rpc::Call&,
                                           const mayastor::CreateReplicaRequest& request);
  Answer<mayastor::ReplicaV2> create_replica_v2(rpc::Call&,
                                                const mayastor::CreateReplicaRequestV2& request);
  Answer<Null> destroy_replica(rpc::Call&, const mayastor::DestroyReplicaRequest& request);
  Answer<mayastor::ListReplicasReply> list_replicas(rpc::Call&, const Null&);
  Answer<mayastor::ListReplicasReplyV2> list_replicas_v2(rpc::Call&, const Null&);
  Answer<mayastor::StatReplicasReply> stat_replicas(rpc::Call&, const Null&);
  Answer<mayastor::ShareReplicaReply> share_replica(rpc::Call&,
                                                    const mayastor::ShareReplicaRequest& request);

  Answer<mayastor::MayastorInfoRequest> get_info(rpc::Call&, const Null&);
  Answer<mayastor::ListBlockDevicesReply> list_block_devices(
      rpc::Call& call, const mayastor::ListBlockDevicesRequest& request);
  Answer<mayastor::GetResourceUsageReply> get_resource_usage(rpc::Call& call, const Null&);
  Answer<mayastor::ListNvmeControllersReply> list_nvme_controllers(rpc::Call& call, const Null&);
  Answer<mayastor::StatNvmeControllersReply> stat_nvme_controllers(rpc::Call&, const Null&);

 private:
  struct NewReplica {
    std::string name, uuid, pool;
    std::uint64_t size_bytes = 0;
    bool thin = false;
    int share = 0;
    std::vector<std::string> hosts;
  };
  core::Task<Result<FoundReplica>> create(NewReplica wanted, core::CancelToken token);

  Engine& engine_;
  const NodeInfo& info_;
  HostServiceV1& host_;
};

class BdevServiceV0 {
 public:
  template <class T>
  using Answer = core::Task<Result<T>>;
  using Null = mayastor::Null;

  explicit BdevServiceV0(BdevServiceV1& devices) : devices_(devices) {}

  Answer<mayastor::Bdevs> list(rpc::Call& call, const Null&);
  Answer<mayastor::CreateReply> create(rpc::Call& call, const mayastor::BdevUri& request);
  Answer<Null> destroy(rpc::Call& call, const mayastor::BdevUri& request);
  Answer<mayastor::BdevShareReply> share(rpc::Call& call,
                                         const mayastor::BdevShareRequest& request);
  Answer<Null> unshare(rpc::Call& call, const mayastor::CreateReply& request);

 private:
  BdevServiceV1& devices_;
};

Result<void> bind_mayastor_v0(rpc::Directory& directory, MayastorServiceV0& service,
                              BdevServiceV0& devices);

}  // namespace capstan::services
