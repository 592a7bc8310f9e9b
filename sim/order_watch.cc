// Why this file exists: the comparisons of order_watch.h.
#include "sim/order_watch.h"

#include <algorithm>
#include <vector>

namespace capstan::sim {

namespace {

constexpr std::uint64_t kPage = 4096;

std::uint64_t metadata_end(const LvsImage& image) {
  return (std::uint64_t{image.md_start} + image.md_len) * kPage;
}

}  // namespace

OrderWatch::OrderWatch(core::SimDisk& disk, bool extents_in_place,
                       std::function<void(std::string)> report)
    : disk_(disk), extents_in_place_(extents_in_place), report_(std::move(report)) {
  disk_.watch(this);
}

OrderWatch::~OrderWatch() {
  disk_.watch(nullptr);
}

OrderWatch::State OrderWatch::read(bool durable) {
  ++readings_;
  const auto from = [&](std::uint64_t at, MutableBytes into) {
    durable ? disk_.peek_durable(at, into) : disk_.peek(at, into);
  };
  State state;
  state.image = read_lvs(from, disk_.size());
  const auto root = state.image.super_blob & 0xFFFFFFFF;
  state.pages.emplace(root, Owner{state.image.super_blob, Use::kRoot});
  for (const auto& blob : state.image.blobs) {
    for (std::size_t i = 0; i < blob.pages.size(); ++i) {
      const auto use = i == 0 ? Use::kRoot : i < blob.chain_pages ? Use::kChain : Use::kExtents;
      state.pages.emplace(blob.pages[i], Owner{blob.id, use});
    }
    for (const auto cluster : blob.clusters) {
      if (cluster != 0) state.clusters.emplace(cluster, blob.id);
    }
  }
  return state;
}

const OrderWatch::State& OrderWatch::now() {
  if (!now_) now_ = read(false);
  return *now_;
}

const OrderWatch::State& OrderWatch::durable() {
  if (!durable_) durable_ = read(true);
  return *durable_;
}

void OrderWatch::report(std::string text) {
  if (report_) report_("order of writes: " + std::move(text));
  report_ = nullptr;
}

void OrderWatch::begins(std::uint64_t offset, std::uint64_t length) {
  if (!report_ || length == 0) return;
  const State& safe = durable();
  (void)now();                                // to compare with when this write is complete
  if (!safe.usable() || offset == 0) return;  // no pool, or its super block: see completed()
  const std::uint64_t end = offset + length, start = safe.image.md_start * kPage;
  const std::uint64_t masks = safe.image.masks_start * kPage;
  if (safe.image.state == LvsImage::State::kClean && offset < metadata_end(safe.image) &&
      end > masks)
    return report("I1: byte " + std::to_string(offset) +
                  " of the metadata, while the durable super block says unloaded");
  for (std::uint64_t at = std::max(offset, start); at < std::min(end, metadata_end(safe.image));
       at = (at / kPage + 1) * kPage)
    check_page(at / kPage - safe.image.md_start);
  const std::uint64_t size = safe.image.cluster_size, first = safe.image.md_clusters;
  for (std::uint64_t cluster = std::max(first, offset / size); cluster * size < end; ++cluster)
    check_cluster(cluster);
}

void OrderWatch::check_page(std::uint64_t page) {
  const auto old = durable().pages.find(page);
  if (old == durable().pages.end()) return;
  const auto& present = now().pages;
  const auto found = present.find(page);
  const std::string what = "metadata page " + std::to_string(page) + " of blob " +
                           std::to_string(old->second.blob & 0xFFFFFFFF);
  if (found == present.end() || found->second != old->second) {
    report("I4: " + what + " is used again before the durable state has let go of it");
  } else if (found->second.use == Use::kChain ||
             (found->second.use == Use::kExtents && !extents_in_place_)) {
    report("I2: " + what + " is overwritten although the durable state is read through it");
  }
}

void OrderWatch::check_cluster(std::uint64_t cluster) {
  const auto old = durable().clusters.find(cluster);
  if (old == durable().clusters.end()) return;
  const auto found = now().clusters.find(cluster);
  if (found != now().clusters.end() && found->second == old->second) return;
  report("I4: cluster " + std::to_string(cluster) + " of blob " +
         std::to_string(old->second & 0xFFFFFFFF) +
         " is used again or discarded before the durable state has let go of it");
}

bool OrderWatch::same(std::uint64_t offset, std::uint64_t length) const {
  std::vector<std::uint8_t> current(length), safe(length);
  disk_.peek(offset, current);
  disk_.peek_durable(offset, safe);
  return current == safe;
}

void OrderWatch::completed(std::uint64_t offset, std::uint64_t length) {
  if (!report_ || length == 0) return;
  const std::uint64_t end = now_ && now_->usable() ? metadata_end(now_->image) : disk_.size();
  if (offset >= end) return;  // data
  const std::optional<State> before = std::exchange(now_, std::nullopt);
  if (!now().usable() || !durable().usable()) return;
  const LvsImage& image = now().image;
  if (image.state == LvsImage::State::kClean && durable().image.state != image.state &&
      !same(image.masks_start * kPage, (image.md_start - image.masks_start) * kPage))
    return report("I3: the super block says unloaded before the masks are durable");
  check_named(before && before->usable() ? *before : durable());
}

void OrderWatch::check_named(const State& before) {
  const LvsImage& image = now().image;
  for (const auto& [page, owner] : now().pages) {
    if (owner.use == Use::kRoot) continue;
    const auto old = before.pages.find(page);
    if (old != before.pages.end() && old->second == owner) continue;
    if (!same((image.md_start + page) * kPage, kPage))
      return report("I3: metadata page " + std::to_string(page) + " of blob " +
                    std::to_string(owner.blob & 0xFFFFFFFF) + " is named before it is durable");
  }
  for (const auto& [cluster, blob] : now().clusters) {
    const auto old = before.clusters.find(cluster);
    if (old != before.clusters.end() && old->second == blob) continue;
    if (!same(cluster * image.cluster_size, image.cluster_size))
      return report("I3: cluster " + std::to_string(cluster) + " of blob " +
                    std::to_string(blob & 0xFFFFFFFF) + " is named before its content is durable");
  }
}

}  // namespace capstan::sim
