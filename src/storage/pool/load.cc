// Why this file exists: the reading half of a pool load (load.h): super block, masks or scan, the
// record with the name of the store. Reading the blobs themselves is load_blobs.cc.
#include "storage/pool/load.h"

#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "core/buffer.h"
#include "storage/pool/load_blobs.h"
#include "storage/pool/page_source.h"
#include "storage/pool/recover.h"

namespace capstan::storage::lvs {
namespace {

std::unexpected<Error> damaged(std::string what, int err) {
  return fail(Code::kDataLoss, "damaged pool: " + what, err);
}

core::Task<Result<void>> read_super(Device& device, StoreImage& image) {
  const std::size_t block = std::max<std::size_t>(device.block_size(), kPageBytes);
  if (device.size_bytes() < block) co_return fail(Code::kNotFound, "no pool signature", EILSEQ);
  core::Buffer buffer(block);
  CO_TRY(co_await device.read(0, buffer.bytes()));
  auto decoded = decode_super(buffer.view().first(kPageBytes), device.size_bytes());
  if (!decoded && decoded.error().code == Code::kDataLoss)
    co_return damaged(decoded.error().message, decoded.error().sys_errno);
  if (!decoded) co_return std::unexpected(std::move(decoded.error()));
  image.super = std::move(decoded->super);
  image.super_torn = decoded->torn;
  if (device.block_size() > kPageBytes || image.super.block_size() % device.block_size() != 0) {
    co_return fail(Code::kFailedPrecondition,
                   "the pool has blocks of " + std::to_string(image.super.block_size()) +
                       " bytes, the device of " + std::to_string(device.block_size()) +
                       ": open it with the block size it was made with",
                   EINVAL);
  }
  image.geometry = Geometry(image.super, device.size_bytes());
  if (image.super_torn) image.notes.push_back("torn super block: treated as not unloaded");
  co_return Result<void>{};
}

struct Masks {
  Bitmap pages, clusters, blob_ids;
};

core::Task<Result<Bitmap>> read_mask(Device& device, const Geometry& geometry, MaskType type,
                                     std::uint64_t bits, std::uint32_t start) {
  const std::uint64_t stride = geometry.page_stride;
  core::Buffer buffer((mask_bytes(bits) + stride - 1) / stride * stride);
  CO_TRY(co_await device.read(geometry.device_page(start), buffer.bytes()));
  co_return decode_mask(type, bits, buffer.view());
}

// Nothing when the masks cannot be trusted; an error only when the device fails.
core::Task<Result<std::optional<Masks>>> read_masks(Device& device, StoreImage& image) {
  const SuperBlock& super = image.super;
  const Geometry& geometry = image.geometry;
  if (super.clean != 1 || super.blobid_mask_len == 0 || image.super_torn) co_return std::nullopt;
  auto pages = co_await read_mask(device, geometry, MaskType::kPages, geometry.md_len,
                                  super.page_mask_start);
  auto clusters = co_await read_mask(device, geometry, MaskType::kClusters, geometry.total_clusters,
                                     super.cluster_mask_start);
  auto ids = co_await read_mask(device, geometry, MaskType::kBlobIds, geometry.md_len,
                                super.blobid_mask_start);
  for (auto* mask : {&pages, &clusters, &ids}) {
    if (*mask) continue;
    if (mask->error().code != Code::kDataLoss) co_return std::unexpected(std::move(mask->error()));
    image.notes.push_back("masks are wrong (" + mask->error().message + "): scanning instead");
    co_return std::nullopt;
  }
  co_return Masks{std::move(*pages), std::move(*clusters), std::move(*ids)};
}

// Shadows whose target is torn take its place; the others are remembered, to be zeroed.
core::Task<Result<void>> restore_shadows(PageSource& source, StoreImage& image,
                                         PageSource::Scan& scan) {
  std::map<std::uint32_t, unsigned> candidates;
  for (std::uint32_t number : scan.shadows) {
    source.trim();
    CO_TRY(co_await source.prefetch({number}));
    image.shadow_pages.push_back(number);
    auto shadow = decode_shadow(source.page(number));
    if (!shadow || !std::ranges::binary_search(scan.torn_roots, shadow->target)) continue;
    // A crash tears a few roots; who has thousands of them wants our memory.
    if (image.restored.size() >= limits::kPoolDamagedVolumesMax) continue;
    const PageHeader header = page_header(shadow->original);
    if (header.id != blob_id_of(shadow->target) || header.sequence != 0) continue;
    if (++candidates[shadow->target] > 1) {  // cannot be ours: never guess between two
      image.restored.erase(shadow->target);
      continue;
    }
    image.restored[shadow->target] = shadow->original;
  }
  for (const auto& [target, page] : image.restored) {
    source.replace(target, page);
    scan.roots.push_back(target);
    image.notes.push_back("metadata page " + std::to_string(target) + " restored from its shadow");
  }
  std::erase_if(scan.torn_roots, [&](auto root) { return image.restored.contains(root); });
  std::ranges::sort(scan.roots);
  co_return Result<void>{};
}

Result<void> read_store_name(StoreImage& image) {
  if (image.super.super_blob == kNoBlob)
    return damaged("it names no record of the pool (creation did not finish)", ENODEV);
  auto found = image.blobs.find(image.super.super_blob);
  if (found == image.blobs.end()) return damaged("the record of the pool is missing", ENODEV);
  if (!found->second.fault.empty())
    return damaged("the record of the pool: " + found->second.fault, EILSEQ);
  const Blob& blob = found->second.blob;
  const std::string* uuid = blob.xattr("uuid");
  const std::string* name = blob.xattr("name");
  image.name = blob.name();
  image.uuid = blob.uuid();
  if (!uuid || uuid->size() != 37 || image.uuid.is_nil())
    return damaged("the pool has no valid uuid", EINVAL);
  if (!name || name->size() > 64 || image.name.empty())
    return damaged("the pool has no valid name", EINVAL);
  return {};
}

}  // namespace

bool StoreImage::has_repairs() const {
  if (!restored.empty() || !shadow_pages.empty() || !dead_roots.empty()) return true;
  return std::ranges::any_of(
      blobs, [](const auto& item) { return item.second.rewrite != Rewrite::kNone; });
}

namespace {

core::Task<Result<void>> read_scanned(PageSource& source, StoreImage& image) {
  CO_TRY_SET(PageSource::Scan scan, co_await source.scan());
  CO_TRY(co_await restore_shadows(source, image, scan));
  CO_TRY(co_await read_blobs(source, image, scan.roots));
  for (std::uint32_t number : scan.torn_roots) {
    if (image.damaged >= limits::kPoolDamagedVolumesMax) break;
    Blob blob;
    blob.id = blob_id_of(number);
    add_unreadable(image, std::move(blob), {number},
                   "its first metadata page " + std::to_string(number) + " is torn");
  }
  if (image.damaged < limits::kPoolDamagedVolumesMax) co_return Result<void>{};
  co_return damaged(
      "more than " + std::to_string(limits::kPoolDamagedVolumesMax) + " volumes cannot be read",
      EILSEQ);
}

}  // namespace

core::Task<Result<StoreImage>> load_image(Device& device) {
  StoreImage image;
  CO_TRY(co_await read_super(device, image));
  PageSource source(device, image.geometry);
  CO_TRY_SET(std::optional<Masks> masks, co_await read_masks(device, image));
  if (masks) {
    std::vector<std::uint32_t> roots;
    masks->blob_ids.for_each_set(
        [&](std::uint64_t page) { roots.push_back(static_cast<std::uint32_t>(page)); });
    CO_TRY(co_await read_blobs(source, image, std::move(roots)));
    if (image.damaged >= limits::kPoolDamagedVolumesMax) {
      // Masks have no checksum: so many wrong bits say more about the mask than about volumes.
      image.notes.emplace_back("the mask of volumes is wrong: scanning instead");
      masks.reset();
      image.blobs.clear();
      image.damaged = image.map_groups = 0;
    }
  }
  image.dirty = !masks;
  if (!masks) CO_TRY(co_await read_scanned(source, image));
  CO_TRY(read_store_name(image));
  resolve_interrupted(image);
  find_faults(image);
  if (masks) {
    image.mask_pages = std::move(masks->pages);
    image.mask_clusters = std::move(masks->clusters);
  }
  co_return image;
}

}  // namespace capstan::storage::lvs
