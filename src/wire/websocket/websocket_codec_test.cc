// Why this file exists: RFC 6455 as a table, in the order of the public Autobahn cases (sections 1
// to 7 and 9), each decoded whole and byte by byte, with and without masking.
#include "wire/websocket/websocket_codec.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace capstan::wire {
namespace {

using Role = WebSocketDecoder::Role;
using enum WebSocketOpcode;

std::string frame(WebSocketOpcode opcode, std::string payload, bool last = true, bool masked = true,
                  std::uint8_t extra_bits = 0) {
  const WebSocketMask key = {0x37, 0xFA, 0x21, 0x3D};
  std::array<std::uint8_t, kWebSocketHeaderBytes> header{};
  const std::size_t size =
      websocket_write_header(header.data(), opcode, last, payload.size(), masked ? &key : nullptr);
  EXPECT_EQ(size, websocket_header_size(payload.size(), masked));
  header[0] |= extra_bits;
  if (masked) {
    websocket_mask({reinterpret_cast<std::uint8_t*>(payload.data()), payload.size()}, key, 0);
  }
  return std::string(as_text(ByteView(header).first(size))) + payload;
}

// What a decoder makes of bytes that arrive `part` at a time: pieces of a message joined, other
// events as they are, an error as "!<close code>".
std::string decoded(std::string bytes, std::size_t part, Role role = Role::kServer,
                    const WebSocketDecoder::Options& options = {}) {
  WebSocketDecoder decoder(role, options);
  std::string out, message;
  MutableBytes all(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size());
  while (!all.empty()) {
    MutableBytes input = all.first(std::min(part, all.size()));
    all = all.subspan(input.size());
    while (true) {
      const auto event = decoder.next(input);
      if (!event) return out + "!" + std::to_string(static_cast<int>(decoder.failure()));
      if (!*event) break;
      const std::string data((*event)->data.begin(), (*event)->data.end());
      switch ((*event)->kind) {
        case WebSocketEvent::Kind::kData:
          EXPECT_EQ((*event)->first, message.empty());
          if (message.empty()) message = (*event)->text ? "T:" : "B:";
          message += data;
          if ((*event)->last) out += std::exchange(message, "") + " ";
          break;
        case WebSocketEvent::Kind::kPing: out += "ping:" + data + " "; break;
        case WebSocketEvent::Kind::kPong: out += "pong:" + data + " "; break;
        case WebSocketEvent::Kind::kClose:
          out += "close:" + std::to_string((*event)->code) + ":" + data + " ";
          break;
      }
    }
    EXPECT_TRUE(input.empty());
  }
  return out;
}

void expect(const std::string& bytes, const std::string& events) {
  for (const std::size_t part : {bytes.size(), std::size_t{1}, std::size_t{3}}) {
    EXPECT_EQ(decoded(bytes, std::max<std::size_t>(part, 1)), events) << "in parts of " << part;
  }
}

std::string close_frame(int code, const std::string& reason = "") {
  return frame(kClose, std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + reason);
}

TEST(WebSocket, Framing) {  // Autobahn 1.*
  for (const std::size_t size : {0U, 1U, 125U, 126U, 127U, 128U, 65535U, 65536U}) {
    const std::string text(size, '*');
    expect(frame(kText, text), "T:" + text + " ");
    expect(frame(kBinary, text), "B:" + text + " ");
    EXPECT_EQ(decoded(frame(kText, text, true, false), size + 9, Role::kClient), "T:" + text + " ");
  }
}

TEST(WebSocket, PingsAndPongs) {  // Autobahn 2.*
  expect(frame(kPing, ""), "ping: ");
  expect(frame(kPing, "Hello"), "ping:Hello ");
  expect(frame(kPing, std::string(125, 'p')), "ping:" + std::string(125, 'p') + " ");
  expect(frame(kPing, std::string(126, 'p')), "!1002");
  expect(frame(kPong, ""), "pong: ");
  expect(frame(kPong, "x") + frame(kPing, "y"), "pong:x ping:y ");
}

TEST(WebSocket, ReservedBits) {  // Autobahn 3.*
  for (const std::uint8_t bit : {std::uint8_t{0x10}, std::uint8_t{0x20}, std::uint8_t{0x40}}) {
    expect(frame(kText, "ab", true, true, bit), "!1002");
    expect(frame(kPing, "", true, true, bit), "!1002");
  }
}

TEST(WebSocket, Opcodes) {  // Autobahn 4.*
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    expect(frame(static_cast<WebSocketOpcode>(opcode), ""), "!1002");
  }
}

TEST(WebSocket, Fragments) {  // Autobahn 5.*
  expect(frame(kPing, "a", false), "!1002");
  expect(frame(kPong, "a", false), "!1002");
  expect(frame(kText, "fra", false) + frame(kContinuation, "gment"), "T:fragment ");
  expect(frame(kText, "fra", false) + frame(kPing, "in") + frame(kContinuation, "gment"),
         "ping:in T:fragment ");
  expect(frame(kContinuation, "nothing"), "!1002");
  expect(frame(kContinuation, "nothing", false), "!1002");
  expect(frame(kText, "a", false) + frame(kText, "b"), "!1002");
  expect(frame(kBinary, "", false) + frame(kContinuation, "", false) + frame(kContinuation, "z"),
         "B:z ");
  expect(frame(kBinary, "", false) + frame(kContinuation, ""), "B: ");
}

TEST(WebSocket, Utf8) {  // Autobahn 6.*
  const std::string good = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";
  expect(frame(kText, good), "T:" + good + " ");
  for (std::size_t cut = 0; cut <= good.size(); ++cut) {
    expect(frame(kText, good.substr(0, cut), false) + frame(kContinuation, good.substr(cut)),
           "T:" + good + " ");
  }
  for (const std::string bad : {"\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\xAF", "abc\xC3"}) {
    expect(frame(kText, bad), "!1007");
    expect(frame(kBinary, bad), "B:" + bad + " ");
  }
  // Noticed at once, not at the end of the message.
  expect(frame(kText, "\xCE\xBA\xF8", false), "!1007");
}

TEST(WebSocket, Closing) {  // Autobahn 7.*
  expect(frame(kClose, ""), "close:1005: ");
  expect(frame(kClose, "x"), "!1002");
  expect(close_frame(1000, "bye"), "close:1000:bye ");
  expect(close_frame(1000, "bye") + frame(kText, "ignored"), "close:1000:bye ");
  expect(close_frame(1000, std::string(123, 'r')), "close:1000:" + std::string(123, 'r') + " ");
  expect(close_frame(1000, std::string(124, 'r')), "!1002");
  expect(close_frame(1000, "\xCE"), "!1007");
  for (const int code :
       {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}) {
    expect(close_frame(code), "close:" + std::to_string(code) + ": ");
  }
  for (const int code : {0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535}) {
    expect(close_frame(code), "!1002");
  }
}

TEST(WebSocket, Limits) {  // Autobahn 9.*, and ours
  const WebSocketDecoder::Options small{100, 250};
  const auto limited = [&](const std::string& bytes) {
    return decoded(bytes, 7, Role::kServer, small);
  };
  EXPECT_EQ(limited(frame(kBinary, std::string(100, 'b'))), "B:" + std::string(100, 'b') + " ");
  EXPECT_EQ(limited(frame(kBinary, std::string(101, 'b'))), "!1009");
  const std::string part(100, 'p');
  EXPECT_EQ(limited(frame(kBinary, part, false) + frame(kContinuation, part, false) +
                    frame(kContinuation, std::string(50, 'p'))),
            "B:" + std::string(250, 'p') + " ");
  EXPECT_EQ(limited(frame(kBinary, part, false) + frame(kContinuation, part, false) +
                    frame(kContinuation, std::string(51, 'p'))),
            "!1009");
  // A length with the top bit set, before any payload.
  expect(std::string("\x82\xFF\xFF\0\0\0\0\0\0\0\1\2\3\4", 14), "!1002");
}

TEST(WebSocket, Masking) {
  EXPECT_EQ(decoded(frame(kText, "a", true, false), 9), "!1002");
  EXPECT_EQ(decoded(frame(kText, "a", true, true), 9, Role::kClient), "!1002");
  // The example of RFC 6455 section 5.7.
  expect(std::string("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11), "T:Hello ");
  std::mt19937 random(3);
  for (std::size_t size = 0; size < 200; ++size) {
    std::vector<std::uint8_t> bytes(size), plain;
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    plain = bytes;
    const WebSocketMask key = {1, 2, 3, 200};
    const std::size_t position = random() % 9;
    websocket_mask(bytes, key, position);
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_EQ(bytes[i], plain[i] ^ key[(position + i) % 4])
          << size << " " << position << " " << i;
    }
  }
}

TEST(WebSocket, ClosePayloadFits) {
  std::array<std::uint8_t, kWebSocketControlBytes> payload{};
  EXPECT_EQ(websocket_close_payload(payload.data(), WebSocketClose::kGoingAway, ""), 2U);
  EXPECT_EQ(payload[0] << 8 | payload[1], 1001);
  const std::string long_reason = std::string(122, 'x') + "\xC3\xA9 and more";
  EXPECT_EQ(websocket_close_payload(payload.data(), WebSocketClose::kPolicy, long_reason), 124U)
      << "cut before the character that does not fit";
}

}  // namespace
}  // namespace capstan::wire
