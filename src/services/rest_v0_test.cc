// Why this file exists: the control plane's REST objects as a node tells them: what spec and state
// hold, that only this node's id is known, and where this API is stricter than v1.
#include "services/rest_v0.h"

#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v0 = ::capstan::rest::v0;
using google::protobuf::Empty;

constexpr std::uint64_t kMiB = 1U << 20;

class RestV0 : public ServicesTest {
 protected:
  void SetUp() override {
    disk_ = &env_.add_disk("/disk0", {.size_bytes = 64 * kMiB});
    begin();
  }
  void begin() {
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address()});
    ASSERT_TRUE(run(node_->engine.start(true)));
    ASSERT_TRUE(run(listen(&node_->engine)));
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }

  template <class Response, class Request>
  Result<Response> rest(const char* name, const Request& request) {
    return call<Response>(std::string("capstan.rest.v0.") + name, request);
  }
  static v0::PutPoolRequest pool_request(const std::string& node = "n1") {
    v0::PutPoolRequest request;
    request.set_node(node);
    request.set_id("p");
    request.add_disks("aio:///disk0");
    return request;
  }
  Result<v0::Pool> put_pool(const v0::PutPoolRequest& request) {
    return rest<v0::Pool>("Pools/PutPool", request);
  }
  template <class Request>
  static Request about(const std::string& id, const std::string& node = "",
                       const std::string& pool = "") {
    Request request;
    request.set_id(id);
    if (!node.empty()) request.set_node(node);
    if constexpr (requires { request.set_pool(pool); }) {
      if (!pool.empty()) request.set_pool(pool);
    }
    return request;
  }
  static std::string uuid() { return Uuid::from_name("r").text(); }
  static v0::PutReplicaRequest replica_request() {
    v0::PutReplicaRequest request;
    request.set_node("n1");
    request.set_pool("p");
    request.set_id(uuid());
    request.set_size(8 * kMiB);
    request.set_thin(true);
    return request;
  }
  Result<v0::ShareUri> share(std::vector<std::string> hosts = {}) {
    v0::PutReplicaShareRequest request;
    request.set_pool("p");
    request.set_id(uuid());
    for (auto& host : hosts) request.add_allowed_hosts(host);
    return rest<v0::ShareUri>("Replicas/PutReplicaShare", request);
  }
  template <class T>
  static std::string reason_of(const Result<T>& result) {
    return result || !result.error().details ? "" : result.error().details->reason;
  }

  core::SimDisk* disk_ = nullptr;
};

TEST_F(RestV0, ThisNodeIsTheOnlyOne) {
  const auto nodes = rest<v0::NodeList>("Nodes/GetNodes", v0::GetNodesRequest());
  ASSERT_TRUE(nodes) << text_of(nodes);
  ASSERT_EQ(nodes->nodes_size(), 1);
  EXPECT_EQ(nodes->nodes(0).id(), "n1");
  EXPECT_EQ(nodes->nodes(0).spec().version(), "v1.2.3");
  EXPECT_EQ(nodes->nodes(0).state().status(), v0::NodeState::Online);
  EXPECT_FALSE(nodes->nodes(0).state().has_node_nqn());
  v0::GetNodesRequest other;
  other.set_node_id("n2");
  EXPECT_EQ(rest<v0::NodeList>("Nodes/GetNodes", other)->nodes_size(), 0);
  v0::GetNodeRequest one;
  one.set_id("n2");
  EXPECT_EQ(code_of(rest<v0::Node>("Nodes/GetNode", one)), Code::kNotFound);
}

TEST_F(RestV0, EveryCallAsksForThisNode) {
  EXPECT_EQ(code_of(put_pool(pool_request("n2"))), Code::kNotFound);
  v0::GetPoolsRequest pools;
  pools.set_node("n2");
  EXPECT_EQ(code_of(rest<v0::PoolList>("Pools/GetPools", pools)), Code::kNotFound);
  const auto pool = about<v0::PoolRequest>("p", "n2");
  EXPECT_EQ(code_of(rest<v0::Pool>("Pools/GetPool", pool)), Code::kNotFound);
  EXPECT_EQ(code_of(rest<Empty>("Pools/DelPool", pool)), Code::kNotFound);
  const auto replica = about<v0::ReplicaRequest>(uuid(), "n2", "p");
  EXPECT_TRUE(text_of(rest<v0::Replica>("Replicas/GetReplica", replica)).contains("Node 'n2'"));
  EXPECT_TRUE(text_of(rest<Empty>("Replicas/DelReplica", replica)).contains("Node 'n2'"));
  EXPECT_TRUE(text_of(rest<Empty>("Replicas/DelReplicaShare", replica)).contains("Node 'n2'"));
  v0::JsonGrpcRequest method;
  method.set_node("n2");
  method.set_method("bdev_get_bdevs");
  EXPECT_EQ(code_of(rest<v0::JsonGrpcResponse>("Nodes/PutJsonGrpc", method)), Code::kNotFound);
  method.set_node("n1");
  const auto devices = rest<v0::JsonGrpcResponse>("Nodes/PutJsonGrpc", method);
  ASSERT_TRUE(devices) << text_of(devices);
  EXPECT_TRUE(devices->result().starts_with('['));
}

TEST_F(RestV0, PoolsHaveSpecAndState) {
  const auto made = put_pool(pool_request());
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->id(), "p");
  EXPECT_EQ(made->spec().node(), "n1");
  EXPECT_EQ(made->spec().disks(0), "aio:///disk0");
  EXPECT_EQ(made->spec().status(), v0::PoolSpec::Created);
  EXPECT_EQ(made->state().status(), v0::PoolState::Online);
  EXPECT_GT(made->state().capacity(), 32 * kMiB);
  EXPECT_TRUE(made->state().disks(0).contains("uuid="));
  const auto got = rest<v0::Pool>("Pools/GetPool", about<v0::PoolRequest>("p", "n1"));
  ASSERT_TRUE(got) << text_of(got);
  EXPECT_EQ(got->SerializeAsString(), made->SerializeAsString());
  EXPECT_EQ(code_of(put_pool(pool_request())), Code::kAlreadyExists);
  auto labelled = pool_request();
  (*labelled.mutable_labels())["zone"] = "a";
  EXPECT_EQ(code_of(put_pool(labelled)), Code::kInvalidArgument);
  EXPECT_TRUE(rest<Empty>("Pools/DelPool", about<v0::PoolRequest>("p")));
  EXPECT_EQ(code_of(rest<Empty>("Pools/DelPool", about<v0::PoolRequest>("p"))), Code::kNotFound);
  EXPECT_EQ(code_of(rest<v0::Pool>("Pools/GetPool", about<v0::PoolRequest>("p"))), Code::kNotFound);
}

TEST_F(RestV0, APoolThatIsRememberedAndNotOpenHasNoState) {
  ASSERT_TRUE(put_pool(pool_request()));
  stop();
  disk_->poke(0, std::vector<std::uint8_t>(kMiB));  // somebody cleared its beginning
  begin();
  const auto pools = rest<v0::PoolList>("Pools/GetPools", v0::GetPoolsRequest());
  ASSERT_TRUE(pools) << text_of(pools);
  ASSERT_EQ(pools->pools_size(), 1);
  EXPECT_EQ(pools->pools(0).id(), "p");
  EXPECT_EQ(pools->pools(0).spec().disks(0), "aio:///disk0");
  EXPECT_FALSE(pools->pools(0).has_state());
  const auto one = rest<v0::Pool>("Pools/GetPool", about<v0::PoolRequest>("p"));
  ASSERT_TRUE(one) << text_of(one);
  EXPECT_FALSE(one->has_state());
}

TEST_F(RestV0, ReplicasByNodeAndPool) {
  EXPECT_EQ(code_of(rest<v0::Replica>("Replicas/PutReplica", replica_request())), Code::kNotFound);
  ASSERT_TRUE(put_pool(pool_request()));
  for (const char* missing : {"size", "thin"}) {
    auto request = replica_request();
    const auto* field = request.GetDescriptor()->FindFieldByName(missing);
    request.GetReflection()->ClearField(&request, field);
    const auto refused = rest<v0::Replica>("Replicas/PutReplica", request);
    EXPECT_EQ(code_of(refused), Code::kInvalidArgument);
    EXPECT_TRUE(text_of(refused).starts_with(missing));
  }
  const auto made = rest<v0::Replica>("Replicas/PutReplica", replica_request());
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->uuid(), uuid());
  EXPECT_EQ(made->pool(), "p");
  EXPECT_EQ(made->node(), "n1");
  EXPECT_EQ(made->size(), 8 * kMiB);
  EXPECT_TRUE(made->thin());
  EXPECT_EQ(made->share(), v0::none);
  EXPECT_EQ(made->state(), v0::Replica::Online);
  EXPECT_EQ(made->kind(), v0::Replica::Regular);
  EXPECT_EQ(made->uri(), "bdev:///" + uuid() + "?uuid=" + uuid());
  EXPECT_EQ(made->space().capacity_bytes(), 8 * kMiB);
  EXPECT_EQ(code_of(rest<v0::Replica>("Replicas/PutReplica", replica_request())),
            Code::kAlreadyExists);
  const auto get = [&](const std::string& pool) {
    return rest<v0::Replica>("Replicas/GetReplica", about<v0::ReplicaRequest>(uuid(), "n1", pool));
  };
  EXPECT_TRUE(get("p"));
  EXPECT_TRUE(get(""));
  EXPECT_EQ(code_of(get("q")), Code::kNotFound);
  v0::GetReplicasRequest list;
  EXPECT_EQ(rest<v0::ReplicaList>("Replicas/GetReplicas", list)->replicas_size(), 1);
  list.set_pool("p");
  EXPECT_EQ(rest<v0::ReplicaList>("Replicas/GetReplicas", list)->replicas_size(), 1);
  list.set_pool("q");
  EXPECT_EQ(code_of(rest<v0::ReplicaList>("Replicas/GetReplicas", list)), Code::kNotFound);
  const auto other = about<v0::ReplicaRequest>(uuid(), "n1", "q");
  EXPECT_EQ(code_of(rest<Empty>("Replicas/DelReplica", other)), Code::kNotFound);
  const auto it = about<v0::ReplicaRequest>(uuid(), "n1", "p");
  EXPECT_TRUE(rest<Empty>("Replicas/DelReplica", it));
  EXPECT_EQ(code_of(rest<Empty>("Replicas/DelReplica", it)), Code::kNotFound);
}

TEST_F(RestV0, SharingTwiceIsAnError) {
  ASSERT_TRUE(put_pool(pool_request()));
  ASSERT_TRUE(rest<v0::Replica>("Replicas/PutReplica", replica_request()));
  const auto it = about<v0::ReplicaRequest>(uuid(), "", "p");
  EXPECT_EQ(reason_of(rest<Empty>("Replicas/DelReplicaShare", it)), "NOT_SHARED");
  const auto uri = share();
  ASSERT_TRUE(uri) << text_of(uri);
  EXPECT_TRUE(uri->uri().starts_with("nvmf+tcp://")) << uri->uri();
  const auto again = share();
  EXPECT_EQ(code_of(again), Code::kFailedPrecondition);
  EXPECT_EQ(reason_of(again), "ALREADY_SHARED");
  // Other hosts are a change.
  const std::string host = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-4333-8444-555555555555";
  ASSERT_TRUE(share({host}));
  EXPECT_EQ(reason_of(share({host})), "ALREADY_SHARED");
  const auto shared = rest<v0::Replica>("Replicas/GetReplica", it);
  ASSERT_TRUE(shared) << text_of(shared);
  EXPECT_EQ(shared->share(), v0::nvmf);
  EXPECT_EQ(shared->allowed_hosts(0), host);
  EXPECT_TRUE(rest<Empty>("Replicas/DelReplicaShare", it));
  EXPECT_EQ(rest<v0::Replica>("Replicas/GetReplica", it)->share(), v0::none);
}

TEST_F(RestV0, ThereAreNoNexuses) {
  EXPECT_EQ(rest<v0::NexusList>("Nexuses/GetNexuses", v0::GetNexusesRequest())->nexuses_size(), 0);
  const auto one = about<v0::NexusRequest>(uuid(), "n1");
  EXPECT_EQ(code_of(rest<v0::Nexus>("Nexuses/GetNexus", one)), Code::kNotFound);
  EXPECT_EQ(code_of(rest<Empty>("Nexuses/DelNexus", one)), Code::kNotFound);
  EXPECT_EQ(code_of(rest<Empty>("Nexuses/DelNexusShare", one)), Code::kNotFound);
  EXPECT_EQ(code_of(rest<v0::ChildList>("Nexuses/GetNexusChildren", one)), Code::kNotFound);
  const auto share = about<v0::PutNexusShareRequest>(uuid(), "n1");
  EXPECT_EQ(code_of(rest<v0::ShareUri>("Nexuses/PutNexusShare", share)), Code::kNotFound);
  const auto child = about<v0::ChildRequest>(uuid(), "n1");
  EXPECT_EQ(code_of(rest<v0::Child>("Nexuses/GetNexusChild", child)), Code::kNotFound);
  EXPECT_EQ(code_of(rest<v0::Child>("Nexuses/PutNexusChild", child)), Code::kNotFound);
  EXPECT_EQ(code_of(rest<Empty>("Nexuses/DelNexusChild", child)), Code::kNotFound);
  const auto made = about<v0::PutNexusRequest>(uuid(), "n1");
  EXPECT_EQ(code_of(rest<v0::Nexus>("Nexuses/PutNexus", made)), Code::kUnimplemented);
}

}  // namespace
}  // namespace capstan::services
