// Why this file exists: the start of a Store: taking over what a load found, what is used, the
// first change of a session (super block, repairs), barriers and reservations. The order of the
// repairs is explained at repair(). When it may be used at all is store_health.cc.
#include "storage/pool/store.h"

#include <cerrno>

#include "base/limits.h"

namespace capstan::storage::lvs {

Store::Store(std::shared_ptr<Device> device, StoreImage image, bool release_on_unmap)
    : device_(std::move(device)),
      release_on_unmap_(release_on_unmap),
      watch_([this] { note_stall(); }),
      barrier_(*device_, watch_) {
  adopt(std::move(image));
}

void Store::adopt(StoreImage image) {
  name_ = std::move(image.name);
  uuid_ = image.uuid;
  super_ = std::move(image.super);
  geometry_ = image.geometry;
  disk_dirty_ = super_.clean == 0 && !image.super_torn;
  recovered_ = image.dirty;
  restored_ = std::move(image.restored);
  shadow_pages_ = std::move(image.shadow_pages);
  dead_roots_ = std::move(image.dead_roots);
  reserved_pages_ = std::move(image.discarded_pages);
  if (image.damaged != 0) {
    mask_pages_ = std::move(image.mask_pages);
    mask_clusters_ = std::move(image.mask_clusters);
  }
  notes_ = std::move(image.notes);
  for (auto& [id, entry] : image.blobs) {
    auto volume = std::make_shared<Volume>();
    volume->blob = std::move(entry.blob);
    volume->fault = std::move(entry.fault);
    volume->unreadable = entry.unreadable;
    volume->disk_pages = std::move(entry.disk_pages);
    if (entry.rewrite != Rewrite::kNone) rewrites_[id] = entry.rewrite;
    if (id == super_.super_blob)
      super_volume_ = std::move(volume);
    else
      volumes_[id] = std::move(volume);
  }
  link_parents();
  rebuild_allocator();
}

// Damaged metadata may have made a circle: its last edge is left out, or it could never be taken
// apart again.
void Store::link_parents() {
  std::map<std::uint64_t, std::uint64_t> walks;  // volume → the walk up that came by first
  for (auto& [start, unused] : volumes_) {
    for (std::uint64_t id = start;;) {
      if (!walks.emplace(id, start).second) break;
      Volume& volume = *volumes_.at(id);
      auto parent = volume.blob.parent();
      auto found = parent ? volumes_.find(*parent) : volumes_.end();
      if (found == volumes_.end()) break;
      auto seen = walks.find(*parent);
      if (seen != walks.end() && seen->second == start) break;
      volume.parent = found->second;
      ++found->second->clones;
      id = *parent;
    }
  }
}

// Used is what something names: volumes, what they still name on disk until the repairs are
// written, and, when a clean pool has unreadable volumes, what its masks say.
void Store::rebuild_allocator() {
  allocator_ = Allocator(geometry_);
  Named named{Bitmap(geometry_.md_len), Bitmap(geometry_.total_clusters)};
  if (super_volume_) collect(*super_volume_, named);
  for (auto& [id, volume] : volumes_) collect(*volume, named);
  allocator_.pages().merge(named.pages);
  allocator_.clusters().merge(named.clusters);
  for (std::uint32_t page : reserved_pages_) allocator_.pages().set(page);
  for (std::uint32_t page : shadow_pages_) allocator_.pages().set(page);
  if (mask_pages_ && mask_clusters_) {
    unexplained_ = Named{*mask_pages_, *mask_clusters_};
    unexplained_->pages.subtract(allocator_.pages());
    unexplained_->clusters.subtract(allocator_.clusters());
    allocator_.pages().merge(unexplained_->pages);
    allocator_.clusters().merge(unexplained_->clusters);
  }
  hold_damaged();
}

void Store::collect(const Volume& volume, Named& into) const {
  auto use = [&](std::uint64_t, std::uint32_t cluster) {
    if (geometry_.is_data_cluster(cluster)) into.clusters.set(cluster);
  };
  for (std::uint32_t page : volume.blob.pages()) into.pages.set(page);
  for (std::uint32_t page : volume.disk_pages) into.pages.set(page);
  volume.blob.for_each_cluster(use);
  for (std::uint32_t cluster : volume.blob.excess) use(0, cluster);
}

void Store::hold_damaged() {
  held_.reset();
  for (auto& [id, volume] : volumes_) {
    if (volume->fault.empty()) continue;
    if (!held_) held_ = Named{Bitmap(geometry_.md_len), Bitmap(geometry_.total_clusters)};
    collect(*volume, *held_);
  }
}

bool Store::held(std::uint32_t cluster) const {
  return held_ && held_->clusters.test(cluster);
}

core::Task<Result<void>> Store::barrier() {
  auto passed = co_await barrier_.pass();
  if (!passed) co_return std::unexpected(record_fault(std::move(passed.error())));
  co_return Result<void>{};
}

core::Task<Result<std::uint32_t>> Store::take_page(bool root) {
  auto take = [&] { return root ? allocator_.take_root_page() : allocator_.take_page(); };
  auto page = take();
  if (!page && barrier_.has_actions()) {  // pages that wait to become free
    CO_TRY(co_await barrier());
    page = take();
  }
  if (page) co_return *page;
  co_return fail(Code::kResourceExhausted,
                 "pool '" + name_ +
                     "' is out of metadata pages: delete replicas, or create the "
                     "pool with a larger metadata reservation",
                 EMFILE);
}

Result<std::uint32_t> Store::take_cluster() {
  auto cluster = allocator_.take_cluster();
  if (cluster) return *cluster;
  return fail(Code::kResourceExhausted,
              "pool '" + name_ + "' has no free cluster: delete replicas or data", ENOSPC);
}

void Store::retire_pages(std::vector<std::uint32_t> pages) {
  if (held_) std::erase_if(pages, [&](auto page) { return held_->pages.test(page); });
  if (pages.empty()) return;
  barrier_.after([this, pages = std::move(pages)] {
    for (std::uint32_t page : pages) allocator_.free_page(page);
  });
}

core::Task<Result<void>> Store::write_super() {
  // A torn write leaves `clean` or the checksum old, which a load repairs (section 11.1).
  const Page page = encode_super(super_);
  const RequestWatch::Entry watched(watch_);
  auto written = co_await device_->write(0, page);
  if (!written) co_return std::unexpected(record_fault(std::move(written.error())));
  co_return Result<void>{};
}

core::Task<Result<void>> Store::begin_change() {
  CO_TRY(check_writable());
  if (changing_) co_return Result<void>{};
  core::Mutex::Guard guard = co_await change_mutex_.lock();
  CO_TRY(check_writable());
  if (changing_) co_return Result<void>{};
  if (!disk_dirty_) {
    super_.clean = 0;
    CO_TRY(co_await write_super());
  }
  // Also when it was dirty before: a killed process may have left in a cache what the load has
  // seen, "not unloaded" or a volume that is gone, and this session builds upon it.
  CO_TRY(co_await barrier());
  disk_dirty_ = true;
  CO_TRY(co_await repair());
  changing_ = true;
  co_return Result<void>{};
}

// 1. Roots whose shadows won are put in place, then no shadow may stay behind. 2. Maps that
// recovery corrected, and whatever else does not depend on a marker. 3. Markers and dead roots:
// what explained step 2 to a later load must outlive it. A crash anywhere in between leads here
// again.
core::Task<Result<void>> Store::repair() {
  CO_TRY(co_await repair_shadows());
  CO_TRY(co_await repair_blobs(Rewrite::kFirst));
  CO_TRY(co_await repair_blobs(Rewrite::kSecond));
  for (std::uint32_t root : dead_roots_) CO_TRY(co_await erase_root(root));
  if (!dead_roots_.empty() || !rewrites_.empty()) CO_TRY(co_await barrier());
  dead_roots_.clear();
  reserved_pages_.clear();
  rewrites_.clear();
  forget_disk_pages();
  CAPSTAN_ASSERT(!barrier_.has_actions());  // they would free pages of the old bookkeeping
  rebuild_allocator();
  co_return Result<void>{};
}

// From here on the volumes say themselves what the disk names: the list of the load would grow old
// with their first change, and deleting a volume would free pages that belong to others by then.
void Store::forget_disk_pages() {
  for (auto& [id, volume] : volumes_) {
    if (!volume->fault.empty()) continue;
    volume->disk_pages.clear();
    volume->blob.excess.clear();
  }
  if (super_volume_) super_volume_->disk_pages.clear();
}

core::Task<Result<void>> Store::repair_shadows() {
  if (restored_.empty() && shadow_pages_.empty()) co_return Result<void>{};
  std::vector<std::pair<std::uint32_t, Page>> roots(restored_.begin(), restored_.end());
  CO_TRY(co_await write_pages(std::move(roots)));
  CO_TRY(co_await barrier());
  for (std::size_t at = 0; at < shadow_pages_.size();) {
    std::vector<std::pair<std::uint32_t, Page>> zeros;
    for (; at < shadow_pages_.size() && zeros.size() < limits::kPoolLoadReadsInFlight; ++at)
      zeros.emplace_back(shadow_pages_[at], Page{});
    CO_TRY(co_await write_pages(std::move(zeros)));
  }
  CO_TRY(co_await barrier());
  restored_.clear();
  shadow_pages_.clear();
  co_return Result<void>{};
}

core::Task<Result<void>> Store::repair_blobs(Rewrite when) {
  bool any = false;
  for (auto& [id, rewrite] : rewrites_) {
    if (rewrite != when) continue;
    Volume& volume = id == super_.super_blob ? *super_volume_ : *volumes_.at(id);
    BlobEdit edit;
    for (std::size_t group = 0; group < volume.blob.groups.size(); ++group) {
      if (volume.blob.groups[group].odd && volume.blob.extent_table)
        edit.copy_groups.push_back(group);
    }
    CO_TRY(co_await commit(volume, std::move(edit)));
    any = true;
  }
  if (any) CO_TRY(co_await barrier());
  co_return Result<void>{};
}

}  // namespace capstan::storage::lvs
