// Why this file exists: see image_reader.h.
#include "services/image_reader.h"

#include <algorithm>

#include "base/limits.h"
#include "core/reactor.h"

namespace capstan::services {

namespace {
// Zeros are looked for in steps of this many bytes, counted from the start of the device.
constexpr std::uint64_t kStep = 64U << 10;
}  // namespace

ImageReader::ImageReader(std::shared_ptr<storage::Device> device, std::uint64_t from,
                         std::uint64_t to)
    : device_(std::move(device)),
      from_(from),
      to_(to),
      block_(device_->block_size()),
      planned_(from),
      hashed_(from),
      buffer_(limits::kImageChunkBytes + 2 * block_) {}

// The allocated parts of the window that begins at `from`, cut to the range.
core::Task<Result<std::vector<storage::Device::Extent>>> ImageReader::window(std::uint64_t from) {
  const std::uint64_t to = std::min(to_, from + limits::kImageWindowBytes);
  const std::uint64_t first = from / block_ * block_;
  const std::uint64_t last = (to + block_ - 1) / block_ * block_;
  CO_TRY_SET(auto found, co_await device_->allocated(first, last - first));
  std::vector<storage::Device::Extent> cut;
  for (const auto& extent : found) {
    const std::uint64_t begin = std::max(extent.offset, from);
    const std::uint64_t end = std::min(extent.offset + extent.length, to);
    if (begin < end) cut.push_back({begin, end - begin});
  }
  co_return cut;
}

core::Task<Result<std::uint64_t>> ImageReader::allocated_bytes() {
  std::uint64_t sum = 0;
  for (std::uint64_t at = from_; at < to_; at += limits::kImageWindowBytes) {
    CO_TRY_SET(const auto extents, co_await window(at));
    for (const auto& extent : extents) sum += extent.length;
    co_await core::yield();
  }
  co_return sum;
}

core::Task<void> ImageReader::hash_hole(std::uint64_t to) {
  while (hashed_ < to) {
    const std::uint64_t step = std::min(to - hashed_, Sha256::kZeroBytes);
    hash_.add_zeros(step);
    hashed_ += step;
    co_await core::yield();
  }
}

core::Task<Result<bool>> ImageReader::load() {
  while (extent_ == extents_.size()) {
    if (planned_ >= to_) {
      co_await hash_hole(to_);
      co_return false;
    }
    CO_TRY_SET(extents_, co_await window(planned_));
    planned_ = std::min(to_, planned_ + limits::kImageWindowBytes);
    extent_ = 0;
    co_await core::yield();
  }
  auto& extent = extents_[extent_];
  const std::uint64_t length = std::min<std::uint64_t>(extent.length, limits::kImageChunkBytes);
  const std::uint64_t first = extent.offset / block_ * block_;
  const std::uint64_t last = (extent.offset + length + block_ - 1) / block_ * block_;
  CO_TRY(co_await device_->read(first, buffer_.bytes().first(last - first)));
  chunk_offset_ = extent.offset;
  chunk_ = buffer_.view().subspan(extent.offset - first, length);
  co_await hash_hole(chunk_offset_);
  hash_.add(chunk_);
  hashed_ = chunk_offset_ + length;
  extent.offset += length;
  extent.length -= length;
  if (extent.length == 0) ++extent_;
  co_return true;
}

core::Task<Result<std::optional<ImageReader::Piece>>> ImageReader::next() {
  while (true) {
    // Zeros at the front of the chunk, then what is not zeros.
    std::uint64_t skip = 0, take = 0;
    while (skip + take < chunk_.size()) {
      const std::uint64_t at = chunk_offset_ + skip + take;
      const std::uint64_t step = std::min(kStep - at % kStep, chunk_.size() - skip - take);
      const bool zero = all_zero(chunk_.subspan(skip + take, step));
      if (zero && take != 0) break;
      (zero ? skip : take) += step;
    }
    const Piece piece{chunk_offset_ + skip, chunk_.subspan(skip, take)};
    chunk_ = chunk_.subspan(skip + take);
    chunk_offset_ += skip + take;
    if (take != 0) co_return std::optional<Piece>(piece);
    CO_TRY_SET(const bool more, co_await load());
    if (!more) co_return std::optional<Piece>();
  }
}

}  // namespace capstan::services
