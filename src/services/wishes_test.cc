// Why this file exists: what HTTP's bindings want beyond the Mayastor API's messages
// (rpc/wishes.h), and that without such a wish the API keeps its own manners.
#include "rpc/wishes.h"

#include <gtest/gtest.h>

#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
namespace n1 = ::capstan::node::v1;
using google::protobuf::Empty;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kBdevs[] = "mayastor.v1.BdevRpc/";
constexpr char kReplicas[] = "mayastor.v1.ReplicaRpc/";

class Wishes : public ServicesTest {
 protected:
  void SetUp() override {
    env_.add_disk("/disk0", {.size_bytes = 64 * kMiB});
    env_.add_disk("/disk1", {.size_bytes = 64 * kMiB});
    start();
    ASSERT_TRUE(create_pool("p", "aio:///disk0"));
  }
  template <class Response, class Request>
  Result<Response> wish(const char* name, const char* value, const std::string& operation,
                        const Request& request) {
    call_.metadata.request = {{name, value}};
    auto result = call<Response>(operation, request);
    call_.metadata.request.clear();
    return result;
  }
  static v1::CreatePoolRequest pool(const std::string& disk) {
    v1::CreatePoolRequest request;
    request.set_name("p");
    request.add_disks(disk);
    return request;
  }
  Result<v1::Pool> again(const v1::CreatePoolRequest& request) {
    return wish<v1::Pool>(rpc::kWishExisting, "equal", "mayastor.v1.PoolRpc/CreatePool", request);
  }
};

TEST_F(Wishes, APoolThatIsAsAskedForIsAnswered) {
  EXPECT_EQ(code_of(create_pool("p", "aio:///disk0")), Code::kAlreadyExists);
  const auto same = again(pool("aio:///disk0"));
  ASSERT_TRUE(same) << text_of(same);
  EXPECT_EQ(same->SerializeAsString(), list_pools()[0].SerializeAsString());
  auto exact = pool("/disk0");
  exact.mutable_uuid()->set_value(same->uuid());
  exact.set_cluster_size(same->cluster_size());
  EXPECT_TRUE(again(exact));
  auto other = exact;
  other.mutable_uuid()->set_value(Uuid::from_name("other").text());
  EXPECT_EQ(code_of(again(other)), Code::kAlreadyExists);
  other = exact;
  other.set_cluster_size(same->cluster_size() * 2);
  EXPECT_EQ(code_of(again(other)), Code::kAlreadyExists);
  EXPECT_EQ(code_of(again(pool("aio:///disk1"))), Code::kAlreadyExists);
  other = exact;
  other.add_disks("aio:///disk1");
  EXPECT_EQ(code_of(again(other)), Code::kAlreadyExists);
  EXPECT_EQ(list_pools().size(), 1U);
}

TEST_F(Wishes, AReplicaIsInThePoolThatIsNamed) {
  ASSERT_TRUE(create_pool("q", "aio:///disk1"));
  const auto replica = create_replica("r", "p", 8 * kMiB, true);
  ASSERT_TRUE(replica);
  v1::ResizeReplicaRequest resize;
  resize.set_uuid(replica->uuid());
  resize.set_requested_size(12 * kMiB);
  const auto in = [&](const char* pool) {
    return wish<v1::Replica>(rpc::kWishPool, pool, std::string(kReplicas) + "ResizeReplica",
                             resize);
  };
  EXPECT_EQ(code_of(in("q")), Code::kNotFound);
  EXPECT_EQ(code_of(in("nope")), Code::kNotFound);
  EXPECT_EQ(in("p")->size(), 12 * kMiB);
  EXPECT_TRUE(in(replica->pooluuid().c_str()));
  v1::SetReplicaEntityIdRequest entity;
  entity.set_uuid(replica->uuid());
  entity.set_entity_id("volume");
  const std::string set = std::string(kReplicas) + "SetReplicaEntityId";
  EXPECT_EQ(code_of(wish<v1::Replica>(rpc::kWishPool, "q", set, entity)), Code::kNotFound);
  EXPECT_EQ(wish<v1::Replica>(rpc::kWishPool, "p", set, entity)->entity_id(), "volume");
  v1::UnshareReplicaRequest unshare;
  unshare.set_uuid(replica->uuid());
  const std::string end = std::string(kReplicas) + "UnshareReplica";
  EXPECT_EQ(code_of(wish<v1::Replica>(rpc::kWishPool, "q", end, unshare)), Code::kNotFound);
  EXPECT_TRUE(wish<v1::Replica>(rpc::kWishPool, "p", end, unshare));
}

TEST_F(Wishes, TheReplicasOfNoPoolAreAnErrorOrNone) {
  v1::ListReplicaOptions which;
  which.mutable_poolname()->set_value("nope");
  const std::string list = std::string(kReplicas) + "ListReplicas";
  EXPECT_EQ(call<v1::ListReplicasResponse>(list, which)->replicas_size(), 0);
  const auto wished = [&] {
    return wish<v1::ListReplicasResponse>(rpc::kWishMissing, "error", list, which);
  };
  EXPECT_EQ(code_of(wished()), Code::kNotFound);
  which.mutable_poolname()->set_value("p");
  EXPECT_TRUE(wished());
}

TEST_F(Wishes, ADeviceIsClosedByItsName) {
  v1::CreateBdevRequest create;
  create.set_uri("malloc:///m1?size_mb=8");
  const std::string make = std::string(kBdevs) + "Create", end = std::string(kBdevs) + "Destroy";
  const auto close = [&](const std::string& text) {
    v1::DestroyBdevRequest request;
    request.set_uri(text);
    return code_of(wish<Empty>(rpc::kWishBy, "name", end, request));
  };
  v1::DestroyBdevRequest plain;
  plain.set_uri("m1");
  ASSERT_TRUE(call<v1::CreateBdevResponse>(make, create));
  EXPECT_EQ(code_of(call<Empty>(end, plain)), Code::kInvalidArgument);
  EXPECT_EQ(close("m2"), Code::kNotFound);
  EXPECT_EQ(close("nosuch:///m1"), Code::kInvalidArgument);
  EXPECT_EQ(close("m1"), Code::kOk);
  EXPECT_EQ(close("m1"), Code::kNotFound);
  ASSERT_TRUE(call<v1::CreateBdevResponse>(make, create));
  EXPECT_EQ(close(create.uri()), Code::kOk);
  ASSERT_TRUE(create_replica("r", "p", 8 * kMiB, true));
  EXPECT_EQ(close("r"), Code::kFailedPrecondition);
  EXPECT_EQ(close("/disk0"), Code::kOk);  // with the pool on it, as by its URI
  EXPECT_EQ(list_pools().size(), 0U);
}

TEST_F(Wishes, CodesOfTheApiOrOfWhatHappened) {
  v1::StatNvmeControllerRequest request;
  request.set_name("x");
  const std::string operation = "mayastor.v1.HostRpc/StatNvmeController";
  using Answer = v1::StatNvmeControllerResponse;
  EXPECT_EQ(code_of(call<Answer>(operation, request)), Code::kInternal);
  EXPECT_EQ(code_of(wish<Answer>(rpc::kWishErrors, "own", operation, request)), Code::kNotFound);
}

TEST_F(Wishes, ATakenOrClaimedDeviceIsNoFaultOfTheNode) {
  v1::CreateBdevRequest create;
  create.set_uri("malloc:///m1?size_mb=8");
  const std::string make = std::string(kBdevs) + "Create", publish = std::string(kBdevs) + "Share";
  ASSERT_TRUE(call<v1::CreateBdevResponse>(make, create));
  const auto made = [&] {
    return code_of(wish<v1::CreateBdevResponse>(rpc::kWishErrors, "own", make, create));
  };
  EXPECT_EQ(code_of(call<v1::CreateBdevResponse>(make, create)), Code::kInternal);
  EXPECT_EQ(made(), Code::kAlreadyExists);
  create.set_uri("aio:///disk0");
  EXPECT_EQ(made(), Code::kAlreadyExists);  // the pool's
  v1::BdevShareRequest share;
  share.set_name("/disk0");
  share.set_protocol(v1::NVMF);
  EXPECT_EQ(code_of(call<v1::BdevShareResponse>(publish, share)), Code::kInternal);
  EXPECT_EQ(code_of(wish<v1::BdevShareResponse>(rpc::kWishErrors, "own", publish, share)),
            Code::kFailedPrecondition);
}

TEST_F(Wishes, AReplicaIsMadeAndDestroyedInAPoolThatIsThere) {
  ASSERT_TRUE(create_pool("q", "aio:///disk1"));
  const auto replica = create_replica("r", "p", 8 * kMiB, true);
  ASSERT_TRUE(replica);
  v1::DestroyReplicaRequest destroy;
  destroy.set_uuid(replica->uuid());
  const std::string end = std::string(kReplicas) + "DestroyReplica";
  const auto in = [&](const std::string& pool, bool own) {
    destroy.set_pool_name(pool);
    return code_of(own ? wish<Empty>(rpc::kWishErrors, "own", end, destroy)
                       : call<Empty>(end, destroy));
  };
  EXPECT_EQ(in("q", false), Code::kAborted);
  EXPECT_EQ(in("nope", false), Code::kFailedPrecondition);
  EXPECT_EQ(in("q", true), Code::kNotFound);
  EXPECT_EQ(in("nope", true), Code::kNotFound);
  EXPECT_EQ(in("p", true), Code::kOk);
  EXPECT_EQ(in("p", true), Code::kNotFound);
  v1::CreateReplicaRequest create;
  create.set_name("s");
  create.set_uuid(Uuid::from_name("s").text());
  create.set_size(8 * kMiB);
  create.set_pooluuid("nope");
  const std::string make = std::string(kReplicas) + "CreateReplica";
  EXPECT_EQ(code_of(call<v1::Replica>(make, create)), Code::kFailedPrecondition);
  EXPECT_EQ(code_of(wish<v1::Replica>(rpc::kWishErrors, "own", make, create)), Code::kNotFound);
  create.set_pooluuid("q");
  EXPECT_TRUE(wish<v1::Replica>(rpc::kWishErrors, "own", make, create));
}

TEST_F(Wishes, LoggingIsChangedWholeOrNotAtAll) {
  n1::SetLoggingRequest request;
  const auto set = [&] { return call<n1::Logging>("capstan.node.v1.NodeRpc/SetLogging", request); };
  EXPECT_EQ(set()->level(), "trace");  // nothing is changed by nothing
  request.set_level("warn");
  (*request.mutable_modules())["node"] = true;
  const auto changed = set();
  ASSERT_TRUE(changed) << text_of(changed);
  EXPECT_EQ(changed->level(), "warn");
  EXPECT_TRUE(changed->modules().at("node"));
  EXPECT_EQ(node_->engine.log().level(), core::LogLevel::kWarn);
  request.set_level("error");
  (*request.mutable_modules())["nope"] = true;
  EXPECT_EQ(code_of(set()), Code::kInvalidArgument);
  EXPECT_EQ(node_->engine.log().level(), core::LogLevel::kWarn);
  request.clear_modules();
  request.set_level("loud");
  EXPECT_EQ(code_of(set()), Code::kInvalidArgument);
}

}  // namespace
}  // namespace capstan::services
