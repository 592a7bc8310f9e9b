// Why this file exists: paths as tables: targets, queries, look-up, media types, and CORS
// decisions. Tables of directories are in tree_merge_test.cc.
#include "wire/rest/tree.h"

#include <gtest/gtest.h>

#include "wire/rest/cors.h"
#include "wire/rest/negotiation.h"
#include "wire/rest/route.h"
#include "wire/rest/tree_testing.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {
namespace {

using testing::method;
using testing::steps;

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) out += "[" + part + "]";
  return out;
}

TEST(RestUri, Targets) {
  struct Row {
    const char* target;
    const char* segments;
  };
  const Row rows[] = {
      {"/", ""},
      {"*", ""},
      {"/version", "[version]"},
      {"//version///", "[version]"},
      {"/pools/../version", "[version]"},
      {"/pools/%2e%2e/version", "[version]"},
      {"/pools/%2E%2e", ""},
      {"/../..", ""},
      {"/pools//../version", "[pools][version]"},
      {"//../version", "[version]"},
      {"/./a/.", "[a]"},
      {"/a%2Fb/c", "[a/b][c]"},
      {"/a%zz/%4", "[a%zz][%4]"},
      {"/a+b", "[a+b]"},
      {"/a#b", "[a#b]"},
      {"/%c3%a9", "[\xc3\xa9]"},
      {"/a;b=c", "[a;b=c]"},
      {"http://host:80/a/b?x=1", "[a][b]"},
      {"http://host", ""},
      {"http://host?x=/y", ""},
      {"/a?b/c", "[a]"},
  };
  for (const Row& row : rows) {
    const auto target = parse_target(row.target);
    ASSERT_TRUE(target) << row.target;
    EXPECT_EQ(joined(target->segments), row.segments) << row.target;
  }
  for (const char* bad : {"", "version", "host:80", "://x", "a b://x"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
  EXPECT_FALSE(parse_target("/?" + std::string(600, '&') + std::string(600, 'x') + [] {
    std::string many;
    for (int i = 0; i < 300; ++i) many += "&a=b";
    return many;
  }()));
}

TEST(RestUri, Queries) {
  const auto text = [](std::string_view query) {
    std::string out;
    for (const auto& [name, value] : parse_query(query)) out += "[" + name + "=" + value + "]";
    return out;
  };
  EXPECT_EQ(text("limit=3&after=a%20b/c"), "[limit=3][after=a b/c]");
  EXPECT_EQ(text("tag=a,b&tag=c"), "[tag=a,b][tag=c]");
  EXPECT_EQ(text("a+b=c+d"), "[a b=c d]");
  EXPECT_EQ(text("f&g="), "[f=][g=]");
  EXPECT_EQ(text("a;b=c"), "[a;b=c]");
  EXPECT_EQ(text("a=%zz&&b=%4"), "[a=%zz][b=%4]");
  EXPECT_EQ(text("a=b=c"), "[a=b=c]");
}

TEST(RestUri, SegmentsAsClientsWriteThem) {
  EXPECT_EQ(encode_segment("a/b%c?d#e"), "a%2Fb%25c%3Fd%23e");
  EXPECT_EQ(encode_segment("a-b_c.d~e!$&'()*+,;=:@"), "a-b_c.d~e!$&'()*+,;=:@");
  EXPECT_EQ(encode_segment("\xc3\xa9 "), "%C3%A9%20");
  for (const char* impossible : {"", ".", ".."}) EXPECT_FALSE(encode_segment(impossible));
  for (int byte = 1; byte < 256; ++byte) {
    const std::string raw = std::string("x") + static_cast<char>(byte);
    const auto target = parse_target("/" + *encode_segment(raw));
    ASSERT_EQ(target->segments.size(), 1U);
    EXPECT_EQ(target->segments[0], raw);
  }
}

// Answers repeat what was asked for, and no password.
TEST(RestUri, FixedBugAnswersRepeatedUserInformation) {
  const std::pair<const char*, const char*> rows[] = {
      {"/bdevs/nvmf:%2F%2Fhost%2Fnqn", "/bdevs/nvmf:%2F%2Fhost%2Fnqn"},
      {"/bdevs/nvmf:%2F%2Fuser:PASSWORD@host%2Fnqn", "/bdevs/nvmf:%2F%2F...@host%2Fnqn"},
      {"/bdevs/nvmf:%2f%2fuser:PASSWORD%40host%2fnqn", "/bdevs/nvmf:%2f%2f...%40host%2fnqn"},
      {"/bdevs/nvmf://user:PASS/WORD@host/nqn?a=b", "/bdevs/nvmf://...@host/nqn?a=b"},
      {"/bdevs/a@b", "/bdevs/...@b"},
      {"/bdevs/x?uri=nvmf%3A%2F%2Fu:PASSWORD%40host", "/bdevs/x?..."},
      {"@", "...@"},
      {"/100%", "/100%"},
  };
  for (const auto& [target, shown] : rows) EXPECT_EQ(shown_target(target), shown);
}

class RestTree : public ::testing::Test {
 protected:
  // "" or the kind of the conflict: "service", "type", "types", "tail".
  std::string add(std::string_view service) {
    const auto space = service.find(' ');
    routes_.push_back(std::make_unique<Route>());
    const auto added = tree_.add(method(service.substr(0, space)), steps(service.substr(space + 1)),
                                 *routes_.back());
    if (added) return "";
    EXPECT_EQ(added.error().code, Code::kAlreadyExists);
    return added.error().message.substr(0, added.error().message.find(' '));
  }
  std::string find(std::string_view request) const {
    const auto space = request.find(' ');
    const auto target = parse_target(request.substr(space + 1));
    const auto found = tree_.find(target->segments);
    if (!found.complaint.empty()) return "cannot parse";
    if (!found.node) return "not found";
    if (!found.node->service(method(request.substr(0, space)))) {
      return "not allowed: " + found.node->allowed();
    }
    return joined(found.arguments);
  }
  Tree tree_;
  std::vector<std::unique_ptr<Route>> routes_;
};

TEST_F(RestTree, LookUp) {
  for (const char* service :
       {"POST /foo/<int>/repeat", "POST /foo/<int>/add", "GET /bar/<int>/<float>/add",
        "POST /bar/<int>/<float>/add", "POST /bar/<int>/<float>/patch", "POST /bar/<int>/<float>",
        "GET /foobar/<int>*", "POST /tartine/<float>/chaussure/<int>/minus", "GET /describe/<s>*",
        "PUT /all", "PATCH /all", "DELETE /all", "GET /all", "POST /all"}) {
    EXPECT_EQ(add(service), "") << service;
  }
  EXPECT_EQ(find("POST /bar/2/1.7/patch"), "[2][1.7]");
  EXPECT_EQ(find("POST /tartine/1./chaussure/7/minus"), "[1.][7]");
  EXPECT_EQ(find("GET /foobar/1/2/3/4/5"), "[1][2][3][4][5]");
  EXPECT_EQ(find("GET /foobar"), "");
  EXPECT_EQ(find("GET /foobar/1/x"), "cannot parse");
  EXPECT_EQ(find("GET /toto/1/tata/2/tutu/3"), "not found");
  EXPECT_EQ(find("POST /foo"), "not found");
  EXPECT_EQ(find("POST /foo/1"), "not found");
  EXPECT_EQ(find("POST /foo/surely_not_an_int/add"), "cannot parse");
  EXPECT_EQ(find("POST /foo/99999999999999999999/add"), "cannot parse");
  EXPECT_EQ(find("POST /foo/0x10/add"), "[0x10]");
  EXPECT_EQ(find("GET /foo/1/add"), "not allowed: POST");
  EXPECT_EQ(find("PUT /bar/3/4/add"), "not allowed: GET, POST");
  EXPECT_EQ(find("GET /describe"), "");
  EXPECT_EQ(find("GET /describe/a/b"), "[a][b]");
  EXPECT_EQ(find("GET /"), "not found");
  EXPECT_EQ(find("GET /FOO/1/add"), "not found");
  EXPECT_EQ(find("GET /all"), "");
  EXPECT_EQ(tree_.pattern({"foo", "KEY", "add"}), "/foo/<int>/add");
  EXPECT_EQ(tree_.pattern({"foo", "KEY", "KEY", "add"}), "/foo/<int>/...");
  EXPECT_EQ(tree_.pattern({"all", "KEY"}), "/all/...");
  EXPECT_EQ(tree_.pattern({"foobar", "KEY", "KEY"}), "/foobar/<int...>");
  EXPECT_EQ(tree_.pattern({"KEY"}), "/...");
  EXPECT_EQ(tree_.pattern({}), "/");
  EXPECT_EQ(tree_.find({"all"}).node->allowed(), "GET, PUT, DELETE, POST, PATCH");
}

TEST(RestNegotiation, Accept) {
  const auto any = *media_preference("any");
  struct Row {
    const char* accept;
    const char* answer;
  };
  const Row rows[] = {
      {"*/*", "application/json"},
      {"application/*", "application/json"},
      {"application/json;q=0.1, application/octet-stream;q=0.9", "application/octet-stream"},
      {"text/html, */*;q=0.1", "application/json"},
      {"text/html", ""},
      {"APPLICATION/JSON", "application/json"},
      {"application/json; charset=utf-8", "application/json"},
      {"application/bson,application/json;q=0.5", "application/bson"},
      {"application/bson;x=\"a,b\", text/plain", "application/bson"},
      {"application/json;q=0", ""},
      {"application/json;q=0, */*", "application/bson"},
      {"*/*;q=0", ""},
      {"", ""},
      {"nonsense", ""},
      {"application/json;;", ""},
      {"application/json, application/bson;q=2", "application/bson"},
      {"application/json;q=-1", ""},
      {"application/json;q=x", ""},
      {"*/json", ""},
  };
  for (const Row& row : rows) {
    const auto media = negotiate(row.accept, any);
    EXPECT_EQ(media ? rpc::media_name(*media) : "", row.answer) << row.accept;
  }
  EXPECT_EQ(negotiate(std::nullopt, any), rpc::Media::kJson);
  EXPECT_EQ(negotiate(std::nullopt, *media_preference("binary")), rpc::Media::kBinary);
  EXPECT_FALSE(negotiate("application/json", *media_preference("binary")));
  EXPECT_EQ(media_list(any), "application/json, application/bson, application/octet-stream");
  EXPECT_FALSE(media_preference("xml"));
}

TEST(RestNegotiation, ContentType) {
  const auto json = *media_preference("json");
  EXPECT_EQ(request_media(std::nullopt, json), rpc::Media::kJson);
  EXPECT_EQ(request_media("application/json; charset=utf-8", json), rpc::Media::kJson);
  EXPECT_EQ(request_media("Application/BSON", json), rpc::Media::kBson);
  EXPECT_FALSE(request_media("application/octet-stream", json));
  EXPECT_FALSE(request_media("text/plain", json));
  EXPECT_FALSE(request_media("", json));
}

TEST(RestCors, Origins) {
  const CorsSettings cors{{"http://foo.com", "localhost", "https://a.b/c"}, {"X-Foo"}, true};
  EXPECT_EQ(cors.match("http://foo.com"), "http://foo.com");
  EXPECT_EQ(cors.match("http://foo.com/x"), "http://foo.com");
  EXPECT_FALSE(cors.match("http://foo.com.evil"));
  EXPECT_FALSE(cors.match("http://bar.com"));
  EXPECT_TRUE(cors.host_allowed("localhost"));
  EXPECT_FALSE(cors.host_allowed("localhost:18003"));
  EXPECT_FALSE(cors.host_allowed("evil.com"));
  EXPECT_FALSE(cors.host_allowed(std::nullopt));
  EXPECT_EQ(cors.header_list(), "Content-Type, x-foo");
  const CorsSettings all{{"*"}, {"content-type"}, true};
  EXPECT_EQ(all.match("http://bar.com"), "*");
  EXPECT_TRUE(all.host_allowed(std::nullopt));
  EXPECT_EQ(all.header_list(), "content-type");
  EXPECT_TRUE(CorsSettings{}.host_allowed(std::nullopt));
  EXPECT_FALSE(CorsSettings{}.match("http://foo.com"));
}

}  // namespace
}  // namespace capstan::wire::rest
