// Why this file exists: see muxio_codec.h.
#include "wire/muxio/muxio_codec.h"

#include <algorithm>
#include <utility>

#include "base/xxh3.h"

namespace capstan::wire::muxio {

namespace {

constexpr std::size_t kKindOffset = 12, kStampOffset = 13;
constexpr std::size_t kSpareStreams = 16;
// Time stamps between the years 2020 and 2100, in microseconds.
constexpr std::uint64_t kStampLeast = 1'577'836'800'000'000, kStampEnd = 4'102'444'800'000'000;

bool looks_like(ByteView first, std::size_t header_bytes,
                const std::function<bool(std::uint64_t)>& knows_method) {
  if (first.size() < header_bytes + kMessageHeaderBytes) return false;
  if (first[kKindOffset] > static_cast<std::uint8_t>(FrameKind::kEnd)) return false;
  if (load_le<std::uint32_t>(first.data() + 8) != 0) return false;
  if (first[header_bytes] != static_cast<std::uint8_t>(MessageType::kCall)) return false;
  if (header_bytes == kLongHeaderBytes) {
    const auto stamp = load_le<std::uint64_t>(first.data() + kStampOffset);
    if (stamp < kStampLeast || stamp >= kStampEnd) return false;
  }
  return knows_method(load_le<std::uint64_t>(first.data() + header_bytes + 5));
}

}  // namespace

void write_frame_header(std::uint8_t* to, std::size_t header_bytes, const FrameHeader& header,
                        std::uint64_t micros) {
  store_le(to, header.size);
  store_le(to + 4, header.stream);
  store_le(to + 8, header.sequence);
  to[kKindOffset] = static_cast<std::uint8_t>(header.kind);
  if (header_bytes == kLongHeaderBytes) store_le(to + kStampOffset, micros);
}

std::optional<std::size_t> detect_header_bytes(
    ByteView first, std::uint64_t message_bytes,
    const std::function<bool(std::uint64_t)>& knows_method, std::size_t otherwise) {
  if (first.size() < 4) return std::nullopt;
  const std::uint64_t size = load_le<std::uint32_t>(first.data());
  if (message_bytes == kLongHeaderBytes + size) return kLongHeaderBytes;
  if (message_bytes == kShortHeaderBytes + size) return kShortHeaderBytes;
  if (looks_like(first, kShortHeaderBytes, knows_method)) return kShortHeaderBytes;
  if (looks_like(first, kLongHeaderBytes, knows_method)) return kLongHeaderBytes;
  if (first.size() < kLongHeaderBytes + kMessageHeaderBytes) return std::nullopt;
  return otherwise;
}

// --- frames -------------------------------------------------------------------------------------

StreamState* FrameDecoder::find(std::uint32_t id) {
  const auto at = std::ranges::find(ids_, id);
  return at == ids_.end() ? nullptr : streams_[static_cast<std::size_t>(at - ids_.begin())].get();
}

void FrameDecoder::forget(std::uint32_t id) {
  const auto at = static_cast<std::size_t>(std::ranges::find(ids_, id) - ids_.begin());
  if (at == ids_.size()) return;
  StreamState& stream = *streams_[at];
  for (const auto& [sequence, early] : stream.early) {
    --waiting_frames_;
    waiting_bytes_ -= early.payload.size();
  }
  stream.early.clear();
  stream.next = 0;
  stream.context = nullptr;
  if (spare_.size() < kSpareStreams) spare_.push_back(std::move(streams_[at]));
  ids_[at] = ids_.back();
  ids_.pop_back();
  if (at + 1 != streams_.size()) streams_[at] = std::move(streams_.back());
  streams_.pop_back();
}

Result<void> FrameDecoder::begin_frame() {
  frame_.size = load_le<std::uint32_t>(header_);
  frame_.stream = load_le<std::uint32_t>(header_ + 4);
  frame_.sequence = load_le<std::uint32_t>(header_ + 8);
  frame_.kind = static_cast<FrameKind>(header_[kKindOffset]);
  left_ = frame_.size;
  stream_ = nullptr;
  mode_ = Mode::kDiscard;
  if (frame_.size > limits_.frame_bytes) {
    too_big_ = true;
    return fail(Code::kResourceExhausted, "Muxio: a frame announces " +
                                              std::to_string(frame_.size) + " bytes, at most " +
                                              std::to_string(limits_.frame_bytes));
  }
  if (header_[kKindOffset] > static_cast<std::uint8_t>(FrameKind::kPing)) {
    ++dropped_;
    return {};
  }
  if (frame_.kind == FrameKind::kCancel) return {};
  stream_ = find(frame_.stream);
  if (!stream_) {
    if (streams_.size() >= limits_.streams) {
      return fail(Code::kResourceExhausted, "Muxio: more than " + std::to_string(limits_.streams) +
                                                " unfinished streams on one connection");
    }
    if (spare_.empty()) spare_.push_back(std::make_unique<StreamState>());
    streams_.push_back(std::move(spare_.back()));
    spare_.pop_back();
    stream_ = streams_.back().get();
    stream_->id = frame_.stream;
    ids_.push_back(frame_.stream);
  }
  if (frame_.sequence == stream_->next) {
    mode_ = Mode::kDeliver;
    return {};
  }
  if (frame_.sequence < stream_->next || stream_->early.contains(frame_.sequence)) {
    ++dropped_;
    return {};
  }
  return keep(*stream_);
}

Result<void> FrameDecoder::keep(StreamState& stream) {
  if (waiting_frames_ + 1 > limits_.waiting_frames ||
      waiting_bytes_ + frame_.size > limits_.waiting_bytes) {
    too_big_ = waiting_frames_ + 1 <= limits_.waiting_frames;
    return fail(Code::kResourceExhausted, "Muxio: too much arrives out of order");
  }
  ++waiting_frames_;
  waiting_bytes_ += frame_.size;
  std::string& payload = stream.early.emplace(frame_.sequence, StreamState::Early{frame_.kind, {}})
                             .first->second.payload;
  payload.reserve(frame_.size);
  mode_ = Mode::kKeep;
  return {};
}

// The frame at the stream's turn is complete: it, and what waited for it.
void FrameDecoder::finish_in_order(StreamState& stream, FrameKind kind) {
  const std::uint32_t id = stream.id;
  while (true) {
    ++stream.next;
    if (kind == FrameKind::kEnd) {
      events_.on_end(stream);
      return forget(id);
    }
    const auto waiting = stream.early.find(stream.next);
    if (waiting == stream.early.end()) return;
    const auto early = stream.early.extract(waiting);
    --waiting_frames_;
    waiting_bytes_ -= early.mapped().payload.size();
    kind = early.mapped().kind;
    if (!early.mapped().payload.empty()) {
      events_.on_data(stream, as_bytes(early.mapped().payload));
    }
  }
}

Result<void> FrameDecoder::end_frame() {
  const Mode mode = std::exchange(mode_, Mode::kHeader);
  if (mode == Mode::kDeliver) {
    finish_in_order(*stream_, frame_.kind);
  } else if (mode == Mode::kDiscard && frame_.kind == FrameKind::kCancel) {
    events_.on_cancel(frame_.stream, find(frame_.stream));
    forget(frame_.stream);
  }
  return {};
}

Result<void> FrameDecoder::receive(ByteView bytes) {
  while (!bytes.empty()) {
    if (mode_ == Mode::kHeader) {
      const std::size_t taken = std::min(header_bytes_ - header_read_, bytes.size());
      std::memcpy(header_ + header_read_, bytes.data(), taken);
      header_read_ += taken;
      bytes = bytes.subspan(taken);
      if (header_read_ < header_bytes_) return {};
      header_read_ = 0;
      TRY(begin_frame());
    }
    const ByteView piece = bytes.first(std::min(left_, bytes.size()));
    bytes = bytes.subspan(piece.size());
    left_ -= piece.size();
    if (!piece.empty()) {
      if (mode_ == Mode::kDeliver) events_.on_data(*stream_, piece);
      if (mode_ == Mode::kKeep) {
        stream_->early.find(frame_.sequence)->second.payload.append(as_text(piece));
      }
    }
    if (left_ == 0) TRY(end_frame());
  }
  return {};
}

// --- messages -----------------------------------------------------------------------------------

void write_message_header(std::uint8_t* to, const MessageHeader& header) {
  to[0] = static_cast<std::uint8_t>(header.type);
  store_le(to + 1, header.request);
  store_le(to + 5, header.method);
  store_le(to + 13, header.metadata_bytes);
}

std::uint64_t method_id(std::string_view name) {
  return xxh3_64(as_bytes(name));
}

Result<bool> MessageDecoder::add(ByteView& piece) {
  if (complete_) return true;
  while (true) {
    const std::size_t needed =
        kMessageHeaderBytes + (bytes_.size() < kMessageHeaderBytes ? 0 : header_.metadata_bytes);
    const std::size_t taken = std::min(needed - bytes_.size(), piece.size());
    bytes_.append(as_text(piece.first(taken)));
    piece = piece.subspan(taken);
    if (bytes_.size() < needed) return false;
    if (needed > kMessageHeaderBytes || complete_) return complete_ = true;
    const auto* from = reinterpret_cast<const std::uint8_t*>(bytes_.data());
    if (from[0] > static_cast<std::uint8_t>(MessageType::kEvent)) {
      return fail(Code::kInvalidArgument, "Muxio: a message of an unknown type");
    }
    header_ = {static_cast<MessageType>(from[0]), load_le<std::uint32_t>(from + 1),
               load_le<std::uint64_t>(from + 5), load_le<std::uint16_t>(from + 13)};
    if (header_.metadata_bytes == 0) return complete_ = true;
  }
}

void MessageDecoder::clear() {
  bytes_.clear();
  header_ = {};
  complete_ = false;
}

// --- records ------------------------------------------------------------------------------------

Result<std::optional<ByteView>> RecordDecoder::next() {
  if (begin_ != 0 && (begin_ == buffer_.size() || begin_ >= buffer_.size() / 2)) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  if (error_ || buffered() < kRecordHeaderBytes) return std::optional<ByteView>();
  const auto* from = reinterpret_cast<const std::uint8_t*>(buffer_.data()) + begin_;
  const auto size = load_le<std::uint32_t>(from);
  if (size == kErrorRecord) {
    error_ = true;
    begin_ += kRecordHeaderBytes;
    return std::optional<ByteView>();
  }
  if (size > limit_) {
    return fail(Code::kResourceExhausted, "a message of " + std::to_string(size) +
                                              " bytes exceeds the limit of " +
                                              std::to_string(limit_));
  }
  if (buffered() - kRecordHeaderBytes < size) return std::optional<ByteView>();
  begin_ += kRecordHeaderBytes + size;
  return std::optional(ByteView(from + kRecordHeaderBytes, size));
}

void RecordDecoder::clear() {
  buffer_.clear();
  begin_ = 0;
  error_ = false;
}

}  // namespace capstan::wire::muxio
