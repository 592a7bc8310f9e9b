// Why this file exists: where things lie. Layout decides it for a new pool (lvs-format
// section 10.1); Geometry answers it for a pool that exists, from its super block. Thread-safety:
// plain values.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "storage/pool/lvs_codec.h"

namespace capstan::storage::lvs {

struct LayoutRequest {
  std::uint64_t device_bytes = 0;
  std::uint32_t block_size = 512;
  std::uint32_t cluster_size = 4U << 20;
  std::uint32_t md_resv_percent = 100;  // 0 counts as 100
};

// The super block of a new pool: clean 0, no super blob yet. kInvalidArgument with EINVAL (cluster
// size), ENOSPC (device smaller than one cluster) or ENOMEM (no room beside the metadata).
Result<SuperBlock> plan_layout(const LayoutRequest& request);

// How many clusters the masks of a pool have room for: what it may grow to.
std::uint64_t growable_clusters(const SuperBlock& super);

struct Geometry {
  std::uint32_t cluster_size = 0, page_stride = 4096, md_start = 0, md_len = 0;
  std::uint32_t total_clusters = 0;
  std::uint32_t md_clusters = 0;  // M: the clusters 0..M-1 hold metadata

  Geometry() = default;
  Geometry(const SuperBlock& super, std::uint64_t device_bytes);

  std::uint32_t data_clusters() const { return total_clusters - md_clusters; }
  std::uint64_t device_page(std::uint64_t page) const { return page * page_stride; }
  std::uint64_t md_page(std::uint32_t page) const {
    return (std::uint64_t{md_start} + page) * page_stride;
  }
  std::uint64_t cluster(std::uint32_t number) const { return std::uint64_t{number} * cluster_size; }
  bool is_data_cluster(std::uint32_t number) const {
    return number >= md_clusters && number < total_clusters;
  }
};

}  // namespace capstan::storage::lvs
