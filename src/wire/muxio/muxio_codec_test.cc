// Why this file exists: frames, messages and records against captured bytes (muxio-wire section
// 11), against PROTOCOL.md, and under every order and cut of the input.
#include "wire/muxio/muxio_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "capstan_test_paths.h"

namespace capstan::wire::muxio {
namespace {

std::string from_hex(std::string_view text) {
  std::string out;
  int high = -1;
  for (const char c : text) {
    const auto digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) continue;
    if (high < 0) {
      high = static_cast<int>(digit);
    } else {
      out.push_back(static_cast<char>(high * 16 + static_cast<int>(digit)));
      high = -1;
    }
  }
  return out;
}

std::string frame(std::uint32_t stream, std::uint32_t sequence, FrameKind kind,
                  const std::string& payload = "", std::size_t header_bytes = kLongHeaderBytes) {
  std::string out(header_bytes, '\0');
  write_frame_header(reinterpret_cast<std::uint8_t*>(out.data()), header_bytes,
                     {static_cast<std::uint32_t>(payload.size()), stream, sequence, kind}, 0);
  return out + payload;
}

// Notes what happens as "1:abc" (data of stream 1, joined), "1." (end), "1x" (cancel of an
// unfinished stream), "1?" (of an unknown one).
struct Trace final : FrameEvents {
  std::string text;
  std::uint32_t last = ~0U;
  void on_data(StreamState& stream, ByteView piece) override {
    if (stream.id != last) text += " " + std::to_string(stream.id) + ":";
    last = stream.id;
    text.append(as_text(piece));
  }
  void note(std::uint32_t id, const char* what) {
    text += " " + std::to_string(id) + what;
    last = ~0U;
  }
  void on_end(StreamState& stream) override { note(stream.id, "."); }
  void on_cancel(std::uint32_t id, StreamState* stream) override { note(id, stream ? "x" : "?"); }
};

std::string traced(const std::string& bytes, std::size_t part = 1000,
                   const FrameDecoder::Limits& limits = {},
                   std::size_t header_bytes = kLongHeaderBytes) {
  Trace trace;
  FrameDecoder decoder(trace, header_bytes, limits);
  for (std::size_t at = 0; at < bytes.size(); at += part) {
    const auto taken = decoder.receive(as_bytes(std::string_view(bytes).substr(at, part)));
    if (!taken) return trace.text + (decoder.too_big() ? " !size" : " !count");
  }
  return trace.text;
}

using enum FrameKind;

TEST(MuxioFrames, InOrderHoweverCut) {
  for (const std::size_t header_bytes : {kLongHeaderBytes, kShortHeaderBytes}) {
    const std::string bytes =
        frame(7, 0, kOpen, "ab", header_bytes) + frame(7, 1, kData, "cd", header_bytes) +
        frame(9, 0, kOpen, "xy", header_bytes) + frame(7, 2, kEnd, "", header_bytes) +
        frame(9, 1, kEnd, "z", header_bytes);
    for (const std::size_t part : {1U, 2U, 5U, 13U, 21U, 100U}) {
      EXPECT_EQ(traced(bytes, part, {}, header_bytes), " 7:abcd 9:xy 7. 9:z 9.") << part;
    }
  }
}

TEST(MuxioFrames, AnyOrder) {
  std::vector<std::string> frames = {frame(1, 0, kOpen, "a"), frame(1, 1, kData, "b"),
                                     frame(1, 2, kData, "c"), frame(1, 3, kEnd)};
  std::ranges::sort(frames);
  do {
    EXPECT_EQ(traced(frames[0] + frames[1] + frames[2] + frames[3]), " 1:abc 1.");
  } while (std::ranges::next_permutation(frames).found);
}

TEST(MuxioFrames, WhatIsDropped) {
  // Twice the same frame, before and after its turn.
  EXPECT_EQ(traced(frame(1, 0, kOpen, "a") + frame(1, 0, kOpen, "A") + frame(1, 2, kData, "c") +
                   frame(1, 2, kData, "C") + frame(1, 1, kData, "b") + frame(1, 3, kEnd)),
            " 1:abc 1.");
  // An unknown kind: its stream stays where it is, others go on.
  EXPECT_EQ(traced(frame(1, 0, static_cast<FrameKind>(6), "?") + frame(1, 1, kEnd) +
                   frame(2, 0, kOpen, "b") + frame(2, 1, kEnd)),
            " 2:b 2.");
  // Pings and pongs are data; the first frame may have any kind; a number is free after its end.
  EXPECT_EQ(traced(frame(1, 0, kPing, "a") + frame(1, 1, kPong, "b") + frame(1, 2, kEnd) +
                   frame(1, 0, kEnd, "again")),
            " 1:ab 1. 1:again 1.");
}

TEST(MuxioFrames, Cancel) {
  EXPECT_EQ(traced(frame(1, 0, kOpen, "a") + frame(1, 9, kCancel, "junk") +
                   frame(1, 1, kData, "b") + frame(2, 0, kEnd)),
            " 1:a 1x 2.");
  EXPECT_EQ(traced(frame(3, 0, kCancel)), " 3?");
  EXPECT_EQ(traced(from_hex("00000000 13000000 01000000 03 0000000000000000")), " 19?");
}

TEST(MuxioFrames, Limits) {
  FrameDecoder::Limits small{
      .frame_bytes = 10, .streams = 2, .waiting_frames = 2, .waiting_bytes = 15};
  EXPECT_EQ(traced(frame(1, 0, kOpen, "0123456789"), 100, small), " 1:0123456789");
  EXPECT_EQ(traced(frame(1, 0, kOpen, "0123456789a").substr(0, 21), 100, small), " !size");
  EXPECT_EQ(traced(frame(1, 0, kOpen) + frame(2, 0, kOpen) + frame(3, 0, kOpen), 100, small),
            " !count");
  EXPECT_EQ(traced(frame(1, 0, kOpen) + frame(1, 1, kEnd) + frame(2, 0, kOpen) + frame(3, 0, kOpen),
                   100, small),
            " 1.");
  EXPECT_EQ(traced(frame(1, 2, kData) + frame(1, 3, kData) + frame(1, 4, kData), 100, small),
            " !count");
  EXPECT_EQ(traced(frame(1, 2, kData, "01234567") + frame(1, 3, kData, "01234567"), 100, small),
            " !size");
  // What waited is given back when the stream goes.
  EXPECT_EQ(traced(frame(1, 2, kData, "0123456789") + frame(1, 0, kCancel) +
                       frame(2, 2, kData, "0123456789"),
                   100, small),
            " 1x");
}

TEST(MuxioHeader, Recognised) {
  const auto knows = [](std::uint64_t id) { return id == method_id("read"); };
  const std::string message = from_hex("00 01000000 f2cdf251a122262c 0700 05 00 68656c6c6f");
  const std::string stamp = from_hex("38cd325ebe600600");
  std::string long_frame = frame(0, 0, kOpen, message);
  long_frame.replace(13, 8, stamp);
  const std::string short_frame = frame(0, 0, kOpen, message, kShortHeaderBytes);
  const auto detect = [&](std::string_view bytes, std::uint64_t size) {
    return detect_header_bytes(as_bytes(bytes), size, knows, kLongHeaderBytes);
  };
  // One message is one frame: four bytes are enough.
  EXPECT_EQ(detect(long_frame.substr(0, 4), long_frame.size()), kLongHeaderBytes);
  EXPECT_EQ(detect(short_frame.substr(0, 4), short_frame.size()), kShortHeaderBytes);
  // Nothing known about messages: as soon as the method id is there.
  for (std::size_t size = 0; size <= 36; ++size) {
    EXPECT_EQ(detect(std::string_view(long_frame).substr(0, size), 0),
              size < 36 ? std::nullopt : std::optional(kLongHeaderBytes));
    EXPECT_EQ(detect(std::string_view(short_frame).substr(0, size), 0),
              size < 28 ? std::nullopt : std::optional(kShortHeaderBytes));
  }
  // Both frames of a call in one message.
  EXPECT_EQ(detect(long_frame + frame(0, 1, kEnd), long_frame.size() + 21), kLongHeaderBytes);
  EXPECT_EQ(detect(short_frame + frame(0, 1, kEnd, "", 13), short_frame.size() + 13),
            kShortHeaderBytes);
  // Neither: what the setting says.
  EXPECT_EQ(detect(std::string(36, '\x77'), 0), kLongHeaderBytes);
  EXPECT_EQ(detect_header_bytes(as_bytes(std::string(36, '\x77')), 0, knows, kShortHeaderBytes),
            kShortHeaderBytes);
}

TEST(MuxioMethods, Ids) {
  EXPECT_EQ(method_id("write"), 0x3ec2ad5c308c53daULL);
  EXPECT_EQ(method_id("batch_write"), 0xb0207c59d9b60457ULL);
  EXPECT_EQ(method_id("read"), 0x2c2622a151f2cdf2ULL);
  EXPECT_EQ(method_id("batch_read"), 0x01030b148b7284c2ULL);
  EXPECT_EQ(method_id("delete"), 0x42dbbac7f7e9defdULL);
  EXPECT_EQ(method_id("exists"), 0xcb471c821989c086ULL);
  EXPECT_EQ(method_id("len"), 0xa41dbb760e96e3e3ULL);
  EXPECT_EQ(method_id("is_empty"), 0x34e05a9b282d0770ULL);
  EXPECT_EQ(method_id("file_size"), 0x720ea1f40d3468c2ULL);
  EXPECT_EQ(method_id("echo"), 0x9158a853f4693f47ULL);
}

TEST(MuxioMessages, HeaderHoweverCut) {
  const std::string bytes = from_hex("01 08000000 f2cdf251a122262c 0100 00 01 0500 776f726c64");
  for (std::size_t part = 1; part <= bytes.size(); ++part) {
    MessageDecoder decoder;
    std::string payload;
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      ByteView piece = as_bytes(std::string_view(bytes).substr(at, part));
      const auto complete = decoder.add(piece);
      ASSERT_TRUE(complete);
      if (*complete) payload.append(as_text(piece));
    }
    EXPECT_EQ(decoder.header().type, MessageType::kResponse);
    EXPECT_EQ(decoder.header().request, 8U);
    EXPECT_EQ(decoder.header().method, method_id("read"));
    EXPECT_EQ(decoder.metadata(), std::string(1, '\0'));
    EXPECT_EQ(payload, from_hex("01 0500 776f726c64"));
  }
  MessageDecoder unknown;
  const std::string bad = '\3' + bytes.substr(1);
  ByteView piece = as_bytes(bad);
  EXPECT_FALSE(unknown.add(piece));
  // No metadata: complete after the header.
  MessageDecoder empty;
  const std::string plain = from_hex("00 01000000 70072d289b5ae034 0000");
  piece = as_bytes(plain);
  EXPECT_TRUE(empty.add(piece).value_or(false));
  EXPECT_EQ(empty.metadata(), "");
}

TEST(MuxioRecords, HoweverCut) {
  const std::string bytes = std::string("\3\0\0\0abc\0\0\0\0\1\0\0\0d", 16) +
                            std::string("\xFF\xFF\xFF\xFFNOT_FOUND: gone", 19);
  for (std::size_t part = 1; part <= bytes.size(); ++part) {
    RecordDecoder decoder(3);
    std::vector<std::string> records;
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      decoder.append(as_bytes(std::string_view(bytes).substr(at, part)));
      while (true) {
        const auto record = decoder.next();
        ASSERT_TRUE(record);
        if (!*record) break;
        records.emplace_back(as_text(**record));
      }
    }
    EXPECT_EQ(records, (std::vector<std::string>{"abc", "", "d"}));
    EXPECT_TRUE(decoder.error_begun());
    EXPECT_EQ(decoder.error_text(), "NOT_FOUND: gone");
  }
  RecordDecoder limited(3);
  limited.append(as_bytes(std::string_view("\4\0\0\0", 4)));
  EXPECT_FALSE(limited.next());
}

// The block of PROTOCOL.md is what the codec writes.
TEST(MuxioProtocol, WorkedExample) {
  std::ifstream file(CAPSTAN_SOURCE_DIR "/src/wire/muxio/PROTOCOL.md");
  ASSERT_TRUE(file);
  std::string line, client, server;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line.starts_with("```")) inside = line == "```hex";
    if (!inside || line.size() < 2) continue;
    const std::string bytes = from_hex(line.substr(0, line.find('#')));
    (line[0] == '>' ? client : server) += bytes;
  }
  const auto message = [](const MessageHeader& header, const std::string& rest) {
    std::string out(kMessageHeaderBytes, '\0');
    write_message_header(reinterpret_cast<std::uint8_t*>(out.data()), header);
    return out + rest;
  };
  const std::uint64_t read = method_id("read");
  EXPECT_EQ(client, frame(0, 0, kOpen,
                          message({MessageType::kCall, 1, read, 7}, from_hex("0500 68656c6c6f"))) +
                        frame(0, 1, kEnd));
  EXPECT_EQ(server, frame(0x80000000, 0, kOpen,
                          message({MessageType::kResponse, 1, read, 1},
                                  from_hex("00 01 0500 776f726c64"))) +
                        frame(0x80000000, 1, kEnd));
}

}  // namespace
}  // namespace capstan::wire::muxio
