// Why this file exists: exact bytes of requests and answers, in one piece and byte by byte: the
// golden answers of http-rpc sections 4.2, 4.3, 5.1, 8 and 9 as our rules change them, and the
// order of the checks (5.2).
#include "wire/rest/server.h"

#include <gtest/gtest.h>

#include <fstream>

#include "capstan_test_paths.h"
#include "wire/rest/rest_testing.h"

namespace capstan::wire::rest {
namespace {

using namespace std::string_view_literals;
using core::Task;
using testing::exchange;
using testing::Peer;
using testing::TestWorld;

struct Row {
  const char* request;
  std::string_view answer;
};

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

const Row kGoldenRows[] = {
    {GET("/version"),
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n"
     "{\"version\":\"demo/1.0\"}\n"},
    {"POST /rpc/mayastor.v1.Registration/Register HTTP/1.1\r\nHost: l\r\ncontent-length: 2"
     "\r\n\r\n{}",
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n{}\n"},
    {"PUT /pools/taken HTTP/1.1\r\nHost: l\r\ncontent-length: 3\r\n\r\n{ }",
     "HTTP/1.1 409 Conflict\r\ncontent-type: application/json\r\ncontent-length: 81\r\n\r\n"
     R"([{"kind":"permanent","id":"pool.already_exists","msg":"boom","pool_id":"taken"}])"
     "\n"},
    {"DELETE /pools/p1 HTTP/1.1\r\nHost: l\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
    {"DELETE /pools/p9 HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 88\r\n\r\n"
     R"([{"kind":"permanent","id":"pool.not_found","msg":"pool 'p9' not found","pool_id":"p9"}])"
     "\n"},
    {GET("/nope"), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"},
    {"POST /version HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 405 Method Not Allowed\r\nallow: GET\r\ncontent-length: 0\r\n\r\n"},
    {"POST /pools/p1 HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 405 Method Not Allowed\r\nallow: GET, PUT, DELETE\r\ncontent-length: 0\r\n\r\n"},
    {"TRACE /version HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n"},
    {"FETCH /version HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n"},
    {"HEAD /version HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n"},
    {"HEAD /pools HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n"},
    {"GET /version HTTP/1.1\r\nAccept: text/html\r\n\r\n",
     "HTTP/1.1 406 Not Acceptable\r\ncontent-length: 60\r\n\r\n"
     "application/json, application/bson, application/octet-stream"},
    {"GET /version HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n",
     "HTTP/1.1 415 Unsupported Media Type\r\ncontent-length: 0\r\n\r\n"},
    {"GET /version HTTP/1.1\r\nAccept: application/octet-stream\r\n\r\n",
     "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 37\r\n\r\n"
     "\0\0\0!\0\0\0\0\0\0\0\bdemo/1.0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv},
    {"GET http://host:1/version HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n"
     "{\"version\":\"demo/1.0\"}\n"},
    {"GET /version HTTP/1.0\r\n\r\n",
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n"
     "connection: close\r\n\r\n{\"version\":\"demo/1.0\"}\n"},
    {GET("//version///"),
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n"
     "{\"version\":\"demo/1.0\"}\n"},
    {GET("/pools/%2e%2e/version"),
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n"
     "{\"version\":\"demo/1.0\"}\n"},
    {GET("/pools/p0"),
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 32\r\n\r\n"
     "{\"name\":\"p0\",\"capacity\":\"1024\"}\n"},
    {GET("/kv/main/entries/k"),
     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n\"01ff\"\n"},
    {"OPTIONS /pools HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Methods: GET\r\ncontent-length: 0\r\n\r\n"},
    {"OPTIONS /nope HTTP/1.1\r\nHost: l\r\n\r\n",
     "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"},
};

TEST(RestServer, GoldenAnswers) {
  for (const std::size_t part : {std::size_t{1}, std::size_t{1} << 20}) {
    TestWorld world;
    world.run([part](TestWorld& in) -> Task<void> {
      return [](TestWorld* at, std::size_t size) -> Task<void> {
        for (const Row& row : kGoldenRows) {
          const std::string answer = co_await exchange(at, row.request, size);
          EXPECT_EQ(answer, row.answer) << row.request;
        }
      }(&in, part);
    });
  }
}

// The beginning of an answer and a part of its body.
struct Loose {
  std::string request;
  const char* status;
  const char* contains;
};

Task<void> check_loose(TestWorld* world, std::vector<Loose> rows) {
  for (const Loose& row : rows) {
    const std::string answer = co_await exchange(world, row.request);
    EXPECT_TRUE(answer.starts_with(std::string("HTTP/1.1 ") + row.status)) << row.request << "\n"
                                                                           << answer;
    EXPECT_TRUE(answer.contains(row.contains)) << row.request << "\n" << answer;
  }
}

std::string put(const std::string& path, const std::string& body, const std::string& headers = "") {
  return "PUT " + path + " HTTP/1.1\r\nHost: l\r\n" + headers +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(RestServer, WhatIsWrongWithARequest) {
  const std::vector<Loose> rows = {
      {GET("/pools/bad%20name"), "400 ", "pool_id"},
      {GET("/pools?name=a&name=b"), "400 ",
       "Failed to parse the query string: Duplicate argument 'name' in query string."},
      {GET("/kv/main/raw/k?length=zz"), "400 ",
       "Failed to parse argument 'length' (\"zz\"): Cannot parse integer value"},
      {GET("/kv/main/raw/k?length="), "400 ", "Cannot parse integer value"},
      {GET("/kv/main/raw/k?length=-3"), "400 ", "Cannot parse integer value"},
      {GET("/kv/main/raw/k?length=+5"), "400 ", "Cannot parse integer value"},
      {put("/pools/p1", "{"), "400 ", "content-type: text/plain"},
      {put("/pools/p1", "{\"zzz\":1}"), "400 ", "Failed to parse the request body: "},
      {put("/pools/p1", "{\"name\":\"p2\"}"), "400 ", "Failed to parse the request body: "},
      {put("/pools/p1", "{}", "x-timeout-ms: soon\r\n"), "400 ", "x-timeout-ms"},
      {put("/pools/p1", "{}", "Transfer-Encoding: gzip\r\n"), "400 ", "connection: close"},
      {"PUT /pools/p1 HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "501 ", "connection: close"},
      {"PUT /pools/p1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400 ", "chunks"},
      {"nonsense\r\n\r\n", "400 ", "connection: close"},
      {"GET /version HTTP/1.1 x\r\n\r\n", "400 ", "connection: close"},
      {"GET  /version HTTP/1.1\r\n\r\n", "400 ", "connection: close"},
      {"GET /version\r\n\r\n", "400 ", "connection: close"},
      {"GET /version HTTP/2.0\r\n\r\n", "400 ", "connection: close"},
      {"GET version HTTP/1.1\r\n\r\n", "400 ", "neither a path nor a URI"},
      {"GET /version#x HTTP/1.1\r\n\r\n", "404 ", ""},
      {"PUT /pools/p1 HTTP/1.1\r\ncontent-length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
       "400 ", "connection: close"},
      {"PUT /pools/p1 HTTP/1.1\r\ncontent-length: two\r\n\r\n{}", "400 ", "connection: close"},
      {"GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n", "431 ", "connection: close"},
      {"GET / HTTP/1.1\r\nx: " + std::string(70'000, 'x') + "\r\n\r\n", "431 ", "close"},
      {"PUT /pools/p1 HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", "413 ", "connection: close"},
  };
  TestWorld world;
  world.run([&rows](TestWorld& in) -> Task<void> { return check_loose(&in, rows); });
  EXPECT_EQ(world.service.started, 0);
}

TEST(RestServer, RequestsFromPathQueryAndBody) {
  const std::vector<Loose> rows = {
      {put("/pools/p1", "{\"disks\":[\"/dev/x\"],\"uuid\":\"u\"}"), "200 ",
       "{\"uuid\":\"u\",\"name\":\"p1\",\"disks\":[\"/dev/x\"]}\n"},
      // In chunks, as Octez's client sends bodies.
      {"PUT /pools/p1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
       "5\r\n{\"dis\r\n12\r\nks\":[\"/dev/y\"] }  \r\n0\r\n\r\n",
       "200 ", "{\"name\":\"p1\",\"disks\":[\"/dev/y\"]}\n"},
      {"PUT /pools/p1 HTTP/1.1\r\n\r\n", "400 ",
       "Failed to parse the request body: there is none\n"},
      {"POST /rpc/mayastor.v1.Registration/Register HTTP/1.1\r\n\r\n", "200 ", "{}"},
      {put("/pools/p%31", "{}", "content-type: application/json; charset=utf-8\r\n"), "200 ",
       "{\"name\":\"p1\"}\n"},
      {GET("/pools?name=p1&unknown=x"), "200 ", "[{\"name\":\"p1\",\"capacity\":\"1024\"}]\n"},
      {GET("/pools/p7"), "404 ", "pool.not_found"},
      {GET("/kv/main/entries/missing"), "404 ", "data_store.not_found"},
      {put("/kv/main/entries/a%2Fb", "\"0102\""), "200 ", "{}"},
      {GET("/kv/main/raw/missing"), "404 ", "data_store.not_found"},
  };
  TestWorld world;
  world.run([&rows](TestWorld& in) -> Task<void> { return check_loose(&in, rows); });
  EXPECT_EQ(world.service.written, std::string("main/a/b=\x01\x02"));
}

// The text between "```<kind>" and "```" of PROTOCOL.md, with the line ends of a head.
std::string example(const std::string& kind) {
  std::ifstream file(CAPSTAN_SOURCE_DIR "/src/wire/rest/PROTOCOL.md");
  std::string line, head, body;
  bool inside = false, in_body = false;
  while (std::getline(file, line)) {
    if (inside && line == "```") break;
    if (inside && in_body) body += line + "\n";
    if (inside && !in_body) head += line + "\r\n";
    if (inside && line.empty()) in_body = true;
    if (line == "```" + kind) inside = true;
  }
  return head + body;
}

TEST(RestServer, TheDocumentedExample) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    std::string request = example("request");
    request.pop_back();  // the empty line at the end of the block belongs to the document
    EXPECT_TRUE(request.ends_with("}\n"));
    EXPECT_EQ(co_await exchange(&in, request), example("answer"));
  });
}

TEST(RestServer, TheCallKnowsItsHeaders) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    const std::string answer = co_await exchange(
        &in,
        "GET /version HTTP/1.1\r\nAuthorization: Bearer x\r\n"
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 "));
    EXPECT_EQ(in.service.trace, "0af7651916cd43dd8448eb211c80319c");
    EXPECT_EQ(in.service.authorization, "Bearer x");
  });
}

// The messages of a call are used again: nothing of it may be seen in the next one.
TEST(RestServer, CallsLeaveNothingBehind) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    const auto body = [](std::string answer) { return answer.substr(answer.find("\r\n\r\n") + 4); };
    std::vector<std::string> seen;
    for (const int count : {1, 3, 0, 2, 1}) {
      in.service.pool_count = count;
      seen.push_back(body(co_await exchange(&in, GET("/pools"))));
      const std::string one = body(co_await exchange(&in, GET("/pools/p2")));
      EXPECT_EQ(one.contains("\"name\":\"p2\""), count == 3) << one;
    }
    EXPECT_EQ(seen[4], seen[0]);
    for (const auto& [text, count] :
         {std::pair(seen[0], 1), {seen[1], 3}, {seen[2], 0}, {seen[3], 2}}) {
      for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(text.contains("\"p" + std::to_string(i) + "\""), i < count) << text;
      }
    }
  });
}

TEST(RestServer, DeadlineOfTheClient) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    std::string answer = co_await exchange(&in, put("/pools/wait", "{}", "x-timeout-ms: 50\r\n"));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 504 ")) << answer;
    EXPECT_TRUE(answer.contains("pool.deadline_exceeded")) << answer;
    EXPECT_EQ(in.service.cancel_reason, Code::kDeadlineExceeded);
    answer = co_await exchange(&in, put("/pools/wait", "{}", "x-timeout-ms: 0\r\n"));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 504 ")) << answer;
    EXPECT_EQ(in.service.started, 1);
  });
}

// Several wrongs at once: which one is answered tells the order.
TEST(RestServer, OrderOfChecks) {
  rpc::AclSettings settings;
  settings.secure = true;  // PUT, DELETE and monitors are refused
  const rpc::Acl acl(settings);
  ServerOptions options;
  options.pipeline.acl = &acl;
  const std::vector<Loose> early = {
      {GET("/nope"), "401 ", "content-type: application/json\r\ncontent-length: 0\r\n"},
      {put("/pools/p1", "{"), "401 ", "content-length: 0"},
      {"PUT /version HTTP/1.1\r\n\r\n", "401 ", ""},
      {"FETCH /pools/p1 HTTP/1.1\r\n\r\n", "501 ", ""},
      {GET("/pools"), "200 ", ""},
      {"OPTIONS /pools/p1 HTTP/1.1\r\n\r\n", "200 ", ""},
  };
  {
    TestWorld world(options);
    world.run([&early](TestWorld& in) -> Task<void> { return check_loose(&in, early); });
  }
  options.pipeline.acl_late = true;
  const std::vector<Loose> late = {
      {GET("/nope"), "404 ", ""},
      {"DELETE /pools/p1?uuid=1&uuid=2 HTTP/1.1\r\nAccept: text/html\r\n\r\n", "406 ", ""},
      {"DELETE /pools/p1?uuid=1&uuid=2 HTTP/1.1\r\n\r\n", "400 ", ""},
      {"POST /pools/p1 HTTP/1.1\r\n\r\n", "405 ", ""},
      {put("/pools/p1", "{"), "401 ", ""},
      {"PUT /pools/p1 HTTP/1.1\r\nContent-Type: a/b\r\nAccept: text/html\r\n\r\n", "415 ", ""},
  };
  TestWorld world(options);
  world.run([&late](TestWorld& in) -> Task<void> { return check_loose(&in, late); });
  EXPECT_EQ(world.service.started, 0);
}

TEST(RestServer, Cors) {
  ServerOptions options;
  options.pipeline.cors = {
      {"http://foo.com", "localhost", "https://a.b/c"}, {"content-type", "x-foo"}, true};
  const std::vector<Loose> rows = {
      {"GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: http://foo.com/x\r\n\r\n", "200 ",
       "Access-Control-Allow-Origin: http://foo.com\r\n"},
      {"GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: http://foo.com\r\n\r\n", "200 ",
       "Access-Control-Allow-Origin: http://foo.com\r\n"},
      {"GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.b/c/d\r\n\r\n", "200 ",
       "Access-Control-Allow-Origin: https://a.b/c\r\n"},
      {GET("/version"), "200 ", ""},
      {"OPTIONS /version HTTP/1.1\r\nOrigin: http://bar.com\r\n"
       "Access-Control-Request-Method: GET\r\n\r\n",
       "200 OK\r\nAccess-Control-Allow-Methods: GET\r\n"
       "Access-Control-Allow-Headers: content-type, x-foo\r\ncontent-length: 0\r\n\r\n",
       ""},
      {"OPTIONS /nope HTTP/1.1\r\nOrigin: http://foo.com\r\n"
       "Access-Control-Request-Method: GET\r\n\r\n",
       "404 ", "Access-Control-Allow-Origin: http://foo.com\r\n"},
      {"GET /nope HTTP/1.1\r\nHost: localhost\r\nOrigin: http://foo.com\r\n\r\n", "404 ",
       "Access-Control-Allow-Origin: http://foo.com\r\n"},
      {"GET /version HTTP/1.1\r\nHost: evil.com\r\n\r\n", "403 ",
       "X-OCaml-Resto-CORS-Error: invalid host\r\n"},
      {"GET /version HTTP/1.1\r\n\r\n", "403 ", "invalid host"},
      {"GET /version HTTP/1.1\r\nHost: localhost:18003\r\n\r\n", "403 ", "invalid host"},
      {"OPTIONS /pools/p1 HTTP/1.1\r\nOrigin: http://foo.com\r\n"
       "Access-Control-Request-Method: PUT\r\n\r\n",
       "200 OK\r\nAccess-Control-Allow-Methods: PUT\r\n"
       "Access-Control-Allow-Headers: content-type, x-foo\r\n"
       "Access-Control-Allow-Origin: http://foo.com\r\ncontent-length: 0\r\n\r\n",
       ""},
      {"OPTIONS /version HTTP/1.1\r\nOrigin: http://foo.com\r\n"
       "Access-Control-Request-Method: DELETE\r\n\r\n",
       "405 ", "allow: GET\r\n"},
      {"OPTIONS /version HTTP/1.1\r\nOrigin: http://foo.com\r\n"
       "Access-Control-Request-Method: HEAD\r\n\r\n",
       "404 ", ""},
      {"OPTIONS /version HTTP/1.1\r\nOrigin: http://foo.com\r\n\r\n", "200 ",
       "Access-Control-Allow-Methods: GET\r\n"},
  };
  TestWorld world(options);
  world.run([&rows](TestWorld& in) -> Task<void> {
    return [](TestWorld* at, std::vector<Loose> all) -> Task<void> {
      co_await check_loose(at, std::move(all));
      const std::string other = co_await exchange(
          at, "GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: http://bar.com\r\n\r\n");
      EXPECT_TRUE(other.starts_with("HTTP/1.1 200 "));
      EXPECT_FALSE(other.contains("Access-Control"));
    }(&in, rows);
  });
}

// Table T13: any origin.
TEST(RestServer, CorsForAll) {
  ServerOptions options;
  options.pipeline.cors = {{"*"}, {}, true};
  const std::vector<Loose> rows = {
      {"OPTIONS /version HTTP/1.1\r\nOrigin: http://a.b\r\nAccess-Control-Request-Method: GET\r\n"
       "Access-Control-Request-Headers: Content-Type\r\n\r\n",
       "200 OK\r\nAccess-Control-Allow-Methods: GET\r\n"
       "Access-Control-Allow-Headers: Content-Type\r\n"
       "Access-Control-Allow-Origin: *\r\ncontent-length: 0\r\n\r\n",
       ""},
      {"OPTIONS /version HTTP/1.1\r\nOrigin: http://a.b\r\n\r\n", "200 ",
       "Access-Control-Allow-Origin: *\r\n"},
      {"GET /version HTTP/1.1\r\n\r\n", "200 ", ""},
  };
  TestWorld world(options);
  world.run([&rows](TestWorld& in) -> Task<void> { return check_loose(&in, rows); });
}

TEST(RestServer, MetricsOnlyWhereAskedFor) {
  struct Case {
    MetricsAt at;
    const char* metrics;
    const char* version;
    const char* change;  // of the metrics
  };
  for (const Case& one : {Case{MetricsAt::kHidden, "404 ", "200 ", "404 "},
                          Case{MetricsAt::kServed, "200 ", "200 ", "405 "},
                          Case{MetricsAt::kOnly, "200 ", "400 ", "400 "}}) {
    const std::vector<Loose> rows = {{GET("/metrics"), one.metrics, ""},
                                     {GET("/version"), one.version, ""},
                                     {put("/metrics", "x"), one.change, ""},
                                     {"OPTIONS /version HTTP/1.1\r\n\r\n", one.version, ""}};
    ServerOptions options;
    if (one.at == MetricsAt::kOnly) {  // Prometheus asks for the address, which is no origin
      options.pipeline.cors = {{"http://foo.com"}, {}, true};
    }
    options.pipeline.metrics_at = [&one](const core::PeerInfo&) { return one.at; };
    TestWorld world(options);
    ASSERT_TRUE(world.server->add_view("/metrics", nullptr, [](const auto&) { return Reply(); }));
    world.run([&rows](TestWorld& in) -> Task<void> { return check_loose(&in, rows); });
  }
}

}  // namespace
}  // namespace capstan::wire::rest
