// Why this file exists: several NVMe targets in one node as a client of SPDK's calls sees them, and
// as hosts do: nothing of one shows at another, deleting one takes its hosts and nobody else's, and
// a device, an address or a shutdown in the middle of it does no harm (jsonrpc section B.7).
#include <google/protobuf/util/json_util.h>

#include "services/spdk_nvmf_testing.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using nvme::testing::RawHost;

constexpr char kAt[] = R"(,"tgt_name":"t1")";
constexpr char kNamed[] = R"({"tgt_name":"t1"})";

class SpdkTargets : public SpdkNvmfTest {
 protected:
  void SetUp() override {
    SpdkNvmfTest::SetUp();
    EXPECT_EQ(json("nvmf_create_target", R"({"name":"t1"})"), R"("t1")");
  }
  // A subsystem of the same name as the other target's, on a device and a port of its own.
  void make_there() {
    EXPECT_EQ(json("bdev_malloc_create", R"({"name":"N2","block_size":512,"num_blocks":64})"),
              R"("N2")");
    EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP","tgt_name":"t1"})"), "true");
    EXPECT_EQ(json("nvmf_create_subsystem", nqn(kAt + std::string(R"(,"allow_any_host":true)"))),
              "true");
    EXPECT_EQ(json("nvmf_subsystem_add_ns",
                   nqn(kAt + std::string(R"(,"namespace":{"bdev_name":"N2","nsid":1})"))),
              "1");
    EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn(kAt + ("," + address("4444")))), "true");
  }
  std::string config() { return json("framework_get_config", R"({"name":"nvmf"})"); }
  storage::Device& device(const char* name) { return *node_->engine.devices().find(name); }
};

TEST_F(SpdkTargets, ComeAndGo) {
  EXPECT_EQ(json("nvmf_create_target",
                 R"({"name":"t2","max_subsystems":1,"discovery_filter":"address,svcid"})"),
            R"("t2")");
  EXPECT_EQ(json("nvmf_get_targets"), R"(["t2","t1","nvmf_tgt"])");
  EXPECT_EQ(json("nvmf_create_target", R"({"name":"t1"})"), "-32602 Target already exists.");
  EXPECT_EQ(json("nvmf_create_target", R"({"name":"nvmf_tgt"})"), "-32602 Target already exists.");
  const std::string unable = "-32603 Unable to create the requested target.";
  EXPECT_EQ(json("nvmf_create_target", R"({"name":""})"), unable);
  EXPECT_EQ(json("nvmf_create_target", R"({"name":")" + std::string(256, 'n') + "\"}"), unable);
  EXPECT_EQ(json("nvmf_create_target", R"({"name":"t3","discovery_filter":"colour"})"),
            "-32602 Invalid parameters");
  EXPECT_EQ(
      json("nvmf_create_target", R"({"name":"t3","dup_host_policy":"restrict_per_listener"})"),
      "-32602 Invalid parameters");
  const auto one = [&](const char* name) {
    return json("nvmf_create_subsystem",
                R"({"tgt_name":"t2","nqn":"nqn.2019-05.io.openebs:)" + std::string(name) + "\"}");
  };
  EXPECT_EQ(one("a"), "true");
  EXPECT_EQ(one("b"), "-32603 Unable to create subsystem nqn.2019-05.io.openebs:b");
  EXPECT_EQ(json("nvmf_delete_target", R"({"name":"t2"})"), "true");
  EXPECT_EQ(json("nvmf_delete_target", R"({"name":"t2"})"),
            "-32602 The specified target doesn't exist, cannot delete it.");
  EXPECT_EQ(json("nvmf_delete_target", R"({"name":"nvmf_tgt"})"),
            "-32602 Target 'nvmf_tgt' has the node's shares and cannot be deleted; delete its "
            "subsystems");
  EXPECT_EQ(json("nvmf_get_targets"), R"(["t1","nvmf_tgt"])");
  for (unsigned i = 2; i < kTargets; ++i) {
    const std::string name = "\"more" + std::to_string(i) + "\"";
    EXPECT_EQ(json("nvmf_create_target", R"({"name":)" + name + "}"), name);
  }
  EXPECT_EQ(json("nvmf_create_target", R"({"name":"t3"})"), unable);
}

TEST_F(SpdkTargets, WithoutATransportThereAreNoListeners) {
  EXPECT_EQ(json("nvmf_get_transports", kNamed), "[]");
  EXPECT_EQ(json("nvmf_get_transports", R"({"tgt_name":"t1","trtype":"TCP"})"),
            "-19 No such device");
  EXPECT_TRUE(has(json("nvmf_get_stats", kNamed), R"("transports":[])"));
  EXPECT_EQ(json("nvmf_create_subsystem", nqn(kAt)), "true");
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn(kAt + ("," + address("4444")))),
            "-32602 Invalid parameters");
  const std::string transport = R"({"trtype":"tcp","tgt_name":"t1"})";
  EXPECT_EQ(json("nvmf_create_transport", transport), "true");
  EXPECT_EQ(json("nvmf_create_transport", transport), "-32603 Transport type 'tcp' already exists");
  EXPECT_EQ(json("nvmf_get_transports", kNamed), json("nvmf_get_transports"));
  EXPECT_TRUE(has(json("nvmf_get_stats", kNamed), R"("transports":[{"trtype":"TCP"}])"));
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn(kAt + ("," + address("4444")))), "true");
}

TEST_F(SpdkTargets, EachHasItsOwn) {
  make();
  make_there();
  // An address belongs to one of them.
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn(kAt + ("," + address()))),
            "-32602 Invalid parameters");
  // So does a device.
  EXPECT_EQ(
      json("nvmf_subsystem_add_ns", nqn(kAt + std::string(R"(,"namespace":{"bdev_name":"N1"})"))),
      "-32602 Invalid parameters");
  const std::string there = json("nvmf_get_subsystems", kNamed);
  EXPECT_TRUE(has(there, R"("subtype":"Discovery","listen_addresses":[)" + printed("4444") + "]"))
      << there;
  EXPECT_TRUE(has(there, R"("bdev_name":"N2")") && !has(there, "N1") &&
              !has(there, printed("8420")))
      << there;
  const std::string here = json("nvmf_get_subsystems", R"({"tgt_name":"nvmf_tgt"})");
  EXPECT_EQ(here, json("nvmf_get_subsystems"));
  EXPECT_TRUE(has(here, R"("bdev_name":"N1")") && !has(here, "N2") && !has(here, printed("4444")))
      << here;
  EXPECT_EQ(json("nvmf_subsystem_get_listeners", nqn(kAt)),
            R"([{"address":)" + printed("4444") + "}]");

  const std::string referral = R"("address":{"trtype":"TCP","traddr":"10.0.0.9",)"
                               R"("adrfam":"IPv4","trsvcid":"8009"})";
  EXPECT_EQ(json("nvmf_discovery_add_referral", "{" + referral + kAt + "}"), "true");
  EXPECT_EQ(json("nvmf_discovery_get_referrals"), "[]");
  EXPECT_TRUE(has(json("nvmf_discovery_get_referrals", kNamed), "10.0.0.9"));
  EXPECT_EQ(json("nvmf_discovery_remove_referral", "{" + referral + "}"),
            "-32603 Unable to remove a referral.");
  EXPECT_EQ(json("nvmf_discovery_remove_referral", "{" + referral + kAt + "}"), "true");

  RawHost &near = new_host(), &far = new_host();
  EXPECT_TRUE(connect(near).ok());
  EXPECT_TRUE(connect(far, 4444).ok());
  EXPECT_TRUE(has(json("nvmf_get_stats", kNamed), R"("current_admin_qpairs":1)"));
  EXPECT_TRUE(has(json("nvmf_subsystem_get_qpairs", nqn(kAt)), printed("4444")));
  EXPECT_FALSE(has(json("nvmf_subsystem_get_qpairs", nqn(kAt)), printed()));
  EXPECT_FALSE(has(json("nvmf_subsystem_get_controllers", nqn(kAt)), R"("cntlid":2)"));
  EXPECT_EQ(json("nvmf_delete_subsystem", nqn(kAt)), "true");
  EXPECT_FALSE(still_open(far));
  EXPECT_TRUE(connect(new_host()).ok());
}

TEST_F(SpdkTargets, AnotherTargetHasNoShares) {
  mayastor::v1::BdevShareRequest share;
  share.set_name("N1");
  share.set_protocol(mayastor::v1::NVMF);
  ASSERT_TRUE(call<mayastor::v1::BdevShareResponse>("mayastor.v1.BdevRpc/Share", share));
  const std::string of = nqn(kAt, share_nqn("N1"));
  EXPECT_EQ(json("nvmf_delete_subsystem", of),
            "-32602 Subsystem with NQN '" + share_nqn("N1") + "' not found");
  EXPECT_EQ(json("nvmf_create_subsystem", of), "true");  // a name is its target's
  EXPECT_EQ(json("nvmf_delete_subsystem", of), "true");
  EXPECT_TRUE(node_->engine.shares().shared(device("N1")));
}

TEST_F(SpdkTargets, DeletedWithAllThatIsInIt) {
  make();
  make_there();
  RawHost &near = new_host(), &far = new_host(), &discovery = new_host();
  EXPECT_TRUE(connect(near).ok());
  EXPECT_TRUE(connect(far, 4444).ok());
  EXPECT_TRUE(connect(discovery, 4444, std::string(nvme::kDiscoveryNqn)).ok());
  EXPECT_TRUE(device("N2").claimed());
  EXPECT_EQ(json("nvmf_delete_target", R"({"name":"t1"})"), "true");
  EXPECT_FALSE(still_open(far));
  EXPECT_FALSE(still_open(discovery));
  EXPECT_FALSE(device("N2").claimed());
  EXPECT_EQ(json("nvmf_get_targets"), R"(["nvmf_tgt"])");
  EXPECT_TRUE(connect(new_host()).ok());
  EXPECT_TRUE(has(json("nvmf_subsystem_get_controllers", nqn()), R"("cntlid":1,)"));
  // Name, address and device are free again.
  EXPECT_EQ(json("nvmf_create_target", R"({"name":"t1"})"), R"("t1")");
  EXPECT_EQ(json("nvmf_get_transports", kNamed), "[]");
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn("," + address("4444"))), "true");
  EXPECT_EQ(json("bdev_malloc_delete", R"({"name":"N2"})"), "true");
}

TEST_F(SpdkTargets, ADeviceThatGoesLeavesThem) {
  make_there();
  RawHost& far = new_host();
  EXPECT_TRUE(connect(far, 4444).ok());
  EXPECT_EQ(json("bdev_malloc_delete", R"({"name":"N2"})"), "true");
  EXPECT_TRUE(has(json("nvmf_get_subsystems", nqn(kAt)), R"("namespaces":[])"));
}

TEST_F(SpdkTargets, TheNodeStopsWithHostsAtAll) {
  make();
  make_there();
  EXPECT_TRUE(connect(new_host()).ok());
  EXPECT_TRUE(connect(new_host(), 4444).ok());
}  // TearDown() stops it

TEST_F(SpdkTargets, TheNameOfATargetCountsEverywhere) {
  const auto unknown = [&](const std::string& method, const std::string& more = "") {
    return json(method, nqn(R"(,"tgt_name":"zz")" + more));
  };
  const std::string space = R"(,"nsid":1)", host = R"(,"host":"nqn.2014-08.org.example:h")",
                    at = "," + address(), none = "-32603 Unable to find a target.";
  EXPECT_EQ(unknown("nvmf_create_subsystem"), "-32603 Unable to find target zz");
  EXPECT_EQ(unknown("nvmf_delete_subsystem"), none);
  EXPECT_EQ(unknown("nvmf_subsystem_add_ns", R"(,"namespace":{"bdev_name":"N1"})"), none);
  EXPECT_EQ(unknown("nvmf_subsystem_remove_ns", space), none);
  EXPECT_EQ(unknown("nvmf_subsystem_set_ns_ana_group", space + R"(,"anagrpid":1)"), none);
  EXPECT_EQ(unknown("nvmf_subsystem_add_listener", at), none);
  EXPECT_EQ(unknown("nvmf_subsystem_remove_listener", at), none);
  EXPECT_EQ(unknown("nvmf_subsystem_listener_set_ana_state", at + R"(,"ana_state":"optimized")"),
            none);
  EXPECT_EQ(unknown("nvmf_subsystem_add_host", host), none);
  EXPECT_EQ(unknown("nvmf_subsystem_remove_host", host), none);
  EXPECT_EQ(unknown("nvmf_subsystem_allow_any_host", R"(,"allow_any_host":true)"), none);
  EXPECT_EQ(unknown("nvmf_ns_add_host", space + host), none);
  EXPECT_EQ(unknown("nvmf_ns_remove_host", space + host), none);
  const std::string gone = "-32602 NVMf target 'zz' not found", named = R"({"tgt_name":"zz"})";
  for (const char* method : {"nvmf_get_subsystems", "nvmf_subsystem_get_controllers",
                             "nvmf_subsystem_get_qpairs", "nvmf_subsystem_get_listeners"}) {
    EXPECT_EQ(unknown(method), gone) << method;
  }
  for (const char* method :
       {"nvmf_get_transports", "nvmf_get_stats", "nvmf_discovery_get_referrals"}) {
    EXPECT_EQ(json(method, named), gone) << method;
  }
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP","tgt_name":"zz"})"), none);
  const std::string referral = R"({"tgt_name":"zz","address":{"trtype":"TCP","traddr":"10.0.0.9",)"
                               R"("adrfam":"IPv4","trsvcid":"8009"}})";
  EXPECT_EQ(json("nvmf_discovery_add_referral", referral), none);
  EXPECT_EQ(json("nvmf_discovery_remove_referral", referral), none);
}

TEST_F(SpdkTargets, AreSavedBehindTheNodesOwn) {
  EXPECT_EQ(config(), R"([{"method":"nvmf_create_target","params":{"max_subsystems":2048,)"
                      R"("name":"t1"}}])");
  make();
  make_there();
  EXPECT_EQ(json("nvmf_create_target", R"({"name":"t2","discovery_filter":"address,svcid"})"),
            R"("t2")");
  const std::string saved = config();
  const auto own = saved.find("nvmf_create_target");
  EXPECT_FALSE(has(saved.substr(0, own), "tgt_name")) << saved;
  EXPECT_TRUE(has(saved.substr(own), R"("nvmf_create_transport","params":{)")) << saved;
  EXPECT_TRUE(has(saved, R"("discovery_filter":"address,svcid")")) << saved;
  // Replayed as load_config does, the same stands again.
  const google::protobuf::ListValue calls = saved_subsystems(node_->engine.shares());
  for (const char* name : {"t1", "t2"}) {
    EXPECT_EQ(json("nvmf_delete_target", R"({"name":")" + std::string(name) + "\"}"), "true");
  }
  EXPECT_FALSE(has(config(), "t1"));
  for (const auto& each : calls.values()) {
    const auto& call = each.struct_value().fields();
    const auto& params = call.at("params").struct_value();
    const bool about = params.fields().contains("tgt_name") ||
                       call.at("method").string_value() == "nvmf_create_target";
    if (!about) continue;
    std::string text;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(params, &text).ok());
    EXPECT_FALSE(json(call.at("method").string_value(), text).starts_with("-")) << text;
  }
  EXPECT_EQ(config(), saved);
  EXPECT_TRUE(connect(new_host(), 4444).ok());
}

}  // namespace
}  // namespace capstan::services
