// Why this file exists: the gRPC layer between HTTP/2 and messages, as pure functions and one small
// decoder (PROTOCOL.md beside this file has the byte table): length-prefixed messages, time-outs,
// percent-encoded status messages, binary metadata, gzip. Sans-I/O; survives any bytes.
//
// A length above the limit is refused when its five bytes are seen, before anything is buffered,
// and decompression stops at the limit, so neither a length nor a small bomb costs memory.
// Thread-safety: none; one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::wire {

// --- messages ----------------------------------------------------------------------------------

inline constexpr std::size_t kGrpcPrefixBytes = 5;

// Writes the prefix of a message of `length` bytes.
void grpc_write_prefix(std::uint8_t* to, bool compressed, std::uint32_t length);

struct GrpcFrame {
  bool compressed = false;
  ByteView body;
};

class GrpcDecoder {
 public:
  explicit GrpcDecoder(std::size_t max_message_bytes) : max_message_bytes_(max_message_bytes) {}
  // `bytes` is exactly one message and nothing is buffered: the frame, without a copy.
  std::optional<GrpcFrame> whole(ByteView bytes) const;
  // Buffers received bytes. kResourceExhausted for a message above the limit, kInternal for a
  // prefix that gRPC does not define; both are final.
  Result<void> append(ByteView bytes);
  // The next complete message, nothing when more bytes are needed. The view is valid until the
  // next append() or next().
  Result<std::optional<GrpcFrame>> next();
  // Received bytes that are not part of a message given out.
  std::size_t buffered() const { return buffer_.size() - begin_; }
  void clear();

 private:
  Result<void> check_prefix(std::size_t at) const;

  std::size_t max_message_bytes_;
  std::string buffer_;
  std::size_t begin_ = 0;
};

// --- headers -----------------------------------------------------------------------------------

// "1500u" for 1.5 ms: at most eight digits, so large times lose precision, never length.
std::string grpc_print_timeout(std::uint64_t nanos);
// Nanoseconds; nothing when it is malformed. Times beyond 292 years are cut to that.
std::optional<std::uint64_t> grpc_parse_timeout(std::string_view text);

// Percent-encoding of grpc-message: everything outside of printable ASCII, and '%'.
std::string grpc_encode_message(std::string_view message);
// Malformed escapes stay as they are.
std::string grpc_decode_message(std::string_view encoded);

bool grpc_is_binary_key(std::string_view key);  // ends in "-bin"
// Standard alphabet, no padding, as gRPC libraries send it.
std::string grpc_encode_binary(std::string_view bytes);
// With or without padding; nothing when it is not base64.
std::optional<std::string> grpc_decode_binary(std::string_view text);

enum class GrpcContent : std::uint8_t {
  kProto,    // application/grpc, application/grpc+proto, with or without parameters
  kSubtype,  // application/grpc+json and the like: gRPC, but not protobuf
  kOther,    // not gRPC at all: HTTP status 415
};
GrpcContent grpc_content(std::string_view content_type);

enum class GrpcEncoding : std::uint8_t { kIdentity, kGzip, kUnknown };
GrpcEncoding grpc_encoding(std::string_view name);
// Whether a grpc-accept-encoding list names gzip.
bool grpc_accepts_gzip(std::string_view list);

// A metadata key and value that may be sent as they are (binary ones after encoding).
bool grpc_valid_key(std::string_view key);
bool grpc_valid_value(std::string_view value);

// --- gzip ---------------------------------------------------------------------------------------

Result<std::string> grpc_gunzip(ByteView compressed, std::size_t max_bytes);
// Nothing when the result would not be smaller.
std::optional<std::string> grpc_gzip(ByteView plain);

}  // namespace capstan::wire
