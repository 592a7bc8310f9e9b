// Why this file exists: each interceptor alone and all together, on virtual time, around a handler
// whose duration and answer the test chooses.
#include <gtest/gtest.h>

#include "core/scope.h"
#include "core/sim_env.h"
#include "node/node.pb.h"
#include "rpc/directory.h"
#include "rpc/interceptors/concurrency.h"
#include "rpc/interceptors/deadline.h"
#include "rpc/interceptors/log.h"
#include "rpc/interceptors/metrics.h"

namespace capstan::rpc {
namespace {

using node::v1::Config;
using node::v1::Event;
using node::v1::GetConfigRequest;
using node::v1::MonitorEventsRequest;

constexpr const char* kConfig = "capstan.node.v1.NodeRpc/GetConfig";
constexpr const char* kEvents = "capstan.node.v1.NodeRpc/MonitorEvents";

struct Service {
  core::Nanos duration = 0;
  bool heeds_token = true;
  Error error{Code::kOk, 0, {}, {}};
  int calls = 0;

  core::Task<Result<void>> work(Call& call) {
    ++calls;
    CO_TRY(co_await core::sleep_for(duration, heeds_token ? call.token : core::CancelToken()));
    if (error.code != Code::kOk) co_return std::unexpected(error);
    co_return Result<void>();
  }
  core::Task<Result<Config>> config(Call& call, const GetConfigRequest&) {
    CO_TRY(co_await work(call));
    co_return Config();
  }
  core::Task<Result<void>> events(Call& call, const MonitorEventsRequest&, Sink<Event>) {
    co_return co_await work(call);
  }
};

struct OneRequest final : MessageSource {
  core::Task<Result<bool>> next(Message&) override { co_return true; }
};
struct NoAnswers final : MessageSink {
  core::Task<Result<void>> send(const Message&) override { co_return Result<void>(); }
};

struct Records final : core::LogSink {
  std::vector<std::string> lines;
  void write(const core::LogRecord& record) override {
    static const char* const kLevels[] = {"trace", "debug", "info", "warn", "error"};
    std::string line = kLevels[static_cast<int>(record.level)];
    line += " ";
    line += record.event;
    for (std::size_t i = 0; i < record.field_count; ++i) {
      line += " ";
      line += record.fields[i].key;
      line += "=" + record.fields[i].value;
    }
    lines.push_back(line);
  }
};

class InterceptorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* service = Config::descriptor()->file()->FindServiceByName("NodeRpc");
    ASSERT_TRUE(directory_.declare(
        service, {"GetVersion", "GetHealth", "DescribeOperations", "GetMetrics"}));
    ASSERT_TRUE(bind_unary(directory_, kConfig, service_, &Service::config));
    ASSERT_TRUE(bind_server_stream(directory_, kEvents, service_, &Service::events));
  }
  core::SimReactor& reactor() { return world_.reactor(); }

  core::Task<void> call_config(Call& call, Result<void>& result) {
    const GetConfigRequest request;
    Config response;
    result = co_await directory_.run(*directory_.find(kConfig), call, request, response);
  }
  core::Task<void> call_events(Call& call, Result<void>& result) {
    OneRequest source;
    NoAnswers sink;
    result = co_await directory_.run(*directory_.find(kEvents), call, source, sink);
  }
  Code run_config(Call& call) {
    world_.run(call_config(call, result_));
    return result_ ? Code::kOk : result_.error().code;
  }
  // The simulated clock also moves a little with every event.
  void expect_elapsed(core::Nanos started, core::Nanos duration) {
    EXPECT_NEAR(static_cast<double>(reactor().read_clock() - started),
                static_cast<double>(duration), 1e4);
  }
  double metric(std::string_view name, std::string_view code = "") {
    double sum = 0;
    for (const auto& entry : metrics_.entries()) {
      if (entry.name != name) continue;
      bool matches = code.empty();
      for (const auto& [key, value] : entry.labels) matches |= key == "code" && value == code;
      if (matches) sum += entry.read();
    }
    return sum;
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  core::Metrics metrics_;  // outlives the directory with its interceptors
  Service service_;
  Directory directory_;
  Result<void> result_;
};

TEST_F(InterceptorsTest, DeadlineOfTheClientEndsTheCall) {
  directory_.add_interceptor(std::make_unique<DeadlineInterceptor>());
  for (const bool heeds : {true, false}) {
    service_.heeds_token = heeds;
    service_.duration = 10 * core::kSecond;
    const auto started = reactor().read_clock();
    Call call;
    call.deadline = started + core::kSecond;
    EXPECT_EQ(run_config(call), Code::kDeadlineExceeded);
    expect_elapsed(started, heeds ? core::kSecond : 10 * core::kSecond);
    // Whoever hears of it from the token says no more than that it was late.
    EXPECT_TRUE(result_.error().message.contains(kConfig)) << result_.error().message;
    EXPECT_TRUE(result_.error().message.contains("allow more time"));
    EXPECT_FALSE(call.token.fired());  // the caller's own token is back
  }
  service_.duration = core::kSecond / 2;
  Call call;
  call.deadline = reactor().read_clock() + core::kSecond;
  EXPECT_EQ(run_config(call), Code::kOk);
  service_.error = {Code::kNotFound, 0, "x", {}};
  call.deadline = reactor().read_clock() + core::kSecond;
  EXPECT_EQ(run_config(call), Code::kNotFound);
}

TEST_F(InterceptorsTest, AnExpiredDeadlineIsAnsweredAtOnce) {
  directory_.add_interceptor(std::make_unique<DeadlineInterceptor>());
  Call call;
  call.deadline = 1;
  EXPECT_EQ(run_config(call), Code::kDeadlineExceeded);
  EXPECT_EQ(service_.calls, 0);
  EXPECT_NE(result_.error().message.find(kConfig), std::string::npos);
}

TEST_F(InterceptorsTest, TheOperationsOwnDeadlineAppliesWhenTheClientNamesNone) {
  directory_.add_interceptor(std::make_unique<DeadlineInterceptor>());
  service_.duration = 10 * core::kSecond;
  Call without;
  EXPECT_EQ(run_config(without), Code::kOk);
  EXPECT_EQ(without.deadline, 0U);
  // The table is read-only for everybody but this test.
  const_cast<Operation*>(directory_.declared(kConfig))->default_deadline = core::kSecond;
  Call with;
  const auto started = reactor().read_clock();
  EXPECT_EQ(run_config(with), Code::kDeadlineExceeded);
  expect_elapsed(started, core::kSecond);
  Call patient;
  patient.deadline = reactor().read_clock() + 20 * core::kSecond;
  EXPECT_EQ(run_config(patient), Code::kOk);
}

TEST_F(InterceptorsTest, TheClientLeavingStillCancelsACallWithADeadline) {
  directory_.add_interceptor(std::make_unique<DeadlineInterceptor>());
  service_.duration = 10 * core::kSecond;
  core::CancelSource client;
  Call call;
  call.token = client.token();
  call.deadline = reactor().read_clock() + 5 * core::kSecond;
  reactor().after(core::kSecond, [&] { client.fire(); });
  EXPECT_EQ(run_config(call), Code::kCancelled);
}

core::Task<void> three_at_once(core::Scope& scope, core::Task<void> a, core::Task<void> b,
                               core::Task<void> c) {
  scope.spawn(std::move(a));
  scope.spawn(std::move(b));
  scope.spawn(std::move(c));
  co_await scope.join();
}

TEST_F(InterceptorsTest, ConcurrencyIsBoundedApartForLongLivedCalls) {
  auto owned = std::make_unique<ConcurrencyInterceptor>(1, 1);
  auto& limit = *owned;
  directory_.add_interceptor(std::move(owned));
  service_.duration = core::kSecond;
  Call calls[3];
  Result<void> results[3];
  core::Scope scope;
  world_.run(three_at_once(scope, call_config(calls[0], results[0]),
                           call_config(calls[1], results[1]), call_events(calls[2], results[2])));
  EXPECT_TRUE(results[0]);
  ASSERT_FALSE(results[1]);
  EXPECT_EQ(results[1].error().code, Code::kResourceExhausted);
  EXPECT_TRUE(results[2]);
  EXPECT_EQ(limit.in_flight(), 0U);
  EXPECT_EQ(limit.long_lived_in_flight(), 0U);
  core::Scope again;
  world_.run(three_at_once(again, call_events(calls[0], results[0]),
                           call_events(calls[1], results[1]), call_config(calls[2], results[2])));
  EXPECT_TRUE(results[0]);
  EXPECT_FALSE(results[1]);
  EXPECT_TRUE(results[2]);
}

// A gateway's feed and the streams of its clients, which it bounds itself.
TEST_F(InterceptorsTest, LongLivedCallsOfGatewaysAreNotBounded) {
  Acl acl;
  acl.add_trusted_listener("unix:/gateway");
  directory_.add_interceptor(std::make_unique<ConcurrencyInterceptor>(1, 1, &acl));
  service_.duration = core::kSecond;
  Call calls[3];
  for (Call& call : calls) call.peer.listener = "unix:/gateway";
  Result<void> results[3];
  core::Scope scope;
  world_.run(three_at_once(scope, call_events(calls[0], results[0]),
                           call_events(calls[1], results[1]), call_events(calls[2], results[2])));
  for (const auto& result : results) EXPECT_TRUE(result);
  core::Scope again;
  world_.run(three_at_once(again, call_config(calls[0], results[0]),
                           call_config(calls[1], results[1]), call_events(calls[2], results[2])));
  EXPECT_FALSE(results[1]) << "other calls are";
}

TEST_F(InterceptorsTest, MetricsCountByCodeAndTime) {
  directory_.add_interceptor(std::make_unique<MetricsInterceptor>(metrics_));
  service_.duration = 2 * core::kSecond;
  Call call;
  call.wire = "grpc";
  reactor().after(core::kSecond, [&] { EXPECT_EQ(metric("calls_in_flight"), 1.0); });
  EXPECT_EQ(run_config(call), Code::kOk);
  service_.duration = core::kSecond;
  service_.error = {Code::kNotFound, 0, "x", {}};
  EXPECT_EQ(run_config(call), Code::kNotFound);
  EXPECT_EQ(run_config(call), Code::kNotFound);
  EXPECT_EQ(metric("calls_started_total"), 3.0);
  EXPECT_EQ(metric("calls_in_flight"), 0.0);
  EXPECT_EQ(metric("calls_ended_total", "OK"), 1.0);
  EXPECT_EQ(metric("calls_ended_total", "NOT_FOUND"), 2.0);
  EXPECT_NEAR(metric("call_seconds_total"), 4.0, 1e-5);
  EXPECT_NEAR(metric("call_seconds_max"), 2.0, 1e-5);
  world_.run(call_events(call, result_));
  EXPECT_EQ(metric("calls_started_total"), 4.0);
  EXPECT_NEAR(metric("call_seconds_total"), 4.0, 1e-5);  // endless calls have no latency
  call.wire = "jsonrpc";
  (void)run_config(call);
  const std::string text = metrics_.prometheus_text();
  EXPECT_NE(text.find("capstan_calls_started_total"), std::string::npos);
  EXPECT_NE(text.find("wire=\"jsonrpc\""), std::string::npos);
}

std::uint64_t no_clock(const void*) {
  return 1'000'000'000;
}

TEST_F(InterceptorsTest, LogsOneRecordPerCall) {
  Records records;
  directory_.add_interceptor(std::make_unique<LogInterceptor>(
      core::Log(records, core::LogLevel::kDebug, no_clock, nullptr)));
  service_.duration = 3 * core::kMillisecond;
  Call call;
  call.wire = "grpc";
  call.peer.address = "1.2.3.4:5";
  call.trace_id = "abc";
  (void)run_config(call);
  service_.error = {Code::kNotFound, 0, "no \xFF 'TOPSECRET'", {"outer"}};
  (void)run_config(call);
  service_.error.code = Code::kInternal;
  (void)run_config(call);
  const std::string operation = std::string(" operation=") + kConfig;
  ASSERT_EQ(records.lines.size(), 3U);
  EXPECT_EQ(records.lines[0], "debug call" + operation +
                                  " wire=grpc peer=1.2.3.4:5 code=OK duration_us=3000 "
                                  "trace_id=abc");
  EXPECT_EQ(records.lines[1], "info call_failed" + operation +
                                  " wire=grpc peer=1.2.3.4:5 code=NOT_FOUND duration_us=3000 "
                                  "trace_id=abc error=outer: no \xEF\xBF\xBD '\xE2\x80\xA6'");
  EXPECT_TRUE(records.lines[2].starts_with("warn call_failed"));
}

TEST_F(InterceptorsTest, TogetherTheOuterOnesSeeWhatTheInnerOnesRefuse) {
  Records records;
  directory_.add_interceptor(std::make_unique<LogInterceptor>(
      core::Log(records, core::LogLevel::kDebug, no_clock, nullptr)));
  directory_.add_interceptor(std::make_unique<MetricsInterceptor>(metrics_));
  directory_.add_interceptor(std::make_unique<DeadlineInterceptor>());
  directory_.add_interceptor(std::make_unique<ConcurrencyInterceptor>(0, 0));
  Call call;
  EXPECT_EQ(run_config(call), Code::kResourceExhausted);
  call.deadline = 1;
  EXPECT_EQ(run_config(call), Code::kDeadlineExceeded);
  EXPECT_EQ(metric("calls_ended_total", "RESOURCE_EXHAUSTED"), 1.0);
  EXPECT_EQ(metric("calls_ended_total", "DEADLINE_EXCEEDED"), 1.0);
  EXPECT_EQ(records.lines.size(), 2U);
  EXPECT_EQ(service_.calls, 0);
}

}  // namespace
}  // namespace capstan::rpc
