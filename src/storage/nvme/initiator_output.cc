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
    leaving_.take(chunks_);
    const auto written = co_await leaving_.write(stream_);
    for (const Chunk& chunk : leaving_.chunks) {
      copied_ -= chunk.joined.size();
      if (chunk.call) returned_(*chunk.call);
    }
    leaving_.forget(spare_);
    if (!written) {
      abandoned_ = true;
      failed_(written.error());
      break;
    }
  }
  abandoned_ = true;
  for (const Chunk& chunk : std::exchange(chunks_, {})) {
    if (chunk.call) returned_(*chunk.call);
  }
}

}  // namespace capstan::storage::nvme
