// Why this file exists: the other direction of image_writer.h: a range of a device as extents that
// hold data, zeros left out, with the SHA-256 of the whole range. Offsets need no alignment.
// Lifetimes: the device outlives the tasks. Thread-safety: core 0.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/buffer.h"
#include "core/task.h"
#include "services/sha256.h"
#include "storage/device/device.h"

namespace capstan::services {

class ImageReader {
 public:
  ImageReader(std::shared_ptr<storage::Device> device, std::uint64_t from, std::uint64_t to);

  struct Piece {
    std::uint64_t offset = 0;
    ByteView data;  // valid until the next call
  };
  // The next piece that is not all zeros, at most limits::kImageChunkBytes; nothing at the end.
  core::Task<Result<std::optional<Piece>>> next();
  // Bytes of the range that are allocated: at most this much will be sent.
  core::Task<Result<std::uint64_t>> allocated_bytes();
  std::string sha256() { return hash_.finish(); }  // once, after the end

 private:
  core::Task<Result<bool>> load();  // the next chunk that is allocated; false at the end
  core::Task<void> hash_hole(std::uint64_t to);
  core::Task<Result<std::vector<storage::Device::Extent>>> window(std::uint64_t from);

  std::shared_ptr<storage::Device> device_;
  std::uint64_t from_, to_, block_;
  std::uint64_t planned_;                         // extents_ covers everything before this
  std::vector<storage::Device::Extent> extents_;  // of the present window, byte-exact, front next
  std::size_t extent_ = 0;
  std::uint64_t hashed_;  // everything before this is in the hash
  core::Buffer buffer_;
  std::uint64_t chunk_offset_ = 0;  // what buffer_ holds, byte-exact
  ByteView chunk_;                  // not yet given out
  Sha256 hash_;
};

}  // namespace capstan::services
