// Why this file exists: the writes of Pool::create in their order (format.h), and what may not be
// overwritten: an intact pool never, a damaged one or somebody else's data only when forced.
#include "storage/pool/format.h"

#include <algorithm>
#include <cerrno>

#include "base/limits.h"
#include "core/buffer.h"
#include "storage/device/signature.h"

namespace capstan::storage::lvs {
namespace {

std::unexpected<Error> in_the_way(const Device& device, const std::string& what) {
  return fail(Code::kFailedPrecondition,
              "device '" + device.name() + "' holds " + what +
                  ": choose another device, or force the creation to lose it",
              EBUSY);
}

core::Task<Result<void>> zero_range(Device& device, std::uint64_t bytes) {
  // In steps, so that a huge region does not become one endless request.
  for (std::uint64_t at = 0; at < bytes;) {
    const std::uint64_t length = std::min<std::uint64_t>(bytes - at, limits::kDeviceIoBytesMax);
    CO_TRY(co_await device.write_zeroes(at, length));
    at += length;
  }
  co_return Result<void>{};
}

core::Task<Result<void>> barrier(Device& device) {
  if (device.volatile_cache()) co_return co_await device.flush();
  co_return Result<void>{};
}

// Puts the signature on the device. Where 4096 bytes can tear, everything behind the first block is
// durable before that block, which cannot, makes it a pool.
core::Task<Result<void>> write_new_super(Device& device, Page page) {
  const std::size_t first = std::min<std::size_t>(device.block_size(), kPageBytes);
  if (device.atomic_4k()) {
    CO_TRY(co_await device.write(0, page));
    co_return co_await barrier(device);
  }
  if (first < kPageBytes) {
    CO_TRY(co_await device.write(first, ByteView(page).subspan(first)));
    CO_TRY(co_await barrier(device));
  }
  CO_TRY(co_await device.write(0, ByteView(page).first(first)));
  co_return co_await barrier(device);
}

}  // namespace

core::Task<Result<void>> erase_super(Device& device) {
  const Page zeros{};
  const std::size_t first = std::min<std::size_t>(device.block_size(), kPageBytes);
  CO_TRY(co_await device.write(0, ByteView(zeros).first(first)));
  CO_TRY(co_await barrier(device));
  if (first < kPageBytes) {
    CO_TRY(co_await device.write(first, ByteView(zeros).subspan(first)));
    CO_TRY(co_await barrier(device));
  }
  co_return Result<void>{};
}

core::Task<Result<void>> refuse_existing(std::shared_ptr<Device> device, bool force) {
  auto image = co_await load_image(*device);
  if (image) {
    co_return fail(Code::kAlreadyExists,
                   "device '" + device->name() + "' holds the pool '" + image->name + "' (" +
                       image->uuid.text() + "): import it, or destroy it first",
                   EEXIST);
  }
  if (image.error().code == Code::kNotFound) {
    if (force) co_return Result<void>{};
    CO_TRY_SET(std::optional<std::string> foreign, co_await foreign_signature(device));
    if (foreign) co_return in_the_way(*device, *foreign);
    co_return Result<void>{};
  }
  const bool judged =
      image.error().code == Code::kDataLoss || image.error().code == Code::kFailedPrecondition;
  if (!judged) co_return std::unexpected(std::move(image.error()));  // the device could not be read
  if (force) co_return Result<void>{};
  co_return in_the_way(*device, "a pool that cannot be opened (" + image.error().text() + ")");
}

Result<SuperBlock> plan_format(const Device& device, const std::string& name,
                               const PoolOptions& options) {
  if (name.empty() || name.size() > limits::kPoolNameBytesMax ||
      name.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument,
                "a pool's name has 1 to " + std::to_string(limits::kPoolNameBytesMax) + " bytes",
                EINVAL);
  }
  if (device.block_size() > kPageBytes) {
    return fail(Code::kInvalidArgument,
                "device '" + device.name() + "' has blocks of " +
                    std::to_string(device.block_size()) +
                    " bytes; a pool needs blocks of at most 4096",
                EINVAL);
  }
  auto super = plan_layout({device.size_bytes(), device.block_size(), options.cluster_size_bytes,
                            options.md_resv_percent});
  if (!super) return std::unexpected(std::move(super.error()).within("pool '" + name + "'"));
  return super;
}

core::Task<Result<StoreImage>> write_format(Device& device, SuperBlock super, std::string name,
                                            Uuid uuid) {
  StoreImage image;
  image.geometry = Geometry(super, device.size_bytes());
  image.dirty = true;
  image.name = name;
  image.uuid = uuid;
  BlobEntry entry;
  entry.blob.id = blob_id_of(0);
  entry.blob.flags.invalid = kFlagExtentTable;
  entry.blob.xattrs = {{"uuid", uuid_value(uuid)}, {"name", name + '\0'}};
  entry.blob.chain = entry.disk_pages = {0};
  super.super_blob = entry.blob.id;

  // An old super block must not come back over a new region, nor a new one stand over an old
  // region.
  CO_TRY(co_await erase_super(device));
  const std::uint64_t pages = std::uint64_t{super.md_start} + super.md_len;
  CO_TRY(co_await zero_range(device, image.geometry.device_page(pages)));
  CO_TRY(co_await barrier(device));
  std::vector<Page> root = encode_chain(entry.blob).seal(entry.blob.id, entry.blob.chain);
  CO_TRY(co_await device.write(image.geometry.md_page(0), root.front()));
  CO_TRY(co_await barrier(device));
  CO_TRY(co_await write_new_super(device, encode_super(super)));
  image.super = std::move(super);
  image.blobs[entry.blob.id] = std::move(entry);
  co_return image;
}

}  // namespace capstan::storage::lvs
