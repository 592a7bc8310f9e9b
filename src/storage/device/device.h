// Why this file exists: a Device is anything with blocks, and the seam on which pools, targets and
// mirrors meet:
//
//     Device ◄── FileDevice   MemoryDevice   NullDevice   ErrorInjectingDevice
//            ◄── Replica (storage/pool)   Nexus (storage/nexus)   Initiator (storage/nvme)
//
//     URI ─► parse_device_uri ─► DeviceRegistry ─► Device ─► claimed by a pool, shared, listed
//
// Offsets and lengths are bytes and multiples of block_size(); a range outside of the device or
// not aligned is kOutOfRange / kInvalidArgument and changes nothing. Buffers need no alignment
// (a device that needs it copies). A completed write is visible to every later read; it is durable
// after a later flush() has returned (or at once when !volatile_cache()).
// Lifetimes: a device is owned by shared_ptr; buffers stay valid until the awaited call returns.
// Thread-safety: a device belongs to one core (today core 0).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "core/task.h"

namespace capstan::storage {

// Counters since creation or the last reset; latencies in nanoseconds.
struct IoStats {
  struct Kind {
    std::uint64_t ops = 0, bytes = 0, latency_ns = 0, max_latency_ns = 0, min_latency_ns = 0;
    void add(std::uint64_t op_bytes, std::uint64_t op_latency_ns);
  };
  Kind read, write, unmap;
};

// Bytes of a device where they lie, for whoever sends them: they stay there, and stay the same,
// until `memory` is dropped, on whatever core, whatever becomes of the blocks or the device.
struct Loan {
  ByteView bytes;
  std::shared_ptr<const void> memory;  // null: they stay for ever
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  virtual ~Device() = default;

  virtual const std::string& name() const = 0;
  virtual Uuid uuid() const = 0;
  virtual std::uint32_t block_size() const = 0;  // bytes, a power of two, 512 … 64 KiB
  virtual std::uint64_t num_blocks() const = 0;
  std::uint64_t size_bytes() const { return num_blocks() * block_size(); }
  virtual std::string_view product() const = 0;  // "AIO disk", "Malloc disk" …: what lists show

  virtual core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) = 0;
  virtual core::Task<Result<void>> write(std::uint64_t offset, ByteView from) = 0;
  virtual core::Task<Result<void>> flush() = 0;
  // Content afterwards: zeros or unchanged or, on some disks, anything: never rely on it.
  virtual core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) = 0;
  virtual core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) = 0;

  virtual bool supports_unmap() const { return false; }
  // Blocks that were never written take no space.
  virtual bool thin() const { return false; }
  virtual bool volatile_cache() const { return true; }
  // A 4096-byte aligned write of 4096 bytes is never torn by a power cut.
  virtual bool atomic_4k() const { return block_size() >= 4096; }
  // Re-reads the size (a file or disk that grew); true when it changed.
  virtual core::Task<Result<bool>> rescan() { co_return false; }

  // --- optional capabilities (null / nothing when a device lacks them) ---
  // Ranges that hold data inside [offset, offset+length), ascending, not overlapping; what lies
  // between them reads as zeros. Default: the whole range is data.
  struct Extent {
    std::uint64_t offset, length;
  };
  virtual core::Task<Result<std::vector<Extent>>> allocated(std::uint64_t offset,
                                                            std::uint64_t length);

  // A device that is memory does these on the spot, without a coroutine, and counts them in
  // stats(). False: not this time; read() or write() does it or says why not.
  virtual bool in_memory() const { return false; }
  virtual bool read_now(std::uint64_t /*offset*/, MutableBytes /*into*/) { return false; }
  virtual bool write_now(std::uint64_t /*offset*/, ByteView /*from*/) { return false; }
  // Reads the range by lending it, as at most length / 64 KiB + 2 pieces that are appended to
  // `loans`. False: it does not, and has appended nothing; read() is the way then.
  virtual bool lend(std::uint64_t /*offset*/, std::uint64_t /*length*/,
                    std::vector<Loan>& /*loans*/) {
    return false;
  }

  // --- claims: a device is claimed by its one exclusive user before use ---
  // Fails with kFailedPrecondition naming the owner when it is claimed already.
  Result<void> claim(std::string owner);
  void release();
  bool claimed() const { return owner_.has_value(); }
  const std::string& claimed_by() const { return *owner_; }  // only when claimed()

  // Taken away under its users: from now on every operation fails with kUnavailable (ENODEV). The
  // registry calls it when a device is destroyed, so that a pool still holding it cannot write to
  // a disk that somebody else may open next.
  void retire() { retired_ = true; }
  bool retired() const { return retired_; }

  IoStats& stats() { return stats_; }

 protected:
  // kInvalidArgument when unaligned, kOutOfRange when outside, kUnavailable when retired; names the
  // device. Every operation starts with it; flush() checks (0, 0).
  Result<void> check_range(std::uint64_t offset, std::uint64_t length) const;

 private:
  std::optional<std::string> owner_;
  bool retired_ = false;
  IoStats stats_;
};

}  // namespace capstan::storage
