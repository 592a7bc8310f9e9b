// Why this file exists: the pools of a pool file are opened side by side, those on volumes of
// others after these, and a disk that hangs holds up its own pool only.
#include "apps/io_engine/pool_file_open.h"

#include <gtest/gtest.h>

#include "core/sim_env.h"
#include "services/pool_ops.h"
#include "services/replica_ops.h"

namespace capstan::apps {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
constexpr core::Nanos kHanging = 60 * core::kSecond;

struct Kept final : core::LogSink {
  std::vector<std::string> events;
  void write(const core::LogRecord& record) override { events.emplace_back(record.event); }
};

std::uint64_t no_clock(const void*) {
  return 0;
}

class PoolFileOpenTest : public testing::Test {
 protected:
  void add_disk(const std::string& path, core::Nanos latency = core::kMillisecond) {
    env_.add_disk(path, {.size_bytes = 128 * kMiB, .min_latency = latency, .max_latency = latency});
  }
  static PoolFileEntry entry(const std::string& name, const std::string& disk) {
    return {.name = name, .disks = {disk}};
  }
  long logged(std::string_view event) {
    return std::ranges::count(sink_.events, std::string(event));
  }
  bool open(const std::string& name) { return engine_.find_pool(name) != nullptr; }

  static core::Task<void> hanging(PoolFileOpenTest* self) {
    EXPECT_TRUE(co_await self->engine_.start(false));
    const core::Nanos begun = core::Reactor::current()->now();
    co_await open_file_pools(
        self->engine_, self->log_,
        {entry("a", "/slow0"), entry("b", "/slow1"), entry("c", "/good"), entry("d", "/nowhere")});
    EXPECT_LT(core::Reactor::current()->now() - begun, 11 * core::kSecond) << "side by side";
    EXPECT_TRUE(self->open("c"));
    EXPECT_FALSE(self->open("a") || self->open("b") || self->open("d"));
    EXPECT_EQ(self->logged("pool_not_opened"), 3);
    EXPECT_EQ(self->logged("pool_file_incomplete"), 1);
    (void)co_await core::sleep_for(3600 * core::kSecond);
    EXPECT_TRUE(self->open("a") && self->open("b")) << "they came when their disks had answered";
    co_await self->engine_.stop();
  }

  static core::Task<void> on_a_volume(PoolFileOpenTest* self) {
    EXPECT_TRUE(co_await self->engine_.start(false));
    services::PoolArguments arguments;
    arguments.name = "z";
    arguments.disks = {"/good"};
    EXPECT_TRUE(co_await services::create_pool(self->engine_, std::move(arguments)));
    services::ReplicaArguments volume;
    volume.name = "r";
    volume.uuid = Uuid::from_name("r").text();
    volume.pool = "z";
    volume.size_bytes = 64 * kMiB;
    EXPECT_TRUE(co_await services::create_replica(self->engine_, std::move(volume)));
    EXPECT_TRUE(co_await services::export_pool(self->engine_, "z", std::nullopt));
    co_await open_file_pools(self->engine_, self->log_,
                             {entry("a", "bdev:///r"), entry("z", "/good")});
    EXPECT_TRUE(self->open("a") && self->open("z"));
    EXPECT_EQ(self->logged("pool_file_incomplete"), 0);
    co_await self->engine_.stop();
  }

  static core::Task<Result<void>> pool_with_volume(services::Engine* engine, std::string name,
                                                   std::string disk, std::string uuid) {
    services::PoolArguments arguments;
    arguments.name = name;
    arguments.disks = {std::move(disk)};
    CO_TRY(co_await services::create_pool(*engine, std::move(arguments)));
    services::ReplicaArguments volume;
    volume.name = "r";
    volume.uuid = Uuid::from_name(uuid).text();
    volume.pool = name;
    volume.size_bytes = 8 * kMiB;
    CO_TRY(co_await services::create_replica(*engine, std::move(volume)));
    co_return co_await services::export_pool(*engine, name, std::nullopt);
  }
  // Pool b is first in the file and has the slower disk.
  static core::Task<void> one_name(PoolFileOpenTest* self) {
    services::Engine& engine = self->engine_;
    EXPECT_TRUE(co_await engine.start(false));
    EXPECT_TRUE(co_await pool_with_volume(&engine, "b", "/slow", "one"));
    EXPECT_TRUE(co_await pool_with_volume(&engine, "a", "/fast", "two"));
    EXPECT_TRUE(co_await pool_with_volume(&engine, "c", "/good", "three"));
    co_await open_file_pools(engine, self->log_,
                             {entry("b", "/slow"), entry("a", "/fast"), entry("c", "/good")});
    EXPECT_TRUE(self->open("a") && self->open("b") && self->open("c"));
    const auto device = engine.devices().find("r");
    const auto* replica = dynamic_cast<const storage::Replica*>(device.get());
    EXPECT_EQ(replica ? replica->pool_name() : "", "b") << "not the pool whose disk is faster";
    co_await engine.stop();
  }

  core::SimWorld world_{1};
  core::SimEnv env_{world_};
  Kept sink_;
  core::Log log_{sink_, core::LogLevel::kTrace, no_clock, nullptr};
  services::Engine engine_{env_, log_, "/state"};
};

TEST_F(PoolFileOpenTest, ADiskThatHangsHoldsUpItsOwnPoolOnly) {
  add_disk("/slow0", kHanging);
  add_disk("/slow1", kHanging);
  add_disk("/good");
  world_.run(hanging(this));
}

TEST_F(PoolFileOpenTest, WhatLiesOnAVolumeComesAfterItsPool) {
  add_disk("/good");
  world_.run(on_a_volume(this));
}

TEST_F(PoolFileOpenTest, OfTwoVolumesWithOneNameTheFilesFirstHasIt) {
  add_disk("/slow", 100 * core::kMillisecond);
  add_disk("/fast");
  add_disk("/good", 10 * core::kMillisecond);
  world_.run(one_name(this));
}

}  // namespace
}  // namespace capstan::apps
