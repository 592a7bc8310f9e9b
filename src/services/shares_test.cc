// Why this file exists: shares as the clients of the API and the hosts see them: names, hosts,
// claims, what stands over a restart, and what becomes of connections when the device below goes.
#include "services/shares.h"

#include <list>

#include "services/services_test_support.h"
#include "storage/device/error_device.h"
#include "storage/nvme/nvme_testing.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
namespace nvme = storage::nvme;
using google::protobuf::Empty;
using nvme::testing::RawHost;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kOther[] = "nqn.2014-08.org.example:other";
constexpr char kRpc[] = "mayastor.v1.ReplicaRpc/";

class SharesTest : public ServicesTest {
 protected:
  void SetUp() override {
    env_.add_disk("/disk0", {.size_bytes = 128 * kMiB});
    begin();
    ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  }
  void TearDown() override {
    world_.run(hang_up(&hosts_));  // streams end on the reactor
    ServicesTest::TearDown();
  }
  static core::Task<void> hang_up(std::list<RawHost>* hosts) {
    for (auto& host : *hosts) host.hang_up();
    co_return;
  }
  static core::Task<void> cut_power(core::SimEnv* env) {
    env->power_cut();  // connections are told on the reactor
    co_return;
  }
  // The node dies and comes back.
  void crash() {
    world_.run(cut_power(&env_));
    stop();  // nothing of it reaches the disks
    env_.power_on();
    begin();
  }
  RawHost& new_host() { return hosts_.emplace_back(); }
  void begin() {
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address(), .retry_delays = {1, 2, 3}});
    const auto started = run(node_->engine.start(true));
    ASSERT_TRUE(started) << started.error().text();
    const auto listening = run(listen(&node_->engine));
    ASSERT_TRUE(listening) << listening.error().text();
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }

  static std::string uuid(const std::string& name) { return Uuid::from_name(name).text(); }
  std::string shared_uri(const std::string& name) const {
    return "nvmf+tcp://" + env_.address() + ":8420/nqn.2019-05.io.openebs:" + name +
           "?uuid=" + uuid(name);
  }
  Result<Replica> share(const std::string& name, std::vector<std::string> hosts = {}) {
    v1::ShareReplicaRequest request;
    request.set_uuid(uuid(name));
    request.set_share(v1::NVMF);
    for (auto& host : hosts) request.add_allowed_hosts(host);
    return call<Replica>(std::string(kRpc) + "ShareReplica", request);
  }
  Result<Replica> unshare(const std::string& name) {
    v1::UnshareReplicaRequest request;
    request.set_uuid(uuid(name));
    return call<Replica>(std::string(kRpc) + "UnshareReplica", request);
  }
  Replica listed(const std::string& name) {
    v1::ListReplicaOptions options;
    options.mutable_name()->set_value(name);
    const auto out = call<v1::ListReplicasResponse>(std::string(kRpc) + "ListReplicas", options);
    EXPECT_TRUE(out && out->replicas_size() == 1) << name;
    return out && out->replicas_size() == 1 ? out->replicas(0) : Replica();
  }

  // What Connect to the admin queue is answered; `host` stays connected when it may.
  static core::Task<void> dial(core::SimEnv* env, RawHost* host, std::string name, std::string nqn,
                               nvme::Status* status) {
    co_await host->open(*env, core::Address::tcp(env->address(), 8420));
    const auto answer = co_await host->connect(
        {0, 0, 31, 0, 0},
        {nvme::testing::kHostId, nvme::kAnyController, share_nqn(name), std::move(nqn)});
    *status = answer.completion.status;
    if (status->ok()) {
      host->controller = static_cast<std::uint16_t>(answer.completion.dword0);
      EXPECT_TRUE(
          (co_await host->set_property(nvme::property::kCc, 0x00460001)).completion.status.ok());
    }
  }
  nvme::Status connect(RawHost& host, const std::string& name,
                       const std::string& nqn = nvme::testing::kHostNqn) {
    nvme::Status status;
    world_.run(dial(&env_, &host, name, nqn, &status));
    return status;
  }
  static core::Task<void> receive(RawHost* host, bool* open) {
    *open = (co_await host->receive()).has_value();
  }
  bool still_open(RawHost& host) {
    bool open = true;
    world_.run(receive(&host, &open));
    return open;
  }

  std::list<RawHost> hosts_;
};

TEST_F(SharesTest, NamesAndSerialsAreThoseOfMayastor) {
  EXPECT_EQ(share_nqn("r1"), "nqn.2019-05.io.openebs:r1");
  // printf '\0%.0s' {1..16} | sha256sum
  EXPECT_EQ(share_serial(Uuid()), "DCS374708FFF7719DD59");
}

TEST_F(SharesTest, ALife) {
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  const auto made = share("r1");
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->share(), v1::NVMF);
  EXPECT_EQ(made->uri(), shared_uri("r1"));
  EXPECT_EQ(made->allowed_hosts_size(), 0);
  EXPECT_EQ(listed("r1").uri(), made->uri());
  const auto device = node_->engine.devices().find("r1");
  EXPECT_TRUE(device->claimed());
  EXPECT_EQ(device->claimed_by(), "NVMe-oF Target");
  EXPECT_TRUE(share("r1")) << "shared already: fine";
  v1::ShareReplicaRequest none;
  none.set_uuid(uuid("r1"));
  EXPECT_TRUE(text_of(call<Replica>(std::string(kRpc) + "ShareReplica", none))
                  .starts_with("Invalid share protocol NONE"));
  RawHost& host = new_host();
  EXPECT_TRUE(connect(host, "r1").ok());
  for (int i = 0; i < 2; ++i) {
    const auto gone = unshare("r1");
    ASSERT_TRUE(gone) << text_of(gone);
    EXPECT_EQ(gone->share(), v1::NONE);
    EXPECT_EQ(gone->uri(), "bdev:///r1?uuid=" + uuid("r1"));
  }
  EXPECT_FALSE(still_open(host)) << "its connection has ended";
  EXPECT_FALSE(device->claimed());
  RawHost& late = new_host();
  EXPECT_FALSE(connect(late, "r1").ok());
}

TEST_F(SharesTest, AtCreationAndUntilDestruction) {
  v1::CreateReplicaRequest request;
  request.set_name("r1");
  request.set_uuid(uuid("r1"));
  request.set_pooluuid("p");
  request.set_size(4 * kMiB);
  request.set_share(v1::NVMF);
  request.add_allowed_hosts("not an nqn");
  const auto create = [&] { return call<Replica>(std::string(kRpc) + "CreateReplica", request); };
  EXPECT_EQ(code_of(create()), Code::kInvalidArgument);
  EXPECT_FALSE(node_->engine.devices().find("r1")) << "a failure takes the volume back";
  request.clear_allowed_hosts();
  const auto made = create();
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->uri(), shared_uri("r1"));
  RawHost& host = new_host();
  EXPECT_TRUE(connect(host, "r1").ok());
  v1::DestroyReplicaRequest destroy;
  destroy.set_uuid(uuid("r1"));
  const auto destroyed = call<Empty>(std::string(kRpc) + "DestroyReplica", destroy);
  EXPECT_TRUE(destroyed) << text_of(destroyed);
  EXPECT_FALSE(still_open(host));
  EXPECT_EQ(node_->engine.shares().size(), 0U);
  EXPECT_TRUE(create()) << "name and UUID are free again";
}

TEST_F(SharesTest, OnlyAllowedHosts) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  RawHost &early = new_host(), &mine = new_host(), &other = new_host();
  ASSERT_TRUE(share("r1"));
  EXPECT_TRUE(connect(early, "r1", kOther).ok());
  auto changed = share("r1", {nvme::testing::kHostNqn});
  ASSERT_TRUE(changed) << text_of(changed);
  EXPECT_EQ(changed->allowed_hosts_size(), 1);
  EXPECT_TRUE(connect(mine, "r1").ok());
  EXPECT_FALSE(connect(other, "r1", kOther).ok());
  EXPECT_EQ(share("r1")->allowed_hosts_size(), 1) << "an empty list changes nothing";
  EXPECT_EQ(code_of(share("r1", {"nonsense"})), Code::kInvalidArgument);
  EXPECT_EQ(listed("r1").allowed_hosts(0), nvme::testing::kHostNqn) << "as before";
  ASSERT_TRUE(share("r1", {kOther}));
  EXPECT_FALSE(still_open(mine)) << "removed from the list";
  RawHost& now = new_host();
  EXPECT_TRUE(connect(now, "r1", kOther).ok());
  EXPECT_EQ(node_->engine.find_replica_named("r1").replica->attributes().at("allowed-hosts"),
            kOther + std::string(1, '\0'));
}

TEST_F(SharesTest, HostsOfTheSubsystemAreThoseOfTheShare) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  ASSERT_TRUE(share("r1", {nvme::testing::kHostNqn}));
  Shares& shares = node_->engine.shares();
  const auto device = node_->engine.devices().find("r1");
  const auto subsystem = shares.target().find(share_nqn("r1"));
  EXPECT_TRUE(subsystem->allow_host(kOther));  // as nvmf_subsystem_add_host does
  EXPECT_EQ(shares.hosts(*device).size(), 2U);
  ASSERT_TRUE(shares.set_hosts(*device, {nvme::testing::kHostNqn}));
  EXPECT_FALSE(subsystem->allows(kOther));
  std::vector<std::string> most;
  for (std::size_t i = 0; i < nvme::limits::kAllowedHosts; ++i) {
    most.push_back("nqn.2014-08.org.example:h" + std::to_string(i));
  }
  ASSERT_TRUE(shares.set_hosts(*device, most));
  for (auto& host : most) host += "x";
  EXPECT_TRUE(shares.set_hosts(*device, most)) << "as many others";
  EXPECT_EQ(shares.hosts(*device).size(), most.size());
  EXPECT_TRUE(subsystem->allows(most.front()));
}

TEST_F(SharesTest, StandOverARestart) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  ASSERT_TRUE(create_replica("r2", "p", 4 * kMiB, true));
  ASSERT_TRUE(share("r1", {nvme::testing::kHostNqn}));
  ASSERT_TRUE(share("r2"));
  ASSERT_TRUE(unshare("r2"));
  stop();
  begin();
  EXPECT_EQ(listed("r1").uri(), shared_uri("r1"));
  EXPECT_EQ(listed("r1").allowed_hosts_size(), 1);
  EXPECT_EQ(listed("r2").share(), v1::NONE);
  RawHost &host = new_host(), &other = new_host();
  EXPECT_TRUE(connect(host, "r1").ok());
  EXPECT_FALSE(connect(other, "r1", kOther).ok());
}

// 59 such names are more than an attribute of a replica holds, 58 are not.
TEST_F(SharesTest, MoreHostsThanAReplicaCanKeepChangeNothing) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  ASSERT_TRUE(share("r1", {nvme::testing::kHostNqn}));
  std::vector<std::string> hosts;
  for (int i = 0; i < 59; ++i) {
    hosts.push_back("nqn.2014-08.org.nvmexpress:uuid:" + uuid("host" + std::to_string(i)));
  }
  const auto refused = share("r1", hosts);
  EXPECT_EQ(code_of(refused), Code::kInvalidArgument);
  EXPECT_TRUE(text_of(refused).starts_with("share replica 'r1': 59 allowed hosts have 4070 bytes"))
      << text_of(refused);
  EXPECT_NE(text_of(refused).find("a replica keeps 4049"), std::string::npos) << text_of(refused);
  ASSERT_EQ(listed("r1").allowed_hosts_size(), 1);
  EXPECT_EQ(listed("r1").allowed_hosts(0), nvme::testing::kHostNqn);
  v1::CreateReplicaRequest request;
  request.set_name("r2");
  request.set_uuid(uuid("r2"));
  request.set_pooluuid("p");
  request.set_size(4 * kMiB);
  request.set_share(v1::NVMF);
  for (const auto& host : hosts) request.add_allowed_hosts(host);
  EXPECT_EQ(code_of(call<Replica>(std::string(kRpc) + "CreateReplica", request)),
            Code::kInvalidArgument);
  EXPECT_FALSE(node_->engine.devices().find("r2"));
  hosts.pop_back();
  const auto taken = share("r1", hosts);
  EXPECT_TRUE(taken) << text_of(taken);
  crash();
  EXPECT_EQ(listed("r1").allowed_hosts_size(), 58);
}

TEST_F(SharesTest, HostsThatCannotBeStoredAreNotLetInEither) {
  v1::CreateBdevRequest memory;
  memory.set_uri("malloc:///m0?size_mb=64");
  ASSERT_TRUE(call<v1::CreateBdevResponse>("mayastor.v1.BdevRpc/Create", memory));
  spdk::ErrorCreateRequest error;
  error.set_base_name("m0");
  ASSERT_TRUE(call<Empty>("spdk.BdevModules/ErrorCreate", error));
  const auto failing = std::dynamic_pointer_cast<storage::ErrorInjectingDevice>(
      node_->engine.devices().find("EE_m0"));
  ASSERT_NE(failing, nullptr);
  ASSERT_TRUE(create_pool("q", "bdev:///EE_m0"));
  ASSERT_TRUE(create_replica("r1", "q", 4 * kMiB, true));
  ASSERT_TRUE(share("r1", {nvme::testing::kHostNqn}));
  failing->inject({.kinds = {storage::IoKind::kWrite, storage::IoKind::kFlush}, .count = 1000});
  EXPECT_FALSE(share("r1", {kOther}));
  ASSERT_EQ(listed("r1").allowed_hosts_size(), 1);
  EXPECT_EQ(listed("r1").allowed_hosts(0), nvme::testing::kHostNqn);
  EXPECT_FALSE(connect(new_host(), "r1", kOther).ok());
  failing->clear();
}

// A comma stands between hosts where a replica keeps them.
TEST_F(SharesTest, AHostWithACommaIsRefusedForReplicas) {
  const std::string host = "nqn.2014-08.org.example:a,nqn.2014-08.org.example:victim";
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  const auto refused = share("r1", {host});
  EXPECT_EQ(code_of(refused), Code::kInvalidArgument);
  EXPECT_TRUE(text_of(refused).starts_with("share replica 'r1': the allowed host '" + host +
                                           "' has a comma in its name"))
      << text_of(refused);
  EXPECT_EQ(listed("r1").share(), v1::NONE);
  ASSERT_TRUE(share("r1", {kOther}));
  EXPECT_EQ(code_of(share("r1", {kOther, host})), Code::kInvalidArgument);
  EXPECT_EQ(listed("r1").allowed_hosts_size(), 1);
}

TEST_F(SharesTest, AHostWithABlankChangesNothing) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  ASSERT_TRUE(share("r1", {nvme::testing::kHostNqn}));
  EXPECT_EQ(code_of(share("r1", {"nqn.2014-08.org.example:a b"})), Code::kInvalidArgument);
  ASSERT_EQ(listed("r1").allowed_hosts_size(), 1);
  EXPECT_EQ(listed("r1").allowed_hosts(0), nvme::testing::kHostNqn);
}

TEST_F(SharesTest, ANameThatNoShareCanHaveIsToldAsAFailureOfCreation) {
  v1::CreateReplicaRequest request;
  request.set_name("a b");
  request.set_uuid(uuid("a b"));
  request.set_pooluuid("p");
  request.set_size(4 * kMiB);
  request.set_share(v1::NVMF);
  const auto refused = call<Replica>(std::string(kRpc) + "CreateReplica", request);
  EXPECT_EQ(code_of(refused), Code::kInternal);
  EXPECT_NE(text_of(refused).find("neither blanks nor control characters"), std::string::npos)
      << text_of(refused);
  EXPECT_FALSE(node_->engine.devices().find("a b")) << "a failure takes the volume back";
}

TEST_F(SharesTest, ExportEndsTheSharesOfAPoolAndImportMakesThemAgain) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  ASSERT_TRUE(share("r1"));
  RawHost& host = new_host();
  EXPECT_TRUE(connect(host, "r1").ok());
  v1::ExportPoolRequest leave;
  leave.set_name("p");
  const auto left = call<Empty>("mayastor.v1.PoolRpc/ExportPool", leave);
  ASSERT_TRUE(left) << text_of(left);
  EXPECT_FALSE(still_open(host));
  EXPECT_EQ(node_->engine.shares().size(), 0U);
  v1::ImportPoolRequest come;
  come.set_name("p");
  come.add_disks("aio:///disk0");
  ASSERT_TRUE(call<Pool>("mayastor.v1.PoolRpc/ImportPool", come));
  EXPECT_EQ(listed("r1").uri(), shared_uri("r1"));
  v1::DestroyPoolRequest destroy;
  destroy.set_name("p");
  const auto destroyed = call<Empty>("mayastor.v1.PoolRpc/DestroyPool", destroy);
  EXPECT_TRUE(destroyed) << text_of(destroyed);
  EXPECT_EQ(node_->engine.shares().size(), 0U);
}

core::Task<void> await_event(RawHost* host, bool* asked, std::uint32_t* event) {
  nvme::Command wait = nvme::testing::make_command(nvme::opcode::kAsyncEvent, 77);
  co_await host->submit(wait);
  *asked = true;
  *event = (co_await host->finish()).completion.dword0;
}

core::Task<Result<void>> resize_under_host(rpc::Directory* directory, RawHost* host,
                                           v1::ResizeReplicaRequest request, std::uint32_t* event) {
  EXPECT_TRUE((co_await host->feature(true, 0x0B, 0x100)).completion.status.ok());
  core::Scope scope;
  bool asked = false;
  scope.spawn(await_event(host, &asked, event));
  rpc::Call call;
  v1::Replica response;
  auto done = co_await directory->run(*directory->find("mayastor.v1.ReplicaRpc/ResizeReplica"),
                                      call, request, response);
  co_await scope.join();
  co_return done;
}

TEST_F(SharesTest, HostsAreToldOfANewSize) {
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  ASSERT_TRUE(share("r1"));
  RawHost& host = new_host();
  ASSERT_TRUE(connect(host, "r1").ok());
  v1::ResizeReplicaRequest request;
  request.set_uuid(uuid("r1"));
  request.set_requested_size(12 * kMiB);
  std::uint32_t event = 0;
  const auto done = run(resize_under_host(&node_->directory, &host, request, &event));
  EXPECT_TRUE(done) << text_of(done);
  EXPECT_EQ(event, 0x00040002U) << "notice: namespace attribute changed, log page 4";
  request.set_requested_size(4 * kMiB);
  EXPECT_EQ(code_of(call<Replica>(std::string(kRpc) + "ResizeReplica", request)),
            Code::kFailedPrecondition)
      << "hosts may use what would be cut off";
}

TEST_F(SharesTest, DevicesAndTheirClaims) {
  v1::CreateBdevRequest create;
  create.set_uri("malloc:///m0?size_mb=16");
  ASSERT_TRUE(call<v1::CreateBdevResponse>("mayastor.v1.BdevRpc/Create", create));
  v1::BdevShareRequest request;
  request.set_name("m0");
  request.set_protocol(v1::NVMF);
  const auto share_device = [&] {
    return call<v1::BdevShareResponse>("mayastor.v1.BdevRpc/Share", request);
  };
  const auto shared = share_device();
  ASSERT_TRUE(shared) << text_of(shared);
  EXPECT_EQ(shared->bdev().share_uri(),
            "nvmf+tcp://" + env_.address() +
                ":8420/nqn.2019-05.io.openebs:m0?uuid=" + shared->bdev().uuid());
  EXPECT_TRUE(shared->bdev().claimed());
  EXPECT_EQ(code_of(share_device()), Code::kInternal);
  EXPECT_EQ(code_of(create_pool("q", "malloc:///m0?size_mb=16")), Code::kInvalidArgument);
  RawHost& host = new_host();
  EXPECT_TRUE(connect(host, "m0").ok());
  v1::DestroyBdevRequest destroy;
  destroy.set_uri("malloc:///m0?size_mb=16");
  const auto destroyed = call<Empty>("mayastor.v1.BdevRpc/Destroy", destroy);
  EXPECT_TRUE(destroyed) << text_of(destroyed);
  EXPECT_FALSE(still_open(host));
  EXPECT_EQ(node_->engine.shares().size(), 0U);

  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  request.set_name("r1");
  ASSERT_TRUE(share_device());
  EXPECT_EQ(listed("r1").share(), v1::NVMF) << "one share, by whichever call";
  v1::BdevUnshareRequest end;
  end.set_name("r1");
  EXPECT_TRUE(call<Empty>("mayastor.v1.BdevRpc/Unshare", end));
  EXPECT_EQ(listed("r1").share(), v1::NONE);
  const auto replica = node_->engine.devices().find("r1");
  ASSERT_TRUE(replica->claim("a nexus"));
  EXPECT_EQ(code_of(share("r1")), Code::kInternal) << "somebody else's";
  replica->release();
}

TEST_F(SharesTest, ATargetThatCannotListenSaysSo) {
  stop();
  node_ = std::make_unique<TestNode>(env_);
  node_->engine.shares().configure({.enabled = false});
  ASSERT_TRUE(run(node_->engine.start(true)));
  EXPECT_TRUE(run(listen(&node_->engine)));
  ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  const auto refused = share("r1");
  EXPECT_EQ(code_of(refused), Code::kFailedPrecondition);
  EXPECT_NE(text_of(refused).find("nvmf_enable"), std::string::npos) << text_of(refused);
}

}  // namespace
}  // namespace capstan::services
