// Why this file exists: the bytes of gRPC: framing, time-outs, escapes, base64, content types. The
// compressor is in grpc_gzip_codec.cc.
#include "wire/grpc/grpc_codec.h"

#include <algorithm>
#include <array>
#include <limits>

namespace capstan::wire {

// Taken at once for a message that has begun, and kept for the next one.
static constexpr std::size_t kReserveBytes = 128U << 10;

// --- messages -----------------------------------------------------------------------------------

void grpc_write_prefix(std::uint8_t* to, bool compressed, std::uint32_t length) {
  to[0] = compressed ? 1 : 0;
  store_be32(to + 1, length);
}

static Result<void> check_frame_prefix(const std::uint8_t* prefix, std::size_t max_message_bytes) {
  if (prefix[0] > 1) {
    return fail(Code::kInternal, "gRPC message starts with flag " + std::to_string(prefix[0]) +
                                     ", only 0 and 1 are defined: is the peer speaking gRPC?");
  }
  const std::size_t length = load_be32(prefix + 1);
  if (length > max_message_bytes) {
    return fail(Code::kResourceExhausted,
                "message of " + std::to_string(length) + " bytes is larger than the limit of " +
                    std::to_string(max_message_bytes) + " bytes; send it in smaller parts");
  }
  return {};
}

std::optional<GrpcFrame> GrpcDecoder::whole(ByteView bytes) const {
  if (buffered() != 0 || bytes.size() < kGrpcPrefixBytes) return std::nullopt;
  const std::size_t length = load_be32(bytes.data() + 1);
  if (length != bytes.size() - kGrpcPrefixBytes || length > max_message_bytes_ || bytes[0] > 1) {
    return std::nullopt;  // append() and next() say what is wrong with it, if anything is
  }
  return GrpcFrame{bytes[0] == 1, bytes.subspan(kGrpcPrefixBytes)};
}

Result<void> GrpcDecoder::check_prefix(std::size_t at) const {
  if (buffer_.size() - at < kGrpcPrefixBytes) return {};
  return check_frame_prefix(reinterpret_cast<const std::uint8_t*>(buffer_.data()) + at,
                            max_message_bytes_);
}

Result<void> GrpcDecoder::append(ByteView bytes) {
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  } else if (begin_ > buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  // The prefix is completed and judged first, so that a refused message is never buffered.
  const std::size_t have = buffered();
  if (have < kGrpcPrefixBytes) {
    const std::size_t part = std::min(kGrpcPrefixBytes - have, bytes.size());
    buffer_.append(as_text(bytes.first(part)));
    bytes = bytes.subspan(part);
    TRY(check_prefix(begin_));
    // Grows to its size at once, but not far ahead of what has come: the peer may be lying.
    if (buffered() == kGrpcPrefixBytes) {
      const std::size_t length =
          load_be32(reinterpret_cast<const std::uint8_t*>(buffer_.data()) + begin_ + 1);
      buffer_.reserve(buffer_.size() + std::min(length, kReserveBytes));
    }
  }
  buffer_.append(as_text(bytes));
  return {};
}

Result<std::optional<GrpcFrame>> GrpcDecoder::next() {
  if (buffered() < kGrpcPrefixBytes) return std::optional<GrpcFrame>();
  TRY(check_prefix(begin_));
  const auto* prefix = reinterpret_cast<const std::uint8_t*>(buffer_.data()) + begin_;
  const std::size_t length = load_be32(prefix + 1);
  if (buffered() - kGrpcPrefixBytes < length) return std::optional<GrpcFrame>();
  begin_ += kGrpcPrefixBytes + length;
  return std::optional(GrpcFrame{prefix[0] == 1, ByteView(prefix + kGrpcPrefixBytes, length)});
}

void GrpcDecoder::clear() {
  begin_ = 0;
  buffer_.clear();
  if (buffer_.capacity() > kReserveBytes) buffer_.shrink_to_fit();
}

// --- time-outs ----------------------------------------------------------------------------------

namespace {
struct TimeUnit {
  char letter;
  std::uint64_t nanos;
};
constexpr std::array<TimeUnit, 6> kTimeUnits = {{{'n', 1},
                                                 {'u', 1'000},
                                                 {'m', 1'000'000},
                                                 {'S', 1'000'000'000},
                                                 {'M', 60'000'000'000},
                                                 {'H', 3'600'000'000'000}}};
constexpr std::uint64_t kTimeoutValueMax = 99'999'999;
}  // namespace

std::string grpc_print_timeout(std::uint64_t nanos) {
  for (const auto& unit : kTimeUnits) {
    // Rounded up: a client must not give its server less time than it waits itself.
    const std::uint64_t value = nanos / unit.nanos + (nanos % unit.nanos != 0 ? 1 : 0);
    if (value <= kTimeoutValueMax) return std::to_string(value) + unit.letter;
  }
  return std::to_string(kTimeoutValueMax) + 'H';
}

std::optional<std::uint64_t> grpc_parse_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  for (const auto& unit : kTimeUnits) {
    if (unit.letter == text.back()) return value > kMax / unit.nanos ? kMax : value * unit.nanos;
  }
  return std::nullopt;
}

// --- status messages ----------------------------------------------------------------------------

namespace {
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
bool is_plain(char c) {
  return c >= 0x20 && c <= 0x7E && c != '%';
}
}  // namespace

std::string grpc_encode_message(std::string_view message) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(message.size());
  for (std::size_t i = 0; i < message.size(); ++i) {
    const char c = message[i];
    // HTTP/2 forbids white space at either end of a value, so it is escaped there too.
    const bool edge = c == ' ' && (i == 0 || i + 1 == message.size());
    if (is_plain(c) && !edge) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string grpc_decode_message(std::string_view encoded) {
  std::string out;
  out.reserve(encoded.size());
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] == '%' && i + 2 < encoded.size()) {
      const int high = hex_value(encoded[i + 1]), low = hex_value(encoded[i + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high << 4 | low);
        i += 2;
        continue;
      }
    }
    out += encoded[i];
  }
  return out;
}

// --- binary metadata ----------------------------------------------------------------------------

bool grpc_is_binary_key(std::string_view key) {
  return key.ends_with("-bin");
}

std::string grpc_encode_binary(std::string_view bytes) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k <= count; ++k) out += kAlphabet[group >> (18 - 6 * k) & 63];
  }
  return out;
}

static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

std::optional<std::string> grpc_decode_binary(std::string_view text) {
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  if (text.size() % 4 == 1 || (padding != 0 && (text.size() + padding) % 4 != 0)) {
    return std::nullopt;
  }
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 0xFF);
    }
  }
  return out;
}

// --- names --------------------------------------------------------------------------------------

static std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

GrpcContent grpc_content(std::string_view content_type) {
  constexpr std::string_view kBase = "application/grpc";
  std::string_view type = trim(content_type.substr(0, content_type.find(';')));
  if (!type.starts_with(kBase)) return GrpcContent::kOther;
  type.remove_prefix(kBase.size());
  if (type.empty() || type == "+proto") return GrpcContent::kProto;
  return type.front() == '+' ? GrpcContent::kSubtype : GrpcContent::kOther;
}

GrpcEncoding grpc_encoding(std::string_view name) {
  name = trim(name);
  if (name.empty() || name == "identity") return GrpcEncoding::kIdentity;
  return name == "gzip" ? GrpcEncoding::kGzip : GrpcEncoding::kUnknown;
}

bool grpc_accepts_gzip(std::string_view list) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (trim(list.substr(0, comma)) == "gzip") return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

bool grpc_valid_key(std::string_view key) {
  return !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

bool grpc_valid_value(std::string_view value) {
  return std::ranges::all_of(value, [](char c) { return c >= 0x20 && c <= 0x7E; }) &&
         !value.starts_with(' ') && !value.ends_with(' ');
}

}  // namespace capstan::wire
