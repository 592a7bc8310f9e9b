// Why this file exists: spdk.Nvmf: NVMe targets in SPDK's words (jsonrpc section B.7). It shows and
// changes the same target that shares are at, and those that were made beside it; what is made here
// is held by Targets and Subsystems, what is a share stays one: it can be looked at, its namespace
// can be taken out and put back, its hosts changed, and deleting it ends the share.
// Thread-safety: core 0. Everything given outlives the service, the service the calls.
#pragma once

#include "rpc/directory.h"
#include "services/spdk_devices.h"
#include "spdk/nvmf.pb.h"

namespace capstan::services {

class SpdkNvmfService {
 public:
  using Empty = google::protobuf::Empty;
  template <class T>
  using Answer = core::Task<Result<T>>;

  explicit SpdkNvmfService(SpdkDevices& devices) : devices_(devices) {}

  // --- spdk_nvmf_targets.cc
  Answer<spdk::NvmfTargetName> create_target(rpc::Call& call,
                                             const spdk::NvmfCreateTargetRequest& request);
  Answer<Empty> delete_target(rpc::Call& call, const spdk::NvmfDeleteTargetRequest& request);
  Answer<spdk::NvmfTargets> get_targets(rpc::Call&, const Empty&);
  Answer<Empty> create_transport(rpc::Call&, const spdk::NvmfCreateTransportRequest& request);
  Answer<spdk::NvmfTransports> get_transports(rpc::Call&,
                                              const spdk::NvmfGetTransportsRequest& request);
  Answer<spdk::NvmfStats> get_stats(rpc::Call&, const spdk::NvmfTargetRequest& request);
  // --- spdk_nvmf.cc
  Answer<Empty> create_subsystem(rpc::Call&, const spdk::NvmfCreateSubsystemRequest& request);
  Answer<Empty> delete_subsystem(rpc::Call&, const spdk::NvmfNqnRequest& request);
  Answer<spdk::NvmfSubsystems> get_subsystems(rpc::Call&,
                                              const spdk::NvmfGetSubsystemsRequest& request);
  Answer<spdk::NvmfNsid> add_ns(rpc::Call&, const spdk::NvmfAddNsRequest& request);
  Answer<Empty> remove_ns(rpc::Call&, const spdk::NvmfNsRequest& request);
  Answer<Empty> set_ns_ana_group(rpc::Call&, const spdk::NvmfSetNsAnaGroupRequest& request);
  // --- spdk_nvmf_paths.cc
  Answer<Empty> add_listener(rpc::Call&, const spdk::NvmfAddListenerRequest& request);
  Answer<Empty> remove_listener(rpc::Call&, const spdk::NvmfListenerRequest& request);
  Answer<Empty> set_ana_state(rpc::Call&, const spdk::NvmfSetAnaStateRequest& request);
  Answer<Empty> add_host(rpc::Call&, const spdk::NvmfHostRequest& request);
  Answer<Empty> remove_host(rpc::Call&, const spdk::NvmfRemoveHostRequest& request);
  Answer<Empty> allow_any_host(rpc::Call&, const spdk::NvmfAllowAnyHostRequest& request);
  Answer<spdk::NvmfControllers> get_controllers(rpc::Call&, const spdk::NvmfNqnRequest& request);
  Answer<spdk::NvmfQpairs> get_qpairs(rpc::Call&, const spdk::NvmfNqnRequest& request);
  Answer<spdk::NvmfListeners> get_listeners(rpc::Call&, const spdk::NvmfNqnRequest& request);
  Answer<Empty> add_referral(rpc::Call&, const spdk::NvmfAddReferralRequest& request);
  Answer<Empty> remove_referral(rpc::Call&, const spdk::NvmfRemoveReferralRequest& request);
  Answer<spdk::NvmfReferrals> get_referrals(rpc::Call&, const spdk::NvmfTargetRequest& request);
  // --- spdk_nvmf_settings.cc
  Answer<Empty> ns_add_host(rpc::Call&, const spdk::NvmfNsHostRequest& request);
  Answer<Empty> ns_remove_host(rpc::Call&, const spdk::NvmfNsHostRequest& request);
  Answer<Empty> set_max_subsystems(rpc::Call&, const spdk::NvmfMaxSubsystemsRequest& request);
  Answer<Empty> set_config(rpc::Call&, const spdk::NvmfConfigRequest& request);
  Answer<Empty> set_crdt(rpc::Call&, const spdk::NvmfCrdtRequest& request);

 private:
  using Subsystem = storage::nvme::Subsystem;
  using Held = std::shared_ptr<NamedTarget>;  // across awaits, whoever deletes it meanwhile
  Shares& shares() { return devices_.engine().shares(); }
  bool is_node(const NamedTarget& at) { return &at == &shares().targets().node(); }
  bool has_transport(const NamedTarget& at) { return at.transport || is_node(at); }
  // The target of that name, without one the node's own. For everything but getters -32603 "Unable
  // to find a target." when there is none; for getters -32602 "NVMf target '…' not found".
  Result<Held> target_of(const std::string& name);
  Result<Held> shown_target(const std::string& name);
  // -32602 "Invalid parameters" when there is none.
  static Result<std::shared_ptr<Subsystem>> find(const NamedTarget& at, const std::string& nqn);
  // The device behind the share of that name; null when it is none.
  std::shared_ptr<storage::Device> shared_as(const NamedTarget& at, const std::string& nqn);
  static void describe(const NamedTarget& at, const Subsystem& subsystem,
                       spdk::NvmfSubsystemInfo& out);
  static spdk::NvmfListenAddress listener(const NamedTarget& at, std::uint16_t port);
  static Result<std::uint16_t> listener_of(const NamedTarget& at, const Subsystem& subsystem,
                                           const spdk::NvmfListenAddressParam& address);

  Result<void> mask(const rpc::Call& call, const spdk::NvmfNsHostRequest& request, bool visible);

  SpdkDevices& devices_;
};

Result<void> bind_spdk_nvmf(rpc::Directory& directory, SpdkNvmfService& service);

// --- spdk_nvmf_saving.cc
// What was made by hand, as the calls that make it again (jsonrpc section B.8).
google::protobuf::ListValue saved_subsystems(Shares& shares);
// Appends a call of that name and answers its parameters.
using SavedFields = google::protobuf::Map<std::string, google::protobuf::Value>;
SavedFields& add_saved_call(google::protobuf::ListValue& list, const char* method);

// --- parameters, shared by the files of this service ---
// "TCP", IPv4 or IPv6, a numeric address and a port; else -32602 "Invalid parameters".
Result<core::Address> nvmf_address(const spdk::NvmfListenAddressParam& address);
spdk::NvmfListenAddress nvmf_address_message(const std::string& host, std::uint16_t port);
std::unexpected<Error> nvmf_invalid(std::string detail);
// "address,svcid", or what there is of it in a list.
Result<storage::nvme::DiscoveryFilter> nvmf_filter(std::string_view text,
                                                   std::vector<std::string> words = {});
// What connections do to each other is not limited here: "allow".
Result<void> nvmf_check_host_policy(const std::string& policy);
// Transports and families are written in any case: "TCP" is "tcp".
std::string nvmf_lower(std::string text);
// "nvmf_tgt_poll_group_000": what SPDK calls the connections of core 0.
std::string nvmf_poll_group(unsigned core);
// 32 digits without separators, as SPDK prints NGUIDs.
std::string nvmf_hex(ByteView bytes);

}  // namespace capstan::services
