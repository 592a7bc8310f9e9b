// Why this file exists: the part of spdk.Nvmf that is about the node's own target as a whole (how
// many subsystems, what discovery tells, when hosts repeat) and about which hosts see a namespace.
//
// The first three are for nodes that wait for framework_start_init. Where SPDK has a choice that is
// none here (commands handed through to a disk, poll groups, hosts that prove who they are), the
// one that is so is taken and any other refused.
#include <algorithm>
#include <string_view>

#include "rpc/json_call.h"
#include "services/nqn.h"
#include "services/spdk_nvmf.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using Empty = google::protobuf::Empty;

constexpr std::string_view kFilterWords[] = {"transport", "address", "svcid"};

Result<std::uint16_t> delay_of(const char* name, std::uint32_t value) {
  if (value <= UINT16_MAX) return static_cast<std::uint16_t>(value);
  return nvmf_invalid(std::string(name) + " is at most 65535 times 100 ms");
}

}  // namespace

Result<nvme::DiscoveryFilter> nvmf_filter(std::string_view text, std::vector<std::string> words) {
  while (!text.empty() && text != "match_any") {
    const auto comma = std::min(text.find(','), text.size());
    words.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  nvme::DiscoveryFilter filter;
  for (const std::string& word : words) {
    if (std::ranges::find(kFilterWords, word) == std::end(kFilterWords)) {
      return nvmf_invalid("'" + word + "' is none of transport, address and svcid");
    }
    filter.same_address |= word == "address";
    filter.same_service |= word == "svcid";
  }
  return filter;
}

Result<void> nvmf_check_host_policy(const std::string& policy) {
  if (policy.empty() || policy == "allow") return {};
  return nvmf_invalid("a host may connect as often as it likes: dup_host_policy is 'allow'");
}

using S = SpdkNvmfService;

// --- who sees a namespace ------------------------------------------------------------------------

Result<void> S::mask(const rpc::Call& call, const spdk::NvmfNsHostRequest& request, bool visible) {
  TRY(require(call, request, {"nqn", "nsid", "host"}));
  TRY_SET(const auto at, target_of(request.tgt_name()));
  TRY_SET(const auto subsystem, find(*at, request.nqn()));
  if (!well_formed_nqn(request.host())) return nvmf_invalid("'" + request.host() + "' is no NQN");
  const auto done = visible ? subsystem->show_namespace(request.nsid(), request.host())
                            : subsystem->hide_namespace(request.nsid(), request.host());
  return done ? done : nvmf_invalid(done.error().text());
}

S::Answer<Empty> S::ns_add_host(rpc::Call& call, const spdk::NvmfNsHostRequest& request) {
  CO_TRY(mask(call, request, true));
  co_return Empty();
}

S::Answer<Empty> S::ns_remove_host(rpc::Call& call, const spdk::NvmfNsHostRequest& request) {
  CO_TRY(mask(call, request, false));
  co_return Empty();
}

// --- the whole target ----------------------------------------------------------------------------

S::Answer<Empty> S::set_max_subsystems(rpc::Call& call,
                                       const spdk::NvmfMaxSubsystemsRequest& request) {
  CO_TRY(require(call, request, {"max_subsystems"}));
  if (request.max_subsystems() == 0) co_return nvmf_invalid("max_subsystems counts from 1");
  shares().target().set_subsystems_max(request.max_subsystems());
  co_return Empty();
}

S::Answer<Empty> S::set_config(rpc::Call& call, const spdk::NvmfConfigRequest& request) {
  CO_TRY(refuse_unsupported(
      call, request.admin_cmd_passthru(),
      {"identify_ctrlr", "identify_uuid_list", "get_log_page", "get_set_features", "sanitize",
       "security_send_recv", "fw_update", "nvme_mi", "vendor_specific"}));
  CO_TRY(nvmf_check_host_policy(request.dup_host_policy()));
  CO_TRY_SET(const auto filter,
             nvmf_filter(request.discovery_filter(),
                         {request.discovery_filters().begin(), request.discovery_filters().end()}));
  shares().target().set_discovery_filter(filter);
  co_return Empty();
}

S::Answer<Empty> S::set_crdt(rpc::Call&, const spdk::NvmfCrdtRequest& request) {
  Shares::RetryDelays delays{};
  CO_TRY_SET(delays[0], delay_of("crdt1", request.crdt1()));
  CO_TRY_SET(delays[1], delay_of("crdt2", request.crdt2()));
  CO_TRY_SET(delays[2], delay_of("crdt3", request.crdt3()));
  shares().set_retry_delays(delays);
  co_return Empty();
}

}  // namespace capstan::services
