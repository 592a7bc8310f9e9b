// Why this file exists: see websocket_codec.h. Masking works on 16 bytes at a time (the compiler's
// vectors, which every x86-64 has); the key is rotated so that it fits the position.
#include "wire/websocket/websocket_codec.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace capstan::wire {

namespace {

using Vector = std::uint8_t __attribute__((vector_size(16)));

constexpr std::uint8_t kLastBit = 0x80, kReservedBits = 0x70, kOpcodeBits = 0x0F;
constexpr std::uint8_t kMaskBit = 0x80, kSize16 = 126, kSize64 = 127;

std::uint16_t load_be16(const std::uint8_t* from) {
  return static_cast<std::uint16_t>(from[0] << 8 | from[1]);
}

bool is_control(WebSocketOpcode opcode) {
  return static_cast<std::uint8_t>(opcode) >= 8;
}

bool known(std::uint8_t opcode) {
  return opcode <= 2 || (opcode >= 8 && opcode <= 10);
}

// Codes that may stand in a close frame (RFC 6455 section 7.4 and its registry).
bool valid_code(std::uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace

void websocket_mask(MutableBytes bytes, WebSocketMask key, std::uint64_t position) {
  if (position % 4 != 0) {
    std::ranges::rotate(key, key.begin() + static_cast<std::ptrdiff_t>(position % 4));
  }
  Vector wide;
  for (std::size_t i = 0; i < sizeof wide; ++i) wide[i] = key[i % 4];
  std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= sizeof wide; at += sizeof wide, left -= sizeof wide) {
    Vector part;
    std::memcpy(&part, at, sizeof part);
    part ^= wide;
    std::memcpy(at, &part, sizeof part);
  }
  for (std::size_t i = 0; i < left; ++i) at[i] ^= key[i % 4];
}

std::size_t websocket_write_header(std::uint8_t* to, WebSocketOpcode opcode, bool last,
                                   std::uint64_t size, const WebSocketMask* mask) {
  to[0] = static_cast<std::uint8_t>((last ? kLastBit : 0) | static_cast<std::uint8_t>(opcode));
  std::size_t at = 2;
  if (size < kSize16) {
    to[1] = static_cast<std::uint8_t>(size);
  } else if (size <= 0xFFFF) {
    to[1] = kSize16;
    to[2] = static_cast<std::uint8_t>(size >> 8);
    to[3] = static_cast<std::uint8_t>(size);
    at = 4;
  } else {
    to[1] = kSize64;
    store_le(to + 2, __builtin_bswap64(size));
    at = 10;
  }
  if (mask) {
    to[1] |= kMaskBit;
    std::memcpy(to + at, mask->data(), mask->size());
    at += mask->size();
  }
  return at;
}

std::size_t websocket_close_payload(std::uint8_t* to, WebSocketClose code,
                                    std::string_view reason) {
  const auto number = static_cast<std::uint16_t>(code);
  to[0] = static_cast<std::uint8_t>(number >> 8);
  to[1] = static_cast<std::uint8_t>(number);
  std::size_t size = std::min(reason.size(), kWebSocketControlBytes - 2);
  while (size > 0 && !is_utf8(as_bytes(reason.substr(0, size)))) --size;
  if (size > 0) std::memcpy(to + 2, reason.data(), size);
  return 2 + size;
}

std::unexpected<Error> WebSocketDecoder::broken(WebSocketClose code, std::string_view what) {
  failed_ = true;
  failure_ = code;
  return fail(code == WebSocketClose::kTooBig ? Code::kResourceExhausted : Code::kInvalidArgument,
              "WebSocket: " + std::string(what));
}

Result<void> WebSocketDecoder::begin_frame(std::uint8_t first, std::uint64_t size) {
  using enum WebSocketClose;
  if ((first & kReservedBits) != 0) {
    return broken(kProtocolError, "a reserved bit is set, but no extension was agreed on");
  }
  if (!known(first & kOpcodeBits)) return broken(kProtocolError, "unknown opcode");
  opcode_ = static_cast<WebSocketOpcode>(first & kOpcodeBits);
  last_frame_ = (first & kLastBit) != 0;
  frame_size_ = size;
  frame_read_ = 0;
  if (masked_ != (role_ == Role::kServer)) {
    return broken(kProtocolError, role_ == Role::kServer ? "a frame of a client is not masked"
                                                         : "a frame of a server is masked");
  }
  if (is_control(opcode_)) {
    if (!last_frame_) return broken(kProtocolError, "a control frame is fragmented");
    if (size > kWebSocketControlBytes) {
      return broken(kProtocolError, "a control frame has more than 125 bytes");
    }
    return {};
  }
  if (opcode_ == WebSocketOpcode::kContinuation) {
    if (!in_message_) return broken(kProtocolError, "a continuation of nothing");
  } else {
    if (in_message_) return broken(kProtocolError, "a message begins inside of another one");
    in_message_ = true;
    message_started_ = false;
    message_text_ = opcode_ == WebSocketOpcode::kText;
    message_size_ = 0;
    utf8_.reset();
  }
  if (size > options_.frame_bytes) {
    return broken(kTooBig,
                  "a frame has more than " + std::to_string(options_.frame_bytes) + " bytes");
  }
  message_size_ += size;
  if (message_size_ > options_.message_bytes) {
    return broken(kTooBig,
                  "a message has more than " + std::to_string(options_.message_bytes) + " bytes");
  }
  return {};
}

// True once a whole header is there: first the two bytes that say how long it is, then the rest.
Result<bool> WebSocketDecoder::read_header(MutableBytes& input) {
  const auto collect = [&](std::size_t needed) {
    const std::size_t taken = std::min(needed - std::min(needed, header_size_), input.size());
    if (taken != 0) std::memcpy(header_.data() + header_size_, input.data(), taken);
    header_size_ += taken;
    input = input.subspan(taken);
    return header_size_ >= needed;
  };
  if (!collect(2)) return false;
  const std::uint8_t size = header_[1] & ~kMaskBit;
  masked_ = (header_[1] & kMaskBit) != 0;
  const std::size_t whole = 2U +
                            (size == kSize16   ? 2U
                             : size == kSize64 ? 8U
                                               : 0U) +
                            (masked_ ? 4U : 0U);
  if (!collect(whole)) return false;
  std::uint64_t length = size;
  if (size == kSize16) length = load_be16(header_.data() + 2);
  if (size == kSize64) {
    length = __builtin_bswap64(load_le<std::uint64_t>(header_.data() + 2));
    if (length >> 63 != 0) {
      return broken(WebSocketClose::kProtocolError, "the top bit of a length is set");
    }
  }
  if (masked_) std::memcpy(mask_.data(), header_.data() + whole - 4, 4);
  header_size_ = 0;
  TRY(begin_frame(header_[0], length));
  in_frame_ = true;
  return true;
}

Result<WebSocketEvent> WebSocketDecoder::close_event(ByteView payload) {
  WebSocketEvent event;
  event.kind = WebSocketEvent::Kind::kClose;
  closed_ = true;
  if (payload.empty()) {
    event.code = static_cast<std::uint16_t>(WebSocketClose::kNoCode);
    return event;
  }
  if (payload.size() == 1) {
    return broken(WebSocketClose::kProtocolError, "a close frame has half a code");
  }
  event.code = load_be16(payload.data());
  event.data = payload.subspan(2);
  if (!valid_code(event.code)) {
    return broken(WebSocketClose::kProtocolError, "a close frame has an invalid code");
  }
  if (!is_utf8(event.data)) {
    return broken(WebSocketClose::kInvalidText, "the reason of a close frame is not UTF-8");
  }
  return event;
}

Result<std::optional<WebSocketEvent>> WebSocketDecoder::read_control(MutableBytes& input) {
  const std::size_t taken = std::min<std::uint64_t>(frame_size_ - frame_read_, input.size());
  if (taken != 0) std::memcpy(control_.data() + frame_read_, input.data(), taken);
  input = input.subspan(taken);
  frame_read_ += taken;
  if (frame_read_ < frame_size_) return std::optional<WebSocketEvent>();
  in_frame_ = false;
  const MutableBytes payload(control_.data(), frame_size_);
  if (masked_) websocket_mask(payload, mask_, 0);
  if (opcode_ == WebSocketOpcode::kClose) {
    TRY_SET(const WebSocketEvent event, close_event(payload));
    return std::optional(event);
  }
  WebSocketEvent event;
  event.kind =
      opcode_ == WebSocketOpcode::kPing ? WebSocketEvent::Kind::kPing : WebSocketEvent::Kind::kPong;
  event.data = payload;
  return std::optional(event);
}

Result<std::optional<WebSocketEvent>> WebSocketDecoder::read_data(MutableBytes& input) {
  const std::size_t taken = std::min<std::uint64_t>(frame_size_ - frame_read_, input.size());
  const MutableBytes piece = input.first(taken);
  input = input.subspan(taken);
  if (masked_) websocket_mask(piece, mask_, frame_read_);
  frame_read_ += taken;
  const bool frame_ends = frame_read_ == frame_size_;
  const bool message_ends = frame_ends && last_frame_;
  if (frame_ends) in_frame_ = false;
  if (message_text_ && (!utf8_.add(piece) || (message_ends && !utf8_.complete()))) {
    return broken(WebSocketClose::kInvalidText, "a text message is not UTF-8");
  }
  WebSocketEvent event;
  event.text = message_text_;
  event.first = !message_started_;
  event.last = message_ends;
  if (last_frame_ && opcode_ != WebSocketOpcode::kContinuation) event.message_bytes = frame_size_;
  event.data = piece;
  if (message_ends) in_message_ = false;
  if (piece.empty() && !message_ends) return std::optional<WebSocketEvent>();
  message_started_ = true;
  return std::optional(event);
}

Result<std::optional<WebSocketEvent>> WebSocketDecoder::next(MutableBytes& input) {
  if (failed_) return fail(Code::kInvalidArgument, "WebSocket: the connection is broken");
  while (!closed_) {
    if (!in_frame_) {
      TRY_SET(const bool whole, read_header(input));
      if (!whole) return std::optional<WebSocketEvent>();
    }
    const bool wants_bytes = frame_read_ < frame_size_;
    if (wants_bytes && input.empty()) return std::optional<WebSocketEvent>();
    TRY_SET(const auto event, is_control(opcode_) ? read_control(input) : read_data(input));
    if (event) return event;
  }
  input = input.subspan(input.size());
  return std::optional<WebSocketEvent>();
}

}  // namespace capstan::wire
