// Why this file exists: the way of spans to a collector, in the simulator: one request for many
// calls, a collector that refuses, hangs, is away and comes back, and stopping in any of these.
#include "apps/serving/span_exporter.h"

#include <gtest/gtest.h>

#include "core/scope.h"
#include "core/sim_env.h"
#include "node/node.pb.h"
#include "rpc/access_limits.h"
#include "rpc/operation.h"

namespace capstan::apps {
namespace {

using core::Task;

class NoLog final : public core::LogSink {
 public:
  void write(const core::LogRecord& record) override {
    warnings += record.event == "export_failed";
  }
  int warnings = 0;
};

struct World {
  core::SimWorld world{1};
  core::SimEnv node{world}, collector{world};
  NoLog sink;
  core::Log log{sink, core::LogLevel::kWarn, [](const void*) -> std::uint64_t { return 0; },
                nullptr};
  rpc::SpanQueue queue;
  rpc::Operation operation = *rpc::Operation::from(
      *node::v1::Config::descriptor()->file()->FindServiceByName("NodeRpc")->method(0));
  TraceEndpoint endpoint{core::Address::tcp(collector.address(), 4318), "collector", "/v1/traces"};
  SpanExporter exporter{node, log, endpoint, {"io-engine", "1", "n"}, queue};
  std::string answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
  bool hangs = false;
  std::vector<std::string> requests;

  void push(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      rpc::Span span;
      span.operation = &operation;
      span.wire = "grpc";
      queue.push(std::move(span));
    }
  }
};

// A collector that reads a request in full and answers it, `count` times.
Task<void> collect(World* world, int count) {
  auto listener = world->collector.network().listen(world->endpoint.address);
  EXPECT_TRUE(listener);
  while (listener && count-- > 0) {
    auto stream = co_await (*listener)->accept();
    if (!stream) co_return;
    std::string got;
    std::array<std::uint8_t, 512> buffer;
    std::size_t whole = std::string::npos;
    while (got.size() < whole) {
      const auto part = co_await (*stream)->read(buffer);
      if (!part || *part == 0) break;
      got.append(as_text(ByteView(buffer).first(*part)));
      const auto head = got.find("\r\n\r\n");
      if (whole != std::string::npos || head == std::string::npos) continue;
      const auto length = got.find("Content-Length: ");
      EXPECT_NE(length, std::string::npos);
      whole = head + 4 + std::stoul(got.substr(length + 16));
    }
    world->requests.push_back(std::move(got));
    if (world->hangs) {
      (void)(co_await (*stream)->read(buffer)).has_value();  // until the node gives up
    } else {
      (void)(co_await (*stream)->write(as_bytes(world->answer))).has_value();
    }
  }
}

Task<void> run_for(World* world, core::Nanos duration) {
  core::Scope scope;
  scope.spawn(world->exporter.run());
  co_await world->world.reactor().delay(duration);
  world->exporter.stop();
  co_await scope.join();
}
Task<void> with_collector(World* world, int requests, core::Nanos duration) {
  core::Scope scope;
  scope.spawn(collect(world, requests));
  co_await run_for(world, duration);
  co_await scope.join();
}

TEST(SpanExporter, SendsManyCallsInOneRequest) {
  World world;
  world.push(100);
  world.world.run(with_collector(&world, 1, 5 * core::kSecond));
  ASSERT_EQ(world.requests.size(), 1U);
  EXPECT_TRUE(world.requests[0].starts_with("POST /v1/traces HTTP/1.1\r\nHost: collector\r\n"));
  EXPECT_NE(world.requests[0].find("\"resourceSpans\""), std::string::npos);
  EXPECT_EQ(world.queue.exported(), 100U);
  EXPECT_EQ(world.queue.dropped(), 0U);
}

TEST(SpanExporter, ALargeBacklogLeavesInBatches) {
  World world;
  world.push(2 * rpc::access_limits::kSpansPerExport + 1);
  world.world.run(with_collector(&world, 3, 10 * core::kSecond));
  EXPECT_EQ(world.requests.size(), 3U);
  EXPECT_TRUE(world.queue.empty());
}

TEST(SpanExporter, WhatIsLeftAtTheEndIsSentOnceMore) {
  World world;
  world.push(3);
  world.world.run(with_collector(&world, 1, core::kMillisecond));
  EXPECT_EQ(world.queue.exported(), 3U);
}

TEST(SpanExporter, ACollectorThatRefusesOrHangsCostsTheBatch) {
  for (const bool hangs : {false, true}) {
    World world;
    world.hangs = hangs;
    world.answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
    world.push(7);
    world.world.run(with_collector(&world, 1, 30 * core::kSecond));
    EXPECT_EQ(world.queue.exported(), 0U);
    EXPECT_EQ(world.queue.dropped(), 7U);
    EXPECT_EQ(world.sink.warnings, 1);
  }
}

TEST(SpanExporter, ACollectorThatIsAwayKeepsNobodyFromStopping) {
  World world;
  world.push(7);
  world.world.run(run_for(&world, 5 * core::kSecond));
  EXPECT_EQ(world.queue.dropped(), 7U);
  World idle;  // and with nothing to send
  idle.world.run(run_for(&idle, core::kSecond));
  EXPECT_EQ(idle.queue.exported() + idle.queue.dropped(), 0U);
}

}  // namespace
}  // namespace capstan::apps
