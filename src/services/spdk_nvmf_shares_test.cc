// Why this file exists: what SPDK's nvmf calls do to shares of replicas is stored with these: whom
// they shut out a restart does not let in again.
#include "services/spdk_nvmf_testing.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kFirst[] = "nqn.2014-08.org.example:first";
constexpr char kSecond[] = "nqn.2014-08.org.example:second";

class SpdkNvmfShares : public SpdkNvmfTest {
 protected:
  void SetUp() override {
    env_.add_disk("/disk0", {.size_bytes = 64 * kMiB});
    SpdkNvmfTest::SetUp();
    ASSERT_TRUE(create_pool("p", "aio:///disk0"));
    ASSERT_TRUE(create_replica("r1", "p", 4 * kMiB, true));
  }
  void share(std::vector<std::string> hosts) {
    mayastor::v1::ShareReplicaRequest request;
    request.set_uuid(Uuid::from_name("r1").text());
    request.set_share(mayastor::v1::NVMF);
    for (auto& host : hosts) request.add_allowed_hosts(std::move(host));
    const auto shared = call<Replica>("mayastor.v1.ReplicaRpc/ShareReplica", request);
    ASSERT_TRUE(shared) << text_of(shared);
  }
  static core::Task<void> cut_power(core::SimEnv* env) {
    env->power_cut();  // connections are told on the reactor
    co_return;
  }
  void crash() {
    world_.run(cut_power(&env_));
    stop();  // nothing of it reaches the disks
    env_.power_on();
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address()});
    ASSERT_TRUE(run(node_->engine.start(true)));
    ASSERT_TRUE(run(listen(&node_->engine)));
  }
  std::string change(const std::string& method, const std::string& more = "") {
    return json(method, nqn(more, share_nqn("r1")));
  }
  static std::string host(const std::string& name) { return R"(,"host":")" + name + "\""; }
  // Whom the share lets in: "any", "nobody", the hosts' names, or "not shared".
  std::string let_in() {
    const auto subsystem = node_->engine.shares().target().find(share_nqn("r1"));
    if (!subsystem) return "not shared";
    if (subsystem->options().any_host) return "any";
    std::string out;
    for (const auto& each : subsystem->hosts()) out += (out.empty() ? "" : " ") + each.substr(24);
    return out.empty() ? "nobody" : out;
  }
};

TEST_F(SpdkNvmfShares, AHostThatWasRemovedStaysOutOverARestart) {
  share({kFirst, kSecond});
  EXPECT_EQ(change("nvmf_subsystem_remove_host", host(kSecond)), "true");
  EXPECT_EQ(change("nvmf_subsystem_remove_host", host(kSecond)), "-32603 Internal error");
  EXPECT_EQ(let_in(), "first");
  crash();
  EXPECT_EQ(let_in(), "first");
  EXPECT_EQ(change("nvmf_subsystem_add_host", host(kSecond)), "true");
  crash();
  EXPECT_EQ(let_in(), "first second");
}

// An empty list means any host where it is stored.
TEST_F(SpdkNvmfShares, ALastHostThatWasRemovedDoesNotLetInEverybody) {
  share({kFirst});
  EXPECT_EQ(change("nvmf_subsystem_remove_host", host(kFirst)), "true");
  EXPECT_EQ(let_in(), "nobody");
  share({});
  EXPECT_EQ(let_in(), "nobody") << "an empty list changes nothing";
  crash();
  EXPECT_EQ(let_in(), "not shared");
  share({kFirst});
  EXPECT_EQ(change("nvmf_subsystem_remove_host", host(kFirst)), "true");
  EXPECT_EQ(change("nvmf_subsystem_add_host", host(kSecond)), "true");
  crash();
  EXPECT_EQ(let_in(), "second");
}

TEST_F(SpdkNvmfShares, WhetherAnyHostMayConnectStandsOverARestart) {
  share({kFirst});
  EXPECT_EQ(change("nvmf_subsystem_allow_any_host", R"(,"allow_any_host":true)"), "true");
  crash();
  EXPECT_EQ(let_in(), "any");
  EXPECT_EQ(change("nvmf_subsystem_add_host", host(kSecond)), "true");
  EXPECT_EQ(let_in(), "any");
  EXPECT_EQ(change("nvmf_subsystem_allow_any_host", R"(,"allow_any_host":false)"), "true");
  crash();
  EXPECT_EQ(let_in(), "second");
}

TEST_F(SpdkNvmfShares, AShareThatWasDeletedStaysAwayOverARestart) {
  share({});
  EXPECT_EQ(change("nvmf_delete_subsystem"), "true");
  EXPECT_EQ(let_in(), "not shared");
  EXPECT_EQ(change("nvmf_delete_subsystem"),
            "-32602 Subsystem with NQN 'nqn.2019-05.io.openebs:r1' not found");
  crash();
  EXPECT_EQ(let_in(), "not shared");
}

TEST_F(SpdkNvmfShares, HostsThatCannotBeStoredAreInvalidParameters) {
  share({kFirst});
  EXPECT_EQ(change("nvmf_subsystem_add_host", host("nqn.2014-08.org.example:a,b")),
            "-32602 Invalid parameters");
  EXPECT_EQ(let_in(), "first");
  for (int i = 0; i < 57; ++i) {
    ASSERT_EQ(
        change("nvmf_subsystem_add_host", host("nqn.2014-08.org.nvmexpress:uuid:" +
                                               Uuid::from_name("host" + std::to_string(i)).text())),
        "true")
        << i;
  }
  EXPECT_EQ(
      change("nvmf_subsystem_add_host", host("nqn.2014-08.org.example:" + std::string(150, 'x'))),
      "-32602 Invalid parameters");
  EXPECT_FALSE(has(let_in(), "xxx"));
  // Nothing is stored of what was made by hand.
  make("");
  EXPECT_EQ(json("nvmf_subsystem_add_host", nqn(host("nqn.2014-08.org.example:a,b"))), "true");
}

TEST_F(SpdkNvmfShares, WhatIsRefusedBecauseThePoolIsBusyChangesNothing) {
  share({kFirst});
  const auto busy = node_->engine.locks().try_lock("p");
  EXPECT_EQ(change("nvmf_subsystem_remove_host", host(kFirst)), "-32603 Internal error");
  EXPECT_EQ(change("nvmf_subsystem_allow_any_host", R"(,"allow_any_host":true)"),
            "-32603 Internal error");
  EXPECT_EQ(change("nvmf_delete_subsystem"), "-32603 Internal error");
  EXPECT_EQ(let_in(), "first");
}

// Such a share ends with the node, whoever changes its hosts.
TEST_F(SpdkNvmfShares, AShareThatIsNotStoredStaysSo) {
  EXPECT_TRUE(
      has(json("nexus_share", R"({"name":"r1","protocol":"nvmf","cntlid_min":1,"cntlid_max":9})"),
          "nvmf://"));
  EXPECT_EQ(change("nvmf_subsystem_allow_any_host", R"(,"allow_any_host":false)"), "true");
  EXPECT_EQ(change("nvmf_subsystem_add_host", host(kFirst)), "true");
  crash();
  EXPECT_EQ(let_in(), "not shared");
}

}  // namespace
}  // namespace capstan::services
