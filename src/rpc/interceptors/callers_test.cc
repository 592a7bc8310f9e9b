// Why this file exists: who is calling, how often, and in which trace: the interceptors that look
// at callers, each alone and then in the whole chain, on virtual time.
#include <gtest/gtest.h>

#include "core/log_sinks.h"
#include "core/scope.h"
#include "core/sim_env.h"
#include "grpc/health/v1/health.pb.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/directory.h"
#include "rpc/interceptors/access.h"
#include "rpc/interceptors/authenticate.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"
#include "rpc/interceptors/rate_limit.h"
#include "rpc/interceptors/trace.h"
#include "rpc/jwt_testing.h"

namespace capstan::rpc {
namespace {

using node::v1::Config;
using node::v1::GetConfigRequest;
using node::v1::GetVersionRequest;
using node::v1::Version;
using testing::KeyPair;

constexpr const char* kConfig = "capstan.node.v1.NodeRpc/GetConfig";
constexpr const char* kVersion = "capstan.node.v1.NodeRpc/GetVersion";

struct Service {
  core::PeerInfo peer;
  Metadata metadata;
  int calls = 0;
  core::Task<Result<Config>> config(Call& call, const GetConfigRequest&) {
    ++calls;
    peer = call.peer, metadata = call.metadata;
    co_return Config();
  }
  core::Task<Result<Version>> version(Call&, const GetVersionRequest&) {
    ++calls;
    co_return Version();
  }
};

class CallersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* service = Config::descriptor()->file()->FindServiceByName("NodeRpc");
    std::set<std::string> absent;
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string name(service->method(i)->name());
      if (name != "GetConfig" && name != "GetVersion") absent.insert(name);
    }
    ASSERT_TRUE(directory_.declare(service, absent));
    ASSERT_TRUE(bind_unary(directory_, kConfig, service_, &Service::config));
    ASSERT_TRUE(bind_unary(directory_, kVersion, service_, &Service::version));
  }
  core::Nanos wall() { return wall_seconds_ * core::kSecond; }
  void add_authentication(std::optional<JwkSet> keys) {
    auto made =
        std::make_unique<AuthenticateInterceptor>(std::move(keys), [this] { return wall(); });
    authenticate_ = made.get();
    directory_.add_interceptor(std::move(made));
  }
  core::Task<void> run_one(std::string_view name, Call& call) {
    const auto& entry = *directory_.find(name);
    const auto request = entry.new_request();
    const auto response = entry.new_response();
    result_ = co_await directory_.run(entry, call, *request, *response);
  }
  Code run(Call& call, std::string_view name = kConfig) {
    world_.run(run_one(name, call));
    return result_ ? Code::kOk : result_.error().code;
  }
  core::Task<void> pass_task(core::Nanos duration) { co_await world_.reactor().delay(duration); }
  void pass(core::Nanos duration) { world_.run(pass_task(duration)); }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  core::Metrics metrics_;
  SpanQueue spans_;
  Service service_;
  Directory directory_;
  AuthenticateInterceptor* authenticate_ = nullptr;
  Result<void> result_;
  std::uint64_t wall_seconds_ = 1000;
};

Call tcp_call(std::string address = "10.0.0.1:5000") {
  Call call;
  call.wire = "grpc";
  call.peer.address = std::move(address);
  call.peer.listener = "10.0.0.9:10124";
  return call;
}
Call unix_call(std::uint32_t uid) {
  Call call = tcp_call("unix:");
  call.peer.listener = "unix:/run/rpc.sock";
  call.peer.uid = call.peer.gid = uid;
  return call;
}
Call token_call(const std::string& value) {
  Call call = tcp_call();
  call.metadata.request.emplace_back("authorization", value);
  return call;
}

// --- authentication -----------------------------------------------------------------------------

TEST_F(CallersTest, WithoutKeysNobodyNeedsATokenAndNoneIsLookedAt) {
  add_authentication(std::nullopt);
  Call call = tcp_call();
  EXPECT_EQ(run(call), Code::kOk);
  Call odd = token_call("Bearer nonsense");
  odd.peer.jwt_subject = "left over";  // of an earlier call of the same session
  EXPECT_EQ(run(odd), Code::kOk);
  EXPECT_EQ(service_.peer.jwt_subject, "");
}

TEST_F(CallersTest, WithKeysACallOverTcpNeedsAGoodToken) {
  const KeyPair pair("ES256"), stranger("ES256");
  add_authentication(JwkSet::parse(pair.jwk()).value());
  const std::string token = pair.sign(R"({"sub":"operator","exp":2000})");
  for (const std::string& value :
       {"Bearer " + token, "bearer " + token, token, "BEARER  " + token}) {
    Call call = token_call(value);
    EXPECT_EQ(run(call), Code::kOk) << value.substr(0, 10);
    EXPECT_EQ(service_.peer.jwt_subject, "operator");
  }
  service_.calls = 0;
  Call none = tcp_call();
  EXPECT_EQ(run(none), Code::kUnauthenticated);
  EXPECT_NE(result_.error().message.find("authorization"), std::string::npos);
  for (const std::string& value : {"Bearer " + stranger.sign("{}"), std::string("Bearer "),
                                   std::string("Basic dTpw"), token + "x"}) {
    Call call = token_call(value);
    EXPECT_EQ(run(call), Code::kUnauthenticated) << value.substr(0, 10);
  }
  EXPECT_EQ(service_.calls, 0);
  Call local = unix_call(1000);
  EXPECT_EQ(run(local), Code::kOk);
  Call certified = tcp_call();
  certified.peer.tls_subject = "CN=node-1";
  EXPECT_EQ(run(certified), Code::kOk);
  Call both = token_call("Bearer " + stranger.sign("{}"));
  both.peer.tls_subject = "CN=node-1";
  EXPECT_EQ(run(both), Code::kUnauthenticated);
}

TEST_F(CallersTest, AnAddressForMetricsNeedsNoToken) {
  const KeyPair pair("ES256");
  add_authentication(JwkSet::parse(pair.jwk()).value());
  authenticate_->exempt("10.0.0.9:9932");
  Call call = tcp_call();
  EXPECT_EQ(run(call), Code::kUnauthenticated);
  Call scrape = tcp_call();
  scrape.peer.listener = "10.0.0.9:9932";
  scrape.peer.jwt_subject = "left over";
  EXPECT_EQ(run(scrape), Code::kOk);
  EXPECT_EQ(service_.peer.jwt_subject, "");
}

TEST_F(CallersTest, ARememberedTokenExpiresAndIsForgottenWithItsKey) {
  const KeyPair pair("ES256"), other("ES256");
  add_authentication(JwkSet::parse(pair.jwk()).value());
  Call call = token_call(pair.sign(R"({"sub":"a","exp":2000})"));
  EXPECT_EQ(run(call), Code::kOk);
  EXPECT_EQ(run(call), Code::kOk);
  wall_seconds_ = 2000;
  EXPECT_EQ(run(call), Code::kUnauthenticated);
  EXPECT_NE(result_.error().message.find("expired"), std::string::npos);
  wall_seconds_ = 1000;
  EXPECT_EQ(run(call), Code::kOk);
  authenticate_->replace(JwkSet::parse(other.jwk()).value());
  EXPECT_EQ(run(call), Code::kUnauthenticated);
}

// --- streams of tokens --------------------------------------------------------------------------

constexpr const char* kWatch = "grpc.health.v1.Health/Watch";
constexpr const char* kExport = "capstan.node.v1.ImageRpc/ExportImage";

// Both answer nothing and wait until they are told to end.
struct Streams {
  int running = 0;
  core::Task<Result<void>> watch(Call& call, const grpc::health::v1::HealthCheckRequest&,
                                 Sink<grpc::health::v1::HealthCheckResponse>) {
    return wait(call);
  }
  core::Task<Result<void>> export_image(Call& call, const node::v1::ExportImageRequest&,
                                        Sink<node::v1::ExportImageResponse>) {
    return wait(call);
  }
  core::Task<Result<void>> wait(Call& call) {
    ++running;
    const auto slept = co_await core::sleep_for(3600 * core::kSecond, call.token);
    --running;
    co_return slept;
  }
};

class OneRequest final : public MessageSource {
 public:
  core::Task<Result<bool>> next(Message&) override { co_return !std::exchange(taken_, true); }
  void interrupt() override {}

 private:
  bool taken_ = false;
};
// Sends nothing; a wire that interrupts it ends the waiting.
class SilentClient final : public MessageSource {
 public:
  core::Task<Result<bool>> next(Message&) override {
    if (!interrupted_.is_set()) co_await interrupted_.wait();
    co_return fail(Code::kCancelled, "reading was interrupted");
  }
  void interrupt() override { interrupted_.set(); }

 private:
  core::Event interrupted_;
};
class NoAnswers final : public MessageSink {
 public:
  core::Task<Result<void>> send(const Message&) override { co_return Result<void>(); }
};

class TokenStreams : public CallersTest {
 protected:
  void SetUp() override {
    CallersTest::SetUp();
    const auto* health = grpc::health::v1::HealthCheckRequest::descriptor();
    const auto* image = node::v1::ExportImageRequest::descriptor();
    ASSERT_TRUE(directory_.declare(health->file()->FindServiceByName("Health"), {"Check"}));
    ASSERT_TRUE(directory_.declare(image->file()->FindServiceByName("ImageRpc"), {"ImportImage"}));
    ASSERT_TRUE(bind_server_stream(directory_, kWatch, streams_, &Streams::watch));
    ASSERT_TRUE(bind_server_stream(directory_, kExport, streams_, &Streams::export_image));
    add_authentication(JwkSet::parse(pair_.jwk()).value());
  }
  template <class Source = OneRequest>
  core::Task<void> run_stream(std::string_view name, Call& call, Result<void>& ended) {
    Source source;
    NoAnswers sink;
    ended = co_await directory_.run(*directory_.find(name), call, source, sink);
  }
  // Lets the clocks go on together.
  core::Task<void> live(std::uint64_t seconds) {
    for (; seconds != 0; --seconds) {
      co_await world_.reactor().delay(core::kSecond);
      ++wall_seconds_;
    }
    co_await world_.reactor().delay(core::kMillisecond);
  }
  std::string until(int expires) const {
    return "Bearer " + pair_.sign(R"({"sub":"a","exp":)" + std::to_string(expires) + "}");
  }

  const KeyPair pair_{"ES256"}, other_{"ES256"};
  Streams streams_;
};

TEST_F(TokenStreams, WhatHasNoEndOfItsOwnEndsWithItsToken) {
  world_.run([](auto& in) -> core::Task<void> {
    Call watch = token_call(in.until(1200)), image = token_call(in.until(1200)),
         local = unix_call(0);
    Result<void> watched, exported, listened;
    core::Scope scope;
    core::CancelSource gone;
    image.token = local.token = gone.token();
    scope.spawn(in.run_stream(kWatch, watch, watched));
    scope.spawn(in.run_stream(kExport, image, exported));
    scope.spawn(in.run_stream(kWatch, local, listened));
    co_await in.live(199);
    EXPECT_EQ(in.streams_.running, 3);
    co_await in.live(61);
    EXPECT_EQ(in.streams_.running, 2);
    CAPSTAN_ASSERT(!watched);
    EXPECT_EQ(watched.error().code, Code::kUnauthenticated);
    EXPECT_NE(watched.error().message.find("expired"), std::string::npos);
    EXPECT_FALSE(watch.token.fired());  // the call's own again
    gone.fire();
    co_await scope.join();
    CAPSTAN_ASSERT(!exported && !listened);
    EXPECT_EQ(exported.error().code, Code::kCancelled);
    EXPECT_EQ(listened.error().code, Code::kCancelled);
  }(*this));
}

TEST_F(TokenStreams, WhoWaitsForItsClientHearsOfIt) {
  world_.run([](auto& in) -> core::Task<void> {
    Call watch = token_call(in.until(1200));
    Result<void> ended;
    core::Scope scope;
    scope.spawn(in.template run_stream<SilentClient>(kWatch, watch, ended));
    co_await in.live(261);
    CAPSTAN_ASSERT(!ended);
    EXPECT_EQ(ended.error().code, Code::kUnauthenticated);
    co_await scope.join();
  }(*this));
}

TEST_F(TokenStreams, NewKeysEndWhatTheyDoNotVerify) {
  world_.run([](auto& in) -> core::Task<void> {
    Call watch = token_call(in.until(9000)), image = token_call(in.until(9000)),
         local = unix_call(0);
    Result<void> watched, exported, listened;
    core::Scope scope;
    core::CancelSource gone;
    local.token = gone.token();
    scope.spawn(in.run_stream(kWatch, watch, watched));
    scope.spawn(in.run_stream(kExport, image, exported));
    scope.spawn(in.run_stream(kWatch, local, listened));
    co_await in.live(1);
    in.authenticate_->replace(
        JwkSet::parse("{\"keys\":[" + in.other_.jwk() + "," + in.pair_.jwk() + "]}").value());
    co_await in.live(1);
    EXPECT_EQ(in.streams_.running, 3);
    in.authenticate_->replace(JwkSet::parse(in.other_.jwk()).value());
    co_await in.live(1);
    EXPECT_EQ(in.streams_.running, 1);
    CAPSTAN_ASSERT(!watched && !exported);
    EXPECT_EQ(watched.error().code, Code::kUnauthenticated);
    EXPECT_EQ(exported.error().code, Code::kUnauthenticated);
    gone.fire();
    co_await scope.join();
  }(*this));
}

TEST_F(CallersTest, ATokenWithoutASubjectIsAToken) {
  const KeyPair pair("ES256");
  add_authentication(JwkSet::parse(pair.jwk()).value());
  std::vector<AccessRule> rules = AccessRule::parse_list("jwt=read+monitor,any=none").value();
  directory_.add_interceptor(std::make_unique<AccessInterceptor>(std::move(rules)));
  for (const char* claims : {"{}", R"({"sub":""})", R"({"sub":7})"}) {
    Call call = token_call(pair.sign(claims));
    EXPECT_EQ(run(call), Code::kOk) << claims;
    EXPECT_EQ(service_.peer.jwt_subject, kNoSub);
  }
  Call posing = token_call(pair.sign(R"x({"sub":"(no sub)"})x"));
  EXPECT_EQ(run(posing), Code::kUnauthenticated);
}

// --- access -------------------------------------------------------------------------------------

TEST_F(CallersTest, RulesNameCertificatesAndTokens) {
  const auto names = [](std::string_view text, const core::PeerInfo& peer) {
    const auto parsed = AccessRule::parse(text);
    EXPECT_TRUE(parsed) << text;
    return parsed && parsed->names(peer);
  };
  core::PeerInfo certified = tcp_call().peer, token = tcp_call().peer;
  certified.tls_subject = "CN=node-1,OU=a\\,b+L=c,O=x";
  token.jwt_subject = "a=b";
  for (const char* text : {"tls=read", "tls:CN=node-1=read", "tls:O=x=read", "tls:OU=a\\,b=read",
                           "tls:L=c=read", "tls:CN=node-1,OU=a\\,b+L=c,O=x=read", "tcp=read"}) {
    EXPECT_TRUE(names(text, certified)) << text;
    if (std::string_view(text) != "tcp=read") EXPECT_FALSE(names(text, token)) << text;
  }
  for (const char* text : {"tls:CN=node=read", "tls:node-1=read", "tls:b=read", "jwt=read"}) {
    EXPECT_FALSE(names(text, certified)) << text;
  }
  EXPECT_TRUE(names("jwt:a=b=read", token));
  EXPECT_FALSE(names("jwt:a=read", token));
  EXPECT_TRUE(names("jwt=read", token));
  EXPECT_FALSE(names("tls=read", tcp_call().peer));
  for (const char* text : {"tls:=read", "jwt:=read", "tls:CN=x", "jwt:x"}) {
    EXPECT_FALSE(AccessRule::parse(text)) << text;
  }
  const auto list = AccessRule::parse_list("tls:CN=a,O=b=read,jwt:x,y=all,uid:1=write,any=none");
  ASSERT_TRUE(list) << list.error().text();
  ASSERT_EQ(list->size(), 4U);
  EXPECT_EQ((*list)[0].name, "CN=a,O=b");
  EXPECT_EQ((*list)[1].name, "x,y");
  EXPECT_FALSE(AccessRule::parse_list("any=read,"));
  EXPECT_FALSE(AccessRule::parse_list(""));
}

TEST_F(CallersTest, RulesAndListMustBothAllow) {
  Acl acl({AclTable::parse(R"([{"address":"10.0.0.9","whitelist":["GET /config"]}])").value()});
  directory_.add_interceptor(std::make_unique<AccessInterceptor>(
      AccessRule::parse_list("uid:7=none,any=all").value(), &acl));
  Call call = tcp_call();
  EXPECT_EQ(run(call), Code::kOk);
  EXPECT_EQ(run(call, kVersion), Code::kPermissionDenied);
  EXPECT_NE(result_.error().message.find("10.0.0.9:10124"), std::string::npos);
  EXPECT_NE(result_.error().message.find("GET /version"), std::string::npos);
  call.peer.uid = 7;
  EXPECT_EQ(run(call), Code::kPermissionDenied);
  Call local = unix_call(1);
  EXPECT_EQ(run(local, kVersion), Code::kOk);
}

// --- rate limit ---------------------------------------------------------------------------------

RateLimits limits_of(const char* client, const char* by_class = nullptr) {
  RateLimits limits;
  if (client) limits.client = Rate::parse(client).value();
  if (by_class) EXPECT_TRUE(limits.add_class(by_class));
  limits.own_uid = 500;
  return limits;
}

TEST_F(CallersTest, AClientHasItsOwnBucket) {
  directory_.add_interceptor(std::make_unique<RateLimitInterceptor>(limits_of("2/3")));
  Call one = tcp_call("10.0.0.1:1"), again = tcp_call("10.0.0.1:2"), other = tcp_call("10.0.0.2:1");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(i % 2 ? again : one), Code::kOk) << i;
  EXPECT_EQ(run(one), Code::kResourceExhausted);
  ASSERT_TRUE(result_.error().details);
  EXPECT_NEAR(static_cast<double>(result_.error().details->retry_after_ns), 0.5e9, 1e6);
  EXPECT_EQ(run(other), Code::kOk);
  Call named = tcp_call("10.0.0.1:3");
  named.peer.jwt_subject = "a";
  EXPECT_EQ(run(named), Code::kOk);
  named.peer.jwt_subject = "", named.peer.tls_subject = "a";
  EXPECT_EQ(run(named), Code::kOk);
  pass(core::kSecond / 2 + core::kMillisecond);
  EXPECT_EQ(run(one), Code::kOk);
  EXPECT_EQ(run(one), Code::kResourceExhausted);
  pass(60 * core::kSecond);  // no more than a burst is saved up
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(one), Code::kOk) << i;
  EXPECT_EQ(run(one), Code::kResourceExhausted);
}

TEST_F(CallersTest, AClassIsSharedAndCostsCount) {
  const_cast<Operation*>(directory_.declared(kConfig))->cost = 10;
  const auto access = std::string(access_name(directory_.declared(kConfig)->access));
  directory_.add_interceptor(
      std::make_unique<RateLimitInterceptor>(limits_of(nullptr, (access + "=10/25").c_str())));
  Call one = tcp_call("10.0.0.1:1"), other = tcp_call("10.0.0.2:1");
  EXPECT_EQ(run(one), Code::kOk);
  EXPECT_EQ(run(other), Code::kOk);
  EXPECT_EQ(run(one), Code::kResourceExhausted);  // five tokens are left, and stay
  pass(core::kSecond / 2 + core::kMillisecond);
  EXPECT_EQ(run(other), Code::kOk);
}

TEST_F(CallersTest, WhatCostsMoreThanABurstNeedsAFullBucket) {
  const_cast<Operation*>(directory_.declared(kConfig))->cost = 100;
  directory_.add_interceptor(std::make_unique<RateLimitInterceptor>(limits_of("10/20")));
  Call call = tcp_call();
  EXPECT_EQ(run(call), Code::kOk);
  pass(9 * core::kSecond);  // 80 of debt and 20 to fill: ten seconds
  EXPECT_EQ(run(call), Code::kResourceExhausted);
  pass(core::kSecond + core::kMillisecond);
  EXPECT_EQ(run(call), Code::kOk);
}

TEST_F(CallersTest, TheLocalAdminIsSparedOnlyWhenAsked) {
  auto limits = limits_of("1/1");
  limits.spare_local_admin = true;
  directory_.add_interceptor(std::make_unique<RateLimitInterceptor>(limits));
  Call root = unix_call(0), own = unix_call(500), user = unix_call(1000);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(run(root), Code::kOk);
    EXPECT_EQ(run(own), Code::kOk);
    EXPECT_EQ(run(user), i == 0 ? Code::kOk : Code::kResourceExhausted);
  }
}

// One client of a gateway must not use up what the others have.
TEST_F(CallersTest, AGatewayIsNoClientButCountsForItsClass) {
  Acl acl;
  acl.add_trusted_listener("unix:/gateway");
  auto limits = limits_of("1/1");
  const auto access = std::string(access_name(directory_.declared(kConfig)->access));
  ASSERT_TRUE(limits.add_class(access + "=1/3"));
  directory_.add_interceptor(std::make_unique<RateLimitInterceptor>(limits, &acl));
  Call call = unix_call(1000);
  call.peer.listener = "unix:/gateway";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(call), Code::kOk) << i;
  EXPECT_EQ(run(call), Code::kResourceExhausted);
}

TEST_F(CallersTest, OnlySoManyClientsAreRemembered) {
  auto owned = std::make_unique<RateLimitInterceptor>(limits_of("1/1"));
  auto& limiter = *owned;
  directory_.add_interceptor(std::move(owned));
  Call first = tcp_call("1.1.1.1:1"), second = tcp_call("1.1.1.2:1");
  EXPECT_EQ(run(first), Code::kOk);
  EXPECT_EQ(run(second), Code::kOk);
  for (std::size_t i = 0; i < access_limits::kLimitedClients - 1; ++i) {
    if (i == 100) EXPECT_EQ(run(second), Code::kResourceExhausted);  // it was here just now
    Call call = tcp_call("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":1");
    EXPECT_EQ(run(call), Code::kOk);
  }
  EXPECT_EQ(limiter.clients(), access_limits::kLimitedClients);
  EXPECT_EQ(run(second), Code::kResourceExhausted);
  EXPECT_EQ(run(first), Code::kOk);  // forgotten
}

TEST(Rate, ReadsAndRefuses) {
  EXPECT_EQ(Rate::parse("0.5")->burst, 1);
  EXPECT_EQ(Rate::parse("100")->burst, 100);
  EXPECT_EQ(Rate::parse("100/500")->burst, 500);
  for (const char* text : {"", "0", "-1", "x", "1/", "1/0.5", "1/x", "1e3", "nan", "inf", "1 "}) {
    EXPECT_FALSE(Rate::parse(text)) << text;
  }
  RateLimits limits;
  for (const char* text : {"", "read", "reads=1", "read=", "read=0", "=1"}) {
    EXPECT_FALSE(limits.add_class(text)) << text;
  }
  EXPECT_FALSE(limits.any());
  EXPECT_TRUE(limits.add_class("read=1"));
  EXPECT_FALSE(limits.add_class("read=2"));
  EXPECT_TRUE(limits.any());
}

// --- traces -------------------------------------------------------------------------------------

constexpr const char* kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContext, ReadsWhatTheStandardSays) {
  const auto context = TraceContext::parse(kParent);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->text(), kParent);
  EXPECT_TRUE(context->sampled);
  const std::string text = kParent;
  EXPECT_TRUE(TraceContext::parse("01" + text.substr(2) + "-more"));
  EXPECT_TRUE(TraceContext::parse(text.substr(0, 53) + "03"));
  EXPECT_FALSE(TraceContext::parse(text.substr(0, 53) + "02")->sampled);
  for (const std::string& bad : std::initializer_list<std::string>{
           std::string(), text + "-more", text + "x", "ff" + text.substr(2), text.substr(1),
           "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
           "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", "0x" + text.substr(2)}) {
    EXPECT_FALSE(TraceContext::parse(bad)) << bad;
  }
}

TEST_F(CallersTest, WithoutAQueueTheTraceOnlyHasAName) {
  directory_.add_interceptor(std::make_unique<TraceInterceptor>());
  Call call = tcp_call();
  EXPECT_EQ(run(call), Code::kOk);
  EXPECT_EQ(call.trace_id, "");
  call.metadata.request = {{"traceparent", kParent}};
  EXPECT_EQ(run(call), Code::kOk);
  EXPECT_EQ(call.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(call.metadata.get("traceparent"), kParent);
}

TEST_F(CallersTest, ACallIsAChildOfItsCallersSpanAndTheParentOfOnwardCalls) {
  directory_.add_interceptor(
      std::make_unique<TraceInterceptor>(spans_, 0.0, [this] { return wall(); }, 7));
  Call call = tcp_call();
  call.metadata.request = {{"x", "y"}, {"traceparent", kParent}};
  EXPECT_EQ(run(call), Code::kOk);
  const auto onward = TraceContext::parse(service_.metadata.get("traceparent"));
  ASSERT_TRUE(onward);
  const auto spans = spans_.take();
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(spans[0].context.trace_text(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(spans[0].parent, TraceContext::parse(kParent)->span);
  EXPECT_EQ(spans[0].context.span, onward->span);
  EXPECT_NE(spans[0].context.span, *spans[0].parent);
  EXPECT_EQ(spans[0].started_ns, wall());
  // Not sampled by the caller; begun here with a share of none: neither is exported.
  call.metadata.request = {{"traceparent", std::string(kParent).substr(0, 53) + "00"}};
  EXPECT_EQ(run(call), Code::kOk);
  Call fresh = tcp_call();
  EXPECT_EQ(run(fresh), Code::kOk);
  EXPECT_EQ(fresh.trace_id.size(), 32U);
  EXPECT_FALSE(TraceContext::parse(fresh.metadata.get("traceparent"))->sampled);
  EXPECT_TRUE(spans_.empty());
}

TEST_F(CallersTest, AShareOfTheTracesThatBeginHereIsSampled) {
  directory_.add_interceptor(
      std::make_unique<TraceInterceptor>(spans_, 0.25, [this] { return wall(); }, 7));
  for (int i = 0; i < 1000; ++i) {
    Call call = tcp_call();
    EXPECT_EQ(run(call), Code::kOk);
  }
  EXPECT_NEAR(static_cast<double>(spans_.size()), 250, 60);
}

TEST_F(CallersTest, AFullQueueDropsAndCounts) {
  directory_.add_interceptor(
      std::make_unique<TraceInterceptor>(spans_, 1.0, [this] { return wall(); }, 7));
  for (std::size_t i = 0; i < access_limits::kSpansWaiting + 5; ++i) {
    Call call = tcp_call();
    EXPECT_EQ(run(call), Code::kOk);
  }
  EXPECT_EQ(spans_.size(), access_limits::kSpansWaiting);
  EXPECT_EQ(spans_.dropped(), 5U);
  EXPECT_EQ(spans_.take().size(), access_limits::kSpansPerExport);
}

TEST_F(CallersTest, OtlpSaysWhoAskedForWhatAndHowItEnded) {
  directory_.add_interceptor(
      std::make_unique<TraceInterceptor>(spans_, 1.0, [this] { return wall(); }, 7));
  add_authentication(JwkSet::parse(KeyPair("ES256").jwk()).value());
  Call call = token_call("Bearer secret-value");
  call.metadata.request.emplace_back("traceparent", kParent);
  EXPECT_EQ(run(call), Code::kUnauthenticated);
  const auto spans = spans_.take();
  const std::string json = otlp_json({"io-engine", "1", "node \"a\""}, spans);
  for (const char* part :
       {R"("traceId":"0af7651916cd43dd8448eb211c80319c")", R"("parentSpanId":"b7ad6b7169203331")",
        R"("name":"capstan.node.v1.NodeRpc/GetConfig","kind":2)", R"("stringValue":"node \"a\"")",
        R"("startTimeUnixNano":"1000000000000")",
        R"("status":{"code":2,"message":"UNAUTHENTICATED"})",
        R"({"key":"network.peer.address","value":{"stringValue":"10.0.0.1:5000"}})"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << "\n" << json;
  }
  EXPECT_EQ(json.find("secret-value"), std::string::npos);
}

// --- together -----------------------------------------------------------------------------------

std::uint64_t no_clock(const void*) {
  return 1'000'000'000;
}

TEST_F(CallersTest, TheChainLogsAndCountsEveryRefusalOnceAndRepeatsNoSecret) {
  const KeyPair pair("ES256");
  core::LineLog records;
  Acl acl({AclTable::parse(R"([{"address":"10.0.0.9","whitelist":["GET /config"]}])").value()});
  directory_.add_interceptor(std::make_unique<LogInterceptor>(
      core::Log(records, core::LogLevel::kDebug, no_clock, nullptr)));
  directory_.add_interceptor(std::make_unique<TraceInterceptor>());
  directory_.add_interceptor(std::make_unique<MetricsInterceptor>(metrics_));
  add_authentication(JwkSet::parse(pair.jwk()).value());
  directory_.add_interceptor(std::make_unique<AccessInterceptor>(std::vector<AccessRule>(), &acl));
  directory_.add_interceptor(std::make_unique<RateLimitInterceptor>(limits_of("1/1")));
  const std::string good = pair.sign(R"({"sub":"a"})"), bad = KeyPair("ES256").sign("{}");
  Call refused = token_call("Bearer " + bad), denied = token_call("Bearer " + good),
       first = token_call("Bearer " + good);
  EXPECT_EQ(run(refused), Code::kUnauthenticated);
  EXPECT_EQ(run(denied, kVersion), Code::kPermissionDenied);
  EXPECT_EQ(run(first), Code::kOk);
  EXPECT_EQ(run(first), Code::kResourceExhausted);
  EXPECT_EQ(records.lines.size(), 4U);
  EXPECT_EQ(service_.calls, 1);
  for (const std::string& secret :
       {good, bad, good.substr(good.rfind('.') + 1), good.substr(0, good.find('.'))}) {
    EXPECT_EQ(records.count("", secret), 0) << secret;
  }
  const std::string text = metrics_.prometheus_text();
  for (const char* line :
       {"storage_rpc_responses_total{endpoint=\"/config\",method=\"GET\",wire=\"grpc\","
        "code=\"UNAUTHENTICATED\"} 1",
        "storage_rpc_responses_total{endpoint=\"/version\",method=\"GET\",wire=\"grpc\","
        "code=\"PERMISSION_DENIED\"} 1",
        "storage_rpc_responses_total{endpoint=\"/config\",method=\"GET\",wire=\"grpc\","
        "code=\"RESOURCE_EXHAUSTED\"} 1",
        "storage_rpc_calls_count{endpoint=\"/config\",method=\"GET\",wire=\"grpc\"} 3",
        "# TYPE storage_rpc_calls summary", "storage_rpc_inflight{wire=\"grpc\"} 0"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

}  // namespace
}  // namespace capstan::rpc
