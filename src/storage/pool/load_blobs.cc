// Why this file exists: see load_blobs.h. Blobs are read in batches: their chains level by level
// (all roots, all second pages, …), then all their extent pages in windows of neighbouring pages.
#include "storage/pool/load_blobs.h"

#include <algorithm>

#include "base/limits.h"
#include "core/reactor.h"

namespace capstan::storage::lvs {
namespace {

// A blob on its way. Once it has a fault its pages are only salvaged.
struct Pending {
  BlobReader reader;
  std::uint32_t next;
  std::string fault = {};
  std::vector<std::uint32_t> pages = {};  // every page that the disk names for it
};
struct ExtentRead {
  std::size_t item, group;
  std::uint32_t page;
};

core::Task<Result<void>> read_chains(PageSource& source, std::vector<Pending>& batch) {
  for (;;) {
    std::vector<std::uint32_t> wanted;
    for (const Pending& item : batch) {
      if (item.fault.empty() && item.next != kNoPage) wanted.push_back(item.next);
    }
    if (wanted.empty()) co_return Result<void>{};
    source.trim();
    CO_TRY(co_await source.prefetch(std::move(wanted)));
    for (Pending& item : batch) {
      if (!item.fault.empty() || item.next == kNoPage) continue;
      item.pages.push_back(item.next);  // also when it is not what it should be
      auto next = item.reader.take(item.next, source.page(item.next));
      if (next)
        item.next = *next;
      else
        item.fault = next.error().text();
    }
  }
}

// Makes the maps for which there is room and lists the extent pages, also those of damaged blobs.
std::vector<ExtentRead> begin_maps(StoreImage& image, std::vector<Pending>& batch) {
  std::vector<ExtentRead> reads;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Pending& item = batch[i];
    if (item.fault.empty()) {
      const std::uint64_t groups = item.reader.groups_claimed();
      if (groups > limits::kPoolMapGroupsMax - image.map_groups) {
        item.fault = "it claims " + std::to_string(groups) +
                     " groups of 512 clusters: the volumes of one pool may have " +
                     std::to_string(limits::kPoolMapGroupsMax) + " together";
      } else if (auto begun = item.reader.begin_map(); begun) {
        image.map_groups += groups;
      } else {
        item.fault = begun.error().text();
      }
    }
    const std::vector<std::uint32_t> pages = item.reader.group_pages();
    for (std::size_t group = 0; group < pages.size(); ++group) {
      if (pages[group] == 0) continue;
      reads.push_back({i, group, pages[group]});
      item.pages.push_back(pages[group]);
    }
  }
  return reads;
}

core::Task<Result<void>> read_maps(PageSource& source, std::vector<Pending>& batch,
                                   std::vector<ExtentRead> reads) {
  for (std::size_t at = 0; at < reads.size();) {
    const std::size_t end = std::min(reads.size(), at + limits::kPoolLoadPagesAtOnce);
    std::vector<std::uint32_t> wanted;
    for (std::size_t i = at; i < end; ++i) wanted.push_back(reads[i].page);
    source.trim();
    CO_TRY(co_await source.prefetch(std::move(wanted)));
    for (; at < end; ++at) {
      const ExtentRead& read = reads[at];
      Pending& item = batch[read.item];
      if (item.fault.empty()) {
        auto taken = item.reader.take_group(read.group, source.page(read.page));
        if (taken) continue;
        item.fault = taken.error().text();
      }
      item.reader.salvage(source.page(read.page));
    }
    co_await core::yield();
  }
  co_return Result<void>{};
}

void add(StoreImage& image, Pending item) {
  if (item.fault.empty()) {
    auto ended = item.reader.end_map();
    if (!ended) item.fault = ended.error().text();
  }
  if (!item.fault.empty()) {
    item.reader.salvage_runs();
    add_unreadable(image, std::move(item.reader.blob()), std::move(item.pages),
                   std::move(item.fault));
    return;
  }
  const std::uint64_t id = item.reader.blob().id;
  image.blobs[id] = {std::move(item.reader.blob()), {}, false, std::move(item.pages), {}, {}};
}

}  // namespace

void add_unreadable(StoreImage& image, Blob blob, std::vector<std::uint32_t> pages,
                    std::string reason) {
  const std::uint64_t id = blob.id;
  BlobEntry& entry = image.blobs[id];
  entry.blob = std::move(blob);
  entry.fault = std::move(reason);
  entry.unreadable = true;
  entry.disk_pages = std::move(pages);
  ++image.damaged;
}

core::Task<Result<void>> read_blobs(PageSource& source, StoreImage& image,
                                    std::vector<std::uint32_t> roots) {
  for (std::size_t at = 0; at < roots.size() && image.damaged < limits::kPoolDamagedVolumesMax;) {
    std::vector<Pending> batch;
    for (; at < roots.size() && batch.size() < limits::kPoolLoadBlobsAtOnce; ++at)
      batch.push_back({BlobReader(roots[at], image.geometry), roots[at]});
    CO_TRY(co_await read_chains(source, batch));
    std::vector<ExtentRead> reads = begin_maps(image, batch);
    CO_TRY(co_await read_maps(source, batch, std::move(reads)));
    for (Pending& item : batch) add(image, std::move(item));
  }
  co_return Result<void>{};
}

}  // namespace capstan::storage::lvs
