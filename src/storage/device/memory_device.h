// Why this file exists: a device in memory (malloc://), for tests and scratch pools. It is sparse:
// memory is taken in chunks of 64 KiB when they are first written and given back by unmap, so a
// device of many gigabytes costs only what was written to it. A chunk that is lent does not change:
// who writes to it meanwhile gets another one in its place.
// Thread-safety: the core that made it; what was lent may be dropped on any.
#pragma once

#include <memory>
#include <string>

#include "storage/device/chunk_table.h"
#include "storage/device/device.h"

namespace capstan::storage {

class MemoryDevice final : public Device {
 public:
  static constexpr std::size_t kChunkBytes = ChunkTable::kChunkBytes;

  // `block_size`: a power of two from 512 to kChunkBytes.
  MemoryDevice(std::string name, Uuid uuid, std::uint32_t block_size, std::uint64_t num_blocks);

  const std::string& name() const override { return name_; }
  Uuid uuid() const override { return uuid_; }
  std::uint32_t block_size() const override { return block_size_; }
  std::uint64_t num_blocks() const override { return num_blocks_; }
  std::string_view product() const override { return "Malloc disk"; }

  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  bool in_memory() const override { return true; }
  bool read_now(std::uint64_t offset, MutableBytes into) override;
  bool write_now(std::uint64_t offset, ByteView from) override;
  bool lend(std::uint64_t offset, std::uint64_t length, std::vector<Loan>& loans) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;

  bool supports_unmap() const override { return true; }
  bool volatile_cache() const override { return true; }
  bool atomic_4k() const override { return true; }  // one copy, never cut short
  core::Task<Result<std::vector<Extent>>> allocated(std::uint64_t offset,
                                                    std::uint64_t length) override;

  // A new size. Content below it stays, new blocks are zero. A claimed device does not shrink
  // (kFailedPrecondition, EBUSY); 0 is kInvalidArgument.
  Result<void> resize(std::uint64_t num_blocks);
  std::uint64_t resident_bytes() const { return chunks_.size() * kChunkBytes; }

 private:
  // The memory of a chunk for a write of [start, start+length) in it: an absent one begins as
  // zeros, a lent one is replaced by a copy; what is overwritten is left out of both. Null: out of
  // memory.
  std::uint8_t* data_to_write(std::uint64_t index, std::size_t start, std::size_t length);
  // The range was checked. False: out of memory, with the beginning written.
  bool store(std::uint64_t offset, ByteView from);
  void load(std::uint64_t offset, MutableBytes into);
  // Zeros the range: whole chunks are freed, parts are cleared. False: out of memory, with the
  // beginning cleared.
  bool clear(std::uint64_t offset, std::uint64_t length);
  Result<void> out_of_memory() const;

  std::string name_;
  Uuid uuid_;
  std::uint32_t block_size_;
  std::uint64_t num_blocks_;
  ChunkTable chunks_;
};

}  // namespace capstan::storage
