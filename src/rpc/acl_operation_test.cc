// Why this file exists: an access list means the same on wires that know operations and not paths:
// what a request stands for, when its arguments count, and what holds at which address by default.
#include "rpc/acl_operation.h"

#include <gtest/gtest.h>

#include "bdev.pb.h"
#include "datastore/datastore.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "nexus.pb.h"
#include "pool.pb.h"
#include "replica.pb.h"
#include "rpc/operation.h"

namespace capstan::rpc {
namespace {

namespace v1 = ::mayastor::v1;
using capstan::datastore::v1::ReadRequest;

Operation operation(const google::protobuf::FileDescriptor* file, const char* service,
                    const char* method) {
  auto made = Operation::from(*file->FindServiceByName(service)->FindMethodByName(method));
  EXPECT_TRUE(made) << made.error().text();
  return *std::move(made);
}
Operation pool_operation(const char* method) {
  return operation(v1::ListPoolOptions::descriptor()->file(), "PoolRpc", method);
}
Operation kv_operation(const char* method) {
  return operation(ReadRequest::descriptor()->file(), "DataStoreRpc", method);
}

AclSettings settings(std::string_view json, bool secure = false) {
  auto table = AclTable::parse(json);
  EXPECT_TRUE(table) << table.error().text();
  return {table.value_or(AclTable()), secure};
}
std::string one_entry(std::string_view kind, std::string_view matchers) {
  return R"([{"address":"10.0.0.1",")" + std::string(kind) + "\":[" + std::string(matchers) + "]}]";
}

constexpr const char* kTcp = "10.0.0.1:10124";

bool allowed(const Acl& acl, const Operation& operation, const google::protobuf::Message* request,
             std::string_view listener = kTcp, std::string_view wire = "grpc") {
  Call call;
  call.operation = &operation;
  call.wire = wire;
  call.peer.listener = listener;
  return acl.allows(call, request);
}

TEST(AclOperation, TheArgumentsOfTheRequestCount) {
  const Acl acl(settings(one_entry("whitelist", R"("PUT /pools/p1","GET /pools/p1")")));
  const Operation create = pool_operation("CreatePool"), list = pool_operation("ListPools"),
                  destroy = pool_operation("DestroyPool");
  v1::CreatePoolRequest p1, p2, none;
  p1.set_name("p1"), p2.set_name("p2");
  EXPECT_TRUE(allowed(acl, create, &p1));
  EXPECT_FALSE(allowed(acl, create, &p2));
  EXPECT_FALSE(allowed(acl, create, &none));
  EXPECT_FALSE(allowed(acl, create, nullptr));  // it could be any pool
  v1::DestroyPoolRequest destroyed;
  destroyed.set_name("p1");
  EXPECT_FALSE(allowed(acl, destroy, &destroyed));
  // Two paths: all pools, and one of them by its name in a wrapper.
  v1::ListPoolOptions all, one, other;
  one.mutable_name()->set_value("p1"), other.mutable_name()->set_value("p2");
  EXPECT_FALSE(allowed(acl, list, &all));
  EXPECT_TRUE(allowed(acl, list, &one));
  EXPECT_FALSE(allowed(acl, list, &other));
}

// What the path of a call names beside its request.
TEST(AclOperation, APoolThatIsMetadata) {
  const Operation share =
      operation(v1::ShareReplicaRequest::descriptor()->file(), "ReplicaRpc", "ShareReplica");
  v1::ShareReplicaRequest request;
  request.set_uuid("r");
  const auto ask = [&](const Acl& acl, const char* pool) {
    Call call;
    call.operation = &share;
    call.wire = kHttpWire;
    call.peer.listener = kTcp;
    if (*pool) call.metadata.request.emplace_back("capstan-pool", pool);
    return acl.allows(call, &request);
  };
  const Acl below(settings(one_entry("whitelist", R"("PUT /pools/p/replicas/*/share")")));
  EXPECT_TRUE(ask(below, "p"));
  EXPECT_FALSE(ask(below, "q"));
  EXPECT_FALSE(ask(below, ""));
  // It makes nothing possible that a blacklist forbids.
  const Acl forbidden(settings(one_entry("blacklist", R"("PUT /replicas/**")")));
  EXPECT_FALSE(ask(forbidden, "p"));
  EXPECT_FALSE(ask(forbidden, ""));
}

// GET /describe/pools is answered in the name of GET /operations, which a whitelist need not have.
TEST(AclOperation, DocumentsAreAskedAboutByTheirPaths) {
  const Operation operations = pool_operation("ListPools"), other = pool_operation("DestroyPool");
  Acl white(settings(one_entry("whitelist", R"("GET /describe/**")")));
  Acl black(settings(one_entry("blacklist", R"("GET /pools")")));
  const v1::ListPoolOptions request;
  EXPECT_FALSE(allowed(white, operations, &request, kTcp, kHttpWire));
  white.set_documents(&operations), black.set_documents(&operations);
  EXPECT_TRUE(allowed(white, operations, &request, kTcp, kHttpWire));
  EXPECT_FALSE(allowed(white, operations, &request));
  EXPECT_FALSE(allowed(white, other, nullptr, kTcp, "grpc"));
  EXPECT_FALSE(allowed(black, operations, &request, kTcp, kHttpWire));
}

// A URI is another name of a device.
TEST(AclOperation, ARuleForOneDeviceHoldsForItsUri) {
  const Operation destroy =
      operation(v1::DestroyBdevRequest::descriptor()->file(), "BdevRpc", "Destroy");
  const Acl acl(settings(one_entry("blacklist", R"("DELETE /bdevs/m1")")));
  v1::DestroyBdevRequest name, uri, other;
  name.set_uri("m1"), uri.set_uri("malloc:///m1?size_mb=16"), other.set_uri("m2");
  for (const std::string_view wire : {std::string_view("grpc"), kHttpWire}) {
    EXPECT_FALSE(allowed(acl, destroy, &name, kTcp, wire));
    EXPECT_FALSE(allowed(acl, destroy, &uri, kTcp, wire));
    EXPECT_TRUE(allowed(acl, destroy, &other, kTcp, wire));
  }
}

TEST(AclOperation, AnAddressForMetrics) {
  Acl acl(settings(
      R"([{"address":"10.0.0.1","blacklist":[]},{"address":"10.0.0.2","whitelist":[]}])", true));
  const Operation list = pool_operation("ListPools");
  const v1::ListPoolOptions request;
  EXPECT_TRUE(allowed(acl, list, &request));  // what was remembered is forgotten
  const std::vector<std::string> metrics{"metrics"}, pools{"pools"}, deeper{"metrics", "x"};
  for (const char* listener : {kTcp, "10.0.0.2:9932", "192.168.7.7:9932", "127.0.0.1:9932"}) {
    acl.add_metrics_listener(listener);
    for (const std::string_view wire : {std::string_view("rest"), std::string_view("grpc")}) {
      EXPECT_TRUE(acl.allows(listener, wire, "GET", metrics)) << listener;
      EXPECT_FALSE(acl.allows(listener, wire, "PUT", metrics)) << listener;
      EXPECT_FALSE(acl.allows(listener, wire, "GET", pools)) << listener;
      EXPECT_FALSE(acl.allows(listener, wire, "GET", deeper)) << listener;
      EXPECT_FALSE(allowed(acl, list, &request, listener, wire)) << listener;
    }
  }
  acl.replace({});
  EXPECT_FALSE(allowed(acl, list, &request));
}

TEST(AclOperation, APathForOneIsNoPathForAll) {
  const Acl acl(settings(one_entry("whitelist", R"("GET /pools/*")")));
  const Operation list = pool_operation("ListPools");
  v1::ListPoolOptions all, one;
  one.mutable_name()->set_value("p1");
  EXPECT_FALSE(allowed(acl, list, &all));
  EXPECT_FALSE(allowed(acl, list, nullptr));
  EXPECT_TRUE(allowed(acl, list, &one));
  const Acl both(settings(one_entry("whitelist", R"("GET /pools")")));
  EXPECT_TRUE(allowed(both, list, &all));
  EXPECT_TRUE(allowed(both, list, nullptr));
}

TEST(AclOperation, ABlacklistHoldsForWhatIsNotKnown) {
  const Acl acl(settings(one_entry("blacklist", R"("GET /kv/secret/**","PUT /pools/**")")));
  const Operation read = kv_operation("Read"), stream = kv_operation("ReadStream"),
                  create = pool_operation("CreatePool"), list = pool_operation("ListPools");
  ReadRequest open, secret, unnamed;
  open.set_store("main"), open.set_key("k");
  secret.set_store("secret"), secret.set_key("k");
  unnamed.set_key("k");
  EXPECT_TRUE(allowed(acl, read, &open));
  EXPECT_FALSE(allowed(acl, read, &secret));
  EXPECT_FALSE(allowed(acl, read, &unnamed));   // whatever store that is
  EXPECT_FALSE(allowed(acl, stream, nullptr));  // could be the secret one
  EXPECT_FALSE(allowed(acl, create, nullptr));
  EXPECT_TRUE(allowed(acl, list, nullptr));
  // Over HTTP the path was asked about before.
  EXPECT_TRUE(allowed(acl, stream, nullptr, kTcp, kHttpWire));
  EXPECT_FALSE(allowed(acl, create, nullptr, kTcp, kHttpWire));
  // That of the bridge says nothing about what the bridge then calls.
  EXPECT_FALSE(allowed(acl, stream, nullptr, kTcp, kHttpBridgeWire));
}

TEST(AclOperation, WithoutAnHttpPathItIsCalledByItsName) {
  const Operation check =
      operation(::grpc::health::v1::HealthCheckRequest::descriptor()->file(), "Health", "Check");
  ASSERT_TRUE(check.http.empty());
  EXPECT_EQ(acl_name(check), "POST /rpc/grpc.health.v1.Health/Check");
  const Acl acl(settings(one_entry("whitelist", R"("POST /rpc/grpc.health.v1.Health/*")")));
  EXPECT_TRUE(allowed(acl, check, nullptr));
  EXPECT_TRUE(allowed(Acl({{}, true}), check, nullptr));  // probes get through
  const Acl other(settings(one_entry("whitelist", R"("POST /rpc/other/*")")));
  EXPECT_FALSE(allowed(other, check, nullptr));
}

TEST(AclOperation, WhatAPathDecidesCountsToo) {
  const Operation act =
      operation(v1::ChildOperationRequest::descriptor()->file(), "NexusRpc", "ChildOperation");
  const Acl acl(settings(one_entry("whitelist", R"("POST /nexuses/*/children/*/online")")));
  v1::ChildOperationRequest request;
  request.set_nexus_uuid("n"), request.set_uri("malloc:///a b");
  request.set_action(v1::Online);
  EXPECT_TRUE(allowed(acl, act, &request));
  request.set_action(v1::Offline);
  EXPECT_FALSE(allowed(acl, act, &request));
  EXPECT_FALSE(allowed(acl, act, nullptr));
}

TEST(AclOperation, DefaultsByAddressAndWire) {
  const Operation create = pool_operation("CreatePool"), list = pool_operation("ListPools");
  struct Row {
    const char* listener;
    const char* wire;
    bool creates, creates_secure;
  };
  const Row rows[] = {
      {"[::]:10124", "grpc", true, false},         {"[::]:10124", "rest", false, false},
      {"127.0.0.1:10124", "grpc", true, false},    {"127.0.0.1:10124", "rest", true, false},
      {"[::1]:10124", "rest", true, false},        {"unix:/run/rpc.sock", "jsonrpc", true, false},
      {"unix:/run/rpc.sock", "drpc", true, false}, {"unix:/run/http", "rest", true, false},
      {"10.1.1.1:8080", "muxio", false, false},  // of --http-listen
      {"10.1.1.1:8080", "rest", false, false},     {"127.0.0.1:8080", "muxio", true, false},
      {"10.1.1.1:9000", "muxio", true, false},     {"", "grpc", true, false},
  };
  for (const bool secure : {false, true}) {
    Acl acl({{}, secure});
    acl.add_http_listener("10.1.1.1:8080");
    acl.add_http_listener("127.0.0.1:8080");
    for (const Row& row : rows) {
      EXPECT_EQ(allowed(acl, create, nullptr, row.listener, row.wire),
                secure ? row.creates_secure : row.creates)
          << row.listener << " " << row.wire << " " << secure;
      EXPECT_TRUE(allowed(acl, list, nullptr, row.listener, row.wire)) << row.listener;
    }
  }
}

TEST(AclOperation, AnEntryWinsOverEveryDefaultAndIsReplaced) {
  const Operation create = pool_operation("CreatePool"), list = pool_operation("ListPools");
  Acl acl(settings(R"([{"address":"unix:/run/rpc.sock","blacklist":[]},
                       {"address":"::1","whitelist":[]}])",
                   true));
  EXPECT_TRUE(allowed(acl, create, nullptr, "unix:/run/rpc.sock", "jsonrpc"));
  EXPECT_FALSE(allowed(acl, create, nullptr, "unix:/run/other.sock", "jsonrpc"));
  EXPECT_FALSE(allowed(acl, list, nullptr, "[::1]:80", "grpc"));
  EXPECT_EQ(acl.policy("[::1]:80", "grpc").type_name(), "Custom");
  acl.replace({});
  EXPECT_TRUE(allowed(acl, create, nullptr, "[::1]:80", "grpc"));
}

}  // namespace
}  // namespace capstan::rpc
