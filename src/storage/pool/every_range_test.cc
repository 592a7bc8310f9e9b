// Why this file exists: I/O of replicas against a plain array, not at random but for every offset
// and length that a few clusters allow, on replicas that have all, some or none of them; for
// clones, whose clusters are large, for every pair of places around the borders. After each request
// the whole content is compared, the blocks around it included, and what the pool says of its
// space.
#include <algorithm>

#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

enum class Kind { kWrite, kZero, kUnmap };
constexpr Kind kKinds[] = {Kind::kWrite, Kind::kZero, Kind::kUnmap};
constexpr std::uint64_t kMiB = 1U << 20;

class EveryRange : public PoolTest {
 protected:
  Result<void> change(Replica& replica, Kind kind, std::uint64_t at, const Bytes& bytes) {
    switch (kind) {
      case Kind::kWrite: return run(replica.write(at, bytes));
      case Kind::kZero: return run(replica.write_zeroes(at, bytes.size()));
      case Kind::kUnmap: return run(replica.unmap(at, bytes.size()));
    }
    return {};
  }
  // Does it to the replica and to the model, and compares.
  void step(Replica& replica, Bytes& model, Kind kind, std::uint64_t at, std::uint64_t length) {
    SCOPED_TRACE("kind " + std::to_string(static_cast<int>(kind)) + ", " + std::to_string(length) +
                 " bytes at " + std::to_string(at));
    const Bytes bytes = kind == Kind::kWrite ? pattern(length, ++seed_) : Bytes(length);
    const auto done = change(replica, kind, at, bytes);
    ASSERT_TRUE(done) << done.error().text();
    std::ranges::copy(bytes, model.begin() + static_cast<long>(at));
    ASSERT_TRUE(read_all(replica, 0, model.size()) == model);
    // And through a read of just these.
    ASSERT_TRUE(read_all(replica, at, length) == bytes);
  }
  // A clone keeps what it does not own: there its ancestor's data goes on to be seen.
  void unmap_clone(Replica& clone, Bytes& model, std::uint64_t at, std::uint64_t length,
                   std::uint64_t cluster) {
    SCOPED_TRACE("unmap of " + std::to_string(length) + " bytes at " + std::to_string(at));
    const std::uint64_t before = clone.usage().num_allocated_clusters;
    const auto done = run(clone.unmap(at, length));
    ASSERT_TRUE(done) << done.error().text();
    const Bytes now = read_all(clone, 0, model.size());
    for (std::uint64_t from = at; from < at + length;) {
      const std::uint64_t to = std::min(at + length, (from / cluster + 1) * cluster);
      const auto begin = model.begin() + static_cast<long>(from);
      const ByteView part = ByteView(now).subspan(from, to - from);
      if (!std::equal(part.begin(), part.end(), begin)) {
        ASSERT_TRUE(all_zero(part)) << "neither unchanged nor zeros";
        std::ranges::copy(part, begin);
      }
      from = to;
    }
    ASSERT_TRUE(now == model);
    ASSERT_EQ(clone.usage().num_allocated_clusters, before);
  }
  std::uint8_t seed_ = 0;
};

TEST_F(EveryRange, OfThinAndThickReplicas) {
  constexpr std::uint32_t kCluster = 4096, kBlock = 512;
  constexpr std::uint64_t kBytes = 4 * kCluster, kBlocks = kBytes / kBlock;
  auto device = memory(2 * kMiB, kBlock);
  for (std::uint64_t at = kMiB; at < device->size_bytes(); at += kMiB / 4)
    write(*device, at, Bytes(kMiB / 4, 0xDB));
  PoolOptions options;
  options.cluster_size_bytes = kCluster;
  options.md_resv_percent = 10;
  auto created = run(Pool::create(env_, device, "p0", Uuid{}, options));
  ASSERT_TRUE(created) << created.error().text();
  auto pool = std::move(*created);
  auto thin = must_add(*pool, "thin", kBytes, true),
       thick = must_add(*pool, "thick", kBytes, false);
  Bytes thick_model(kBytes);
  for (std::uint64_t first = 0; first < kBlocks; ++first) {
    for (std::uint64_t count = 1; first + count <= kBlocks; ++count) {
      const std::uint64_t at = first * kBlock, length = count * kBlock, end = at + length;
      for (const Kind kind : kKinds) {
        step(*thick, thick_model, kind, at, length);
        ASSERT_EQ(thick->usage().num_allocated_clusters, 4U);
        // Holes only; then every other cluster there.
        for (const bool some : {false, true}) {
          Bytes model(kBytes);
          ASSERT_TRUE(run(thin->unmap(0, kBytes)));
          ASSERT_EQ(thin->usage().num_allocated_clusters, 0U);
          if (some) {
            for (const std::uint64_t cluster : {1, 3}) {
              write(*thin, cluster * kCluster, Bytes(kCluster, 0xA5));
              std::fill_n(model.begin() + static_cast<long>(cluster * kCluster), kCluster, 0xA5);
            }
          }
          step(*thin, model, kind, at, length);
          std::uint64_t expected = 0;
          for (std::uint64_t cluster = 0; cluster < 4; ++cluster) {
            const std::uint64_t from = cluster * kCluster, to = from + kCluster;
            const bool touched = at < to && end > from, whole = at <= from && end >= to;
            bool there = some && cluster % 2 == 1;
            if (kind == Kind::kWrite && touched) there = true;
            if (kind == Kind::kUnmap && whole) there = false;
            expected += there;
          }
          ASSERT_EQ(thin->usage().num_allocated_clusters, expected);
          ASSERT_EQ(pool->info().used_bytes, (4 + expected) * kCluster);
        }
      }
    }
  }
  thin = thick = nullptr;
  expect_sound(std::move(pool));
}

TEST_F(EveryRange, AroundTheBordersOfAClone) {
  constexpr std::uint64_t kCluster = kMiB, kBlock = 4096;
  const std::uint64_t places[] = {0,
                                  kBlock,
                                  kCluster / 2,
                                  kCluster - kBlock,
                                  kCluster,
                                  kCluster + kBlock,
                                  2 * kCluster - kBlock,
                                  2 * kCluster,
                                  2 * kCluster + kBlock,
                                  3 * kCluster};
  auto original = unpack("c-snap-clones.img.zst", 4096, 64 * kMiB);
  for (const Kind kind : kKinds) {
    for (const std::uint64_t at : places) {
      for (const std::uint64_t end : places) {
        if (end <= at) continue;
        // Each on a fresh clone: c1 stands on a snapshot that has data where the clone has none.
        auto device = memory(64 * kMiB, 4096);
        for (const auto& extent : *run(original->allocated(0, original->size_bytes())))
          write(*device, extent.offset, read_all(*original, extent.offset, extent.length));
        auto pool = must_load(device);
        auto clone = pool->find(std::string_view("c1"));
        ASSERT_NE(clone, nullptr);
        ASSERT_TRUE(clone->size_bytes() >= 3 * kCluster);
        auto below = pool->find(std::string_view("s1"));
        const std::string before = hash_of(*below);
        Bytes model = read_all(*clone, 0, clone->size_bytes());
        if (kind == Kind::kUnmap)
          unmap_clone(*clone, model, at, end - at, kCluster);
        else
          step(*clone, model, kind, at, end - at);
        if (HasFatalFailure()) return;
        EXPECT_EQ(hash_of(*below), before) << "the snapshot changed";
        std::uint64_t used = 0;
        for (auto& replica : pool->replicas()) used += replica->usage().allocated_bytes;
        ASSERT_EQ(pool->info().used_bytes, used);
        clone = below = nullptr;
        expect_ok(run(pool->unload()));
      }
    }
  }
}

}  // namespace
}  // namespace capstan::storage
