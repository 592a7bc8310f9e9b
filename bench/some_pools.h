// Why this file exists: what the servers of grpc_bench, ours and grpc++'s, answer to ListPools.
#pragma once

#include <string>

#include "pool.pb.h"

namespace capstan::bench {

inline mayastor::v1::ListPoolsResponse some_pools() {
  mayastor::v1::ListPoolsResponse response;
  for (int i = 0; i < 8; ++i) {
    auto* pool = response.add_pools();
    pool->set_uuid("0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f" + std::to_string(i));
    pool->set_name("pool-on-node-" + std::to_string(i));
    pool->add_disks("aio:///dev/disk/by-id/nvme-some-vendor_0000" + std::to_string(i));
    pool->set_capacity(4ULL << 40);
    pool->set_used(1ULL << 40);
    pool->set_cluster_size(4U << 20);
  }
  return response;
}

}  // namespace capstan::bench
