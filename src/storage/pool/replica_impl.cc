// Why this file exists: what a replica says about itself (replica_impl.h): attributes, its place
// among snapshots and clones, space. The figures follow io-engine-behaviour section 8.3.
#include "storage/pool/replica_impl.h"

namespace capstan::storage::lvs {

ReplicaImpl::ReplicaImpl(std::shared_ptr<Store> store, std::shared_ptr<Volume> volume)
    : store_(std::move(store)),
      volume_(std::move(volume)),
      name_(volume_->blob.name()),
      uuid_(volume_->blob.uuid()) {}

std::uint64_t ReplicaImpl::num_blocks() const {
  return volume_->clusters() * store_->geometry().cluster_size / block_size();
}

std::optional<std::string> ReplicaImpl::attribute(std::string_view key) const {
  const std::string* value = volume_->blob.xattr(key);
  if (!value) return std::nullopt;
  const std::size_t last = value->find_last_not_of('\0');
  if (last == std::string::npos) return std::nullopt;
  return value->substr(0, last + 1);
}

std::map<std::string, std::string> ReplicaImpl::attributes() const {
  std::map<std::string, std::string> result;
  for (const Xattr& xattr : volume_->blob.xattrs) result[xattr.name] = xattr.value;
  return result;
}

std::shared_ptr<Volume> ReplicaImpl::find_volume(std::string_view uuid_text) const {
  auto uuid = Uuid::parse(uuid_text);
  if (!uuid || uuid->is_nil()) return nullptr;
  for (const auto& [id, volume] : store_->volumes()) {
    if (volume->blob.uuid() == *uuid) return volume;
  }
  return nullptr;
}

bool ReplicaImpl::is_snapshot() const {
  return attribute("io-engine.snapshot_create_time").has_value();
}

bool ReplicaImpl::is_clone() const {
  auto source = attribute("io-engine.source_uuid");
  return source && find_volume(*source);
}

ReplicaUsage ReplicaImpl::usage() const {
  const std::uint64_t cluster = store_->geometry().cluster_size;
  ReplicaUsage usage;
  usage.cluster_size = cluster;
  usage.num_clusters = volume_->blob.num_clusters;
  usage.capacity_bytes = usage.num_clusters * cluster;
  usage.num_allocated_clusters = volume_->blob.allocated();
  usage.allocated_bytes = usage.num_allocated_clusters * cluster;

  // The snapshot that the clone in this line was made from: the clone is this replica, or the one
  // that this snapshot was taken of.
  std::shared_ptr<Volume> clone = is_clone() ? volume_ : nullptr;
  if (auto taken_of = attribute("io-engine.parent_id"); !clone && is_snapshot() && taken_of)
    clone = find_volume(*taken_of);
  std::shared_ptr<Volume> origin;
  if (clone && clone->blob.xattr("io-engine.source_uuid"))
    origin = find_volume(clone->blob.text("io-engine.source_uuid"));

  bool inside_clone = origin != nullptr;
  std::uint64_t within = 0;
  for (const Volume* at = volume_->parent.get(); at; at = at->parent.get()) {
    if (at == origin.get()) inside_clone = false;
    const std::uint64_t owned = at->blob.allocated();
    usage.num_allocated_clusters_snapshots += owned;
    if (inside_clone) within += owned;
  }
  usage.allocated_bytes_snapshots = usage.num_allocated_clusters_snapshots * cluster;
  if (origin) usage.allocated_bytes_snapshot_from_clone = within * cluster;
  return usage;
}

}  // namespace capstan::storage::lvs
