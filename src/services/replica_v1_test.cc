// Why this file exists: ReplicaRpc as its clients see it: the order of checks with the status of
// each, the life of a replica in the words of io-engine-behaviour section 23.4, and the trailer by
// which a control plane knows that a replica is gone.
#include "services/replica_v1.h"

#include <algorithm>
#include <cctype>

#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;
using google::protobuf::Empty;
using Trailers = std::vector<std::pair<std::string, std::string>>;

constexpr std::uint64_t kMiB = 1U << 20;

class ReplicaV1Test : public ServicesTest {
 protected:
  void SetUp() override {
    start();
    ASSERT_TRUE(create_pool("p", "malloc:///m0?size_mb=100"));
    ASSERT_TRUE(create_pool("q", "malloc:///m1?size_mb=100"));
  }
  static std::string uuid(const std::string& name) { return Uuid::from_name(name).text(); }
  Result<Empty> destroy(const std::string& name, const std::string& pool = "",
                        const std::string& pool_uuid = "") {
    v1::DestroyReplicaRequest request;
    request.set_uuid(uuid(name));
    if (!pool.empty()) request.set_pool_name(pool);
    if (!pool_uuid.empty()) request.set_pool_uuid(pool_uuid);
    return call<Empty>("mayastor.v1.ReplicaRpc/DestroyReplica", request);
  }
  Result<Replica> share(const std::string& name, v1::ShareProtocol protocol) {
    v1::ShareReplicaRequest request;
    request.set_uuid(uuid(name));
    request.set_share(protocol);
    return call<Replica>("mayastor.v1.ReplicaRpc/ShareReplica", request);
  }
  Result<Replica> set_entity(const std::string& name, const std::string& entity) {
    v1::SetReplicaEntityIdRequest request;
    request.set_uuid(uuid(name));
    request.set_entity_id(entity);
    return call<Replica>("mayastor.v1.ReplicaRpc/SetReplicaEntityId", request);
  }
  std::vector<std::string> list(const v1::ListReplicaOptions& options) {
    const auto out = call<v1::ListReplicasResponse>("mayastor.v1.ReplicaRpc/ListReplicas", options);
    EXPECT_TRUE(out) << text_of(out);
    std::vector<std::string> names;
    if (out) {
      for (const auto& replica : out->replicas()) names.push_back(replica.name());
    }
    return names;
  }
};

TEST_F(ReplicaV1Test, ALife) {
  const auto r1 = create_replica("r1", "p", 41943040, false);
  ASSERT_TRUE(r1) << text_of(r1);
  EXPECT_EQ(r1->size(), 41943040U);
  EXPECT_EQ(r1->usage().num_clusters(), 10U);
  EXPECT_EQ(r1->usage().num_allocated_clusters(), 10U);
  EXPECT_EQ(r1->uri(), "bdev:///r1?uuid=" + uuid("r1"));
  EXPECT_EQ(r1->poolname(), "p");
  EXPECT_FALSE(r1->thin());
  EXPECT_FALSE(r1->has_entity_id());
  EXPECT_EQ(code_of(create_replica("r1", "p", 41943040, false)), Code::kAlreadyExists);
  EXPECT_EQ(code_of(create_replica("r2", "p", 67108864, false)), Code::kResourceExhausted);
  EXPECT_EQ(code_of(create_replica("r3", "p", 104857600, true)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(share("r1", v1::NONE)), Code::kOk);
  EXPECT_TRUE(destroy("r1", "p"));
  EXPECT_TRUE(call_.metadata.trailers.empty());
  EXPECT_EQ(code_of(destroy("r1", "p")), Code::kNotFound);
  EXPECT_EQ(call_.metadata.trailers, (Trailers{{"gtm-602", "0"}}));
  EXPECT_EQ(code_of(destroy("r1", "x")), Code::kFailedPrecondition);
  EXPECT_TRUE(call_.metadata.trailers.empty()) << "the pool is not there: nobody knows";
}

TEST_F(ReplicaV1Test, CreateChecksInOrder) {
  v1::CreateReplicaRequest request;
  request.set_share(v1::ISCSI);
  request.set_pooluuid("x");
  request.set_name("r1");
  request.set_uuid("bad");
  request.set_size(1000 * kMiB);
  const auto create = [&] {
    return call<Replica>("mayastor.v1.ReplicaRpc/CreateReplica", request);
  };
  EXPECT_TRUE(text_of(create()).starts_with("invalid replica share protocol value: 2"));
  request.set_share(v1::NVMF);
  EXPECT_EQ(code_of(create()), Code::kFailedPrecondition);
  request.set_pooluuid("p");
  {
    const auto lock = node_->engine.locks().try_lock("p");
    EXPECT_EQ(code_of(create()), Code::kAborted);
  }
  request.set_name("m1");  // the name of a device
  EXPECT_EQ(code_of(create()), Code::kAlreadyExists);
  request.set_name("r1");
  EXPECT_NE(text_of(create()).find("larger than pool"), std::string::npos);
  request.set_size(kMiB);
  EXPECT_NE(text_of(create()).find("invalid replica UUID"), std::string::npos);
  request.clear_uuid();
  EXPECT_EQ(code_of(create()), Code::kInternal) << "no target runs";
  EXPECT_TRUE(list({}).empty()) << "nothing is left behind";
  request.set_share(v1::NONE);
  request.set_entity_id("vol-1");
  request.set_thin(true);
  const auto made = create();
  ASSERT_TRUE(made) << text_of(made);
  EXPECT_TRUE(Uuid::parse(made->uuid()));
  EXPECT_EQ(made->size(), 4 * kMiB) << "rounded up to clusters";
  EXPECT_EQ(made->entity_id(), "vol-1");
  request.set_name("r2");
  request.set_uuid(made->uuid());
  EXPECT_EQ(code_of(create()), Code::kAlreadyExists) << "the UUID is taken";
  request.set_uuid("");
  request.set_size(0);
  EXPECT_EQ(code_of(create()), Code::kInvalidArgument);
}

TEST_F(ReplicaV1Test, NamesAreUniqueOnTheNode) {
  ASSERT_TRUE(create_replica("r1", "p", kMiB, true));
  v1::CreateReplicaRequest request;
  request.set_name("r1");
  request.set_pooluuid("q");
  request.set_size(kMiB);
  const auto second = call<Replica>("mayastor.v1.ReplicaRpc/CreateReplica", request);
  EXPECT_EQ(code_of(second), Code::kAlreadyExists);
}

TEST_F(ReplicaV1Test, PoolByUuid) {
  const std::string pool_uuid = list_pools().front().uuid();
  ASSERT_TRUE(create_replica("r1", pool_uuid, kMiB, true));
  EXPECT_TRUE(destroy("r1", "", pool_uuid));
  EXPECT_EQ(code_of(destroy("r1", "", uuid("nowhere"))), Code::kFailedPrecondition);
}

TEST_F(ReplicaV1Test, DestroyChecksThePool) {
  ASSERT_TRUE(create_replica("r1", "p", kMiB, true));
  EXPECT_EQ(code_of(destroy("r1", "q")), Code::kAborted);
  {
    const auto lock = node_->engine.locks().try_lock("p");
    EXPECT_EQ(code_of(destroy("r1")), Code::kAborted);
  }
  const auto device = node_->engine.devices().find("m0");
  v1::DestroyReplicaRequest request;
  request.set_uuid(device->uuid().text());
  EXPECT_EQ(code_of(call<Empty>("mayastor.v1.ReplicaRpc/DestroyReplica", request)),
            Code::kInternal);
  EXPECT_TRUE(destroy("r1"));
  EXPECT_FALSE(node_->engine.devices().find("p/r1"));
}

TEST_F(ReplicaV1Test, AReplicaInUseIsNotDestroyed) {
  ASSERT_TRUE(create_replica("r1", "p", kMiB, true));
  const auto device = node_->engine.devices().find("r1");
  ASSERT_TRUE(device->claim("somebody"));
  EXPECT_EQ(code_of(destroy("r1")), Code::kInternal);
  EXPECT_TRUE(call_.metadata.trailers.empty());
  device->release();
  EXPECT_EQ(node_->engine.devices().find("r1"), device) << "still known by name";
  EXPECT_TRUE(destroy("r1"));
}

std::string in_capitals(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

TEST_F(ReplicaV1Test, ListFilters) {
  ASSERT_TRUE(create_replica("r1", "p", kMiB, true));
  ASSERT_TRUE(create_replica("r2", "q", kMiB, false));
  v1::ListReplicaOptions options;
  using Names = std::vector<std::string>;
  EXPECT_EQ(list(options), (Names{"r1", "r2"}));
  options.mutable_poolname()->set_value("q");
  EXPECT_EQ(list(options), Names{"r2"});
  options.mutable_name()->set_value("r1");
  EXPECT_EQ(list(options), Names{}) << "filters are ANDed";
  options.Clear();
  options.mutable_uuid()->set_value(uuid("r1"));
  EXPECT_EQ(list(options), Names{"r1"});
  options.mutable_uuid()->set_value(in_capitals(uuid("r1")));
  EXPECT_EQ(list(options), Names{"r1"}) << "a UUID is not a text";
  options.mutable_uuid()->set_value("");
  EXPECT_EQ(list(options), Names{});
  options.Clear();
  options.mutable_query()->set_snapshot(true);
  EXPECT_EQ(list(options), Names{});
  options.mutable_query()->set_replica(true);
  EXPECT_EQ(list(options), (Names{"r1", "r2"}));
  options.Clear();
  options.add_pooltypes(v1::Lvm);
  EXPECT_EQ(list(options), Names{});
  options.add_pooltypes(v1::Lvs);
  EXPECT_EQ(list(options), (Names{"r1", "r2"}));
  options.add_pooltypes(static_cast<v1::PoolType>(5));
  const auto bad = call<v1::ListReplicasResponse>("mayastor.v1.ReplicaRpc/ListReplicas", options);
  EXPECT_EQ(code_of(bad), Code::kInvalidArgument);
}

TEST_F(ReplicaV1Test, Sharing) {
  EXPECT_EQ(code_of(share("r1", v1::NVMF)), Code::kNotFound);
  ASSERT_TRUE(create_replica("r1", "p", kMiB, true));
  {
    const auto lock = node_->engine.locks().try_lock("p");
    EXPECT_EQ(code_of(share("r1", v1::ISCSI)), Code::kAborted);
  }
  EXPECT_EQ(code_of(share("r1", v1::ISCSI)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(share("r1", v1::NVMF)), Code::kFailedPrecondition) << "no target runs";
  EXPECT_EQ(code_of(share("r1", v1::NONE)), Code::kOk);
  v1::UnshareReplicaRequest request;
  request.set_uuid(uuid("r1"));
  for (int i = 0; i < 2; ++i) {
    const auto unshared = call<Replica>("mayastor.v1.ReplicaRpc/UnshareReplica", request);
    ASSERT_TRUE(unshared) << text_of(unshared);
    EXPECT_EQ(unshared->share(), v1::NONE);
  }
  request.set_uuid(uuid("r9"));
  EXPECT_EQ(code_of(call<Replica>("mayastor.v1.ReplicaRpc/UnshareReplica", request)),
            Code::kNotFound);
}

TEST_F(ReplicaV1Test, EntityIdIsStored) {
  EXPECT_EQ(code_of(set_entity("r1", "vol")), Code::kNotFound);
  ASSERT_TRUE(create_replica("r1", "p", kMiB, true));
  const auto set = set_entity("r1", "vol");
  ASSERT_TRUE(set) << text_of(set);
  EXPECT_EQ(set->entity_id(), "vol");
  const auto replica = node_->engine.find_replica_named("r1").replica;
  EXPECT_EQ(replica->attributes().at("entity_id"), std::string("vol\0", 4)) << "as upstream has it";
  EXPECT_TRUE(set_entity("r1", "vol"));
  EXPECT_EQ(code_of(set_entity("r1", std::string(5000, 'x'))), Code::kDataLoss);
}

TEST_F(ReplicaV1Test, ResizesBothWays) {
  const auto resize = [this](const std::string& name, std::uint64_t size) {
    v1::ResizeReplicaRequest request;
    request.set_uuid(uuid(name));
    request.set_requested_size(size);
    return call<Replica>("mayastor.v1.ReplicaRpc/ResizeReplica", request);
  };
  EXPECT_EQ(code_of(resize("r1", kMiB)), Code::kNotFound);
  ASSERT_TRUE(create_replica("r1", "p", 8 * kMiB, true));
  ASSERT_TRUE(create_replica("thick", "p", 8 * kMiB, false));
  auto grown = resize("r1", 17 * kMiB);
  ASSERT_TRUE(grown) << text_of(grown);
  EXPECT_EQ(grown->size(), 20 * kMiB) << "whole clusters";
  EXPECT_EQ(grown->usage().num_clusters(), 5U);
  EXPECT_EQ(grown->usage().num_allocated_clusters(), 0U);
  EXPECT_EQ(resize("thick", 12 * kMiB)->usage().num_allocated_clusters(), 3U);
  EXPECT_EQ(list_pools().front().used(), 12 * kMiB);
  const auto shrunk = resize("thick", 4 * kMiB);
  ASSERT_TRUE(shrunk) << text_of(shrunk);
  EXPECT_EQ(shrunk->size(), 4 * kMiB);
  EXPECT_EQ(list_pools().front().used(), 4 * kMiB);
  EXPECT_EQ(node_->engine.devices().find("thick")->size_bytes(), 4 * kMiB);

  EXPECT_EQ(code_of(resize("r1", 0)), Code::kInvalidArgument);
  EXPECT_EQ(code_of(resize("r1", 101 * kMiB)), Code::kInvalidArgument) << "larger than the pool";
  EXPECT_EQ(code_of(resize("thick", 96 * kMiB)), Code::kOk);
  EXPECT_EQ(code_of(resize("thick", 4 * kMiB)), Code::kOk);
  ASSERT_TRUE(create_replica("other", "p", 80 * kMiB, false));
  EXPECT_EQ(code_of(resize("thick", 24 * kMiB)), Code::kResourceExhausted);
  EXPECT_EQ(node_->engine.devices().find("thick")->size_bytes(), 4 * kMiB);
  const auto replica = node_->engine.find_replica_named("thick").replica;
  ASSERT_TRUE(replica->claim("a nexus"));
  EXPECT_EQ(code_of(resize("thick", 8 * kMiB)), Code::kOk) << "growing hurts nobody";
  EXPECT_EQ(code_of(resize("thick", 4 * kMiB)), Code::kFailedPrecondition);
  replica->release();
}

TEST_F(ReplicaV1Test, WhatIsNotServedSaysSo) {
  for (const char* operation :
       {"mayastor.v1.NexusRpc/CreateNexus", "mayastor.v1.SnapshotRpc/ListSnapshot",
        "mayastor.v1.TestRpc/GetFeatures", "mayastor.v1.TestRpc/WipeReplica",
        "mayastor.Mayastor/CreateNexus", "mayastor.Mayastor/CreateSnapshot"}) {
    EXPECT_FALSE(node_->directory.find(operation)) << operation;
    const auto why = node_->directory.why_missing(operation);
    EXPECT_EQ(why.code, Code::kUnimplemented);
    EXPECT_NE(why.text().find(operation), std::string::npos) << why.text();
  }
}

}  // namespace
}  // namespace capstan::services
