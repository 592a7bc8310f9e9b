// Why this file exists: where texts end, what is strict JSON, and what an envelope means, without
// a connection around it.
#include "wire/jsonrpc/jsonrpc_codec.h"

#include <gtest/gtest.h>

#include <random>

namespace capstan::wire::jsonrpc {
namespace {

using Event = TextDecoder::Event;

// The texts of a stream, then how it ended: "more", "malformed", "too long".
std::vector<std::string> decode(std::string_view bytes, std::size_t piece,
                                const JsonScanner::Limits& limits = {1000, 100, 8}) {
  TextDecoder decoder(limits);
  std::vector<std::string> out;
  while (!bytes.empty()) {
    auto input = bytes.substr(0, piece);
    bytes.remove_prefix(input.size());
    while (true) {
      const auto event = decoder.next(input);
      if (event == Event::kNeedMore) break;
      if (event != Event::kText) {
        out.push_back(event == Event::kMalformed ? "malformed" : "too long");
        return out;
      }
      out.emplace_back(decoder.text());
    }
    EXPECT_TRUE(input.empty());
  }
  out.push_back("more");
  return out;
}

TEST(JsonRpcCodec, TextsEndWhereTheyEnd) {
  const std::string bytes = " {}[1,2]\n\"a]\\\"\"true{\"a\":{\"b\":[]}}null{\"x\":-0.5e+7}\t";
  const std::vector<std::string> texts = {
      "{}", "[1,2]", "\"a]\\\"\"", "true", "{\"a\":{\"b\":[]}}", "null", "{\"x\":-0.5e+7}", "more"};
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    EXPECT_EQ(decode(bytes, piece), texts) << piece;
  }
}

TEST(JsonRpcCodec, NumbersOutsideAreHandedOutOnce) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(decode("12 {}", 100), (Texts{"12", "{}", "more"}));
  EXPECT_EQ(decode("12 {}", 1), (Texts{"1", "{}", "more"}));
  EXPECT_EQ(decode("1.5e3{}", 3), (Texts{"1.5", "{}", "more"}));
  EXPECT_EQ(decode("-", 1), (Texts{"more"}));
  EXPECT_EQ(decode("5{}6", 100), (Texts{"5", "{}", "6", "more"}));
}

TEST(JsonRpcCodec, StrictAsRfc8259) {
  for (const char* good :
       {"[0]", "[-0]", "[1e5]", "[1E-5]", "[0.0]", "[\"\\u0000\"]", "[\"\\ud83d\\ude00\"]",
        "[\"\xF0\x9F\x98\x80\"]", "[\"\xEF\xBF\xBF\"]", "[\"\x7F\"]", "[\"\\/\\b\\f\\n\\r\\t\"]",
        "[ ]", "{ }", "{\"\":1}", "[true,false,null]", "{\"a\":1,\"a\":1}"}) {
    EXPECT_EQ(decode(good, 100), (std::vector<std::string>{good, "more"})) << good;
    EXPECT_EQ(decode(good, 1), (std::vector<std::string>{good, "more"})) << good;
  }
  for (const char* bad : {"[01]",
                          "[+1]",
                          "[.5]",
                          "[5.]",
                          "[1e]",
                          "[1e+]",
                          "[--1]",
                          "[-]",
                          "[1 2]",
                          "[1,]",
                          "[,1]",
                          "{,}",
                          "{\"a\":1,}",
                          "{\"a\"}",
                          "{\"a\" 1}",
                          "{a:1}",
                          "{1:1}",
                          "{'a':1}",
                          "[}",
                          "{]",
                          "]",
                          "}",
                          ",",
                          ":",
                          "[tru]",
                          "[True]",
                          "[nul]",
                          "[\"\n\"]",
                          "[\"\t\"]",
                          "[\"\\x41\"]",
                          "[\"\\u12g4\"]",
                          "[\"\\ud800\"]",
                          "[\"\\ud800x\"]",
                          "[\"\\ud800\\n\"]",
                          "[\"\\ud800\\ud800\"]",
                          "[\"\\udc00\"]",
                          "[\"\xC0\xAF\"]",
                          "[\"\xC1\x81\"]",
                          "[\"\xE0\x9F\xBF\"]",
                          "[\"\xED\xA0\x80\"]",
                          "[\"\xF0\x8F\xBF\xBF\"]",
                          "[\"\xF4\x90\x80\x80\"]",
                          "[\"\xF5\x80\x80\x80\"]",
                          "[\"\x80\"]",
                          "[\"\xC3\"]",
                          "/* */[]",
                          "// x\n[]",
                          "\xEF\xBB\xBF[]",
                          "[1]x",
                          "nan",
                          "NaN",
                          "Infinity",
                          "[0x10]",
                          "\x0C[]",
                          "[1\x0B]"}) {
    EXPECT_EQ(decode(bad, 100).back(), "malformed") << bad;
    EXPECT_EQ(decode(bad, 1).back(), "malformed") << bad;
  }
}

TEST(JsonRpcCodec, LimitsAreExact) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(decode("[[[]]]", 1, {100, 100, 3}), (Texts{"[[[]]]", "more"}));
  EXPECT_EQ(decode("[[[[]]]]", 1, {100, 100, 3}), (Texts{"malformed"}));
  EXPECT_EQ(decode("{\"a\":[1,2]}", 1, {100, 7, 3}), (Texts{"{\"a\":[1,2]}", "more"}));
  EXPECT_EQ(decode("{\"a\":[1,2]}", 1, {100, 6, 3}), (Texts{"malformed"}));
  EXPECT_EQ(decode("  [\"abc\"]", 1, {7, 100, 3}), (Texts{"[\"abc\"]", "more"}));
  EXPECT_EQ(decode("  [\"abc\"]", 1, {6, 100, 3}), (Texts{"too long"}));
  EXPECT_EQ(decode("[\"abcdef", 100, {6, 100, 3}), (Texts{"too long"}));
  EXPECT_EQ(decode("[[][]", 100, {6, 100, 3}).back(), "malformed");
}

TEST(JsonRpcCodec, MemoryFollowsTheText) {
  TextDecoder decoder;
  std::string_view spaces(" \n\t\r");
  for (int i = 0; i < 1000; ++i) {
    auto input = spaces;
    EXPECT_EQ(decoder.next(input), Event::kNeedMore);
  }
  EXPECT_EQ(decoder.buffered(), 0U);
  std::string_view digits = "1234";  // a number without end is not kept
  auto input = digits;
  EXPECT_EQ(decoder.next(input), Event::kText);
  for (int i = 0; i < 1000; ++i) {
    input = digits;
    EXPECT_EQ(decoder.next(input), Event::kNeedMore);
  }
  EXPECT_EQ(decoder.buffered(), 0U);
}

Request one(std::string_view text) {
  Requests requests;
  read_requests(text, requests);
  EXPECT_FALSE(requests.batch);
  EXPECT_EQ(requests.all.size(), 1U);
  return requests.all.at(0);
}

TEST(JsonRpcCodec, Envelopes) {
  const auto request = one(R"({"params" : {"a":[1,"}"]} ,"id":7.50,"method":"m\n"})");
  EXPECT_TRUE(request.valid);
  EXPECT_EQ(request.method, "m\n");
  EXPECT_EQ(request.params, R"({"a":[1,"}"]})");
  EXPECT_EQ(request.id, (Id{Id::Kind::kNumber, "7.50"}));
  EXPECT_EQ(one(R"({"method":"m","id":"\u00e9\ud83d\ude00"})").id,
            (Id{Id::Kind::kText, "\xC3\xA9\xF0\x9F\x98\x80"}));
  EXPECT_EQ(one(R"({"method":"m","params":null})").params, "");
  EXPECT_EQ(one(R"({"method":"m","params":[]})").params, "[]");
  // Only a wrong `params` is answered under the request's own id.
  const auto params = one(R"({"method":"m","params":1,"id":3})");
  EXPECT_FALSE(params.valid);
  EXPECT_EQ(params.id.value, "3");
  for (const char* bad : {"{}", "5", "null", "\"m\"", R"({"id":3})", R"({"method":1,"id":3})",
                          R"({"method":"m","id":3,"x":1})", R"({"method":"m","id":3,"id":3})",
                          R"({"method":"m","id":{}})", R"({"method":"m","id":false})",
                          R"({"jsonrpc":"2.1","method":"m","id":3})", R"({"":1})"}) {
    const auto invalid = one(bad);
    EXPECT_FALSE(invalid.valid) << bad;
    EXPECT_EQ(invalid.id, Id()) << bad;
  }
}

TEST(JsonRpcCodec, Batches) {
  Requests requests;
  read_requests(R"([{"method":"a","id":1} , 5,[], {"method":"b"}])", requests);
  EXPECT_TRUE(requests.batch);
  ASSERT_EQ(requests.all.size(), 4U);
  EXPECT_TRUE(requests.all[0].valid);
  EXPECT_FALSE(requests.all[1].valid);
  EXPECT_FALSE(requests.all[2].valid);
  EXPECT_EQ(requests.all[3].id, Id());
  EXPECT_FALSE(one("[ ]").valid);
}

TEST(JsonRpcCodec, Replies) {
  const auto good = read_replies(R"({"jsonrpc":"2.0","id":1,"result":[{"a":1}]})");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->at(0).result, R"([{"a":1}])");
  const auto bad = read_replies(R"([{"id":2,"error":{"code":-19,"message":"No\tsuch"}}])");
  ASSERT_TRUE(bad);
  EXPECT_TRUE(bad->at(0).failed);
  EXPECT_EQ(bad->at(0).code, -19);
  EXPECT_EQ(bad->at(0).message, "No\tsuch");
  for (const char* text : {"5", "[]", "{}", R"({"id":1})", R"({"id":1,"error":5})",
                           R"({"id":1,"error":{"code":1.5,"message":"x"}})",
                           R"({"id":1,"result":1,"error":{"code":1,"message":"x"}})",
                           R"({"jsonrpc":"1.0","id":1,"result":1})"}) {
    EXPECT_FALSE(read_replies(text)) << text;
  }
}

}  // namespace
}  // namespace capstan::wire::jsonrpc
