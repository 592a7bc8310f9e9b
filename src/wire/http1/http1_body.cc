// Why this file exists: the state machine behind http1_body.h.
#include "wire/http1/http1_body.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "wire/http1/limits.h"

namespace capstan::wire {

namespace {

constexpr std::size_t kSizeDigits = 15;  // of a chunk's size: less than 2^60

std::unexpected<Error> broken(std::string_view what) {
  return fail(Code::kInvalidArgument, "the chunks of the body are broken: " + std::string(what));
}

int hex_digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool is_control(char byte) {
  return (static_cast<unsigned char>(byte) < 0x20 && byte != '\t') || byte == 0x7f;
}

}  // namespace

Result<Http1Framing> http1_content_length(std::string_view value) {
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (value.empty() || value[0] < '0' || value[0] > '9' || error != std::errc() ||
      end != value.data() + value.size() || length >> 63 != 0) {
    return fail(Code::kInvalidArgument, "the content-length is no number");
  }
  return Http1Framing{length == 0 ? Http1Framing::Kind::kNone : Http1Framing::Kind::kLength,
                      length};
}

Result<Http1Framing> http1_transfer_encoding(std::string_view value) {
  constexpr std::string_view kChunked = "chunked";
  const bool same = std::ranges::equal(value, kChunked, [](unsigned char a, char b) {
    return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b;
  });
  if (same) return Http1Framing{Http1Framing::Kind::kChunked, 0};
  return fail(Code::kUnimplemented, "the only transfer-encoding here is chunked");
}

Http1BodyDecoder::Http1BodyDecoder(Http1Framing framing) : framing_(framing) {
  switch (framing.kind) {
    case Http1Framing::Kind::kNone: state_ = State::kDone; break;
    case Http1Framing::Kind::kLength:
      left_ = framing.length;
      state_ = left_ == 0 ? State::kDone : State::kData;
      break;
    case Http1Framing::Kind::kChunked: state_ = State::kSize; break;
    case Http1Framing::Kind::kUntilClose: state_ = State::kData; break;
  }
}

Result<Http1BodyDecoder::Step> Http1BodyDecoder::next(ByteView input) {
  Step step;
  while (step.used < input.size() && !done()) {
    if (state_ != State::kData) {
      TRY(take(static_cast<char>(input[step.used])));
      ++step.used;
      continue;
    }
    std::size_t size = input.size() - step.used;
    if (framing_.kind != Http1Framing::Kind::kUntilClose) {
      size = static_cast<std::size_t>(std::min<std::uint64_t>(size, left_));
      left_ -= size;
      if (left_ == 0) {
        state_ = framing_.kind == Http1Framing::Kind::kChunked ? State::kDataCr : State::kDone;
      }
    }
    step.piece = input.subspan(step.used, size);
    step.used += size;
    return step;
  }
  return step;
}

Result<void> Http1BodyDecoder::end() {
  if (framing_.kind == Http1Framing::Kind::kUntilClose) state_ = State::kDone;
  if (done()) return {};
  return fail(Code::kUnavailable, "the connection ended in the middle of the body");
}

Result<void> Http1BodyDecoder::take(char byte) {
  switch (state_) {
    case State::kSize: return take_size(byte);
    case State::kExtension:
      if (byte == '\r') return state_ = State::kSizeEnd, Result<void>();
      if (is_control(byte)) return broken("a control character behind a size");
      if (++line_ > limits::kHttp1ChunkLineBytes) return broken("a size's line is too long");
      return {};
    case State::kSizeEnd: return byte == '\n' ? size_ends() : broken("a size without line end");
    case State::kDataCr:
      if (byte != '\r') return broken("a chunk is longer than its size");
      state_ = State::kDataLf;
      return {};
    case State::kDataLf:
      if (byte != '\n') return broken("a chunk without line end");
      state_ = State::kSize;
      digits_ = line_ = 0;
      return {};
    default: return take_trailer(byte);
  }
}

Result<void> Http1BodyDecoder::take_size(char byte) {
  const int digit = hex_digit(byte);
  if (digit >= 0) {
    if (++digits_ > kSizeDigits) return broken("a size is too large");
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    return {};
  }
  if (digits_ == 0) return broken("no size");
  if (byte == '\r') {
    state_ = State::kSizeEnd;
  } else if (byte == ';') {
    state_ = State::kExtension;
  } else {
    return broken("a size is no hexadecimal number");
  }
  return {};
}

Result<void> Http1BodyDecoder::size_ends() {
  state_ = left_ == 0 ? State::kTrailer : State::kData;
  return {};
}

Result<void> Http1BodyDecoder::take_trailer(char byte) {
  if (++trailers_ > limits::kHttp1TrailerBytes) return broken("the trailers are too long");
  switch (state_) {
    case State::kTrailer: state_ = byte == '\r' ? State::kLastLf : State::kTrailerRun; break;
    case State::kTrailerRun:
      if (byte == '\r') state_ = State::kTrailerLf;
      break;
    case State::kTrailerLf:
      if (byte != '\n') return broken("a trailer without line end");
      state_ = State::kTrailer;
      return {};
    default:
      if (byte != '\n') return broken("no line end after the last chunk");
      state_ = State::kDone;
      return {};
  }
  if (byte != '\r' && is_control(byte)) return broken("a control character in a trailer");
  return {};
}

void http1_append_chunk(std::string_view bytes, bool upper_case, std::string& out) {
  if (bytes.empty()) return;
  std::array<char, 16> digits;
  auto* end = std::to_chars(digits.data(), digits.data() + digits.size(), bytes.size(), 16).ptr;
  if (upper_case) {
    for (char* at = digits.data(); at != end; ++at) {
      if (*at >= 'a') *at = static_cast<char>(*at - 32);
    }
  }
  out.append(digits.data(), end).append("\r\n").append(bytes).append("\r\n");
}

}  // namespace capstan::wire
