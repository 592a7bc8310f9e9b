// Why this file exists: the arithmetic of a pool's layout (lvs-format section 10.1), in 64 bits, so
// that huge devices do not wrap; every limit is refused with what would help.
#include "storage/pool/layout.h"

#include <algorithm>
#include <cerrno>

#include "base/limits.h"

namespace capstan::storage::lvs {
namespace {

std::unexpected<Error> refuse(std::string what, int err) {
  return fail(Code::kInvalidArgument, std::move(what), err);
}
std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return (value + by - 1) / by;
}

}  // namespace

Result<SuperBlock> plan_layout(const LayoutRequest& request) {
  const std::uint64_t size = request.cluster_size;
  if (size == 0 || size % kPageBytes != 0 || size % request.block_size != 0 ||
      size > limits::kClusterBytesMax) {
    return refuse("cluster size " + std::to_string(size) +
                      " is not usable: choose a multiple of 4096 and of the block size, at most " +
                      std::to_string(limits::kClusterBytesMax),
                  EINVAL);
  }
  const std::uint64_t clusters = request.device_bytes / size;
  if (clusters == 0) {
    return refuse("the device (" + std::to_string(request.device_bytes) +
                      " bytes) is smaller than one cluster of " + std::to_string(size) + " bytes",
                  ENOSPC);
  }
  if (clusters > limits::kPoolClustersMax) {
    return refuse(std::to_string(clusters) + " clusters are too many: choose a larger cluster size",
                  EINVAL);
  }
  const std::uint64_t percent = request.md_resv_percent == 0 ? 100 : request.md_resv_percent;
  const std::uint64_t md_len = percent * clusters / 100;
  if (md_len == 0 || md_len > limits::kPoolMdPagesMax) {
    return refuse("a metadata reservation of " + std::to_string(percent) + " percent, " +
                      std::to_string(md_len) + " pages, is not possible: choose another",
                  EINVAL);
  }
  const std::uint64_t page_mask = divide_up(mask_bytes(md_len), kPageBytes);
  const std::uint64_t cluster_mask = divide_up(mask_bytes(clusters), kPageBytes);
  SuperBlock super;
  auto field = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  super.cluster_size = request.cluster_size;
  super.page_mask_start = 1;
  super.page_mask_len = field(page_mask);
  super.cluster_mask_start = field(1 + page_mask);
  super.cluster_mask_len = field(cluster_mask);
  super.blobid_mask_start = field(1 + page_mask + std::max(page_mask, cluster_mask));
  super.blobid_mask_len = field(page_mask);
  super.md_start = super.blobid_mask_start + field(page_mask);
  super.md_len = field(md_len);
  super.size = request.device_bytes;
  super.io_unit_size = request.block_size;
  super.md_page_size = kPageBytes;
  if (super.md_start + md_len > 0xFFFFFFFE || Geometry(super, super.size).md_clusters > clusters)
    return refuse("the metadata needs the whole device: use a larger one or smaller clusters",
                  ENOMEM);
  return super;
}

std::uint64_t growable_clusters(const SuperBlock& super) {
  // Very old pools have no mask of blob ids: the metadata region comes next.
  const std::uint32_t end = super.blobid_mask_len != 0 ? super.blobid_mask_start : super.md_start;
  if (end <= super.cluster_mask_start) return 0;
  const std::uint64_t bytes = std::uint64_t{end - super.cluster_mask_start} * super.page_stride();
  return std::min((bytes - mask_bytes(0)) * 8, limits::kPoolClustersMax);
}

Geometry::Geometry(const SuperBlock& super, std::uint64_t device_bytes)
    : cluster_size(super.cluster_size),
      page_stride(super.page_stride()),
      md_start(super.md_start),
      md_len(super.md_len) {
  const std::uint64_t bytes = super.size ? super.size : device_bytes;
  total_clusters = static_cast<std::uint32_t>(bytes / cluster_size);
  const std::uint64_t per_cluster = cluster_size / page_stride;
  md_clusters =
      static_cast<std::uint32_t>(divide_up(std::uint64_t{md_start} + md_len, per_cluster));
}

}  // namespace capstan::storage::lvs
