// Why this file exists: ImageRpc, whole disk images into and out of replicas. Holes stay holes in
// both directions: what is not allocated is not sent, and what is not sent is given back to the
// pool (or zeroed where it must be). While an image is written the replica is claimed, so nobody
// else writes to it and it cannot be destroyed. Thread-safety: core 0. The engine outlives the
// service, the service the directory.
#pragma once

#include "node/image.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"

namespace capstan::services {

class ImageService {
 public:
  explicit ImageService(Engine& engine) : engine_(engine) {}

  core::Task<Result<node::v1::ImportImageResponse>> import_image(
      rpc::Call& call, rpc::Source<node::v1::ImportImageRequest> source);
  core::Task<Result<void>> export_image(rpc::Call& call,
                                        const node::v1::ExportImageRequest& request,
                                        rpc::Sink<node::v1::ExportImageResponse> sink);

  std::size_t exports_in_flight() const { return exports_; }

 private:
  Result<std::shared_ptr<storage::Replica>> find(const std::string& name_or_uuid);

  core::Task<Result<void>> send_image(rpc::Call& call, const node::v1::ExportImageRequest& request,
                                      rpc::Sink<node::v1::ExportImageResponse> sink);

  Engine& engine_;
  std::size_t exports_ = 0;
};

Result<void> bind_image(rpc::Directory& directory, ImageService& service);

}  // namespace capstan::services
