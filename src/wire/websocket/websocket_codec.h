// Why this file exists: RFC 6455 framing without I/O, both sides: bytes in, events out, and the
// headers of what is sent. Nothing is buffered but headers and control frames: the payload of data
// frames is handed on in the pieces in which it arrived, unmasked in place, so memory is bounded
// whatever a peer announces. No extension is ever agreed on, so RSV bits are protocol errors.
//
// Thread-safety: one owner. Lifetimes: the views of an event point into the input given to next()
// or into the decoder, and are valid until its next call.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/utf8.h"

namespace capstan::wire {

enum class WebSocketOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// Close codes (RFC 6455 section 7.4.1) that we send.
enum class WebSocketClose : std::uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kNoCode = 1005,  // never sent: the peer's close frame had no code
  kInvalidText = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
};

inline constexpr std::size_t kWebSocketHeaderBytes = 14;    // at most
inline constexpr std::size_t kWebSocketControlBytes = 125;  // payload of a control frame

using WebSocketMask = std::array<std::uint8_t, 4>;

// XORs `bytes` with the key, whose first byte belongs to position 0 of the frame; `position` is
// that of bytes[0]. Masking and unmasking are the same.
void websocket_mask(MutableBytes bytes, WebSocketMask key, std::uint64_t position);

// Writes the header of a frame and returns its size; `to` has room for kWebSocketHeaderBytes.
std::size_t websocket_write_header(std::uint8_t* to, WebSocketOpcode opcode, bool last,
                                   std::uint64_t size, const WebSocketMask* mask);
// The size that header will have.
constexpr std::size_t websocket_header_size(std::uint64_t size, bool masked) {
  return (size <= 125 ? 2U : size <= 0xFFFF ? 4U : 10U) + (masked ? 4U : 0U);
}

struct WebSocketEvent {
  enum class Kind : std::uint8_t { kData, kPing, kPong, kClose } kind = Kind::kData;
  // kData: a piece of a message. An empty message is one event with no data.
  bool text = false;
  bool first = false;               // the message begins with this piece
  bool last = false;                // and ends with it
  std::uint64_t message_bytes = 0;  // of the whole message, 0 when it comes in several frames
  ByteView data;                    // kPing, kPong: the payload; kClose: the reason
  std::uint16_t code = 0;           // kClose: kNoCode when there was none
};

class WebSocketDecoder {
 public:
  enum class Role { kServer, kClient };  // ours: servers demand masked frames, clients forbid them
  struct Options {
    std::uint64_t frame_bytes = limits::kWebSocketFrameBytes;
    std::uint64_t message_bytes = limits::kWebSocketMessageBytes;
  };
  explicit WebSocketDecoder(Role role) : WebSocketDecoder(role, Options()) {}
  WebSocketDecoder(Role role, const Options& options) : role_(role), options_(options) {}

  // The next event, taking what it needs off the front of `input`, whose bytes may change. Nothing
  // when all of `input` was taken and more is needed. After an error nothing more can be decoded;
  // failure() is the code to close with. Events after kClose are not to be expected: what follows a
  // close frame is ignored.
  Result<std::optional<WebSocketEvent>> next(MutableBytes& input);
  WebSocketClose failure() const { return failure_; }

 private:
  Result<bool> read_header(MutableBytes& input);
  Result<void> begin_frame(std::uint8_t first, std::uint64_t size);
  Result<std::optional<WebSocketEvent>> read_control(MutableBytes& input);
  Result<std::optional<WebSocketEvent>> read_data(MutableBytes& input);
  Result<WebSocketEvent> close_event(ByteView payload);
  std::unexpected<Error> broken(WebSocketClose code, std::string_view what);

  Role role_;
  Options options_;
  WebSocketClose failure_ = WebSocketClose::kProtocolError;
  bool failed_ = false, closed_ = false;

  std::array<std::uint8_t, kWebSocketHeaderBytes> header_{};
  std::size_t header_size_ = 0;  // collected
  bool in_frame_ = false;

  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;  // of the present frame
  bool last_frame_ = false;
  std::uint64_t frame_size_ = 0, frame_read_ = 0;
  WebSocketMask mask_{};
  bool masked_ = false;

  bool in_message_ = false, message_text_ = false, message_started_ = false;
  std::uint64_t message_size_ = 0;  // of the frames so far
  Utf8Check utf8_;

  std::array<std::uint8_t, kWebSocketControlBytes> control_{};
};

// The payload of a close frame: the code and a reason of at most 123 bytes (cut between
// characters). `to` has room for kWebSocketControlBytes; returns the size.
std::size_t websocket_close_payload(std::uint8_t* to, WebSocketClose code, std::string_view reason);

}  // namespace capstan::wire
