// Why this file exists: sizes change while a pool is in use, and nothing else may: volumes grow and
// shrink over every border of the format, the pool grows with its device, requests in flight end,
// every error leaves everything as it was, and space is counted exactly after every step.
#include <algorithm>
#include <random>

#include "core/scope.h"
#include "storage/device/error_device.h"
#include "storage/device/file_device.h"
#include "storage/pool/load.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

constexpr std::uint32_t kMiB = 1U << 20;
constexpr std::uint32_t kSmall = 4096;  // a cluster that makes groups of 2 MiB

class Resize : public PoolTest {
 protected:
  Result<void> resize(Pool& pool, const std::string& name, std::uint64_t size) {
    return run(pool.resize_replica(pool.find(std::string_view(name))->uuid(), size));
  }
  // A device on which everything that nobody zeroed is visible.
  std::shared_ptr<MemoryDevice> dirty_memory(std::uint64_t bytes) {
    auto device = memory(bytes);
    for (std::uint64_t at = kMiB; at < bytes; at += kMiB) write(*device, at, Bytes(kMiB, 0xDB));
    return device;
  }
  // With clusters of a page, which leave no room for one metadata page each.
  std::unique_ptr<Pool> must_create_small(std::shared_ptr<Device> device) {
    auto pool = run(Pool::create(env_, std::move(device), "p0", Uuid{},
                                 {.cluster_size_bytes = kSmall, .md_resv_percent = 10}));
    EXPECT_TRUE(pool) << pool.error().text();
    return pool ? std::move(*pool) : nullptr;
  }
  void expect_zero(Device& device, std::uint64_t offset, std::size_t length) {
    EXPECT_TRUE(all_zero(read_all(device, offset, length))) << offset;
  }
};

TEST_F(Resize, ThinAndThickOverTheBordersOfExtentPages) {
  for (const bool thin : {true, false}) {
    SCOPED_TRACE(thin ? "thin" : "thick");
    auto pool = must_create_small(dirty_memory(16 * kMiB));
    auto replica = must_add(*pool, "r", 3 * kSmall, thin);
    auto other = must_add(*pool, "other", kSmall, true);
    write(*other, 0, pattern(kSmall, 9));
    Bytes model = pattern(3 * kSmall, 1);
    write(*replica, 0, model);
    for (const std::uint64_t clusters :
         {4, 512, 3, 511, 512, 513, 1024, 1025, 700, 512, 1, 1536, 513, 2, 1}) {
      SCOPED_TRACE(clusters);
      expect_ok(resize(*pool, "r", clusters * kSmall - 4095));  // rounded up
      EXPECT_EQ(replica->size_bytes(), clusters * kSmall);
      model.resize(clusters * kSmall);
      const std::size_t last = (clusters - 1) * kSmall;
      EXPECT_EQ(read_all(*replica, 0, model.size()), model);
      const Bytes bytes = pattern(kSmall, static_cast<std::uint8_t>(clusters));
      write(*replica, last, bytes);
      std::ranges::copy(bytes, model.begin() + static_cast<long>(last));
      EXPECT_EQ(code_of(replica->write(clusters * kSmall, Bytes(512))), Code::kOutOfRange);
      const std::uint64_t own = replica->usage().num_allocated_clusters;
      if (!thin) EXPECT_EQ(own, clusters);
      EXPECT_EQ(pool->info().used_bytes, (own + 1) * kSmall);
      EXPECT_EQ(pool->info().committed_bytes, (clusters + 1) * kSmall);
    }
    EXPECT_EQ(read_all(*other, 0, kSmall), pattern(kSmall, 9));
    expect_sound(std::move(pool));
  }
}

TEST_F(Resize, AVolumeOfRunsAndOneOfLongChains) {
  for (const char* file : {"f-rle.img.zst", "g-multipage.img.zst"}) {
    SCOPED_TRACE(file);
    auto pool = must_load(unpack(file, file[0] == 'f' ? 4096 : 512, 64ULL << 20));
    ASSERT_NE(pool, nullptr);
    for (auto& replica : pool->replicas()) {
      if (replica->read_only() || replica->size_bytes() == 0) continue;
      SCOPED_TRACE(replica->name());
      const std::uint64_t size = replica->size_bytes();
      const Bytes before = read_all(*replica, 0, size);
      expect_ok(run(pool->resize_replica(replica->uuid(), size + 1)));
      const auto added = static_cast<std::size_t>(replica->size_bytes() - size);
      EXPECT_EQ(added, pool->info().cluster_size_bytes);
      EXPECT_EQ(read_all(*replica, 0, size), before);
      if (!replica->is_clone()) expect_zero(*replica, size, added);
      write(*replica, size, pattern(4096, 3));
      expect_ok(run(pool->resize_replica(replica->uuid(), size)));
      EXPECT_EQ(read_all(*replica, 0, size), before);
    }
    expect_sound(std::move(pool));
  }
}

TEST_F(Resize, RefusalsChangeNothing) {
  auto pool = must_create(memory(16 * kMiB), kMiB);
  auto thin = must_add(*pool, "thin", 2 * kMiB, true);
  auto thick = must_add(*pool, "thick", 10 * kMiB, false);
  const PoolInfo before = pool->info();
  const auto error = [&](const char* name, std::uint64_t size) {
    auto result = resize(*pool, name, size);
    Error none;
    none.code = Code::kOk;
    return result ? none : result.error();
  };
  EXPECT_EQ(error("thin", 0).sys_errno, EINVAL);
  EXPECT_EQ(error("thin", 16 * kMiB).sys_errno, EOVERFLOW);
  EXPECT_EQ(error("thin", ~0ULL).sys_errno, EOVERFLOW);
  EXPECT_EQ(error("thick", 15 * kMiB + 1).sys_errno, EOVERFLOW);
  EXPECT_EQ(error("thick", 15 * kMiB).code, Code::kOk);  // all there is
  EXPECT_EQ(error("thick", 10 * kMiB).code, Code::kOk);
  write(*thin, 0, pattern(kMiB, 1));
  const Error full = error("thick", 15 * kMiB);
  EXPECT_EQ(full.sys_errno, ENOSPC);
  EXPECT_EQ(full.code, Code::kResourceExhausted);
  EXPECT_EQ(pool->info().used_bytes, before.used_bytes + kMiB);
  EXPECT_EQ(run(pool->resize_replica(Uuid::from_name("?"), kMiB)).error().sys_errno, ENOENT);
  expect_ok(thick->claim("a nexus"));
  EXPECT_EQ(error("thick", kMiB).sys_errno, EBUSY);
  EXPECT_EQ(error("thick", 11 * kMiB).code, Code::kOk);
  thick->release();
  EXPECT_EQ(thick->size_bytes(), 11U * kMiB);
  thin = thick = nullptr;
  expect_sound(std::move(pool));
  auto sample = must_load(unpack("c-snap-clones.img.zst", 4096, 64ULL << 20));
  const Error snapshot =
      run(sample->resize_replica(sample->find(std::string_view("s1"))->uuid(), 64ULL << 20))
          .error();
  EXPECT_EQ(snapshot.sys_errno, EPERM) << snapshot.text();
  expect_sound(std::move(sample));
}

TEST_F(Resize, OutOfMetadataPagesIsNoFault) {
  auto pool = must_create(memory(16 * kMiB), kMiB);  // 16 pages
  auto thick = must_add(*pool, "thick", kMiB, false);
  while (run(pool->create_replica({std::to_string(pool->replicas().size()), {}, kMiB, true, {}}))) {
  }
  ASSERT_EQ(pool->info().md_used_pages, 16U);
  const auto grown = resize(*pool, "thick", 2 * kMiB);
  ASSERT_FALSE(grown);
  EXPECT_EQ(grown.error().sys_errno, EMFILE);
  EXPECT_FALSE(pool->info().faulted);
  EXPECT_EQ(thick->size_bytes(), kMiB);
  EXPECT_EQ(pool->info().used_bytes, kMiB) << "the cluster was given back";
  thick = nullptr;
  expect_sound(std::move(pool));
}

core::Task<void> into(core::Task<Result<void>> task, std::optional<Result<void>>* result) {
  result->emplace(co_await std::move(task));
}
core::Task<void> shrink_under_a_write(Pool* pool, ErrorInjectingDevice* device,
                                      std::shared_ptr<Replica> replica) {
  const Bytes bytes = pattern(512, 1);
  Bytes read(512);
  std::optional<Result<void>> written, resized;
  core::Scope scope;
  device->inject({.kinds = {IoKind::kWrite}, .count = 1, .action = InjectedFault::Action::kHold});
  scope.spawn(into(replica->write(3 * kMiB, bytes), &written));
  co_await core::yield();
  EXPECT_EQ(device->held(), 1U);
  scope.spawn(into(pool->resize_replica(replica->uuid(), kMiB), &resized));
  for (int i = 0; i < 20; ++i) co_await core::yield();
  EXPECT_FALSE(written);
  EXPECT_FALSE(resized) << "the cluster of a request in flight was given away";
  EXPECT_EQ(replica->size_bytes(), kMiB) << "new requests see the end at once";
  EXPECT_FALSE(co_await replica->write(3 * kMiB, bytes));
  EXPECT_TRUE(co_await replica->read(0, read)) << "others go on";
  device->resume_held();
  co_await scope.join();
  EXPECT_TRUE(written && *written);
  EXPECT_TRUE(resized && *resized);
}

TEST_F(Resize, AShrinkWaitsForRequestsInFlight) {
  auto device = std::make_shared<ErrorInjectingDevice>(memory(16 * kMiB));
  auto pool = must_create(device, kMiB);
  auto replica = must_add(*pool, "r", 4 * kMiB, false);
  world_.run(shrink_under_a_write(pool.get(), device.get(), replica));
  EXPECT_EQ(pool->info().used_bytes, kMiB);
  replica = nullptr;
  device->clear();
  auto inner = device->inner();
  expect_ok(run(pool->unload()));
  expect_sound(must_load(inner));
}

TEST_F(Resize, ThePoolGrowsWithItsDevice) {
  auto device = memory(16 * kMiB);
  auto pool = must_create(device, kMiB);
  auto thin = must_add(*pool, "thin", 4 * kMiB, true);
  write(*thin, 0, pattern(kMiB, 1));
  EXPECT_FALSE(*run(pool->grow())) << "no larger";
  const std::uint64_t most = pool->info().growable_bytes;
  EXPECT_EQ(most, 4091ULL * 8 * kMiB);  // one page of the mask
  for (const std::uint64_t size : {17ULL * kMiB + 512, 100ULL * kMiB, 3000ULL * kMiB}) {
    SCOPED_TRACE(size);
    for (std::uint64_t at = 16ULL * kMiB;
         at < std::min<std::uint64_t>(size, 40ULL * kMiB) / kMiB * kMiB; at += kMiB)
      if (at + kMiB <= device->size_bytes()) write(*device, at, Bytes(kMiB, 0xDB));
    expect_ok(device->resize(size / 512));
    EXPECT_TRUE(*run(pool->grow()));
    EXPECT_FALSE(*run(pool->grow()));
    EXPECT_EQ(pool->info().capacity_bytes, (size / kMiB - 1) * kMiB);
    EXPECT_EQ(pool->info().used_bytes, kMiB);
  }
  auto thick = must_add(*pool, "thick", 2998ULL * kMiB, false);  // all of it
  EXPECT_EQ(read_all(*thick, 2997ULL * kMiB, kMiB), Bytes(kMiB));
  EXPECT_EQ(pool->info().used_bytes, pool->info().capacity_bytes);
  expect_ok(run(pool->destroy_replica(thick->uuid())));
  EXPECT_EQ(read_all(*thin, 0, kMiB), pattern(kMiB, 1));
  thin = thick = nullptr;
  pool.reset();  // killed: the size is on the disk
  device->release();
  pool = must_load(device);
  EXPECT_EQ(pool->info().capacity_bytes, 2999ULL * kMiB);
  expect_ok(device->resize((most + kMiB - 512) / 512));
  EXPECT_TRUE(*run(pool->grow()));
  EXPECT_EQ(pool->info().capacity_bytes, most - kMiB);
  expect_ok(device->resize((most + kMiB) / 512));
  const auto refused = run(pool->grow());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sys_errno, ENOSPC);
  expect_ok(run(pool->unload()));
  EXPECT_EQ(must_load(device)->info().capacity_bytes, most - kMiB);
}

// A torn write of the super block must leave the old or the new one, not a damaged pool.
TEST_F(Resize, WhereFourKilobytesTearAPoolGrowsByOneSector) {
  core::SimDiskOptions options{.size_bytes = 16 * kMiB, .physical_block_bytes = 512};
  auto& disk = env_.add_disk("/disk", options);
  auto device = *run(FileDevice::open(env_, {.path = "/disk"}));
  ASSERT_FALSE(device->atomic_4k());
  auto pool = must_create(device, 64U << 10);
  auto added = must_add(*pool, "r", kMiB, true);
  write(*added, 0, pattern(kMiB, 4));
  Bytes before(4096), after(4096);
  for (const std::uint64_t size : {20ULL * kMiB, 999ULL * kMiB}) {
    disk.peek(0, before);
    disk.grow(size);
    EXPECT_TRUE(*run(device->rescan()));
    EXPECT_TRUE(*run(pool->grow()));
    disk.peek(0, after);
    EXPECT_TRUE(std::equal(before.begin() + 512, before.end(), after.begin() + 512));
    EXPECT_NE(before, after);
    auto decoded = lvs::decode_super(after, size);
    ASSERT_TRUE(decoded) << decoded.error().text();
    EXPECT_FALSE(decoded->torn);
    EXPECT_EQ(decoded->super.size, size);
    EXPECT_EQ(decoded->super.clean, 0U);
  }
  EXPECT_EQ(read_all(*added, 0, kMiB), pattern(kMiB, 4));
  added = nullptr;
  expect_ok(run(pool->unload()));
  TemporaryFile raw;
  const auto image = disk.image();
  std::ofstream(raw.path(), std::ios::binary)
      .write(reinterpret_cast<const char*>(image.data()),
             static_cast<std::streamsize>(image.size()));
  EXPECT_EQ(
      run_command("python3 " + source_path("tools/lvs-dump.py") + " " + raw.path() + " check"), "");
}

// One operation after another fails once while sizes change. Afterwards, on the device below, each
// size is the old one or the new one, the common part of the content is there, and the pool is
// sound.
TEST_F(Resize, EveryFailingOperationLeavesOldOrNew) {
  struct Case {
    const char* name;
    bool thin;
    std::uint64_t from, to;  // clusters; 0: the pool grows
  };
  constexpr Case kCases[] = {{"thin grows", true, 600, 1030},
                             {"thick grows", false, 600, 1030},
                             {"thin shrinks", true, 1030, 600},
                             {"thick shrinks", false, 1030, 600},
                             {"pool grows", true, 600, 0}};
  for (const Case& test : kCases) {
    bool finished = false;
    for (std::uint64_t nth = 0; nth < 60 && !finished; ++nth) {
      SCOPED_TRACE(std::string(test.name) + ", failing " + std::to_string(nth));
      auto inner = dirty_memory(16 * kMiB);
      auto failing = std::make_shared<ErrorInjectingDevice>(inner);
      auto pool = must_create_small(failing);
      auto replica = must_add(*pool, "r", test.from * kSmall, test.thin);
      const Bytes content = pattern(test.from * kSmall, 5);
      write(*replica, 0, content);
      expect_ok(run(replica->flush()));
      if (test.to == 0) expect_ok(inner->resize(32 * kMiB / 512));
      const auto rule =
          failing->inject({.kinds = {IoKind::kWrite, IoKind::kFlush, IoKind::kWriteZeroes},
                           .skip = nth,
                           .count = 1});
      const bool done = test.to != 0 ? resize(*pool, "r", test.to * kSmall).has_value()
                                     : run(pool->grow()).has_value();
      finished = failing->fired(rule) == 0;
      EXPECT_EQ(done, finished);
      const std::uint64_t common = std::min(test.from, test.to == 0 ? test.from : test.to);
      EXPECT_EQ(read_all(*replica, 0, common * kSmall),
                Bytes(content.begin(), content.begin() + static_cast<long>(common * kSmall)));
      const std::uint64_t shown = replica->size_bytes() / kSmall;
      if (done)
        EXPECT_EQ(shown, test.to != 0 ? test.to : test.from);
      else  // the new one is shown when only the last flush failed
        EXPECT_TRUE(shown == test.from || (shown == test.to && pool->info().faulted)) << shown;
      failing->clear();
      replica = nullptr;
      if (pool->info().faulted || nth % 2 == 0)
        pool.reset();  // killed
      else
        expect_ok(run(pool->unload()));
      inner->release();
      pool = must_load(inner);
      ASSERT_NE(pool, nullptr);
      EXPECT_TRUE(pool->faulted().empty());
      replica = pool->find(std::string_view("r"));
      ASSERT_NE(replica, nullptr);
      const std::uint64_t size = replica->size_bytes() / kSmall;
      if (done && test.to != 0) EXPECT_EQ(size, test.to);
      if (!done) EXPECT_TRUE(size == test.from || size == test.to) << size;
      if (done && test.to == 0) EXPECT_GT(pool->info().capacity_bytes, 20ULL * kMiB);
      EXPECT_EQ(read_all(*replica, 0, common * kSmall),
                Bytes(content.begin(), content.begin() + static_cast<long>(common * kSmall)));
      if (size > test.from) expect_zero(*replica, test.from * kSmall, (size - test.from) * kSmall);
      EXPECT_EQ(pool->info().used_bytes, replica->usage().allocated_bytes);
      replica = nullptr;
      if (nth % 4 == 0)
        expect_sound(std::move(pool));
      else
        expect_ok(run(pool->unload()));
    }
    EXPECT_TRUE(finished) << test.name;
  }
}

// Two replicas against a plain array and a count of clusters, in steps of every alignment and size;
// what the pool says of its space is compared after every single one.
class SpaceModel : public PoolTest, public testing::WithParamInterface<bool> {
 protected:
  struct Model {
    std::shared_ptr<Replica> replica;
    bool thin = true;
    Bytes content;
    std::vector<bool> mapped;
  };
  static constexpr std::uint32_t kCluster = 16U << 10, kBlock = 512;

  void expect_space(Pool& pool, const std::vector<Model>& models) {
    std::uint64_t used = 0, committed = 0;
    for (const Model& model : models) {
      const auto own = static_cast<std::uint64_t>(std::ranges::count(model.mapped, true));
      const ReplicaUsage usage = model.replica->usage();
      ASSERT_EQ(usage.num_allocated_clusters, own);
      ASSERT_EQ(usage.capacity_bytes, model.content.size());
      ASSERT_EQ(usage.num_clusters, model.mapped.size());
      used += own * kCluster;
      committed += model.content.size();
    }
    ASSERT_EQ(pool.info().used_bytes, used);
    ASSERT_EQ(pool.info().committed_bytes, committed);
  }
  std::uint64_t missing(const Model& model, std::uint64_t at, std::uint64_t length) {
    std::uint64_t count = 0;
    for (std::uint64_t c = at / kCluster; length != 0 && c <= (at + length - 1) / kCluster; ++c)
      count += !model.mapped[c];
    return count;
  }
  void change(Pool& pool, Model& model, std::mt19937_64& random, std::uint8_t seed);
  void change_size(Pool& pool, Model& model, std::mt19937_64& random);
};

void SpaceModel::change(Pool& pool, Model& model, std::mt19937_64& random, std::uint8_t seed) {
  const std::uint64_t blocks = model.content.size() / kBlock;
  const std::uint64_t first = random() % blocks;
  const std::uint64_t most = random() % 3 == 0 ? blocks : 96;
  const std::uint64_t at =
      random() % 3 == 0 ? first * kBlock / kCluster * kCluster : first * kBlock;
  const std::uint64_t length = std::min(1 + random() % most, blocks - at / kBlock) * kBlock;
  const std::uint64_t end = at + length;
  const bool fits =
      missing(model, at, length) * kCluster <= pool.info().capacity_bytes - pool.info().used_bytes;
  const auto kind = random() % 4;
  const Bytes bytes = kind < 2 ? pattern(length, seed) : Bytes(length);
  Result<void> done;
  if (kind < 2)
    done = run(model.replica->write(at, bytes));
  else if (kind == 2)
    done = run(model.replica->write_zeroes(at, length));
  else
    done = run(model.replica->unmap(at, length));
  if (kind < 2 && !fits) {
    // Some of its clusters may have been written: whole ones or none.
    ASSERT_FALSE(done);
    ASSERT_EQ(done.error().sys_errno, ENOSPC);
    for (const auto& extent : *run(model.replica->allocated(0, model.content.size()))) {
      for (std::uint64_t c = 0; c < extent.length / kCluster; ++c)
        model.mapped[extent.offset / kCluster + c] = true;
    }
    Bytes now = read_all(*model.replica, 0, model.content.size());
    for (std::uint64_t i = 0; i < now.size(); ++i)
      ASSERT_TRUE(now[i] == model.content[i] || (i >= at && i < end && now[i] == bytes[i - at]));
    model.content = std::move(now);
    return;
  }
  ASSERT_TRUE(done) << done.error().text();
  std::ranges::copy(bytes, model.content.begin() + static_cast<long>(at));
  for (std::uint64_t c = at / kCluster; c * kCluster < end; ++c) {
    const bool whole = c * kCluster >= at && (c + 1) * kCluster <= end;
    if (kind < 2) model.mapped[c] = true;
    if (kind == 3 && whole && model.thin) model.mapped[c] = false;
  }
}

void SpaceModel::change_size(Pool& pool, Model& model, std::mt19937_64& random) {
  const std::uint64_t before = model.mapped.size(), clusters = 1 + random() % 40;
  const std::uint64_t free_clusters =
      (pool.info().capacity_bytes - pool.info().used_bytes) / kCluster;
  const bool fits = model.thin || clusters <= before || clusters - before <= free_clusters;
  const auto done = run(pool.resize_replica(model.replica->uuid(), clusters * kCluster));
  ASSERT_EQ(done.has_value(), fits);
  if (!fits) {
    ASSERT_EQ(done.error().sys_errno, ENOSPC);
    return;
  }
  model.content.resize(clusters * kCluster);
  model.mapped.resize(clusters, !model.thin);
}

TEST_P(SpaceModel, ContentAndSpaceAfterEveryStep) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    auto device = memory(kMiB + kMiB / 4);
    for (std::uint64_t at = kMiB / 2; at < device->size_bytes(); at += kMiB / 4)
      write(*device, at, Bytes(kMiB / 4, 0xDB));
    auto pool = must_create(device, kCluster);
    std::vector<Model> models(2);
    for (Model& model : models) {
      model.thin = GetParam() || &model == &models[0];
      model.replica =
          must_add(*pool, model.thin ? "thin" + std::to_string(&model - &models[0]) : "thick",
                   20ULL * kCluster, model.thin);
      model.content.resize(20ULL * kCluster);
      model.mapped.resize(20, !model.thin);
    }
    for (int step = 0; step < 150; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      Model& model = models[random() % 2];
      if (random() % 8 == 0)
        change_size(*pool, model, random);
      else
        change(*pool, model, random, static_cast<std::uint8_t>(step + 1));
      if (HasFatalFailure()) return;
      expect_space(*pool, models);
      if (HasFatalFailure()) return;
      if (step % 10 != 9) continue;
      for (Model& each : models)
        ASSERT_EQ(read_all(*each.replica, 0, each.content.size()), each.content);
    }
    for (Model& model : models) model.replica = nullptr;
    expect_sound(std::move(pool));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SpaceModel, testing::Bool(), [](const auto& info) {
  return info.param ? "two_thin" : "thin_and_thick";
});

}  // namespace
}  // namespace capstan::storage
