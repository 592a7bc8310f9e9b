// Why this file exists: access rules: what they may say, whom they name, and that the decision
// falls before the handler.
#include "rpc/interceptors/access.h"

#include <gtest/gtest.h>

#include "core/sim_env.h"
#include "node/node.pb.h"
#include "rpc/directory.h"

namespace capstan::rpc {
namespace {

using node::v1::Config;
using node::v1::GetConfigRequest;

core::PeerInfo unix_peer(std::uint32_t uid, std::uint32_t gid) {
  core::PeerInfo peer;
  peer.address = "unix:";
  peer.uid = uid, peer.gid = gid, peer.pid = 7;
  return peer;
}
core::PeerInfo tcp_peer() {
  core::PeerInfo peer;
  peer.address = "10.0.0.1:5";
  return peer;
}
AccessRule rule(std::string_view text) {
  auto parsed = AccessRule::parse(text);
  EXPECT_TRUE(parsed) << parsed.error().text();
  return parsed.value_or(AccessRule());
}

TEST(AccessRule, NamesCallersByCredentialsOrSocket) {
  EXPECT_TRUE(rule("uid:1000=read").names(unix_peer(1000, 5)));
  EXPECT_FALSE(rule("uid:1000=read").names(unix_peer(1001, 1000)));
  EXPECT_FALSE(rule("uid:0=read").names(tcp_peer()));
  EXPECT_TRUE(rule("gid:5=read").names(unix_peer(1000, 5)));
  EXPECT_FALSE(rule("gid:5=read").names(unix_peer(5, 6)));
  EXPECT_TRUE(rule("unix=read").names(unix_peer(1, 1)));
  EXPECT_FALSE(rule("unix=read").names(tcp_peer()));
  EXPECT_TRUE(rule("tcp=read").names(tcp_peer()));
  EXPECT_FALSE(rule("tcp=read").names(unix_peer(1, 1)));
  EXPECT_TRUE(rule("any=read").names(tcp_peer()));
}

TEST(AccessRule, AllowsTheClassesItLists) {
  const auto some = rule("any=read+monitor");
  EXPECT_TRUE(some.allows(Access::kRead));
  EXPECT_TRUE(some.allows(Access::kMonitor));
  EXPECT_FALSE(some.allows(Access::kWrite));
  EXPECT_FALSE(some.allows(Access::kData));
  EXPECT_FALSE(some.allows(Access::kAdmin));
  for (const auto access :
       {Access::kRead, Access::kMonitor, Access::kWrite, Access::kData, Access::kAdmin}) {
    EXPECT_TRUE(rule("any=all").allows(access));
    EXPECT_FALSE(rule("any=none").allows(access));
    EXPECT_TRUE(rule("any=" + std::string(access_name(access))).allows(access));
  }
}

TEST(AccessRule, RefusesWhatItDoesNotUnderstand) {
  for (const char* text :
       {"", "any", "=read", "any=", "any=+read", "any=read+", "any=reads", "any=none+read",
        "any=read+read", "uid:=read", "uid:x=read", "uid:-1=read", "uid:4294967296=read",
        "user:root=read", "any=read,write"}) {
    const auto parsed = AccessRule::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find("access rule '" + std::string(text) + "'"),
              std::string::npos);
  }
}

struct Service {
  int calls = 0;
  core::Task<Result<Config>> config(Call&, const GetConfigRequest&) {
    ++calls;
    co_return Config();
  }
};

class AccessTest : public ::testing::Test {
 protected:
  Code call(std::vector<std::string> rules, core::PeerInfo peer) {
    Directory directory;
    const auto* service = Config::descriptor()->file()->FindServiceByName("NodeRpc");
    EXPECT_TRUE(directory.declare(service));
    EXPECT_TRUE(bind_unary(directory, kConfig, service_, &Service::config));
    std::vector<AccessRule> parsed;
    for (const auto& text : rules) parsed.push_back(rule(text));
    directory.add_interceptor(std::make_unique<AccessInterceptor>(std::move(parsed), acl_));
    world_.run(run(directory, std::move(peer)));
    return result_ ? Code::kOk : result_.error().code;
  }
  core::Task<void> run(Directory& directory, core::PeerInfo peer) {
    Call call;
    call.peer = std::move(peer);
    const GetConfigRequest request;
    Config response;
    result_ = co_await directory.run(*directory.find(kConfig), call, request, response);
  }

  static constexpr const char* kConfig = "capstan.node.v1.NodeRpc/GetConfig";
  core::SimWorld world_{1};
  Service service_;
  const Acl* acl_ = nullptr;
  Result<void> result_;
};

// Whoever opened an address for metrics means everybody there: the list alone decides.
TEST_F(AccessTest, NoRuleIsAskedWhereOnlyMetricsAre) {
  Acl acl;
  acl.add_metrics_listener("127.0.0.1:9932");
  acl_ = &acl;
  core::PeerInfo peer = tcp_peer();
  peer.listener = "127.0.0.1:9932";
  EXPECT_EQ(call({"any=none"}, peer), Code::kPermissionDenied);
  EXPECT_TRUE(result_.error().message.starts_with("the access list of")) << result_.error().message;
  peer.listener = "127.0.0.1:10124";
  EXPECT_EQ(call({"any=none"}, peer), Code::kPermissionDenied);
  EXPECT_TRUE(result_.error().message.starts_with("the access rules")) << result_.error().message;
}

TEST_F(AccessTest, TheFirstRuleThatNamesTheCallerDecides) {
  const std::string its_class(access_name(
      Operation::from(*Config::descriptor()->file()->FindServiceByName("NodeRpc")->FindMethodByName(
                          "GetConfig"))
          ->access));
  EXPECT_EQ(call({}, tcp_peer()), Code::kOk);
  EXPECT_EQ(call({"any=none"}, tcp_peer()), Code::kPermissionDenied);
  EXPECT_EQ(call({"unix=all"}, tcp_peer()), Code::kPermissionDenied);
  EXPECT_EQ(call({"uid:9=none", "any=all"}, unix_peer(9, 9)), Code::kPermissionDenied);
  EXPECT_EQ(call({"uid:9=none", "any=all"}, unix_peer(8, 9)), Code::kOk);
  EXPECT_EQ(call({"uid:9=" + its_class, "any=none"}, unix_peer(9, 9)), Code::kOk);
}

TEST_F(AccessTest, ADeniedCallNeverReachesItsHandlerAndSaysWhatWouldAllowIt) {
  EXPECT_EQ(call({"any=none"}, unix_peer(1000, 9)), Code::kPermissionDenied);
  EXPECT_EQ(service_.calls, 0);
  for (const char* part : {"uid:1000", kConfig, "uid:1000="}) {
    EXPECT_NE(result_.error().message.find(part), std::string::npos) << result_.error().message;
  }
}

}  // namespace
}  // namespace capstan::rpc
