// Why this file exists: a file or a disk as a Device (aio://, uring://, plain paths). All I/O goes
// through core::File, with O_DIRECT where the file takes it; memory of callers that O_DIRECT would
// refuse goes through a bounce buffer in pieces. The file must exist; nothing here creates one.
//
// Block size: as asked for; 0 means the disk's own logical block, and 512 for a file. A disk is
// opened exclusively, so one that is mounted or used by another program is refused.
// UUID: as asked for, else a name-based one of the path, so that it is the same after a restart.
// Atomicity: atomic_4k() only when the logical or physical block reported is 4096 or more; a file
// says what its file system's disk reports, which is 512 when it is not known.
// Thread-safety: the core that opened it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/block_events.h"
#include "core/env.h"
#include "storage/device/device.h"

namespace capstan::storage {

struct FileDeviceOptions {
  std::string path;  // absolute
  std::uint32_t block_size = 0;
  std::optional<Uuid> uuid = {};
  std::string_view product = "AIO disk";  // a literal
  std::string name = {};                  // of the device; empty: the path
  bool read_only = false;                 // every change fails; the file needs no write permission
};

class FileDevice final : public Device {
 public:
  // The error's errno says what kind of failure it was: ENOENT, EINVAL (block size), EBUSY …
  static core::Task<Result<std::shared_ptr<FileDevice>>> open(core::Env& env,
                                                              FileDeviceOptions options);

  const std::string& name() const override { return options_.name; }
  Uuid uuid() const override { return *options_.uuid; }
  std::uint32_t block_size() const override { return options_.block_size; }
  std::uint64_t num_blocks() const override { return num_blocks_; }
  std::string_view product() const override { return options_.product; }

  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;

  bool supports_unmap() const override { return file_->info().discard; }
  bool volatile_cache() const override { return file_->info().volatile_cache; }
  bool atomic_4k() const override;
  core::Task<Result<bool>> rescan() override;
  // Of a disk or partition; nothing when it is a regular file.
  std::optional<core::BlockNumber> block_number() const;

 private:
  // `options` with block_size and uuid decided.
  FileDevice(std::unique_ptr<core::File> file, FileDeviceOptions options);
  bool must_bounce(const std::uint8_t* memory) const;
  core::Task<Result<void>> read_piece(std::uint64_t offset, MutableBytes into);
  core::Task<Result<void>> read_bounced(std::uint64_t offset, MutableBytes into);
  core::Task<Result<void>> write_bounced(std::uint64_t offset, ByteView from);
  core::Task<Result<void>> write_zero_pieces(std::uint64_t offset, std::uint64_t length);

  std::unique_ptr<core::File> file_;
  FileDeviceOptions options_;
  std::uint64_t num_blocks_;
};

}  // namespace capstan::storage
