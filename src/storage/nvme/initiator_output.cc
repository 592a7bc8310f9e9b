// Why this file exists: see initiator_output.h.
#include "storage/nvme/initiator_output.h"

#include <utility>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

std::uint8_t* HostOutput::append(std::size_t bytes) {
  if (chunks_.empty() || chunks_.back().call ||
      chunks_.back().joined.size() + bytes > limits::kOutputChunkBytes) {
    chunks_.emplace_back().joined = std::exchange(spare_, {});
  }
  copied_ += bytes;
  wake();
  return chunks_.back().joined.extend(bytes);
}

void HostOutput::append(ByteView data, HostCall& call) {
  if (abandoned_) return returned_(call);  // run() may be over: nobody would give it back
  chunks_.push_back({{}, data, &call});
  wake();
}

void HostOutput::abandon() {
  abandoned_ = true;
  wake();
}

core::Task<void> HostOutput::run() {
  core::name_task("nvme host output");
  while (!abandoned_) {
    if (chunks_.empty()) {
      co_await Idle{*this};
      continue;
    }
    Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    const auto written = co_await stream_.write(chunk.call ? chunk.borrowed : chunk.joined.view());
    copied_ -= chunk.joined.size();
    if (chunk.call) returned_(*chunk.call);
    if (!written) {
      abandoned_ = true;
      failed_(written.error());
      break;
    }
    if (chunk.joined.capacity() > spare_.capacity()) {
      chunk.joined.clear();
      spare_ = std::move(chunk.joined);
    }
  }
  abandoned_ = true;
  for (const Chunk& chunk : std::exchange(chunks_, {})) {
    if (chunk.call) returned_(*chunk.call);
  }
}

}  // namespace capstan::storage::nvme
