// Why this file exists: for tests of the gRPC server: a peer that writes HTTP/2 itself, byte by
// byte, and looks at the frames that it is told.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "wire/grpc/grpc_testing.h"

namespace capstan::wire::testing {

enum FrameType : char {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoaway,
  kWindowUpdate,
  kContinuation
};
constexpr char kEndStream = 1, kEndHeaders = 4;

inline std::string big_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(value >> shift));
  }
  return text;
}
inline std::string frame(FrameType type, char flags, std::uint32_t stream,
                         std::string_view payload) {
  return big_endian(static_cast<std::uint32_t>(payload.size()), 3) + static_cast<char>(type) +
         flags + big_endian(stream, 4) + std::string(payload);
}
inline std::string setting(std::uint32_t id, std::uint32_t value) {
  return big_endian(id, 2) + big_endian(value, 4);
}
// HPACK: a literal that enters no table; strings below 127 bytes.
inline std::string literal(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) +
         static_cast<char>(value.size()) + std::string(value);
}
inline std::string request_block(const std::string& path = std::string("/") + kUnary) {
  return literal(":method", "POST") + literal(":scheme", "http") + literal(":path", path) +
         literal(":authority", "x") + literal("te", "trailers") +
         literal("content-type", "application/grpc");
}
inline std::string hello(std::string_view settings = {}) {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, settings);
}
// A whole call of the health check.
inline std::string call(std::uint32_t stream,
                        std::string_view body = std::string_view("\0\0\0\0\0", 5)) {
  return frame(kHeaders, kEndHeaders, stream, request_block()) +
         frame(kData, kEndStream, stream, body);
}

// A peer and what it was told.
class Peer {
 public:
  core::Task<void> connect(TestWorld& world) { return connect(world, world.address()); }
  core::Task<void> connect(TestWorld& world, core::Address address) {
    auto stream = co_await world.client_env.network().connect(address, {});
    CAPSTAN_ASSERT(stream);
    stream_ = *std::move(stream);
    scope_.spawn(read());
  }
  // False once the server does not listen any more.
  core::Task<bool> say(std::string bytes) {
    if (ended) co_return false;
    co_return (co_await stream_->write(as_bytes(bytes))).has_value();
  }
  core::Task<void> close() {
    stream_->cancel();
    co_await scope_.join();
    stream_.reset();
  }
  // Whether a frame of this type came, of those with 9 bytes of header.
  int count(FrameType type) const {
    int found = 0;
    for (std::size_t at = 0; at + 9 <= heard.size();) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(heard.data()) + at;
      if (bytes[3] == static_cast<std::uint8_t>(type)) ++found;
      at += 9 + (std::size_t{bytes[0]} << 16 | std::size_t{bytes[1]} << 8 | bytes[2]);
    }
    return found;
  }
  // The code of the first GOAWAY, -1 without one.
  int goaway() const {
    for (std::size_t at = 0; at + 17 <= heard.size();) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(heard.data()) + at;
      if (bytes[3] == kGoaway) return bytes[16];
      at += 9 + (std::size_t{bytes[0]} << 16 | std::size_t{bytes[1]} << 8 | bytes[2]);
    }
    return -1;
  }
  bool ended = false;
  std::string heard;

 private:
  core::Task<void> read() {
    std::array<std::uint8_t, 16384> buffer;
    while (true) {
      const auto got = co_await stream_->read(buffer);
      if (!got || *got == 0) break;
      heard += as_text(ByteView(buffer).first(*got));
    }
    ended = true;
  }
  std::unique_ptr<core::Stream> stream_;
  core::Scope scope_;
};

}  // namespace capstan::wire::testing
