// Why this file exists: the rules of recovery (recover.h). Two of them matter most: a discarded
// blob's clusters are not freed one by one (their owner is whoever still names them), and a map is
// repaired on disk before the marker that explains the repair is removed.
#include "storage/pool/recover.h"

#include <algorithm>
#include <set>

#include "base/limits.h"

namespace capstan::storage::lvs {
namespace {

std::string hex(std::uint64_t id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[id % 16]);
    id /= 16;
  } while (id != 0);
  return "0x" + text;
}

void raise(BlobEntry& entry, Rewrite when) {
  if (entry.rewrite == Rewrite::kNone || when == Rewrite::kFirst) entry.rewrite = when;
}

BlobEntry* usable(StoreImage& image, std::uint64_t id) {
  auto found = image.blobs.find(id);
  return found == image.blobs.end() || !found->second.fault.empty() ? nullptr : &found->second;
}

void discard(StoreImage& image, std::uint64_t id, const std::string& why) {
  BlobEntry& entry = image.blobs.at(id);
  image.dead_roots.push_back(entry.blob.root_page());
  image.discarded_pages.insert(image.discarded_pages.end(), entry.disk_pages.begin(),
                               entry.disk_pages.end());
  image.restored.erase(entry.blob.root_page());
  image.notes.push_back("blob " + hex(id) + " discarded: " + why);
  image.blobs.erase(id);
}

// `snapshot` carries a marker naming `child`, and the child does have it as its parent: keep it.
void keep_snapshot(StoreImage& image, BlobEntry& snapshot, BlobEntry& child) {
  std::vector<std::uint64_t> shared;
  child.blob.for_each_cluster([&](std::uint64_t index, std::uint32_t cluster) {
    if (index < snapshot.blob.num_clusters && cluster == snapshot.blob.cluster_at(index))
      shared.push_back(index);
  });
  for (const std::uint64_t index : shared) {
    child.blob.set_cluster(index, 0);
    child.blob.groups[index / kGroupClusters].odd = true;
  }
  if (!shared.empty()) raise(child, Rewrite::kFirst);
  snapshot.blob.drop_internal("SNAPRM");
  snapshot.blob.drop_internal("SNAPTMP");
  snapshot.blob.flags.data_ro |= kFlagReadOnly;
  raise(snapshot, Rewrite::kSecond);
  snapshot.depends_on = child.blob.id;
  image.notes.push_back("blob " + hex(snapshot.blob.id) + " kept as snapshot of " +
                        hex(child.blob.id) + " (" + std::to_string(shared.size()) +
                        " shared clusters dropped)");
}

void resolve_snapshot(StoreImage& image, std::uint64_t id) {
  BlobEntry& snapshot = image.blobs.at(id);
  auto target = snapshot.blob.internal_xattr("SNAPRM") ? snapshot.blob.reference("SNAPRM")
                                                       : snapshot.blob.reference("SNAPTMP");
  if (!target) {
    snapshot.fault = "marker of an interrupted operation is malformed";
    return;
  }
  BlobEntry* child = usable(image, *target);
  if (!child || *target == id)
    snapshot.fault = "interrupted snapshot operation, and blob " + hex(*target) + " cannot be read";
  else if (child->blob.parent() == id)
    keep_snapshot(image, snapshot, *child);
  else
    discard(image, id, "interrupted snapshot operation of blob " + hex(*target));
}

// Someone else wrote to a volume whose snapshot had not been committed: keep both, under two names.
void separate(StoreImage& image, BlobEntry& base, BlobEntry& top) {
  const std::string old_name = base.blob.name();
  std::string name = "recovered-" + hex(base.blob.id).substr(2) + "-" + old_name;
  name.resize(std::min(name.size(), limits::kReplicaNameBytesMax));
  base.blob.set_xattr("name", padded_name(name));
  base.blob.set_xattr("uuid", uuid_value(Uuid::from_name("recovered:" + base.blob.uuid().text())));
  base.blob.flags.data_ro |= kFlagReadOnly;
  raise(base, Rewrite::kFirst);
  top.blob.drop_internal("SWAPTMP");
  raise(top, Rewrite::kSecond);
  top.depends_on = base.blob.id;
  image.notes.push_back("blob " + hex(base.blob.id) + " ('" + old_name + "') kept read-only as '" +
                        name + "': another program wrote to its unfinished successor");
}

void resolve_swap(StoreImage& image, std::uint64_t id) {
  BlobEntry& top = image.blobs.at(id);
  auto source = top.blob.reference("SWAPTMP");
  BlobEntry* base = source ? usable(image, *source) : nullptr;
  if (!base || top.blob.parent() != source || base->blob.read_only()) {
    top.blob.drop_internal("SWAPTMP");
    raise(top, Rewrite::kSecond);
  } else if (top.blob.allocated() == 0) {
    discard(image, id, "snapshot of blob " + hex(*source) + " was not committed");
  } else {
    separate(image, *base, top);
  }
}

// Every number that two usable blobs name, as (bitmap of doubles).
template <class ForEach>
Bitmap doubles(StoreImage& image, std::uint64_t size, ForEach for_each) {
  Bitmap seen(size), twice(size);
  for (auto& [id, entry] : image.blobs) {
    if (!entry.fault.empty()) continue;
    for_each(entry, [&](std::uint32_t number) {
      seen.test(number) ? twice.set(number) : seen.set(number);
    });
  }
  return twice;
}

void find_cross_links(StoreImage& image) {
  auto each_cluster = [](BlobEntry& entry, auto visit) {
    entry.blob.for_each_cluster([&](std::uint64_t, std::uint32_t cluster) { visit(cluster); });
  };
  auto each_page = [](BlobEntry& entry, auto visit) {
    for (std::uint32_t page : entry.blob.pages()) visit(page);
  };
  const Bitmap clusters = doubles(image, image.geometry.total_clusters, each_cluster);
  const Bitmap pages = doubles(image, image.geometry.md_len, each_page);
  if (clusters.count() + pages.count() == 0) return;
  for (auto& [id, entry] : image.blobs) {
    if (!entry.fault.empty()) continue;
    std::string reason;
    each_cluster(entry, [&](std::uint32_t cluster) {
      if (clusters.test(cluster) && reason.empty())
        reason = "cluster " + std::to_string(cluster) + " has two owners";
    });
    each_page(entry, [&](std::uint32_t page) {
      if (pages.test(page) && reason.empty())
        reason = "metadata page " + std::to_string(page) + " has two owners";
    });
    entry.fault = reason;
  }
}

// For each blob, why its ancestors make it unusable; empty when they do not. Every blob is looked
// at once, however its parents are connected.
class Ancestors {
 public:
  explicit Ancestors(StoreImage& image) : image_(image) {}
  const std::string& fault_of(std::uint64_t id) {
    std::vector<std::uint64_t> walk;  // the volumes up from `id` that are not judged yet
    Verdict verdict;
    for (std::uint64_t at = id;;) {
      auto [place, fresh] = verdicts_.try_emplace(at);
      if (!fresh) {
        verdict = place->second;
        if (!verdict.known) verdict = {too_deep(), 0, true};  // a circle
        break;
      }
      walk.push_back(at);
      auto next = step(image_.blobs.at(at), verdict);
      if (!next) break;
      at = *next;
    }
    verdict.known = true;
    for (; !walk.empty(); walk.pop_back()) {
      if (verdict.fault.empty() && verdict.depth >= limits::kReplicaChainDepthMax)
        verdict.fault = too_deep();
      ++verdict.depth;
      verdicts_[walk.back()] = verdict;
    }
    return verdicts_[id].fault;
  }

 private:
  struct Verdict {
    std::string fault;
    std::size_t depth = 0;
    bool known = false;
  };
  static std::string too_deep() {
    return "more than " + std::to_string(limits::kReplicaChainDepthMax) + " snapshots below it";
  }
  // The parent to look at next, or the verdict in which the walk ends.
  std::optional<std::uint64_t> step(const BlobEntry& entry, Verdict& verdict) const {
    if (entry.blob.external()) {
      const std::string* value = entry.blob.internal_xattr("EXTSNAP");
      const std::string base = value ? value->substr(0, value->find('\0')) : "?";
      verdict.fault = "based on external snapshot " + base + ", which is not supported";
      return std::nullopt;
    }
    auto parent = entry.blob.parent();
    if (!parent) return std::nullopt;
    auto found = image_.blobs.find(*parent);
    if (found == image_.blobs.end())
      verdict.fault = "its parent, blob " + hex(*parent) + ", is missing";
    else if (found->second.unreadable)
      verdict.fault = "its parent, blob " + hex(*parent) + ": " + found->second.fault;
    else
      return parent;
    return std::nullopt;
  }

  StoreImage& image_;
  std::map<std::uint64_t, Verdict> verdicts_;
};

// Whatever stands on a faulted blob is suspect as well, unless only its name is wrong (`data`
// false). A repair that cannot be done leaves the marker that explains it.
void spread_faults(StoreImage& image, bool data) {
  std::multimap<std::uint64_t, std::uint64_t> children;
  std::vector<std::uint64_t> faulted;
  for (const auto& [id, entry] : image.blobs) {
    if (auto parent = entry.blob.parent(); parent && data) children.emplace(*parent, id);
    if (entry.depends_on) children.emplace(*entry.depends_on, id);
    if (!entry.fault.empty()) faulted.push_back(id);
  }
  while (!faulted.empty()) {
    const std::uint64_t id = faulted.back();
    faulted.pop_back();
    for (auto [at, end] = children.equal_range(id); at != end; ++at) {
      BlobEntry& above = image.blobs.at(at->second);
      if (!above.fault.empty()) continue;
      above.fault = above.depends_on == id ? "an interrupted operation cannot be finished: blob "
                                           : "its parent, blob ";
      above.fault += hex(id) + ": " + image.blobs.at(id).fault;
      faulted.push_back(at->second);
    }
  }
}

void find_names_used_twice(StoreImage& image) {
  std::set<std::string> names;
  std::set<Uuid> uuids;
  for (auto& [id, entry] : image.blobs) {
    if (!entry.fault.empty() || id == image.super.super_blob) continue;
    if (entry.blob.name().empty())
      entry.fault = "it has no name";
    else if (!names.insert(entry.blob.name()).second)
      entry.fault = "another volume has the same name";
    else if (!entry.blob.uuid().is_nil() && !uuids.insert(entry.blob.uuid()).second)
      entry.fault = "another volume has the same uuid";
  }
}

}  // namespace

void resolve_interrupted(StoreImage& image) {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, entry] : image.blobs) ids.push_back(id);
  for (std::uint64_t id : ids) {
    BlobEntry* entry = usable(image, id);
    if (!entry || id == image.super.super_blob) continue;
    if (entry->blob.internal_xattr("SWAPTMP"))
      resolve_swap(image, id);
    else if (entry->blob.internal_xattr("SNAPRM") || entry->blob.internal_xattr("SNAPTMP"))
      resolve_snapshot(image, id);
  }
  for (auto& [id, entry] : image.blobs) {
    if (entry.fault.empty() && entry.blob.has_odd_groups()) raise(entry, Rewrite::kFirst);
  }
}

void find_faults(StoreImage& image) {
  find_cross_links(image);
  Ancestors ancestors(image);
  for (auto& [id, entry] : image.blobs) {
    if (entry.fault.empty()) entry.fault = ancestors.fault_of(id);
  }
  spread_faults(image, true);
  find_names_used_twice(image);
  spread_faults(image, false);
  for (auto& [id, entry] : image.blobs) {
    if (!entry.fault.empty()) entry.rewrite = Rewrite::kNone;
  }
}

}  // namespace capstan::storage::lvs
