// Why this file exists: vectors for every function of grpc_codec.h, and the worked example of
// PROTOCOL.md, which is read from the document itself.
#include "wire/grpc/grpc_codec.h"
#include "capstan_test_paths.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "base/limits.h"
#include "wire/grpc/error_map.h"
#include "wire/grpc/metadata.h"

namespace capstan::wire {
namespace {

std::string message(std::string_view body, bool compressed = false) {
  std::string out(kGrpcPrefixBytes, '\0');
  grpc_write_prefix(reinterpret_cast<std::uint8_t*>(out.data()), compressed,
                    static_cast<std::uint32_t>(body.size()));
  return out.append(body);
}

std::vector<std::string> drain(GrpcDecoder& decoder) {
  std::vector<std::string> out;
  while (true) {
    const auto frame = decoder.next();
    EXPECT_TRUE(frame);
    if (!frame || !*frame) return out;
    out.emplace_back(as_text((*frame)->body));
  }
}

std::string hex_block_of_protocol_md() {
  std::ifstream file(std::string(CAPSTAN_SOURCE_DIR) + "/src/wire/grpc/PROTOCOL.md");
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  const auto begin = text.find("```hex\n") + 7;
  std::istringstream words(text.substr(begin, text.find("```", begin) - begin));
  std::string out, word;
  while (words >> word) out += static_cast<char>(std::stoi(word, nullptr, 16));
  return out;
}

TEST(GrpcCodec, WorkedExampleOfTheDocument) {
  const auto bytes = hex_block_of_protocol_md();
  GrpcDecoder decoder(100);
  ASSERT_TRUE(decoder.append(as_bytes(bytes)));
  EXPECT_EQ(drain(decoder), (std::vector<std::string>{"hello", ""}));
  EXPECT_EQ(decoder.buffered(), 0U);
  EXPECT_EQ(message("hello") + message(""), bytes);
}

TEST(GrpcCodec, AnySplitGivesTheSameMessages) {
  const std::vector<std::string> bodies = {"", "a", std::string(300, 'b'), "", "last"};
  std::string bytes;
  for (const auto& body : bodies) bytes += message(body);
  std::minstd_rand random(3);
  for (int round = 0; round < 200; ++round) {
    GrpcDecoder decoder(300);
    std::vector<std::string> got;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t part = std::min<std::size_t>(1 + random() % 40, bytes.size() - at);
      ASSERT_TRUE(decoder.append(as_bytes(std::string_view(bytes).substr(at, part))));
      if (random() % 3 == 0) {
        for (auto& body : drain(decoder)) got.push_back(std::move(body));
      }
      at += part;
    }
    for (auto& body : drain(decoder)) got.push_back(std::move(body));
    ASSERT_EQ(got, bodies);
  }
}

TEST(GrpcCodec, TooLargeIsRefusedByItsPrefix) {
  GrpcDecoder decoder(10);
  const auto bytes = message(std::string(11, 'x'));
  const auto added = decoder.append(as_bytes(bytes));
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Code::kResourceExhausted);
  EXPECT_LE(decoder.buffered(), kGrpcPrefixBytes);
  // The same as the second message of a buffer.
  GrpcDecoder second(10);
  ASSERT_TRUE(second.append(as_bytes(message("ok") + bytes)));
  ASSERT_TRUE(second.next());
  EXPECT_EQ(second.next().error().code, Code::kResourceExhausted);
  // Exactly at the limit is fine.
  GrpcDecoder limit(10);
  ASSERT_TRUE(limit.append(as_bytes(message(std::string(10, 'x')))));
  EXPECT_EQ(drain(limit).size(), 1U);
}

TEST(GrpcCodec, UndefinedFlagIsRefused) {
  GrpcDecoder decoder(10);
  EXPECT_EQ(decoder.append(as_bytes(std::string_view("\x02\0\0\0\0", 5))).error().code,
            Code::kInternal);
}

TEST(GrpcCodec, WholeTakesOnlyExactlyOneMessage) {
  GrpcDecoder decoder(10);
  const auto one = message("abc", true);
  const auto frame = decoder.whole(as_bytes(one));
  ASSERT_TRUE(frame);
  EXPECT_TRUE(frame->compressed);
  EXPECT_EQ(as_text(frame->body), "abc");
  EXPECT_FALSE(decoder.whole(as_bytes(one + "x")));
  EXPECT_FALSE(decoder.whole(as_bytes(one.substr(0, 7))));
  EXPECT_FALSE(decoder.whole(as_bytes(message(std::string(11, 'x')))));
}

TEST(GrpcCodec, Timeouts) {
  EXPECT_EQ(grpc_parse_timeout("1H"), 3'600'000'000'000U);
  EXPECT_EQ(grpc_parse_timeout("2M"), 120'000'000'000U);
  EXPECT_EQ(grpc_parse_timeout("3S"), 3'000'000'000U);
  EXPECT_EQ(grpc_parse_timeout("10m"), 10'000'000U);
  EXPECT_EQ(grpc_parse_timeout("7u"), 7'000U);
  EXPECT_EQ(grpc_parse_timeout("99999999n"), 99'999'999U);
  EXPECT_EQ(grpc_parse_timeout("0n"), 0U);
  EXPECT_EQ(grpc_parse_timeout("99999999H"), static_cast<std::uint64_t>(INT64_MAX));
  for (const auto* bad : {"", "S", "1", "1s", "-1S", "1.5S", "100000000n", " 1S", "1S "}) {
    EXPECT_FALSE(grpc_parse_timeout(bad)) << bad;
  }
  EXPECT_EQ(grpc_print_timeout(0), "0n");
  EXPECT_EQ(grpc_print_timeout(99'999'999), "99999999n");
  EXPECT_EQ(grpc_print_timeout(100'000'001), "100001u");  // rounded up, never down
  EXPECT_EQ(grpc_print_timeout(5'000'000'000), "5000000u");
  for (const std::uint64_t nanos : {1ULL, 999ULL, 123'456'789ULL, 86'400'000'000'000ULL}) {
    const auto back = grpc_parse_timeout(grpc_print_timeout(nanos));
    ASSERT_TRUE(back);
    EXPECT_GE(*back, nanos);
    EXPECT_LE(*back - nanos, nanos / 50'000 + 1);
  }
}

TEST(GrpcCodec, StatusMessages) {
  EXPECT_EQ(grpc_encode_message("pool 'p' not found"), "pool 'p' not found");
  EXPECT_EQ(grpc_encode_message("100%\n"), "100%25%0A");
  EXPECT_EQ(grpc_encode_message("f\xC3\xBCr"), "f%C3%BCr");
  EXPECT_EQ(grpc_encode_message(" x "), "%20x%20");
  EXPECT_EQ(grpc_decode_message("f%C3%bcr%2"), "f\xC3\xBCr%2");
  EXPECT_EQ(grpc_decode_message("%zz%"), "%zz%");
  std::string every;
  for (int i = 0; i < 256; ++i) every += static_cast<char>(i);
  EXPECT_EQ(grpc_decode_message(grpc_encode_message(every)), every);
  EXPECT_TRUE(grpc_valid_value(grpc_encode_message(every)));
}

TEST(GrpcCodec, BinaryMetadata) {
  // RFC 4648 section 10.
  EXPECT_EQ(grpc_encode_binary("foobar"), "Zm9vYmFy");
  EXPECT_EQ(grpc_encode_binary("foob"), "Zm9vYg");
  EXPECT_EQ(grpc_encode_binary("fooba"), "Zm9vYmE");
  EXPECT_EQ(grpc_decode_binary("Zm9vYg=="), "foob");
  EXPECT_EQ(grpc_decode_binary("Zm9vYg"), "foob");
  EXPECT_EQ(grpc_decode_binary("Zm9vYmE="), "fooba");
  EXPECT_EQ(grpc_decode_binary(""), "");
  for (const auto* bad : {"Z", "Zm9vY", "Zm9vYg=", "Zm9v Yg", "Zm9vYg===", "-_"}) {
    EXPECT_FALSE(grpc_decode_binary(bad)) << bad;
  }
  MetadataList list;
  ASSERT_TRUE(grpc_add_metadata("k-bin", "Zm9v,YmFy", list));
  EXPECT_EQ(list, (MetadataList{{"k-bin", "foo"}, {"k-bin", "bar"}}));
  EXPECT_FALSE(grpc_add_metadata("k-bin", "!", list));
}

TEST(GrpcCodec, ContentTypesAndEncodings) {
  EXPECT_EQ(grpc_content("application/grpc"), GrpcContent::kProto);
  EXPECT_EQ(grpc_content("application/grpc+proto"), GrpcContent::kProto);
  EXPECT_EQ(grpc_content("application/grpc;charset=utf-8"), GrpcContent::kProto);
  EXPECT_EQ(grpc_content("application/grpc+json"), GrpcContent::kSubtype);
  for (const auto* other : {"", "application/json", "application/grpc-web", "application/grpcx"}) {
    EXPECT_EQ(grpc_content(other), GrpcContent::kOther) << other;
  }
  EXPECT_EQ(grpc_encoding("gzip"), GrpcEncoding::kGzip);
  EXPECT_EQ(grpc_encoding(""), GrpcEncoding::kIdentity);
  EXPECT_EQ(grpc_encoding("snappy"), GrpcEncoding::kUnknown);
  EXPECT_TRUE(grpc_accepts_gzip("identity, deflate, gzip"));
  EXPECT_FALSE(grpc_accepts_gzip("identity,gzippy"));
}

TEST(GrpcCodec, GzipBothWaysAndBounded) {
  const std::string plain(100'000, 'x');
  const auto packed = grpc_gzip(as_bytes(plain));
  ASSERT_TRUE(packed);
  EXPECT_LT(packed->size(), 1000U);
  EXPECT_EQ(*grpc_gunzip(as_bytes(*packed), plain.size()), plain);
  EXPECT_EQ(grpc_gunzip(as_bytes(*packed), plain.size() - 1).error().code,
            Code::kResourceExhausted);
  EXPECT_EQ(grpc_gunzip(as_bytes(packed->substr(0, 20)), 1U << 20).error().code, Code::kInternal);
  EXPECT_EQ(grpc_gunzip(as_bytes(*packed + "x"), 1U << 20).error().code, Code::kInternal);
  EXPECT_EQ(grpc_gunzip(as_bytes("plain text"), 1U << 20).error().code, Code::kInternal);
  EXPECT_EQ(grpc_gunzip({}, 10).error().code, Code::kInternal);
  EXPECT_FALSE(grpc_gzip(as_bytes("short")));  // would not become smaller
}

TEST(GrpcErrorMap, BothDirections) {
  for (int i = 0; i <= 16; ++i) {
    const auto code = static_cast<Code>(i);
    EXPECT_EQ(grpc_status_text(code), std::to_string(i));
    EXPECT_EQ(grpc_status_code(std::to_string(i)), code);
  }
  for (const auto* bad : {"", "17", "-1", "05", "x"}) {
    EXPECT_EQ(grpc_status_code(bad), Code::kUnknown) << bad;
  }
  EXPECT_EQ(grpc_code_of_http_status("404"), Code::kUnimplemented);
  EXPECT_EQ(grpc_code_of_http_status("503"), Code::kUnavailable);
  EXPECT_EQ(grpc_code_of_http_status("200"), Code::kUnknown);
  EXPECT_EQ(grpc_code_of_http2_error(Http2Error::kRefusedStream), Code::kUnavailable);
  EXPECT_EQ(grpc_code_of_http2_error(Http2Error::kCancel), Code::kCancelled);
  EXPECT_EQ(grpc_code_of_http2_error(Http2Error::kEnhanceYourCalm), Code::kResourceExhausted);
  Error error{Code::kNotFound, 0, "pool not found", {"import 100%"}};
  EXPECT_EQ(grpc_status_message(error), "import 100%25: pool not found");
}

TEST(GrpcErrorMap, LongMessagesFitOfficialClientsAlsoWhenEscaped) {
  std::string text;
  for (int i = 0; i < 1900; ++i) text += "\xC3\xBC";  // 3800 bytes, 11400 when escaped
  const std::string sent = grpc_status_message({Code::kNotFound, 0, text, {}});
  EXPECT_LE(sent.size(), limits::kGrpcStatusMessageBytes);
  EXPECT_GT(sent.size(), limits::kGrpcStatusMessageBytes - 16);
  const std::string read = grpc_decode_message(sent);
  ASSERT_TRUE(read.ends_with("...")) << read;
  EXPECT_TRUE(text.starts_with(read.substr(0, read.size() - 3)));
  EXPECT_EQ((read.size() - 3) % 2, 0U);  // not within a character
  const std::string plain(limits::kGrpcStatusMessageBytes, 'x');
  EXPECT_EQ(grpc_status_message({Code::kNotFound, 0, plain, {}}), plain);
}

TEST(GrpcMetadata, SendsOnlyWhatMayBeSent) {
  const MetadataList metadata = {
      {"gtm-602", "0"}, {"Upper", "x"},  {"grpc-status", "0"}, {"k-bin", "\x01"},
      {"line", "a\nb"}, {":path", "/x"}, {"te", "x"},          {"grpc-status-details-bin", "d"}};
  HeaderBuilder builder;
  builder.add_metadata(metadata);
  std::string sent;
  for (const auto& [name, value] : builder.headers()) {
    sent += std::string(name) + "=" + std::string(value) + ";";
  }
  EXPECT_EQ(sent, "gtm-602=0;k-bin=AQ;grpc-status-details-bin=ZA;");
}

TEST(GrpcMetadata, TraceIds) {
  EXPECT_EQ(trace_id_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace_id_of("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), "");
  EXPECT_EQ(trace_id_of("nonsense"), "");
}

}  // namespace
}  // namespace capstan::wire
