// Why this file exists: a Unix SOCK_SEQPACKET socket for programs without a reactor: it connects,
// sends and receives while the calling thread waits. What C programs link (wire/drpc/capi) stands
// on this; everything with a reactor uses core/env.h. Errors: what the operating system says;
// kDeadlineExceeded (ETIMEDOUT) when the time of set_limit() is over, after which only closing
// makes sense. Thread-safety: one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::core {

class BlockingPackets {
 public:
  // kInvalidArgument for a path that no socket address can hold.
  static Result<BlockingPackets> connect(const std::string& path);
  BlockingPackets(BlockingPackets&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), ends_at_ms_(other.ends_at_ms_) {}
  BlockingPackets& operator=(BlockingPackets&&) = delete;
  ~BlockingPackets();

  // Everything from now on must be done within so many milliseconds; negative: no limit.
  void set_limit(std::int64_t milliseconds);
  // One packet made of the parts (at most 4), one after the other.
  Result<void> send(std::span<const ByteView> parts);
  struct Received {
    std::size_t bytes = 0;   // 0: the peer closed, or sent an empty packet
    bool truncated = false;  // the packet was longer than the room for it
  };
  // The next packet into `first` and then `second`.
  Result<Received> receive(MutableBytes first, MutableBytes second);
  int descriptor() const { return descriptor_; }

 private:
  explicit BlockingPackets(int descriptor) : descriptor_(descriptor) {}
  Result<void> wait_for(short events) const;

  int descriptor_ = -1;
  std::int64_t ends_at_ms_ = -1;  // by the monotonic clock; -1: no limit
};

}  // namespace capstan::core
