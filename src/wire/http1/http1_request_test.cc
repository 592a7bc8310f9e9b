// Why this file exists: heads of requests, whole and in pieces, and what is refused.
#include "wire/http1/http1_request.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "wire/http1/http1_response.h"

namespace capstan::wire {
namespace {

constexpr std::string_view kUpgrade =
    "GET /ws?x=1 HTTP/1.1\r\nHost: 127.0.0.1:7002\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nX-Two: a\r\nx-two: b\r\n\r\n";

TEST(Http1Request, WholeAndInPieces) {
  for (const std::size_t part : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    Http1RequestParser parser;
    std::string bytes(kUpgrade);
    bool done = false;
    std::size_t at = 0;
    while (!done && at < bytes.size()) {
      const std::size_t size = std::min(part, bytes.size() - at);
      const auto added = parser.add(as_bytes(bytes).subspan(at, size));
      ASSERT_TRUE(added) << added.error().text();
      done = *added;
      at += size;
    }
    ASSERT_TRUE(done);
    EXPECT_EQ(at, bytes.size());
    EXPECT_EQ(parser.request().method, "GET");
    EXPECT_EQ(parser.request().target, "/ws?x=1");
    EXPECT_EQ(parser.request().path(), "/ws");
    EXPECT_EQ(parser.request().header("upgrade"), "websocket");
    EXPECT_EQ(parser.request().header("x-two"), "a, b");
    EXPECT_EQ(parser.request().header("absent"), "");
    EXPECT_FALSE(parser.request().http10);
    EXPECT_TRUE(parser.rest().empty());
  }
}

TEST(Http1Request, TheRestIsNotTouched) {
  Http1RequestParser parser;
  const std::string bytes = std::string(kUpgrade) + "\x82\x80 more";
  ASSERT_EQ(parser.add(as_bytes(bytes)).value_or(false), true);
  EXPECT_EQ(as_text(parser.rest()), "\x82\x80 more");
  Http1RequestParser body;
  ASSERT_EQ(body.add(as_bytes("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")).value_or(false),
            true);
  EXPECT_TRUE(body.request().http10);
  EXPECT_FALSE(body.request().keep_alive);
  EXPECT_EQ(as_text(body.rest()), "abc");
}

TEST(Http1Request, Refused) {
  for (const char* text :
       {"\r\nnonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n", "\x16\x03\x01\x02 tls\r\n\r\n"}) {
    Http1RequestParser parser;
    const auto added = parser.add(as_bytes(text));
    ASSERT_FALSE(added) << text;
    EXPECT_EQ(added.error().code, Code::kInvalidArgument) << text;
  }
}

TEST(Http1Request, Limits) {
  Http1RequestParser endless;
  Result<bool> added = false;
  std::size_t given = 0;
  ASSERT_TRUE(endless.add(as_bytes("GET / HTTP/1.1\r\nx: ")));
  while (added && given < 10 * limits::kHttp1HeadBytes) {
    added = endless.add(as_bytes(std::string(1000, 'y')));
    given += 1000;
  }
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Code::kResourceExhausted);
  EXPECT_LE(given, limits::kHttp1HeadBytes + 2000);

  Http1RequestParser at_once({100, 200, 10});
  const std::string head = "GET / HTTP/1.1\r\nx: " + std::string(200, 'y') + "\r\n\r\n";
  const auto whole = at_once.add(as_bytes(head));
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().code, Code::kResourceExhausted);

  std::string many = "GET / HTTP/1.1\r\n";
  for (std::size_t i = 0; i <= limits::kHttp1Headers; ++i) many += "a: b\r\n";
  Http1RequestParser parser;
  const auto result = parser.add(as_bytes(many + "\r\n"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kResourceExhausted);
}

// FixedBug: Boost.Beast counts in 16 bits and threw where the head may be larger than that.
TEST(Http1Request, HeadersTooLongForBeastAreRefused) {
  constexpr Http1RequestLimits kLarge{8U << 10, 256U << 10, 100};
  const std::string start = "GET / HTTP/1.1\r\n";
  for (const std::size_t part : {std::size_t{4096}, std::size_t{1} << 20}) {
    const auto parsed = [&](const std::string& line) {
      Http1RequestParser parser(kLarge);
      const std::string bytes = start + line + "\r\n\r\n";
      Result<bool> added = false;
      for (std::size_t at = 0; added && !*added && at < bytes.size(); at += part) {
        added = parser.add(as_bytes(std::string_view(bytes).substr(at, part)));
      }
      return added ? (*added ? Code::kOk : Code::kUnknown) : added.error().code;
    };
    EXPECT_EQ(parsed("x:" + std::string(65'531, 'v')), Code::kOk);
    EXPECT_EQ(parsed(std::string(65'532, 'n') + ":"), Code::kOk);
    for (const std::size_t size : {65'532U, 65'534U, 65'536U, 66'000U, 140'000U}) {
      EXPECT_EQ(parsed("x:" + std::string(size, 'v')), Code::kResourceExhausted) << size;
      EXPECT_EQ(parsed(std::string(size + 1, 'n') + ":"), Code::kResourceExhausted) << size;
    }
    // Several of them are the head's limit's business.
    EXPECT_EQ(parsed("x:" + std::string(60'000, 'v') + "\r\ny:" + std::string(60'000, 'v')),
              Code::kOk);
  }
}

// The same of a server.
TEST(Http1Response, HeadersTooLongForBeastAreRefused) {
  for (const char* line : {"x:", ""}) {
    Http1ResponseParser parser(false);
    const std::string bytes = "HTTP/1.1 200 OK\r\n" + std::string(line) + std::string(70'000, 'v') +
                              (*line == 0 ? ":" : "") + "\r\n\r\n";
    const auto added = parser.add(as_bytes(bytes));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, Code::kResourceExhausted);
  }
}

TEST(Http1Request, ShortAnswers) {
  EXPECT_EQ(http1_answer(404, ""),
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(http1_answer(400, "why", "x: y\r\n"),
            "HTTP/1.1 400 Bad Request\r\nx: y\r\ncontent-type: text/plain; charset=utf-8\r\n"
            "content-length: 3\r\nconnection: close\r\n\r\nwhy");
}

}  // namespace
}  // namespace capstan::wire
