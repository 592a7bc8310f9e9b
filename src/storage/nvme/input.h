// Why this file exists: bytes of a connection in the pieces that PDUs have: so many contiguous ones
// for a header, so many into a buffer for data. Long data goes from the socket to its place without
// a copy. Thread-safety: one core.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "core/env.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

class Input {
 public:
  explicit Input(core::Stream& stream)
      : stream_(stream),
        buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(limits::kReadBytes)) {}

  bool has(std::size_t bytes) const { return end_ - begin_ >= bytes; }
  const std::uint8_t* data() const { return buffer_.get() + begin_; }
  void consume(std::size_t bytes) { begin_ += bytes; }
  std::uint64_t received() const { return received_; }

  // Reads until there are `bytes` at data(); false when the connection ended before. Whatever
  // data() pointed to may have moved.
  core::Task<bool> fill(std::size_t bytes) {
    if (begin_ != 0) {
      std::copy(buffer_.get() + begin_, buffer_.get() + end_, buffer_.get());
      end_ -= begin_;
      begin_ = 0;
    }
    // Behind long data there may be more of it: what is read with its header is copied twice.
    const std::size_t most =
        std::exchange(behind_long_, false) ? limits::kHeaderReadBytes : limits::kReadBytes;
    while (end_ < bytes) {
      const auto got =
          co_await stream_.read(MutableBytes(buffer_.get() + end_, std::max(most, bytes) - end_));
      if (!got || *got == 0) co_return false;
      end_ += *got;
      received_ += *got;
    }
    co_return true;
  }
  // Takes what is there already; answers what is still missing of `into`.
  MutableBytes take(MutableBytes into) {
    const std::size_t ready = std::min(into.size(), end_ - begin_);
    std::copy_n(data(), ready, into.data());
    consume(ready);
    return into.subspan(ready);
  }
  // The next bytes of the connection, as many as `into` has.
  core::Task<bool> read(MutableBytes into) {
    into = take(into);
    const bool direct = into.size() >= limits::kDirectReadBytes;
    while (!into.empty()) {
      if (!direct) {
        if (!co_await fill(1)) co_return false;
        into = take(into);
        continue;
      }
      const auto got = co_await stream_.read(into);
      if (!got || *got == 0) co_return false;
      received_ += *got;
      into = into.subspan(*got);
      behind_long_ = true;
    }
    co_return true;
  }
  // Reads and forgets.
  core::Task<bool> skip(std::uint64_t bytes) {
    while (true) {
      const auto ready = std::min<std::uint64_t>(bytes, end_ - begin_);
      consume(ready);
      bytes -= ready;
      if (bytes == 0) co_return true;
      if (!co_await fill(1)) co_return false;
    }
  }

 private:
  core::Stream& stream_;
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t received_ = 0;
  bool behind_long_ = false;  // the last bytes went to their place unbuffered
};

}  // namespace capstan::storage::nvme
