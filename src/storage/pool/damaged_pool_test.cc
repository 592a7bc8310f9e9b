// Why this file exists: pools with damage that a checksum does not show, or that sits in one place:
// what is damaged is listed with its reason and can be deleted; what is not goes on; nothing that
// the damaged part may still name is given to others; and a page that lies about sizes costs no
// memory. Each test was a bug once, or is about to be one in whoever changes the loader.
#include <algorithm>
#include <set>

#include "base/checksum.h"
#include "base/limits.h"
#include "storage/device/error_device.h"
#include "storage/pool/load.h"
#include "storage/pool/lvs_codec.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

constexpr std::uint32_t kMiB = 1U << 20;

class Damaged : public PoolTest {
 protected:
  // A pool with the volumes that `add` makes; unloaded.
  std::shared_ptr<MemoryDevice> make(std::uint32_t cluster, auto add,
                                     std::uint64_t bytes = 64 * kMiB) {
    auto device = memory(bytes);
    auto pool = must_create(device, cluster);
    add(*pool);
    expect_ok(run(pool->unload()));
    return device;
  }
  lvs::StoreImage image_of(Device& device) {
    auto image = run(lvs::load_image(device));
    EXPECT_TRUE(image) << image.error().text();
    return std::move(*image);
  }
  static const lvs::Blob& blob_named(const lvs::StoreImage& image, std::string_view name) {
    for (const auto& [id, entry] : image.blobs) {
      if (entry.blob.name() == name && id != image.super.super_blob) return entry.blob;
    }
    std::abort();
  }
  // Changes a metadata page; its checksum is right afterwards unless told otherwise.
  void edit_page(Device& device, std::uint32_t number, auto edit, bool sealed = true) {
    const std::uint64_t at = image_of(device).geometry.md_page(number);
    Bytes page = read_all(device, at, 4096);
    edit(page);
    if (sealed) store_le(page.data() + 4092, crc32c(ByteView(page).first(4092)));
    write(device, at, page);
  }
  void set_clean(Device& device, std::uint32_t clean) {
    Bytes super = read_all(device, 0, 4096);
    store_le(super.data() + 16, clean);
    store_le(super.data() + 4092, crc32c(ByteView(super).first(4092)));
    write(device, 0, super);
  }
  // One entry of the volume's first extent page.
  void set_extent(Device& device, std::string_view volume, std::uint32_t index,
                  std::uint32_t cluster) {
    const auto image = image_of(device);
    edit_page(device, blob_named(image, volume).groups.at(0).page,
              [&](Bytes& page) { store_le(page.data() + 25 + std::size_t{4} * index, cluster); });
  }
  std::set<std::string> faulted_names(Pool& pool) {
    std::set<std::string> names;
    for (const auto& volume : pool.faulted()) names.insert(volume.name);
    return names;
  }
};

// The node aborted: the cluster was free already when the second of the two was deleted.
TEST_F(Damaged, FixedBugDeletingADamagedVolumeAfterOneThatItSharesAClusterWith) {
  auto device = make(kMiB, [&](Pool& pool) {
    must_add(pool, "good", 4 * kMiB, false);
    must_add(pool, "bad", 4 * kMiB, false);
  });
  const std::uint32_t shared = blob_named(image_of(*device), "good").cluster_at(1);
  set_extent(*device, "bad", 0, shared);
  set_extent(*device, "bad", 3, 0x7FFFFFFF);
  for (const std::uint32_t clean : {1U, 0U}) {
    auto copy = memory(64 * kMiB);
    write(*copy, 0, read_all(*device, 0, 64 * kMiB));
    set_clean(*copy, clean);
    auto pool = must_load(copy);
    ASSERT_EQ(pool->faulted().size(), 1U);
    const Uuid bad = pool->faulted().front().uuid;
    expect_ok(run(pool->destroy_replica(pool->find(std::string_view("good"))->uuid())));
    // What the damaged one names stays with it until it is deleted, content included.
    auto other = must_add(*pool, "other", 4 * kMiB, false);
    EXPECT_GE(pool->info().used_bytes, 7U * kMiB);
    expect_ok(run(pool->destroy_replica(bad)));
    EXPECT_TRUE(pool->faulted().empty());
    expect_ok(run(pool->destroy_replica(other->uuid())));
    other = nullptr;
    expect_sound(std::move(pool));
    EXPECT_EQ(must_load(copy)->info().used_bytes, 0U);
  }
}

// An unmap and a rewritten chain give back what a damaged volume names, while that is deleted.
TEST_F(Damaged, SharedClustersAndPagesAreGivenBackOnce) {
  auto device = make(kMiB, [&](Pool& pool) {
    auto good = must_add(pool, "good", 4 * kMiB, true);
    write(*good, 0, pattern(4 * kMiB, 1));
    expect_ok(run(pool.set_attribute(good->uuid(), "a", std::string(3000, 'a'))));
    expect_ok(run(pool.set_attribute(good->uuid(), "b", std::string(3000, 'b'))));
    must_add(pool, "bad", 4 * kMiB, false);
  });
  const auto image = image_of(*device);
  const lvs::Blob& good = blob_named(image, "good");
  ASSERT_GT(good.chain.size(), 1U);
  set_extent(*device, "bad", 0, good.cluster_at(1));
  edit_page(*device, blob_named(image, "bad").root_page(),
            [&](Bytes& page) { store_le(page.data() + 4088, good.chain[1]); });
  auto pool = must_load(device);
  ASSERT_EQ(faulted_names(*pool), std::set<std::string>{"bad"});
  auto replica = pool->find(std::string_view("good"));
  expect_ok(run(replica->unmap(kMiB, kMiB)));
  expect_ok(run(pool->set_attribute(replica->uuid(), "a", std::string(2999, 'c'))));
  // Neither the page nor the cluster may be taken by this one.
  auto more = must_add(*pool, "more", 2 * kMiB, true);
  write(*more, 0, pattern(2 * kMiB, 2));
  expect_ok(run(pool->destroy_replica(pool->faulted().front().uuid)));
  write(*replica, kMiB, pattern(kMiB, 3));
  EXPECT_EQ(read_all(*more, 0, 2 * kMiB), pattern(2 * kMiB, 2));
  replica = more = nullptr;
  expect_sound(std::move(pool));
}

// One bad extent page made the clusters of all others free, and the next writer got them.
TEST_F(Damaged, FixedBugClustersOfADamagedVolumeWereGivenToOthers) {
  constexpr std::uint32_t kCluster = 16U << 10;
  auto device =
      make(kCluster, [&](Pool& pool) { must_add(pool, "big", 1600ULL * kCluster, false); });
  const auto image = image_of(*device);
  const lvs::Blob& big = blob_named(image, "big");
  ASSERT_EQ(big.groups.size(), 4U);
  for (const std::uint32_t page : {big.groups[0].page, big.root_page()}) {
    SCOPED_TRACE(page);
    auto copy = memory(64 * kMiB);
    write(*copy, 0, read_all(*device, 0, 64 * kMiB));
    // An extent page with a wrong checksum; a root that goes on nowhere.
    const bool root = page == big.root_page();
    edit_page(*copy, page, [&](Bytes& bytes) { bytes[root ? 4091 : 2000] ^= 0x10; }, root);
    set_clean(*copy, 0);
    auto pool = must_load(copy);
    ASSERT_EQ(pool->faulted().size(), 1U);
    const std::uint64_t known = (root ? 1600ULL : 1600ULL - 512) * kCluster;
    EXPECT_EQ(pool->info().used_bytes, known);
    const Uuid uuid = pool->faulted().front().uuid;
    expect_ok(run(pool->destroy_replica(uuid)));
    EXPECT_EQ(pool->info().used_bytes, 0U);
    expect_sound(std::move(pool));
  }
}

// 4096 bytes claimed 2^32 clusters, and were believed: 268 MiB each.
TEST_F(Damaged, FixedBugAPageThatClaimsAHugeVolumeCostsNothing) {
  auto device = make(kMiB, [&](Pool& pool) {
    for (int i = 0; i < 30; ++i) must_add(pool, "v" + std::to_string(i), 8 * kMiB, true);
  });
  const auto image = image_of(*device);
  for (const auto& [id, entry] : image.blobs) {
    if (id == image.super.super_blob) continue;
    edit_page(*device, entry.blob.root_page(), [&](Bytes& page) {
      std::size_t at = 16;  // the extent table is the last descriptor
      while (page[at] != 5) at += 5 + load_le<std::uint32_t>(page.data() + at + 1);
      store_le(page.data() + at + 5, std::uint64_t{0xFFFFFFFF});
      store_le(page.data() + at + 17, std::uint32_t{0xFFFFFFFF / 512 + 1});
    });
  }
  const auto changed = image_of(*device);
  EXPECT_LE(changed.map_groups, limits::kPoolMapGroupsMax);
  std::uint64_t groups = 0;
  for (const auto& [id, entry] : changed.blobs) groups += entry.blob.groups.size();
  EXPECT_LE(groups, limits::kPoolMapGroupsMax);
  auto pool = must_load(device);
  EXPECT_EQ(pool->faulted().size(), 30U);
  for (auto& volume : pool->faulted()) EXPECT_NE(volume.reason.find("claims"), std::string::npos);
}

TEST_F(Damaged, FixedBugUnreadableVolumesCouldNotBeDeleted) {
  auto device = make(kMiB, [&](Pool& pool) {
    must_add(pool, "a", kMiB, true);
    must_add(pool, "b", kMiB, true);
  });
  const auto image = image_of(*device);
  // One has no first page any more, the other lost what names it.
  edit_page(
      *device, blob_named(image, "a").root_page(), [](Bytes& page) { std::ranges::fill(page, 0); },
      false);
  edit_page(*device, blob_named(image, "b").root_page(), [](Bytes& page) { page[45] = 9; });
  auto pool = must_load(device);
  auto faulted = pool->faulted();
  ASSERT_EQ(faulted.size(), 2U);
  EXPECT_NE(faulted[0].uuid, faulted[1].uuid);
  for (const auto& volume : faulted) {
    EXPECT_FALSE(volume.uuid.is_nil());
    EXPECT_NE(volume.name, "");
    expect_ok(run(pool->destroy_replica(volume.uuid)));
  }
  EXPECT_TRUE(pool->faulted().empty());
  expect_sound(std::move(pool));
}

// Two volumes with one uuid: deleting the listed damaged one must not delete the good one.
TEST_F(Damaged, ADoubledUuidNamesTheGoodVolume) {
  auto device = make(kMiB, [&](Pool& pool) {
    must_add(pool, "a", kMiB, true);
    must_add(pool, "b", kMiB, true);
  });
  const auto image = image_of(*device);
  const std::string uuid = blob_named(image, "a").uuid().text();
  edit_page(*device, blob_named(image, "b").root_page(), [&](Bytes& page) {
    const std::string old = blob_named(image, "b").uuid().text();
    auto at = std::ranges::search(page, old);
    std::ranges::copy(uuid, at.begin());
  });
  auto pool = must_load(device);
  ASSERT_EQ(pool->faulted().size(), 1U);
  expect_ok(run(pool->destroy_replica(pool->faulted().front().uuid)));
  EXPECT_TRUE(pool->faulted().empty());
  EXPECT_NE(pool->find(std::string_view("a")), nullptr);
  expect_sound(std::move(pool));
}

// A volume that is its own parent: kept itself alive, and could never be deleted.
TEST_F(Damaged, FixedBugCirclesOfParents) {
  auto device = make(kMiB, [&](Pool& pool) {
    must_add(pool, "a", kMiB, true);
    must_add(pool, "b", kMiB, true);
    must_add(pool, "c", kMiB, true);
  });
  const auto image = image_of(*device);
  const auto adopt = [&](const char* name, std::uint64_t parent) {
    const lvs::Blob& blob = blob_named(image, name);
    lvs::Blob changed = blob;
    std::string value(8, '\0');
    store_le(reinterpret_cast<std::uint8_t*>(value.data()), parent);
    changed.internal.push_back({"SNAP", value});
    changed.flags.invalid |= lvs::kFlagInternalXattr;
    const auto pages = lvs::encode_chain(changed).seal(blob.id, blob.chain);
    write(*device, image.geometry.md_page(blob.root_page()),
          Bytes(pages.front().begin(), pages.front().end()));
  };
  adopt("a", blob_named(image, "a").id);
  adopt("b", blob_named(image, "c").id);
  adopt("c", blob_named(image, "b").id);
  auto pool = must_load(device);
  EXPECT_EQ(pool->faulted().size(), 3U);
  for (int round = 0; round < 3; ++round) {
    for (const auto& volume : pool->faulted()) (void)run(pool->destroy_replica(volume.uuid));
  }
  EXPECT_TRUE(pool->faulted().empty());
  expect_sound(std::move(pool));
}

// The mask of volumes has no checksum; with all its bits set it made everything a damaged volume.
TEST_F(Damaged, FixedBugAMaskOfNonsenseIsNotBelieved) {
  auto device = make(16U << 10, [&](Pool& pool) { must_add(pool, "a", kMiB, true); }, 100 * kMiB);
  const auto image = image_of(*device);
  ASSERT_GT(image.geometry.md_len, limits::kPoolDamagedVolumesMax + 100);
  const std::uint64_t at = image.geometry.device_page(image.super.blobid_mask_start);
  const std::size_t bytes = image.geometry.md_len / 8;
  Bytes mask = read_all(*device, at, image.super.blobid_mask_len * 4096ULL);
  std::ranges::fill_n(mask.begin() + 5, static_cast<std::ptrdiff_t>(bytes), 0xFF);
  write(*device, at, mask);
  auto pool = must_load(device);
  EXPECT_TRUE(pool->faulted().empty());
  EXPECT_FALSE(pool->notes().empty());
  EXPECT_NE(pool->find(std::string_view("a")), nullptr);
  expect_sound(std::move(pool));
}

// Thousands of torn roots, each with its copy: what is kept of them in memory is bounded, the rest
// are damaged volumes.
TEST_F(Damaged, CopiesOfTornRootsAreKeptUpToALimit) {
  const auto most = static_cast<std::uint32_t>(limits::kPoolDamagedVolumesMax);
  constexpr std::uint32_t kMore = 3;
  auto device = make(16U << 10, [](Pool&) {}, 160 * kMiB);
  const auto image = image_of(*device);
  ASSERT_GT(image.geometry.md_len, 2 * (most + kMore) + 1);
  for (std::uint32_t root = 1; root <= most + kMore; ++root) {
    lvs::Blob blob;
    blob.id = lvs::blob_id_of(root);
    blob.flags.invalid = lvs::kFlagExtentTable | lvs::kFlagThin;
    blob.xattrs = {{"name", lvs::padded_name("v" + std::to_string(root))}};
    const std::vector<std::uint32_t> chain{root};
    lvs::Page page = lvs::encode_chain(blob).seal(blob.id, chain).front();
    const lvs::Page shadow = lvs::make_shadow(page, root);
    write(*device, image.geometry.md_page(root + most + kMore),
          Bytes(shadow.begin(), shadow.end()));
    page[4000] ^= 1;
    write(*device, image.geometry.md_page(root), Bytes(page.begin(), page.end()));
  }
  set_clean(*device, 0);
  auto found = image_of(*device);
  EXPECT_EQ(found.restored.size(), most);
  EXPECT_EQ(found.damaged, kMore);
  auto pool = must_load(device);
  EXPECT_EQ(pool->replicas().size(), most);
  EXPECT_EQ(pool->faulted().size(), kMore);
}

// The bits fit one page, the super block says the mask has all pages up to the metadata.
TEST_F(Damaged, LongMasksAreZeroBehindTheirBits) {
  auto device = make(kMiB, [&](Pool& pool) { must_add(pool, "a", kMiB, true); });
  auto image = image_of(*device);
  const std::uint64_t at = image.geometry.device_page(image.super.cluster_mask_start);
  ASSERT_EQ(image.super.blobid_mask_start, image.super.cluster_mask_start + 1);
  // The clusters' mask gets the page of the volumes' mask too, which then lies somewhere else.
  image.super.cluster_mask_len = 2;
  image.super.blobid_mask_start = image.super.page_mask_start;
  image.super.clean = 0;
  const lvs::Page super = lvs::encode_super(image.super);
  write(*device, 0, Bytes(super.begin(), super.end()));
  write(*device, at + 4096, Bytes(4096, 0xAB));
  auto pool = must_load(device);
  expect_ok(run(pool->unload()));
  EXPECT_TRUE(all_zero(read_all(*device, at + 4096, 4096)));
}

TEST_F(Damaged, FixedBugADamagedSignatureIsNoEmptyDisk) {
  auto device = make(kMiB, [&](Pool& pool) { must_add(pool, "a", kMiB, true); });
  Bytes super = read_all(*device, 0, 4096);
  super[7] ^= 1;
  write(*device, 0, super);
  EXPECT_EQ(run(Pool::probe(device)).error().code, Code::kDataLoss);
  auto created = run(Pool::create(env_, device, "new", Uuid{}, {}));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, Code::kFailedPrecondition);
  EXPECT_FALSE(device->claimed());
  created = run(Pool::create(env_, device, "new", Uuid{}, {.force = true}));
  EXPECT_TRUE(created) << created.error().text();
}

TEST_F(Damaged, TooManyClustersAreRefusedBeforeAnythingIsSized) {
  lvs::SuperBlock super = *lvs::plan_layout({1ULL << 40, 512, 4096, 1});
  EXPECT_FALSE(lvs::plan_layout({1ULL << 41, 512, 4096, 1}));
  super.size = 1ULL << 41;
  super.cluster_mask_len = 20000;
  super.blobid_mask_start = super.cluster_mask_start + super.cluster_mask_len;
  super.md_start = super.blobid_mask_start + super.blobid_mask_len;
  auto decoded = lvs::decode_super(lvs::encode_super(super), 1ULL << 41);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::kFailedPrecondition);
}

// A pool that was clean and was only written over said "unloaded" without a flush.
TEST_F(Damaged, FixedBugUnloadFlushesWhatWasOnlyWrittenOver) {
  auto inner = make(kMiB, [&](Pool& pool) { must_add(pool, "a", kMiB, false); });
  auto watched = std::make_shared<ErrorInjectingDevice>(inner);
  auto pool = must_load(watched);
  write(*pool->find(std::string_view("a")), 0, pattern(4096, 1));
  const auto flushes = watched->operations(IoKind::kFlush);
  expect_ok(run(pool->unload()));
  EXPECT_GT(watched->operations(IoKind::kFlush), flushes);
  pool = must_load(watched);
  write(*pool->find(std::string_view("a")), 0, pattern(4096, 1));
  watched->inject({.kinds = {IoKind::kFlush}});
  EXPECT_FALSE(run(pool->unload()));
}

// What a load of a pool that was not unloaded has seen may be in a cache only.
TEST_F(Damaged, FixedBugTheFirstChangeOfADirtyPoolBeginsWithABarrier) {
  auto inner = make(kMiB, [&](Pool& pool) { must_add(pool, "a", kMiB, true); });
  set_clean(*inner, 0);
  auto watched = std::make_shared<ErrorInjectingDevice>(inner);
  auto pool = must_load(watched);
  const auto flush = watched->inject({.kinds = {IoKind::kFlush}, .skip = 0, .count = 1});
  EXPECT_FALSE(run(pool->create_replica({"b", {}, kMiB, true, {}})));
  EXPECT_EQ(watched->fired(flush), 1U);
  EXPECT_EQ(watched->operations(IoKind::kWrite), 0U);
}

// The clone of a half-deleted snapshot has another fault: its map is not repaired, so the snapshot
// must keep the marker that explains the repair.
TEST_F(Damaged, FixedBugAMarkerOutlivesARepairThatCannotBeDone) {
  auto device = unpack("x04-delsnap-merged-in-place.img.zst", 512, 64 * kMiB);
  const auto image = image_of(*device);
  std::uint64_t snapshot = 0, child = 0;
  for (const auto& [id, entry] : image.blobs) {
    if (entry.depends_on) snapshot = id, child = *entry.depends_on;
  }
  ASSERT_NE(child, 0U);
  // The child loses its name.
  edit_page(*device, lvs::root_page_of(child), [](Bytes& page) { page[45 + 9] = 'N'; });
  const auto changed = image_of(*device);
  EXPECT_NE(changed.blobs.at(child).fault, "");
  EXPECT_NE(changed.blobs.at(snapshot).fault, "");
  EXPECT_EQ(changed.blobs.at(snapshot).rewrite, lvs::Rewrite::kNone);
}

}  // namespace
}  // namespace capstan::storage
