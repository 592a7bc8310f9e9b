// Why this file exists: a blob in memory: what one volume, snapshot or the pool's own record is on
// disk (lvs-format section 7), independent of I/O. The map of clusters is kept in groups of 512, as
// on disk; a group without storage costs a few bytes.
//
// Invariants: num_clusters is the size; groups.size() == ceil(num_clusters / 512); a group's
// `clusters` is either empty (all holes) or has min(512, rest) entries, `mapped` of them not 0.
// Thread-safety: plain value.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "storage/pool/layout.h"
#include "storage/pool/lvs_codec.h"

namespace capstan::storage::lvs {

struct ExtentGroup {
  std::uint32_t page = 0;               // extent page, 0 = none (also for blobs without a table)
  std::uint32_t mapped = 0;             // clusters that are no holes
  bool odd = false;                     // its entry count does not fit: replace before using it
  std::vector<std::uint32_t> clusters;  // empty: all holes
};

struct Blob {
  std::uint64_t id = kNoBlob;
  Flags flags;
  std::vector<Xattr> xattrs, internal;  // in the order of the disk
  std::vector<std::uint32_t> chain;     // metadata pages, root first
  bool extent_table = true;             // false: extent_rle
  std::uint64_t num_clusters = 0;
  std::vector<ExtentGroup> groups;
  // Clusters that extent pages name beyond the end; of a damaged blob all that could be read.
  std::vector<std::uint32_t> excess;

  std::uint32_t root_page() const { return root_page_of(id); }
  bool thin() const { return flags.invalid & kFlagThin; }
  bool read_only() const { return flags.data_ro != 0; }  // also for bits we do not know
  bool metadata_read_only() const {
    return (flags.md_ro & ~kKnownMdRoFlags) || (flags.data_ro & ~kKnownDataRoFlags);
  }
  bool external() const { return flags.invalid & kFlagExternalSnapshot; }

  // Sizes the map; new clusters are holes.
  void resize(std::uint64_t clusters);
  std::uint32_t cluster_at(std::uint64_t index) const;  // 0 = hole
  void set_cluster(std::uint64_t index, std::uint32_t cluster);
  // The whole of one group, as an extent page has it: empty or group_clusters(group) entries.
  void set_group(std::size_t group, std::vector<std::uint32_t> clusters);
  std::uint32_t group_clusters(std::size_t group) const;  // min(512, rest)
  std::uint64_t allocated() const;
  bool has_odd_groups() const;

  const std::string* xattr(std::string_view name) const;  // null when absent
  const std::string* internal_xattr(std::string_view name) const;
  void set_xattr(std::string_view name, std::string value);
  void drop_internal(std::string_view name);
  // An internal attribute that is an 8-byte blob id.
  std::optional<std::uint64_t> reference(std::string_view name) const;
  std::optional<std::uint64_t> parent() const;
  // The text up to the first NUL.
  std::string text(std::string_view name) const;
  std::string name() const { return text("name"); }
  Uuid uuid() const;  // nil when missing or malformed

  // Every cluster of the map, and (the second) every metadata page it stands in.
  void for_each_cluster(const std::function<void(std::uint64_t index, std::uint32_t)>& visit) const;
  std::vector<std::uint32_t> pages() const;
};

// The value of a `name` attribute at creation: 64 bytes, zero-padded.
std::string padded_name(std::string_view name);
// The value of a `uuid` attribute: text and NUL, 37 bytes.
std::string uuid_value(const Uuid& uuid);

// --- from pages to a blob ----------------------------------------------------------------------

// Collects one blob: its chain page by page, then its map group by group, so that no more than a
// few pages need to be in memory at once. Every check of section 7.1 that needs no other blob.
//
//     take()… until kNoPage;  begin_map();  take_group() for every non-zero group_pages();
//     end_map()
//
// After an error the volume is damaged: salvage() then keeps what its extent pages name.
class BlobReader {
 public:
  BlobReader(std::uint32_t root_page, const Geometry& geometry);
  // Takes the next page of the chain. Returns the number of the one after it, or kNoPage.
  Result<std::uint32_t> take(std::uint32_t number, ByteView page);

  // What the map will need in groups of 512 clusters, before it is made: a page of 4096 bytes may
  // claim a volume of any size, so the caller decides first whether there is room.
  std::uint64_t groups_claimed() const;
  // Makes the map, as yet without the contents of extent pages.
  Result<void> begin_map();
  // The extent page of each group, 0 = none. Before begin_map() succeeded: those of the chain read
  // so far, in no order. Only valid numbers.
  std::vector<std::uint32_t> group_pages() const;
  // In ascending order. Applies the size rules of section 7.2.
  Result<void> take_group(std::size_t group, ByteView page);
  Result<void> end_map();
  // All of that with the extent pages at hand.
  Result<void> finish(const std::function<ByteView(std::uint32_t)>& page_of);

  // For damaged volumes: whatever is named anywhere joins blob().excess, so that nobody else gets
  // it while a repair may still want it.
  void salvage(ByteView extent_page);
  void salvage_runs();
  Blob& blob() { return blob_; }

 private:
  Result<void> take_descriptor(const Descriptor& descriptor);
  Result<void> take_attribute(const Descriptor& descriptor);
  Result<void> begin_table();
  Result<void> begin_runs();
  Result<void> check_clusters() const;

  Geometry geometry_;
  Blob blob_;
  bool has_table_ = false, has_runs_ = false, ended_ = false;
  std::uint64_t table_clusters_ = 0;
  std::vector<Run> table_, runs_;
  bool map_made_ = false;
  bool cut_short_ = false;  // a thick volume that ends early: an interrupted shrink, completed
  std::vector<std::uint32_t> group_pages_;
};

// --- from a blob to pages ----------------------------------------------------------------------

// The chain of `blob` as descriptors; seal() it once page numbers are known. Extent table entries
// are taken from groups[].page.
ChainWriter encode_chain(const Blob& blob);
// The extent page of one group.
Page encode_group(const Blob& blob, std::size_t group);

}  // namespace capstan::storage::lvs
