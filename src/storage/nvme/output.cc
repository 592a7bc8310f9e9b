// Why this file exists: see output.h.
#include "storage/nvme/output.h"

#include <utility>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

std::uint8_t* Output::append(std::size_t bytes) {
  if (chunks_.empty() || chunks_.back().joined.empty() ||
      chunks_.back().joined.size() + bytes > limits::kOutputChunkBytes) {
    chunks_.emplace_back().joined = std::exchange(spare_, {});
  }
  unsent_ += bytes;
  if (!wake_.is_set()) wake_.set();
  return chunks_.back().joined.extend(bytes);
}

void Output::take_back(std::size_t bytes) {
  Joined& joined = chunks_.back().joined;
  joined.shrink(bytes);
  unsent_ -= bytes;
  if (!joined.empty()) return;
  spare_ = std::move(joined);
  chunks_.pop_back();
}

void Output::append(core::Buffer buffer, std::size_t begin, std::size_t end, Budget::Share share) {
  chunks_.push_back({{}, std::move(buffer), begin, end, std::move(share)});
  unsent_ += end - begin;
  if (!wake_.is_set()) wake_.set();
}

core::Task<void> Output::run() {
  core::name_task("nvme output");
  while (!abandoned_) {
    if (chunks_.empty()) {
      if (closing_) break;
      wake_.reset();
      co_await wake_.wait();
      continue;
    }
    Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    const std::size_t size = chunk.view().size();
    const auto written = co_await stream_.write(chunk.view());
    unsent_ -= size;
    sent_ += size;
    if (!written) break;
    if (chunk.joined.capacity() > spare_.capacity()) {
      chunk.joined.clear();
      spare_ = std::move(chunk.joined);
    }
    if (room_.waiters() != 0) room_.notify_all();
  }
  chunks_.clear();
  unsent_ = 0;
  abandoned_ = true;
  room_.notify_all();
}

}  // namespace capstan::storage::nvme
