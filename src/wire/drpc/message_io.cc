// Why this file exists: see message_io.h.
#include "wire/drpc/message_io.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace capstan::wire::drpc {

Result<void> MessageReader::prepare() {
  if (message_.size() > limits::kDrpcKeptBytes) message_.reset();
  // Until the framing is known, and in the legacy one, a packet may be longer than a chunk's.
  const std::size_t wanted =
      framing_ == Framing::kChunked ? kPacketBytesMax : limits::kDrpcLegacyPacketBytes;
  if (packet_.size() == wanted || packet_.resize(wanted)) return {};
  return fail(Code::kResourceExhausted, "no memory for a dRPC packet");
}

core::Task<Result<std::optional<ByteView>>> MessageReader::next() {
  CO_TRY(prepare());
  const MutableBytes parts[] = {packet_.bytes()};
  waiting_ = true;
  auto got = co_await socket_.receive(parts);
  if (!got && got.error().sys_errno == ECONNRESET) {
    // The peer closed with replies unread. Calls it had sent before are still in the socket.
    got = co_await socket_.receive(parts);
  }
  waiting_ = false;
  if (!got) co_return std::unexpected(std::move(got).error());
  if (!*got) co_return std::optional<ByteView>();
  const ByteView packet = packet_.view().first(**got);
  if (framing_ == Framing::kUndecided) framing_ = detect_framing(packet);
  if (framing_ == Framing::kNeither) {
    co_return fail(Code::kInvalidArgument, "the first packet, of " + std::to_string(**got) +
                                               " bytes, is neither a dRPC chunk nor a dRPC call");
  }
  if (framing_ == Framing::kLegacy) co_return std::optional<ByteView>(packet);
  CO_TRY_SET(const ByteView message, co_await chunked(packet));
  co_return std::optional<ByteView>(message);
}

core::Task<Result<ByteView>> MessageReader::chunked(ByteView first) {
  ChunkSequence sequence(limit_);
  CO_TRY_SET(bool complete, sequence.add(first, first.size()));
  if (complete) co_return first.subspan(kHeaderBytes);
  CO_TRY(grow(sequence));
  std::memcpy(message_.data(), first.data() + kHeaderBytes, sequence.received());
  while (!complete) {
    CO_TRY(grow(sequence));
    HeaderBytes header;  // filled by the packet
    const MutableBytes parts[] = {header,
                                  message_.bytes().subspan(sequence.received(), sequence.room())};
    CO_TRY_SET(const std::optional<std::size_t> got, co_await socket_.receive(parts));
    if (!got) {
      co_return fail(Code::kInvalidArgument, "the connection ended inside a message, after " +
                                                 std::to_string(sequence.received()) + " of " +
                                                 std::to_string(sequence.message_bytes()) +
                                                 " bytes");
    }
    CO_TRY_SET(complete, sequence.add(header, *got));
  }
  co_return message_.view().first(sequence.message_bytes());
}

// Room for the next chunk. At most kDrpcReserveBytes, or as much again, ahead of what is there.
Result<void> MessageReader::grow(const ChunkSequence& sequence) {
  const std::size_t needed = sequence.received() + sequence.room();
  if (needed <= message_.size()) return {};
  const std::size_t ahead = std::max(limits::kDrpcReserveBytes, sequence.received());
  const std::size_t wanted =
      std::min(std::max(needed, sequence.received() + ahead), sequence.message_bytes());
  if (message_.resize(wanted)) return {};
  return fail(Code::kResourceExhausted, "no room for a dRPC message of " +
                                            std::to_string(sequence.message_bytes()) +
                                            " bytes beside those of the other sessions");
}

Body MessageReader::take(ByteView part) {
  constexpr std::size_t kCheapToCopy = 4096;
  if (part.size() <= kCheapToCopy) return Body::copy(part);
  const std::less_equal<> before;
  const bool in_packet = before(packet_.view().data(), part.data()) &&
                         before(part.data() + part.size(), packet_.view().data() + packet_.size());
  Memory& holder = in_packet ? packet_ : message_;
  return Body(std::exchange(holder, Memory(in_packet ? nullptr : budget_)), part);
}

// --- sending -----------------------------------------------------------------------------------

namespace {

// Walks over the parts of a message, some bytes at a time.
class Cursor {
 public:
  explicit Cursor(std::span<const ByteView> parts) : parts_(parts) {}
  // Writes the next `bytes` as views to `out`; answers how many views.
  std::size_t take(std::size_t bytes, std::span<ByteView> out) {
    std::size_t count = 0;
    while (bytes != 0) {
      const ByteView part = parts_.front().subspan(used_);
      const ByteView piece = part.first(std::min(bytes, part.size()));
      if (!piece.empty()) out[count++] = piece;
      bytes -= piece.size();
      used_ += piece.size();
      if (used_ == parts_.front().size()) {
        parts_ = parts_.subspan(1);
        used_ = 0;
      }
    }
    return count;
  }

 private:
  std::span<const ByteView> parts_;
  std::size_t used_ = 0;
};

}  // namespace

core::Task<Result<void>> send_message(core::PacketSocket& socket, bool legacy,
                                      std::span<const ByteView> parts) {
  CAPSTAN_ASSERT(parts.size() <= kMessageParts);
  std::size_t bytes = 0;
  for (const ByteView part : parts) bytes += part.size();
  if (legacy) {
    auto sent = co_await socket.send(parts);
    if (sent || sent.error().sys_errno != EMSGSIZE) co_return sent;
    socket.reserve_send(bytes);
    co_return co_await socket.send(parts);
  }
  Cursor cursor(parts);
  const std::uint32_t count = chunk_count(bytes);
  for (std::uint32_t index = 0; index < count; ++index) {
    const ChunkHeader header = chunk_header(bytes, index);
    const HeaderBytes head = encode_header(header);
    std::array<ByteView, core::PacketSocket::kPartsMax> packet;
    packet[0] = head;
    const std::size_t views = cursor.take(header.chunk_bytes, std::span(packet).subspan(1));
    CO_TRY(co_await socket.send(std::span<const ByteView>(packet).first(1 + views)));
  }
  co_return Result<void>();
}

}  // namespace capstan::wire::drpc
