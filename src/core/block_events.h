// Why this file exists: what a file system may be able to do beside core/env.h's FileSystem, for
// whoever uses disks and has to know when one of them is pulled or changes its size while nobody
// reads or writes it: hear what the kernel says of its devices, and ask whether it still has one.
// A FileSystem that can is also BlockEvents, a File of a disk is also a BlockNode (dynamic_cast).
// Lifetimes: the file system outlives what it gave out. Thread-safety: the core that asked.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "core/task.h"

namespace capstan::core {

// How the kernel tells disks and partitions apart. One that is open keeps its number, so it never
// becomes that of another one meanwhile.
struct BlockNumber {
  std::uint32_t major = 0, minor = 0;
  auto operator<=>(const BlockNumber&) const = default;
};

class BlockNode {
 public:
  virtual ~BlockNode() = default;
  // Nothing: a regular file.
  virtual std::optional<BlockNumber> block_number() const = 0;
};

// The kernel's messages about devices of all kinds ("uevents"), in its own words.
class KernelMessages {
 public:
  virtual ~KernelMessages() = default;  // no next() may be in flight
  // Waits for the next message; one that is longer than `into` is cut. kResourceExhausted: so many
  // came at once that some were lost; kCancelled: after cancel().
  virtual Task<Result<std::size_t>> next(MutableBytes into) = 0;
  virtual void cancel() = 0;
};

class BlockEvents {
 public:
  virtual ~BlockEvents() = default;
  // Messages from here on. An error says why there are none here.
  virtual Result<std::unique_ptr<KernelMessages>> listen_kernel() = 0;
  // Whether the kernel has the disk; nothing when it cannot be asked. One that was pulled stays
  // open and is not there.
  virtual std::optional<bool> is_there(BlockNumber number) const = 0;
};

}  // namespace capstan::core
