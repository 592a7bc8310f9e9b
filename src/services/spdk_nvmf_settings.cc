// Why this file exists: the part of spdk.Nvmf that is about the target as a whole (how many
// subsystems, what discovery tells, when hosts repeat) and about which hosts see a namespace.
//
// The first three are for nodes that wait for framework_start_init. Where SPDK has a choice that is
// none here (commands handed through to a disk, poll groups, hosts that prove who they are), the
// one that is so is taken and any other refused.
#include <algorithm>
#include <string_view>

#include "rpc/json_call.h"
#include "services/spdk_nvmf.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using Empty = google::protobuf::Empty;

constexpr std::string_view kFilterWords[] = {"transport", "address", "svcid"};

// "address,svcid", or what there is of it in a list.
Result<nvme::DiscoveryFilter> filter_of(const spdk::NvmfConfigRequest& request) {
  std::vector<std::string> words(request.discovery_filters().begin(),
                                 request.discovery_filters().end());
  std::string_view rest = request.discovery_filter();
  while (!rest.empty() && rest != "match_any") {
    const auto comma = std::min(rest.find(','), rest.size());
    words.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
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

Result<std::uint16_t> delay_of(const char* name, std::uint32_t value) {
  if (value <= UINT16_MAX) return static_cast<std::uint16_t>(value);
  return nvmf_invalid(std::string(name) + " is at most 65535 times 100 ms");
}

}  // namespace

using S = SpdkNvmfService;

// --- who sees a namespace ------------------------------------------------------------------------

Result<void> S::mask(const rpc::Call& call, const spdk::NvmfNsHostRequest& request, bool visible) {
  TRY(require(call, request, {"nqn", "nsid", "host"}));
  TRY(nvmf_check_target(request.tgt_name()));
  TRY_SET(const auto subsystem, find(request.nqn()));
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
  target().set_subsystems_max(request.max_subsystems());
  co_return Empty();
}

S::Answer<Empty> S::set_config(rpc::Call& call, const spdk::NvmfConfigRequest& request) {
  CO_TRY(refuse_unsupported(
      call, request.admin_cmd_passthru(),
      {"identify_ctrlr", "identify_uuid_list", "get_log_page", "get_set_features", "sanitize",
       "security_send_recv", "fw_update", "nvme_mi", "vendor_specific"}));
  if (request.has_dup_host_policy() && request.dup_host_policy() != "allow") {
    co_return nvmf_invalid("a host may connect as often as it likes: dup_host_policy is 'allow'");
  }
  CO_TRY_SET(const auto filter, filter_of(request));
  target().set_discovery_filter(filter);
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

// --- saving --------------------------------------------------------------------------------------

SavedFields& add_saved_call(google::protobuf::ListValue& list, const char* method) {
  auto& call = *list.add_values()->mutable_struct_value()->mutable_fields();
  call["method"].set_string_value(method);
  return *call["params"].mutable_struct_value()->mutable_fields();
}

void save_settings(Shares& shares, google::protobuf::ListValue& list) {
  const nvme::Target& target = shares.target();
  if (const auto& filter = target.discovery_filter(); filter != nvme::DiscoveryFilter()) {
    auto& words =
        *add_saved_call(list, "nvmf_set_config")["discovery_filters"].mutable_list_value();
    if (filter.same_address) words.add_values()->set_string_value("address");
    if (filter.same_service) words.add_values()->set_string_value("svcid");
  }
  if (target.subsystems_max() != nvme::limits::kSubsystems) {
    add_saved_call(list, "nvmf_set_max_subsystems")["max_subsystems"].set_number_value(
        static_cast<double>(target.subsystems_max()));
  }
  if (shares.retry_delays() != Shares::RetryDelays()) {
    auto& params = add_saved_call(list, "nvmf_set_crdt");
    for (std::size_t i = 0; i < 3; ++i) {
      params["crdt" + std::to_string(i + 1)].set_number_value(shares.retry_delays()[i]);
    }
  }
}

}  // namespace capstan::services
