// Why this file exists: a device without content (null://): reads give zeros, writes vanish. It
// measures everything above it.
#pragma once

#include <string>

#include "storage/device/device.h"

namespace capstan::storage {

class NullDevice final : public Device {
 public:
  NullDevice(std::string name, Uuid uuid, std::uint32_t block_size, std::uint64_t num_blocks)
      : name_(std::move(name)), uuid_(uuid), block_size_(block_size), num_blocks_(num_blocks) {}

  const std::string& name() const override { return name_; }
  Uuid uuid() const override { return uuid_; }
  std::uint32_t block_size() const override { return block_size_; }
  std::uint64_t num_blocks() const override { return num_blocks_; }
  std::string_view product() const override { return "Null disk"; }

  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;

  bool supports_unmap() const override { return true; }
  bool volatile_cache() const override { return false; }
  bool atomic_4k() const override { return true; }
  // A new size. A claimed device does not shrink (kFailedPrecondition, EBUSY); 0 is
  // kInvalidArgument.
  Result<void> resize(std::uint64_t num_blocks);
  // Nothing is data.
  core::Task<Result<std::vector<Extent>>> allocated(std::uint64_t offset,
                                                    std::uint64_t length) override;

 private:
  std::string name_;
  Uuid uuid_;
  std::uint32_t block_size_;
  std::uint64_t num_blocks_;
};

}  // namespace capstan::storage
