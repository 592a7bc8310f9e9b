// Why this file exists: spdk.MayastorMethods: the JSON-RPC methods that Mayastor adds to SPDK's
// (jsonrpc section C.4). Thread-safety: core 0. Everything given outlives the service.
#pragma once

#include <functional>

#include "rpc/directory.h"
#include "services/spdk_devices.h"
#include "spdk/mayastor.pb.h"

namespace capstan::services {

class MayastorMethods {
 public:
  using Empty = google::protobuf::Empty;
  // Writes the configuration file the node was started with; empty when there was none.
  using Export = std::function<core::Task<Result<void>>()>;

  MayastorMethods(SpdkDevices& devices, Export write_config)
      : devices_(devices), write_config_(std::move(write_config)) {}

  core::Task<Result<Empty>> config_export(rpc::Call& call, const Empty&);
  core::Task<Result<spdk::NexusShareResponse>> nexus_share(rpc::Call& call,
                                                           const spdk::NexusShareRequest& request);

 private:
  SpdkDevices& devices_;
  Export write_config_;
};

Result<void> bind_mayastor_methods(rpc::Directory& directory, MayastorMethods& service);

}  // namespace capstan::services
