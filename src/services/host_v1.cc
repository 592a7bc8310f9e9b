// Why this file exists: see host_v1.h.
#include "services/host_v1.h"

#include "base/limits.h"
#include "core/os_file.h"
#include "core/os_process.h"
#include "rpc/wishes.h"
#include "services/block_devices.h"
#include "services/io_counts.h"

namespace capstan::services {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

namespace {

void fill_registration(const NodeInfo& info, v1::RegisterRequest& out) {
  out.set_id(info.node_name);
  out.set_grpc_endpoint(info.grpc_endpoint);
  if (info.registers) {
    info.instance_uuid.append_to(*out.mutable_instance_uuid()->mutable_value());
  }
  if (info.api_v0) out.add_api_version(v1::V0);
  if (info.api_v1) out.add_api_version(v1::V1);
  if (!info.host_nqn.empty()) out.mutable_hostnqn()->set_value(info.host_nqn);
  auto* features = out.mutable_features();
  features->set_asymmetricnamespaceaccess(info.ana);
  features->set_logicalvolumemanager(info.lvm);
  features->set_snapshotrebuild(info.snapshot_rebuild);
  features->set_rdmacapableioengine(info.rdma);
  out.mutable_bugfixes()->set_nexusrebuildreplicaancestry(true);
  out.set_version(info.version);
}

}  // namespace

v1::RegisterRequest registration_of(const NodeInfo& info) {
  v1::RegisterRequest out;
  fill_registration(info, out);
  return out;
}

core::Task<Result<void>> HostServiceV1::get_info(rpc::Call&, const Empty&,
                                                 v1::MayastorInfoResponse& out) {
  out.set_version(info_.version);
  out.mutable_previous_features()->set_asymmetricnamespaceaccess(info_.ana);
  fill_registration(info_, *out.mutable_registration_info());
  co_return Result<void>();
}

core::Task<Result<v1::ListBlockDevicesResponse>> HostServiceV1::list_block_devices(
    rpc::Call&, const v1::ListBlockDevicesRequest& request) {
  CO_TRY_SET(const std::string mounts,
             core::read_small_file("/proc/self/mounts", limits::kMountTableBytes));
  CO_TRY_SET(const auto disks, co_await read_udev());
  v1::ListBlockDevicesResponse out;
  for (auto& device : describe_block_devices(disks, parse_mounts(mounts), request.all())) {
    *out.add_devices() = std::move(device);
  }
  co_return out;
}

core::Task<Result<v1::GetMayastorResourceUsageResponse>> HostServiceV1::get_resource_usage(
    rpc::Call&, const Empty&) {
  CO_TRY_SET(const auto usage, core::process_usage());
  v1::GetMayastorResourceUsageResponse out;
  auto* to = out.mutable_usage();
  to->set_soft_faults(usage.soft_faults);
  to->set_hard_faults(usage.hard_faults);
  to->set_swaps(usage.swaps);
  to->set_in_block_ops(usage.in_block_ops);
  to->set_out_block_ops(usage.out_block_ops);
  to->set_ipc_msg_send(usage.ipc_sent);
  to->set_ipc_msg_rcv(usage.ipc_received);
  to->set_signals(usage.signals);
  to->set_vol_csw(usage.voluntary_switches);
  to->set_invol_csw(usage.involuntary_switches);
  co_return out;
}

namespace {

// One state for all paths of a device: the best of them.
v1::NvmeControllerState state_of(const storage::nvme::RemoteDevice& device) {
  using State = storage::nvme::HostController::State;
  v1::NvmeControllerState worst = v1::UNCONFIGURED;
  for (const auto& path : device.paths()) {
    switch (path->state()) {
      case State::kRunning: return v1::RUNNING;
      case State::kNew: worst = v1::NEW; break;
      case State::kReconnecting: worst = path->hopeful() ? v1::INITIALIZING : v1::FAULTED; break;
      case State::kFailed: worst = v1::FAULTED; break;
      case State::kClosing: worst = v1::UNCONFIGURING; break;
      case State::kClosed: break;
    }
  }
  return worst;
}

}  // namespace

core::Task<Result<v1::ListNvmeControllersResponse>> HostServiceV1::list_nvme_controllers(
    rpc::Call&, const Empty&) {
  v1::ListNvmeControllersResponse out;
  for (const auto& device : engine_.remotes().list()) {
    auto* controller = out.add_controllers();
    controller->set_name(device->name());
    controller->set_state(state_of(*device));
    controller->set_size(device->size_bytes());
    controller->set_blk_size(device->block_size());
  }
  co_return out;
}

core::Task<Result<v1::StatNvmeControllerResponse>> HostServiceV1::stat_nvme_controller(
    rpc::Call& call, const v1::StatNvmeControllerRequest& request) {
  for (const auto& device : engine_.remotes().list()) {
    if (device->name() != request.name()) continue;
    v1::StatNvmeControllerResponse out;
    fill_counts(device->stats(), *out.mutable_stats());
    co_return out;
  }
  const bool own = rpc::wishes(call, rpc::kWishErrors, "own");
  co_return fail(own ? Code::kNotFound : Code::kInternal,
                 "NVMe controller '" + request.name() +
                     "' not found; ListNvmeControllers shows what there is");
}

Result<void> bind_host_v1(rpc::Directory& directory, HostServiceV1& service) {
  TRY(directory.declare(v1::BlockDevice::descriptor()->file()->FindServiceByName("HostRpc")));
  using S = HostServiceV1;
  const std::string prefix = "mayastor.v1.HostRpc/";
  TRY(rpc::bind_unary(directory, prefix + "GetMayastorInfo", service, &S::get_info));
  TRY(rpc::bind_unary(directory, prefix + "ListBlockDevices", service, &S::list_block_devices));
  TRY(rpc::bind_unary(directory, prefix + "GetMayastorResourceUsage", service,
                      &S::get_resource_usage));
  TRY(rpc::bind_unary(directory, prefix + "ListNvmeControllers", service,
                      &S::list_nvme_controllers));
  return rpc::bind_unary(directory, prefix + "StatNvmeController", service,
                         &S::stat_nvme_controller);
}

}  // namespace capstan::services
