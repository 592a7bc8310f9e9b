// Why this file exists: see memory_device.h.
#include "storage/device/memory_device.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "core/buffer.h"
#include "storage/device/io_timer.h"

namespace capstan::storage {
namespace {

// What lies in chunks that there are not.
alignas(
    core::kBufferAlignment) constexpr std::array<std::uint8_t, MemoryDevice::kChunkBytes> kZeros{};

// The part of [offset, offset+length) that lies in the chunk of `offset`.
struct Part {
  std::uint64_t chunk;
  std::size_t start, length;
};
Part first_part(std::uint64_t offset, std::uint64_t length) {
  constexpr std::size_t kChunk = MemoryDevice::kChunkBytes;
  const auto start = static_cast<std::size_t>(offset % kChunk);
  return {offset / kChunk, start,
          static_cast<std::size_t>(std::min<std::uint64_t>(length, kChunk - start))};
}

}  // namespace

std::uint8_t* MemoryDevice::data_to_write(std::uint64_t index, std::size_t start,
                                          std::size_t length) {
  if (std::uint8_t* const own = chunks_.find_own(index)) return own;
  ChunkTable::Memory memory = ChunkTable::make();
  std::uint8_t* const data = memory.get();
  if (!data) return nullptr;
  const std::size_t end = start + length;
  if (const std::uint8_t* const before = chunks_.find(index)) {
    std::memcpy(data, before, start);
    std::memcpy(data + end, before + end, kChunkBytes - end);
  } else {
    std::memset(data, 0, start);
    std::memset(data + end, 0, kChunkBytes - end);
  }
  chunks_.put(index, std::move(memory));
  return data;
}

MemoryDevice::MemoryDevice(std::string name, Uuid uuid, std::uint32_t block_size,
                           std::uint64_t num_blocks)
    : name_(std::move(name)), uuid_(uuid), block_size_(block_size), num_blocks_(num_blocks) {
  CAPSTAN_ASSERT(std::has_single_bit(block_size) && block_size >= 512 && block_size <= kChunkBytes);
}

void MemoryDevice::load(std::uint64_t offset, MutableBytes into) {
  const IoTimer timer;
  const std::size_t length = into.size();
  while (!into.empty()) {
    const Part part = first_part(offset, into.size());
    if (const std::uint8_t* const chunk = chunks_.find(part.chunk)) {
      std::memcpy(into.data(), chunk + part.start, part.length);
    } else {
      std::memset(into.data(), 0, part.length);
    }
    into = into.subspan(part.length);
    offset += part.length;
  }
  timer.done(stats().read, length);
}

bool MemoryDevice::store(std::uint64_t offset, ByteView from) {
  const IoTimer timer;
  const std::size_t length = from.size();
  while (!from.empty()) {
    const Part part = first_part(offset, from.size());
    std::uint8_t* const data = data_to_write(part.chunk, part.start, part.length);
    if (!data) return false;
    std::memcpy(data + part.start, from.data(), part.length);
    from = from.subspan(part.length);
    offset += part.length;
  }
  timer.done(stats().write, length);
  return true;
}

core::Task<Result<void>> MemoryDevice::read(std::uint64_t offset, MutableBytes into) {
  CO_TRY(check_range(offset, into.size()));
  if (!into.empty()) load(offset, into);
  co_return {};
}

core::Task<Result<void>> MemoryDevice::write(std::uint64_t offset, ByteView from) {
  CO_TRY(check_range(offset, from.size()));
  if (from.empty() || store(offset, from)) co_return {};
  co_return out_of_memory();
}

Result<void> MemoryDevice::out_of_memory() const {
  return fail(Code::kResourceExhausted, "device '" + name_ + "': out of memory", ENOMEM);
}

bool MemoryDevice::read_now(std::uint64_t offset, MutableBytes into) {
  if (into.empty() || !check_range(offset, into.size())) return false;
  load(offset, into);
  return true;
}

bool MemoryDevice::write_now(std::uint64_t offset, ByteView from) {
  return !from.empty() && check_range(offset, from.size()) && store(offset, from);
}

bool MemoryDevice::lend(std::uint64_t offset, std::uint64_t length, std::vector<Loan>& loans) {
  if (length == 0 || !check_range(offset, length)) return false;
  const IoTimer timer;
  for (std::uint64_t left = length; left != 0;) {
    const Part part = first_part(offset, left);
    if (const std::uint8_t* const chunk = chunks_.find(part.chunk)) {
      loans.push_back({ByteView(chunk + part.start, part.length), chunks_.lend(part.chunk)});
    } else {
      loans.push_back({ByteView(kZeros).first(part.length), nullptr});
    }
    left -= part.length;
    offset += part.length;
  }
  timer.done(stats().read, length);
  return true;
}

core::Task<Result<void>> MemoryDevice::flush() {
  co_return check_range(0, 0);
}

bool MemoryDevice::clear(std::uint64_t offset, std::uint64_t length) {
  while (length != 0) {
    const Part part = first_part(offset, length);
    if (part.length == kChunkBytes) {
      chunks_.erase(part.chunk);
    } else if (chunks_.find(part.chunk)) {
      std::uint8_t* const data = data_to_write(part.chunk, part.start, part.length);
      if (!data) return false;
      std::memset(data + part.start, 0, part.length);
    }
    offset += part.length;
    length -= part.length;
  }
  return true;
}

core::Task<Result<void>> MemoryDevice::unmap(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  if (length == 0) co_return {};
  const IoTimer timer;
  if (!clear(offset, length)) co_return out_of_memory();
  timer.done(stats().unmap, length);
  co_return {};
}

core::Task<Result<void>> MemoryDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  if (length == 0) co_return {};
  const IoTimer timer;
  if (!clear(offset, length)) co_return out_of_memory();
  timer.done(stats().write, length);
  co_return {};
}

core::Task<Result<std::vector<Device::Extent>>> MemoryDevice::allocated(std::uint64_t offset,
                                                                        std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  std::vector<std::uint64_t> indexes;
  if (length != 0) {
    const std::uint64_t first = offset / kChunkBytes, last = (offset + length - 1) / kChunkBytes;
    if (last - first < chunks_.size()) {  // the cheaper of two ways round
      for (std::uint64_t index = first; index <= last; ++index) {
        if (chunks_.find(index)) indexes.push_back(index);
      }
    } else {
      indexes = chunks_.indexes(first, last);
    }
  }
  std::vector<Extent> extents;
  for (const std::uint64_t index : indexes) {
    const std::uint64_t start = std::max(index * kChunkBytes, offset);
    const std::uint64_t end = std::min((index + 1) * kChunkBytes, offset + length);
    if (!extents.empty() && extents.back().offset + extents.back().length == start) {
      extents.back().length += end - start;
    } else {
      extents.push_back({start, end - start});
    }
  }
  co_return extents;
}

Result<void> MemoryDevice::resize(std::uint64_t num_blocks) {
  TRY(check_range(0, 0));
  if (num_blocks == 0) {
    return fail(Code::kInvalidArgument, "device '" + name_ + "': a size of 0", EINVAL);
  }
  if (num_blocks < num_blocks_ && claimed()) {
    return fail(Code::kFailedPrecondition,
                "device '" + name_ + "' is in use by " + claimed_by() + " and cannot shrink",
                EBUSY);
  }
  const std::uint64_t end = num_blocks * block_size_;
  if (num_blocks < num_blocks_) {
    const Part tail = first_part(end, kChunkBytes);  // up to the end of the last chunk kept
    if (tail.start != 0 && !clear(end, tail.length)) return out_of_memory();
    chunks_.erase_from((end + kChunkBytes - 1) / kChunkBytes);
  }
  num_blocks_ = num_blocks;
  return {};
}

}  // namespace capstan::storage
