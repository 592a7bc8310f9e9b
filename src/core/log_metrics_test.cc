// Why this file exists: logs are bounded and carry their fields; metrics die with their object.
#include <gtest/gtest.h>

#include <vector>

#include "base/limits.h"
#include "core/log.h"
#include "core/metrics.h"

namespace capstan::core {
namespace {

class RecordingSink final : public LogSink {
 public:
  void write(const LogRecord& record) override {
    std::string line(record.module);
    line += '/';
    line += record.event;
    for (std::size_t i = 0; i < record.field_count; ++i) {
      line += ' ';
      line += record.fields[i].key;
      line += '=' + record.fields[i].value;
    }
    lines.push_back(std::move(line));
  }
  std::vector<std::string> lines;
};

std::uint64_t read_clock(const void* context) {
  return *static_cast<const std::uint64_t*>(context);
}

TEST(Log, WritesFieldsOfItsLevelAndAbove) {
  RecordingSink sink;
  std::uint64_t now = 1;
  Log log(sink, LogLevel::kInfo, &read_clock, &now);
  log.debug("hidden");
  log.child("pool").warn("import_failed", {{"pool", "p1"}, {"errno", 5}, {"retry", true}});
  EXPECT_EQ(sink.lines, std::vector<std::string>{"pool/import_failed pool=p1 errno=5 retry=true"});
}

TEST(Log, OneEventCannotFloodAndTheLossIsReported) {
  RecordingSink sink;
  std::uint64_t now = 5'000'000'000;
  Log log(sink, LogLevel::kInfo, &read_clock, &now);
  for (unsigned i = 0; i < limits::kLogRecordsPerSecond + 7; ++i) log.info("noisy");
  log.info("other");
  EXPECT_EQ(sink.lines.size(), limits::kLogRecordsPerSecond + 1);
  now += 1'000'000'000;
  sink.lines.clear();
  log.info("noisy");
  ASSERT_EQ(sink.lines.size(), 2U);
  EXPECT_EQ(sink.lines[0], "node/log_records_suppressed event=noisy count=7");
}

TEST(Log, LevelAndFlagsAreSharedByAllRelatives) {
  RecordingSink sink;
  std::uint64_t now = 1;
  Log log(sink, LogLevel::kInfo, &read_clock, &now);
  Log pool = log.child("pool"), again = log.child("pool"), rpc = pool.child("rpc");
  rpc.set_level(LogLevel::kError);
  EXPECT_EQ(log.level(), LogLevel::kError);
  log.warn("hidden");
  EXPECT_TRUE(log.set_module("pool", true));
  EXPECT_FALSE(log.set_module("nobody", true));
  pool.trace("first");
  again.trace("second");
  rpc.warn("hidden");
  EXPECT_EQ(sink.lines, (std::vector<std::string>{"pool/first", "pool/second"}));
  EXPECT_EQ(log.modules(),
            (std::map<std::string, bool>{{"node", false}, {"pool", true}, {"rpc", false}}));
  EXPECT_FALSE(log.show_time(false)) << "this sink has no say in that";
}

TEST(Metrics, TextGroupsFamiliesAndEscapesLabels) {
  Metrics metrics;
  double depth = 3;
  const auto gauge = metrics.add(Metrics::Kind::kGauge, "queue_depth", "Items waiting.", {},
                                 [&] { return depth; });
  const auto a = metrics.add(Metrics::Kind::kCounter, "calls_total", "Calls.", {{"wire", "grpc"}},
                             [] { return 2.0; });
  const auto b = metrics.add(Metrics::Kind::kCounter, "calls_total", "Calls.",
                             {{"wire", "a\"b\\c\nd"}}, [] { return 1e10; });
  depth = 4;
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP capstan_calls_total Calls.\n# TYPE capstan_calls_total counter\n"
            "capstan_calls_total{wire=\"grpc\"} 2\n"
            "capstan_calls_total{wire=\"a\\\"b\\\\c\\nd\"} 10000000000\n"
            "# HELP capstan_queue_depth Items waiting.\n# TYPE capstan_queue_depth gauge\n"
            "capstan_queue_depth 4\n");
}

TEST(Metrics, ASummaryIsASumAndACountUnderOneType) {
  Metrics metrics;
  const auto calls = metrics.add_summary(
      "storage_rpc_calls", "Calls.", {{"wire", "grpc"}}, [] { return 1.5; }, [] { return 3.0; });
  EXPECT_EQ(metrics.prometheus_text(),
            "# HELP storage_rpc_calls Calls.\n# TYPE storage_rpc_calls summary\n"
            "storage_rpc_calls_sum{wire=\"grpc\"} 1.5\n"
            "storage_rpc_calls_count{wire=\"grpc\"} 3\n");
}

TEST(Metrics, AHandleUnregistersWhenItGoes) {
  Metrics metrics;
  {
    auto handle = metrics.add(Metrics::Kind::kGauge, "x", "X.", {}, [] { return 0.0; });
    const auto moved = std::move(handle);
    EXPECT_EQ(metrics.entries().size(), 1U);
  }
  EXPECT_TRUE(metrics.entries().empty());
}

}  // namespace
}  // namespace capstan::core
