// Why this file exists: the handshake's values, refusals and their order (muxio-wire section 9.1).
#include "wire/websocket/websocket_handshake.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace capstan::wire {
namespace {

constexpr char kKey[] = "dGhlIHNhbXBsZSBub25jZQ==";  // RFC 6455 section 1.3

WebSocketRequest good() {
  return {"GET", false, "keep-alive, Upgrade", "WebSocket", kKey, "13"};
}

TEST(WebSocketHandshake, AcceptValue) {
  EXPECT_EQ(websocket_accept(kKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(websocket_accept("k+UNY2y4uXqFq25yyChaGQ=="), "Z2rrz5W/8hYC8+ksbqVq/+KgDrY=");
}

TEST(WebSocketHandshake, Answers) {
  EXPECT_TRUE(websocket_answer(good()).accepted);
  struct Row {
    void (*change)(WebSocketRequest&);
    unsigned status;
    std::string_view body;
  };
  const Row rows[] = {
      {[](auto& r) {
         r.method = "POST";
         r.connection = "";
       },
       405, ""},
      {[](auto& r) { r.method = "HEAD"; }, 405, ""},
      {[](auto& r) {
         r.connection = "close";
         r.upgrade = "";
       },
       400, "Connection header did not include 'upgrade'"},
      {[](auto& r) {
         r.upgrade = "h2c";
         r.key = "";
       },
       400, "`Upgrade` header did not include 'websocket'"},
      {[](auto& r) {
         r.key = "";
         r.version = "";
       },
       400, "`Sec-WebSocket-Key` header missing"},
      {[](auto& r) { r.version = "8"; }, 400,
       "`Sec-WebSocket-Version` header did not include '13'"},
      {[](auto& r) { r.http10 = true; }, 426,
       "WebSocket request couldn't be upgraded since no upgrade state was present"},
  };
  for (const Row& row : rows) {
    auto request = good();
    row.change(request);
    const auto answer = websocket_answer(request);
    EXPECT_FALSE(answer.accepted);
    EXPECT_EQ(answer.status, row.status);
    EXPECT_EQ(answer.body, row.body);
  }
}

TEST(WebSocketHandshake, OnlyPagesThatMay) {
  const std::vector<std::string> listed = {"https://console.example:8443", "null"};
  struct Row {
    std::string_view origin, host;
    bool accepted;
  };
  const Row rows[] = {
      {"", "node1:10124", true},
      {"http://node1:8080", "node1:10124", true},
      {"https://NODE1", "node1", true},
      {"http://[2001:db8::1]:80", "[2001:db8::1]:10124", true},
      {"http://localhost:3000", "node1:10124", true},
      {"http://127.1.2.3", "node1:10124", true},
      {"http://[::1]:3000", "node1:10124", true},
      {"https://Console.example:8443", "node1:10124", true},
      {"null", "node1:10124", true},
      {"https://console.example", "node1:10124", false},
      {"https://evil.example", "node1:10124", false},
      {"https://node1.evil.example", "node1:10124", false},
      {"https://node1@evil.example", "node1:10124", false},
      {"https://127.0.0.1.evil.example", "node1:10124", false},
      {"https://127.0.0", "node1:10124", false},
      {"https://localhost.evil.example", "node1:10124", false},
      {"https://evil.example/node1", "node1:10124", false},
      {"https://evil.example, http://node1", "node1:10124", false},
      {"https://", "", false},
      {"node1", "node1:10124", false},
      {"file://", "node1:10124", false},
  };
  for (const Row& row : rows) {
    auto request = good();
    request.origin = row.origin;
    request.host = row.host;
    const auto answer = websocket_answer(request, listed);
    EXPECT_EQ(answer.accepted, row.accepted) << row.origin;
    EXPECT_EQ(answer.status, row.accepted ? 101U : 403U) << row.origin;
    if (!row.accepted) EXPECT_NE(answer.body.find("--ws-origin"), std::string::npos);
    const std::vector<std::string> any = {"*"};
    EXPECT_TRUE(websocket_answer(request, any).accepted) << row.origin;
  }
  for (const char* bad : {"", "node1", "http://", "https://x/", "https://x:y", "https://a b"}) {
    EXPECT_FALSE(websocket_check_origin(bad)) << bad;
  }
  for (const char* fine : {"*", "null", "https://x", "http://[::1]:80"}) {
    EXPECT_TRUE(websocket_check_origin(fine)) << fine;
  }
}

TEST(WebSocketHandshake, Client) {
  EXPECT_EQ(websocket_key({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}),
            "AAECAwQFBgcICQoLDA0ODw==");
  const std::string request = websocket_request("127.0.0.1:7002", "/ws", kKey);
  EXPECT_EQ(request,
            "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:7002\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_TRUE(websocket_check_response(websocket_accept_response(kKey), kKey));
  EXPECT_FALSE(websocket_check_response(websocket_accept_response("other"), kKey));
  const auto refused = websocket_check_response("HTTP/1.1 404 Not Found\r\n\r\n", kKey);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("404 Not Found"), std::string::npos);
  std::string compressed = websocket_accept_response(kKey);
  compressed.insert(compressed.size() - 2, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  EXPECT_FALSE(websocket_check_response(compressed, kKey));
  EXPECT_FALSE(websocket_check_response("", kKey));
}

}  // namespace
}  // namespace capstan::wire
