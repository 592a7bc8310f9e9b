// Why this file exists: the operations that a gateway answers itself: what never changes while a
// node runs from what it said at the start, and the state of pools and replicas from the mirror.
// They are bound to a directory of their own; the router (router.h) decides for each call whether
// that one or the node answers.
// Source: http-rpc section 20.6.
// Thread-safety: one core. Everything given outlives the service, the service its calls.
#pragma once

#include <google/protobuf/empty.pb.h>

#include "apps/gateway/node_link.h"
#include "core/metrics.h"
#include "core/reactor_metrics.h"
#include "rpc/directory.h"

namespace capstan::gateway {

class LocalService {
 public:
  LocalService(NodeLink& link, const core::Metrics& metrics, core::ReactorMetrics& reactors)
      : link_(link), metrics_(metrics), reactors_(reactors), monitors_(link.mirror()) {}

  using Empty = google::protobuf::Empty;
  core::Task<Result<void>> get_version(rpc::Call& call, const node::v1::GetVersionRequest& request,
                                       node::v1::Version& version);
  core::Task<Result<node::v1::Config>> get_config(rpc::Call& call,
                                                  const node::v1::GetConfigRequest& request);
  core::Task<Result<node::v1::DescribeOperationsResponse>> describe_operations(
      rpc::Call& call, const node::v1::DescribeOperationsRequest& request);
  // The gateway's own.
  core::Task<Result<node::v1::MetricsText>> get_metrics(rpc::Call& call,
                                                        const node::v1::GetMetricsRequest& request);
  core::Task<Result<void>> get_info(rpc::Call& call, const Empty& request,
                                    mayastor::v1::MayastorInfoResponse& info);
  core::Task<Result<void>> list_pools(rpc::Call& call, const mayastor::v1::ListPoolOptions& request,
                                      mayastor::v1::ListPoolsResponse& response);
  core::Task<Result<void>> list_replicas(rpc::Call& call,
                                         const mayastor::v1::ListReplicaOptions& request,
                                         mayastor::v1::ListReplicasResponse& response);
  model::StateMonitors& monitors() { return monitors_; }

 private:
  NodeLink& link_;
  const core::Metrics& metrics_;
  core::ReactorMetrics& reactors_;
  model::StateMonitors monitors_;
};

Result<void> bind_local(rpc::Directory& directory, LocalService& service);

}  // namespace capstan::gateway
