// Why this file exists: mayastor.v1.BdevRpc, the view of every device of the node
// (io-engine-behaviour section 6.2). "Bdev" is the API's word for device and stays in here.
// Thread-safety: core 0. The engine outlives the service, the service the directory.
#pragma once

#include "bdev.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"

namespace capstan::services {

class BdevServiceV1 {
 public:
  explicit BdevServiceV1(Engine& engine) : engine_(engine) {}

  core::Task<Result<mayastor::v1::CreateBdevResponse>> create(
      rpc::Call& call, const mayastor::v1::CreateBdevRequest& request);
  core::Task<Result<google::protobuf::Empty>> destroy(
      rpc::Call& call, const mayastor::v1::DestroyBdevRequest& request);
  core::Task<Result<mayastor::v1::ListBdevResponse>> list(
      rpc::Call& call, const mayastor::v1::ListBdevOptions& request);
  core::Task<Result<mayastor::v1::BdevShareResponse>> share(
      rpc::Call& call, const mayastor::v1::BdevShareRequest& request);
  core::Task<Result<google::protobuf::Empty>> unshare(
      rpc::Call& call, const mayastor::v1::BdevUnshareRequest& request);

 private:
  Engine& engine_;
};

Result<void> bind_bdev_v1(rpc::Directory& directory, BdevServiceV1& service);

}  // namespace capstan::services
