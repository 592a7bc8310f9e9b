// Why this file exists: what is refused before an operation runs: in which order (http-rpc section
// 20.8), in whose words (native and /v0, section 20.3), and that logs and metrics hear of it as of
// calls on any other wire. Also the tags of what GET answers (section 17).
#include "wire/rest/pipeline.h"

#include <gtest/gtest.h>

#include "rpc/etag.h"
#include "rpc/interceptors/refused_testing.h"
#include "rpc/interceptors/revision.h"
#include "wire/rest/rest_testing.h"
#include "wire/rest/tree_testing.h"

namespace capstan::wire::rest {
namespace {

using core::Task;
using testing::exchange;
using testing::TestWorld;

struct Row {
  std::string request;
  const char* status;
  const char* contains = "";
};

Task<void> check_rows(TestWorld* world, std::vector<Row> rows) {
  for (const Row& row : rows) {
    const std::string answer = co_await exchange(world, row.request);
    EXPECT_TRUE(answer.starts_with(std::string("HTTP/1.1 ") + row.status)) << row.request << "\n"
                                                                           << answer;
    EXPECT_TRUE(answer.contains(row.contains)) << row.request << "\n" << answer;
  }
}

void check(TestWorld& world, const std::vector<Row>& rows) {
  world.run([&rows](TestWorld& in) -> Task<void> { return check_rows(&in, rows); });
}

std::string get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: l\r\n" + headers + "\r\n";
}
std::string put(const std::string& path, const std::string& body, const std::string& headers = "") {
  return "PUT " + path + " HTTP/1.1\r\nHost: l\r\n" + headers +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string post(const std::string& path, const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: l\r\n" + headers + "content-length: 0\r\n\r\n";
}

constexpr char kToken[] = "Authorization: Bearer good\r\n";
constexpr char kNobody[] =
    R"([{"kind":"permanent","id":"auth.unauthorized","msg":"send a token"}])";

void want_token(ServerOptions& options) {
  options.pipeline.authenticate = [](const core::PeerInfo&,
                                     std::string_view header) -> Result<void> {
    if (header == "Bearer good") return {};
    return fail(Code::kUnauthenticated, "send a token");
  };
}

TEST(RestPipeline, WhoCallsIsAskedBeforeAnythingIsSaid) {
  rpc::AclSettings settings;
  settings.secure = true;
  const rpc::Acl acl(settings);
  ServerOptions options;
  options.pipeline.acl = &acl;
  options.pipeline.cors = {{"l"}, {}, true};
  want_token(options);
  TestWorld world(options);
  ASSERT_TRUE(world.server->add_view("/health/live", nullptr,
                                     [](const ViewRequest&) { return Reply{200, {}, "alive"}; }));
  check(world, {{get("/nope"), "401 ", kNobody},
                {get("/version"), "401 ", "www-authenticate: Bearer\r\n"},
                {get("/version", kToken), "200 "},
                {get("/pools/bad%20name"), "401 ", kNobody},
                {get("/pools/bad%20name", kToken), "400 ", "pool_id"},
                {put("/pools/p1", "{"), "401 ", kNobody},
                // A caller who is known and denied learns nothing.
                {put("/pools/p1", "{", kToken), "401 ", "content-length: 0"},
                {get("/version", "Accept: text/html\r\n"), "401 ", kNobody},
                {get("/version", std::string("Accept: text/html\r\n") + kToken), "406 "},
                {"GET /version HTTP/1.1\r\nHost: evil\r\n\r\n", "403 "},
                {"OPTIONS /version HTTP/1.1\r\nHost: l\r\n\r\n", "200 "},
                {"FETCH /version HTTP/1.1\r\nHost: l\r\n\r\n", "501 "},
                {get("/health/live"), "200 ", "alive"},
                {get("/v0/pools"), "401 ",
                 R"({"details":"send a token","message":"/v0/pools","kind":"Unauthorized"})"}});
  EXPECT_EQ(world.service.started, 1);
}

// Table T4 of http-rpc section 21.
TEST(RestPipeline, AccessListsThroughHttp) {
  struct Case {
    const char* list;
    const char* statuses[3];
  };
  static const Case kCases[] = {
      {R"("blacklist":["/foo/*"])", {"401 ", "401 ", "200 "}},
      {R"("whitelist":["/foo/**"])", {"200 ", "200 ", "401 "}},
      {R"("whitelist":["GET /foo/**","DELETE /**"])", {"200 ", "200 ", "401 "}},
      {R"("whitelist":["POST /blue/white/*/*/fuchsia/**"])", {"401 ", "401 ", "200 "}},
  };
  for (const Case& one : kCases) {
    rpc::AclSettings settings;
    ServerOptions options;
    TestWorld addresses;  // the world's address is the same every time
    auto table = rpc::AclTable::parse(R"({"acl":[{"address":")" + addresses.server_env.address() +
                                      "\"," + one.list + "}]}");
    ASSERT_TRUE(table) << table.error().text();
    settings.table = *std::move(table);
    const rpc::Acl acl(settings);
    options.pipeline.acl = &acl;
    TestWorld world(options);
    Route route;
    route.view = [](const ViewRequest&) { return Reply{200, {}, "x"}; };
    Tree tree;
    ASSERT_TRUE(tree.add(Method::kGet, testing::steps("/foo/bar"), route));
    ASSERT_TRUE(tree.add(Method::kGet, testing::steps("/foo/blah"), route));
    ASSERT_TRUE(tree.add(Method::kPost, testing::steps("/blue/white/red/and/fuchsia"), route));
    ASSERT_TRUE(world.server->add_tree(MergePick::kNeither, std::move(tree)));
    check(world,
          {{get("/foo/bar"), one.statuses[0]},
           {get("/foo/blah"), one.statuses[1]},
           {"POST /blue/white/red/and/fuchsia HTTP/1.1\r\nHost: l\r\n\r\n", one.statuses[2]}});
  }
}

TEST(RestPipeline, LogsAndMetricsHearOfRefusals) {
  rpc::testing::HeardRefusals heard;
  rpc::AclSettings settings;
  settings.secure = true;
  const rpc::Acl acl(settings);
  ServerOptions options;
  options.pipeline.acl = &acl;
  options.pipeline.refused = &heard.refused;
  want_token(options);
  TestWorld world(options);
  const std::string trace =
      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
  check(world, {{get("/version"), "401 "},
                {put("/pools/p1?secret=1", "{}", kToken), "401 "},
                {get("/version", std::string(kToken) + "x-timeout-ms: soon\r\n"), "400 "},
                {get("/pools?name=a&name=b", kToken + trace), "400 "},
                {get("/nope?secret=1", kToken), "401 "},
                {get("/secret", kToken), "401 "},
                {post("/kv/main/raw/secret1", kToken), "401 "},
                {get("/kv/main/raw/secret2/x", kToken), "401 "},
                {post("/pools/nvmf:%2F%2Fuser:secret4@host%2Fnqn", kToken), "401 "},
                {"GARBAGE\r\n\r\n", "400 "}});
  const std::string version = "capstan.node.v1.NodeRpc/GetVersion";
  EXPECT_TRUE(heard.ended(version, "rest", "UNAUTHENTICATED")) << heard.text();
  EXPECT_TRUE(heard.ended("mayastor.v1.PoolRpc/CreatePool", "rest", "PERMISSION_DENIED"));
  EXPECT_TRUE(heard.ended(version, "rest", "INVALID_ARGUMENT"));
  EXPECT_TRUE(heard.ended("mayastor.v1.PoolRpc/ListPools", "rest", "INVALID_ARGUMENT"));
  EXPECT_TRUE(heard.text().contains(
      "storage_rpc_responses_total{endpoint=\"/version\",method=\"GET\",wire=\"rest\","
      "code=\"UNAUTHENTICATED\"} 1"))
      << heard.text();
  EXPECT_TRUE(heard.unknown("rest", "PERMISSION_DENIED", 5)) << heard.text();
  EXPECT_TRUE(heard.unknown("rest", "INVALID_ARGUMENT")) << heard.text();
  const core::LineLog& records = heard.records;
  EXPECT_EQ(records.count("call_failed", "wire=rest"), 4);
  EXPECT_EQ(records.count("call_failed", "trace_id=0af7651916cd43dd8448eb211c80319c"), 0);
  EXPECT_EQ(records.count("request_refused", "asked=GET /... wire=rest"), 2);
  EXPECT_EQ(records.count("request_refused", "asked=POST /kv/<store_id>/raw/<key> wire=rest"), 1);
  EXPECT_EQ(records.count("", "secret"), 0);
  EXPECT_EQ(world.service.started, 0);
}

TEST(RestPipeline, BodiesThatDoNotReadAreCallsOfTheirOperation) {
  rpc::testing::HeardRefusals heard;
  ServerOptions options;
  options.pipeline.refused = &heard.refused;
  options.pipeline.body_bytes = 16;
  TestWorld world(options);
  check(world, {{put("/pools/p1", "{"), "400 "}, {put("/pools/p1", std::string(17, ' ')), "413 "}});
  const std::string create = "mayastor.v1.PoolRpc/CreatePool";
  EXPECT_TRUE(heard.ended(create, "rest", "INVALID_ARGUMENT")) << heard.text();
  EXPECT_TRUE(heard.ended(create, "rest", "RESOURCE_EXHAUSTED")) << heard.text();
}

TEST(RestPipeline, V0SpeaksAsTheControlPlane) {
  const std::string pools = "/v0/nodes/n1/pools/";
  TestWorld world;
  check(
      world,
      {{get("/v0/pools"), "200 ", R"([{"id":"p0","state":{"capacity":1099511627776,"disks":[],)"},
       {put(pools + "p1", R"({"disks":["/dev/x"]})"), "200 ", "{\"id\":\"p1\"}\n"},
       {put(pools + "ALREADY_EXISTS", "{}"), "422 ",
        R"({"details":"boom","message":"/v0/nodes/n1/pools/ALREADY_EXISTS",)"
        R"("kind":"AlreadyExists"})"},
       {put(pools + "NOT_FOUND", "{}"), "404 ", R"("kind":"NotFound")"},
       {put(pools + "OUT_OF_RANGE", "{}"), "416 ", R"("kind":"OutOfRange")"},
       {put(pools + "FAILED_PRECONDITION", "{}"), "412 ", R"("kind":"FailedPrecondition")"},
       {put(pools + "ALREADY_SHARED", "{}"), "412 ", R"("kind":"AlreadyShared")"},
       {put(pools + "RESOURCE_EXHAUSTED", "{}"), "507 ", R"("kind":"ResourceExhausted")"},
       {put(pools + "UNAVAILABLE", "{}"), "503 ", "retry-after: 1\r\n"},
       {put(pools + "UNIMPLEMENTED", "{}"), "501 ", R"("kind":"Unimplemented")"},
       {put(pools + "DEADLINE_EXCEEDED", "{}"), "504 ", R"("kind":"DeadlineExceeded")"},
       {put(pools + "p1", "{"), "400 ", R"("kind":"Deserialize")"},
       {put(pools + "p1", R"({"disk":[]})"), "400 ", R"("kind":"Deserialize")"},
       {put(pools + "bad%20name", "{}"), "400 ", R"("kind":"Deserialize")"},
       {get("/v0/volumes"), "404 ",
        R"({"details":"there is nothing at this path","message":"/v0/volumes","kind":"NotFound"})"},
       {"POST /v0/pools HTTP/1.1\r\nHost: l\r\n\r\n", "405 ", "allow: GET\r\n"},
       {get("/v0/pools", "Accept: application/bson\r\n"), "406 ", R"("kind":"NotAcceptable")"},
       {put(pools + "p1", "x", "Content-Type: application/bson\r\n"), "415 ",
        R"("kind":"Deserialize")"}});
}

// The value of a header of an answer; empty when there is none.
std::string header_of(const std::string& answer, const std::string& name) {
  const auto at = answer.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const auto from = at + name.size() + 4;
  return answer.substr(from, answer.find("\r\n", from) - from);
}

Task<void> tags_body(TestWorld* world) {
  const std::string first = co_await exchange(world, get("/pools/p0"));
  const std::string tag = header_of(first, "etag");
  EXPECT_EQ(tag.front(), '"') << first;
  EXPECT_EQ(header_of(co_await exchange(world, get("/pools/p0")), "etag"), tag);
  EXPECT_NE(header_of(co_await exchange(world, get("/pools/p1")), "etag"), tag);
  EXPECT_NE(
      header_of(co_await exchange(world, get("/pools/p0", "Accept: application/bson\r\n")), "etag"),
      tag);
  for (const std::string& listed : {tag, "\"x\" , W/" + tag, std::string("*")}) {
    const std::string same =
        co_await exchange(world, get("/pools/p0", "If-None-Match: " + listed + "\r\n"));
    EXPECT_EQ(same, "HTTP/1.1 304 Not Modified\r\netag: " + tag + "\r\n\r\n") << listed;
  }
  const std::string list = co_await exchange(world, get("/pools"));
  const std::string of_list = header_of(list, "etag");
  EXPECT_FALSE(of_list.empty()) << list;
  world->service.pool_count = 3;
  const std::string changed =
      co_await exchange(world, get("/pools", "If-None-Match: " + of_list + "\r\n"));
  EXPECT_TRUE(changed.starts_with("HTTP/1.1 200 ")) << changed;
  EXPECT_NE(header_of(changed, "etag"), of_list);
  EXPECT_EQ(header_of(co_await exchange(world, put("/pools/p1", "{}")), "etag"), "");
  EXPECT_EQ(header_of(co_await exchange(world, get("/pools/none")), "etag"), "");
}

TEST(RestPipeline, WhatDidNotChangeIsNotSentAgain) {
  ServerOptions options;
  options.pipeline.cache_headers = true;
  TestWorld world(options);
  world.run([](TestWorld& in) -> Task<void> { return tags_body(&in); });
}

TEST(RestPipeline, NoTagsUnlessAskedFor) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> {
    const std::string answer = co_await exchange(&in, get("/pools/p0", "If-None-Match: *\r\n"));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_EQ(header_of(answer, "etag"), "");
  });
}

TEST(RestPipeline, AChangeSaysWhichRevisionHasIt) {
  std::string newest = "7-42";
  TestWorld world;
  world.directory.add_interceptor(
      std::make_unique<rpc::RevisionInterceptor>([&newest] { return newest; }));
  world.run([&newest](TestWorld& in) -> Task<void> {
    return [](TestWorld* at, std::string* rev) -> Task<void> {
      EXPECT_EQ(header_of(co_await exchange(at, put("/pools/p1", "{}")), "x-rev"), "7-42");
      EXPECT_EQ(
          header_of(co_await exchange(at, "DELETE /pools/p1 HTTP/1.1\r\nHost: l\r\n\r\n"), "x-rev"),
          "7-42");
      EXPECT_EQ(header_of(co_await exchange(at, put("/pools/taken", "{}")), "x-rev"), "");
      EXPECT_EQ(header_of(co_await exchange(at, get("/pools/p0")), "x-rev"), "");
      rev->clear();  // nobody keeps a copy
      EXPECT_EQ(header_of(co_await exchange(at, put("/pools/p1", "{}")), "x-rev"), "");
    }(&in, &newest);
  });
}

std::string change(const std::string& method, const std::string& path, const std::string& header) {
  return method + " " + path + " HTTP/1.1\r\nHost: l\r\n" + header + "\r\n";
}

Task<void> conditions_body(TestWorld* world) {
  const std::string one = co_await exchange(world, get("/pools/p0"));
  const std::string tag = header_of(one, "etag");
  const std::string other = header_of(co_await exchange(world, get("/pools/p1")), "etag");
  const std::vector<Row> rows = {
      {change("DELETE", "/pools/p0", "If-Match: " + other + "\r\n"), "412 ",
       R"("kind":"temporary","id":"pool.condition_not_met","msg":"the object is not as)"},
      {change("DELETE", "/pools/p0", "If-Match: W/" + tag + "\r\n"), "412 "},
      {change("DELETE", "/pools/p0", "If-None-Match: *\r\n"), "412 "},
      {change("DELETE", "/pools/none", "If-Match: *\r\n"), "412 ", "and there is none"},
      {change("DELETE", "/pools/p0", "If-Match: " + other + ", " + tag + "\r\n"), "204 "},
      // Several lines are one list.
      {change("DELETE", "/pools/p0", "If-Match: " + other + "\r\nIf-Match: " + tag + "\r\n"),
       "204 "},
      {change("DELETE", "/pools/p0", "If-Match: *\r\n"), "204 "},
      // A GET may have a condition, too.
      {get("/pools/p0", "If-Match: " + tag + "\r\n"), "200 "},
      {get("/pools/p0", "If-Match: " + other + "\r\n"), "412 ", "pool.condition_not_met"},
  };
  co_await check_rows(world, rows);
}

TEST(RestPipeline, ChangesOnACondition) {
  ServerOptions options;
  options.pipeline.cache_headers = true;
  TestWorld world(options);
  world.run([](TestWorld& in) -> Task<void> { return conditions_body(&in); });
}

// Where nothing can hold the change against a tag, the change is not made.
TEST(RestPipeline, ConditionsThatNobodyWouldLookAt) {
  TestWorld world;
  const std::string any = "If-Match: *\r\n", none = "If-None-Match: *\r\n";
  check(world,
        {{put("/v0/nodes/n/pools/p1", R"({"disks":[]})", any), "501 ", R"("kind":"Unimplemented")"},
         {put("/kv/s/raw/k", "x", any), "501 ", "GET answers whole"},
         {put("/kv/s/raw/k", "x", none), "501 "},
         {"POST /rpc/mayastor.v1.Registration/Register HTTP/1.1\r\nHost: l\r\n" + any +
              "content-length: 2\r\n\r\n{}",
          "501 "}});
  EXPECT_EQ(world.service.started, 0);
}

TEST(RestPipeline, PathsHaveSoManySegments) {
  TestWorld world;
  ASSERT_TRUE(world.server->add_view("/deep/{string...}", nullptr,
                                     [](const ViewRequest&) { return Reply{200, {}, "found"}; }));
  std::string path = "/deep";
  for (std::size_t i = 1; i < limits::kRestPathSegments; ++i) path += "/s";
  check(world, {{get(path), "200 ", "found"}, {get(path + "/s"), "404 "}});
}

// What all connections together hold of bodies; here others hold nearly all of it.
Task<void> bodies_body(TestWorld* world) {
  auto& held = world->server->pipeline().counters().body_bytes;
  held = limits::kRestBodiesBytes - 10;
  const std::vector<Row> rows = {
      {put("/pools/p1", R"({"disks":[]})"), "503 ", "too many request bodies"},
      {put("/pools/p1", "{}"), "200 "},
  };
  co_await check_rows(world, rows);
  EXPECT_EQ(held, limits::kRestBodiesBytes - 10);
  held = 0;
  const std::vector<Row> later = {{put("/pools/p1", R"({"disks":[]})"), "200 "}};
  co_await check_rows(world, later);
}

TEST(RestPipeline, BodiesOfAllConnectionsAreBounded) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> { return bodies_body(&in); });
}

// http-rpc section 19.5: what "connection" names stays on this hop.
Task<void> named_body(TestWorld* world) {
  const std::string token = "authorization: Bearer x\r\n";
  const auto plain = co_await exchange(world, get("/version", token));
  EXPECT_TRUE(plain.starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(world->service.authorization, "Bearer x");
  const auto named = co_await exchange(
      world,
      get("/version", token + "Connection: keep-alive\r\nconnection: x-y ,\tAuthorization\r\n"));
  EXPECT_TRUE(named.starts_with("HTTP/1.1 200 ")) << named;
  EXPECT_EQ(world->service.authorization, "");
}

TEST(RestPipeline, WhatConnectionNamesIsOfTheConnection) {
  TestWorld world;
  world.run([](TestWorld& in) -> Task<void> { return named_body(&in); });
}

TEST(Etag, Lists) {
  using rpc::etag_listed;
  EXPECT_TRUE(etag_listed(R"("a")", R"("a")"));
  EXPECT_TRUE(etag_listed("\"b\",\t\"a\"", R"("a")"));
  EXPECT_TRUE(etag_listed(R"(W/"a")", R"("a")"));
  EXPECT_FALSE(etag_listed(R"(W/"a")", R"("a")", rpc::Weak::kNamesNothing));
  for (const char* other : {"", "a", "\"a", ",", "\"ab\"", "W/"}) {
    EXPECT_FALSE(etag_listed(other, R"("a")")) << other;
  }
}

}  // namespace
}  // namespace capstan::wire::rest
