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
  const ByteView bytes = buffer.view().subspan(begin, end - begin);
  push({{}, std::move(buffer), {bytes, nullptr}, std::move(share)});
}

void Output::append(Loan loan, Budget::Share share) {
  push({{}, {}, std::move(loan), std::move(share)});
}

void Output::push(Chunk chunk) {
  unsent_ += chunk.view().size();
  chunks_.push_back(std::move(chunk));
  if (!wake_.is_set()) wake_.set();
}

core::Task<Result<void>> Output::write() {
  // Many short answers are no long one: nothing is won by keeping them.
  if (leaving_.long_bytes < stream_.kept_bytes()) return leaving_.write(stream_);
  auto leaving = std::make_shared<Leaving>(std::exchange(leaving_, {}));
  std::erase_if(kept_, [](const auto& each) { return each.expired(); });
  kept_.push_back(leaving);
  const std::span<const ByteView> pieces = leaving->pieces;
  return stream_.write_kept(pieces, std::move(leaving));
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
    leaving_.take(chunks_);
    const std::size_t size = leaving_.bytes;
    const auto written = co_await write();
    leaving_.forget(spare_);
    unsent_ -= size;
    sent_ += size;
    if (!written) break;
    if (room_.waiters() != 0) room_.notify_all();
  }
  chunks_.clear();
  for (const auto& each : std::exchange(kept_, {})) {
    const auto leaving = each.lock();
    if (!leaving) continue;
    for (Chunk& chunk : leaving->chunks) chunk.share.reset();
  }
  unsent_ = 0;
  abandoned_ = true;
  room_.notify_all();
}

}  // namespace capstan::storage::nvme
