// Why this file exists: an image is a run of bytes, a replica takes whole blocks. The writer takes
// extents and holes of any alignment in ascending order, reads, changes and writes back the blocks
// they share, keeps the SHA-256 of the image and gives the clusters of holes back.
//
// Invariant: everything before position() has its final content (not yet durable until finish()).
// Lifetimes: the device outlives the tasks. Thread-safety: core 0.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "core/task.h"
#include "services/sha256.h"
#include "storage/device/device.h"

namespace capstan::services {

class ImageWriter {
 public:
  // `thin`: unmapping a hole may give its clusters back.
  ImageWriter(std::shared_ptr<storage::Device> device, std::uint64_t image_bytes, bool keep_rest,
              bool thin);

  // The hole before the extent, then its bytes. kInvalidArgument when it begins before position()
  // or ends after the image.
  core::Task<Result<void>> extent(std::uint64_t offset, ByteView data);
  // The last hole, the rest of the device, and everything durable.
  core::Task<Result<void>> finish();

  std::uint64_t position() const { return position_; }
  std::uint64_t data_bytes() const { return data_bytes_; }
  std::string sha256() { return hash_.finish(); }  // once, after finish()

 private:
  core::Task<Result<void>> hash_hole(std::uint64_t length);
  core::Task<Result<void>> write(std::uint64_t offset, ByteView data);
  core::Task<Result<void>> zero(std::uint64_t from, std::uint64_t to);
  core::Task<Result<void>> zero_blocks(std::uint64_t from, std::uint64_t to);
  // Part of one block; empty `data` stands for zeros.
  core::Task<Result<void>> change_block(std::uint64_t offset, std::uint64_t length, ByteView data);

  std::shared_ptr<storage::Device> device_;
  std::uint64_t image_bytes_;
  bool keep_rest_, thin_;
  std::uint64_t block_;
  std::uint64_t position_ = 0, data_bytes_ = 0;
  Sha256 hash_;
};

}  // namespace capstan::services
