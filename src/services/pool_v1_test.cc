// Why this file exists: PoolRpc as its clients see it: the order of checks with the status of each,
// what a pool reports, and that pools come back after a restart or say why they do not.
#include "services/pool_v1.h"

#include <algorithm>
#include <cctype>

#include "services/services_test_support.h"
#include "storage/pool/lvs_codec.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kUuid[] = "cbb0bb3f-6b8e-4c1c-8b5e-0f6a1f2a3b4c";

class PoolV1Test : public ServicesTest {
 protected:
  void SetUp() override {
    core::SimDiskOptions options;
    options.size_bytes = 100 * kMiB;
    env_.add_disk("/disk0", options);
    env_.add_disk("/disk1", options);
    start();
  }
  static v1::CreatePoolRequest request(const std::string& name = "p") {
    v1::CreatePoolRequest out;
    out.set_name(name);
    out.add_disks("aio:///disk0");
    return out;
  }
  Result<Pool> create(const v1::CreatePoolRequest& wanted) {
    return call<Pool>("mayastor.v1.PoolRpc/CreatePool", wanted);
  }
  Result<Pool> import(const std::string& name, const std::string& disk,
                      const std::string& uuid = "") {
    v1::ImportPoolRequest out;
    out.set_name(name);
    out.add_disks(disk);
    if (!uuid.empty()) out.mutable_uuid()->set_value(uuid);
    return call<Pool>("mayastor.v1.PoolRpc/ImportPool", out);
  }
  Result<Empty> destroy(const std::string& name, const std::string& uuid = "") {
    v1::DestroyPoolRequest out;
    out.set_name(name);
    if (!uuid.empty()) out.mutable_uuid()->set_value(uuid);
    return call<Empty>("mayastor.v1.PoolRpc/DestroyPool", out);
  }
  Result<Empty> export_pool(const std::string& name) {
    v1::ExportPoolRequest out;
    out.set_name(name);
    return call<Empty>("mayastor.v1.PoolRpc/ExportPool", out);
  }
  node::v1::Health health() {
    auto out =
        call<node::v1::Health>("capstan.node.v1.NodeRpc/GetHealth", node::v1::GetHealthRequest());
    return out ? *out : node::v1::Health();
  }
  core::Task<Result<void>> write_disk(std::string path, std::vector<std::uint8_t> bytes) {
    core::OpenOptions options;
    options.write = true;
    CO_TRY_SET(const auto file, co_await env_.files().open(std::move(path), options));
    CO_TRY(co_await file->write(0, bytes));
    co_return co_await file->sync_data();
  }
  // How often the node's log has the event.
  std::ptrdiff_t seen(const std::string& event) {
    return std::ranges::count(node_->sink.events, event);
  }
  // The detail of a part of the node's health; empty when there is none.
  std::string trouble(const std::string& part) {
    for (const auto& one : health().parts()) {
      if (one.name() == part && !one.healthy()) return one.detail();
    }
    return {};
  }
};

TEST_F(PoolV1Test, CreateAnswersThePool) {
  auto wanted = request();
  wanted.mutable_uuid()->set_value(kUuid);
  const auto pool = create(wanted);
  ASSERT_TRUE(pool) << text_of(pool);
  EXPECT_EQ(pool->uuid(), kUuid);
  EXPECT_EQ(pool->name(), "p");
  EXPECT_EQ(pool->capacity(), 100663296U);
  EXPECT_EQ(pool->used(), 0U);
  EXPECT_EQ(pool->committed(), 0U);
  EXPECT_EQ(pool->state(), v1::POOL_ONLINE);
  EXPECT_EQ(pool->cluster_size(), 4 * kMiB);
  EXPECT_EQ(pool->page_size(), 4096U);
  EXPECT_EQ(pool->disk_capacity(), 100 * kMiB);
  EXPECT_EQ(pool->md_info().md_page_size(), 4096U);
  EXPECT_EQ(pool->md_info().md_pages(), 25U);
  ASSERT_EQ(pool->disks_size(), 1);
  EXPECT_TRUE(pool->disks(0).starts_with("aio:///disk0?uuid=")) << pool->disks(0);
}

TEST_F(PoolV1Test, ChecksComeInOrder) {
  auto wanted = request("");
  wanted.clear_disks();
  wanted.mutable_uuid()->set_value("bad");
  wanted.set_pooltype(static_cast<v1::PoolType>(7));
  EXPECT_EQ(text_of(create(wanted)), "invalid pool type 7");
  wanted.set_pooltype(v1::Lvm);
  EXPECT_EQ(code_of(create(wanted)), Code::kFailedPrecondition);
  wanted.set_pooltype(v1::Lvs);
  EXPECT_TRUE(text_of(create(wanted)).starts_with("invalid argument, missing devices"));
  wanted.add_disks("nosuch:///x");
  wanted.add_disks("aio:///disk0");
  EXPECT_TRUE(text_of(create(wanted)).starts_with("invalid uuid provided, "));
  wanted.clear_uuid();
  EXPECT_EQ(code_of(create(wanted)), Code::kInvalidArgument);
  wanted.set_name("p");
  {
    const auto lock = node_->engine.locks().try_lock("p");
    ASSERT_TRUE(lock);
    const auto refused = create(wanted);
    EXPECT_EQ(code_of(refused), Code::kAborted);
    EXPECT_TRUE(text_of(refused).starts_with(
        "Failed to acquire lock for the resource: p, lock already held"));
  }
  EXPECT_TRUE(text_of(create(wanted)).starts_with("invalid number 2 of devices ["));
  wanted.clear_disks();
  wanted.add_disks("nosuch:///x");
  EXPECT_EQ(code_of(create(wanted)), Code::kInvalidArgument);
  wanted.set_disks(0, "/missing");
  const auto missing = create(wanted);
  EXPECT_EQ(code_of(missing), Code::kNotFound);
  EXPECT_TRUE(text_of(missing).starts_with("Failed to create a BDEV '/missing'"))
      << text_of(missing);
  EXPECT_TRUE(node_->engine.devices().list().empty());
}

TEST_F(PoolV1Test, SizesAreChecked) {
  auto wanted = request();
  wanted.set_cluster_size(0);
  EXPECT_EQ(code_of(create(wanted)), Code::kInvalidArgument);
  wanted.set_cluster_size(kMiB + 4096);
  const auto odd = create(wanted);
  EXPECT_EQ(code_of(odd), Code::kInternal);
  EXPECT_NE(text_of(odd).find("not multiple of 1MiB"), std::string::npos);
  wanted.set_cluster_size(2048 * kMiB);
  const auto large = create(wanted);
  EXPECT_EQ(code_of(large), Code::kInternal);
  EXPECT_NE(text_of(large).find("larger than max limit 1073741824"), std::string::npos);
  wanted.set_cluster_size(512 * kMiB);
  EXPECT_EQ(code_of(create(wanted)), Code::kInternal);  // the disk is too small
  wanted.clear_cluster_size();
  wanted.mutable_md_args()->set_md_resv_ratio(-1);
  EXPECT_EQ(code_of(create(wanted)), Code::kInternal);
  EXPECT_TRUE(node_->engine.devices().list().empty()) << "a failed call leaves no device";
  wanted.mutable_md_args()->set_md_resv_ratio(2);
  const auto pool = create(wanted);
  ASSERT_TRUE(pool) << text_of(pool);
  EXPECT_EQ(pool->md_info().md_pages(), 50U);
}

TEST_F(PoolV1Test, CreatingAgainIsRefused) {
  ASSERT_TRUE(create(request()));
  EXPECT_EQ(code_of(create(request())), Code::kAlreadyExists);
  auto other_disk = request();
  other_disk.set_disks(0, "aio:///disk1");
  EXPECT_EQ(code_of(create(other_disk)), Code::kInvalidArgument);
  const auto claimed = create(request("q"));
  EXPECT_EQ(code_of(claimed), Code::kInvalidArgument);
  EXPECT_NE(text_of(claimed).find("volume is busy"), std::string::npos);
  EXPECT_EQ(list_pools().size(), 1U);
}

TEST_F(PoolV1Test, OneUuidIsOpenOnce) {
  auto wanted = request();
  wanted.mutable_uuid()->set_value(kUuid);
  ASSERT_TRUE(create(wanted));
  ASSERT_TRUE(create_pool("q", "aio:///disk1"));
  ASSERT_TRUE(destroy("q"));
  auto twin = wanted;
  twin.set_name("q");
  twin.set_disks(0, "aio:///disk1");
  const auto refused = create(twin);
  EXPECT_EQ(code_of(refused), Code::kAlreadyExists) << text_of(refused);
  EXPECT_NE(text_of(refused).find("open pool 'p'"), std::string::npos);
  EXPECT_EQ(node_->engine.devices().list().size(), 1U) << "the second disk is closed again";
  ASSERT_TRUE(export_pool("p"));
  ASSERT_TRUE(create(twin)) << "the UUID is free again";
  EXPECT_EQ(code_of(import("p", "aio:///disk0")), Code::kAlreadyExists);
  EXPECT_EQ(code_of(create(wanted)), Code::kAlreadyExists);
  EXPECT_EQ(list_pools().size(), 1U);
}

TEST_F(PoolV1Test, APlainPathIsAbsolute) {
  auto wanted = request();
  wanted.set_disks(0, "disk0");
  const auto refused = create(wanted);
  EXPECT_EQ(code_of(refused), Code::kInvalidArgument);
  EXPECT_NE(text_of(refused).find("'disk0' is neither a URI nor an absolute path"),
            std::string::npos)
      << text_of(refused);
}

TEST_F(PoolV1Test, CreateOpensWhatIsOnTheDisk) {
  ASSERT_TRUE(create(request()));
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  ASSERT_TRUE(export_pool("p"));
  EXPECT_TRUE(list_pools().empty());
  EXPECT_TRUE(node_->engine.devices().list().empty());
  const auto renamed = create(request("q"));
  EXPECT_EQ(code_of(renamed), Code::kInvalidArgument);
  EXPECT_NE(text_of(renamed).find("existing pool disk has different name"), std::string::npos);
  auto wrong = request();
  wrong.mutable_uuid()->set_value(kUuid);
  EXPECT_EQ(code_of(create(wrong)), Code::kInvalidArgument);
  auto odd = request();
  odd.set_cluster_size(7);  // ignored: nothing is formatted
  const auto opened = create(odd);
  ASSERT_TRUE(opened) << text_of(opened);
  EXPECT_EQ(opened->committed(), 8 * kMiB);
  EXPECT_TRUE(node_->engine.devices().find("p/r1"));
}

TEST_F(PoolV1Test, ImportNeedsThePool) {
  EXPECT_EQ(code_of(import("p", "aio:///disk0")), Code::kInvalidArgument);
  const auto created = create(request());
  ASSERT_TRUE(created);
  EXPECT_EQ(code_of(import("p", "aio:///disk0")), Code::kAlreadyExists);
  EXPECT_EQ(code_of(import("p", "aio:///disk1")), Code::kInvalidArgument);
  ASSERT_TRUE(export_pool("p"));
  EXPECT_EQ(code_of(import("q", "aio:///disk0")), Code::kInvalidArgument);
  EXPECT_EQ(code_of(import("p", "aio:///disk0", kUuid)), Code::kInvalidArgument);
  const auto imported = import("p", created->disks(0), created->uuid());
  ASSERT_TRUE(imported) << text_of(imported);
  EXPECT_EQ(imported->uuid(), created->uuid());
}

TEST_F(PoolV1Test, DestroyAndExportFindByNameAndUuid) {
  EXPECT_EQ(text_of(destroy("p")), "Pool p not found");
  EXPECT_EQ(code_of(export_pool("p")), Code::kNotFound);
  ASSERT_TRUE(create(request()));
  EXPECT_EQ(code_of(destroy("p", kUuid)), Code::kNotFound);
  {
    const auto lock = node_->engine.locks().try_lock("p");
    EXPECT_EQ(code_of(destroy("p")), Code::kAborted);
  }
  EXPECT_TRUE(destroy("p"));
  EXPECT_EQ(code_of(destroy("p")), Code::kNotFound);
  EXPECT_EQ(code_of(import("p", "aio:///disk0")), Code::kInvalidArgument) << "nothing is left";
  EXPECT_TRUE(create(request("q")));
}

TEST_F(PoolV1Test, ListFilters) {
  const auto p = create(request());
  ASSERT_TRUE(p);
  ASSERT_TRUE(create_pool("q", "/disk1"));
  EXPECT_EQ(list_pools().size(), 2U);
  const auto count = [&](const v1::ListPoolOptions& options) {
    const auto out = call<v1::ListPoolsResponse>("mayastor.v1.PoolRpc/ListPools", options);
    return out ? out->pools_size() : -1;
  };
  v1::ListPoolOptions options;
  options.mutable_name()->set_value("q");
  EXPECT_EQ(count(options), 1);
  options.mutable_uuid()->set_value(kUuid);
  EXPECT_EQ(count(options), 1) << "the name decides";
  options.clear_name();
  EXPECT_EQ(count(options), 0);
  options.mutable_uuid()->set_value(p->uuid());
  EXPECT_EQ(count(options), 1);
  std::string capitals = p->uuid();
  std::ranges::transform(capitals, capitals.begin(),
                         [](unsigned char c) { return std::toupper(c); });
  options.mutable_uuid()->set_value(capitals);
  EXPECT_EQ(count(options), 1);
  options.mutable_pooltype()->set_value(static_cast<v1::PoolType>(9));
  const auto unknown = call<v1::ListPoolsResponse>("mayastor.v1.PoolRpc/ListPools", options);
  EXPECT_EQ(code_of(unknown), Code::kInvalidArgument);
}

TEST_F(PoolV1Test, ForeignDataIsNotOverwrittenUnlessForced) {
  {  // an ext4 super block: its magic number and nothing else that libblkid needs
    static constexpr std::uint8_t kMagic[] = {0x53, 0xef};
    std::vector<std::uint8_t> block(4096, 0);
    std::copy(std::begin(kMagic), std::end(kMagic), block.begin() + 1024 + 56);
    block[1024 + 0] = 16;    // inodes
    block[1024 + 4] = 64;    // blocks
    block[1024 + 76] = 1;    // revision
    block[1024 + 88] = 128;  // inode size
    const auto wrote = run(write_disk("/disk0", block));
    ASSERT_TRUE(wrote) << text_of(wrote);
  }
  const auto refused = create(request());
  ASSERT_EQ(code_of(refused), Code::kFailedPrecondition) << text_of(refused);
  EXPECT_TRUE(node_->engine.devices().list().empty());
  call_.metadata.request = {{"capstan-force", "true"}};
  const auto forced = create(request());
  EXPECT_TRUE(forced) << text_of(forced);
}

TEST_F(PoolV1Test, ADamagedPoolIsNotOverwrittenUnlessForced) {
  ASSERT_TRUE(create(request()));
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  ASSERT_TRUE(export_pool("p"));
  std::vector<std::uint8_t> super(4096);
  env_.disk("/disk0").peek(0, super);
  super[40] ^= 1;
  env_.disk("/disk0").poke(0, super);
  const auto refused = create(request());
  ASSERT_EQ(code_of(refused), Code::kFailedPrecondition) << text_of(refused);
  EXPECT_NE(text_of(refused).find("damaged pool"), std::string::npos);
  EXPECT_NE(text_of(refused).find("--force"), std::string::npos);
  EXPECT_TRUE(node_->engine.devices().list().empty());
  EXPECT_EQ(code_of(import("p", "aio:///disk0")), Code::kInvalidArgument);
  std::vector<std::uint8_t> after(4096);
  env_.disk("/disk0").peek(0, after);
  EXPECT_EQ(after, super);

  call_.metadata.request = {{"capstan-force", "true"}};
  const auto forced = create(request());
  ASSERT_TRUE(forced) << text_of(forced);
  EXPECT_EQ(forced->used(), 0U);
  EXPECT_FALSE(node_->engine.find_pool("p")->pool->find("r1"));
  // Forcing gives up what is damaged, never a pool that can be opened.
  ASSERT_TRUE(export_pool("p"));
  EXPECT_EQ(code_of(create(request("other"))), Code::kInvalidArgument);
  EXPECT_TRUE(create(request()));
}

// A volume of which nothing can be read was listed without a name, and nobody could delete it.
TEST_F(PoolV1Test, FixedBugADamagedVolumeIsNamedSoThatItCanBeDestroyed) {
  ASSERT_TRUE(create(request()));
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  ASSERT_TRUE(export_pool("p"));
  env_.disk("/disk0").poke((4 + 1) * 4096, std::vector<std::uint8_t>(4096));  // its first page
  ASSERT_TRUE(import("p", "aio:///disk0"));
  const auto damaged = node_->engine.find_pool("p")->pool->faulted();
  ASSERT_EQ(damaged.size(), 1U);
  const std::string uuid = damaged.front().uuid.text();
  auto state = health();
  EXPECT_FALSE(state.healthy());
  EXPECT_NE(state.DebugString().find(uuid), std::string::npos) << state.DebugString();
  v1::DestroyReplicaRequest destroy;
  destroy.set_uuid(uuid);
  const auto destroyed = call<Empty>("mayastor.v1.ReplicaRpc/DestroyReplica", destroy);
  EXPECT_TRUE(destroyed) << text_of(destroyed);
  EXPECT_TRUE(health().healthy());
}

TEST_F(PoolV1Test, APoolGrowsWithItsDisk) {
  const auto grow = [this](const std::string& name, const std::string& uuid = "") {
    v1::GrowPoolRequest wanted;
    wanted.set_name(name);
    if (!uuid.empty()) wanted.mutable_uuid()->set_value(uuid);
    return call<v1::GrowPoolResponse>("mayastor.v1.PoolRpc/GrowPool", wanted);
  };
  EXPECT_EQ(code_of(grow("p")), Code::kNotFound);
  ASSERT_TRUE(create(request()));
  EXPECT_EQ(code_of(grow("p", kUuid)), Code::kNotFound);
  auto grown = grow("p");
  ASSERT_TRUE(grown) << text_of(grown);
  EXPECT_EQ(grown->current_pool().capacity(), 96 * kMiB) << "nothing to grow by";
  EXPECT_EQ(grown->previous_pool().SerializeAsString(), grown->current_pool().SerializeAsString());

  env_.disk("/disk0").grow(203 * kMiB);
  grown = grow("p");
  ASSERT_TRUE(grown) << text_of(grown);
  EXPECT_EQ(grown->previous_pool().capacity(), 96 * kMiB);
  EXPECT_EQ(grown->previous_pool().disk_capacity(), 100 * kMiB);
  EXPECT_EQ(grown->current_pool().capacity(), 196 * kMiB);
  EXPECT_EQ(grown->current_pool().disk_capacity(), 203 * kMiB);
  EXPECT_EQ(grown->current_pool().used(), 0U);
  ASSERT_TRUE(create_replica("r1", "p", 196 * kMiB, false)) << "all of it can be used";
  ASSERT_TRUE(export_pool("p"));
  const auto imported = import("p", "aio:///disk0");
  ASSERT_TRUE(imported) << text_of(imported);
  EXPECT_EQ(imported->capacity(), 196 * kMiB);
  EXPECT_EQ(imported->used(), 196 * kMiB);

  env_.disk("/disk0").grow(1ULL << 38);  // more clusters than the masks have room for
  const auto refused = grow("p");
  EXPECT_EQ(code_of(refused), Code::kInternal);
  EXPECT_NE(text_of(refused).find("can grow to"), std::string::npos) << text_of(refused);
  EXPECT_EQ(list_pools().front().capacity(), 196 * kMiB);
}

// --- restarts ------------------------------------------------------------------------------------

TEST_F(PoolV1Test, PoolsComeBackAfterARestart) {
  ASSERT_TRUE(create(request()));
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  stop();
  start();
  ASSERT_EQ(list_pools().size(), 1U);
  EXPECT_TRUE(node_->engine.devices().find("r1"));
  EXPECT_TRUE(health().healthy());
  stop();
  start(false);
  EXPECT_TRUE(list_pools().empty()) << "a node under a control plane starts bare";
  stop();
  start();
  EXPECT_EQ(list_pools().size(), 1U) << "and has forgotten nothing";
}

TEST_F(PoolV1Test, PoolsComeBackAfterAPowerCut) {
  ASSERT_TRUE(create(request()));
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  env_.power_cut();
  node_.reset();
  env_.power_on();
  start();
  ASSERT_EQ(list_pools().size(), 1U);
  EXPECT_TRUE(node_->engine.devices().find("r1"));
}

TEST_F(PoolV1Test, ExportedAndDestroyedPoolsStayAway) {
  ASSERT_TRUE(create(request()));
  ASSERT_TRUE(create_pool("q", "/disk1"));
  ASSERT_TRUE(export_pool("p"));
  ASSERT_TRUE(destroy("q"));
  stop();
  start();
  EXPECT_TRUE(list_pools().empty());
  EXPECT_TRUE(health().healthy());
}

TEST_F(PoolV1Test, APoolThatCannotBeOpenedIsKeptAndShown) {
  ASSERT_TRUE(create(request()));
  stop();
  core::SimFault fault;
  fault.times = 1'000'000;
  env_.disk("/disk0").inject(fault);
  start();
  EXPECT_TRUE(list_pools().empty());
  EXPECT_FALSE(health().healthy());
  EXPECT_NE(trouble("pool p").find("not open"), std::string::npos) << trouble("pool p");
  auto elsewhere = request();
  elsewhere.set_disks(0, "aio:///disk1");
  EXPECT_EQ(code_of(create(elsewhere)), Code::kInvalidArgument) << "the name is taken";
  stop();
  env_.disk("/disk0").clear_faults();
  start();
  EXPECT_EQ(list_pools().size(), 1U);
  EXPECT_TRUE(health().healthy());
}

TEST_F(PoolV1Test, ImportingCuresAnUnavailablePoolAndExportingForgetsIt) {
  ASSERT_TRUE(create(request()));
  for (const bool import_it : {true, false}) {
    stop();
    core::SimFault fault;
    fault.times = 1'000'000;
    env_.disk("/disk0").inject(fault);
    start();
    env_.disk("/disk0").clear_faults();
    ASSERT_FALSE(trouble("pool p").empty());
    if (import_it) {
      const auto imported = import("p", "aio:///disk0");
      EXPECT_TRUE(imported) << text_of(imported);
    } else {
      EXPECT_TRUE(export_pool("p"));
    }
    EXPECT_TRUE(health().healthy());
  }
  stop();
  start();
  EXPECT_TRUE(list_pools().empty());
}

// What a wiped super block looks like: the node remembers the pool, its disk is there, and nothing
// is on it. Formatting that by a call which usually imports would be the end of the data.
TEST_F(PoolV1Test, ADiskWhosePoolVanishedIsNotFormatted) {
  ASSERT_TRUE(create(request()));
  stop();
  ASSERT_TRUE(run(write_disk("/disk0", std::vector<std::uint8_t>(kMiB))));
  start();
  ASSERT_NE(trouble("pool p").find("not open"), std::string::npos);
  const auto refused = create(request());
  EXPECT_EQ(code_of(refused), Code::kFailedPrecondition) << text_of(refused);
  EXPECT_NE(text_of(refused).find("no pool is on it now"), std::string::npos) << text_of(refused);
  EXPECT_TRUE(node_->engine.devices().list().empty());
  call_.metadata.request = {{"capstan-force", "true"}};
  EXPECT_TRUE(create(request())) << "the user insists";
  EXPECT_TRUE(health().healthy());
}

// Once the lower one, whose name comes first, has lost its replica, the upper one has no disk.
TEST_F(PoolV1Test, APoolOnAReplicaIsClosedBeforeThePoolOfThat) {
  ASSERT_TRUE(create_pool("a", "aio:///disk0"));
  ASSERT_TRUE(create_replica("ra", "a", 64 * kMiB, false));
  ASSERT_TRUE(create_pool("b", "bdev:///ra"));
  ASSERT_TRUE(create_replica("rb", "b", 8 * kMiB, true));
  world_.run(node_->engine.stop());
  EXPECT_TRUE(node_->engine.pools().empty());
  EXPECT_EQ(seen("pool_faulted") + seen("pool_closed_uncleanly"), 0);
  node_.reset();
  start();
  EXPECT_EQ(seen("pool_recovered"), 0);
  EXPECT_TRUE(health().healthy());
  EXPECT_TRUE(node_->engine.find_pool("a"));
  EXPECT_TRUE(node_->engine.find_pool("b"));
  const auto below = node_->engine.devices().find("ra");
  ASSERT_NE(below, nullptr);
  std::vector<std::uint8_t> page(4096);
  ASSERT_TRUE(run(below->read(0, page)));
  const auto super = storage::lvs::decode_super(page, 64 * kMiB);
  ASSERT_TRUE(super) << text_of(super);
  EXPECT_EQ(super->super.clean, 1U);
  EXPECT_TRUE(node_->engine.devices().find("b/rb"));
}

TEST_F(PoolV1Test, TheSameWithADeviceBetween) {
  ASSERT_TRUE(create_pool("a", "aio:///disk0"));
  ASSERT_TRUE(create_replica("ra", "a", 64 * kMiB, false));
  spdk::ErrorCreateRequest between;
  between.set_base_name("ra");
  ASSERT_TRUE(call<Empty>("spdk.BdevModules/ErrorCreate", between));
  ASSERT_TRUE(create_pool("b", "bdev:///EE_ra"));
  ASSERT_TRUE(create_replica("rb", "b", 8 * kMiB, true));
  world_.run(node_->engine.stop());
  EXPECT_TRUE(node_->engine.pools().empty());
  EXPECT_EQ(seen("pool_faulted") + seen("pool_closed_uncleanly"), 0);
}

TEST_F(PoolV1Test, PoolsInMemoryAreNotRecorded) {
  ASSERT_TRUE(create_pool("m", "Malloc:///m0?size_mb=100"));
  EXPECT_TRUE(node_->engine.state().pools().empty());
  stop();
  start();
  EXPECT_TRUE(health().healthy());
}

TEST_F(PoolV1Test, ADamagedStateFileStopsTheStart) {
  ASSERT_TRUE(create(request()));
  stop();
  ASSERT_TRUE(run(env_.files().replace_file("/state/node.json", "{\"version\":")));
  node_ = std::make_unique<TestNode>(env_);
  const auto started = run(node_->engine.start(true));
  EXPECT_EQ(code_of(started), Code::kDataLoss);
  EXPECT_EQ(text_of(started).find('\n'), std::string::npos) << text_of(started);
  ASSERT_TRUE(run(env_.files().replace_file("/state/node.json", "{\"version\":2}")));
  node_ = std::make_unique<TestNode>(env_);
  EXPECT_EQ(code_of(run(node_->engine.start(true))), Code::kFailedPrecondition);
}

// The power fails at every I/O of a creation and of a destruction in turn. Afterwards the pool is
// there or it is not, the node is healthy, and the same call can be made again.
TEST_F(PoolV1Test, PowerCutAtAnyPointOfCreateAndDestroy) {
  bool created_all = false, destroyed_all = false;
  for (std::uint64_t n = 1; n < 200 && !(created_all && destroyed_all); ++n) {
    SCOPED_TRACE(n);
    for (const bool destroying : {false, true}) {
      if (list_pools().empty() == destroying) {
        const auto prepared = destroying ? code_of(create(request())) : code_of(destroy("p"));
        ASSERT_EQ(prepared, Code::kOk);
      }
      env_.cut_power_after(n);
      const bool ok = destroying ? destroy("p").has_value() : create(request()).has_value();
      const bool cut = !env_.powered();
      env_.cut_power_after(0);
      if (!cut) {
        ASSERT_TRUE(ok);
        (destroying ? destroyed_all : created_all) = true;
        continue;
      }
      node_.reset();
      env_.power_on();
      start();
      const bool there = !list_pools().empty();
      EXPECT_EQ(trouble("pool p"), "");
      if (ok) EXPECT_EQ(there, !destroying) << "what was acknowledged has happened";
      if (!destroying && !there) {
        const auto again = create(request());
        EXPECT_TRUE(again) << text_of(again);
      }
    }
  }
  EXPECT_TRUE(created_all && destroyed_all);
}

}  // namespace
}  // namespace capstan::services
