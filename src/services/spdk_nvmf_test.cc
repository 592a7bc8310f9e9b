// Why this file exists: SPDK's nvmf calls as a client of JSON-RPC sees them, with hosts that really
// connect to what was made, beside shares at the same target (jsonrpc section B.7).
#include "services/spdk_nvmf_testing.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using nvme::testing::RawHost;

using SpdkNvmf = SpdkNvmfTest;

TEST_F(SpdkNvmf, Transports) {
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"RDMA"})"),
            "-32602 Invalid transport type 'RDMA'");
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP","max_io_size":5000})"),
            "-32603 Transport type 'TCP' create failed");
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP","max_queue_depth":"x"})").substr(0, 6),
            "-32602");
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"tcp","zcopy":true,"max_queue_depth":64})"),
            "true");
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP"})"),
            "-32603 Transport type 'TCP' already exists");
  EXPECT_EQ(json("nvmf_get_transports", R"({"trtype":"RDMA"})"), "-19 No such device");
  EXPECT_EQ(json("nvmf_get_transports", R"({"tgt_name":"zz"})"),
            "-32602 NVMf target 'zz' not found");
  EXPECT_EQ(json("nvmf_get_transports"),
            R"([{"trtype":"TCP","max_queue_depth":64,"max_io_qpairs_per_ctrlr":64,)"
            R"("in_capsule_data_size":8192,"max_io_size":131072,"max_aq_depth":128,)"
            R"("iobuf_small_cache_size":4294967295,"iobuf_large_cache_size":4294967295,)"
            R"("dif_insert_or_strip":false,"zcopy":false,"c2h_success":true,"sock_priority":0,)"
            R"("abort_timeout_sec":1,"ack_timeout":0,"data_wr_pool_size":0,)"
            R"("disable_command_passthru":false,"kas":100,"min_kato":10000}])");
  EXPECT_EQ(json("nvmf_get_targets"), R"(["nvmf_tgt"])");
}

TEST_F(SpdkNvmf, ASubsystemAsTheSpecificationShowsIt) {
  make(R"(,"serial_number":"ANA0","allow_any_host":true,"max_namespaces":4,"min_cntlid":10,)"
       R"("max_cntlid":19,"ana_reporting":true)");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(R"(,"host":"nqn.2014-08.org.example:h")")), "true");
  EXPECT_EQ(json("nvmf_get_subsystems", nqn()),
            R"([{"nqn":"nqn.2019-05.io.openebs:hand","subtype":"NVMe","listen_addresses":[)" +
                printed() +
                R"(],"allow_any_host":true,"hosts":[{"nqn":"nqn.2014-08.org.example:h"}],)"
                R"("serial_number":"ANA0","model_number":"SPDK bdev Controller",)"
                R"("max_namespaces":4,"passthrough":false,"min_cntlid":10,"max_cntlid":19,)"
                R"("dmrsl":2097152,"wzsl":12,"namespaces":[{"nsid":1,"bdev_name":"N1",)"
                R"("name":"N1","nguid":"11111111222233334444555555555555",)"
                R"("uuid":"11111111-2222-3333-4444-555555555555","anagrpid":1}]}])");
  const std::string all = json("nvmf_get_subsystems");
  EXPECT_TRUE(has(all, R"([{"nqn":"nqn.2014-08.org.nvmexpress.discovery","subtype":"Discovery",)"))
      << all;
  EXPECT_TRUE(has(all, R"("allow_any_host":true,"hosts":[],"namespaces":[]},{"nqn":)")) << all;
}

TEST_F(SpdkNvmf, RefusalsHaveSpdksTexts) {
  make();
  EXPECT_EQ(json("nvmf_create_subsystem", nqn()),
            "-32603 Unable to create subsystem nqn.2019-05.io.openebs:hand");
  EXPECT_EQ(json("nvmf_create_subsystem", R"({"nqn":"zz"})"),
            "-32603 Unable to create subsystem zz");
  EXPECT_EQ(json("nvmf_create_subsystem", R"({"nqn":"nqn.x:y","tgt_name":"t"})"),
            "-32603 Unable to find target t");
  EXPECT_EQ(
      json("nvmf_create_subsystem", R"({"nqn":"nqn.x:y","serial_number":"123456789012345678901"})"),
      "-32602 Invalid parameters");
  EXPECT_EQ(json("nvmf_create_subsystem", R"({"nqn":"nqn.x:y","min_cntlid":9,"max_cntlid":8})"),
            "-32602 Invalid cntlid range [9-8]");
  EXPECT_EQ(json("nvmf_create_subsystem", nqn("", "nqn.2019-05.io-:x")),
            "-32603 Unable to create subsystem nqn.2019-05.io-:x");
  EXPECT_EQ(json("nvmf_create_subsystem", nqn(R"(,"max_cntlid":65536)")),
            "-32602 Invalid parameters");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(R"(,"host":"nqn.2019-05.io")")),
            "-32603 Internal error");
  const std::string few = "nqn.2019-05.io.openebs:few";
  EXPECT_EQ(json("nvmf_create_subsystem", nqn(R"(,"max_namespaces":0)", few)), "true");
  EXPECT_TRUE(has(json("nvmf_get_subsystems", nqn("", few)), R"("max_namespaces":32)"));
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP","max_io_qpairs_per_ctrlr":65535})"),
            "-32602 max_io_qpairs_per_ctrlr too large");
  EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP","max_io_qpairs_per_ctrlr":65536})"),
            "-32602 Invalid parameters");
  EXPECT_EQ(json("nvmf_get_subsystems", R"({"nqn":"zz"})"),
            "-32602 Subsystem with NQN 'zz' not found");
  EXPECT_EQ(json("nvmf_delete_subsystem", R"({"nqn":"zz"})"),
            "-32602 Subsystem with NQN 'zz' not found");
  const auto add_ns = [&](const std::string& space) {
    return json("nvmf_subsystem_add_ns", nqn(R"(,"namespace":{)" + space + "}"));
  };
  EXPECT_EQ(add_ns(R"("bdev_name":"zz")"), "-32602 Invalid parameters");
  EXPECT_EQ(add_ns(R"("bdev_name":"N1")"), "-32602 Invalid parameters");  // claimed
  EXPECT_EQ(add_ns(R"("bdev_name":"N1","nguid":"12")"), "-32602 Invalid nguid");
  EXPECT_EQ(add_ns(R"("bdev_name":"N1","eui64":"zz")"), "-32602 Invalid eui64");
  EXPECT_EQ(json("nvmf_subsystem_remove_ns", nqn(R"(,"nsid":7)")), "-32602 Invalid parameters");
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn("," + address())), "-32602 Invalid parameters");
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn(R"(,"secure_channel":true,)" + address("1"))),
            "-32602 Cannot establish secure channel, when 'allow_any_host' is set");
  EXPECT_EQ(json("nvmf_subsystem_remove_listener", nqn("," + address("1"))),
            "-32602 Invalid parameters");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(R"(,"host":"me")")), "-32603 Internal error");
  EXPECT_EQ(json("nvmf_subsystem_remove_host", nqn(R"(,"host":"nqn.x:y")")),
            "-32603 Internal error");
  EXPECT_EQ(json("nvmf_subsystem_listener_set_ana_state",
                 nqn(R"(,"ana_state":"inaccessible",)" + address())),
            "-32603 error setting ANA state: -22");
}

TEST_F(SpdkNvmf, HostsComeAndAreSeen) {
  make();
  RawHost &admin = new_host(), &io = new_host();
  EXPECT_TRUE(connect(admin).ok());
  world_.run(open_queue(&env_, &io, admin.controller));
  EXPECT_TRUE(read(io).ok());
  EXPECT_TRUE(has(json("nvmf_subsystem_get_controllers", nqn()),
                  R"([{"cntlid":1,"cntrltype":"io","hostnqn":"nqn.2014-08.org.example:host",)"
                  R"("hostid":"0a0b0c0d-0000-4000-8000-000000000001","num_io_qpairs":2}])"));
  const std::string pairs = json("nvmf_subsystem_get_qpairs", nqn());
  EXPECT_TRUE(has(pairs, R"({"cntlid":1,"qid":1,"state":"enabled",)"
                         R"("thread":"nvmf_tgt_poll_group_000",)"
                         R"("hostnqn":"nqn.2014-08.org.example:host","listen_address":)" +
                             printed() + R"(,"peer_address":{"trtype":"TCP")"))
      << pairs;
  const std::string stats = json("nvmf_get_stats");
  EXPECT_TRUE(has(stats, R"("admin_qpairs":1,"io_qpairs":1,"current_admin_qpairs":1,)"
                         R"("current_io_qpairs":1,"current_unassociated_qpairs":0,)"))
      << stats;
  // Hot-remove and back: the host sees the namespace go, not an I/O error of the device.
  EXPECT_EQ(json("nvmf_subsystem_remove_ns", nqn(R"(,"nsid":1)")), "true");
  EXPECT_EQ(read(io), nvme::status::kInvalidNamespace);
  EXPECT_FALSE(node_->engine.devices().find("N1")->claimed());
  EXPECT_EQ(json("nvmf_subsystem_add_ns", nqn(R"(,"namespace":{"bdev_name":"N1","nsid":1})")), "1");
  EXPECT_TRUE(read(io).ok());
  // The device goes.
  EXPECT_EQ(json("bdev_malloc_delete", R"({"name":"N1"})"), "true");
  EXPECT_EQ(read(io), nvme::status::kInvalidNamespace);
  EXPECT_EQ(json("nvmf_delete_subsystem", nqn()), "true");
  EXPECT_FALSE(still_open(admin));
  EXPECT_EQ(connect(new_host(), 8420), nvme::status::kConnectParameter);
}

TEST_F(SpdkNvmf, AllowedHosts) {
  make("");
  EXPECT_EQ(connect(new_host()), nvme::status::kConnectHost);
  const std::string host = R"(,"host":")" + nvme::testing::kHostNqn + "\"";
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(host)), "true");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(host)), "true");
  RawHost& admin = new_host();
  EXPECT_TRUE(connect(admin).ok());
  EXPECT_EQ(json("nvmf_subsystem_remove_host", nqn(host)), "true");
  EXPECT_FALSE(still_open(admin));
  EXPECT_EQ(connect(new_host()), nvme::status::kConnectHost);
  EXPECT_EQ(json("nvmf_subsystem_allow_any_host", nqn(R"(,"allow_any_host":true)")), "true");
  EXPECT_TRUE(connect(new_host()).ok());
}

// Hosts that shall prove who they are must not be let in without: what says so is refused, wherever
// it can be said (nvme-tcp section 22).
TEST_F(SpdkNvmf, NothingAboutKeysIsTakenSilently) {
  const std::string refused = "-95 Operation not supported";
  make("");
  const std::string host = R"(,"host":")" + nvme::testing::kHostNqn + "\"";
  for (const char* key : {"psk", "dhchap_key", "dhchap_ctrlr_key"}) {
    const std::string with = std::string(",\"") + key + R"(":"key0")";
    EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(host + with)), refused) << key;
    EXPECT_EQ(json("bdev_nvme_attach_controller",
                   R"({"name":"N","trtype":"tcp","traddr":"10.9.9.9","trsvcid":"4420",)"
                   R"("subnqn":"nqn.x:y")" +
                       with + "}"),
              refused)
        << key;
  }
  EXPECT_EQ(connect(new_host()), nvme::status::kConnectHost) << "it has not become an allowed one";
  const auto listen_at = [&](const std::string& how) {
    return json("nvmf_subsystem_add_listener", nqn(how + address("4450")));
  };
  EXPECT_EQ(listen_at(R"(,"secure_channel":true,)"), refused);
  EXPECT_EQ(listen_at(R"(,"sock_impl":"ssl",)"), refused);
  EXPECT_FALSE(has(json("nvmf_subsystem_get_listeners", nqn()), "4450"));
  EXPECT_EQ(listen_at(R"(,"secure_channel":false,"sock_impl":"posix",)"), "true");
  EXPECT_EQ(json("nvmf_discovery_add_referral",
                 R"({"secure_channel":true,"address":{"trtype":"TCP","traddr":"10.0.0.9",)"
                 R"("adrfam":"IPv4","trsvcid":"8009"}})"),
            refused);
  const rpc::JsonMethods methods(node_->directory);
  for (const char* absent : {"nvmf_subsystem_set_keys", "bdev_nvme_set_keys",
                             "keyring_file_add_key", "nvmf_publish_mdns_prr"}) {
    EXPECT_EQ(methods.find(absent), nullptr) << absent;
  }
}

TEST_F(SpdkNvmf, ListenersAndPaths) {
  make(R"(,"allow_any_host":true,"ana_reporting":true,"max_namespaces":2)");
  EXPECT_EQ(json("nvmf_subsystem_add_listener",
                 nqn(R"(,"ana_state":"non_optimized",)" + address("4430"))),
            "true");
  const auto states = [](const char* state) {
    return std::string(R"("ana_states":[{"ana_group":1,"ana_state":")") + state +
           R"("},{"ana_group":2,"ana_state":")" + state + R"("}]})";
  };
  EXPECT_EQ(json("nvmf_subsystem_get_listeners", nqn()),
            R"([{"address":)" + printed() + "," + states("optimized") + R"(,{"address":)" +
                printed("4430") + "," + states("non_optimized") + "]");
  RawHost &admin = new_host(), &io = new_host(), &other = new_host();
  EXPECT_TRUE(connect(admin).ok());
  EXPECT_TRUE(connect(other, 4430).ok());
  world_.run(open_queue(&env_, &io, admin.controller));
  EXPECT_EQ(json("nvmf_subsystem_listener_set_ana_state",
                 nqn(R"(,"ana_state":"inaccessible",)" + address())),
            "true");
  EXPECT_EQ(read(io), nvme::status::kAnaInaccessible);
  EXPECT_EQ(json("nvmf_subsystem_listener_set_ana_state",
                 nqn(R"(,"ana_state":"optimized","anagrpid":1,)" + address())),
            "true");
  EXPECT_TRUE(read(io).ok());
  EXPECT_EQ(json("nvmf_subsystem_set_ns_ana_group", nqn(R"(,"nsid":1,"anagrpid":2)")), "true");
  EXPECT_EQ(read(io), nvme::status::kAnaInaccessible);
  // One listener goes, and nothing else.
  EXPECT_EQ(json("nvmf_subsystem_remove_listener", nqn("," + address("4430"))), "true");
  EXPECT_FALSE(still_open(other));
  EXPECT_FALSE(has(json("nvmf_subsystem_get_listeners", nqn()), "4430"));
  EXPECT_EQ(json("nvmf_subsystem_get_controllers", nqn()).find("cntlid\":2"), std::string::npos);
  EXPECT_EQ(read(io), nvme::status::kAnaInaccessible);
}

TEST_F(SpdkNvmf, SharesAreSubsystemsToo) {
  mayastor::v1::BdevShareRequest share;
  share.set_name("N1");
  share.set_protocol(mayastor::v1::NVMF);
  ASSERT_TRUE(call<mayastor::v1::BdevShareResponse>("mayastor.v1.BdevRpc/Share", share));
  const std::string of = share_nqn("N1");
  const std::string shown = json("nvmf_get_subsystems", nqn("", of));
  EXPECT_TRUE(has(shown, R"("model_number":"Mayastor NVMe controller")")) << shown;
  EXPECT_TRUE(has(shown, R"("listen_addresses":[)" + printed("8420"))) << shown;
  EXPECT_EQ(json("nvmf_subsystem_remove_ns", nqn(R"(,"nsid":1)", of)), "true");
  EXPECT_TRUE(node_->engine.devices().find("N1")->claimed());
  EXPECT_EQ(json("nvmf_subsystem_add_ns", nqn(R"(,"namespace":{"bdev_name":"N1"})", of)), "1");
  EXPECT_EQ(json("nvmf_subsystem_add_ns", nqn(R"(,"namespace":{"bdev_name":"N1","nsid":2})", of)),
            "-32602 Invalid parameters")
      << "it is there already";
  EXPECT_EQ(json("nvmf_delete_subsystem", nqn("", of)), "true");
  EXPECT_FALSE(node_->engine.shares().shared(*node_->engine.devices().find("N1")));
  EXPECT_FALSE(node_->engine.devices().find("N1")->claimed());
}

TEST_F(SpdkNvmf, NexusShareReportsAnaStates) {
  ASSERT_TRUE(
      has(json("nexus_share", R"({"name":"N1","protocol":"nvmf","cntlid_min":5,"cntlid_max":9})"),
          "nvmf://"));
  Shares& shares = node_->engine.shares();
  const auto device = node_->engine.devices().find("N1");
  EXPECT_EQ(*shares.ana_state(*device), nvme::AnaState::kOptimized);
  EXPECT_TRUE(shares.set_ana_state(*device, nvme::AnaState::kInaccessible));
  EXPECT_EQ(*shares.ana_state(*device), nvme::AnaState::kInaccessible);
  EXPECT_TRUE(has(json("nvmf_subsystem_get_listeners", nqn("", share_nqn("N1"))),
                  R"({"ana_group":1,"ana_state":"inaccessible"})"));
}

TEST_F(SpdkNvmf, Referrals) {
  const std::string where = R"("address":{"trtype":"TCP","traddr":"10.0.0.9","adrfam":"IPv4")";
  EXPECT_EQ(json("nvmf_discovery_add_referral", "{" + where + "}}"),
            "-32602 Service ID is required.");
  const std::string full = "{" + where + R"(,"trsvcid":"8009"}})";
  EXPECT_EQ(json("nvmf_discovery_add_referral", full), "true");
  EXPECT_EQ(json("nvmf_discovery_add_referral", full), "true");
  EXPECT_EQ(json("nvmf_discovery_get_referrals"),
            R"([{"address":{"trtype":"TCP","adrfam":"IPv4","traddr":"10.0.0.9",)"
            R"("trsvcid":"8009"},"secure_channel":false,)"
            R"("subnqn":"nqn.2014-08.org.nvmexpress.discovery"}])");
  EXPECT_EQ(json("nvmf_discovery_remove_referral", full), "true");
  EXPECT_EQ(json("nvmf_discovery_remove_referral", full), "-32603 Unable to remove a referral.");
  EXPECT_EQ(json("nvmf_discovery_get_referrals"), "[]");
}

TEST_F(SpdkNvmf, WhatIsSavedMakesItAgain) {
  EXPECT_EQ(json("framework_get_config", R"({"name":"nvmf"})"), "[]");
  make(R"(,"serial_number":"S1","ana_reporting":true)");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(R"(,"host":"nqn.2014-08.org.example:h")")), "true");
  const std::string before = json("nvmf_get_subsystems", nqn());
  const std::string found_at = nqn("," + address("8009"), std::string(nvme::kDiscoveryNqn));
  EXPECT_EQ(json("nvmf_subsystem_add_listener", found_at), "true");
  const std::string saved = json("framework_get_config", R"({"name":"nvmf"})");
  EXPECT_TRUE(has(saved, R"("nqn":"nqn.2014-08.org.nvmexpress.discovery")")) << saved;
  EXPECT_EQ(json("nvmf_subsystem_remove_listener", found_at), "true");
  for (const char* method :
       {"nvmf_create_transport", "nvmf_create_subsystem", "nvmf_subsystem_add_host",
        "nvmf_subsystem_add_ns", "nvmf_subsystem_add_listener"}) {
    EXPECT_TRUE(has(saved, std::string("\"method\":\"") + method + "\"")) << saved;
  }
  EXPECT_EQ(json("nvmf_delete_subsystem", nqn()), "true");
  google::protobuf::ListValue calls = saved_subsystems(node_->engine.shares());
  EXPECT_EQ(calls.values_size(), 0);
  // Replayed as load_config does, the same stands again.
  make(R"(,"serial_number":"S1","ana_reporting":true)");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(R"(,"host":"nqn.2014-08.org.example:h")")), "true");
  EXPECT_EQ(json("nvmf_subsystem_add_listener", found_at), "true");
  EXPECT_EQ(json("framework_get_config", R"({"name":"nvmf"})"), saved);
  EXPECT_EQ(json("nvmf_get_subsystems", nqn()), before);
}

TEST_F(SpdkNvmf, WhatIsSavedHasTheSizesOfTheTransport) {
  const std::string sizes = R"("max_queue_depth":32,"max_io_qpairs_per_ctrlr":7,)"
                            R"("in_capsule_data_size":4096,"max_io_size":65536,"max_aq_depth":64)";
  for (const char* target : {"nvmf_tgt", "t1"}) {
    const std::string named = R"("tgt_name":")" + std::string(target) + "\"";
    if (target == std::string("t1")) {
      EXPECT_EQ(json("nvmf_create_target", R"({"name":"t1"})"), R"("t1")");
    }
    const std::string all = named + "," + sizes + R"(,"c2h_success":false)";
    EXPECT_EQ(json("nvmf_create_transport", R"({"trtype":"TCP",)" + all + "}"), "true");
    const std::string shown = json("nvmf_get_transports", "{" + named + "}");
    EXPECT_TRUE(has(shown, sizes)) << shown;
    EXPECT_TRUE(has(shown, R"("c2h_success":false)")) << shown;
    const google::protobuf::ListValue calls = saved_subsystems(node_->engine.shares());
    if (target == std::string("t1")) {
      EXPECT_EQ(json("nvmf_delete_target", R"({"name":"t1"})"), "true");
      google::protobuf::ListValue last;
      for (const auto& each : calls.values()) {
        const auto& call = each.struct_value().fields();
        const bool own = !call.at("params").struct_value().fields().contains("tgt_name");
        if (own && call.at("method").string_value() == "nvmf_create_transport") continue;
        *last.add_values() = each;
      }
      replay(last);
    } else {  // as a node that starts has it
      node_->engine.shares().targets().node().transport = false;
      node_->engine.shares().target().set_sizes({});
      replay(calls);
    }
    EXPECT_EQ(json("nvmf_get_transports", "{" + named + "}"), shown);
  }
}

TEST_F(SpdkNvmf, WhatIsSavedHasTheStatesOfPaths) {
  make(R"(,"allow_any_host":true,"ana_reporting":true,"max_namespaces":3)");
  const auto add = [&](const char* state, const char* port) {
    return json("nvmf_subsystem_add_listener",
                nqn(R"(,"ana_state":")" + std::string(state) + "\"," + address(port)));
  };
  EXPECT_EQ(add("non_optimized", "4430"), "true");
  EXPECT_EQ(add("optimized", "4431"), "true");
  EXPECT_EQ(json("nvmf_subsystem_listener_set_ana_state",
                 nqn(R"(,"ana_state":"inaccessible",)" + address("4431"))),
            "true");
  EXPECT_EQ(json("nvmf_subsystem_listener_set_ana_state",
                 nqn(R"(,"ana_state":"inaccessible","anagrpid":2,)" + address("4430"))),
            "true");
  const std::string before = json("nvmf_subsystem_get_listeners", nqn());
  const std::string saved = json("framework_get_config", R"({"name":"nvmf"})");
  const google::protobuf::ListValue calls = saved_subsystems(node_->engine.shares());
  EXPECT_EQ(json("nvmf_delete_subsystem", nqn()), "true");
  replay(calls);
  EXPECT_EQ(json("nvmf_subsystem_get_listeners", nqn()), before);
  RawHost& fenced = new_host();
  EXPECT_TRUE(connect(fenced, 4431).ok());
}

TEST_F(SpdkNvmf, AStateThatNobodyWouldBeToldIsRefused) {
  make();
  EXPECT_EQ(
      json("nvmf_subsystem_add_listener", nqn(R"(,"ana_state":"inaccessible",)" + address("4430"))),
      "-32602 Invalid parameters");
  EXPECT_FALSE(has(json("nvmf_subsystem_get_listeners", nqn()), "4430"));
  EXPECT_EQ(
      json("nvmf_subsystem_add_listener", nqn(R"(,"ana_state":"optimized",)" + address("4430"))),
      "true");
}

core::Task<void> dial_as(core::SimEnv* env, RawHost* host, std::string name) {
  host->host_nqn = std::move(name);
  co_await host->open(*env, core::Address::tcp(env->address(), 4420));
  const auto answer =
      co_await host->connect({0, 0, 31, 0, 0}, {nvme::testing::kHostId, nvme::kAnyController,
                                                "nqn.2019-05.io.openebs:hand", host->host_nqn});
  EXPECT_TRUE(answer.completion.status.ok());
}
TEST_F(SpdkNvmf, HostsWhoseNamesAreNoTextAreShown) {
  make();
  world_.run(dial_as(&env_, &new_host(),
                     "\xFF\xFE\x80"
                     "b"));
  const std::string name = R"("hostnqn":"\uFFFD\uFFFD\uFFFDb")";
  for (const char* method : {"nvmf_subsystem_get_controllers", "nvmf_subsystem_get_qpairs"}) {
    const std::string shown = json(method, nqn());
    EXPECT_TRUE(has(shown, name)) << shown;
  }
}

TEST_F(SpdkNvmf, ANamespaceForChosenHosts) {
  const std::string host = R"(,"nsid":1,"host":")" + nvme::testing::kHostNqn + "\"";
  EXPECT_EQ(json("nvmf_create_subsystem", nqn(R"(,"allow_any_host":true)")), "true");
  EXPECT_EQ(json("nvmf_subsystem_add_listener", nqn("," + address())), "true");
  EXPECT_EQ(json("nvmf_subsystem_add_ns",
                 nqn(R"(,"namespace":{"bdev_name":"N1","no_auto_visible":true})")),
            "1");
  RawHost &admin = new_host(), &io = new_host();
  EXPECT_TRUE(connect(admin).ok());
  world_.run(open_queue(&env_, &io, admin.controller));
  EXPECT_EQ(read(io), nvme::status::kInvalidNamespace);
  EXPECT_EQ(json("nvmf_ns_add_host", nqn(host)), "true");
  EXPECT_EQ(json("nvmf_ns_add_host", nqn(host)), "true");
  EXPECT_TRUE(read(io).ok());
  EXPECT_TRUE(has(json("nvmf_get_subsystems", nqn()),
                  R"("no_auto_visible":true,"hosts":[")" + nvme::testing::kHostNqn + "\"]"));
  const std::string saved = json("framework_get_config", R"({"name":"nvmf"})");
  EXPECT_TRUE(has(saved, "nvmf_ns_add_host") && has(saved, R"("no_auto_visible":true)")) << saved;
  EXPECT_EQ(json("nvmf_ns_remove_host", nqn(host)), "true");
  EXPECT_EQ(read(io), nvme::status::kInvalidNamespace);
  const std::string invalid = "-32602 Invalid parameters";
  EXPECT_EQ(json("nvmf_ns_add_host", nqn(R"(,"nsid":2,"host":"nqn.x:h")")), invalid);
  EXPECT_EQ(json("nvmf_ns_add_host", nqn(R"(,"nsid":1,"host":"nobody")")), invalid);
  EXPECT_EQ(json("nvmf_ns_add_host", nqn(host, "nqn.x:other")), invalid);
}

TEST_F(SpdkNvmf, SettingsOfTheTarget) {
  EXPECT_EQ(json("nvmf_set_crdt", R"({"crdt1":5,"crdt3":7})"), "true");
  EXPECT_TRUE(json("nvmf_set_crdt", R"({"crdt1":65536})").starts_with("-32602"));
  EXPECT_EQ(json("nvmf_set_max_subsystems", R"({"max_subsystems":1})"), "true");
  EXPECT_TRUE(json("nvmf_set_max_subsystems", R"({"max_subsystems":0})").starts_with("-32602"));
  EXPECT_EQ(json("nvmf_set_config", R"({"discovery_filters":["address","transport"]})"), "true");
  EXPECT_EQ(json("nvmf_set_config", R"({"discovery_filter":"match_any"})"), "true");
  EXPECT_EQ(json("nvmf_set_config", R"({"discovery_filter":"transport,svcid"})"), "true");
  EXPECT_TRUE(json("nvmf_set_config", R"({"discovery_filter":"colour"})").starts_with("-32602"));
  EXPECT_TRUE(json("nvmf_set_config", R"({"dup_host_policy":"restrict_per_listener"})")
                  .starts_with("-32602"));
  EXPECT_TRUE(
      json("nvmf_set_config", R"({"admin_cmd_passthru":{"sanitize":true}})").starts_with("-95"));
  // What SPDK's own saved configuration says of a target that nobody changed.
  EXPECT_EQ(json("nvmf_set_config",
                 R"({"discovery_filters":["svcid"],"admin_cmd_passthru":{"identify_ctrlr":false},)"
                 R"("dhchap_digests":["sha256"],"dhchap_dhgroups":["null"],)"
                 R"("dup_host_policy":"allow"})"),
            "true");
  make();
  EXPECT_EQ(node_->engine.shares().target().find(kNqn)->options().retry_delays,
            (std::array<std::uint16_t, 3>{5, 0, 7}));
  EXPECT_TRUE(
      json("nvmf_create_subsystem", nqn("", "nqn.2019-05.io.openebs:more")).starts_with("-32603"));
  const std::string saved = json("framework_get_config", R"({"name":"nvmf"})");
  EXPECT_TRUE(
      saved.starts_with(R"([{"method":"nvmf_set_config","params":{"discovery_filters":["svcid"]}},)"
                        R"({"method":"nvmf_set_max_subsystems","params":{"max_subsystems":1}},)"
                        R"({"method":"nvmf_set_crdt","params":{)"))
      << saved;
}

}  // namespace
}  // namespace capstan::services
