// Why this file exists: what the tests of services share: a whole node without wires (engine, every
// service, directory) on a simulated machine, and plain calls of its operations. Calls go through
// the Directory, so what a test sees is what a wire sees.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/log_sinks.h"
#include "core/sim_env.h"
#include "services/absent.h"
#include "services/bdev_v1.h"
#include "services/datastore.h"
#include "services/health.h"
#include "services/host_v1.h"
#include "services/image.h"
#include "services/mayastor_v0.h"
#include "services/monitor_service.h"
#include "services/node.h"
#include "services/pool_v1.h"
#include "services/reflection.h"
#include "services/replica_v1.h"
#include "services/rest_v0.h"
#include "services/spdk.h"
#include "services/stats_v1.h"

namespace capstan::services {

// The requests of a streaming call, then its regular end or a break.
template <class Request>
class Requests final : public rpc::MessageSource {
 public:
  explicit Requests(std::vector<Request> requests, bool broken = false)
      : requests_(requests.begin(), requests.end()), broken_(broken) {}
  core::Task<Result<bool>> next(rpc::Message& into) override {
    if (requests_.empty() && broken_) co_return fail(Code::kUnavailable, "the peer left");
    if (requests_.empty()) co_return false;
    into.CopyFrom(requests_.front());
    requests_.pop_front();
    co_return true;
  }

 private:
  std::deque<Request> requests_;
  bool broken_;
};

// Keeps the answers; fires `after` once `count` have arrived, as a client that leaves.
template <class Response>
class Answers final : public rpc::MessageSink {
 public:
  std::vector<Response> messages;
  core::CancelSource* after = nullptr;
  std::size_t count = 0;
  core::Task<Result<void>> send(const rpc::Message& message) override {
    messages.push_back(static_cast<const Response&>(message));
    if (after && messages.size() == count) after->fire();
    co_return {};
  }
};

inline std::uint64_t no_clock(const void*) {
  return 0;
}

// One life of the node: destroying it without stop() is a crash.
struct TestNode {
  explicit TestNode(core::Env& env, std::string state_directory = "/state")
      : log(sink, core::LogLevel::kTrace, no_clock, nullptr),
        reactors(env, metrics),
        engine(env, log, std::move(state_directory)),
        pools(engine),
        replicas(engine),
        devices(engine),
        host(info, engine),
        mayastor_v0(engine, info, host),
        devices_v0(devices),
        stats(engine),
        rest_v0(engine, info, pools, host, directory, allowed),
        monitors(engine),
        node(engine, directory, info, metrics, reactors, {}),
        images(engine),
        stores(engine, metrics),
        health(engine, directory),
        reflection(directory),
        spdk(engine, log, info, directory, allowed,
             {[this](int signal) {
                signals.push_back(signal);
                return Result<void>();
              },
              {}}) {
    info.node_name = "n1";
    info.version = "v1.2.3";
    EXPECT_TRUE(bind_pool_v1(directory, pools));
    EXPECT_TRUE(bind_replica_v1(directory, replicas));
    EXPECT_TRUE(bind_bdev_v1(directory, devices));
    EXPECT_TRUE(bind_host_v1(directory, host));
    EXPECT_TRUE(bind_stats_v1(directory, stats));
    EXPECT_TRUE(bind_rest_v0(directory, rest_v0));
    EXPECT_TRUE(bind_monitor(directory, monitors));
    EXPECT_TRUE(bind_mayastor_v0(directory, mayastor_v0, devices_v0));
    EXPECT_TRUE(bind_node(directory, node));
    EXPECT_TRUE(bind_image(directory, images));
    EXPECT_TRUE(bind_datastore(directory, stores));
    EXPECT_TRUE(bind_health(directory, health));
    EXPECT_TRUE(bind_reflection(directory, reflection));
    EXPECT_TRUE(spdk.bind(directory, true, true));
    EXPECT_TRUE(declare_absent(directory, true, true));
    EXPECT_TRUE(directory.check_complete());
  }

  core::EventLog sink;
  core::Log log;
  NodeInfo info;
  core::Metrics metrics;
  core::ReactorMetrics reactors;
  Engine engine;
  rpc::Directory directory;
  PoolServiceV1 pools;
  ReplicaServiceV1 replicas;
  BdevServiceV1 devices;
  HostServiceV1 host;
  MayastorServiceV0 mayastor_v0;
  BdevServiceV0 devices_v0;
  StatsServiceV1 stats;
  RestServiceV0 rest_v0;
  MonitorService monitors;
  NodeService node;
  ImageService images;
  DataStoreService stores;
  HealthService health;
  ReflectionService reflection;
  std::vector<int> signals;  // that spdk_kill_instance would have sent
  std::set<std::string> allowed;
  SpdkServices spdk;
};

class ServicesTest : public ::testing::Test {
 protected:
  static core::Task<void> keep(core::Task<Result<void>> task, Result<void>* into) {
    *into = co_await std::move(task);
  }
  Result<void> run(core::Task<Result<void>> task) {
    Result<void> result = fail(Code::kInternal, "did not run");
    world_.run(keep(std::move(task), &result));
    return result;
  }
  void start(bool restore = true) {
    node_ = std::make_unique<TestNode>(env_);
    const auto started = run(node_->engine.start(restore));
    ASSERT_TRUE(started) << started.error().text();
  }
  void stop() {
    world_.run(node_->engine.stop());
    node_.reset();
  }
  void TearDown() override {
    if (node_ && env_.powered()) stop();
  }

  // The answer of a unary operation; what the handler put into the call is in call_ afterwards.
  template <class Response, class Request>
  Result<Response> call(const std::string& operation, const Request& request) {
    const auto* entry = node_->directory.find(operation);
    if (!entry) return std::unexpected(node_->directory.why_missing(operation));
    auto metadata = std::move(call_.metadata.request);
    call_ = rpc::Call();
    call_.metadata.request = std::move(metadata);
    Response response;
    auto result = run(node_->directory.run(*entry, call_, request, response));
    if (!result) return std::unexpected(std::move(result).error());
    return response;
  }
  template <class Response, class Request>
  Result<std::vector<Response>> stream(const std::string& operation, std::vector<Request> requests,
                                       bool broken = false) {
    const auto* entry = node_->directory.find(operation);
    if (!entry) return std::unexpected(node_->directory.why_missing(operation));
    Requests<Request> source(std::move(requests), broken);
    Answers<Response> sink;
    call_ = rpc::Call();
    auto result = run(node_->directory.run(*entry, call_, source, sink));
    if (!result) return std::unexpected(std::move(result).error());
    return std::move(sink.messages);
  }

  // --- shorthand for the calls most tests begin with ---
  using Pool = mayastor::v1::Pool;
  using Replica = mayastor::v1::Replica;
  Result<Pool> create_pool(const std::string& name, const std::string& disk) {
    mayastor::v1::CreatePoolRequest request;
    request.set_name(name);
    request.add_disks(disk);
    return call<Pool>("mayastor.v1.PoolRpc/CreatePool", request);
  }
  Result<Replica> create_replica(const std::string& name, const std::string& pool,
                                 std::uint64_t size, bool thin) {
    mayastor::v1::CreateReplicaRequest request;
    request.set_name(name);
    request.set_uuid(Uuid::from_name(name).text());
    request.set_pooluuid(pool);
    request.set_size(size);
    request.set_thin(thin);
    return call<Replica>("mayastor.v1.ReplicaRpc/CreateReplica", request);
  }
  std::vector<Pool> list_pools() {
    auto listed = call<mayastor::v1::ListPoolsResponse>("mayastor.v1.PoolRpc/ListPools",
                                                        mayastor::v1::ListPoolOptions());
    EXPECT_TRUE(listed);
    return {listed->pools().begin(), listed->pools().end()};
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  std::unique_ptr<TestNode> node_;
  rpc::Call call_;
};

template <class T>
Code code_of(const Result<T>& result) {
  return result ? Code::kOk : result.error().code;
}
template <class T>
std::string text_of(const Result<T>& result) {
  return result ? "OK" : result.error().text();
}

}  // namespace capstan::services
