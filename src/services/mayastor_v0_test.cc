// Why this file exists: Mayastor v0 over the same engine as v1: what is idempotent, what names
// stand for, which code each refusal has, and that messages shared with v1 have the same fields.
#include "services/mayastor_v0.h"

#include <google/protobuf/descriptor.h>

#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v0 = ::mayastor;
using v0::Null;

constexpr std::uint64_t kMiB = 1U << 20;
const char kService[] = "mayastor.Mayastor/";

class MayastorV0 : public ServicesTest {
 protected:
  void SetUp() override {
    env_.add_disk("/disk0", {.size_bytes = 64 * kMiB});
    env_.add_disk("/disk1", {.size_bytes = 64 * kMiB});
    node_ = std::make_unique<TestNode>(env_);
    node_->engine.shares().configure({.address = env_.address()});
    ASSERT_TRUE(run(node_->engine.start(true)));
    ASSERT_TRUE(run(listen(&node_->engine)));
  }
  static core::Task<Result<void>> listen(Engine* engine) { co_return engine->shares().listen(); }

  template <class Response, class Request>
  Result<Response> v0_call(const char* method, const Request& request) {
    return call<Response>(std::string(kService) + method, request);
  }
  Result<v0::Pool> make_pool(const std::string& name, const std::string& disk) {
    v0::CreatePoolRequest request;
    request.set_name(name);
    if (!disk.empty()) request.add_disks(disk);
    return v0_call<v0::Pool>("CreatePool", request);
  }
  Result<Null> destroy_pool(const std::string& name) {
    v0::DestroyPoolRequest request;
    request.set_name(name);
    return v0_call<Null>("DestroyPool", request);
  }
  static v0::CreateReplicaRequest wanted(const std::string& name, const std::string& pool = "p") {
    v0::CreateReplicaRequest request;
    request.set_uuid(name);
    request.set_pool(pool);
    request.set_size(8 * kMiB);
    request.set_thin(true);
    return request;
  }
  Result<v0::Replica> make(const v0::CreateReplicaRequest& request) {
    return v0_call<v0::Replica>("CreateReplica", request);
  }
  Result<v0::ShareReplicaReply> share(const std::string& name, int protocol) {
    v0::ShareReplicaRequest request;
    request.set_uuid(name);
    request.set_share(static_cast<v0::ShareProtocolReplica>(protocol));
    return v0_call<v0::ShareReplicaReply>("ShareReplica", request);
  }
  Result<Null> destroy(const std::string& name) {
    v0::DestroyReplicaRequest request;
    request.set_uuid(name);
    return v0_call<Null>("DestroyReplica", request);
  }
};

TEST_F(MayastorV0, Pools) {
  EXPECT_EQ(code_of(make_pool("p", "")), Code::kInvalidArgument);
  const auto made = make_pool("p", "aio:///disk0");
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->state(), v0::POOL_ONLINE);
  EXPECT_GT(made->capacity(), 50 * kMiB);
  const auto again = make_pool("p", "aio:///disk0");
  ASSERT_TRUE(again) << text_of(again);
  EXPECT_EQ(again->SerializeAsString(), made->SerializeAsString());
  EXPECT_EQ(code_of(make_pool("p", "aio:///disk1")), Code::kInvalidArgument);
  EXPECT_EQ(list_pools().size(), 1U);  // v1 sees the same
  const auto listed = v0_call<v0::ListPoolsReply>("ListPools", Null());
  ASSERT_TRUE(listed && listed->pools_size() == 1);
  EXPECT_EQ(listed->pools(0).SerializeAsString(), made->SerializeAsString());
  EXPECT_TRUE(destroy_pool("nobody"));
  EXPECT_TRUE(destroy_pool("p"));
  EXPECT_TRUE(destroy_pool("p"));
  EXPECT_TRUE(list_pools().empty());
}

TEST_F(MayastorV0, ReplicasByName) {
  ASSERT_TRUE(make_pool("p", "aio:///disk0"));
  EXPECT_EQ(code_of(make(wanted("r1", "nobody"))), Code::kInvalidArgument);
  const auto made = make(wanted("r1"));
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->uuid(), "r1");
  EXPECT_EQ(made->pool(), "p");
  EXPECT_EQ(made->size(), 8 * kMiB);
  EXPECT_EQ(made->share(), v0::REPLICA_NONE);
  EXPECT_EQ(made->uri().find("bdev:///r1?uuid="), 0U) << made->uri();
  auto other = wanted("r1");
  other.set_size(16 * kMiB);
  other.set_share(static_cast<v0::ShareProtocolReplica>(9));
  const auto again = make(other);  // parameters are not compared
  ASSERT_TRUE(again) << text_of(again);
  EXPECT_EQ(again->SerializeAsString(), made->SerializeAsString());
  other.set_uuid("r2");
  EXPECT_EQ(code_of(make(other)), Code::kInvalidArgument);
  auto big = wanted("first");
  big.set_thin(false);
  big.set_size(40 * kMiB);
  ASSERT_TRUE(make(big));
  big.set_uuid("second");
  const auto refused = make(big);
  EXPECT_EQ(code_of(refused), Code::kResourceExhausted) << text_of(refused);
  EXPECT_TRUE(destroy("first"));
  EXPECT_TRUE(destroy("nobody"));
  EXPECT_TRUE(destroy("r1"));
  EXPECT_TRUE(destroy("r1"));
  const auto listed = v0_call<v0::ListReplicasReply>("ListReplicas", Null());
  EXPECT_EQ(listed->replicas_size(), 0);
}

TEST_F(MayastorV0, TheNameOfADeviceIsTaken) {
  ASSERT_TRUE(make_pool("p", "aio:///disk0"));
  v0::BdevUri uri;
  uri.set_uri("malloc:///m0?size_mb=1");
  const auto made = call<v0::CreateReply>("mayastor.BdevRpc/Create", uri);
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->name(), "m0");
  EXPECT_EQ(code_of(make(wanted("m0"))), Code::kInternal);
}

TEST_F(MayastorV0, ReplicasWithAUuid) {
  ASSERT_TRUE(make_pool("p", "aio:///disk0"));
  v0::CreateReplicaRequestV2 request;
  request.set_name("r1");
  request.set_uuid(Uuid::from_name("r1").text());
  request.set_pool("p");
  request.set_size(8 * kMiB);
  const auto made = v0_call<v0::ReplicaV2>("CreateReplicaV2", request);
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_EQ(made->uuid(), request.uuid());
  EXPECT_EQ(made->usage().capacity_bytes(), 8 * kMiB);
  EXPECT_GT(made->usage().num_allocated_clusters(), 0U);
  ASSERT_TRUE(v0_call<v0::ReplicaV2>("CreateReplicaV2", request));
  request.set_name("r2");
  EXPECT_EQ(code_of(v0_call<v0::ReplicaV2>("CreateReplicaV2", request)), Code::kAlreadyExists);
  const auto listed = v0_call<v0::ListReplicasReplyV2>("ListReplicasV2", Null());
  ASSERT_EQ(listed->replicas_size(), 1);
  EXPECT_EQ(listed->replicas(0).SerializeAsString(), made->SerializeAsString());
  const auto stats = v0_call<v0::StatReplicasReply>("StatReplicas", Null());
  ASSERT_EQ(stats->replicas_size(), 1);
  EXPECT_EQ(stats->replicas(0).uuid(), "r1");
  EXPECT_EQ(stats->replicas(0).pool(), "p");
}

TEST_F(MayastorV0, Sharing) {
  ASSERT_TRUE(make_pool("p", "aio:///disk0"));
  ASSERT_TRUE(make(wanted("r1")));
  EXPECT_EQ(code_of(share("nobody", v0::REPLICA_NVMF)), Code::kNotFound);
  const auto shared = share("r1", v0::REPLICA_NVMF);
  ASSERT_TRUE(shared) << text_of(shared);
  EXPECT_EQ(shared->uri().find("nvmf+tcp://" + env_.address() + ":8420/nqn.2019-05.io.openebs:r1"),
            0U)
      << shared->uri();
  EXPECT_TRUE(share("r1", v0::REPLICA_NVMF));
  const auto listed = v0_call<v0::ListReplicasReply>("ListReplicas", Null());
  EXPECT_EQ(listed->replicas(0).share(), v0::REPLICA_NVMF);
  EXPECT_EQ(code_of(share("r1", 7)), Code::kInvalidArgument);
  const auto local = share("r1", v0::REPLICA_NONE);
  ASSERT_TRUE(local) << text_of(local);
  EXPECT_EQ(local->uri().find("bdev:///r1"), 0U);
  EXPECT_TRUE(share("r1", v0::REPLICA_NONE));
}

TEST_F(MayastorV0, Devices) {
  v0::BdevUri uri;
  uri.set_uri("malloc:///m0?size_mb=1");
  ASSERT_TRUE(call<v0::CreateReply>("mayastor.BdevRpc/Create", uri));
  EXPECT_EQ(code_of(call<v0::CreateReply>("mayastor.BdevRpc/Create", uri)), Code::kInternal);
  const auto listed = call<v0::Bdevs>("mayastor.BdevRpc/List", Null());
  ASSERT_TRUE(listed && listed->bdevs_size() == 1);
  EXPECT_EQ(listed->bdevs(0).name(), "m0");
  EXPECT_EQ(listed->bdevs(0).num_blocks(), 2048U);
  EXPECT_EQ(listed->bdevs(0).claimed_by(), "Orphaned");
  v0::BdevShareRequest share;
  share.set_name("m0");
  share.set_proto("iscsi");
  const auto refused = call<v0::BdevShareReply>("mayastor.BdevRpc/Share", share);
  EXPECT_EQ(code_of(refused), Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message, "iscsi");
  share.set_proto("nvmf");
  const auto shared = call<v0::BdevShareReply>("mayastor.BdevRpc/Share", share);
  ASSERT_TRUE(shared) << text_of(shared);
  EXPECT_EQ(shared->uri().find("nvmf+tcp://"), 0U);
  v0::CreateReply name;
  name.set_name("m0");
  EXPECT_TRUE(call<Null>("mayastor.BdevRpc/Unshare", name));
  EXPECT_TRUE(call<Null>("mayastor.BdevRpc/Destroy", uri));
  EXPECT_EQ(code_of(call<Null>("mayastor.BdevRpc/Destroy", uri)), Code::kNotFound);
  uri.set_uri("malloc:///%ff?size_mb=16");
  EXPECT_EQ(code_of(call<v0::CreateReply>("mayastor.BdevRpc/Create", uri)), Code::kInvalidArgument);
  EXPECT_TRUE(call<v0::Bdevs>("mayastor.BdevRpc/List", Null()));
}

TEST_F(MayastorV0, TheNode) {
  const auto info = v0_call<v0::MayastorInfoRequest>("GetMayastorInfo", Null());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->version(), "v1.2.3");
  EXPECT_FALSE(info->supportedfeatures().asymmetricnamespaceaccess());
  const auto usage = v0_call<v0::GetResourceUsageReply>("GetResourceUsage", Null());
  ASSERT_TRUE(usage);
  EXPECT_GT(usage->usage().soft_faults(), 0);
  EXPECT_EQ(
      v0_call<v0::ListNvmeControllersReply>("ListNvmeControllers", Null())->controllers_size(), 0);
  EXPECT_EQ(
      v0_call<v0::StatNvmeControllersReply>("StatNvmeControllers", Null())->controllers_size(), 0);
}

// host_v0.cc takes messages of v1 over by the numbers of their fields.
void expect_same_fields(const google::protobuf::Descriptor* older,
                        const google::protobuf::Descriptor* newer) {
  for (int i = 0; i < older->field_count(); ++i) {
    const auto* field = older->field(i);
    const auto* other = newer->FindFieldByNumber(field->number());
    ASSERT_TRUE(other) << field->full_name();
    EXPECT_EQ(field->type(), other->type()) << field->full_name();
    if (field->name() == "mountpoint") continue;  // put right by hand
    EXPECT_EQ(field->name(), other->name());
    if (field->message_type()) expect_same_fields(field->message_type(), other->message_type());
    if (!field->enum_type()) continue;
    for (int value = 0; value < field->enum_type()->value_count(); ++value) {
      const auto* one = field->enum_type()->value(value);
      const auto* two = other->enum_type()->FindValueByNumber(one->number());
      ASSERT_TRUE(two) << one->full_name();
      EXPECT_EQ(one->name(), two->name());
    }
  }
}

TEST(MayastorV0Messages, HaveTheFieldsOfV1) {
  namespace v1 = ::mayastor::v1;
  expect_same_fields(v0::BlockDevice::descriptor(), v1::BlockDevice::descriptor());
  expect_same_fields(v0::GetResourceUsageReply::descriptor(),
                     v1::GetMayastorResourceUsageResponse::descriptor());
  expect_same_fields(v0::ListNvmeControllersReply::descriptor(),
                     v1::ListNvmeControllersResponse::descriptor());
  expect_same_fields(v0::Bdev::descriptor(), v1::Bdev::descriptor());
}

}  // namespace
}  // namespace capstan::services
