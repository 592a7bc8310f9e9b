// Why this file exists: where the body of an HTTP/1.1 message ends, for both directions: by a
// length, in chunks, or with the connection (RFC 9112 sections 6 and 7). Bytes in, pieces of the
// body out; nothing is kept but counters. Also the writing of chunks.
//
// Strict where leniency lets two parsers disagree: sizes are hexadecimal digits only, line ends are
// CRLF, extensions and trailers are bounded and ignored.
// Thread-safety: one owner; one decoder per message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::wire {

struct Http1Framing {
  enum class Kind : std::uint8_t { kNone, kLength, kChunked, kUntilClose };
  Kind kind = Kind::kNone;
  std::uint64_t length = 0;  // kLength
};

// The value of a content-length: digits that fit 63 bits, or kInvalidArgument.
Result<Http1Framing> http1_content_length(std::string_view value);
// The value of a transfer-encoding: "chunked" in any case of letters, or kUnimplemented.
Result<Http1Framing> http1_transfer_encoding(std::string_view value);

class Http1BodyDecoder {
 public:
  explicit Http1BodyDecoder(Http1Framing framing = {});

  struct Step {
    std::size_t used = 0;  // of the input
    ByteView piece;        // of the body, a part of the input; may be empty
  };
  // Takes from the front of `input`: at most one piece, and everything that can be taken without
  // one. Call again while it uses something and is not done. kInvalidArgument when the bytes break
  // the framing; the decoder is of no use afterwards.
  Result<Step> next(ByteView input);
  bool done() const { return state_ == State::kDone; }
  // The connection ended here; an error when the body is cut.
  Result<void> end();

 private:
  enum class State : std::uint8_t {
    kSize,       // hexadecimal digits
    kExtension,  // to the end of the line, ignored
    kSizeEnd,    // LF of the size's line
    kData,
    kDataCr,
    kDataLf,
    kTrailer,     // at the start of a line
    kTrailerRun,  // within one
    kTrailerLf,   // LF of such a line
    kLastLf,      // LF of the empty line
    kDone,
  };
  Result<void> take(char byte);
  Result<void> take_size(char byte);
  Result<void> take_trailer(char byte);
  Result<void> size_ends();

  Http1Framing framing_;
  State state_ = State::kDone;
  std::uint64_t left_ = 0;  // of the length or the chunk
  std::size_t digits_ = 0, line_ = 0, trailers_ = 0;
};

// One chunk: its size in hexadecimal, CRLF, the bytes, CRLF. Nothing for no bytes, which would be
// the last chunk. Elements of streams have lower-case sizes, pieces of large values upper-case ones
// (http-rpc sections 8 and 9).
void http1_append_chunk(std::string_view bytes, bool upper_case, std::string& out);
inline constexpr std::string_view kHttp1LastChunk = "0\r\n\r\n";

}  // namespace capstan::wire
