// Why this file exists: a Replica over a volume of a Store: the block device that users of a pool
// see. Requests are split at cluster borders; what one cluster needs is in replica_io.cc.
//
// Contract beyond Device: a write to a snapshot, or to any volume with clones, is refused; parts of
// a cluster that were never written read as the ancestor's data or as zeros, whatever the disk
// under the pool leaves in discarded places (lvs-format, I7).
// Thread-safety: core 0.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/pool/pool.h"
#include "storage/pool/store.h"

namespace capstan::storage::lvs {

class ReplicaImpl final : public Replica {
 public:
  ReplicaImpl(std::shared_ptr<Store> store, std::shared_ptr<Volume> volume);

  const std::string& name() const override { return name_; }
  Uuid uuid() const override { return uuid_; }
  std::uint32_t block_size() const override { return store_->super().block_size(); }
  std::uint64_t num_blocks() const override;
  std::string_view product() const override { return "Logical Volume"; }
  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
  bool supports_unmap() const override { return true; }
  bool volatile_cache() const override { return store_->device().volatile_cache(); }
  bool atomic_4k() const override { return store_->device().atomic_4k(); }
  core::Task<Result<std::vector<Extent>>> allocated(std::uint64_t offset,
                                                    std::uint64_t length) override;

  const std::string& pool_name() const override { return store_->name(); }
  Uuid pool_uuid() const override { return store_->uuid(); }
  bool thin() const override { return volume_->blob.thin(); }
  bool read_only() const override { return !volume_->writable(); }
  bool is_snapshot() const override;
  bool is_clone() const override;
  ReplicaUsage usage() const override;
  std::uint64_t blob_id() const override { return volume_->blob.id; }
  std::optional<std::string> attribute(std::string_view key) const override;
  std::map<std::string, std::string> attributes() const override;

  const std::shared_ptr<Volume>& volume() const { return volume_; }

 private:
  enum class Kind { kWrite, kZero, kUnmap };
  // The part of a request that lies in one cluster.
  struct Segment {
    std::uint64_t index = 0, within = 0, length = 0;
    ByteView data;  // kWrite only
  };

  Result<IoGate::Pass> enter(bool change) const;
  // The part of [offset, offset+length) that lies in the cluster of `offset`.
  Segment first_segment(std::uint64_t offset, std::uint64_t length) const;
  core::Task<Result<void>> change(Kind kind, std::uint64_t offset, std::uint64_t length,
                                  ByteView data);
  core::Task<Result<void>> change_batch(Kind kind, std::span<const Segment> batch);
  core::Task<Result<void>> change_segment(Kind kind, Segment segment);
  static core::Task<void> run_segment(ReplicaImpl* self, Kind kind, Segment segment,
                                      Result<void>* result);
  bool needs_nothing(Kind kind, const Segment& segment) const;
  core::Task<Result<void>> overwrite(Kind kind, const Segment& segment, std::uint32_t cluster);
  core::Task<Result<void>> allocate(const Segment& segment, Kind kind);
  core::Task<Result<void>> fill(const Segment& segment, Kind kind, std::uint32_t cluster,
                                std::optional<std::uint32_t> ancestor);
  core::Task<Result<void>> copy_and_merge(const Segment& segment, std::uint32_t cluster,
                                          std::uint32_t ancestor);
  core::Task<Result<void>> give_back(std::uint64_t index, std::uint32_t cluster);

  struct Run {
    std::uint64_t device_offset;
    MutableBytes into;
  };
  static core::Task<void> read_run(Store* store, Run run, Result<void>* result);
  // A read of several clusters.
  core::Task<Result<void>> read_segments(std::uint64_t offset, MutableBytes into);
  core::Task<Result<void>> read_runs(std::vector<Run> runs);
  std::shared_ptr<Volume> find_volume(std::string_view uuid_text) const;

  std::shared_ptr<Store> store_;
  std::shared_ptr<Volume> volume_;
  std::string name_;
  Uuid uuid_;
};

}  // namespace capstan::storage::lvs
