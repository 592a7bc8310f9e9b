// Why this file exists: bodies of every framing, in one piece and byte by byte, chunks that two
// parsers could read differently, and the requests that smuggle.
#include "wire/http1/http1_body.h"

#include <gtest/gtest.h>

#include "wire/http1/http1_request.h"
#include "wire/http1/http1_response.h"

namespace capstan::wire {
namespace {

constexpr Http1Framing kChunked{Http1Framing::Kind::kChunked, 0};

// "body|rest", or "!" when it was refused, "?" when more is needed.
std::string decoded(Http1Framing framing, std::string_view bytes, std::size_t part) {
  Http1BodyDecoder decoder(framing);
  std::string body, waiting;
  std::size_t given = 0;
  while (!decoder.done()) {
    if (waiting.empty()) {
      if (given == bytes.size()) return "?";
      const auto piece = bytes.substr(given, part);
      waiting = piece;
      given += piece.size();
    }
    const auto step = decoder.next(as_bytes(waiting));
    if (!step) return "!";
    body += as_text(step->piece);
    waiting.erase(0, step->used);
  }
  return body + "|" + waiting + std::string(bytes.substr(given));
}

TEST(Http1Body, ByLength) {
  for (const std::size_t part : {1U, 3U, 100U}) {
    EXPECT_EQ(decoded({Http1Framing::Kind::kLength, 5}, "abcdeGET", part), "abcde|GET");
    EXPECT_EQ(decoded({Http1Framing::Kind::kLength, 5}, "abcd", part), "?");
    EXPECT_EQ(decoded({Http1Framing::Kind::kNone, 0}, "GET", part), "|GET");
  }
}

TEST(Http1Body, InChunks) {
  struct Row {
    const char* bytes;
    const char* answer;
  };
  const Row rows[] = {
      {"3\r\nabc\r\n0\r\n\r\nGET", "abc|GET"},
      {"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789|"},
      {"a\r\n0123456789\r\n00\r\n\r\n", "0123456789|"},
      {"3;ext=\"x y\";b\r\nabc\r\n0;z\r\n\r\n", "abc|"},
      {"3\r\nabc\r\n0\r\nTrailer: x\r\nother:\r\n\r\nrest", "abc|rest"},
      {"3\r\nabc\r\n", "?"},
      {"3\r\nabc\r\n0\r\n", "?"},
      {"3\r\nabcd\r\n0\r\n\r\n", "!"},
      {"3\nabc\r\n0\r\n\r\n", "!"},
      {"3\r\nabc\n0\r\n\r\n", "!"},
      {"3\r\rabc", "!"},
      {"\r\n", "!"},
      {"0x3\r\nabc\r\n0\r\n\r\n", "!"},
      {"+3\r\nabc\r\n", "!"},
      {"-1\r\n", "!"},
      {" 3\r\nabc\r\n", "!"},
      {"3 \r\nabc\r\n", "!"},
      {"g\r\n", "!"},
      {"fffffffffffffffff\r\n", "!"},
      {"3;a\nb\r\nabc\r\n0\r\n\r\n", "!"},
      {"0\r\n\rX", "!"},
      {"0\r\nA: b\rX", "!"},
  };
  for (const std::size_t part : {1U, 2U, 100U}) {
    for (const Row& row : rows) {
      EXPECT_EQ(decoded(kChunked, row.bytes, part), row.answer) << row.bytes;
    }
  }
  EXPECT_EQ(decoded(kChunked, "3;" + std::string(2000, 'x') + "\r\nabc", 7), "!");
  EXPECT_EQ(decoded(kChunked, "0\r\nx: " + std::string(20'000, 'x'), 7), "!");
}

TEST(Http1Body, UntilTheConnectionEnds) {
  Http1BodyDecoder decoder({Http1Framing::Kind::kUntilClose, 0});
  const auto step = decoder.next(as_bytes("abc"));
  ASSERT_TRUE(step);
  EXPECT_EQ(as_text(step->piece), "abc");
  EXPECT_FALSE(decoder.done());
  EXPECT_TRUE(decoder.end());
  EXPECT_TRUE(decoder.done());
  Http1BodyDecoder cut({Http1Framing::Kind::kLength, 3});
  ASSERT_TRUE(cut.next(as_bytes("ab")));
  EXPECT_FALSE(cut.end());
}

TEST(Http1Body, ChunksAsWritten) {
  std::string out;
  http1_append_chunk("{\"seq\":1}\n", false, out);
  EXPECT_EQ(out, "a\r\n{\"seq\":1}\n\r\n");
  out.clear();
  http1_append_chunk(std::string(4088, 'x'), true, out);
  EXPECT_TRUE(out.starts_with("FF8\r\nx"));
  out.clear();
  http1_append_chunk("", true, out);
  EXPECT_EQ(out, "");
}

// What the head of a request says about its body: "none", "chunked", a length, or the answer.
std::string framing_of(const std::string& headers, const char* version = "1.1") {
  Http1RequestParser parser;
  const auto added =
      parser.add(as_bytes("POST / HTTP/" + std::string(version) + "\r\n" + headers + "\r\n"));
  if (!added) return "400";
  if (!*added) return "more";
  const auto framing = http1_request_framing(parser.request());
  if (!framing) return framing.error().code == Code::kUnimplemented ? "501" : "400";
  switch (framing->kind) {
    case Http1Framing::Kind::kNone: return "none";
    case Http1Framing::Kind::kLength: return std::to_string(framing->length);
    case Http1Framing::Kind::kChunked: return "chunked";
    case Http1Framing::Kind::kUntilClose: break;
  }
  return "until close";
}

TEST(Http1Body, RequestsThatSmuggle) {
  struct Row {
    const char* headers;
    const char* answer;
  };
  const Row rows[] = {
      {"", "none"},
      {"Content-Length: 0\r\n", "none"},
      {"Content-Length: 5\r\n", "5"},
      {"Content-Length: 005\r\n", "5"},
      {"Transfer-Encoding: chunked\r\n", "chunked"},
      {"Transfer-Encoding: Chunked\r\n", "chunked"},
      {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400"},
      {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400"},
      {"Content-Length: 5\r\nContent-Length: 6\r\n", "400"},
      {"Content-Length: 5\r\nContent-Length: 5\r\n", "400"},
      {"Content-Length: 5, 5\r\n", "400"},
      {"Content-Length: +5\r\n", "400"},
      {"Content-Length: -5\r\n", "400"},
      {"Content-Length: 0x5\r\n", "400"},
      {"Content-Length: 5 5\r\n", "400"},
      {"Content-Length: 99999999999999999999\r\n", "400"},
      {"Content-Length:\r\n", "400"},
      {"Content-Length : 5\r\n", "400"},
      {"Transfer-Encoding: gzip\r\n", "501"},
      {"Transfer-Encoding: gzip, chunked\r\n", "501"},
      {"Transfer-Encoding: chunked, chunked\r\n", "501"},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"},
      {"Transfer-Encoding: identity\r\n", "501"},
      {"Transfer-Encoding:\r\n", "501"},
      {"Transfer-Encoding: xchunked\r\n", "501"},
      {"Transfer-Encoding:\x0b"
       "chunked\r\n",
       "400"},
      {"Transfer-Encoding\r\n: chunked\r\n", "400"},
      {"X: y\r\n Transfer-Encoding: chunked\r\n", "400"},
      {"X: y\r\n\tz\r\n", "400"},
      {"Host: a\r\nHost: b\r\n", "400"},
      {"X: a\nContent-Length: 5\r\n", "400"},
      {"X: a\rContent-Length: 5\r\n", "400"},
  };
  for (const Row& row : rows) EXPECT_EQ(framing_of(row.headers), row.answer) << row.headers;
  EXPECT_EQ(framing_of("Transfer-Encoding: chunked\r\n", "1.0"), "400");
  EXPECT_EQ(framing_of("Content-Length: 5\r\n", "1.0"), "5");
  EXPECT_EQ(framing_of(std::string("X: a\0b\r\n", 8)), "400");
}

TEST(Http1Request, LinesAndLimits) {
  const auto code = [](const std::string& bytes, std::size_t part) {
    Http1RequestParser parser({100, 1000, 10});
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      const auto added = parser.add(as_bytes(std::string_view(bytes).substr(at, part)));
      if (!added) return added.error().code;
      if (*added) return Code::kOk;
    }
    return Code::kUnknown;
  };
  for (const std::size_t part : {1U, 64U, 5000U}) {
    EXPECT_EQ(code("\r\nGET / HTTP/1.1\r\n\r\n", part), Code::kOk);
    EXPECT_EQ(code("GET /" + std::string(80, 'x') + " HTTP/1.1\r\n\r\n", part), Code::kOk);
    EXPECT_EQ(code("GET /" + std::string(200, 'x') + " HTTP/1.1\r\n\r\n", part),
              Code::kResourceExhausted);
    EXPECT_EQ(code("GET / HTTP/1.1\r\nx: " + std::string(2000, 'x') + "\r\n\r\n", part),
              Code::kResourceExhausted);
    EXPECT_EQ(code("GET  / HTTP/1.1\r\n\r\n", part), Code::kInvalidArgument);
    EXPECT_EQ(code("GET / \r\nHost: a\r\n\r\n", part), Code::kInvalidArgument);
    EXPECT_EQ(code("GET /\r\n\r\n", part), Code::kInvalidArgument);
    EXPECT_EQ(code("GET / HTTP/2.0\r\n\r\n", part), Code::kInvalidArgument);
    EXPECT_EQ(code("GET / HTTP/1.1\r\na: b\r\n c: d\r\n\r\n", part), Code::kInvalidArgument);
  }
}

TEST(Http1Response, HeadsForClients) {
  for (const std::size_t part : {1U, 7U, 1000U}) {
    const std::string bytes =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: a/b\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    Http1ResponseParser parser;
    std::size_t at = 0;
    for (bool complete = false; !complete; at += part) {
      ASSERT_LT(at, bytes.size());
      const auto added = parser.add(as_bytes(std::string_view(bytes).substr(at, part)));
      ASSERT_TRUE(added) << added.error().text();
      complete = *added;
    }
    EXPECT_EQ(parser.response().status, 200U);
    EXPECT_EQ(parser.response().last("content-type"), "a/b");
    EXPECT_TRUE(parser.response().keep_alive);
    EXPECT_EQ(parser.framing()->kind, Http1Framing::Kind::kChunked);
    EXPECT_TRUE(std::string_view("0\r\n\r\n").starts_with(as_text(parser.rest())));
  }
  const auto kind = [](const char* bytes, bool to_head = false) {
    Http1ResponseParser parser(to_head);
    const auto added = parser.add(as_bytes(bytes));
    EXPECT_TRUE(added && *added);
    return parser.framing()->kind;
  };
  EXPECT_EQ(kind("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"), Http1Framing::Kind::kLength);
  EXPECT_EQ(kind("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true), Http1Framing::Kind::kNone);
  EXPECT_EQ(kind("HTTP/1.1 204 No Content\r\n\r\n"), Http1Framing::Kind::kNone);
  EXPECT_EQ(kind("HTTP/1.0 200 OK\r\n\r\n"), Http1Framing::Kind::kUntilClose);
  Http1ResponseParser nonsense;
  EXPECT_FALSE(nonsense.add(as_bytes("SSH-2.0\r\n\r\n")));
}

TEST(Http1Response, HeadsAsWritten) {
  std::string out;
  http1_append_head(409, {{"content-type", "a/b"}, {"x", "one\r\ntwo"}}, out);
  EXPECT_EQ(out, "HTTP/1.1 409 Conflict\r\ncontent-type: a/b\r\nx: one  two\r\n\r\n");
}

}  // namespace
}  // namespace capstan::wire
