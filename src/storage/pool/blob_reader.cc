// Why this file exists: turns the pages of one blob into a Blob, believing nothing: every number is
// checked before it is used as an index or a size, because this runs on whatever a disk holds.
// The rule for sizes (lvs-format section 7.2): the extent table decides, extent pages that disagree
// are marked odd and replaced on the first occasion to write.
#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "storage/pool/blob.h"

namespace capstan::storage::lvs {
namespace {

std::unexpected<Error> damaged(std::string what) {
  return fail(Code::kDataLoss, std::move(what), EILSEQ);
}
std::string number_text(std::uint64_t number) {
  return std::to_string(number);
}

}  // namespace

BlobReader::BlobReader(std::uint32_t root_page, const Geometry& geometry) : geometry_(geometry) {
  blob_.id = blob_id_of(root_page);
}

Result<std::uint32_t> BlobReader::take(std::uint32_t number, ByteView page) {
  const std::string where = "metadata page " + number_text(number);
  if (!checksum_matches(page)) return damaged(where + ": checksum");
  const PageHeader header = page_header(page);
  if (header.id != blob_.id || header.sequence != blob_.chain.size())
    return damaged(where + " does not belong here (id or sequence)");
  if (blob_.chain.size() >= limits::kVolumeChainPagesMax)
    return damaged("more than " + number_text(limits::kVolumeChainPagesMax) + " metadata pages");
  blob_.chain.push_back(number);
  TRY_SET(std::vector<Descriptor> descriptors, parse_descriptors(page));
  for (const Descriptor& descriptor : descriptors) {
    auto taken = take_descriptor(descriptor);
    if (!taken) return std::unexpected(std::move(taken.error()).within(where));
  }
  if (header.next == kNoPage) {
    ended_ = true;
    return kNoPage;
  }
  // A chain that comes back to itself ends at the sequence number.
  if (header.next >= geometry_.md_len)
    return damaged(where + ": next page " + number_text(header.next));
  return header.next;
}

Result<void> BlobReader::take_descriptor(const Descriptor& descriptor) {
  switch (descriptor.type) {
    case DescriptorType::kFlags: {
      TRY_SET(blob_.flags, parse_flags(descriptor.body));
      if (blob_.flags.invalid & ~kKnownInvalidFlags) return damaged("flags of a newer format");
      return {};
    }
    case DescriptorType::kXattr:
    case DescriptorType::kXattrInternal: return take_attribute(descriptor);
    case DescriptorType::kExtentRle: {
      TRY_SET(std::vector<Run> runs, parse_runs(descriptor.body));
      has_runs_ = true;
      runs_.insert(runs_.end(), runs.begin(), runs.end());
      break;
    }
    case DescriptorType::kExtentTable: {
      TRY_SET(ExtentTable table, parse_extent_table(descriptor.body));
      if (has_table_ && table.num_clusters != table_clusters_)
        return damaged("extent tables disagree about the size");
      has_table_ = true;
      table_clusters_ = table.num_clusters;
      table_.insert(table_.end(), table.entries.begin(), table.entries.end());
      break;
    }
    default: return {};  // an unknown descriptor is skipped when a blob is opened
  }
  if (has_table_ && has_runs_) return damaged("two kinds of extents in one volume");
  return {};
}

Result<void> BlobReader::take_attribute(const Descriptor& descriptor) {
  TRY_SET(Xattr xattr, parse_xattr(descriptor.body));
  auto& list = descriptor.type == DescriptorType::kXattr ? blob_.xattrs : blob_.internal;
  if (std::ranges::find(list, xattr.name, &Xattr::name) != list.end())
    return damaged("attribute '" + xattr.name + "' twice");
  if (list.size() >= limits::kVolumeAttributesMax)
    return damaged("more than " + number_text(limits::kVolumeAttributesMax) + " attributes");
  list.push_back(std::move(xattr));
  return {};
}

std::uint64_t BlobReader::groups_claimed() const {
  std::uint64_t clusters = table_clusters_;
  for (const Run& run : runs_) clusters += run.count;
  return clusters / kGroupClusters + 1;
}

std::vector<std::uint32_t> BlobReader::group_pages() const {
  if (map_made_) return group_pages_;
  std::vector<std::uint32_t> result;
  for (const Run& entry : table_) {
    if (entry.first != 0 && entry.first < geometry_.md_len) result.push_back(entry.first);
  }
  return result;
}

Result<void> BlobReader::finish(const std::function<ByteView(std::uint32_t)>& page_of) {
  TRY(begin_map());
  for (std::size_t group = 0; group < group_pages_.size(); ++group) {
    if (group_pages_[group] != 0) TRY(take_group(group, page_of(group_pages_[group])));
  }
  return end_map();
}

Result<void> BlobReader::begin_map() {
  CAPSTAN_ASSERT(ended_ && !map_made_);
  blob_.extent_table = has_table_;
  TRY(has_table_ ? begin_table() : begin_runs());
  map_made_ = true;
  return {};
}

Result<void> BlobReader::begin_runs() {
  std::uint64_t total = 0, mapped = 0;
  for (const Run& run : runs_) {
    total += run.count;
    if (run.first == 0) continue;
    mapped += run.count;
    if (!geometry_.is_data_cluster(run.first) || run.count > geometry_.total_clusters - run.first)
      return damaged("cluster " + number_text(run.first) + " is outside of the pool");
  }
  // A run of holes costs nothing on disk, so its length is bounded by what a blob may address.
  if (total > 0xFFFFFFFF) return damaged("a volume of " + number_text(total) + " clusters");
  if (mapped > geometry_.total_clusters) return damaged("more clusters than the pool has");
  blob_.resize(total);
  std::uint64_t index = 0;
  for (const Run& run : runs_) {
    for (std::uint32_t i = 0; run.first != 0 && i < run.count; ++i)
      blob_.set_cluster(index + i, run.first + i);
    index += run.count;
  }
  return {};
}

Result<void> BlobReader::begin_table() {
  if (table_clusters_ > 0xFFFFFFFF)
    return damaged("a volume of " + number_text(table_clusters_) + " clusters");
  const std::uint64_t wanted = (table_clusters_ + kGroupClusters - 1) / kGroupClusters;
  std::vector<std::uint32_t> pages;
  for (const Run& entry : table_) {
    if (entry.first >= geometry_.md_len || (entry.first != 0 && entry.count != 1))
      return damaged("extent table entry " + number_text(entry.first));
    if (entry.count > wanted - pages.size())
      return damaged("more extent pages than the size needs");
    pages.insert(pages.end(), entry.count, entry.first);
  }
  if (pages.size() != wanted) return damaged("fewer extent pages than the size needs");
  blob_.resize(table_clusters_);
  group_pages_ = std::move(pages);
  return {};
}

Result<void> BlobReader::take_group(std::size_t group, ByteView page) {
  const std::string where = "extent page " + number_text(group_pages_[group]);
  auto extents = decode_extent_page(page);
  if (cut_short_) {
    if (extents && extents->clusters.empty()) return {};
    return damaged(where + " follows a short one");
  }
  blob_.groups[group].page = group_pages_[group];
  if (!extents) return std::unexpected(std::move(extents.error()).within(where));
  const std::uint64_t start = std::uint64_t{group} * kGroupClusters;
  if (extents->start_cluster != start) return damaged(where + " is that of another group");
  const std::size_t want = blob_.group_clusters(group);
  std::vector<std::uint32_t>& found = extents->clusters;
  for (std::size_t i = want; i < found.size(); ++i) {
    if (found[i] != 0) blob_.excess.push_back(found[i]);
  }
  blob_.groups[group].odd = found.size() != want;
  if (found.size() < want && !blob_.thin()) {
    blob_.resize(start + found.size());
    cut_short_ = true;
    if (!found.empty()) blob_.set_group(group, std::move(found));
    return {};
  }
  found.resize(want);
  blob_.set_group(group, std::move(found));
  return {};
}

Result<void> BlobReader::end_map() {
  if (cut_short_) {
    if (blob_.groups.empty()) return damaged("a thick volume without clusters");
    // The repair of this group writes a root without the pages cut off.
    blob_.groups.back().odd = true;
  }
  return check_clusters();
}

void BlobReader::salvage(ByteView extent_page) {
  auto extents = decode_extent_page(extent_page);
  if (!extents) return;
  for (std::uint32_t cluster : extents->clusters) {
    if (geometry_.is_data_cluster(cluster)) blob_.excess.push_back(cluster);
  }
}

void BlobReader::salvage_runs() {
  for (const Run& run : runs_) {
    for (std::uint32_t i = 0; run.first != 0 && i < run.count; ++i) {
      if (!geometry_.is_data_cluster(run.first + i)) break;
      if (blob_.excess.size() >= geometry_.total_clusters) return;
      blob_.excess.push_back(run.first + i);
    }
  }
}

Result<void> BlobReader::check_clusters() const {
  Result<void> result;
  std::uint64_t mapped = 0;
  blob_.for_each_cluster([&](std::uint64_t, std::uint32_t cluster) {
    ++mapped;
    if (!geometry_.is_data_cluster(cluster) && result)
      result = damaged("cluster " + number_text(cluster) + " is outside of the pool");
  });
  if (result && !blob_.thin() && mapped != blob_.num_clusters)
    return damaged("holes in a thick volume");
  return result;
}

}  // namespace capstan::storage::lvs
