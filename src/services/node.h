// Why this file exists: NodeRpc, Capstan's own operations about the node itself. It only tells;
// what it tells belongs to others. Thread-safety: core 0. Everything given outlives the service,
// the service the calls of the directory.
#pragma once

#include <vector>

#include "core/metrics.h"
#include "core/reactor_metrics.h"
#include "node/node.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"
#include "services/node_info.h"

namespace capstan::services {

class NodeService {
 public:
  using ConfigValues = std::vector<node::v1::Config::Value>;
  NodeService(Engine& engine, const rpc::Directory& directory, const NodeInfo& info,
              const core::Metrics& metrics, core::ReactorMetrics& reactors, ConfigValues config);

  core::Task<Result<void>> get_version(rpc::Call& call, const node::v1::GetVersionRequest&,
                                       node::v1::Version& out);
  core::Task<Result<node::v1::Health>> get_health(rpc::Call& call,
                                                  const node::v1::GetHealthRequest&);
  core::Task<Result<node::v1::DescribeOperationsResponse>> describe_operations(
      rpc::Call& call, const node::v1::DescribeOperationsRequest& request);
  core::Task<Result<node::v1::Config>> get_config(rpc::Call& call,
                                                  const node::v1::GetConfigRequest&);
  core::Task<Result<node::v1::Logging>> set_logging(rpc::Call& call,
                                                    const node::v1::SetLoggingRequest& request);
  core::Task<Result<void>> monitor_events(rpc::Call& call,
                                          const node::v1::MonitorEventsRequest& request,
                                          rpc::Sink<node::v1::Event> sink);
  core::Task<Result<node::v1::MetricsText>> get_metrics(rpc::Call& call,
                                                        const node::v1::GetMetricsRequest&);

 private:
  Engine& engine_;
  const rpc::Directory& directory_;
  const NodeInfo& info_;
  const core::Metrics& metrics_;
  core::ReactorMetrics& reactors_;
  ConfigValues config_;
};

Result<void> bind_node(rpc::Directory& directory, NodeService& service);

}  // namespace capstan::services
