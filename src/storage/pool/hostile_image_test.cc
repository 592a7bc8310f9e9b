// Why this file exists: a disk may hold anything, also metadata whose checksums are right and whose
// content is wrong: bit rot before the checksum was made, a program with a bug, an attacker. The
// sample images are changed at random (checksums made right again), opened, used and taken apart.
// Whatever they claim: no crash, no read of somebody else's data, and what the pool says can be
// used, can be used.
#include <algorithm>
#include <random>

#include "base/checksum.h"
#include "storage/pool/load.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

struct Sample {
  const char* file;
  std::uint32_t block;
  std::uint64_t bytes;
};

class HostileImage : public PoolTest, public testing::WithParamInterface<Sample> {
 protected:
  using Random = std::mt19937_64;

  static void seal(Bytes& page) {
    store_le(page.data() + 4092, crc32c(ByteView(page).first(4092)));
  }
  // Numbers that code stumbles over, or any.
  static std::uint32_t number(Random& random) {
    static constexpr std::uint32_t kOdd[] = {0, 1, 2, 3, 5, 511, 512, 0x7FFFFFFF, 0xFFFFFFFF};
    const auto pick = random() % 24;
    if (pick < std::size(kOdd)) return kOdd[pick];
    return static_cast<std::uint32_t>(random() % (pick < 20 ? 64 : 1ULL << 32));
  }
  void change_page(Device& device, std::uint64_t offset, Random& random) {
    Bytes page = read_all(device, offset, 4096);
    for (auto count = 1 + random() % 3; count != 0; --count) {
      const bool header = random() % 4 == 0;
      const std::size_t at = header ? random() % 4 * 4 : 16 + random() % 400;
      if (random() % 2 == 0)
        page[at] = static_cast<std::uint8_t>(random());
      else
        store_le(page.data() + at, number(random));
    }
    if (random() % 8 == 0) store_le(page.data() + 4088, number(random));
    if (random() % 8 != 0) seal(page);
    write(device, offset, page);
  }
  // An extent page that names clusters of others, and perhaps one that does not exist.
  void cross_link(Device& device, const lvs::StoreImage& image, Random& random) {
    std::vector<std::uint32_t> pages, clusters;
    for (const auto& [id, entry] : image.blobs) {
      for (const auto& group : entry.blob.groups) {
        if (group.page != 0) pages.push_back(group.page);
      }
      entry.blob.for_each_cluster([&](std::uint64_t, std::uint32_t c) { clusters.push_back(c); });
    }
    if (pages.empty()) return;
    const std::uint64_t at = image.geometry.md_page(pages[random() % pages.size()]);
    Bytes page = read_all(device, at, 4096);
    const std::uint32_t entries = load_le<std::uint32_t>(page.data() + 17) / 4 - 1;
    if (entries == 0 || entries > 512) return;
    for (auto count = 1 + random() % 2; count != 0; --count)
      store_le(page.data() + 25 + random() % entries * 4, clusters[random() % clusters.size()]);
    if (random() % 2 == 0) store_le(page.data() + 25 + random() % entries * 4, 0x7FFFFFFFU);
    seal(page);
    write(device, at, page);
  }
  void spoil(Device& device, Random& random) {
    auto image = run(lvs::load_image(device));
    ASSERT_TRUE(image);
    for (auto count = random() % 3; count != 0; --count) cross_link(device, *image, random);
    Bytes super = read_all(device, 0, 4096);
    if (random() % 2 == 0) store_le<std::uint32_t>(super.data() + 16, 0);  // as after a crash
    if (random() % 6 == 0) store_le(super.data() + 12 + random() % 21 * 4, number(random));
    seal(super);
    write(device, 0, super);
    std::vector<std::uint32_t> pages;
    for (const auto& [id, entry] : image->blobs)
      pages.insert(pages.end(), entry.disk_pages.begin(), entry.disk_pages.end());
    for (auto count = random() % 4; count != 0; --count) {
      const std::uint64_t page =
          random() % 8 == 0 ? random() % image->geometry.md_len : pages[random() % pages.size()];
      const std::uint64_t at = image->geometry.md_page(static_cast<std::uint32_t>(page));
      if (random() % 8 == 0)  // a copy of another page in its place
        write(device, at,
              read_all(device, image->geometry.md_page(pages[random() % pages.size()]), 4096));
      change_page(device, at, random);
    }
  }
  void use(Pool& pool, Random& random) {
    for (auto& replica : pool.replicas()) {
      if (replica->size_bytes() == 0) continue;
      const std::uint64_t block = replica->block_size();
      const std::uint64_t at = random() % (replica->size_bytes() / block) * block;
      const auto length = std::min<std::uint64_t>(replica->size_bytes() - at, 64 * block);
      Bytes bytes(length);
      (void)run(replica->read(at, bytes));
      if (random() % 2) (void)run(replica->write(at, pattern(length, 3)));
      if (random() % 4 == 0) (void)run(replica->unmap(at, length));
      if (random() % 4 == 0)
        (void)run(
            pool.resize_replica(replica->uuid(), (1 + random() % 24) << (12 + random() % 12)));
    }
    auto& disk = dynamic_cast<MemoryDevice&>(*pool.device());
    if (random() % 4 == 0 && disk.resize(disk.num_blocks() + random() % 40'000))
      (void)run(pool.grow());
    (void)run(pool.create_replica({"added", {}, 1U << 20, random() % 2 == 0, {}}));
  }
  void take_apart(Pool& pool, Random& random) {
    std::vector<Uuid> uuids;
    for (auto& volume : pool.faulted()) uuids.push_back(volume.uuid);
    for (auto& replica : pool.replicas()) uuids.push_back(replica->uuid());
    std::ranges::shuffle(uuids, random);
    for (const Uuid& uuid : uuids) {
      if (random() % 4 != 0) (void)run(pool.destroy_replica(uuid));
      if (random() % 4 == 0) use(pool, random);
    }
  }
};

TEST_P(HostileImage, IsOpenedUsedAndTakenApart) {
  const auto original =
      unpack(std::string(GetParam().file) + ".img.zst", GetParam().block, GetParam().bytes);
  constexpr std::uint64_t kSeeds = 100;
  unsigned opened = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    auto device = memory(GetParam().bytes, GetParam().block);
    for (const auto& extent : *run(original->allocated(0, original->size_bytes())))
      write(*device, extent.offset, read_all(*original, extent.offset, extent.length));
    spoil(*device, random);
    auto pool = run(Pool::load(env_, device));
    if (!pool) {
      EXPECT_TRUE(pool.error().code == Code::kDataLoss ||
                  pool.error().code == Code::kFailedPrecondition)
          << pool.error().text();
      continue;
    }
    ++opened;
    use(**pool, random);
    take_apart(**pool, random);
    auto unloaded = run((*pool)->unload());
    EXPECT_TRUE(unloaded || unloaded.error().code == Code::kResourceExhausted)
        << unloaded.error().text();
    auto again = run(Pool::load(env_, device));
    EXPECT_TRUE(again) << again.error().text();
  }
  EXPECT_GT(opened, kSeeds / 4);
}

INSTANTIATE_TEST_SUITE_P(Some, HostileImage,
                         testing::Values(Sample{"c-snap-clones", 4096, 64U << 20},
                                         Sample{"d-dirty", 4096, 64U << 20},
                                         Sample{"e-mayastor", 512, 128U << 20},
                                         Sample{"f-rle", 4096, 64U << 20},
                                         Sample{"g-multipage", 512, 64U << 20},
                                         Sample{"x04-delsnap-merged-in-place", 512, 64U << 20},
                                         Sample{"o3-swap-before-commit", 512, 64U << 20}),
                         [](const testing::TestParamInfo<Sample>& info) {
                           std::string name = info.param.file;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace capstan::storage
