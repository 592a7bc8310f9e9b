// Why this file exists: what leaves a connection, in order: short answers are joined in memory,
// long data leaves from where it lies (the buffer it was read into, with its header and completion
// around it, or a device's own memory), and one write gathers what there is of both. Where the
// stream can send without a copy (Stream::kept_bytes), memory and shares stay until the kernel is
// done with them.
// Thread-safety: one core at a time. run() ends after close() when everything has left, or with the
// stream; from then on no share is held, though the kernel may still have memory.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "core/buffer.h"
#include "core/env.h"
#include "core/sync.h"
#include "storage/device/device.h"
#include "storage/nvme/budget.h"
#include "storage/nvme/gathered.h"

namespace capstan::storage::nvme {

class Output {
 public:
  explicit Output(core::Stream& stream) : stream_(stream) {}

  // Room for `bytes`, to be filled at once.
  std::uint8_t* append(std::size_t bytes);
  // Undoes the last append(bytes), at once.
  void take_back(std::size_t bytes);
  // [begin, end) of the buffer; `share` is given back when it has left.
  void append(core::Buffer buffer, std::size_t begin, std::size_t end, Budget::Share share);
  // The same of what a device has lent.
  void append(Loan loan, Budget::Share share);
  // Nothing leaves any more: do not append.
  bool gone() const { return abandoned_; }
  // Something lies here that is not being written yet.
  bool waiting() const { return !chunks_.empty(); }
  std::size_t unsent() const { return unsent_; }
  std::uint64_t sent() const { return sent_; }
  core::Event& room() { return room_; }

  // Writes until the stream fails or, after close(), nothing is left.
  core::Task<void> run();
  void close() {
    closing_ = true;
    wake_.set();
  }
  // What has not left never will; run() ends.
  void abandon() {
    abandoned_ = true;
    wake_.set();
    room_.notify_all();
  }

 private:
  struct Chunk {
    Joined joined;        // this, or
    core::Buffer buffer;  // this or nothing, and
    Loan loan;            // where it lies
    Budget::Share share;
    ByteView view() const { return joined.empty() ? loan.bytes : joined.view(); }
  };
  using Leaving = Gathered<Chunk>;
  void push(Chunk chunk);
  core::Task<Result<void>> write();

  core::Stream& stream_;
  std::deque<Chunk> chunks_;
  Leaving leaving_;
  std::vector<std::weak_ptr<Leaving>> kept_;  // that the kernel may still send from
  Joined spare_;
  std::size_t unsent_ = 0;
  std::uint64_t sent_ = 0;
  bool closing_ = false, abandoned_ = false;
  core::Event wake_, room_;
};

}  // namespace capstan::storage::nvme
