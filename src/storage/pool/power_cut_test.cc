// Why this file exists: the promise of the pool, tried out. A short life of a pool (create, write,
// flush, unmap, attributes, destroy, unload) runs on a simulated disk whose power fails at the n-th
// I/O, for every n, with and without torn 4 KiB writes. After power-on the pool must load by
// itself; every acknowledged change must be there, every flushed byte must be right, unflushed
// bytes must be old or new, and no cluster or page may have two owners.
#include <algorithm>
#include <set>

#include "core/scope.h"
#include "storage/device/file_device.h"
#include "storage/pool/load.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

constexpr std::uint32_t kCluster = 64U << 10;
constexpr std::uint64_t kDiskBytes = 4U << 20;
constexpr std::size_t kUnit = 4096;

// What may be read from one replica: per 4 KiB the seeds of the contents that are possible. Seed 0
// stands for zeros.
struct Model {
  bool must_exist = false, may_exist = false;
  std::vector<std::set<std::uint8_t>> units;
  std::map<std::string, std::string> attributes;
};
Bytes content(std::uint8_t seed) {
  return seed == 0 ? Bytes(kUnit) : pattern(kUnit, seed);
}

struct DiskKind {
  std::uint32_t block, physical;
  std::uint64_t seed;
};

class Life {
 public:
  Life(core::SimEnv& env, std::map<std::string, Model>& models, bool& created)
      : env_(env), models_(models), created_(created) {}

  core::Task<Result<void>> live() {
    CO_TRY_SET(auto device, co_await FileDevice::open(env_, {.path = "/disk0"}));
    PoolOptions options;
    options.cluster_size_bytes = kCluster;
    CO_TRY_SET(pool_, co_await Pool::create(env_, device, "p0", Uuid{}, options));
    created_ = true;
    CO_TRY(co_await add("thin", 1U << 20, true));
    CO_TRY(co_await put("thin", 3, 1, 1));
    CO_TRY(co_await add("thick", 256U << 10, false));
    CO_TRY(co_await put("thick", 10, 12, 2));
    CO_TRY(co_await put("thin", 14, 40, 3));  // several clusters at once
    CO_TRY(co_await settle("thin"));
    CO_TRY(co_await put("thin", 3, 2, 4));
    CO_TRY(co_await set("thin", "entity_id", std::string("owner\0", 6)));
    CO_TRY(co_await forget("thin", 16, 16));  // a whole cluster back
    CO_TRY(co_await put("thin", 100, 5, 5));  // and perhaps taken again
    CO_TRY(co_await settle("thick"));
    CO_TRY(co_await set("thin", "big", std::string(3000, 'x')));
    CO_TRY(co_await set("thin", "bigger", std::string(3500, 'y')));
    CO_TRY(co_await crowd());
    CO_TRY(co_await remove("thick"));
    CO_TRY(co_await add("second", 512U << 10, true));
    CO_TRY(co_await put("second", 0, 128, 6));
    CO_TRY(co_await settle("second"));
    CO_TRY(co_await pool_->unload());
    CO_TRY_SET(pool_, co_await Pool::load(env_, device));
    CO_TRY(co_await put("second", 60, 9, 7));
    CO_TRY(co_await settle("second"));
    CO_TRY(co_await remove("thin"));
    CO_TRY(co_await put("second", 4, 1, 8));
    co_return co_await pool_->unload();
  }

 private:
  std::shared_ptr<Replica> replica(const char* name) { return pool_->find(std::string_view(name)); }

  core::Task<Result<void>> add(const char* name, std::uint64_t size, bool thin) {
    Model& model = models_[name];
    model.may_exist = true;
    model.units.assign(size / kUnit, {0});
    ReplicaOptions options{name, {}, size, thin, std::nullopt};
    CO_TRY(co_await pool_->create_replica(options));
    model.must_exist = true;
    co_return Result<void>{};
  }
  core::Task<Result<void>> remove(const char* name) {
    models_[name].must_exist = false;
    CO_TRY(co_await pool_->destroy_replica(replica(name)->uuid()));
    models_[name].may_exist = false;
    co_return Result<void>{};
  }
  core::Task<Result<void>> put(const char* name, std::size_t unit, std::size_t count,
                               std::uint8_t seed) {
    Bytes bytes;
    for (std::size_t i = 0; i < count; ++i) {
      const auto own = static_cast<std::uint8_t>(seed * 16 + i % 16);
      models_[name].units[unit + i].insert(own);
      latest_[name][unit + i] = own;
      const Bytes part = content(own);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
    co_return co_await replica(name)->write(unit * kUnit, bytes);
  }
  core::Task<Result<void>> forget(const char* name, std::size_t unit, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      models_[name].units[unit + i].insert(0);
      latest_[name][unit + i] = 0;
    }
    co_return co_await replica(name)->unmap(unit * kUnit, count * kUnit);
  }
  core::Task<Result<void>> settle(const char* name) {
    CO_TRY(co_await replica(name)->flush());
    for (const auto& [unit, seed] : latest_[name]) models_[name].units[unit] = {seed};
    co_return Result<void>{};
  }
  core::Task<Result<void>> set(const char* name, std::string key, std::string value) {
    models_[name].attributes.erase(key);  // old or new until it is acknowledged
    CO_TRY(co_await pool_->set_attribute(replica(name)->uuid(), key, value));
    models_[name].attributes[key] = value;
    co_return Result<void>{};
  }

  static core::Task<void> into(core::Task<Result<void>> task, Result<void>* result) {
    *result = co_await std::move(task);
  }
  // Pages that one change gives back while another looks for new ones.
  core::Task<Result<void>> crowd() {
    CO_TRY(co_await add("third", 256U << 10, true));
    CO_TRY(co_await add("fourth", 256U << 10, true));
    Result<void> results[3];
    core::Scope scope;
    scope.spawn(into(set("thin", "big", std::string(2900, 'z')), &results[0]));
    scope.spawn(into(put("third", 1, 1, 9), &results[1]));
    scope.spawn(into(put("fourth", 5, 1, 10), &results[2]));
    co_await scope.join();
    for (Result<void>& result : results) CO_TRY(std::move(result));
    co_return Result<void>{};
  }

  core::SimEnv& env_;
  std::map<std::string, Model>& models_;
  bool& created_;
  std::unique_ptr<Pool> pool_;
  std::map<std::string, std::map<std::size_t, std::uint8_t>> latest_;
};

class PowerCut : public testing::TestWithParam<DiskKind> {
 protected:
  template <class T>
  static T run(core::SimWorld& world, core::Task<T> task) {
    std::optional<T> out;
    world.run(keep(std::move(task), out));
    return std::move(*out);
  }

  static void expect_content(core::SimWorld& world, Replica& replica, const Model& model,
                             bool may_tear) {
    Bytes bytes(replica.size_bytes());
    auto read = run(world, replica.read(0, bytes));
    ASSERT_TRUE(read) << read.error().text();
    for (std::size_t unit = 0; unit < model.units.size(); ++unit) {
      // Where 4 KiB can tear, an unflushed overwrite may be a mixture: only settled ones count.
      if (may_tear && model.units[unit].size() > 1) continue;
      const Bytes found(bytes.begin() + unit * kUnit, bytes.begin() + (unit + 1) * kUnit);
      EXPECT_TRUE(std::ranges::any_of(model.units[unit],
                                      [&](std::uint8_t seed) { return found == content(seed); }))
          << replica.name() << " unit " << unit;
    }
    for (const auto& [key, value] : model.attributes) {
      auto attributes = replica.attributes();
      EXPECT_EQ(attributes[key], value) << key;
    }
  }

  // The next life begins: recover, compare, use, unload, and let the loader judge once more.
  static void expect_survived(core::SimWorld& world, core::SimEnv& env, bool created,
                              std::map<std::string, Model>& models, bool may_tear) {
    auto device = run(world, FileDevice::open(env, {.path = "/disk0"}));
    ASSERT_TRUE(device) << device.error().text();
    auto pool = run(world, Pool::load(env, *device));
    if (!pool && !created) {
      EXPECT_EQ(pool.error().code, Code::kNotFound) << pool.error().text();
      return;
    }
    ASSERT_TRUE(pool) << pool.error().text();
    for (const FaultedVolume& volume : (*pool)->faulted()) ADD_FAILURE() << volume.reason;
    std::uint64_t allocated = 0;
    for (auto& replica : (*pool)->replicas()) {
      ASSERT_TRUE(models[replica->name()].may_exist) << replica->name();
      allocated += replica->usage().allocated_bytes;
      expect_content(world, *replica, models[replica->name()], may_tear);
    }
    EXPECT_EQ((*pool)->info().used_bytes, allocated);
    for (const auto& [name, model] : models) {
      if (model.must_exist) EXPECT_NE((*pool)->find(std::string_view(name)), nullptr) << name;
    }
    auto added = run(world, (*pool)->create_replica({"after", {}, 2 * kCluster, false, {}}));
    ASSERT_TRUE(added) << added.error().text();
    Bytes bytes(2 * kCluster);
    ASSERT_TRUE(run(world, (*added)->read(0, bytes)));
    EXPECT_TRUE(all_zero(bytes)) << "somebody else's data";
    auto unloaded = run(world, (*pool)->unload());
    ASSERT_TRUE(unloaded) << unloaded.error().text();
    auto image = run(world, lvs::load_image(**device));
    ASSERT_TRUE(image) << image.error().text();
    EXPECT_FALSE(image->dirty);
    for (auto& [id, entry] : image->blobs) EXPECT_EQ(entry.fault, "");
  }

  // True when the life ended before the power did. The image is kept when there must be a pool.
  static bool one_life(const DiskKind& kind, std::uint64_t cut, TemporaryFile* keep_image) {
    core::SimWorld world(kind.seed * 100'000 + cut);
    core::SimEnv env(world);
    core::SimDiskOptions options{
        .size_bytes = kDiskBytes, .block_bytes = kind.block, .physical_block_bytes = kind.physical};
    options.deallocate = core::SimDiskOptions::Deallocate::kMixed;
    core::SimDisk& disk = env.add_disk("/disk0", options);
    // The disk is not new: what is not zeroed shows this.
    disk.poke(1U << 20, Bytes(kDiskBytes - (1U << 20), 0xDB));
    std::map<std::string, Model> models;
    bool created = false;
    Result<void> lived;
    {
      Life life(env, models, created);
      env.cut_power_after(cut);
      lived = run(world, life.live());
    }
    if (env.powered()) EXPECT_TRUE(lived) << lived.error().text();
    env.cut_power_after(0);
    env.power_cut();
    env.power_on();
    expect_survived(world, env, created, models, kind.physical < kUnit);
    if (keep_image && created) {
      const auto image = disk.image();
      std::ofstream(keep_image->path(), std::ios::binary)
          .write(reinterpret_cast<const char*>(image.data()),
                 static_cast<std::streamsize>(image.size()));
    }
    return lived.has_value();
  }
};

TEST_P(PowerCut, AtEveryIoLeavesASoundPool) {
  std::uint64_t cut = 1;
  for (bool ended = false; !ended && cut < 5000; ++cut) {
    SCOPED_TRACE("power fails at I/O " + std::to_string(cut));
    const bool judged = cut % 32 == 0;  // the independent reader takes its time
    TemporaryFile image;
    ended = one_life(GetParam(), cut, judged ? &image : nullptr);
    if (judged && std::ifstream(image.path()).peek() != EOF) {
      EXPECT_EQ(run_command("python3 " + source_path("tools/lvs-dump.py") + " " + image.path() +
                            " check"),
                "");
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(cut, 60U);
  EXPECT_LT(cut, 5000U);
}

// Copy-on-write: volumes above snapshots are written to, on an image that SPDK made, and the power
// fails at the n-th I/O. Snapshots never change; each 4 KiB of the others is what it was or what
// was written, and all of them are still there.
class ClonePowerCut : public PoolTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  static constexpr std::uint64_t kImageBytes = 64U << 20, kClone = 1U << 20;
  struct Write {
    const char* name;
    std::uint64_t at, length;
    std::uint8_t seed;  // 0: zeros
  };
  // c2 and vol copy from ancestors one and two steps below, c1 is zeroed over an ancestor.
  static constexpr Write kWrites[] = {{"c2", 8192, 12288, 1},
                                      {"vol", kClone - 4096, 8192, 2},
                                      {"c1", 0, kClone, 0},
                                      {"c1", 2 * kClone, 4096, 3},
                                      {"vol", 6 * kClone, kClone, 4}};
  using Contents = std::map<std::string, Bytes>;

  static core::Task<Result<void>> live(core::SimEnv* env, std::set<const Write*>* done) {
    CO_TRY_SET(auto device, co_await FileDevice::open(*env, {.path = "/disk0"}));
    CO_TRY_SET(auto pool, co_await Pool::load(*env, device));
    for (const Write& write : kWrites) {
      auto replica = pool->find(std::string_view(write.name));
      if (write.seed == 0)
        CO_TRY(co_await replica->write_zeroes(write.at, write.length));
      else
        CO_TRY(co_await replica->write(write.at, pattern(write.length, write.seed)));
      CO_TRY(co_await replica->flush());
      done->insert(&write);
    }
    co_return co_await pool->unload();
  }
  template <class T>
  static T run_in(core::SimWorld& world, core::Task<T> task) {
    std::optional<T> out;
    world.run(keep(std::move(task), out));
    return std::move(*out);
  }
  static void apply(Contents& contents, const Write& write) {
    const Bytes bytes = write.seed == 0 ? Bytes(write.length) : pattern(write.length, write.seed);
    std::ranges::copy(bytes, contents.at(write.name).begin() + static_cast<long>(write.at));
  }
  // Equal to `before` with the flushed writes, or also with the one that was cut.
  static void expect_contents(core::SimWorld& world, Pool& pool, Contents before,
                              const std::set<const Write*>& done, bool may_tear) {
    const Write* cut = nullptr;
    for (const Write& write : kWrites) {
      if (done.contains(&write))
        apply(before, write);
      else if (!cut)
        cut = &write;
    }
    Contents after = before;
    if (cut) apply(after, *cut);
    for (auto& [name, old] : before) {
      auto replica = pool.find(std::string_view(name));
      ASSERT_NE(replica, nullptr) << name;
      Bytes bytes(old.size());
      ASSERT_TRUE(run_in(world, replica->read(0, bytes)));
      const std::size_t unit = may_tear ? 512 : kUnit;
      for (std::size_t at = 0; at < bytes.size(); at += unit) {
        const auto same = [&](const Bytes& other) {
          return std::equal(bytes.begin() + static_cast<long>(at),
                            bytes.begin() + static_cast<long>(at + unit),
                            other.begin() + static_cast<long>(at));
        };
        ASSERT_TRUE(same(old) || same(after.at(name))) << name << " at " << at;
      }
    }
  }
};

TEST_P(ClonePowerCut, LeavesSnapshotsAndOldOrNew) {
  auto sample = unpack("c-snap-clones.img.zst", 4096, kImageBytes);
  Contents before;
  {
    auto pool = must_load(sample);
    for (auto& replica : pool->replicas())
      before[replica->name()] = read_all(*replica, 0, replica->size_bytes());
    expect_ok(run(pool->unload()));
  }
  bool ended = false;
  std::uint64_t cut = 1;
  for (; !ended && cut < 500 && !HasFailure(); ++cut) {
    SCOPED_TRACE("power fails at I/O " + std::to_string(cut));
    core::SimWorld world(cut);
    core::SimEnv env(world);
    core::SimDiskOptions options{.size_bytes = kImageBytes, .physical_block_bytes = GetParam()};
    core::SimDisk& disk = env.add_disk("/disk0", options);
    for (const auto& extent : *run(sample->allocated(0, kImageBytes)))
      disk.poke(extent.offset, read_all(*sample, extent.offset, extent.length));
    std::set<const Write*> done;
    env.cut_power_after(cut);
    ended = run_in(world, live(&env, &done)).has_value();
    env.cut_power_after(0);
    env.power_cut();
    env.power_on();
    auto device = run_in(world, FileDevice::open(env, {.path = "/disk0"}));
    ASSERT_TRUE(device);
    auto pool = run_in(world, Pool::load(env, *device));
    ASSERT_TRUE(pool) << pool.error().text();
    for (const FaultedVolume& volume : (*pool)->faulted()) ADD_FAILURE() << volume.reason;
    expect_contents(world, **pool, before, done, GetParam() < kUnit);
    std::uint64_t allocated = 0;
    for (auto& replica : (*pool)->replicas()) allocated += replica->usage().allocated_bytes;
    EXPECT_EQ((*pool)->info().used_bytes, allocated);
    ASSERT_TRUE(run_in(world, (*pool)->unload()));
  }
  EXPECT_GT(cut, 25U);
  EXPECT_TRUE(ended);
}

INSTANTIATE_TEST_SUITE_P(Disks, ClonePowerCut, testing::Values(512U, 4096U));

INSTANTIATE_TEST_SUITE_P(Disks, PowerCut,
                         testing::Values(DiskKind{512, 4096, 1}, DiskKind{4096, 4096, 2},
                                         DiskKind{512, 512, 3}, DiskKind{512, 512, 4},
                                         DiskKind{512, 512, 6}, DiskKind{512, 512, 7},
                                         DiskKind{512, 4096, 5}),
                         [](const testing::TestParamInfo<DiskKind>& info) {
                           return "block" + std::to_string(info.param.block) + "_physical" +
                                  std::to_string(info.param.physical) + "_seed" +
                                  std::to_string(info.param.seed);
                         });

}  // namespace
}  // namespace capstan::storage
