// Why this file exists: changes of a volume's map, the hot path of metadata. All requests of one
// volume that wait at the same moment become one batch: one barrier for their contents, one new
// version of each extent page, at most one root (lvs-format section 14.4).
#include <map>

#include "storage/pool/store.h"

namespace capstan::storage::lvs {
namespace {

void finish(MapRequest& request, Result<void> result) {
  request.result = std::move(result);
  request.done = true;
}

Result<void> copy_of(const Result<void>& result) {
  if (result) return {};
  return std::unexpected(result.error());
}

}  // namespace

std::optional<Store::Source> Store::find_source(const Volume& volume, std::uint64_t index) {
  if (std::uint32_t own = volume.blob.cluster_at(index)) return Source{own, true};
  for (const Volume* at = volume.parent.get(); at; at = at->parent.get()) {
    if (index >= at->blob.num_clusters) return std::nullopt;  // a short ancestor ends the search
    if (std::uint32_t cluster = at->blob.cluster_at(index)) return Source{cluster, false};
  }
  return std::nullopt;
}

core::Task<Result<bool>> Store::change_map(Volume& volume, std::uint64_t index,
                                           std::uint32_t cluster) {
  MapRequest request{index, cluster, {}, false, false};
  volume.map_queue.push_back(&request);
  while (!request.done) {
    if (volume.map_running) {
      co_await volume.map_changed.wait();
      continue;
    }
    volume.map_running = true;
    co_await run_map_batch(volume);
    volume.map_running = false;
    volume.map_changed.notify_all();
  }
  CO_TRY(std::move(request.result));
  co_return request.gives_back;
}

core::Task<void> Store::run_map_batch(Volume& volume) {
  core::Mutex::Guard guard = co_await volume.meta.lock();
  std::map<std::size_t, std::vector<MapRequest*>> in_place;
  std::vector<MapRequest*> through_root;
  std::vector<std::uint32_t> before;
  BlobEdit edit;
  bool adds = false;
  for (MapRequest* request : std::exchange(volume.map_queue, {})) {
    const std::size_t group = request->index / kGroupClusters;
    const ExtentGroup& extents = volume.blob.groups[group];
    adds |= request->cluster != 0;
    if (volume.blob.extent_table && extents.page != 0 && !extents.odd && device_->atomic_4k()) {
      in_place[group].push_back(request);
      continue;
    }
    through_root.push_back(request);
    before.push_back(volume.blob.cluster_at(request->index));
    edit.map.push_back({request->index, request->cluster});
    if (volume.blob.extent_table) edit.copy_groups.push_back(group);
  }
  Result<void> ready = check_writable();
  if (!through_root.empty()) {
    std::ranges::sort(edit.copy_groups);
    auto repeated = std::ranges::unique(edit.copy_groups);
    edit.copy_groups.erase(repeated.begin(), repeated.end());
    Result<void> committed = copy_of(ready);
    if (ready) committed = co_await commit(volume, std::move(edit));
    for (std::size_t i = 0; i < through_root.size(); ++i) {
      through_root[i]->gives_back = before[i] != 0 && !held(before[i]);
      finish(*through_root[i], copy_of(committed));
    }
    // The barrier inside of commit() came before its root, so it covers these contents too; without
    // a root the contents still need one of their own.
    if (!committed && !fault_) ready = co_await barrier();
  } else if (ready && adds) {
    ready = co_await barrier();
  }
  for (auto& [group, requests] : in_place) {
    Result<void> written = fault_ ? check_writable() : copy_of(ready);
    if (written) written = co_await write_group_in_place(volume, group, requests);
    for (MapRequest* request : requests) finish(*request, copy_of(written));
  }
}

// One write of one page is the whole change: no barrier after it.
core::Task<Result<void>> Store::write_group_in_place(Volume& volume, std::size_t group,
                                                     const std::vector<MapRequest*>& requests) {
  Blob& blob = volume.blob;
  std::vector<std::uint32_t> clusters = blob.groups[group].clusters;
  clusters.resize(blob.group_clusters(group));
  for (const MapRequest* request : requests)
    clusters[request->index % kGroupClusters] = request->cluster;
  Page page =
      encode_extent_page(blob.id, static_cast<std::uint32_t>(group * kGroupClusters), clusters);
  std::vector<std::pair<std::uint32_t, Page>> writes{{blob.groups[group].page, page}};
  CO_TRY(co_await write_pages(std::move(writes)));
  for (MapRequest* request : requests) {
    const std::uint32_t before = blob.cluster_at(request->index);
    request->gives_back = before != 0 && !held(before);
    blob.set_cluster(request->index, request->cluster);
  }
  co_return Result<void>{};
}

}  // namespace capstan::storage::lvs
