// Why this file exists: Muxio's bytes without I/O (muxio-wire sections 3 to 6): frames with both
// header sizes, streams put back in order, the RPC message inside of a stream, and the records in
// which we put several messages into one stream. PROTOCOL.md beside this file has the tables.
//
// Memory: the payload of frames that arrive in order is handed on in the pieces in which it came;
// only frames that arrive early are kept, within limits.
// Thread-safety: one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"

namespace capstan::wire::muxio {

// --- frames -------------------------------------------------------------------------------------

enum class FrameKind : std::uint8_t { kOpen, kData, kEnd, kCancel, kPong, kPing };

// Muxio up to 0.14 has a time stamp in the header, 0.15 does not.
inline constexpr std::size_t kLongHeaderBytes = 21;
inline constexpr std::size_t kShortHeaderBytes = 13;

struct FrameHeader {
  std::uint32_t size = 0;  // of the payload
  std::uint32_t stream = 0, sequence = 0;
  FrameKind kind = FrameKind::kData;
};

// Writes `header_bytes` bytes; `micros` since the Unix epoch goes into long headers.
void write_frame_header(std::uint8_t* to, std::size_t header_bytes, const FrameHeader& header,
                        std::uint64_t micros);

// Which of the two sizes the headers of a connection have, from its first bytes (section 4).
// `message_bytes` is the size of the WebSocket message they began with, 0 when unknown;
// `knows_method` says whether a method id is served. Nothing: more bytes are needed.
std::optional<std::size_t> detect_header_bytes(
    ByteView first, std::uint64_t message_bytes,
    const std::function<bool(std::uint64_t)>& knows_method, std::size_t otherwise);

struct StreamState {
  std::uint32_t id = 0;
  void* context = nullptr;  // of whoever listens to the events

 private:
  friend class FrameDecoder;
  struct Early {
    FrameKind kind;
    std::string payload;
  };
  std::uint32_t next = 0;
  std::map<std::uint32_t, Early> early;
};

class FrameEvents {
 public:
  virtual ~FrameEvents() = default;
  virtual void on_data(StreamState& stream, ByteView piece) = 0;
  // The stream is forgotten afterwards.
  virtual void on_end(StreamState& stream) = 0;
  // `stream` is null when nothing of the stream is unfinished; otherwise it is forgotten
  // afterwards.
  virtual void on_cancel(std::uint32_t id, StreamState* stream) = 0;
};

class FrameDecoder {
 public:
  struct Limits {
    std::size_t frame_bytes = limits::kMuxioFrameBytes;
    std::size_t streams = limits::kMuxioStreams;
    std::size_t waiting_frames = limits::kMuxioWaitingFrames;
    std::size_t waiting_bytes = limits::kMuxioWaitingBytes;
  };
  FrameDecoder(FrameEvents& events, std::size_t header_bytes, const Limits& limits)
      : events_(events), header_bytes_(header_bytes), limits_(limits) {}

  // kResourceExhausted when a limit is exceeded (of a size or of a count: see too_big()); then
  // nothing more can be decoded.
  Result<void> receive(ByteView bytes);
  bool too_big() const { return too_big_; }
  std::size_t unfinished_streams() const { return streams_.size(); }
  // Frames of unknown kinds and frames that came twice: dropped.
  std::uint64_t dropped_frames() const { return dropped_; }
  // For the end of a connection: every unfinished stream.
  const std::vector<std::unique_ptr<StreamState>>& streams() const { return streams_; }

 private:
  enum class Mode { kHeader, kDeliver, kKeep, kDiscard };
  Result<void> begin_frame();
  Result<void> end_frame();
  Result<void> keep(StreamState& stream);
  void finish_in_order(StreamState& stream, FrameKind kind);
  StreamState* find(std::uint32_t id);
  void forget(std::uint32_t id);

  FrameEvents& events_;
  std::size_t header_bytes_;
  Limits limits_;
  Mode mode_ = Mode::kHeader;
  std::uint8_t header_[kLongHeaderBytes] = {};
  std::size_t header_read_ = 0;
  FrameHeader frame_;
  std::size_t left_ = 0;  // of the frame's payload
  StreamState* stream_ = nullptr;
  // Few streams are unfinished at a time; the numbers lie together, so looking one up is a scan.
  std::vector<std::uint32_t> ids_;
  std::vector<std::unique_ptr<StreamState>> streams_, spare_;
  std::size_t waiting_frames_ = 0, waiting_bytes_ = 0;
  std::uint64_t dropped_ = 0;
  bool too_big_ = false;
};

// --- messages -----------------------------------------------------------------------------------

enum class MessageType : std::uint8_t { kCall = 0, kResponse = 1, kEvent = 2 };
enum class Status : std::uint8_t { kSuccess = 0, kFail = 1, kSystemError = 2, kMethodNotFound = 3 };

inline constexpr std::size_t kMessageHeaderBytes = 15;
inline constexpr std::size_t kMetadataBytes = 65535;  // at most

struct MessageHeader {
  MessageType type = MessageType::kCall;
  std::uint32_t request = 0;
  std::uint64_t method = 0;
  std::uint16_t metadata_bytes = 0;
};

// Writes kMessageHeaderBytes; the metadata follows it.
void write_message_header(std::uint8_t* to, const MessageHeader& header);

// The id of a method is the hash of its name.
std::uint64_t method_id(std::string_view name);

// The beginning of a stream: header and metadata, cut anywhere.
class MessageDecoder {
 public:
  // Takes what belongs to the header off the front of `piece`; true once it is complete. An error
  // (kInvalidArgument) for an unknown message type: the rest of the stream is to be ignored.
  Result<bool> add(ByteView& piece);
  bool complete() const { return complete_; }
  // The header, which may be known before its metadata is complete.
  bool header_known() const { return bytes_.size() >= kMessageHeaderBytes; }
  const MessageHeader& header() const { return header_; }
  std::string_view metadata() const { return std::string_view(bytes_).substr(kMessageHeaderBytes); }
  std::size_t buffered() const { return bytes_.size(); }
  // Keeps the header alone; the message must not be continued.
  void drop_metadata() { bytes_ = {}; }
  void clear();

 private:
  std::string bytes_;
  MessageHeader header_;
  bool complete_ = false;
};

// --- records: several messages in one stream -----------------------------------------------------

// u32 size and so many bytes. The size kErrorRecord says that the rest of the stream is the text of
// an error.
inline constexpr std::size_t kRecordHeaderBytes = 4;
inline constexpr std::uint32_t kErrorRecord = 0xFFFFFFFF;

class RecordDecoder {
 public:
  explicit RecordDecoder(std::size_t limit_bytes) : limit_(limit_bytes) {}
  void append(ByteView piece) { buffer_.append(as_text(piece)); }
  // The next whole record, valid until the next call of any method; nothing when more bytes are
  // needed. kResourceExhausted when it exceeds the limit.
  Result<std::optional<ByteView>> next();
  // What follows the error record's size, once next() met it.
  bool error_begun() const { return error_; }
  std::string_view error_text() const { return std::string_view(buffer_).substr(begin_); }
  std::size_t buffered() const { return buffer_.size() - begin_; }
  void clear();

 private:
  std::size_t limit_;
  std::string buffer_;
  std::size_t begin_ = 0;
  bool error_ = false;
};

}  // namespace capstan::wire::muxio
