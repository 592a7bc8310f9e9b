// Why this file exists: the blob in memory (blob.h): its map, its attributes, and how both are
// written out as descriptors. Reading one from its pages is blob_reader.cc.
#include "storage/pool/blob.h"

#include <algorithm>

#include "base/assert.h"

namespace capstan::storage::lvs {
namespace {

const std::string* find_value(const std::vector<Xattr>& list, std::string_view name) {
  auto found = std::ranges::find(list, name, &Xattr::name);
  return found == list.end() ? nullptr : &found->value;
}

// Groups as extent table entries: runs of groups without page are merged.
std::vector<Run> table_entries(const Blob& blob) {
  std::vector<Run> entries;
  for (const ExtentGroup& group : blob.groups) {
    if (group.page == 0 && !entries.empty() && entries.back().first == 0)
      ++entries.back().count;
    else
      entries.push_back({group.page, 1});
  }
  return entries;
}

// Groups without storage are one step each: there may be millions.
std::vector<Run> cluster_runs(const Blob& blob) {
  std::vector<Run> runs;
  const auto add = [&runs](std::uint32_t cluster, std::uint32_t count) {
    bool joins =
        !runs.empty() &&
        (cluster == 0 ? runs.back().first == 0
                      : runs.back().first != 0 && runs.back().first + runs.back().count == cluster);
    if (joins)
      runs.back().count += count;
    else
      runs.push_back({cluster, count});
  };
  for (std::size_t group = 0; group < blob.groups.size(); ++group) {
    if (blob.groups[group].clusters.empty()) add(0, blob.group_clusters(group));
    for (const std::uint32_t cluster : blob.groups[group].clusters) add(cluster, 1);
  }
  return runs;
}

}  // namespace

void Blob::resize(std::uint64_t clusters) {
  num_clusters = clusters;
  groups.resize((clusters + kGroupClusters - 1) / kGroupClusters);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].clusters.empty() || groups[i].clusters.size() == group_clusters(i)) continue;
    groups[i].clusters.resize(group_clusters(i));
    set_group(i, std::move(groups[i].clusters));
  }
}

std::uint32_t Blob::group_clusters(std::size_t group) const {
  std::uint64_t start = std::uint64_t{group} * kGroupClusters;
  CAPSTAN_ASSERT(start < num_clusters);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(kGroupClusters, num_clusters - start));
}

std::uint32_t Blob::cluster_at(std::uint64_t index) const {
  CAPSTAN_ASSERT(index < num_clusters);
  const ExtentGroup& group = groups[index / kGroupClusters];
  return group.clusters.empty() ? 0 : group.clusters[index % kGroupClusters];
}

void Blob::set_cluster(std::uint64_t index, std::uint32_t cluster) {
  CAPSTAN_ASSERT(index < num_clusters);
  ExtentGroup& group = groups[index / kGroupClusters];
  if (group.clusters.empty()) {
    if (cluster == 0) return;
    group.clusters.resize(group_clusters(index / kGroupClusters));
  }
  std::uint32_t& entry = group.clusters[index % kGroupClusters];
  group.mapped += (cluster != 0 ? 1U : 0U) - (entry != 0 ? 1U : 0U);
  entry = cluster;
}

void Blob::set_group(std::size_t group, std::vector<std::uint32_t> clusters) {
  CAPSTAN_ASSERT(clusters.empty() || clusters.size() == group_clusters(group));
  const auto holes = static_cast<std::size_t>(std::ranges::count(clusters, 0U));
  groups[group].mapped = static_cast<std::uint32_t>(clusters.size() - holes);
  groups[group].clusters = std::move(clusters);
}

std::uint64_t Blob::allocated() const {
  std::uint64_t count = 0;
  for (const ExtentGroup& group : groups) count += group.mapped;
  return count;
}

bool Blob::has_odd_groups() const {
  return std::ranges::any_of(groups, &ExtentGroup::odd);
}

const std::string* Blob::xattr(std::string_view name) const {
  return find_value(xattrs, name);
}
const std::string* Blob::internal_xattr(std::string_view name) const {
  return find_value(internal, name);
}

void Blob::set_xattr(std::string_view name, std::string value) {
  auto found = std::ranges::find(xattrs, name, &Xattr::name);
  if (found != xattrs.end())
    found->value = std::move(value);
  else
    xattrs.push_back({std::string(name), std::move(value)});
}

void Blob::drop_internal(std::string_view name) {
  std::erase_if(internal, [&](const Xattr& xattr) { return xattr.name == name; });
}

std::optional<std::uint64_t> Blob::reference(std::string_view name) const {
  const std::string* value = internal_xattr(name);
  if (!value || value->size() != 8) return std::nullopt;
  return load_le<std::uint64_t>(as_bytes(*value).data());
}

std::optional<std::uint64_t> Blob::parent() const {
  return thin() && !external() ? reference("SNAP") : std::nullopt;
}

std::string Blob::text(std::string_view name) const {
  const std::string* value = xattr(name);
  return value ? value->substr(0, value->find('\0')) : std::string();
}

Uuid Blob::uuid() const {
  const std::string* value = xattr("uuid");
  if (!value || value->size() < 36) return {};
  return Uuid::parse(text("uuid")).value_or(Uuid{});
}

void Blob::for_each_cluster(
    const std::function<void(std::uint64_t index, std::uint32_t)>& visit) const {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = 0; j < groups[i].clusters.size(); ++j) {
      if (groups[i].clusters[j] != 0) visit(i * kGroupClusters + j, groups[i].clusters[j]);
    }
  }
}

std::vector<std::uint32_t> Blob::pages() const {
  std::vector<std::uint32_t> result = chain;
  for (const ExtentGroup& group : groups) {
    if (group.page != 0) result.push_back(group.page);
  }
  return result;
}

std::string padded_name(std::string_view name) {
  CAPSTAN_ASSERT(name.size() < 64);
  std::string value(name);
  value.resize(64);
  return value;
}

std::string uuid_value(const Uuid& uuid) {
  std::string value = uuid.text();
  value.push_back('\0');
  return value;
}

ChainWriter encode_chain(const Blob& blob) {
  ChainWriter writer;
  writer.add_flags(blob.flags);
  for (const Xattr& xattr : blob.xattrs)
    CAPSTAN_ASSERT(writer.add_xattr(DescriptorType::kXattr, xattr));
  for (const Xattr& xattr : blob.internal)
    CAPSTAN_ASSERT(writer.add_xattr(DescriptorType::kXattrInternal, xattr));
  if (blob.extent_table)
    writer.add_extent_table({blob.num_clusters, table_entries(blob)});
  else
    writer.add_runs(cluster_runs(blob));
  return writer;
}

Page encode_group(const Blob& blob, std::size_t group) {
  const std::vector<std::uint32_t>& clusters = blob.groups[group].clusters;
  const auto start = static_cast<std::uint32_t>(group * kGroupClusters);
  if (!clusters.empty()) return encode_extent_page(blob.id, start, clusters);
  return encode_extent_page(blob.id, start, std::vector<std::uint32_t>(blob.group_clusters(group)));
}

}  // namespace capstan::storage::lvs
