// Why this file exists: what leaves a host's queue, in order: commands of one turn are joined in
// memory, long data leaves from the caller's, and one write gathers both. A call whose memory is
// still on its way out is told when it no longer is. Thread-safety: one core.
#pragma once

#include <deque>
#include <functional>

#include "core/env.h"
#include "storage/nvme/gathered.h"

namespace capstan::storage::nvme {

struct HostCall;

class HostOutput {
 public:
  // `returned` is called when a call's memory has left, or never will; `failed` when a write did.
  HostOutput(core::Stream& stream, std::function<void(HostCall&)> returned,
             std::function<void(const Error&)> failed)
      : stream_(stream), returned_(std::move(returned)), failed_(std::move(failed)) {}

  // Room for `bytes`, to be filled at once.
  std::uint8_t* append(std::size_t bytes);
  // `data` is the caller's until returned(call), which comes at once when nothing leaves any more.
  void append(ByteView data, HostCall& call);

  // Bytes of append(bytes) that have not left.
  std::size_t copied() const { return copied_; }

  // Writes until the stream fails or abandon(); gives back all memory.
  core::Task<void> run();
  // What has not left never will; run() ends when the write in flight has.
  void abandon();

 private:
  struct Chunk {
    Joined joined;
    ByteView borrowed;
    HostCall* call = nullptr;
    ByteView view() const { return call ? borrowed : joined.view(); }
  };
  struct Idle {
    HostOutput& output;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { output.waiter_ = handle; }
    void await_resume() const noexcept {}
  };
  void wake() {
    if (waiter_) core::Reactor::current()->make_ready(std::exchange(waiter_, {}));
  }

  core::Stream& stream_;
  std::function<void(HostCall&)> returned_;
  std::function<void(const Error&)> failed_;
  std::deque<Chunk> chunks_;
  Gathered<Chunk> leaving_;
  Joined spare_;
  core::Suspended waiter_;
  std::size_t copied_ = 0;
  bool abandoned_ = false;
};

}  // namespace capstan::storage::nvme
