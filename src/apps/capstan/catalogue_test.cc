// Why this file exists: operations are found by every name that they have, paths mean what the
// server takes them for, and what is shown of them names every field.
#include "apps/capstan/catalogue.h"

#include <gtest/gtest.h>

#include "apps/capstan/binary_text.h"
#include "apps/capstan/type_text.h"
#include "node/image.pb.h"
#include "pool.pb.h"
#include "rpc/schema.h"

namespace capstan::apps {
namespace {

const Catalogue& all() {
  static const auto kCatalogue = [] {
    auto made = Catalogue::make();
    CAPSTAN_ASSERT(made.has_value());
    return *std::move(made);
  }();
  return *kCatalogue;
}

std::string found(std::string_view name) {
  const auto operation = all().find(name);
  return operation ? (*operation)->full_name() : operation.error().text();
}

TEST(Catalogue, OperationsAreFoundByEachName) {
  constexpr char kList[] = "mayastor.v1.PoolRpc/ListPools";
  for (const char* name :
       {kList, "mayastor.v1.PoolRpc.ListPools", "PoolRpc/ListPools", "PoolRpc.ListPools",
        "ListPools", "GET /pools", "GET /pools/{pool_id}"}) {
    EXPECT_EQ(found(name), kList) << name;
  }
  EXPECT_EQ(found("bdev_get_bdevs"), "spdk.Bdev/GetBdevs");
  EXPECT_EQ(found("100/10001"), "capstan.node.v1.NodeRpc/GetVersion");
  EXPECT_EQ(found("batch_write"), "capstan.datastore.v1.DataStoreRpc/BatchWrite");
  EXPECT_NE(found("Pools").find("no operation"), std::string::npos);
  EXPECT_NE(found("").find("no operation"), std::string::npos);
  EXPECT_GT(all().operations().size(), 100U);
}

TEST(Catalogue, APathIsACall) {
  auto call = all().call("get", "/pools?name=p%201", "");
  ASSERT_TRUE(call) << call.error().text();
  EXPECT_EQ(call->route->entry->operation.full_name(), "mayastor.v1.PoolRpc/ListPools");
  ::mayastor::v1::ListPoolOptions list;
  list.CopyFrom(*call->request);
  EXPECT_EQ(list.name().value(), "p 1");
  call = all().call("PUT", "pools/p1", R"({"disks":["/dev/x"]})");
  ASSERT_TRUE(call) << call.error().text();
  ::mayastor::v1::CreatePoolRequest create;
  create.CopyFrom(*call->request);
  EXPECT_EQ(create.name(), "p1");
  EXPECT_EQ(create.disks(0), "/dev/x");
}

TEST(Catalogue, WhatIsWrongWithAPathIsSaid) {
  const auto wrong = [](const char* method, const char* url, const char* body) {
    const auto call = all().call(method, url, body);
    return call ? "nothing" : call.error().text();
  };
  EXPECT_NE(wrong("FETCH", "/pools", "").find("is no method"), std::string::npos);
  EXPECT_NE(wrong("get", "/nowhere", "").find("rpc names /"), std::string::npos);
  EXPECT_NE(wrong("patch", "/pools", "").find("It takes GET"), std::string::npos);
  EXPECT_NE(wrong("get", "/spdk", "").find("rpc names /"), std::string::npos);
  EXPECT_NE(wrong("get", "/replicas/x", "").find("UUID"), std::string::npos);
  EXPECT_NE(wrong("put", "/pools/p", "{\"name\":\"q\"}").find("read the body"), std::string::npos);
  EXPECT_NE(wrong("put", "/pools/p", "[]").find("expected object"), std::string::npos);
  EXPECT_NE(wrong("put", "/pools/p", "{").find("read the body"), std::string::npos);
  EXPECT_NE(wrong("get", "/node/block_devices?all=perhaps", "").find("'all'"), std::string::npos);
}

TEST(Catalogue, TypesNameTheirFields) {
  const auto text =
      shape_text(rpc::BodyShape::whole(*::mayastor::v1::CreatePoolRequest::descriptor()));
  EXPECT_NE(text.find("  disks: [ string … ]\n"), std::string::npos) << text;
  EXPECT_NE(text.find("Lvs|Lvm"), std::string::npos) << text;
  EXPECT_NE(text.find("  uuid: string  (optional)\n"), std::string::npos) << text;
  const auto image = shape_text(rpc::BodyShape::whole(*node::v1::ImportImageRequest::descriptor()));
  EXPECT_NE(image.find("(one of "), std::string::npos) << image;
  EXPECT_NE(image.find("bytes, in hex"), std::string::npos) << image;
}

TEST(Catalogue, EveryPathShowsItsBinaryLayout) {
  for (const auto& route : all().routes().all()) {
    for (const auto* shape : {&route->request, &route->response}) {
      const auto text = binary_text(rpc::binary_schema(*shape));
      EXPECT_TRUE(text) << route->binding.text() << ": " << text.error().text();
    }
  }
  EXPECT_GT(all().routes().all().size(), 200U);
}

}  // namespace
}  // namespace capstan::apps
