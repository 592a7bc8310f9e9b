// Why this file exists: mayastor.v1.StatsRpc, the I/O counters of pools, mirrors and replicas
// (io-engine-behaviour section 14). Thread-safety: core 0. The engine outlives the service, the
// service the directory.
#pragma once

#include "rpc/directory.h"
#include "services/engine.h"
#include "stats.pb.h"

namespace capstan::services {

class StatsServiceV1 {
 public:
  explicit StatsServiceV1(Engine& engine) : engine_(engine) {}

  using Request = mayastor::v1::ListStatsOption;
  using Empty = google::protobuf::Empty;
  core::Task<Result<mayastor::v1::PoolIoStatsResponse>> pools(rpc::Call& call,
                                                              const Request& request);
  core::Task<Result<mayastor::v1::NexusIoStatsResponse>> nexuses(rpc::Call& call,
                                                                 const Request& request);
  core::Task<Result<mayastor::v1::ReplicaIoStatsResponse>> replicas(rpc::Call& call,
                                                                    const Request& request);
  core::Task<Result<Empty>> reset(rpc::Call& call, const Empty& request);

 private:
  Engine& engine_;
};

// The counters as messages. A pool's are those of its disk.
mayastor::v1::IoStats pool_io_stats(const LoadedPool& loaded);
mayastor::v1::ReplicaIoStats replica_io_stats(storage::Replica& replica);

Result<void> bind_stats_v1(rpc::Directory& directory, StatsServiceV1& service);

}  // namespace capstan::services
