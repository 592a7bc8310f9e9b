// Why this file exists: an access list that forbids a native path is evaded by every second name of
// it that nobody declared. All operations of the API are gone through: what changes something or
// moves users' bytes has a native path of its own or an entry in api/rpc/second_names.proto.
#include "rpc/second_names.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "datastore/datastore.pb.h"
#include "mayastor.pb.h"
#include "rpc/acl_operation.h"
#include "rpc/operation.h"

// All declarations, as src/rpc/api_comments.cc puts them into the program.
extern "C" {
extern const char capstan_api_comments[];
extern const char capstan_api_comments_end[];
}

namespace capstan::rpc {
namespace {

namespace pb = google::protobuf;

// The whole API, whatever of it this program was linked with.
class Api {
 public:
  Api() : pool_(&files_) {
    pb::FileDescriptorSet set;
    const auto size = capstan_api_comments_end - capstan_api_comments;
    EXPECT_TRUE(set.ParseFromArray(capstan_api_comments, static_cast<int>(size)));
    for (const auto& file : set.file()) files_.Add(file);
    pb::Struct::descriptor();  // so that it is linked
    for (const char* needed :
         {"any", "descriptor", "empty", "timestamp", "wrappers", "duration", "struct"}) {
      const std::string name = "google/protobuf/" + std::string(needed) + ".proto";
      const auto* known = pb::DescriptorPool::generated_pool()->FindFileByName(name);
      pb::FileDescriptorProto file;
      if (known) known->CopyTo(&file);
      if (known) files_.Add(file);
    }
    for (const auto& file : set.file()) read(file);
  }
  const std::vector<Operation>& operations() const { return operations_; }
  const Operation* find(std::string_view name) const {
    const auto found = std::ranges::find(operations_, name, &Operation::full_name);
    return found == operations_.end() ? nullptr : &*found;
  }

 private:
  void read(const pb::FileDescriptorProto& file) {
    if (file.service_size() == 0) return;
    const auto* made = pool_.FindFileByName(file.name());
    ASSERT_TRUE(made) << file.name();
    for (int s = 0; s < made->service_count(); ++s) {
      for (int m = 0; m < made->service(s)->method_count(); ++m) {
        auto operation = Operation::from(*made->service(s)->method(m));
        ASSERT_TRUE(operation) << operation.error().text();
        operations_.push_back(*std::move(operation));
      }
    }
  }

  pb::SimpleDescriptorDatabase files_;
  pb::DescriptorPool pool_;
  std::vector<Operation> operations_;
};

bool is_native(const HttpBinding& binding) {
  return std::ranges::none_of(std::initializer_list<std::string_view>{"/v0/", "/spdk/", "/rpc/"},
                              [&](auto root) { return binding.path.starts_with(root); });
}

// Mayastor's operations for nexuses, snapshots and tests that the node answers UNIMPLEMENTED: they
// do nothing, and no path names what they would do.
bool is_absent(std::string_view name) {
  static const std::set<std::string_view> kServed = {
      "mayastor.v1.BdevRpc",    "mayastor.v1.HostRpc",  "mayastor.v1.PoolRpc",
      "mayastor.v1.ReplicaRpc", "mayastor.v1.StatsRpc", "mayastor.v1.JsonRpc"};
  static const std::set<std::string_view> kV0 = {
      "CreateNexus",      "CreateNexusV2",   "DestroyNexus",   "AddChildNexus",
      "RemoveChildNexus", "FaultNexusChild", "ShutdownNexus",  "PublishNexus",
      "UnpublishNexus",   "SetNvmeAnaState", "ChildOperation", "StartRebuild",
      "StopRebuild",      "PauseRebuild",    "ResumeRebuild",  "CreateSnapshot"};
  const auto slash = name.find('/');
  if (name.starts_with("mayastor.Mayastor/")) return kV0.contains(name.substr(slash + 1));
  return (name.starts_with("mayastor.v1.") || name.starts_with("v1.")) &&
         !kServed.contains(name.substr(0, slash));
}

TEST(SecondNames, NoneIsForgotten) {
  const Api api;
  ASSERT_GT(api.operations().size(), 200U);
  for (const Operation& operation : api.operations()) {
    if (operation.access == Access::kRead || operation.access == Access::kMonitor) continue;
    if (std::ranges::any_of(operation.http, is_native)) continue;
    if (is_absent(operation.full_name())) continue;
    const auto native = native_paths(operation.method());
    ASSERT_TRUE(native) << native.error().text();
    EXPECT_TRUE(*native) << operation.full_name()
                         << " changes something and has no native path: api/rpc/second_names.proto "
                            "says which ones it stands for, or that there is none";
  }
}

// Whether some operation is called by this path, arguments standing for each other.
bool is_called(const Api& api, const HttpBinding& path) {
  const auto alike = [](const HttpStep& asked, const HttpStep& there) {
    const bool argument = there.kind == HttpStep::Kind::kArgument;
    if (asked.kind == HttpStep::Kind::kLiteral && asked.name != kAnyStep) {
      return !argument && asked.name == there.name;
    }
    return argument;
  };
  return std::ranges::any_of(api.operations(), [&](const Operation& operation) {
    return std::ranges::any_of(operation.http, [&](const HttpBinding& binding) {
      return is_native(binding) && binding.method == path.method &&
             std::ranges::equal(path.steps, binding.steps, alike);
    });
  });
}

TEST(SecondNames, EachNamesAnOperationAndPathsThatThereAre) {
  const Api api;
  std::set<std::string> seen;
  for (const std::string& name : second_names()) {
    EXPECT_TRUE(seen.insert(name).second) << name << " has two entries";
    const Operation* operation = api.find(name);
    ASSERT_TRUE(operation) << name;
    const auto native = native_paths(operation->method());
    ASSERT_TRUE(native) << native.error().text();
    for (const HttpBinding& path : **native) {
      EXPECT_TRUE(is_called(api, path)) << name << ": nothing is called by " << path.text();
    }
  }
}

// --- what an access list makes of them --------------------------------------------------------

bool allowed(const Acl& acl, const Operation& operation, const pb::Message* request,
             std::string_view wire = "grpc") {
  Call call;
  call.operation = &operation;
  call.wire = wire;
  call.peer.listener = "127.0.0.1:10124";
  return acl.allows(call, request);
}

Acl acl_of(std::string_view policy) {
  auto table = AclTable::parse(R"([{"address":"127.0.0.1",)" + std::string(policy) + "}]");
  EXPECT_TRUE(table) << table.error().text();
  return Acl({table.value_or(AclTable()), false});
}

Operation v0(const char* method) {
  const auto* file = ::mayastor::DestroyPoolRequest::descriptor()->file();
  auto made = Operation::from(*file->FindServiceByName("Mayastor")->FindMethodByName(method));
  EXPECT_TRUE(made) << made.error().text();
  return *std::move(made);
}

TEST(SecondNames, ABlacklistOfANativePathHolds) {
  const Operation destroy = v0("DestroyPool"), list = v0("ListPools");
  ::mayastor::DestroyPoolRequest pd, other, none;
  pd.set_name("pd"), other.set_name("other");
  const Acl all = acl_of(R"("blacklist":["DELETE/**"])");
  const Acl one = acl_of(R"("blacklist":["DELETE /pools/pd"])");
  const Acl itself = acl_of(R"("blacklist":["/rpc/mayastor.Mayastor/*"])");
  const ::mayastor::Null nothing;
  for (const std::string_view wire : {"grpc", "jsonrpc", "drpc", "rest", "rest-bridge"}) {
    EXPECT_FALSE(allowed(all, destroy, &pd, wire)) << wire;
    EXPECT_FALSE(allowed(all, destroy, nullptr, wire)) << wire;
    EXPECT_TRUE(allowed(all, list, &nothing, wire)) << wire;
    EXPECT_FALSE(allowed(one, destroy, &pd, wire)) << wire;
    EXPECT_FALSE(allowed(one, destroy, &none, wire)) << wire;  // it could be any
    EXPECT_TRUE(allowed(one, destroy, &other, wire)) << wire;
    EXPECT_FALSE(allowed(itself, destroy, &pd, wire)) << wire;
  }
}

TEST(SecondNames, APathMayStandForSomeRequestsOnly) {
  const Operation share = v0("ShareReplica");
  ::mayastor::ShareReplicaRequest on, off;
  on.set_uuid("u"), off.set_uuid("u"), on.set_share(::mayastor::REPLICA_NVMF);
  const Acl acl = acl_of(R"("blacklist":["DELETE/**"])");
  EXPECT_TRUE(allowed(acl, share, &on));
  EXPECT_FALSE(allowed(acl, share, &off));
}

TEST(SecondNames, AWhitelistDoesNotBecomeWider) {
  const Operation destroy = v0("DestroyPool");
  ::mayastor::DestroyPoolRequest pd;
  pd.set_name("pd");
  EXPECT_FALSE(allowed(acl_of(R"("whitelist":["DELETE /pools/**"])"), destroy, &pd));
  EXPECT_TRUE(
      allowed(acl_of(R"("whitelist":["POST /rpc/mayastor.Mayastor/DestroyPool"])"), destroy, &pd));
}

// Every one of them, without its arguments: what stands for DELETE is refused with it.
TEST(SecondNames, WhatStandsForADeleteIsRefusedWithIt) {
  const Api api;
  const Acl acl = acl_of(R"("blacklist":["DELETE/**"])");
  int refused = 0;
  for (const std::string& name : second_names()) {
    const Operation& operation = *api.find(name);
    const auto native = native_paths(operation.method());
    ASSERT_TRUE(native && *native);
    const bool deletes = std::ranges::any_of(
        **native, [](const auto& path) { return path.method == "DELETE" && path.set.empty(); });
    if (!deletes) continue;
    ++refused;
    EXPECT_FALSE(allowed(acl, operation, nullptr, "jsonrpc")) << name;
  }
  EXPECT_GE(refused, 20);
}

}  // namespace
}  // namespace capstan::rpc
