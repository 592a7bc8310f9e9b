// Why this file exists: access lists against the tables of http-rpc section 21 (T1 to T7) and the
// scopes of 12.3: what parses and to what, what is refused, what is decided, which entry an address
// finds. And that a list survives being written and read.
#include "rpc/acl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <random>

namespace capstan::rpc {
namespace {

using Chunks = std::vector<std::optional<std::string>>;
constexpr std::nullopt_t kAny = std::nullopt;

AclMatcher matcher(std::string_view text) {
  auto parsed = AclMatcher::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(AclMatcher());
}

std::vector<std::string> steps_of(std::string_view path) {
  // As an HTTP wire does it: split, leave empty ones out, decode.
  std::vector<std::string> steps;
  for (const auto& chunk : matcher(path).chunks) steps.push_back(chunk.value_or("*"));
  return steps;
}

TEST(AclMatcher, ParsesTable1) {
  struct Row {
    const char* text;
    const char* method;
    bool suffix;
    Chunks chunks;
  };
  const Row rows[] = {
      {"/", "", false, {}},
      {" /", "", false, {}},
      {"      /", "", false, {}},
      {"GET /", "GET", false, {}},
      {"GET/", "GET", false, {}},
      {"GET      /", "GET", false, {}},
      {"POST /", "POST", false, {}},
      {"/**", "", true, {}},
      {"/**/", "", true, {}},
      {"GET //**", "GET", true, {}},
      {"DELETE /**", "DELETE", true, {}},
      {"DELETE/**", "DELETE", true, {}},
      {"/a/b/c/d/e", "", false, {"a", "b", "c", "d", "e"}},
      {"/*/a/*/b", "", false, {kAny, "a", kAny, "b"}},
      {"/*/a/*/b/**", "", true, {kAny, "a", kAny, "b"}},
      {"PATCH /*/a/*/b/**", "PATCH", true, {kAny, "a", kAny, "b"}},
      {"/%3F%3F%3F/**", "", true, {"???"}},
      {"/%2A%2F%25", "", false, {"*/%"}},
      {"PUT /a", "PUT", false, {"a"}},
      {"//a///b/", "", false, {"a", "b"}},
      {"/a/**/", "", true, {"a"}},
      {"/a/**//", "", true, {"a"}},
      {"/a%2Fb", "", false, {"a/b"}},
      {"/a%zz", "", false, {"a%zz"}},
      {"/a%", "", false, {"a%"}},
      {"/a b", "", false, {"a b"}},
      {"/a+b", "", false, {"a+b"}},
      {"GET /a/./..", "GET", false, {"a", ".", ".."}},
      {"/a,b;c:d@e!$'()", "", false, {"a,b;c:d@e!$'()"}},
      {"GET /chains/*/blocks/**", "GET", true, {"chains", kAny, "blocks"}},
  };
  for (const Row& row : rows) {
    const auto parsed = AclMatcher::parse(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().text();
    EXPECT_EQ(parsed->method, row.method) << row.text;
    EXPECT_EQ(parsed->suffix, row.suffix) << row.text;
    EXPECT_EQ(parsed->chunks, row.chunks) << row.text;
    EXPECT_EQ(matcher(parsed->text()), *parsed) << row.text << " prints " << parsed->text();
  }
}

TEST(AclMatcher, PrintsTheCanonicalText) {
  const std::pair<const char*, const char*> rows[] = {
      {"GET /", "GET/"},        {"/**", "//**"},  {"/a b", "/a%20b"},       {"/a%zz", "/a%25zz"},
      {"/\xC3\xA9", "/%C3%A9"}, {"/%2A", "/%2A"}, {"PUT /a/**", "PUT/a/**"}};
  for (const auto& [text, printed] : rows) EXPECT_EQ(matcher(text).text(), printed);
}

TEST(AclMatcher, RefusesTable2) {
  for (const char* text :
       {"NOTAMETH /a/b", "GET /a*",    "GET /a&",     "GET /a?",   "GET /=a",      " GET /a",
        " GET/",         "a",          " ",           "GET    ",   "GET",          "G%45T/",
        "GET%2F",        "GE/T",       "GET ",        "FOOOOOOOO", "\\",           "",
        "GETGET/",       "GETGET/*",   "GETPUT/*",    "GETx/*",    "GET\n/*",      "PATCH-/*",
        "PATCH#/*",      "PUT**",      "PUT*/",       "/a*",       "/**/*",        "/**/*/*/**",
        "/**/**",        "/**/a",      "/**/a/b/*/c", "/**/a/b*",  "/a/%25*%2524", "get /a",
        "HEAD /a",       "OPTIONS /a", "GET\t/a",     "/***",      "/a/***",       "/*a",
        "GET /#"}) {
    const auto parsed = AclMatcher::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
  }
}

struct Question {
  const char* method;
  const char* path;
  bool allowed;
};
struct Decision {
  char kind;  // of Table 3: W(hitelist) or B(lacklist)
  std::vector<const char*> except;
  std::vector<Question> questions;
};

// The rows of upstream's unit test, then further ones.
std::vector<Decision> table_3_upstream() {
  return {{'B', {}, {{"GET", "/", true}, {"GET", "/still/this", true}}},
          {'W', {}, {{"GET", "/", false}, {"GET", "/still/this", false}}},
          {'B', {"/"}, {{"GET", "/", false}, {"GET", "/a", true}}},
          {'W', {"/"}, {{"GET", "/", true}, {"GET", "/here", false}}},
          {'W', {"GET /"}, {{"GET", "/", true}, {"POST", "/", false}, {"PATCH", "/", false}}},
          {'W', {"POST /"}, {{"GET", "/", false}, {"POST", "/", true}, {"DELETE", "/", false}}},
          {'W',
           {"/**"},
           {{"GET", "/", true},
            {"POST", "/", true},
            {"GET", "/a/b/v", true},
            {"POST", "/this/and/that", true},
            {"DELETE", "/none", true}}},
          {'W',
           {"/*/a/*/b", "/*/0/*/1"},
           {{"GET", "/this/a/that/b", true},
            {"GET", "/foo/a/barbarbar/b", true},
            {"GET", "/foo/0/barbarbar/1", true},
            {"GET", "/foo/1/barbarbar/0", false},
            {"GET", "/foo/0/1", false},
            {"GET", "/foo/a/barbarbar/1", false}}},
          {'W',
           {"GET /chains/**", "GET /describe/**"},
           {{"GET", "/chains", true},
            {"GET", "/chains/main/blocks/head", true},
            {"GET", "/describe", true},
            {"GET", "/", false},
            {"POST", "/chains/main", false},
            {"GET", "/network/points/x/unban", false}}},
          {'B',
           {"GET /chains/**", "GET /network/points/*/unban"},
           {{"GET", "/chains", false},
            {"GET", "/chains/main/blocks/head", false},
            {"GET", "/network/points/x/unban", false},
            {"GET", "/", true},
            {"POST", "/chains/main", true},
            {"GET", "/network/points/x/y/unban", true},
            {"GET", "/describe", true}}}};
}
std::vector<Decision> table_3_further() {
  return {{'W',
           {"GET /v1/pools", "GET /v1/pools/*"},
           {{"GET", "/v1/pools", true},
            {"GET", "/v1/pools/", true},
            {"GET", "//v1//pools//p1", true},
            {"GET", "/v1/pools/p1", true},
            {"GET", "/v1/pools/p1/replicas", false},
            {"DELETE", "/v1/pools/p1", false},
            {"GET", "/V1/pools", false}}},
          {'W',
           {"GET /v1/pools/**"},
           {{"GET", "/v1/pools", true},
            {"GET", "/v1/pools/p1/replicas", true},
            {"DELETE", "/v1/pools/p1", false}}},
          {'B',
           {"DELETE/**", "PUT/**", "POST/**", "PATCH/**"},
           {{"GET", "/v1/pools/p1", true},
            {"DELETE", "/v1/pools/p1", false},
            {"POST", "/chains/main", false}}},
          {'W',
           {"/v1/kv/%2A"},
           {{"GET", "/v1/kv/*", true}, {"GET", "/v1/kv/%2A", true}, {"GET", "/v1/kv/x", false}}},
          {'W', {"/a%2Fb"}, {{"GET", "/a%2Fb", true}, {"GET", "/a/b", false}}},
          {'B',
           {"/*"},
           {{"GET", "/", true},
            {"GET", "/chains", false},
            {"GET", "/a/b", true},
            {"GET", "/a%2Fb", false}}},
          {'B', {"/*/**"}, {{"GET", "/", true}, {"GET", "/chains", false}, {"GET", "/a/b", false}}},
          // Not subject to access lists.
          {'W', {}, {{"OPTIONS", "/", true}, {"HEAD", "/", true}}}};
}
std::vector<Decision> table_3() {
  std::vector<Decision> rows = table_3_upstream();
  std::ranges::copy(table_3_further(), std::back_inserter(rows));
  return rows;
}

AclPolicy policy_of(const Decision& row) {
  AclPolicy policy;
  policy.kind = row.kind == 'W' ? AclPolicy::Kind::kDenyAll : AclPolicy::Kind::kAllowAll;
  for (const char* text : row.except) policy.except.push_back(matcher(text));
  return policy;
}

TEST(AclPolicy, DecidesTable3) {
  for (const Decision& row : table_3()) {
    const AclPolicy policy = policy_of(row);
    for (const Question& asked : row.questions) {
      EXPECT_EQ(policy.allows(asked.method, steps_of(asked.path)), asked.allowed)
          << row.kind << ": " << asked.method << " " << asked.path;
    }
  }
}

// A path that is known in full is decided alike by all three questions.
TEST(AclPolicy, WhatIsKnownInFullIsCertain) {
  for (const Decision& row : table_3()) {
    const AclPolicy policy = policy_of(row);
    for (const Question& asked : row.questions) {
      if (asked.method == std::string_view("OPTIONS") || asked.method == std::string_view("HEAD"))
        continue;
      AclPath path;
      for (auto& step : steps_of(asked.path)) path.steps.emplace_back(step);
      EXPECT_EQ(policy.surely_allows(asked.method, path), asked.allowed) << asked.path;
      EXPECT_EQ(policy.may_allow(asked.method, path), asked.allowed) << asked.path;
    }
  }
}

TEST(AclPolicy, WhatIsNotKnownIsAllowedOnlyWhenEveryPathIs) {
  const AclPath one{{"kv", kAny}, false}, open{{"kv"}, true};
  struct Row {
    char kind;
    const char* except;
    bool one_surely, one_perhaps, open_surely, open_perhaps;
  };
  const Row rows[] = {
      {'W', "GET /kv/*", true, true, false, true},
      {'W', "GET /kv/a", false, true, false, true},
      {'W', "GET /kv/**", true, true, true, true},
      {'W', "GET /kv/a/**", false, true, false, true},
      {'W', "GET /kv", false, false, false, true},
      {'W', "POST /**", false, false, false, false},
      {'B', "GET /kv/*", false, false, false, true},
      {'B', "GET /kv/a", false, true, false, true},
      {'B', "GET /kv/**", false, false, false, false},
      {'B', "GET /kv/a/b", true, true, false, true},
      {'B', "GET /pools/**", true, true, true, true},
  };
  for (const Row& row : rows) {
    const AclPolicy policy = policy_of({row.kind, {row.except}, {}});
    EXPECT_EQ(policy.surely_allows("GET", one), row.one_surely) << row.kind << row.except;
    EXPECT_EQ(policy.may_allow("GET", one), row.one_perhaps) << row.kind << row.except;
    EXPECT_EQ(policy.surely_allows("GET", open), row.open_surely) << row.kind << row.except;
    EXPECT_EQ(policy.may_allow("GET", open), row.open_perhaps) << row.kind << row.except;
  }
}

// Table 4: decisions as an HTTP client sees them, by path alone.
TEST(AclPolicy, DecidesTable4) {
  const std::pair<const char*, const char*> services[] = {
      {"GET", "/foo/bar"}, {"GET", "/foo/blah"}, {"POST", "/blue/white/red/and/fuchsia"}};
  const std::pair<Decision, std::vector<bool>> rows[] = {
      {{'B', {"/foo/*"}, {}}, {false, false, true}},
      {{'W', {"/foo/**"}, {}}, {true, true, false}},
      {{'W', {"GET /foo/**", "DELETE /**"}, {}}, {true, true, false}},
      {{'W', {"POST /blue/white/*/*/fuchsia/**"}, {}}, {false, false, true}}};
  for (const auto& [row, allowed] : rows) {
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(policy_of(row).allows(services[i].first, steps_of(services[i].second)), allowed[i]);
    }
  }
}

constexpr std::string_view kTable5 = R"({"rpc": {"acl": [
  {"address": "localhost:22", "blacklist": []},
  {"address": "localhost", "whitelist": ["/chains/**"]},
  {"address": "localhost:8732", "blacklist": ["POST/**", "PUT/**"]},
  {"address": "192.168.0.3", "blacklist": ["/monitor/**"]},
  {"address": "192.168.1.5:8732", "whitelist": ["GET/**", "DELETE/chains/*/invalid_blocks/*"]}
]}})";

std::string found(const AclTable& table, std::string_view host, std::uint16_t port) {
  const AclPolicy* policy = table.find(host, port);
  if (!policy) return "nothing";
  std::string text = policy->kind == AclPolicy::Kind::kDenyAll ? "W" : "B";
  for (const auto& one : policy->except) text += " " + one.text();
  return text;
}

TEST(AclTable, FindsTable5) {
  const auto table = AclTable::parse(kTable5);
  ASSERT_TRUE(table) << table.error().text();
  EXPECT_EQ(found(*table, "192.168.1.5", 8732), "W GET//** DELETE/chains/*/invalid_blocks/*");
  EXPECT_EQ(found(*table, "192.168.1.5", 5431), "nothing");
  EXPECT_EQ(found(*table, "192.168.0.3", 8732), "B /monitor/**");
  EXPECT_EQ(found(*table, "192.168.0.3", 9732), "B /monitor/**");
  EXPECT_EQ(found(*table, "localhost", 8732), "W /chains/**");  // the one without a port is first
  const auto resolved = table->resolved([](const std::string& host) {
    EXPECT_EQ(host, "localhost");
    return Result<std::vector<std::string>>({"::1", "127.0.0.1"});
  });
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->entries().size(), 8U);
  EXPECT_EQ(found(*resolved, "::1", 22), "B");
  EXPECT_EQ(found(*resolved, "::1", 8732), "W /chains/**");
  EXPECT_EQ(found(*resolved, "127.0.0.1", 8732), "W /chains/**");
  EXPECT_EQ(found(*resolved, "::ffff:127.0.0.1", 22), "B");
  EXPECT_EQ(found(*resolved, "0:0:0:0:0:0:0:1", 22), "B");
  const auto failing = table->resolved([](const std::string&) -> Result<std::vector<std::string>> {
    return fail(Code::kUnavailable, "no such name");
  });
  ASSERT_FALSE(failing);
  EXPECT_NE(failing.error().text().find("localhost:22"), std::string::npos);
}

TEST(AclTable, AnEntryMoreHidesNoneAndTheSameAddressIsReplaced) {
  auto table = AclTable::parse(kTable5).value();
  const auto before = table;
  const auto put = [&](std::string_view address) {
    table.put(AclTable::entry_for(address, AclPolicy::allow_all()).value());
  };
  put("10.0.0.1");
  put("192.168.1.5");
  for (const auto& entry : before.entries()) {
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{22, 8732, 9732}) {
      if (!before.find(entry.host, port)) continue;
      EXPECT_EQ(found(table, entry.host, port), found(before, entry.host, port));
    }
  }
  const std::size_t size = table.entries().size();
  put("192.168.1.5:8732");
  EXPECT_EQ(table.entries().size(), size);
  EXPECT_EQ(found(table, "192.168.1.5", 8732), "B");
}

TEST(AclTable, WritesWhatItReads) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    AclTable table;
    for (unsigned entries = random() % 4; entries-- > 0;) {
      AclPolicy policy;
      if (random() % 2) policy.kind = AclPolicy::Kind::kDenyAll;
      for (unsigned matchers = random() % 4; matchers-- > 0;) {
        AclMatcher one;
        one.method = std::vector<std::string>{"", "GET", "PATCH"}[random() % 3];
        one.suffix = random() % 2;
        for (unsigned chunks = random() % 4; chunks-- > 0;) {
          one.chunks.emplace_back();
          if (random() % 3 == 0) continue;
          one.chunks.back() = std::string(1 + random() % 3, static_cast<char>(1 + random() % 255));
        }
        policy.except.push_back(std::move(one));
      }
      const char* const addresses[] = {"::1", "[::1]:80", "127.0.0.1:80", "name", "unix:/a b"};
      table.put(AclTable::entry_for(addresses[random() % 5], std::move(policy)).value());
    }
    const auto again = AclTable::parse(table.json());
    ASSERT_TRUE(again) << again.error().text() << "\n" << table.json();
    EXPECT_EQ(*again, table) << table.json();
  }
}

TEST(AclTable, NamesTheEntryThatIsWrong) {
  const std::pair<const char*, const char*> rows[] = {
      {"[{]", "no JSON"},
      {R"({"x":1})", "neither a list"},
      {R"([1])", "entry 1 is no object"},
      {R"([{"whitelist":[]}])", "no address"},
      {R"([{"address":"::1"}])", "neither whitelist nor blacklist"},
      {R"([{"address":"::1","whitelist":[],"blacklist":[]}])", "two lists"},
      {R"([{"address":"::1","whitelist":[]},{"address":"::1","whitelist":["x"]}])", "entry 2"},
      {R"([{"address":"::1","whitelist":["/",1]}])", "no text"},
      {R"([{"address":"[::1","whitelist":[]}])", "']' is missing"},
      {R"([{"address":"1.2.3.4:99999","whitelist":[]}])", "no number"},
      {R"([{"address":"1.2.3.4:","whitelist":[]}])", "no number"},
      {R"([{"address":":80","whitelist":[]}])", "host is missing"},
      {R"([{"address":"::x","whitelist":[]}])", "no IPv6"},
      {R"([{"address":"::1","white":[]}])", "'white'"},
  };
  for (const auto& [json, part] : rows) {
    const auto parsed = AclTable::parse(json);
    ASSERT_FALSE(parsed) << json;
    EXPECT_NE(parsed.error().text().find(part), std::string::npos)
        << json << ": " << parsed.error().text();
  }
}

// Table 6 with the addresses of section 12.3.
TEST(AclScope, OfAnAddress) {
  using enum AddressScope;
  const std::pair<const char*, AddressScope> rows[] = {{"127.0.0.1", kInterface},
                                                       {"127.255.1.2", kInterface},
                                                       {"::1", kInterface},
                                                       {"ff01::5", kInterface},
                                                       {"::ffff:127.0.0.1", kInterface},
                                                       {"0.0.0.0", kPoint},
                                                       {"::", kPoint},
                                                       {"10.1.2.3", kOrganization},
                                                       {"192.168.9.9", kOrganization},
                                                       {"169.254.1.1", kLink},
                                                       {"fe80::1", kLink},
                                                       {"ff02::1", kLink},
                                                       {"255.255.255.255", kAdmin},
                                                       {"172.16.0.1", kGlobal},
                                                       {"8.8.8.8", kGlobal},
                                                       {"fc00::1", kGlobal},
                                                       {"2001:db8::1", kGlobal},
                                                       {"128.0.0.1", kGlobal},
                                                       {"::2", kGlobal}};
  for (const auto& [host, scope] : rows) EXPECT_EQ(scope_of(host), scope) << host;
}

// Table 7, ours, and what the secure list is for.
TEST(AclPolicy, TheSecureListRefusesTable7) {
  const AclPolicy secure = AclPolicy::secure();
  const std::pair<const char*, const char*> refused[] = {
      {"PUT", "/pools/p1"},
      {"DELETE", "/pools/p1"},
      {"POST", "/pools/p1/export"},
      {"PUT", "/nexuses/x/share"},
      {"PUT", "/jsonrpc/bdev_get_bdevs"},
      {"PUT", "/v0/nodes/n/jsongrpc/x"},
      {"GET", "/config"},
      {"GET", "/monitor/pools"},
      {"GET", "/kv/s/entries/k"},
      {"PUT", "/kv/s/raw/k"},
      {"POST", "/stats/reset"},
      {"POST", "/test/fault_injections"},
      {"POST", "/rpc/capstan.node.v1.ImageRpc/ImportImage"},
      // Upstream's; its /stats and /workers are not the same things here.
      {"DELETE", "/chains/main/invalid_blocks/hash"},
      {"GET", "/fetch_protocol/hash"},
      {"GET", "/network/peers"},
      {"GET", "/network/points"},
      {"GET", "/workers/block_validator"},
      {"GET", "/workers/chain_validators"},
      {"GET", "/workers/prevalidators/main"},
      {"PATCH", "/chains/main"},
      {"POST", "/chains/main/mempool/filter"},
      {"POST", "/chains/main/mempool/request_operations"},
      {"POST", "/injection/block"},
      {"POST", "/injection/protocol"}};
  for (const auto& [method, path] : refused) {
    EXPECT_FALSE(secure.allows(method, steps_of(path))) << method << " " << path;
  }
  for (const char* path : {"/version", "/health/live", "/health", "/pools", "/pools/p/replicas",
                           "/v0/nodes", "/v0/nodes/n", "/v0/pools", "/stats/pools", "/describe"}) {
    EXPECT_TRUE(secure.allows("GET", steps_of(path))) << path;
  }
  EXPECT_EQ(secure.type_name(), "Secure");
  EXPECT_EQ(AclPolicy::allow_all().type_name(), "AllowAll");
  EXPECT_EQ(policy_of({'W', {}, {}}).type_name(), "Custom");
}

}  // namespace
}  // namespace capstan::rpc
