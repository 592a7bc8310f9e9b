// Why this file exists: a pool that Mayastor wrote, with snapshots and a clone, seen through the
// services: every volume is listed as what it is, its content is exported with the hash that the
// sample's manifest (tests/vectors/lvs-images) names, and what import does on the side is done.
#include <algorithm>
#include <cstdio>

#include "capstan_test_paths.h"
#include "services/services_test_support.h"

namespace capstan::services {
namespace {

namespace v1 = ::mayastor::v1;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr char kThin[] = "11111111-2222-4333-8444-555555555501";  // names that look like UUIDs
constexpr char kSnapped[] = "11111111-2222-4333-8444-555555555502";

class SamplePoolTest : public ServicesTest {
 protected:
  void SetUp() override {
    start();
    v1::CreateBdevRequest device;
    device.set_uri("malloc:///m0?size_mb=128");
    ASSERT_TRUE(call<v1::CreateBdevResponse>("mayastor.v1.BdevRpc/Create", device));
    const auto filled = run(fill(node_->engine.devices().find("m0")));
    ASSERT_TRUE(filled) << text_of(filled);
    v1::ImportPoolRequest request;
    request.set_name("pool-1");
    request.add_disks("malloc:///m0?size_mb=128");
    const auto imported = call<Pool>("mayastor.v1.PoolRpc/ImportPool", request);
    ASSERT_TRUE(imported) << text_of(imported);
    EXPECT_EQ(imported->uuid(), "0f1b6d8e-3a51-4f0c-9d7e-5b1a2c3d4e5f");
    EXPECT_EQ(imported->capacity(), 31 * 4 * kMiB);
    EXPECT_EQ(imported->used(), 6 * 4 * kMiB);
  }
  static core::Task<Result<void>> fill(std::shared_ptr<storage::Device> device) {
    FILE* pipe = popen(
        "zstd -q -d -c " CAPSTAN_SOURCE_DIR "/tests/vectors/lvs-images/e-mayastor.img.zst", "r");
    std::vector<std::uint8_t> chunk(kMiB);
    std::uint64_t at = 0;
    while (std::fread(chunk.data(), 1, chunk.size(), pipe) == chunk.size()) {
      CO_TRY(co_await device->write(at, chunk));
      at += chunk.size();
    }
    pclose(pipe);
    EXPECT_EQ(at, 128 * kMiB);
    co_return {};
  }
  std::vector<Replica> list(const v1::ListReplicaOptions& options = {}) {
    const auto out = call<v1::ListReplicasResponse>("mayastor.v1.ReplicaRpc/ListReplicas", options);
    EXPECT_TRUE(out) << text_of(out);
    return {out->replicas().begin(), out->replicas().end()};
  }
  Replica named(const std::string& name) {
    for (const auto& replica : list()) {
      if (replica.name() == name) return replica;
    }
    ADD_FAILURE() << name << " is not listed";
    return {};
  }
  Code destroy(const std::string& uuid) {
    v1::DestroyReplicaRequest request;
    request.set_uuid(uuid);
    return code_of(call<google::protobuf::Empty>("mayastor.v1.ReplicaRpc/DestroyReplica", request));
  }
  std::string exported_sha256(const std::string& name) {
    node::v1::ExportImageRequest request;
    request.set_replica(name);
    const auto out = stream<node::v1::ExportImageResponse>(
        "capstan.node.v1.ImageRpc/ExportImage", std::vector<node::v1::ExportImageRequest>{request});
    if (!out) return text_of(out);
    std::string text;
    for (const char c : out->back().trailer().sha256()) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(c) & 0xff);
      text += digits;
    }
    return text;
  }
};

TEST_F(SamplePoolTest, VolumesAreListedAsWhatTheyAre) {
  EXPECT_EQ(list().size(), 5U);
  const auto thin = named(kThin);
  EXPECT_EQ(thin.uuid(), "a0000000-0000-4000-8000-000000000001");
  EXPECT_EQ(thin.entity_id(), "vol-0001");
  EXPECT_FALSE(thin.is_snapshot() || thin.is_clone());
  EXPECT_EQ(thin.usage().num_allocated_clusters(), 0U);
  EXPECT_EQ(thin.usage().num_allocated_clusters_snapshots(), 2U);
  EXPECT_FALSE(thin.usage().has_allocated_bytes_snapshot_from_clone());
  const auto snapshot = named("snap-1");
  EXPECT_TRUE(snapshot.is_snapshot());
  const auto clone = named("clone-1");
  EXPECT_TRUE(clone.is_clone());
  EXPECT_EQ(clone.snapshot_uuid(), snapshot.uuid());
  EXPECT_FALSE(clone.has_entity_id());

  v1::ListReplicaOptions options;
  options.mutable_query()->set_clone(true);
  EXPECT_EQ(list(options).size(), 1U);
  options.mutable_query()->set_snapshot(true);
  EXPECT_EQ(list(options).size(), 3U);
  options.mutable_query()->set_clone(false);
  options.mutable_query()->set_snapshot(false);
  EXPECT_EQ(list(options).size(), 0U);
  options.mutable_query()->set_replica(true);
  EXPECT_EQ(list(options).size(), 2U);
}

TEST_F(SamplePoolTest, ContentIsExportedAsTheManifestSays) {
  const std::pair<const char*, const char*> hashes[] = {
      {kThin, "6f11ee81b0ed8ec2f9029279e11ae87743328d7378c53c4696630882e1faa330"},
      {kSnapped, "db237af9eccae481936510a499dcadcdf6db32919f814539fd55a51f1b9287d4"},
      {"snap-1", "3bb5da00b157b8f60e35b9c48401fb04e8d4786f65d96b81ded375ce5ecd6f21"},
      {"c0000000-0000-4000-8000-000000000001",
       "caa72dd1ce3a613a76cde4be3b470810ce595edae40c43544a37b2b6bc287c58"},
      {"snap-2", "6f11ee81b0ed8ec2f9029279e11ae87743328d7378c53c4696630882e1faa330"}};
  for (const auto& [name, hash] : hashes) EXPECT_EQ(exported_sha256(name), hash) << name;
}

TEST_F(SamplePoolTest, SnapshotsAreNotWrittenNorDestroyedAsReplicas) {
  node::v1::ImportImageRequest header;
  header.mutable_header()->set_replica("snap-1");
  const auto imported = stream<node::v1::ImportImageResponse>(
      "capstan.node.v1.ImageRpc/ImportImage", std::vector<node::v1::ImportImageRequest>{header});
  EXPECT_EQ(code_of(imported), Code::kFailedPrecondition);
  EXPECT_EQ(destroy("b0000000-0000-4000-8000-000000000001"), Code::kNotFound);
  EXPECT_EQ(list().size(), 5U);
}

TEST_F(SamplePoolTest, ImportingAnImageOverACloneHidesItsOrigin) {
  node::v1::ImportImageRequest header;
  header.mutable_header()->set_replica("clone-1");
  header.mutable_header()->set_size_bytes(100);
  const auto imported = stream<node::v1::ImportImageResponse>(
      "capstan.node.v1.ImageRpc/ImportImage", std::vector<node::v1::ImportImageRequest>{header});
  ASSERT_TRUE(imported) << text_of(imported);
  // SHA-256 of 16 MiB of zeros: nothing of the snapshot shines through.
  EXPECT_EQ(exported_sha256("clone-1"),
            "080acf35a507ac9849cfcba47dc2ad83e01b75663a516279c8b9d243b719643e");
}

TEST_F(SamplePoolTest, WhatImportDoesOnTheSide) {
  const auto logged = [&](std::string_view event) {
    return std::ranges::count(node_->sink.events, event);
  };
  EXPECT_EQ(logged("replica_not_shared"), 1) << "it was shared, and no target runs";
  // snap-2 is discarded, but a replica stands on it: it stays, and import succeeds all the same.
  EXPECT_EQ(logged("snapshot_not_destroyed"), 1);
  EXPECT_TRUE(node_->engine.devices().find("pool-1/snap-2"));
  EXPECT_EQ(destroy("c0000000-0000-4000-8000-000000000001"), Code::kOk);
  EXPECT_EQ(list().size(), 4U) << "snap-1 is not discarded and stays";
}

}  // namespace
}  // namespace capstan::services
