// Why this file exists: see image_writer.h.
#include "services/image_writer.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "core/buffer.h"
#include "core/reactor.h"

namespace capstan::services {

ImageWriter::ImageWriter(std::shared_ptr<storage::Device> device, std::uint64_t image_bytes,
                         bool keep_rest, bool thin)
    : device_(std::move(device)),
      image_bytes_(image_bytes),
      keep_rest_(keep_rest),
      thin_(thin),
      block_(device_->block_size()) {}

core::Task<Result<void>> ImageWriter::extent(std::uint64_t offset, ByteView data) {
  if (offset < position_) {
    co_return fail(Code::kInvalidArgument, "extent at " + std::to_string(offset) +
                                               " begins before byte " + std::to_string(position_) +
                                               ", the end of the one before; send extents in "
                                               "ascending order");
  }
  if (offset > image_bytes_ || data.size() > image_bytes_ - offset) {
    co_return fail(Code::kInvalidArgument,
                   "extent at " + std::to_string(offset) + " of " + std::to_string(data.size()) +
                       " bytes ends after the image of " + std::to_string(image_bytes_) + " bytes");
  }
  CO_TRY(co_await hash_hole(offset - position_));
  if (!keep_rest_) CO_TRY(co_await zero(position_, offset));
  position_ = offset;
  const bool hole = all_zero(data);  // a client that sends zeros means a hole all the same
  if (hole) {
    CO_TRY(co_await zero(offset, offset + data.size()));
  } else {
    CO_TRY(co_await write(offset, data));
  }
  hash_.add(data);
  position_ = offset + data.size();
  if (!hole) data_bytes_ += data.size();
  co_return {};
}

core::Task<Result<void>> ImageWriter::finish() {
  CO_TRY(co_await hash_hole(image_bytes_ - position_));
  if (!keep_rest_) CO_TRY(co_await zero(position_, device_->size_bytes()));
  position_ = image_bytes_;
  co_return co_await device_->flush();
}

core::Task<Result<void>> ImageWriter::hash_hole(std::uint64_t length) {
  while (length != 0) {
    const std::uint64_t step = std::min(length, Sha256::kZeroBytes);
    hash_.add_zeros(step);
    length -= step;
    co_await core::yield();
  }
  co_return {};
}

core::Task<Result<void>> ImageWriter::change_block(std::uint64_t offset, std::uint64_t length,
                                                   ByteView data) {
  const std::uint64_t start = offset / block_ * block_;
  core::Buffer buffer(block_);
  CO_TRY(co_await device_->read(start, buffer.bytes()));
  std::uint8_t* at = buffer.data() + (offset - start);
  if (data.empty()) {
    // Writing zeros over zeros would only allocate.
    if (all_zero(ByteView(at, length))) co_return {};
    std::memset(at, 0, length);
  } else {
    std::memcpy(at, data.data(), length);
  }
  co_return co_await device_->write(start, buffer.view());
}

core::Task<Result<void>> ImageWriter::write(std::uint64_t offset, ByteView data) {
  const std::uint64_t head =
      std::min<std::uint64_t>((block_ - offset % block_) % block_, data.size());
  if (head != 0) CO_TRY(co_await change_block(offset, head, data.first(head)));
  const std::uint64_t whole = (data.size() - head) / block_ * block_;
  if (whole != 0) CO_TRY(co_await device_->write(offset + head, data.subspan(head, whole)));
  const ByteView tail = data.subspan(head + whole);
  if (!tail.empty()) CO_TRY(co_await change_block(offset + head + whole, tail.size(), tail));
  co_return {};
}

core::Task<Result<void>> ImageWriter::zero(std::uint64_t from, std::uint64_t to) {
  if (from >= to) co_return {};
  const std::uint64_t first = (from + block_ - 1) / block_ * block_;
  const std::uint64_t last = to / block_ * block_;
  if (first > last) co_return co_await change_block(from, to - from, {});  // inside of one block
  if (from < first) CO_TRY(co_await change_block(from, first - from, {}));
  for (std::uint64_t at = first; at < last;) {
    const std::uint64_t end = std::min(last, at + limits::kImageWindowBytes);
    CO_TRY(co_await zero_blocks(at, end));
    at = end;
    co_await core::yield();
  }
  if (last < to) CO_TRY(co_await change_block(last, to - last, {}));
  co_return {};
}

// Gives back what can be given back; what still holds data afterwards is overwritten with zeros.
core::Task<Result<void>> ImageWriter::zero_blocks(std::uint64_t from, std::uint64_t to) {
  CO_TRY_SET(auto extents, co_await device_->allocated(from, to - from));
  if (extents.empty()) co_return {};
  if (thin_ && device_->supports_unmap()) {
    CO_TRY(co_await device_->unmap(from, to - from));
    CO_TRY_SET(extents, co_await device_->allocated(from, to - from));
  }
  for (const auto& extent : extents) {
    for (std::uint64_t done = 0; done < extent.length;) {
      const std::uint64_t step =
          std::min<std::uint64_t>(extent.length - done, limits::kDeviceIoBytesMax);
      CO_TRY(co_await device_->write_zeroes(extent.offset + done, step));
      done += step;
    }
  }
  co_return {};
}

}  // namespace capstan::services
