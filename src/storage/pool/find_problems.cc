// Why this file exists: the list that a check of a pool shows (load.h): what the load found damaged
// or put right, and whether the masks of a pool that was unloaded say what its volumes say.
#include "storage/pool/load.h"

namespace capstan::storage::lvs {
namespace {

using Kind = Finding::Kind;

std::string count_text(std::uint64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

struct Reached {
  Bitmap pages, clusters;
};

Reached what_is_reached(const StoreImage& image) {
  Reached reached{Bitmap(image.geometry.md_len), Bitmap(image.geometry.total_clusters)};
  for (std::uint32_t cluster = 0; cluster < image.geometry.md_clusters; ++cluster)
    reached.clusters.set(cluster);
  for (const auto& [id, entry] : image.blobs) {
    for (std::uint32_t page : entry.blob.pages()) reached.pages.set(page);
    entry.blob.for_each_cluster([&](std::uint64_t, std::uint32_t cluster) {
      if (image.geometry.is_data_cluster(cluster)) reached.clusters.set(cluster);
    });
  }
  return reached;
}

// Bits of `mask` that are not in `reached`, and the other way round.
void compare(const Bitmap& mask, Bitmap reached, const char* what, std::vector<Finding>& found) {
  Bitmap extra = mask;
  extra.subtract(reached);
  reached.subtract(mask);
  if (reached.count() != 0)
    found.push_back({Kind::kDamage, count_text(reached.count(), what) + " in use but marked free"});
  if (extra.count() != 0)
    found.push_back({Kind::kLeak, count_text(extra.count(), what) + " marked used but not in use"});
}

}  // namespace

std::vector<Finding> find_problems(const StoreImage& image) {
  std::vector<Finding> found;
  for (const auto& [id, entry] : image.blobs) {
    if (entry.fault.empty()) continue;
    const std::string name = entry.blob.name();
    found.push_back({Kind::kDamage,
                     "volume " + (name.empty() ? "blob-" + std::to_string(id) : "'" + name + "'") +
                         ": " + entry.fault});
  }
  for (const std::string& note : image.notes) found.push_back({Kind::kRepair, note});
  for (const auto& [id, entry] : image.blobs) {
    if (entry.fault.empty() && entry.blob.has_odd_groups())
      found.push_back({Kind::kRepair, "volume '" + entry.blob.name() +
                                          "': its map is written for another size than it has"});
  }
  if (!image.shadow_pages.empty()) {
    found.push_back({Kind::kRepair, count_text(image.shadow_pages.size(), "copy") +
                                        " of a metadata page left behind by a crash"});
  }
  if (image.mask_pages && image.mask_clusters && image.damaged == 0) {
    const Reached reached = what_is_reached(image);
    compare(*image.mask_pages, reached.pages, "metadata page", found);
    compare(*image.mask_clusters, reached.clusters, "cluster", found);
  }
  return found;
}

}  // namespace capstan::storage::lvs
