// Why this file exists: the part of Mayastor v0 that is about the machine and about devices (see
// mayastor_v0.h). Its messages have the numbers and types of v1's, so they are taken over whole;
// what differs is put right here, and mayastor_v0_test.cc holds the two against each other.
#include "services/io_counts.h"
#include "services/mayastor_v0.h"

namespace capstan::services {

namespace v0 = ::mayastor;
namespace v1 = ::mayastor::v1;
using S = MayastorServiceV0;
using B = BdevServiceV0;

namespace {

// A message of v1 as the one of v0 that has the same numbers; what v0 does not know is left out.
template <class To, class From>
Result<To> as(const From& from) {
  To to;
  if (!to.ParseFromString(from.SerializeAsString())) {
    return fail(Code::kInternal, "a " + std::string(From::descriptor()->name()) +
                                     " has a text that is not UTF-8, so it cannot be told; give "
                                     "what it describes another name");
  }
  to.DiscardUnknownFields();
  return to;
}

Result<v0::BlockDevice> block_device(const v1::BlockDevice& from) {
  TRY_SET(auto to, as<v0::BlockDevice>(from));
  // One mount point only.
  const auto& mounts = from.filesystem().mountpoints();
  if (!mounts.empty()) to.mutable_filesystem()->set_mountpoint(mounts[0]);
  return to;
}

}  // namespace

S::Answer<v0::MayastorInfoRequest> S::get_info(rpc::Call&, const Null&) {
  v0::MayastorInfoRequest out;
  out.set_version(info_.version);
  out.mutable_supportedfeatures()->set_asymmetricnamespaceaccess(info_.ana);
  co_return out;
}

S::Answer<v0::ListBlockDevicesReply> S::list_block_devices(
    rpc::Call& call, const v0::ListBlockDevicesRequest& request) {
  v1::ListBlockDevicesRequest wanted;
  wanted.set_all(request.all());
  CO_TRY_SET(const auto found, co_await host_.list_block_devices(call, wanted));
  v0::ListBlockDevicesReply out;
  for (const auto& device : found.devices()) {
    CO_TRY_SET(*out.add_devices(), block_device(device));
  }
  co_return out;
}

S::Answer<v0::GetResourceUsageReply> S::get_resource_usage(rpc::Call& call, const Null&) {
  const google::protobuf::Empty nothing;
  CO_TRY_SET(const auto found, co_await host_.get_resource_usage(call, nothing));
  co_return as<v0::GetResourceUsageReply>(found);
}

S::Answer<v0::ListNvmeControllersReply> S::list_nvme_controllers(rpc::Call& call, const Null&) {
  const google::protobuf::Empty nothing;
  CO_TRY_SET(const auto found, co_await host_.list_nvme_controllers(call, nothing));
  co_return as<v0::ListNvmeControllersReply>(found);
}

S::Answer<v0::StatNvmeControllersReply> S::stat_nvme_controllers(rpc::Call&, const Null&) {
  v0::StatNvmeControllersReply out;
  for (const auto& device : engine_.remotes().list()) {
    auto& to = *out.add_controllers();
    to.set_name(device->name());
    fill_counts(device->stats(), *to.mutable_stats());
  }
  co_return out;
}

// --- devices -------------------------------------------------------------------------------------

B::Answer<v0::Bdevs> B::list(rpc::Call& call, const Null&) {
  const v1::ListBdevOptions all;
  CO_TRY_SET(const auto found, co_await devices_.list(call, all));
  v0::Bdevs out;
  for (const auto& device : found.bdevs()) {
    CO_TRY_SET(*out.add_bdevs(), as<v0::Bdev>(device));
  }
  co_return out;
}

B::Answer<v0::CreateReply> B::create(rpc::Call& call, const v0::BdevUri& request) {
  v1::CreateBdevRequest wanted;
  wanted.set_uri(request.uri());
  CO_TRY_SET(const auto made, co_await devices_.create(call, wanted));
  v0::CreateReply out;
  out.set_name(made.bdev().name());
  co_return out;
}

B::Answer<v0::Null> B::destroy(rpc::Call& call, const v0::BdevUri& request) {
  v1::DestroyBdevRequest wanted;
  wanted.set_uri(request.uri());
  CO_TRY(co_await devices_.destroy(call, wanted));
  co_return Null();
}

B::Answer<v0::BdevShareReply> B::share(rpc::Call& call, const v0::BdevShareRequest& request) {
  if (request.proto() != "nvmf") {
    co_return fail(Code::kInvalidArgument, request.proto());  // upstream's message is the text
  }
  v1::BdevShareRequest wanted;
  wanted.set_name(request.name());
  wanted.set_protocol(v1::NVMF);
  *wanted.mutable_allowed_hosts() = request.allowed_hosts();
  CO_TRY_SET(const auto shared, co_await devices_.share(call, wanted));
  v0::BdevShareReply out;
  out.set_uri(shared.bdev().share_uri());
  co_return out;
}

B::Answer<v0::Null> B::unshare(rpc::Call& call, const v0::CreateReply& request) {
  v1::BdevUnshareRequest wanted;
  wanted.set_name(request.name());
  CO_TRY(co_await devices_.unshare(call, wanted));
  co_return Null();
}

// --- binding -------------------------------------------------------------------------------------

namespace {

// Operations on parts of the engine that this build does not have.
std::set<std::string> absent_operations() {
  return {"CreateNexus",        "CreateNexusV2",  "DestroyNexus",     "ListNexus",
          "ListNexusV2",        "AddChildNexus",  "RemoveChildNexus", "FaultNexusChild",
          "ShutdownNexus",      "PublishNexus",   "UnpublishNexus",   "GetNvmeAnaState",
          "SetNvmeAnaState",    "ChildOperation", "StartRebuild",     "StopRebuild",
          "PauseRebuild",       "ResumeRebuild",  "GetRebuildState",  "GetRebuildStats",
          "GetRebuildProgress", "CreateSnapshot"};
}

}  // namespace

Result<void> bind_mayastor_v0(rpc::Directory& directory, MayastorServiceV0& service,
                              BdevServiceV0& devices) {
  const auto* file = v0::Null::descriptor()->file();
  TRY(directory.declare(file->FindServiceByName("Mayastor"), absent_operations()));
  TRY(directory.declare(file->FindServiceByName("BdevRpc")));
  const auto bind = [&](const char* method, auto handler) {
    return rpc::bind_unary(directory, std::string("mayastor.Mayastor/") + method, service, handler);
  };
  TRY(bind("CreatePool", &S::create_pool));
  TRY(bind("DestroyPool", &S::destroy_pool));
  TRY(bind("ListPools", &S::list_pools));
  TRY(bind("CreateReplica", &S::create_replica));
  TRY(bind("CreateReplicaV2", &S::create_replica_v2));
  TRY(bind("DestroyReplica", &S::destroy_replica));
  TRY(bind("ListReplicas", &S::list_replicas));
  TRY(bind("ListReplicasV2", &S::list_replicas_v2));
  TRY(bind("StatReplicas", &S::stat_replicas));
  TRY(bind("ShareReplica", &S::share_replica));
  TRY(bind("GetMayastorInfo", &S::get_info));
  TRY(bind("ListBlockDevices", &S::list_block_devices));
  TRY(bind("GetResourceUsage", &S::get_resource_usage));
  TRY(bind("ListNvmeControllers", &S::list_nvme_controllers));
  TRY(bind("StatNvmeControllers", &S::stat_nvme_controllers));
  const std::string prefix = "mayastor.BdevRpc/";
  TRY(rpc::bind_unary(directory, prefix + "List", devices, &B::list));
  TRY(rpc::bind_unary(directory, prefix + "Create", devices, &B::create));
  TRY(rpc::bind_unary(directory, prefix + "Destroy", devices, &B::destroy));
  TRY(rpc::bind_unary(directory, prefix + "Share", devices, &B::share));
  return rpc::bind_unary(directory, prefix + "Unshare", devices, &B::unshare);
}

}  // namespace capstan::services
