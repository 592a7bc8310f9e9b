// Why this file exists: which clusters and metadata pages of a pool are free. Always the lowest
// free one, so that pools made by the same calls look alike and high clusters stay untouched.
//
// A number taken here is only reserved in memory; it becomes used on disk when something durable
// names it. A number is given back only after no durable state names it (lvs-format, I4).
// Thread-safety: one core.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "storage/pool/bitmap.h"
#include "storage/pool/layout.h"

namespace capstan::storage::lvs {

class Allocator {
 public:
  Allocator() = default;
  // The metadata clusters are used from the start.
  explicit Allocator(const Geometry& geometry)
      : pages_(geometry.md_len), clusters_(geometry.total_clusters) {
    for (std::uint32_t cluster = 0; cluster < geometry.md_clusters; ++cluster)
      clusters_.set(cluster);
  }

  std::optional<std::uint32_t> take_cluster() { return take(clusters_, cluster_hint_, 0); }
  // Extent pages and chain pages never take page 0, which an extent table cannot name.
  std::optional<std::uint32_t> take_page() { return take(pages_, page_hint_, 1); }
  std::optional<std::uint32_t> take_root_page() { return take(pages_, page_hint_, 0); }
  void free_cluster(std::uint32_t cluster) { give(clusters_, cluster_hint_, cluster); }
  void free_page(std::uint32_t page) { give(pages_, page_hint_, page); }

  std::uint64_t free_clusters() const { return clusters_.size() - clusters_.count(); }
  std::uint64_t free_pages() const { return pages_.size() - pages_.count(); }
  // The pool has more clusters from now on.
  void grow(std::uint64_t clusters) { clusters_.grow(clusters); }
  // Marking during a load.
  Bitmap& pages() { return pages_; }
  Bitmap& clusters() { return clusters_; }
  const Bitmap& pages() const { return pages_; }
  const Bitmap& clusters() const { return clusters_; }

 private:
  static std::optional<std::uint32_t> take(Bitmap& bits, std::uint64_t& hint,
                                           std::uint64_t lowest) {
    auto found = bits.first_clear(std::max(hint, lowest));
    if (!found) return std::nullopt;
    bits.set(*found);
    if (hint >= lowest || *found == hint) hint = *found;
    return static_cast<std::uint32_t>(*found);
  }
  static void give(Bitmap& bits, std::uint64_t& hint, std::uint32_t number) {
    CAPSTAN_ASSERT(bits.test(number));
    bits.clear(number);
    hint = std::min<std::uint64_t>(hint, number);
  }

  Bitmap pages_, clusters_;
  std::uint64_t page_hint_ = 0, cluster_hint_ = 0;  // everything below is used
};

}  // namespace capstan::storage::lvs
