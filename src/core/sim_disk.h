// Why this file exists: a simulated disk (or the content of a simulated file): SimMedia behind
// operations that take virtual time, complete out of order, fail when told to, and die with the
// power of their node. What a File does with real disks, a file from open() does here, including
// refusing misaligned direct I/O.
#pragma once

#include <cerrno>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/sim_media.h"
#include "core/sim_power.h"

namespace capstan::core {

class SimWorld;

struct SimDiskOptions {
  std::uint64_t size_bytes = 64U << 20;
  std::uint32_t block_bytes = 512;  // logical block
  // 4096: an aligned 4 KiB write is never torn; 512: only sectors are atomic.
  std::uint32_t physical_block_bytes = 512;
  bool volatile_cache = true;  // false: completed writes survive
  bool lying_sync = false;     // syncs answer and do nothing: tests of tests
  bool discard = true;         // deallocate() works
  // What a deallocated range reads as: kMixed decides per 4 KiB.
  enum class Deallocate { kZeroes, kOldData, kMixed } deallocate = Deallocate::kZeroes;
  Nanos min_latency = 20'000, max_latency = 200'000;  // of one operation; syncs take up to 5 times
};

// The next operations of a kind that touch the range fail. A failed write leaves a mixture of old
// and new units.
struct SimFault {
  enum class Kind { kRead, kWrite, kSync, kDeallocate } kind = Kind::kRead;
  std::uint64_t offset = 0, length = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t skip = 0;   // let this many pass first
  std::uint64_t times = 1;  // then fail this many
  int sys_errno = EIO;
};

// Looks at a disk from outside, between its operations: for checkers of what is written when.
class SimDiskWatcher {
 public:
  virtual ~SimDiskWatcher() = default;
  // A write, zeroing or deallocation begins, or is complete and visible to reads.
  virtual void begins(std::uint64_t offset, std::uint64_t length) = 0;
  virtual void completed(std::uint64_t offset, std::uint64_t length) = 0;
  // More is durable than before: a sync was completed.
  virtual void settled() = 0;
  // The power failed or the process was killed: anything may have changed.
  virtual void power_failed() = 0;
};

class SimDisk final : public SimPower::Listener {
 public:
  enum class Kind { kDisk, kFile };
  SimDisk(SimWorld& world, SimPower& power, std::string path, Kind kind, SimDiskOptions options);
  ~SimDisk() override;
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  const SimDiskOptions& options() const { return options_; }
  void inject(SimFault fault) { faults_.push_back(fault); }
  void clear_faults() { faults_.clear(); }
  // A disk that was enlarged under the node (File::refresh() sees it).
  void grow(std::uint64_t size_bytes);
  // For checkers: the content without simulated I/O. After power_on() it is what survived.
  void peek(std::uint64_t offset, MutableBytes into) const { media_.read(offset, into); }
  std::vector<std::uint8_t> image() const;
  // What would be there if the power failed now and nothing else survived.
  void peek_durable(std::uint64_t offset, MutableBytes into) const {
    media_.read_durable(offset, into);
  }
  // Null: nobody. The watcher outlives the disk or is taken away.
  void watch(SimDiskWatcher* watcher) { watcher_ = watcher; }
  // For preparing content before a test: durable at once.
  void poke(std::uint64_t offset, ByteView from);
  std::uint64_t size() const { return media_.size(); }
  // Handles that work: a power cut ends all of them, also those that were not destroyed yet.
  std::size_t opens() const { return live_opens_; }

  void power_failed(SimPower::Cut cut) override;

  // A handle; the file system's open() calls this. `self` keeps a file's content alive.
  std::unique_ptr<File> open(OpenOptions options, std::shared_ptr<SimDisk> self);

 private:
  friend class SimDiskFile;
  struct InFlight;
  enum class Operation : std::uint8_t { kRead, kWrite, kZero, kDeallocate, kSync, kResize };
  Nanos latency(Operation operation);
  // The errno of the fault that strikes this operation, or 0.
  int strike(SimFault::Kind kind, std::uint64_t offset, std::uint64_t length);
  // The changes that deallocating the range makes on this disk.
  std::vector<SimChange> deallocation(std::uint64_t offset, std::uint64_t length);

  SimWorld& world_;
  SimPower& power_;
  std::string path_;
  Kind kind_;
  SimDiskOptions options_;
  SimMedia media_;
  std::vector<SimFault> faults_;
  std::vector<InFlight*> in_flight_;
  std::size_t opens_ = 0, live_opens_ = 0;
  SimDiskWatcher* watcher_ = nullptr;
};

}  // namespace capstan::core
