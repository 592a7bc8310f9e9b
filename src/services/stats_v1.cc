// Why this file exists: see stats_v1.h.
#include "services/stats_v1.h"

#include "services/io_counts.h"

namespace capstan::services {

namespace v1 = mayastor::v1;

namespace {

constexpr std::uint64_t kTicksPerSecond = 1'000'000'000;

void fill(const storage::IoStats& stats, v1::IoStats& out) {
  fill_counts(stats, out);
  out.set_read_latency_ticks(stats.read.latency_ns);
  out.set_write_latency_ticks(stats.write.latency_ns);
  out.set_unmap_latency_ticks(stats.unmap.latency_ns);
  out.set_max_read_latency_ticks(stats.read.max_latency_ns);
  out.set_min_read_latency_ticks(stats.read.min_latency_ns);
  out.set_max_write_latency_ticks(stats.write.max_latency_ns);
  out.set_min_write_latency_ticks(stats.write.min_latency_ns);
  out.set_max_unmap_latency_ticks(stats.unmap.max_latency_ns);
  out.set_min_unmap_latency_ticks(stats.unmap.min_latency_ns);
  out.set_tick_rate(kTicksPerSecond);
}

}  // namespace

v1::IoStats pool_io_stats(const LoadedPool& loaded) {
  v1::IoStats out;
  out.set_name(loaded.pool->name());
  out.set_uuid(loaded.pool->uuid().text());
  fill(loaded.pool->device()->stats(), out);
  return out;
}

v1::ReplicaIoStats replica_io_stats(storage::Replica& replica) {
  v1::ReplicaIoStats out;
  if (auto entity = replica.attribute("entity_id")) out.set_entity_id(*std::move(entity));
  auto* stats = out.mutable_stats();
  stats->set_name(replica.name());
  stats->set_uuid(replica.uuid().text());
  fill(replica.stats(), *stats);
  return out;
}

core::Task<Result<v1::PoolIoStatsResponse>> StatsServiceV1::pools(rpc::Call&,
                                                                  const Request& request) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  v1::PoolIoStatsResponse out;
  for (const auto& [name, loaded] : engine_.pools()) {
    if (request.has_name() && request.name() != name) continue;
    *out.add_stats() = pool_io_stats(loaded);
  }
  co_return out;
}

// A node without mirrors has none by any name.
core::Task<Result<v1::NexusIoStatsResponse>> StatsServiceV1::nexuses(rpc::Call&,
                                                                     const Request& request) {
  if (request.has_name()) co_return fail(Code::kNotFound, "Nexus not found");
  co_return v1::NexusIoStatsResponse();
}

core::Task<Result<v1::ReplicaIoStatsResponse>> StatsServiceV1::replicas(rpc::Call&,
                                                                        const Request& request) {
  // No lock: nothing below waits, and a list must answer while a change waits for a disk.
  v1::ReplicaIoStatsResponse out;
  for (const auto& [pool, loaded] : engine_.pools()) {
    for (const auto& replica : loaded.pool->replicas()) {
      if (request.has_name() && request.name() != replica->name()) continue;
      *out.add_stats() = replica_io_stats(*replica);
    }
  }
  co_return out;
}

core::Task<Result<StatsServiceV1::Empty>> StatsServiceV1::reset(rpc::Call&, const Empty&) {
  for (const auto* entry : engine_.devices().list()) entry->device->stats() = {};
  co_return Empty();
}

Result<void> bind_stats_v1(rpc::Directory& directory, StatsServiceV1& service) {
  TRY(directory.declare(v1::IoStats::descriptor()->file()->FindServiceByName("StatsRpc")));
  using S = StatsServiceV1;
  const std::string prefix = "mayastor.v1.StatsRpc/";
  TRY(rpc::bind_unary(directory, prefix + "GetPoolIoStats", service, &S::pools));
  TRY(rpc::bind_unary(directory, prefix + "GetNexusIoStats", service, &S::nexuses));
  TRY(rpc::bind_unary(directory, prefix + "GetReplicaIoStats", service, &S::replicas));
  return rpc::bind_unary(directory, prefix + "ResetIoStats", service, &S::reset);
}

}  // namespace capstan::services
