// Why this file exists: every operation of a pool with its n-th access to the device failing, for
// every n until none is left to fail. Whatever fails: an operation that says it succeeded has
// happened, one that failed has happened or has not, nothing else changed, the space adds up, the
// device is free again when nobody should hold it, and the independent reader finds a sound pool.
// On a device that never tears 4096 bytes and on one that does, where roots have shadows.
#include <functional>

#include "storage/device/error_device.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

constexpr std::uint64_t kMiB = 1U << 20, kCluster = 64U << 10;

class FailingOperation : public PoolTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  static constexpr std::uint64_t kThin = 8 * kCluster, kThick = 4 * kCluster;

  void SetUp() override {
    // What nobody zeroed is visible.
    inner_ = memory(16 * kMiB, GetParam());
    for (std::uint64_t at = kMiB; at < inner_->size_bytes(); at += kMiB)
      write(*inner_, at, Bytes(kMiB, 0xDB));
    prepared_ = must_create(inner_, kCluster);
    ASSERT_NE(prepared_, nullptr);
    auto thin = must_add(*prepared_, "thin", kThin, true);
    write(*thin, 0, pattern(4 * kCluster, 3));
    auto thick = must_add(*prepared_, "thick", kThick, false);
    write(*thick, kCluster / 2, pattern(kCluster, 4));
    expect_ok(run(thick->flush()));
    thin = thick = nullptr;
    expect_ok(run(prepared_->unload()));
    prepared_ = nullptr;
    image_ = std::make_shared<MemoryDevice>("image", Uuid{}, GetParam(), inner_->num_blocks());
    copy(*inner_, *image_);
  }
  void copy(Device& from, Device& to) {
    for (std::uint64_t at = 0; at < from.size_bytes(); at += kMiB)
      write(to, at, read_all(from, at, kMiB));
  }
  // A fresh copy of the prepared pool on a device that fails on order.
  void renew() {
    inner_ = memory(16 * kMiB, GetParam());
    copy(*image_, *inner_);
    failing_ = std::make_shared<ErrorInjectingDevice>(inner_);
    thin_ = pattern(4 * kCluster, 3);
    thin_.resize(kThin);
    thick_.assign(kThick, 0);
    std::ranges::copy(pattern(kCluster, 4), thick_.begin() + kCluster / 2);
    added_.reset();
    note_.clear();
  }
  std::size_t arm(std::uint64_t nth) {
    return failing_->inject({.kinds = {IoKind::kRead, IoKind::kWrite, IoKind::kFlush,
                                       IoKind::kWriteZeroes, IoKind::kUnmap},
                             .skip = nth,
                             .count = 1});
  }
  std::shared_ptr<Replica> find(Pool& pool, std::string_view name) { return pool.find(name); }

  // Contents of one replica: the one or the other, cluster by cluster (a request of several may
  // have been done in part), or within a cluster, where it was written over in place.
  void expect_content(Pool& pool, const char* name, const std::vector<Bytes>& allowed) {
    auto replica = find(pool, name);
    ASSERT_NE(replica, nullptr) << name;
    const Bytes now = read_all(*replica, 0, replica->size_bytes());
    for (std::size_t at = 0; at < now.size(); at += GetParam()) {
      const auto same = [&](const Bytes& want) {
        return want.size() >= at + GetParam() &&
               std::equal(now.begin() + static_cast<long>(at),
                          now.begin() + static_cast<long>(at + GetParam()),
                          want.begin() + static_cast<long>(at));
      };
      ASSERT_TRUE(std::ranges::any_of(allowed, same)) << name << " at " << at;
    }
  }
  void expect_space(Pool& pool) {
    std::uint64_t allocated = 0;
    for (auto& replica : pool.replicas()) allocated += replica->usage().allocated_bytes;
    EXPECT_EQ(pool.info().used_bytes, allocated);
  }

  // One operation on the loaded pool; `apply` changes the expected contents as it does.
  struct Step {
    const char* name;
    std::function<Result<void>(Pool&)> run;
    std::function<void()> apply;
  };
  void fail_each(const Step& step);

  std::unique_ptr<Pool> prepared_;
  std::shared_ptr<MemoryDevice> inner_, image_;
  std::shared_ptr<ErrorInjectingDevice> failing_;
  Bytes thin_, thick_;
  std::optional<Bytes> added_;  // of "new": must exist
  std::string note_;            // the attribute of "thin"
  bool thick_gone_ = false;
};

void FailingOperation::fail_each(const Step& step) {
  bool finished = false;
  std::uint64_t nth = 0;
  for (; nth < 200 && !finished && !HasFatalFailure(); ++nth) {
    SCOPED_TRACE(std::string(step.name) + ", failing access " + std::to_string(nth));
    renew();
    thick_gone_ = false;
    const Bytes thin_before = thin_, thick_before = thick_;
    auto pool = must_load(failing_);
    ASSERT_NE(pool, nullptr);
    const auto rule = arm(nth);
    const Result<void> done = step.run(*pool);
    finished = failing_->fired(rule) == 0;
    // Discards may fail: nobody is told, nothing depends on them.
    if (finished) EXPECT_TRUE(done) << done.error().text();
    failing_->clear();
    step.apply();
    if (!done) EXPECT_NE(pool->info().health.state, PoolHealth::State::kOnline);
    if (!pool->info().faulted) expect_space(*pool);
    const auto judge_pool = [&](Pool& judged) {
      EXPECT_TRUE(judged.faulted().empty());
      expect_content(judged, "thin",
                     done ? std::vector<Bytes>{thin_} : std::vector<Bytes>{thin_before, thin_});
      auto thick = find(judged, "thick");
      if (thick_gone_ && done) EXPECT_EQ(thick, nullptr);
      if (!thick_gone_ || thick)
        expect_content(
            judged, "thick",
            done ? std::vector<Bytes>{thick_} : std::vector<Bytes>{thick_before, thick_});
      auto added = find(judged, "new");
      if (done && added_) ASSERT_NE(added, nullptr);
      if (added) EXPECT_EQ(read_all(*added, 0, added->size_bytes()), *added_);
      const auto note = find(judged, "thin")->attribute("note").value_or("");
      EXPECT_TRUE(note == note_ || (!done && note.empty())) << note;
    };
    if (!pool->info().faulted) judge_pool(*pool);
    if (nth % 2 == 0 || pool->info().faulted)
      pool.reset();  // killed
    else
      expect_ok(run(pool->unload()));
    pool = must_load(inner_);
    ASSERT_NE(pool, nullptr);
    judge_pool(*pool);
    expect_space(*pool);
    if (nth % 3 == 0)
      expect_sound(std::move(pool));
    else
      expect_ok(run(pool->unload()));
  }
  EXPECT_TRUE(finished) << step.name;
  EXPECT_GT(nth, 1U) << step.name << " never reached the device";
}

TEST_P(FailingOperation, ChangesOfReplicas) {
  const auto replica = [&](Pool& pool, const char* name) { return find(pool, name); };
  const auto put = [&](Bytes& content, std::uint64_t at, const Bytes& bytes) {
    if (content.size() < at + bytes.size()) content.resize(at + bytes.size());
    std::ranges::copy(bytes, content.begin() + static_cast<long>(at));
  };
  const Bytes data = pattern(2 * kCluster, 9), small = pattern(8192, 10);
  const Step steps[] = {
      {"write into holes",
       [&](Pool& p) { return run(replica(p, "thin")->write(5 * kCluster, data)); },
       [&] { put(thin_, 5 * kCluster, data); }},
      {"write a part of a hole",
       [&](Pool& p) { return run(replica(p, "thin")->write(6 * kCluster + 4096, small)); },
       [&] { put(thin_, 6 * kCluster + 4096, small); }},
      {"write over data and a hole",
       [&](Pool& p) { return run(replica(p, "thin")->write(3 * kCluster, data)); },
       [&] { put(thin_, 3 * kCluster, data); }},
      {"write over", [&](Pool& p) { return run(replica(p, "thick")->write(4096, small)); },
       [&] { put(thick_, 4096, small); }},
      {"write zeroes over data",
       [&](Pool& p) { return run(replica(p, "thin")->write_zeroes(4096, kCluster)); },
       [&] { put(thin_, 4096, Bytes(kCluster)); }},
      {"unmap whole clusters",
       [&](Pool& p) { return run(replica(p, "thin")->unmap(kCluster, 2 * kCluster)); },
       [&] { put(thin_, kCluster, Bytes(2 * kCluster)); }},
      {"unmap a part", [&](Pool& p) { return run(replica(p, "thick")->unmap(kCluster, 4096)); },
       [&] { put(thick_, kCluster, Bytes(4096)); }},
      {"flush", [&](Pool& p) { return run(replica(p, "thin")->flush()); }, [] {}},
  };
  for (const Step& step : steps) fail_each(step);
}

TEST_P(FailingOperation, Management) {
  const auto create = [&](bool thin) {
    return [this, thin](Pool& pool) -> Result<void> {
      auto added = run(pool.create_replica({"new", {}, 3 * kCluster, thin, "owner"}));
      if (!added) return std::unexpected(added.error());
      return {};
    };
  };
  const auto resize = [&](const char* name, std::uint64_t clusters) {
    return [this, name, clusters](Pool& pool) {
      return run(pool.resize_replica(find(pool, name)->uuid(), clusters * kCluster));
    };
  };
  const Step steps[] = {
      {"create thin", create(true), [&] { added_ = Bytes(3 * kCluster); }},
      {"create thick", create(false), [&] { added_ = Bytes(3 * kCluster); }},
      {"destroy", [&](Pool& p) { return run(p.destroy_replica(find(p, "thick")->uuid())); },
       [&] { thick_gone_ = true; }},
      {"set an attribute",
       [&](Pool& p) {
         return run(p.set_attribute(find(p, "thin")->uuid(), "note", std::string(3000, 'n')));
       },
       [&] { note_ = std::string(3000, 'n'); }},
      {"grow thin", resize("thin", 200), [&] { thin_.resize(200 * kCluster); }},
      {"grow thick", resize("thick", 9), [&] { thick_.resize(9 * kCluster); }},
      {"shrink thin", resize("thin", 2), [] {}},
      {"shrink thick", resize("thick", 1), [] {}},
  };
  for (const Step& step : steps) fail_each(step);
}

TEST_P(FailingOperation, PoolGrows) {
  bool finished = false;
  for (std::uint64_t nth = 0; nth < 50 && !finished; ++nth) {
    SCOPED_TRACE(nth);
    renew();
    auto pool = must_load(failing_);
    const std::uint64_t before = pool->info().capacity_bytes;
    expect_ok(inner_->resize(24 * kMiB / GetParam()));
    const auto rule = arm(nth);
    const auto grown = run(pool->grow());
    finished = failing_->fired(rule) == 0;
    EXPECT_EQ(grown.has_value(), finished);
    pool.reset();
    pool = must_load(inner_);
    ASSERT_NE(pool, nullptr);
    const std::uint64_t after = pool->info().capacity_bytes;
    EXPECT_TRUE(after == before + 8 * kMiB || (!grown && after == before)) << after;
    expect_content(*pool, "thin", {thin_});
    expect_content(*pool, "thick", {thick_});
    expect_sound(std::move(pool));
  }
  EXPECT_TRUE(finished);
}

// Import: nothing is changed, and a device that works again holds the same pool.
TEST_P(FailingOperation, Import) {
  for (const bool dirty : {false, true}) {
    bool finished = false;
    for (std::uint64_t nth = 0; nth < 50 && !finished; ++nth) {
      SCOPED_TRACE(std::string(dirty ? "dirty " : "clean ") + std::to_string(nth));
      renew();
      if (dirty) {
        auto pool = must_load(inner_);
        write(*find(*pool, "thin"), 5 * kCluster, pattern(kCluster, 8));
        std::ranges::copy(pattern(kCluster, 8), thin_.begin() + 5 * kCluster);
        pool.reset();  // killed
        inner_->release();
      }
      const std::string before = fingerprint(*inner_);
      const auto rule = arm(nth);
      auto pool = run(Pool::load(env_, failing_));
      finished = failing_->fired(rule) == 0;
      failing_->clear();
      EXPECT_EQ(pool.has_value(), finished);
      EXPECT_EQ(fingerprint(*inner_), before) << "a load wrote";
      if (!pool) {
        EXPECT_EQ(pool.error().sys_errno, EIO) << pool.error().text();
        EXPECT_FALSE(failing_->claimed());
        pool = run(Pool::load(env_, failing_));
      }
      ASSERT_TRUE(pool) << pool.error().text();
      EXPECT_TRUE((*pool)->faulted().empty());
      expect_content(**pool, "thin", {thin_});
      expect_space(**pool);
      (*pool).reset();
      expect_sound(must_load(inner_));
    }
    EXPECT_TRUE(finished);
  }
}

// Export: it is closed in any case, and what was acknowledged is found by the next import.
TEST_P(FailingOperation, Export) {
  bool finished = false;
  for (std::uint64_t nth = 0; nth < 50 && !finished; ++nth) {
    SCOPED_TRACE(nth);
    renew();
    auto pool = must_load(failing_);
    write(*find(*pool, "thin"), 5 * kCluster, pattern(kCluster, 8));
    expect_ok(run(find(*pool, "thin")->flush()));
    std::ranges::copy(pattern(kCluster, 8), thin_.begin() + 5 * kCluster);
    const auto rule = arm(nth);
    const auto unloaded = run(pool->unload());
    finished = failing_->fired(rule) == 0;
    EXPECT_EQ(unloaded.has_value(), finished);
    EXPECT_FALSE(failing_->claimed());
    EXPECT_EQ(find(*pool, "thin"), nullptr);
    pool = must_load(inner_);
    ASSERT_NE(pool, nullptr);
    expect_content(*pool, "thin", {thin_});
    expect_content(*pool, "thick", {thick_});
    expect_sound(std::move(pool));
  }
  EXPECT_TRUE(finished);
}

// Create and destroy: a whole pool or none, and what was refused can be repeated.
TEST_P(FailingOperation, CreateAndDestroyOfThePool) {
  bool finished = false;
  for (std::uint64_t nth = 0; nth < 50 && !finished; ++nth) {
    SCOPED_TRACE("create " + std::to_string(nth));
    inner_ = memory(16 * kMiB, GetParam());
    failing_ = std::make_shared<ErrorInjectingDevice>(inner_);
    PoolOptions options;
    options.cluster_size_bytes = kCluster;
    const auto rule = arm(nth);
    auto pool = run(Pool::create(env_, failing_, "p0", Uuid{}, options));
    finished = failing_->fired(rule) == 0;
    failing_->clear();
    EXPECT_EQ(pool.has_value(), finished);
    if (pool) {
      expect_sound(std::move(*pool));
      continue;
    }
    EXPECT_FALSE(failing_->claimed());
    const auto found = run(Pool::probe(failing_));
    if (found) {
      expect_sound(must_load(failing_));
      continue;
    }
    options.force = found.error().code == Code::kDataLoss;
    EXPECT_TRUE(options.force || found.error().code == Code::kNotFound) << found.error().text();
    pool = run(Pool::create(env_, failing_, "p0", Uuid{}, options));
    ASSERT_TRUE(pool) << pool.error().text();
    expect_sound(std::move(*pool));
  }
  EXPECT_TRUE(finished);
  finished = false;
  for (std::uint64_t nth = 0; nth < 50 && !finished; ++nth) {
    SCOPED_TRACE("destroy " + std::to_string(nth));
    renew();
    auto pool = must_load(failing_);
    const auto rule = arm(nth);
    const auto destroyed = run(pool->destroy());
    finished = failing_->fired(rule) == 0;
    if (destroyed) {
      EXPECT_FALSE(failing_->claimed());
      EXPECT_EQ(run(Pool::probe(inner_)).error().code, Code::kNotFound);
      continue;
    }
    // Either it is still whole, or it is gone although nobody was told.
    EXPECT_TRUE(pool->info().faulted);
    expect_ok(run(pool->unload()));
    const auto found = run(Pool::probe(inner_));
    if (!found) {
      EXPECT_EQ(found.error().code, Code::kNotFound) << found.error().text();
      continue;
    }
    pool = must_load(inner_);
    ASSERT_NE(pool, nullptr);
    expect_content(*pool, "thin", {thin_});
    expect_sound(std::move(pool));
  }
  EXPECT_TRUE(finished);
}

INSTANTIATE_TEST_SUITE_P(Blocks, FailingOperation, testing::Values(512U, 4096U));

}  // namespace
}  // namespace capstan::storage
