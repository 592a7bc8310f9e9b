// Why this file exists: see rest_v0.h. Nodes and pools are here; replicas are in
// rest_v0_replicas.cc, nexuses in rest_v0_nexuses.cc.
#include "services/rest_v0.h"

#include "services/pool_ops.h"

namespace capstan::services {

namespace v0 = ::capstan::rest::v0;
namespace v1 = ::mayastor::v1;
using S = RestServiceV0;

namespace {

v0::PoolState::Status state_of(v1::PoolState state) {
  switch (state) {
    case v1::POOL_ONLINE: return v0::PoolState::Online;
    case v1::POOL_DEGRADED: return v0::PoolState::Degraded;
    case v1::POOL_FAULTED: return v0::PoolState::Faulted;
    default: return v0::PoolState::Unknown;
  }
}

void fill(const v1::BlockDevice& from, v0::BlockDevice& to) {
  to.set_available(from.available());
  to.set_connection_type(from.connection_type());
  *to.mutable_devlinks() = from.devlinks();
  to.set_devmajor(from.devmajor());
  to.set_devminor(from.devminor());
  to.set_devname(from.devname());
  to.set_devpath(from.devpath());
  to.set_devtype(from.devtype());
  if (from.has_is_rotational()) to.set_is_rotational(from.is_rotational());
  to.set_model(from.model());
  to.set_size(from.size());
  if (from.has_filesystem()) {
    auto& filesystem = *to.mutable_filesystem();
    filesystem.set_fstype(from.filesystem().fstype());
    filesystem.set_label(from.filesystem().label());
    filesystem.set_uuid(from.filesystem().uuid());
    if (!from.filesystem().mountpoints().empty()) {
      filesystem.set_mountpoint(from.filesystem().mountpoints(0));
    }
  }
  if (from.has_partition()) {
    auto& partition = *to.mutable_partition();
    partition.set_parent(from.partition().parent());
    partition.set_number(from.partition().number());
    partition.set_name(from.partition().name());
    partition.set_scheme(from.partition().scheme());
    partition.set_typeid_(from.partition().typeid_());
    partition.set_uuid(from.partition().uuid());
  }
}

}  // namespace

// --- nodes ---------------------------------------------------------------------------------------

Result<void> S::check_node(const std::string& id) const {
  if (id == info_.node_name) return {};
  return fail(Code::kNotFound,
              "Node '" + id + "' not found; this is node '" + info_.node_name + "'");
}

v0::Node S::this_node() const {
  v0::Node node;
  node.set_id(info_.node_name);
  auto& spec = *node.mutable_spec();
  spec.set_grpc_endpoint(info_.grpc_endpoint);
  spec.set_id(info_.node_name);
  spec.set_version(info_.version);
  auto& state = *node.mutable_state();
  state.set_grpc_endpoint(info_.grpc_endpoint);
  state.set_id(info_.node_name);
  // Whoever is asked and answers is online.
  state.set_status(v0::NodeState::Online);
  state.set_version(info_.version);
  if (!info_.host_nqn.empty()) {
    spec.set_node_nqn(info_.host_nqn);
    state.set_node_nqn(info_.host_nqn);
  }
  return node;
}

S::Answer<v0::NodeList> S::get_nodes(rpc::Call&, const v0::GetNodesRequest& request) {
  v0::NodeList list;
  if (!request.has_node_id() || request.node_id() == info_.node_name) {
    *list.add_nodes() = this_node();
  }
  co_return list;
}

S::Answer<v0::Node> S::get_node(rpc::Call&, const v0::GetNodeRequest& request) {
  CO_TRY(check_node(request.id()));
  co_return this_node();
}

S::Answer<v0::BlockDeviceList> S::get_block_devices(rpc::Call& call,
                                                    const v0::GetBlockDevicesRequest& request) {
  CO_TRY(check_node(request.node()));
  v1::ListBlockDevicesRequest wanted;
  wanted.set_all(!request.has_all() || request.all());
  CO_TRY_SET(const auto found, co_await host_.list_block_devices(call, wanted));
  v0::BlockDeviceList list;
  for (const auto& device : found.devices()) fill(device, *list.add_devices());
  co_return list;
}

S::Answer<v0::JsonGrpcResponse> S::put_json_grpc(rpc::Call& call,
                                                 const v0::JsonGrpcRequest& request) {
  CO_TRY(check_node(request.node()));
  v1::JsonRpcRequest wanted;
  wanted.set_method(request.method());
  wanted.set_params(request.params());
  CO_TRY_SET(auto got, co_await bridge_.call_v1(call, wanted));
  v0::JsonGrpcResponse response;
  response.set_result(std::move(*got.mutable_result()));
  co_return response;
}

// --- pools ---------------------------------------------------------------------------------------

v0::Pool S::pool_message(const v1::Pool& pool, std::string disk) const {
  v0::Pool out;
  out.set_id(pool.name());
  auto& spec = *out.mutable_spec();
  spec.add_disks(std::move(disk));
  spec.set_id(pool.name());
  spec.set_node(info_.node_name);
  spec.set_status(v0::PoolSpec::Created);
  auto& state = *out.mutable_state();
  state.set_capacity(pool.capacity());
  *state.mutable_disks() = pool.disks();
  state.set_id(pool.name());
  state.set_node(info_.node_name);
  state.set_status(state_of(pool.state()));
  state.set_used(pool.used());
  state.set_committed(pool.committed());
  return out;
}

v0::Pool S::absent_pool_message(const std::string& name) const {
  v0::Pool out;
  out.set_id(name);
  auto& spec = *out.mutable_spec();
  const auto& recorded = engine_.state().pools();
  const auto position = recorded.find(name);
  bool destroying = false;
  if (position != recorded.end()) {
    spec.add_disks(position->second.disk());
    destroying = position->second.destroying();
  }
  spec.set_id(name);
  spec.set_node(info_.node_name);
  spec.set_status(destroying ? v0::PoolSpec::Deleting : v0::PoolSpec::Created);
  return out;
}

// Reads take no lock: nothing in them waits, and they answer while a change waits for a disk.
S::Answer<v0::PoolList> S::get_pools(rpc::Call&, const v0::GetPoolsRequest& request) {
  CO_TRY(check_node_of(request));
  v0::PoolList list;
  for (const auto& [name, loaded] : engine_.pools()) {
    *list.add_pools() = pool_message(pool_message_v1(loaded), loaded.disk);
  }
  for (const auto& [name, why] : engine_.unavailable()) {
    *list.add_pools() = absent_pool_message(name);
  }
  co_return list;
}

S::Answer<v0::Pool> S::get_pool(rpc::Call&, const v0::PoolRequest& request) {
  CO_TRY(check_node_of(request));
  if (const auto* loaded = engine_.find_pool(request.id())) {
    co_return pool_message(pool_message_v1(*loaded), loaded->disk);
  }
  if (engine_.unavailable().contains(request.id())) co_return absent_pool_message(request.id());
  co_return fail(Code::kNotFound, "Pool '" + request.id() + "' not found");
}

S::Answer<v0::Pool> S::put_pool(rpc::Call& call, const v0::PutPoolRequest& request) {
  CO_TRY(check_node(request.node()));
  if (!request.labels().empty()) {
    co_return fail_field("labels",
                         "pool labels are kept by a control plane; create the pool without them");
  }
  v1::CreatePoolRequest wanted;
  wanted.set_name(request.id());
  *wanted.mutable_disks() = request.disks();
  CO_TRY_SET(const auto pool, co_await pools_.create_pool(call, wanted));
  co_return pool_message(pool, request.disks(0));
}

S::Answer<S::Empty> S::del_pool(rpc::Call& call, const v0::PoolRequest& request) {
  CO_TRY(check_node_of(request));
  v1::DestroyPoolRequest wanted;
  wanted.set_name(request.id());
  co_return co_await pools_.destroy_pool(call, wanted);
}

Result<void> bind_rest_v0(rpc::Directory& directory, RestServiceV0& service) {
  const auto* file = v0::Pool::descriptor()->file();
  for (int i = 0; i < file->service_count(); ++i) TRY(directory.declare(file->service(i)));
  const auto bind = [&](const char* name, auto handler) {
    return rpc::bind_unary(directory, std::string("capstan.rest.v0.") + name, service, handler);
  };
  TRY(bind("Nodes/GetNodes", &S::get_nodes));
  TRY(bind("Nodes/GetNode", &S::get_node));
  TRY(bind("Nodes/GetBlockDevices", &S::get_block_devices));
  TRY(bind("Nodes/PutJsonGrpc", &S::put_json_grpc));
  TRY(bind("Pools/GetPools", &S::get_pools));
  TRY(bind("Pools/GetPool", &S::get_pool));
  TRY(bind("Pools/PutPool", &S::put_pool));
  TRY(bind("Pools/DelPool", &S::del_pool));
  TRY(bind("Replicas/GetReplicas", &S::get_replicas));
  TRY(bind("Replicas/GetReplica", &S::get_replica));
  TRY(bind("Replicas/PutReplica", &S::put_replica));
  TRY(bind("Replicas/DelReplica", &S::del_replica));
  TRY(bind("Replicas/PutReplicaShare", &S::put_replica_share));
  TRY(bind("Replicas/DelReplicaShare", &S::del_replica_share));
  TRY(bind("Nexuses/GetNexuses", &S::get_nexuses));
  TRY(bind("Nexuses/GetNexus", &S::get_nexus));
  TRY(bind("Nexuses/PutNexus", &S::put_nexus));
  TRY(bind("Nexuses/DelNexus", &S::del_nexus));
  TRY(bind("Nexuses/PutNexusShare", &S::put_nexus_share));
  TRY(bind("Nexuses/DelNexusShare", &S::del_nexus_share));
  TRY(bind("Nexuses/GetNexusChildren", &S::get_nexus_children));
  TRY(bind("Nexuses/GetNexusChild", &S::get_nexus_child));
  TRY(bind("Nexuses/PutNexusChild", &S::put_nexus_child));
  return bind("Nexuses/DelNexusChild", &S::del_nexus_child);
}

}  // namespace capstan::services
