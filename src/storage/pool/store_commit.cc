// Why this file exists: how a changed blob reaches the disk. New pages never overwrite anything
// that is reachable; the one write that changes what is reachable is the root, in place. Where 4096
// bytes can tear, a shadow of the root is durable before the root is touched, and gone (zeroed)
// before anything else can tear that root (lvs-format section 14.7).
#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "core/buffer.h"
#include "core/scope.h"
#include "storage/pool/store.h"

namespace capstan::storage::lvs {
namespace {

core::Task<void> write_one(Device* device, std::uint64_t offset, const Page* page,
                           Result<void>* result) {
  *result = co_await device->write(offset, *page);
}

// Shows the blob as it will be after an edit, for as long as this object lives: encoding needs the
// new state, readers must not see it before it is committed. Never held across an await.
class Preview {
 public:
  Preview(Blob& blob, BlobEdit& edit, std::vector<std::uint32_t>& extent_pages)
      : blob_(blob), edit_(edit), pages_(extent_pages) {
    flip();
  }
  ~Preview() {
    if (!kept_) flip();
  }
  // The new state stays; the edit and the page list hold the old one.
  void keep() { kept_ = true; }

 private:
  void flip() {
    if (!shown_) flip_size();
    for (BlobEdit::Change& change : edit_.map) {
      const std::uint32_t before = blob_.cluster_at(change.index);
      blob_.set_cluster(change.index, change.cluster);
      change.cluster = before;
    }
    std::ranges::reverse(edit_.map);
    if (edit_.xattrs) std::swap(blob_.xattrs, *edit_.xattrs);
    for (std::size_t i = 0; i < edit_.copy_groups.size(); ++i)
      std::swap(blob_.groups[edit_.copy_groups[i]].page, pages_[i]);
    if (shown_) flip_size();
    shown_ = !shown_;
  }
  void flip_size() {
    if (!edit_.resized) return;
    std::swap(blob_.num_clusters, edit_.resized->num_clusters);
    std::swap(blob_.groups, edit_.resized->groups);
  }
  Blob& blob_;
  BlobEdit& edit_;
  std::vector<std::uint32_t>& pages_;
  bool kept_ = false, shown_ = false;
};

}  // namespace

core::Task<Result<void>> Store::write_pages(std::vector<std::pair<std::uint32_t, Page>> pages) {
  // Whoever waited for its turn while another's write failed: a root must not be torn beside the
  // copy of it that the failed one could not take back.
  if (fault_) co_return std::unexpected(*fault_);
  for (std::size_t at = 0; at < pages.size(); at += limits::kPoolLoadReadsInFlight) {
    const std::size_t count = std::min(pages.size() - at, limits::kPoolLoadReadsInFlight);
    std::vector<Result<void>> results(count);
    core::Scope scope;
    const RequestWatch::Entry watched(watch_);
    for (std::size_t i = 0; i < count; ++i) {
      auto& [number, page] = pages[at + i];
      scope.spawn(write_one(device_.get(), geometry_.md_page(number), &page, &results[i]));
    }
    co_await scope.join();
    for (Result<void>& result : results) {
      if (!result) co_return std::unexpected(record_fault(std::move(result.error())));
    }
  }
  co_return Result<void>{};
}

core::Task<Result<void>> Store::write_root(std::uint32_t number, Page page) {
  std::vector<std::pair<std::uint32_t, Page>> root{{number, page}};
  if (device_->atomic_4k()) co_return co_await write_pages(std::move(root));
  CO_TRY_SET(std::uint32_t shadow, co_await take_page());
  std::vector<std::pair<std::uint32_t, Page>> copy{{shadow, make_shadow(page, number)}};
  CO_TRY(co_await write_pages(std::move(copy)));
  CO_TRY(co_await barrier());
  CO_TRY(co_await write_pages(std::move(root)));
  CO_TRY(co_await barrier());
  std::vector<std::pair<std::uint32_t, Page>> zero{{shadow, Page{}}};
  CO_TRY(co_await write_pages(std::move(zero)));
  // The zeros are durable with the next barrier, and there is one before any root is written again.
  retire_pages({shadow});
  co_return Result<void>{};
}

core::Task<Result<void>> Store::erase_root(std::uint32_t number) {
  if (!device_->atomic_4k()) {
    // No shadow of this root may outlive it; and one block, which cannot tear, ends the blob.
    CO_TRY(co_await barrier());
    core::Buffer block = core::Buffer::zeroed(device_->block_size());
    auto written = co_await device_->write(geometry_.md_page(number), block.view());
    if (!written) co_return std::unexpected(record_fault(std::move(written.error())));
    CO_TRY(co_await barrier());
  }
  std::vector<std::pair<std::uint32_t, Page>> zero{{number, Page{}}};
  CO_TRY(co_await write_pages(std::move(zero)));
  co_return co_await barrier();
}

core::Task<Result<std::vector<std::uint32_t>>> Store::take_pages(std::size_t count) {
  std::vector<std::uint32_t> pages;
  while (pages.size() < count) {
    auto page = co_await take_page();
    if (!page) {
      for (std::uint32_t taken : pages) allocator_.free_page(taken);
      co_return std::unexpected(std::move(page.error()));
    }
    pages.push_back(*page);
  }
  co_return pages;
}

core::Task<Result<void>> Store::commit(Volume& volume, BlobEdit edit) {
  Blob& blob = volume.blob;
  std::size_t chain_pages = 0;
  {
    std::vector<std::uint32_t> any(edit.copy_groups.size(), 1);
    Preview preview(blob, edit, any);
    chain_pages = encode_chain(blob).pages() - 1;
  }
  CO_TRY_SET(std::vector<std::uint32_t> taken,
             co_await take_pages(edit.copy_groups.size() + chain_pages));
  const auto middle = taken.begin() + static_cast<std::ptrdiff_t>(edit.copy_groups.size());
  std::vector<std::uint32_t> extent_pages(taken.begin(), middle), chain{blob.root_page()};
  chain.insert(chain.end(), middle, taken.end());
  std::vector<std::pair<std::uint32_t, Page>> writes;
  Page root;
  {
    Preview preview(blob, edit, extent_pages);
    for (std::size_t group : edit.copy_groups)
      writes.emplace_back(blob.groups[group].page, encode_group(blob, group));
    std::vector<Page> pages = encode_chain(blob).seal(blob.id, chain);
    for (std::size_t i = 1; i < pages.size(); ++i) writes.emplace_back(chain[i], pages[i]);
    root = pages.front();
  }
  if (!writes.empty() || !edit.map.empty() || edit.resized) {
    CO_TRY(co_await write_pages(std::move(writes)));
    // Where roots have shadows, the barrier of the shadow covers this as well.
    if (device_->atomic_4k()) CO_TRY(co_await barrier());
  }
  auto rooted = co_await write_root(blob.root_page(), root);
  if (!rooted) {
    if (!fault_) {  // nothing reachable was touched
      for (std::uint32_t page : taken) allocator_.free_page(page);
    }
    co_return std::unexpected(std::move(rooted.error()));
  }
  Preview(blob, edit, extent_pages).keep();
  for (std::size_t group : edit.copy_groups) blob.groups[group].odd = false;
  std::vector<std::uint32_t> old(blob.chain.begin() + 1, blob.chain.end());
  std::ranges::copy_if(extent_pages, std::back_inserter(old), [](auto page) { return page != 0; });
  if (edit.resized) {  // holds the old size now: extent pages that were cut off
    const std::vector<ExtentGroup>& before = edit.resized->groups;
    for (std::size_t group = blob.groups.size(); group < before.size(); ++group) {
      if (before[group].page != 0) old.push_back(before[group].page);
    }
  }
  blob.chain = std::move(chain);
  retire_pages(std::move(old));
  co_return Result<void>{};
}

}  // namespace capstan::storage::lvs
