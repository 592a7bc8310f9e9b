// Why this file exists: see file_device.h.
#include "storage/device/file_device.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "core/buffer.h"
#include "storage/device/io_timer.h"

namespace capstan::storage {
namespace {

constexpr std::size_t kBounceBytes = 1U << 20;
constexpr std::uint32_t kBlockBytesMin = 512, kBlockBytesMax = 65536;

// The block size that `asked` means on this file, or why it cannot be.
Result<std::uint32_t> block_size_for(const core::FileInfo& info, const std::string& path,
                                     std::uint32_t asked) {
  const std::uint32_t own = info.is_block_device ? info.logical_block_bytes : kBlockBytesMin;
  const std::uint32_t size = asked == 0 ? own : asked;
  if (!std::has_single_bit(size) || size < kBlockBytesMin || size > kBlockBytesMax) {
    return fail(Code::kInvalidArgument,
                "blk_size " + std::to_string(size) + " is not a power of two from " +
                    std::to_string(kBlockBytesMin) + " to " + std::to_string(kBlockBytesMax),
                EINVAL);
  }
  if (info.is_block_device && size < info.logical_block_bytes) {
    return fail(Code::kInvalidArgument,
                "blk_size " + std::to_string(size) +
                    " is smaller than the disk's logical block of " +
                    std::to_string(info.logical_block_bytes) + "; leave blk_size out",
                EINVAL);
  }
  if (info.size_bytes < size) {
    return fail(Code::kInvalidArgument,
                path + " holds " + std::to_string(info.size_bytes) +
                    " bytes, less than one block; give it a size, as with 'truncate -s 10G'",
                EINVAL);
  }
  return size;
}

core::OpenOptions open_options(const FileDeviceOptions& options, bool direct) {
  return {.write = !options.read_only,
          .create = false,
          .exclusive = true,
          .truncate = false,
          .direct = direct};
}

}  // namespace

core::Task<Result<std::shared_ptr<FileDevice>>> FileDevice::open(core::Env& env,
                                                                 FileDeviceOptions options) {
  CO_TRY_SET(auto file, co_await env.files().open(options.path, open_options(options, true)));
  CO_TRY_SET(options.block_size, block_size_for(file->info(), options.path, options.block_size));
  if (file->info().direct && file->info().alignment_bytes > options.block_size) {
    // Blocks finer than O_DIRECT's unit: the page cache has to do the cutting.
    file.reset();
    CO_TRY_SET(file, co_await env.files().open(options.path, open_options(options, false)));
  }
  if (options.name.empty()) options.name = options.path;
  if (!options.uuid) options.uuid = Uuid::from_name(options.path);
  co_return std::shared_ptr<FileDevice>(new FileDevice(std::move(file), std::move(options)));
}

FileDevice::FileDevice(std::unique_ptr<core::File> file, FileDeviceOptions options)
    : file_(std::move(file)),
      options_(std::move(options)),
      num_blocks_(file_->info().size_bytes / options_.block_size) {}

bool FileDevice::must_bounce(const std::uint8_t* memory) const {
  return file_->info().direct &&
         reinterpret_cast<std::uintptr_t>(memory) % file_->info().alignment_bytes != 0;
}

bool FileDevice::atomic_4k() const {
  return std::max(file_->info().logical_block_bytes, file_->info().physical_block_bytes) >= 4096;
}

std::optional<core::BlockNumber> FileDevice::block_number() const {
  const auto* node = dynamic_cast<const core::BlockNode*>(file_.get());
  return node ? node->block_number() : std::nullopt;
}

core::Task<Result<void>> FileDevice::read_piece(std::uint64_t offset, MutableBytes into) {
  CO_TRY_SET(const std::size_t got, co_await file_->read(offset, into));
  if (got != into.size()) {
    co_return fail(Code::kInternal,
                   "device '" + name() + "' ends at " + std::to_string(offset + got) +
                       ", before its recorded size; was it truncated? Rescan it",
                   EIO);
  }
  co_return {};
}

core::Task<Result<void>> FileDevice::read_bounced(std::uint64_t offset, MutableBytes into) {
  core::Buffer bounce(std::min(into.size(), kBounceBytes));
  while (!into.empty()) {
    const std::size_t piece = std::min(into.size(), bounce.size());
    CO_TRY(co_await read_piece(offset, bounce.bytes().first(piece)));
    std::memcpy(into.data(), bounce.data(), piece);
    into = into.subspan(piece);
    offset += piece;
  }
  co_return {};
}

core::Task<Result<void>> FileDevice::read(std::uint64_t offset, MutableBytes into) {
  CO_TRY(check_range(offset, into.size()));
  if (into.empty()) co_return {};
  const IoTimer timer;
  const std::size_t length = into.size();
  if (must_bounce(into.data())) {
    CO_TRY(co_await read_bounced(offset, into));
  } else {
    while (!into.empty()) {
      const std::size_t piece = std::min(into.size(), limits::kDeviceIoBytesMax);
      CO_TRY(co_await read_piece(offset, into.first(piece)));
      into = into.subspan(piece);
      offset += piece;
    }
  }
  timer.done(stats().read, length);
  co_return {};
}

core::Task<Result<void>> FileDevice::write_bounced(std::uint64_t offset, ByteView from) {
  core::Buffer bounce(std::min(from.size(), kBounceBytes));
  while (!from.empty()) {
    const std::size_t piece = std::min(from.size(), bounce.size());
    std::memcpy(bounce.data(), from.data(), piece);
    CO_TRY(co_await file_->write(offset, bounce.view().first(piece)));
    from = from.subspan(piece);
    offset += piece;
  }
  co_return {};
}

core::Task<Result<void>> FileDevice::write(std::uint64_t offset, ByteView from) {
  CO_TRY(check_range(offset, from.size()));
  if (from.empty()) co_return {};
  const IoTimer timer;
  const std::size_t length = from.size();
  if (must_bounce(from.data())) {
    CO_TRY(co_await write_bounced(offset, from));
  } else {
    while (!from.empty()) {
      const std::size_t piece = std::min(from.size(), limits::kDeviceIoBytesMax);
      CO_TRY(co_await file_->write(offset, from.first(piece)));
      from = from.subspan(piece);
      offset += piece;
    }
  }
  timer.done(stats().write, length);
  co_return {};
}

core::Task<Result<void>> FileDevice::flush() {
  CO_TRY(check_range(0, 0));
  co_return co_await file_->sync_data();
}

core::Task<Result<void>> FileDevice::unmap(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  if (!supports_unmap()) {
    co_return fail(Code::kUnimplemented, "device '" + name() + "' cannot unmap", EOPNOTSUPP);
  }
  if (length == 0) co_return {};
  const IoTimer timer;
  CO_TRY(co_await file_->deallocate(offset, length));
  timer.done(stats().unmap, length);
  co_return {};
}

core::Task<Result<void>> FileDevice::write_zero_pieces(std::uint64_t offset, std::uint64_t length) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(length, kBounceBytes));
  const auto zeros = core::Buffer::zeroed(size);
  while (length != 0) {
    const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(length, size));
    CO_TRY(co_await file_->write(offset, zeros.view().first(piece)));
    offset += piece;
    length -= piece;
  }
  co_return {};
}

core::Task<Result<void>> FileDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  if (length == 0) co_return {};
  const IoTimer timer;
  const auto zeroed = co_await file_->write_zeroes(offset, length);
  if (!zeroed) {
    if (zeroed.error().sys_errno != EOPNOTSUPP) co_return std::unexpected(zeroed.error());
    CO_TRY(co_await write_zero_pieces(offset, length));
  }
  timer.done(stats().write, length);
  co_return {};
}

core::Task<Result<bool>> FileDevice::rescan() {
  CO_TRY(check_range(0, 0));
  CO_TRY_SET(const core::FileInfo info, file_->refresh());
  const std::uint64_t blocks = info.size_bytes / block_size();
  if (blocks == 0) {
    co_return fail(Code::kInvalidArgument, "device '" + name() + "' has shrunk to nothing", EINVAL);
  }
  const bool changed = blocks != num_blocks_;
  num_blocks_ = blocks;
  co_return changed;
}

}  // namespace capstan::storage
