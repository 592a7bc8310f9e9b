// Why this file exists: mayastor.v1.HostRpc, facts about the machine and this process
// (io-engine-behaviour section 16), and the NVMe controllers it is connected to. Thread-safety:
// core 0. `info` and the engine outlive the service, the service the directory.
#pragma once

#include "host.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"
#include "services/node_info.h"

namespace capstan::services {

class HostServiceV1 {
 public:
  HostServiceV1(const NodeInfo& info, Engine& engine) : info_(info), engine_(engine) {}

  using Empty = google::protobuf::Empty;
  core::Task<Result<void>> get_info(rpc::Call& call, const Empty&,
                                    mayastor::v1::MayastorInfoResponse& out);
  core::Task<Result<mayastor::v1::ListBlockDevicesResponse>> list_block_devices(
      rpc::Call& call, const mayastor::v1::ListBlockDevicesRequest& request);
  core::Task<Result<mayastor::v1::GetMayastorResourceUsageResponse>> get_resource_usage(
      rpc::Call& call, const Empty&);
  core::Task<Result<mayastor::v1::ListNvmeControllersResponse>> list_nvme_controllers(
      rpc::Call& call, const Empty&);
  core::Task<Result<mayastor::v1::StatNvmeControllerResponse>> stat_nvme_controller(
      rpc::Call& call, const mayastor::v1::StatNvmeControllerRequest& request);

 private:
  const NodeInfo& info_;
  Engine& engine_;
};

// What a control plane is told at registration, and clients by GetMayastorInfo.
mayastor::v1::RegisterRequest registration_of(const NodeInfo& info);

Result<void> bind_host_v1(rpc::Directory& directory, HostServiceV1& service);

}  // namespace capstan::services
