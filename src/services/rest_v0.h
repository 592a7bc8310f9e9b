// Why this file exists: the objects of the Mayastor control plane's REST API (api/rest/v0.proto),
// over the same operations as v1. A control plane knows what was asked for (spec) and what is
// (state); a node knows the one from its record and the other from its pools. Paths, statuses and
// the JSON are the HTTP wire's.
//
// Errors whose kind that API tells apart carry it as their reason (ErrorDetails): ALREADY_SHARED,
// NOT_SHARED. Source: http-rpc sections 20.3 and 20.4.
// Thread-safety: core 0. Everything given outlives the service, the service the directory.
#pragma once

#include <set>
#include <string>

#include "rest/v0.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"
#include "services/host_v1.h"
#include "services/json_bridge.h"
#include "services/node_info.h"
#include "services/pool_v1.h"

namespace capstan::services {

class RestServiceV0 {
 public:
  template <class T>
  using Answer = core::Task<Result<T>>;
  using Empty = google::protobuf::Empty;

  // `allowed`: as for JsonBridge.
  RestServiceV0(Engine& engine, const NodeInfo& info, PoolServiceV1& pools, HostServiceV1& host,
                const rpc::Directory& directory, const std::set<std::string>& allowed)
      : engine_(engine), info_(info), pools_(pools), host_(host), bridge_(directory, allowed) {}

  Answer<rest::v0::NodeList> get_nodes(rpc::Call&, const rest::v0::GetNodesRequest& request);
  Answer<rest::v0::Node> get_node(rpc::Call&, const rest::v0::GetNodeRequest& request);
  Answer<rest::v0::BlockDeviceList> get_block_devices(
      rpc::Call& call, const rest::v0::GetBlockDevicesRequest& request);
  Answer<rest::v0::JsonGrpcResponse> put_json_grpc(rpc::Call& call,
                                                   const rest::v0::JsonGrpcRequest& request);

  Answer<rest::v0::PoolList> get_pools(rpc::Call&, const rest::v0::GetPoolsRequest& request);
  Answer<rest::v0::Pool> get_pool(rpc::Call&, const rest::v0::PoolRequest& request);
  Answer<rest::v0::Pool> put_pool(rpc::Call& call, const rest::v0::PutPoolRequest& request);
  Answer<Empty> del_pool(rpc::Call&, const rest::v0::PoolRequest& request);

  Answer<rest::v0::ReplicaList> get_replicas(rpc::Call&,
                                             const rest::v0::GetReplicasRequest& request);
  Answer<rest::v0::Replica> get_replica(rpc::Call&, const rest::v0::ReplicaRequest& request);
  Answer<rest::v0::Replica> put_replica(rpc::Call&, const rest::v0::PutReplicaRequest& request);
  Answer<Empty> del_replica(rpc::Call&, const rest::v0::ReplicaRequest& request);
  Answer<rest::v0::ShareUri> put_replica_share(rpc::Call&,
                                               const rest::v0::PutReplicaShareRequest& request);
  Answer<Empty> del_replica_share(rpc::Call&, const rest::v0::ReplicaRequest& request);

  // This node has no nexuses: lists are empty, single ones are kNotFound, and making one is
  // kUnimplemented.
  Answer<rest::v0::NexusList> get_nexuses(rpc::Call&, const rest::v0::GetNexusesRequest& request);
  Answer<rest::v0::Nexus> get_nexus(rpc::Call&, const rest::v0::NexusRequest& request);
  Answer<rest::v0::Nexus> put_nexus(rpc::Call&, const rest::v0::PutNexusRequest& request);
  Answer<Empty> del_nexus(rpc::Call&, const rest::v0::NexusRequest& request);
  Answer<rest::v0::ShareUri> put_nexus_share(rpc::Call&,
                                             const rest::v0::PutNexusShareRequest& request);
  Answer<Empty> del_nexus_share(rpc::Call&, const rest::v0::NexusRequest& request);
  Answer<rest::v0::ChildList> get_nexus_children(rpc::Call&, const rest::v0::NexusRequest& request);
  Answer<rest::v0::Child> get_nexus_child(rpc::Call&, const rest::v0::ChildRequest& request);
  Answer<rest::v0::Child> put_nexus_child(rpc::Call&, const rest::v0::ChildRequest& request);
  Answer<Empty> del_nexus_child(rpc::Call&, const rest::v0::ChildRequest& request);

 private:
  // kNotFound unless it is this node's id; `request` may leave it out where its field is optional.
  Result<void> check_node(const std::string& id) const;
  template <class Request>
  Result<void> check_node_of(const Request& request) const {
    return request.has_node() ? check_node(request.node()) : Result<void>();
  }
  rest::v0::Node this_node() const;
  rest::v0::Pool pool_message(const mayastor::v1::Pool& pool, std::string disk) const;
  // What is recorded of a pool that is not open.
  rest::v0::Pool absent_pool_message(const std::string& name) const;
  rest::v0::Replica replica_message(const FoundReplica& found) const;
  // Of that pool when it is named. kNotFound.
  template <class Request>
  Result<FoundReplica> find_replica(const Request& request) const;

  Engine& engine_;
  const NodeInfo& info_;
  PoolServiceV1& pools_;
  HostServiceV1& host_;
  JsonBridge bridge_;
};

Result<void> bind_rest_v0(rpc::Directory& directory, RestServiceV0& service);

}  // namespace capstan::services
