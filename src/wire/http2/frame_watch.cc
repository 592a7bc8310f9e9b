// Why this file exists: see frame_watch.h. Layout of a frame header: RFC 9113 section 4.1.
#include "wire/http2/frame_watch.h"

#include <algorithm>
#include <cstring>

namespace capstan::wire {

namespace {
constexpr std::uint8_t kData = 0, kHeaders = 1, kReset = 3;
constexpr std::uint8_t kEndStream = 1;
}  // namespace

FrameWatch::Step FrameWatch::look(ByteView bytes) {
  Step step;
  while (step.bytes < bytes.size()) {
    const ByteView rest = bytes.subspan(step.bytes);
    if (skip_ != 0) {
      const std::size_t skipped = std::min(skip_, rest.size());
      skip_ -= skipped;
      step.bytes += skipped;
      continue;
    }
    const std::size_t taken = std::min(kHeaderBytes - header_bytes_, rest.size());
    std::memcpy(header_.data() + header_bytes_, rest.data(), taken);
    header_bytes_ += static_cast<std::uint8_t>(taken);
    step.bytes += taken;
    if (header_bytes_ == kHeaderBytes && header_is_wrong(step)) break;
  }
  return step;
}

bool FrameWatch::header_is_wrong(Step& step) {
  header_bytes_ = 0;
  skip_ = load_be32(header_.data()) >> 8;
  const std::uint8_t type = header_[3], flags = header_[4];
  const auto stream = static_cast<std::int32_t>(load_be32(header_.data() + 5) & 0x7FFF'FFFFU);
  if (type == kReset) history_.reset(stream);
  if (type != kData && type != kHeaders) return false;
  using Fate = StreamHistory::Fate;
  const auto fate = history_.of(stream);
  if (type == kHeaders) history_.opened(stream);
  if ((flags & kEndStream) != 0) history_.ended(stream);
  if (fate == Fate::kUnknown || fate == Fate::kUsed) return false;
  step.wrong = fate;
  step.stream = stream;
  return true;
}

}  // namespace capstan::wire
