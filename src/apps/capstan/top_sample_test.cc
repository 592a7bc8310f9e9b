// Why this file exists: rates are what happened in between, whatever a node restarts or adds.
#include "apps/capstan/top_sample.h"

#include <gtest/gtest.h>

namespace capstan::apps {
namespace {

constexpr char kMetrics[] = R"(# HELP capstan_calls_started_total Calls that arrived
# TYPE capstan_calls_started_total counter
capstan_calls_started_total{operation="a.B/C",wire="grpc"} 10
capstan_calls_started_total{operation="a.B/D",wire="grpc"} 5.000000
capstan_calls_started_total{operation="a.B/C",wire="rest"} 1
capstan_calls_ended_total{operation="a.B/C",wire="grpc",code="OK"} 8
capstan_calls_ended_total{operation="a.B/C",wire="grpc",code="NOT_FOUND"} 2
capstan_call_seconds_total{operation="a.B/C",wire="grpc"} 0.5
capstan_calls_in_flight{operation="a.B/C",wire="grpc"} 3
capstan_other{wire="x"} 7
capstan_calls_started_total{operation="a.B/C",wire="odd"} many
capstan_calls_started_total{operation="a.B/C"
)";

TEST(Top, WiresAreReadFromMetrics) {
  const auto wires = read_wire_counters(kMetrics);
  ASSERT_EQ(wires.size(), 2U);
  const auto& grpc = wires.at("grpc");
  EXPECT_EQ(grpc.started, 15);
  EXPECT_EQ(grpc.ended, 10);
  EXPECT_EQ(grpc.failed, 2);
  EXPECT_EQ(grpc.seconds, 0.5);
  EXPECT_EQ(grpc.in_flight, 3);
  EXPECT_EQ(wires.at("rest").started, 1);
  EXPECT_TRUE(read_wire_counters("").empty());
}

TEST(Top, RatesAreOfTheTimeBetween) {
  Sample before, now;
  before.at = 100;
  now.at = 102;
  before.wires["grpc"] = {100, 100, 10, 1.0, 0};
  now.wires["grpc"] = {120, 110, 14, 1.5, 4};
  now.wires["drpc"] = {6, 6, 0, 0, 0};
  const auto rates = wire_rates(before, now);
  ASSERT_EQ(rates.size(), 2U);
  EXPECT_EQ(rates[0].wire, "drpc");
  EXPECT_EQ(rates[0].calls, 3);
  EXPECT_EQ(rates[1].calls, 10);
  EXPECT_EQ(rates[1].errors, 2);
  EXPECT_DOUBLE_EQ(rates[1].mean_seconds, 0.05);
  EXPECT_EQ(rates[1].in_flight, 4);
  EXPECT_TRUE(wire_rates(now, now).empty());
}

TEST(Top, CountersThatBeganAnewAreNotNegative) {
  Sample before, now;
  before.at = 1;
  now.at = 2;
  before.wires["grpc"] = {100, 100, 10, 1.0, 0};
  now.wires["grpc"] = {7, 7, 0, 0.1, 0};
  EXPECT_EQ(wire_rates(before, now).at(0).calls, 7);
  const std::map<std::string, IoCounters> old = {{"p", {.reads = 100, .bytes_read = 1000}}},
                                          fresh = {{"p", {.reads = 4, .bytes_read = 40}},
                                                   {"q", {.reads = 9}}};
  EXPECT_EQ(io_rate(old, fresh, "p", 2).reads, 2);
  EXPECT_EQ(io_rate(old, fresh, "p", 2).bytes_read, 20);
  EXPECT_EQ(io_rate(old, fresh, "q", 2).reads, 0) << "nobody knows since when it counts";
  EXPECT_EQ(io_rate(old, fresh, "gone", 2).reads, 0);
}

TEST(Top, LatenciesAreMeans) {
  mayastor::v1::IoStats stats;
  stats.set_num_read_ops(10);
  stats.set_read_latency_ticks(5000);
  stats.set_tick_rate(1000);
  const IoCounters io = io_counters(stats);
  EXPECT_EQ(io.read_seconds, 5);
  EXPECT_DOUBLE_EQ(io_rate({{"p", {}}}, {{"p", io}}, "p", 1).read_seconds, 0.5);
}

}  // namespace
}  // namespace capstan::apps
