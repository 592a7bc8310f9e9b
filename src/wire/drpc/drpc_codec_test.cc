// Why this file exists: the bytes of dRPC: the header and its cutting against hashes of captured
// packets, the message reader against protobuf's, and the worked example of PROTOCOL.md.
#include "wire/drpc/drpc_codec.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "capstan_test_paths.h"
#include "drpc/drpc.pb.h"
#include "drpc/reply.pb.h"
#include "node/node.pb.h"

namespace capstan::wire::drpc {
namespace {

std::string text_of(ByteView bytes) {
  return std::string(as_text(bytes));
}

std::string hex(ByteView bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

std::string sha256(std::string_view bytes) {
  std::array<std::uint8_t, 32> digest{};
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  return hex(digest);
}

std::vector<std::string> packets_of(std::string_view message) {
  std::vector<std::string> packets;
  for (std::uint32_t i = 0; i < chunk_count(message.size()); ++i) {
    const ChunkHeader header = chunk_header(message.size(), i);
    packets.push_back(text_of(encode_header(header)));
    packets.back() += message.substr(i * kChunkBytesMax, header.chunk_bytes);
  }
  return packets;
}

std::string call_of(std::int64_t sequence, std::string_view body) {
  return text_of(MessagePrefix::call(77, 1, sequence, body.size()).view()) + std::string(body);
}
std::string response_of(std::int64_t sequence, std::string_view body) {
  return text_of(MessagePrefix::response(sequence, Status::kSuccess, body.size()).view()) +
         std::string(body);
}

// drpc section 15, V16: 300000 bytes both ways, by a client whose first sequence is 1 or 0.
TEST(DrpcCodec, CutsAsTheCapturedPackets) {
  std::string body(300'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(0x61 + i % 26);
  const std::pair<std::string, std::vector<const char*>> captured[] = {
      {call_of(1, body),
       {"812ad21419bb025ea47471deed14cced19fa3bacff259085f80069278322c98b",
        "41c7490b45fdd6dd426747ed0188f477a708879ed9437f02bdd82aa73692a3b0",
        "de2be6eb3d36c9c3bf7b8d63a25d05bd7ffda36349d0a66a9c67bdc0f7eef904"}},
      {response_of(1, body),
       {"affabd2e3c70a3ea226035864275a718f6e2b4c0c22290f9400fbe4fb626ff70",
        "4e557f30caa7d6b83cb75d5c8cb461735571b957e229b2082f6f7b7ef5d131f4",
        "f8d480f5fd8699dc32c4316acd9be64688902ad9f386aea5af3938dee7052bb2"}},
      {call_of(0, body),
       {"1ebddc45a68ba8a28fb3a4cc3992278ae4c989e214dacb199460304ac51e6e21",
        "3ef277cf6c4386c83d6a3d021aa8ba3f62e00d4609fc3c02e9e9ae93d2d746f2",
        "4d852b4f2b283c88d1323bfa244347b8f3ccbd1f3207cbbecb44d3f1db0fb3ad"}},
      {response_of(0, body),
       {"cb1d3f43d7f436aaa5b0c7deb0164a5c51e17429faac3e83d7f6f30465af9761",
        "772905c78e7f74003542c184a1f3011f06740645333f951c5c784229f01fd69e",
        "fb4795244b641bda696aed2c6c9bdb43a1848a10688b13c4df4c9e53b91c818f"}}};
  for (const auto& [message, hashes] : captured) {
    const auto packets = packets_of(message);
    ASSERT_EQ(packets.size(), hashes.size());
    ChunkSequence sequence(1 << 20);
    for (std::size_t i = 0; i < packets.size(); ++i) {
      EXPECT_EQ(sha256(packets[i]), hashes[i]) << i;
      const auto complete = sequence.add(as_bytes(packets[i]), packets[i].size());
      ASSERT_TRUE(complete) << complete.error().text();
      EXPECT_EQ(*complete, i + 1 == packets.size());
    }
    EXPECT_EQ(sequence.received(), message.size());
  }
}

TEST(DrpcCodec, ChunkCounts) {
  const std::pair<std::size_t, std::uint32_t> cases[] = {
      {0, 1}, {1, 1}, {131'047, 1}, {131'048, 1}, {131'049, 2}, {262'096, 2}, {262'097, 3}};
  for (const auto& [bytes, count] : cases) {
    EXPECT_EQ(chunk_count(bytes), count) << bytes;
    const ChunkHeader last = chunk_header(bytes, count - 1);
    EXPECT_EQ(last.chunk_bytes, bytes - (count - 1) * kChunkBytesMax);
    EXPECT_EQ(decode_header(encode_header(last).data()), last);
  }
}

TEST(DrpcCodec, TheLimitIsOfTheWholeMessage) {
  ChunkSequence fits(1000), over(999);
  const std::string packet = text_of(encode_header({1000, 1, 0, 2})) + "x";
  EXPECT_TRUE(fits.add(as_bytes(packet), packet.size()));
  EXPECT_EQ(fits.room(), 999U);
  EXPECT_EQ(over.add(as_bytes(packet), packet.size()).error().code, Code::kResourceExhausted);
}

TEST(DrpcCodec, StatusNames) {
  for (int i = 0; i <= 7; ++i) {
    EXPECT_EQ(to_string(static_cast<Status>(i)),
              ::drpc::Status_Name(static_cast<::drpc::Status>(i)));
  }
  EXPECT_EQ(to_string(static_cast<Status>(99)), "99");
  EXPECT_EQ(to_string(static_cast<Status>(-1)), "-1");
}

// Mutated messages, read by us and by protobuf.
TEST(DrpcCodec, ReadsWhatProtobufReads) {
  std::minstd_rand random(7);
  int parsed = 0;
  for (int round = 0; round < 20'000; ++round) {
    ::drpc::Call call;
    call.set_module(static_cast<std::int32_t>(random()) >> (random() % 32));
    call.set_method(static_cast<std::int32_t>(random()));
    call.set_sequence(-static_cast<std::int64_t>(random() % 3));
    call.set_body(std::string(random() % 40, 'b'));
    std::string bytes = call.SerializeAsString();
    if (round % 4 == 0) {
      EXPECT_EQ(bytes, text_of(MessagePrefix::call(call.module(), call.method(), call.sequence(),
                                                   call.body().size())
                                   .view()) +
                           call.body());
    }
    for (unsigned i = random() % 4; i > 0 && !bytes.empty(); --i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    ::drpc::Call theirs;
    const bool good = theirs.ParseFromString(bytes);
    const auto ours = parse_call(as_bytes(bytes));
    ASSERT_EQ(ours.has_value(), good) << hex(as_bytes(bytes));
    if (!ours) continue;
    ++parsed;
    EXPECT_EQ(ours->module, theirs.module());
    EXPECT_EQ(ours->method, theirs.method());
    EXPECT_EQ(ours->sequence, theirs.sequence());
    EXPECT_EQ(as_text(ours->body), theirs.body());
  }
  EXPECT_GT(parsed, 5000);
}

TEST(DrpcCodec, ResponsesKeepStatusesWithoutName) {
  const std::string bytes = text_of(MessagePrefix::response(-7, static_cast<Status>(99), 2).view());
  const std::string whole = bytes + "ab";
  const auto response = parse_response(as_bytes(whole));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->sequence, -7);
  EXPECT_EQ(static_cast<int>(response->status), 99);
  EXPECT_EQ(as_text(response->body), "ab");
  EXPECT_FALSE(parse_response(as_bytes(bytes)));  // the body is missing
}

TEST(DrpcCodec, LegacyIsToldFromChunks) {
  EXPECT_EQ(detect_framing(encode_header({0, 0, 0, 1})), Framing::kChunked);
  EXPECT_EQ(detect_framing(encode_header({5, 0, 0, 2})), Framing::kChunked);
  EXPECT_EQ(detect_framing(encode_header({5, 5, 0, 1})), Framing::kNeither);
  EXPECT_EQ(detect_framing(encode_header({1ULL << 32, 0, 0, 2})), Framing::kNeither);
  EXPECT_EQ(detect_framing({}), Framing::kNeither);
  // Calls of any length, also those as long as a header or longer.
  for (std::size_t size = 1; size < 300; ++size) {
    EXPECT_EQ(
        detect_framing(as_bytes(call_of(static_cast<std::int64_t>(size), std::string(size, '\0')))),
        Framing::kLegacy);
  }
  EXPECT_EQ(detect_framing(MessagePrefix::call(0, 0, 5, 0).view()), Framing::kNeither);
}

// --- PROTOCOL.md -------------------------------------------------------------------------------

std::vector<std::string> hex_lines_of_protocol_md() {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/wire/drpc/PROTOCOL.md");
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  const auto begin = text.find("```hex\n") + 7;
  std::istringstream lines(text.substr(begin, text.find("```", begin) - begin));
  std::vector<std::string> out;
  for (std::string line, word; std::getline(lines, line);) {
    std::istringstream words(line);
    out.emplace_back();
    while (words >> word) out.back() += static_cast<char>(std::stoi(word, nullptr, 16));
  }
  return out;
}

TEST(DrpcCodec, WorkedExampleOfTheDocument) {
  const auto packets = hex_lines_of_protocol_md();
  ASSERT_EQ(packets.size(), 3U);
  std::vector<std::string> messages;
  for (const auto& packet : packets) {
    ChunkSequence sequence(1000);
    const auto complete = sequence.add(as_bytes(packet), packet.size());
    ASSERT_TRUE(complete && *complete);
    messages.push_back(packet.substr(kHeaderBytes));
    EXPECT_EQ(packets_of(messages.back()), std::vector<std::string>{packet});
  }
  const auto call = parse_call(as_bytes(messages[0]));
  ASSERT_TRUE(call);
  EXPECT_EQ(call->module, 100);
  EXPECT_EQ(call->method, 10001);
  EXPECT_EQ(call->sequence, 1);
  EXPECT_TRUE(call->body.empty());

  capstan::drpc::v1::Reply reply;
  const auto good = parse_response(as_bytes(messages[1]));
  ASSERT_TRUE(good && reply.ParseFromString(text_of(good->body)));
  node::v1::Version version;
  ASSERT_TRUE(version.ParseFromString(reply.reply(0)));
  EXPECT_EQ(version.node_name(), "n1");

  const auto bad = parse_response(as_bytes(messages[2]));
  ASSERT_TRUE(bad && reply.ParseFromString(text_of(bad->body)));
  EXPECT_EQ(bad->sequence, 2);
  EXPECT_EQ(bad->status, Status::kSuccess);
  EXPECT_EQ(reply.status(), -1005);
  EXPECT_EQ(reply.code(), 5);
  EXPECT_EQ(reply.message(), "gone");
}

}  // namespace
}  // namespace capstan::wire::drpc
