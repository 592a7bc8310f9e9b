// Why this file exists: what users of a pool rely on: who may be created, what the errors are, what
// space means, what reads show around partial writes, unmaps and ancestors, and that a failed
// metadata write stops changes but not reads.
#include <algorithm>

#include "core/scope.h"
#include "storage/device/error_device.h"
#include "storage/pool/pool_test_support.h"

namespace capstan::storage {
namespace {

constexpr std::uint32_t kMiB = 1U << 20;

class Pools : public PoolTest {
 protected:
  Error create_error(std::shared_ptr<Device> device, const std::string& name,
                     PoolOptions options = {}) {
    auto pool = run(Pool::create(env_, std::move(device), name, Uuid{}, options));
    EXPECT_FALSE(pool);
    return pool ? Error{} : pool.error();
  }
  Error add_error(Pool& pool, ReplicaOptions options) {
    auto replica = run(pool.create_replica(std::move(options)));
    EXPECT_FALSE(replica);
    return replica ? Error{} : replica.error();
  }
  void expect_zero(Device& device, std::uint64_t offset, std::size_t length) {
    EXPECT_TRUE(all_zero(read_all(device, offset, length))) << offset;
  }
  // A device on which everything that nobody zeroed is visible.
  std::shared_ptr<MemoryDevice> dirty_memory(std::uint64_t bytes) {
    auto device = memory(bytes);
    for (std::uint64_t at = kMiB; at < bytes; at += kMiB) write(*device, at, Bytes(kMiB, 0xDB));
    return device;
  }
};

TEST_F(Pools, CreateReportsWhatItMade) {
  auto pool = must_create(memory(100 * kMiB), 4 * kMiB);
  EXPECT_EQ(pool->info().capacity_bytes, 100663296U);
  EXPECT_EQ(pool->info().used_bytes, 0U);
  EXPECT_EQ(pool->info().md_pages, 25U);
  EXPECT_EQ(pool->info().md_used_pages, 1U);
  EXPECT_TRUE(pool->device()->claimed());
  const Uuid uuid = pool->uuid();
  auto device = pool->device();
  expect_ok(run(pool->unload()));
  EXPECT_FALSE(device->claimed());
  pool = must_load(device);
  EXPECT_EQ(pool->name(), "p0");
  EXPECT_EQ(pool->uuid(), uuid);
  expect_sound(std::move(pool));
}

TEST_F(Pools, CreateRefusals) {
  EXPECT_EQ(create_error(memory(64 * kMiB), "").code, Code::kInvalidArgument);
  EXPECT_EQ(create_error(memory(64 * kMiB), std::string(64, 'n')).code, Code::kInvalidArgument);
  EXPECT_EQ(create_error(memory(kMiB), "p").sys_errno, ENOSPC);
  EXPECT_EQ(create_error(memory(64 * kMiB), "p", {.cluster_size_bytes = 5000}).sys_errno, EINVAL);
  auto device = memory(64 * kMiB);
  auto pool = must_create(device, kMiB);
  expect_ok(run(pool->unload()));
  Error error = create_error(device, "other", {.force = true});
  EXPECT_EQ(error.code, Code::kAlreadyExists);
  EXPECT_NE(error.text().find("'p0'"), std::string::npos);
}

TEST_F(Pools, DamagedPoolIsNeverAnEmptyDisk) {
  auto device = memory(64 * kMiB);
  EXPECT_EQ(run(Pool::probe(device)).error().code, Code::kNotFound);
  auto pool = must_create(device, kMiB);
  expect_ok(run(pool->unload()));
  Bytes super = read_all(*device, 0, 4096);
  super[40] ^= 1;
  write(*device, 0, super);
  auto probed = run(Pool::probe(device));
  ASSERT_FALSE(probed);
  EXPECT_EQ(probed.error().code, Code::kDataLoss);
  EXPECT_NE(probed.error().text().find("damaged pool"), std::string::npos);
  EXPECT_EQ(create_error(device, "new").code, Code::kFailedPrecondition);
  EXPECT_FALSE(device->claimed());
  auto forced = run(Pool::create(env_, device, "new", Uuid{}, {.force = true}));
  EXPECT_TRUE(forced) << forced.error().text();
}

TEST_F(Pools, ReplicaRefusals) {
  auto pool = must_create(memory(16 * kMiB), kMiB);
  auto first = must_add(*pool, "r0", kMiB + 1, true);
  EXPECT_EQ(first->size_bytes(), 2 * kMiB);  // whole clusters
  EXPECT_FALSE(first->uuid().is_nil());
  EXPECT_EQ(add_error(*pool, {"r0", {}, kMiB, true, {}}).code, Code::kAlreadyExists);
  EXPECT_EQ(add_error(*pool, {"r1", first->uuid(), kMiB, true, {}}).sys_errno, EEXIST);
  Error error = add_error(*pool, {"r1", {}, 17ULL * kMiB, true, {}});
  EXPECT_EQ(error.code, Code::kOutOfRange);
  EXPECT_EQ(error.sys_errno, EOVERFLOW);
  must_add(*pool, "thick", 10 * kMiB, false);
  error = add_error(*pool, {"r1", {}, 6 * kMiB, false, {}});
  EXPECT_EQ(error.code, Code::kResourceExhausted);
  EXPECT_EQ(error.sys_errno, ENOSPC);
  EXPECT_EQ(add_error(*pool, {std::string(64, 'n'), {}, kMiB, true, {}}).sys_errno, EINVAL);
  EXPECT_EQ(add_error(*pool, {"r1", {}, 0, true, {}}).code, Code::kInvalidArgument);
  EXPECT_EQ(run(pool->destroy_replica(Uuid::from_name("?"))).error().sys_errno, ENOENT);
  expect_ok(first->claim("a test"));
  EXPECT_EQ(run(pool->destroy_replica(first->uuid())).error().sys_errno, EBUSY);
  first->release();
  expect_ok(run(pool->destroy_replica(first->uuid())));
  EXPECT_EQ(run(first->flush()).error().code, Code::kFailedPrecondition);
  EXPECT_EQ(pool->info().committed_bytes, 10 * kMiB);
  expect_sound(std::move(pool));
}

TEST_F(Pools, OutOfMetadataPages) {
  auto pool = must_create(memory(8 * kMiB), kMiB);  // 8 pages, one taken
  Error error;
  for (int i = 0; i < 8; ++i) {
    auto replica = run(pool->create_replica({"r" + std::to_string(i), {}, kMiB, true, {}}));
    if (!replica) error = replica.error();
  }
  EXPECT_EQ(error.sys_errno, EMFILE);
  EXPECT_EQ(error.code, Code::kResourceExhausted);
  EXPECT_EQ(pool->replicas().size(), 7U);
  // No page for a map either: the write fails cleanly and gives its cluster back.
  auto replica = pool->find(std::string_view("r0"));
  EXPECT_EQ(run(replica->write(0, Bytes(512))).error().sys_errno, EMFILE);
  EXPECT_EQ(pool->info().used_bytes, 0U);
  EXPECT_FALSE(pool->info().faulted);
  expect_sound(std::move(pool));
}

TEST_F(Pools, PartialWritesShowZerosAround) {
  auto device = dirty_memory(16 * kMiB);
  auto pool = must_create(device, kMiB);
  auto thin = must_add(*pool, "thin", 4 * kMiB, true);
  auto thick = must_add(*pool, "thick", 4 * kMiB, false);
  for (auto& replica : {thin, thick}) {
    const Bytes bytes = pattern(3 * 512, 9);
    write(*replica, kMiB - 512, bytes);  // over a cluster border
    EXPECT_EQ(read_all(*replica, kMiB - 512, bytes.size()), bytes);
    expect_zero(*replica, 0, kMiB - 512);
    expect_zero(*replica, kMiB + 1024, 2 * kMiB);
  }
  EXPECT_EQ(thin->usage().num_allocated_clusters, 2U);
  EXPECT_EQ(thick->usage().num_allocated_clusters, 4U);
  EXPECT_EQ(pool->info().used_bytes, 6U * kMiB);
  auto extents = run(thin->allocated(0, thin->size_bytes()));
  ASSERT_EQ(extents->size(), 1U);
  EXPECT_EQ(extents->front().length, 2U * kMiB);
  EXPECT_EQ(code_of(thin->write(256, Bytes(512))), Code::kInvalidArgument);
  EXPECT_EQ(code_of(thin->write(4 * kMiB, Bytes(512))), Code::kOutOfRange);
  expect_sound(std::move(pool));
}

TEST_F(Pools, UnmapGivesClustersBack) {
  auto pool = must_create(dirty_memory(16 * kMiB), kMiB);
  auto thin = must_add(*pool, "thin", 8 * kMiB, true);
  write(*thin, 0, pattern(8 * kMiB, 3));
  EXPECT_EQ(pool->info().used_bytes, 8U * kMiB);
  expect_ok(run(thin->unmap(kMiB / 2, 3 * kMiB)));  // two whole clusters, two halves
  EXPECT_EQ(pool->info().used_bytes, 6U * kMiB);
  expect_zero(*thin, kMiB / 2, 3 * kMiB);
  expect_ok(run(thin->write_zeroes(kMiB, 2 * kMiB)));
  EXPECT_EQ(pool->info().used_bytes, 6U * kMiB);  // zeroing a hole leaves a hole
  expect_ok(run(thin->write_zeroes(5 * kMiB + 512, 512)));
  expect_zero(*thin, 5 * kMiB + 512, 512);
  expect_ok(run(thin->unmap(0, thin->size_bytes())));
  EXPECT_EQ(pool->info().used_bytes, 0U);
  write(*thin, 3 * kMiB + 4096, pattern(512, 1));
  expect_zero(*thin, 3 * kMiB, 4096);
  auto thick = must_add(*pool, "thick", 2 * kMiB, false);
  write(*thick, 0, pattern(2 * kMiB, 3));
  expect_ok(run(thick->unmap(0, 2 * kMiB)));
  EXPECT_EQ(thick->usage().num_allocated_clusters, 2U);
  expect_zero(*thick, 0, 2 * kMiB);
  expect_sound(std::move(pool));
}

TEST_F(Pools, FullPoolFailsWritesAndGoesOn) {
  auto pool = must_create(memory(8 * kMiB), kMiB);
  auto thin = must_add(*pool, "thin", 7 * kMiB, true);
  auto other = must_add(*pool, "other", 7 * kMiB, true);  // committed beyond capacity
  EXPECT_EQ(pool->info().committed_bytes, 14U * kMiB);
  write(*other, 0, pattern(512, 1));
  auto result = run(thin->write(0, pattern(7 * kMiB, 2)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kResourceExhausted);
  EXPECT_EQ(result.error().sys_errno, ENOSPC);
  EXPECT_EQ(read_all(*other, 0, 512), pattern(512, 1));
  write(*thin, 0, pattern(kMiB, 5));  // what is mapped can be written
  EXPECT_FALSE(pool->info().faulted);
  expect_ok(run(thin->unmap(0, kMiB)));
  write(*other, kMiB, pattern(512, 7));
  expect_sound(std::move(pool));
}

TEST_F(Pools, ClonesCopyOnWriteAndKeepTheirAncestors) {
  auto device = unpack("c-snap-clones.img.zst", 4096, 64 * kMiB);
  auto pool = must_load(device);
  auto s1 = pool->find(std::string_view("s1")), c2 = pool->find(std::string_view("c2"));
  const std::string before = hash_of(*s1);
  EXPECT_EQ(code_of(s1->write(0, Bytes(4096))), Code::kPermissionDenied);
  EXPECT_EQ(run(pool->destroy_replica(s1->uuid())).error().sys_errno, EBUSY);
  Bytes expected = read_all(*c2, 0, kMiB);
  const Bytes bytes = pattern(8192, 77);
  std::ranges::copy(bytes, expected.begin() + 4096);
  EXPECT_EQ(c2->usage().num_allocated_clusters, 1U);
  write(*c2, 4096, bytes);
  EXPECT_EQ(c2->usage().num_allocated_clusters, 2U);
  EXPECT_EQ(read_all(*c2, 0, kMiB), expected);
  expect_ok(run(c2->unmap(0, kMiB)));  // the ancestor must not show through
  expect_zero(*c2, 0, kMiB);
  EXPECT_EQ(c2->usage().num_allocated_clusters, 2U);
  expect_ok(run(c2->write_zeroes(kMiB, kMiB)));
  expect_zero(*c2, kMiB, kMiB);
  EXPECT_EQ(hash_of(*s1), before);
  EXPECT_EQ(s1->usage().num_allocated_clusters, 3U);
  EXPECT_EQ(pool->find(std::string_view("vol"))->usage().num_allocated_clusters_snapshots, 5U);
  expect_ok(run(pool->destroy_replica(c2->uuid())));
  expect_sound(std::move(pool));
}

TEST_F(Pools, MayastorAttributes) {
  auto pool = must_load(unpack("e-mayastor.img.zst", 512, 128 * kMiB));
  auto snap = pool->find(std::string_view("snap-1")),
       clone = pool->find(std::string_view("clone-1"));
  EXPECT_TRUE(snap->is_snapshot());
  EXPECT_FALSE(snap->is_clone());
  EXPECT_TRUE(clone->is_clone());
  EXPECT_EQ(*clone->usage().allocated_bytes_snapshot_from_clone, 0U);
  EXPECT_EQ(clone->usage().num_allocated_clusters_snapshots, 2U);
  auto added = run(pool->create_replica({"ours", {}, 4 * kMiB, true, "owner-1"}));
  ASSERT_TRUE(added);
  EXPECT_EQ((*added)->attributes()["entity_id"], std::string("owner-1\0", 8));
  EXPECT_EQ((*added)->attribute("entity_id"), "owner-1");
  const Uuid uuid = (*added)->uuid();
  expect_ok(run(pool->set_attribute(uuid, "shared", std::string("true\0", 5))));
  expect_ok(run(pool->set_attribute(uuid, "allowed-hosts", std::string("\0", 1))));
  EXPECT_EQ((*added)->attribute("allowed-hosts"), std::nullopt);
  EXPECT_EQ(run(pool->set_attribute(uuid, "big", std::string(4100, 'x'))).error().code,
            Code::kInvalidArgument);
  auto device = pool->device();
  expect_sound(std::move(pool));
  pool = must_load(device);
  EXPECT_EQ(pool->find(uuid)->attribute("shared"), "true");
}

TEST_F(Pools, DamagedVolumesCanBeDeleted) {
  for (const char* image : {"x09-delete-half-zeroed", "x10-torn-extent-page"}) {
    auto pool = must_load(unpack(std::string(image) + ".img.zst", 512, 64 * kMiB));
    ASSERT_EQ(pool->faulted().size(), 1U);
    const Uuid uuid = pool->faulted().front().uuid;
    EXPECT_EQ(pool->find(uuid), nullptr);
    expect_ok(run(pool->destroy_replica(uuid)));
    EXPECT_TRUE(pool->faulted().empty());
    expect_sound(std::move(pool));
  }
}

core::Task<void> write_into(Replica* replica, std::uint64_t offset, ByteView from, int* failures) {
  auto written = co_await replica->write(offset, from);
  if (!written) ++*failures;
}
core::Task<void> many_writers(std::vector<std::shared_ptr<Replica>> replicas, const Bytes* bytes,
                              int* failures) {
  core::Scope scope;
  // Quarters of a cluster, from every side at once: all have to wait for one allocation.
  for (std::uint64_t at = 0; at < bytes->size(); at += kMiB / 4) {
    for (auto& replica : replicas)
      scope.spawn(write_into(replica.get(), at, ByteView(*bytes).subspan(at, kMiB / 4), failures));
  }
  co_await scope.join();
}

TEST_F(Pools, ConcurrentFirstWritesShareOneCluster) {
  auto pool = must_create(dirty_memory(64 * kMiB), kMiB);
  std::vector<std::shared_ptr<Replica>> replicas{must_add(*pool, "a", 16 * kMiB, true),
                                                 must_add(*pool, "b", 16 * kMiB, true)};
  const Bytes bytes = pattern(8 * kMiB, 5);
  int failures = 0;
  world_.run(many_writers(replicas, &bytes, &failures));
  EXPECT_EQ(failures, 0);
  for (auto& replica : replicas) {
    EXPECT_EQ(read_all(*replica, 0, bytes.size()), bytes);
    EXPECT_EQ(replica->usage().num_allocated_clusters, 8U);
  }
  replicas.clear();
  expect_sound(std::move(pool));
}

TEST_F(Pools, UnloadedPoolRefusesItsReplicas) {
  auto pool = must_create(memory(16 * kMiB), kMiB);
  auto replica = must_add(*pool, "r", kMiB, true);
  expect_ok(run(pool->unload()));
  EXPECT_EQ(code_of(replica->write(0, Bytes(512))), Code::kFailedPrecondition);
  Bytes into(512);
  EXPECT_EQ(code_of(replica->read(0, into)), Code::kFailedPrecondition);
  EXPECT_EQ(run(pool->unload()).error().code, Code::kFailedPrecondition);
}

TEST_F(Pools, DestroyedPoolIsGone) {
  auto device = memory(16 * kMiB);
  auto pool = must_create(device, kMiB);
  auto replica = must_add(*pool, "r", kMiB, false);
  expect_ok(run(pool->destroy()));
  EXPECT_FALSE(device->claimed());
  EXPECT_EQ(code_of(replica->flush()), Code::kFailedPrecondition);
  EXPECT_EQ(run(Pool::probe(device)).error().code, Code::kNotFound);
}

// What a destroyed pool leaves behind is nobody's, also when the new one is not exported and all
// its metadata is looked through.
TEST_F(Pools, ANewPoolHasNothingOfADestroyedOne) {
  auto device = memory(16 * kMiB);
  auto pool = must_create(device, kMiB);
  for (const bool thin : {false, true})
    write(*must_add(*pool, thin ? "thin" : "thick", 2 * kMiB, thin), 0, pattern(2 * kMiB, 5));
  expect_ok(run(pool->destroy()));
  EXPECT_TRUE(all_zero(read_all(*device, 0, 4096))) << "the super block is wiped, all of it";
  pool = must_create(device, kMiB);
  must_add(*pool, "new", 4 * kMiB, false);
  pool.reset();  // killed
  device->release();
  pool = must_load(device);
  ASSERT_NE(pool, nullptr);
  EXPECT_TRUE(pool->faulted().empty());
  EXPECT_EQ(pool->replicas().size(), 1U);
  EXPECT_EQ(pool->info().used_bytes, 4ULL * kMiB);
  expect_zero(*pool->find(std::string_view("new")), 0, 4 * kMiB);
  expect_sound(std::move(pool));
}

// One operation after another fails once, at every step of a small life. What was acknowledged must
// be there, reads must go on, and a reload must find a sound pool.
class FailNth : public Pools {
 protected:
  struct Done {
    bool created = false, added = false, written = false, removed = false;
  };
  Done live(std::shared_ptr<Device> device) {
    Done done;
    auto created = run(Pool::create(env_, device, "p0", Uuid{}, {.cluster_size_bytes = kMiB}));
    if (!created) return done;
    done.created = true;
    Pool& pool = **created;
    auto thin = run(pool.create_replica({"thin", {}, 2 * kMiB, true, {}}));
    done.added = thin.has_value();
    if (thin) {
      done.written = run((*thin)->write(512, pattern(kMiB, 4))).has_value();
      if (done.written) EXPECT_EQ(read_all(**thin, 512, kMiB), pattern(kMiB, 4));
    }
    auto thick = run(pool.create_replica({"thick", {}, 2 * kMiB, false, {}}));
    if (thick) done.removed = run(pool.destroy_replica((*thick)->uuid())).has_value();
    if (done.written) EXPECT_EQ(read_all(**thin, 512, kMiB), pattern(kMiB, 4));
    thin = thick = fail(Code::kUnknown, "");
    (void)run(pool.unload());
    return done;
  }
};

TEST_F(FailNth, EveryOperationOnce) {
  std::uint64_t failed = 0;
  for (std::uint64_t nth = 0; nth == failed; ++nth) {  // until none is left to fail
    SCOPED_TRACE(nth);
    auto inner = memory(16 * kMiB);
    auto failing = std::make_shared<ErrorInjectingDevice>(inner);
    const auto rule = failing->inject(
        {.kinds = {IoKind::kWrite, IoKind::kFlush, IoKind::kWriteZeroes}, .skip = nth, .count = 1});
    const Done done = live(failing);
    failed += failing->fired(rule);
    auto pool = run(Pool::load(env_, inner));
    if (!pool) {
      EXPECT_FALSE(done.created) << pool.error().text();
      EXPECT_EQ(pool.error().code, Code::kNotFound) << pool.error().text();
      continue;
    }
    EXPECT_TRUE((*pool)->faulted().empty());
    auto thin = (*pool)->find(std::string_view("thin"));
    if (done.added) EXPECT_NE(thin, nullptr);
    if (done.written) EXPECT_EQ(read_all(*thin, 512, kMiB), pattern(kMiB, 4));
    if (done.removed) EXPECT_EQ((*pool)->find(std::string_view("thick")), nullptr);
    thin = nullptr;
    if (nth % 4 == 0)
      expect_sound(std::move(*pool));
    else
      expect_ok(run((*pool)->unload()));
  }
  EXPECT_GT(failed, 20U);
}

TEST_F(FailNth, FaultedPoolReadsOn) {
  auto inner = memory(16 * kMiB);
  auto failing = std::make_shared<ErrorInjectingDevice>(inner);
  auto pool = must_create(failing, kMiB);
  auto thin = must_add(*pool, "thin", 4 * kMiB, true);
  write(*thin, 0, pattern(4096, 1));
  failing->inject({.kinds = {IoKind::kFlush}, .skip = 0, .count = 1});
  EXPECT_FALSE(run(thin->write(kMiB, pattern(4096, 2))));
  EXPECT_TRUE(pool->info().faulted);
  EXPECT_EQ(read_all(*thin, 0, 4096), pattern(4096, 1));
  EXPECT_FALSE(run(pool->create_replica({"more", {}, kMiB, true, {}})));
  EXPECT_FALSE(run(thin->flush()));
  expect_ok(run(pool->unload()));
  pool = must_load(inner);
  EXPECT_EQ(read_all(*pool->find(std::string_view("thin")), 0, 4096), pattern(4096, 1));
  expect_sound(std::move(pool));
}

}  // namespace
}  // namespace capstan::storage
