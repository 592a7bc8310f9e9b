// Why this file exists: the handshake's values, refusals and their order (muxio-wire section 9.1).
#include "wire/websocket/websocket_handshake.h"

#include <gtest/gtest.h>

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
