// Why this file exists: dRPC as bytes: the 24-byte chunk header, the rules a receiver holds packets
// against, the Call and Response messages, and how the unframed packets of old DAOS releases are
// told apart. Source: drpc sections 3 to 5; PROTOCOL.md beside this file shows the bytes.
//
// Nothing here does I/O or copies a body: parsed messages are views into what was parsed, and a
// message to be sent is a short prefix followed by the body wherever that lies.
// Errors of framing mean: close the session, answer nothing.
// Thread-safety: plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::wire::drpc {

inline constexpr std::size_t kPacketBytesMax = 131'072;
inline constexpr std::size_t kHeaderBytes = 24;
inline constexpr std::size_t kChunkBytesMax = kPacketBytesMax - kHeaderBytes;

// --- chunks ------------------------------------------------------------------------------------

struct ChunkHeader {
  std::uint64_t message_bytes = 0;  // of the whole message, the same in each of its chunks
  std::uint64_t chunk_bytes = 0;    // data in this packet
  std::uint32_t index = 0;
  std::uint32_t count = 1;  // of the message's chunks, at least 1
  bool operator==(const ChunkHeader&) const = default;
};
using HeaderBytes = std::array<std::uint8_t, kHeaderBytes>;

HeaderBytes encode_header(const ChunkHeader& header);
ChunkHeader decode_header(const std::uint8_t* bytes);  // kHeaderBytes of them

// How a message is cut: every chunk but the last is full, an empty message is one empty chunk.
std::uint32_t chunk_count(std::size_t message_bytes);
ChunkHeader chunk_header(std::size_t message_bytes, std::uint32_t index);

// Follows one message through its packets. The data itself is the caller's business.
class ChunkSequence {
 public:
  explicit ChunkSequence(std::size_t message_bytes_max) : limit_(message_bytes_max) {}
  // Checks the next packet, of which `head` is the beginning (the whole header when the packet is
  // that long). True when the message is complete.
  Result<bool> add(ByteView head, std::size_t packet_bytes);
  std::size_t message_bytes() const { return message_bytes_; }
  std::size_t received() const { return received_; }
  // What the next chunk may hold.
  std::size_t room() const;

 private:
  std::size_t limit_;
  std::size_t message_bytes_ = 0, received_ = 0;
  std::uint32_t next_index_ = 0, count_ = 0;
};

// --- messages ----------------------------------------------------------------------------------

// Numbers of the wire; a peer may send others, which are kept.
enum class Status : std::int32_t {
  kSuccess = 0,
  kSubmitted = 1,
  kFailure = 2,
  kUnknownModule = 3,
  kUnknownMethod = 4,
  kFailedUnmarshalCall = 5,
  kFailedUnmarshalPayload = 6,
  kFailedMarshal = 7,
};
// "UNKNOWN_MODULE"; the number for one that has no name.
std::string to_string(Status status);

// The sequence in the answer to a Call that does not parse.
inline constexpr std::int64_t kNoSequence = -1;

struct CallView {
  std::int32_t module = 0, method = 0;
  std::int64_t sequence = 0;
  ByteView body;
};
struct ResponseView {
  std::int64_t sequence = 0;
  Status status = Status::kSuccess;
  ByteView body;
};

// As protobuf reads proto3: unknown fields and known ones of another wire type are skipped, the
// last of several wins, wide varints are cut to the field. Nothing when the bytes are no such
// message.
std::optional<CallView> parse_call(ByteView message);
std::optional<ResponseView> parse_response(ByteView message);

// Everything of a message before the bytes of its body, which is the last field.
class MessagePrefix {
 public:
  static MessagePrefix call(std::int32_t module, std::int32_t method, std::int64_t sequence,
                            std::size_t body_bytes);
  static MessagePrefix response(std::int64_t sequence, Status status, std::size_t body_bytes);
  ByteView view() const { return ByteView(bytes_).first(size_); }

 private:
  void varint_field(std::uint8_t tag, std::uint64_t value);  // left out when 0
  void body_field(std::uint8_t tag, std::size_t body_bytes);
  void varint(std::uint64_t value);
  std::array<std::uint8_t, 48> bytes_{};
  std::size_t size_ = 0;
};

// --- old releases ------------------------------------------------------------------------------

// How a connection packs its messages, decided by its first packet and kept from then on.
enum class Framing : std::uint8_t {
  kUndecided,
  kChunked,
  kLegacy,  // one packet is one message, no header (DAOS before 2.8)
  kNeither,
};
Framing detect_framing(ByteView first_packet);

}  // namespace capstan::wire::drpc
