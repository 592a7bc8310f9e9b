// Why this file exists: the part of spdk.Nvmf that is about targets: making and ending those beside
// the node's own, and the transport and counters of each.
//
// The node's own target cannot be deleted: the shares of replicas and devices live in it. In SPDK
// it can, and the program does not survive its next use.
#include <algorithm>
#include <cerrno>
#include <ranges>

#include "rpc/json_call.h"
#include "services/spdk_nvmf.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
namespace limits = nvme::limits;
using Empty = google::protobuf::Empty;
using rpc::json_code::kInternalError;
using rpc::json_code::kInvalidParams;

nvme::TransportSizes wanted_sizes(const spdk::NvmfCreateTransportRequest& request,
                                  nvme::TransportSizes sizes) {
  if (request.has_max_queue_depth()) sizes.io_queue_entries = request.max_queue_depth();
  if (request.has_max_io_qpairs_per_ctrlr()) sizes.io_queues = request.max_io_qpairs_per_ctrlr();
  if (request.has_in_capsule_data_size()) sizes.in_capsule_bytes = request.in_capsule_data_size();
  if (request.has_max_io_size()) sizes.io_bytes = request.max_io_size();
  if (request.has_max_aq_depth()) sizes.admin_queue_entries = request.max_aq_depth();
  if (request.has_c2h_success()) sizes.c2h_success = request.c2h_success();
  return sizes;
}

}  // namespace

std::string nvmf_poll_group(unsigned core) {
  const std::string digits = std::to_string(core);
  return "nvmf_tgt_poll_group_" + std::string(digits.size() < 3 ? 3 - digits.size() : 0, '0') +
         digits;
}

using S = SpdkNvmfService;

// --- which one is meant --------------------------------------------------------------------------

Result<S::Held> S::target_of(const std::string& name) {
  if (auto found = shares().targets().find(name)) return found;
  return rpc::json_error(Code::kNotFound, kInternalError, "Unable to find a target.",
                         "there is no target '" + name + "'");
}

Result<S::Held> S::shown_target(const std::string& name) {
  if (auto found = shares().targets().find(name)) return found;
  return rpc::json_error(Code::kNotFound, kInvalidParams, "NVMf target '" + name + "' not found");
}

// --- targets -------------------------------------------------------------------------------------

S::Answer<spdk::NvmfTargetName> S::create_target(rpc::Call& call,
                                                 const spdk::NvmfCreateTargetRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY(nvmf_check_host_policy(request.dup_host_policy()));
  CO_TRY_SET(const auto filter, nvmf_filter(request.discovery_filter()));
  const auto made = shares().targets().create(request.name());
  if (!made && made.error().code == Code::kAlreadyExists) {
    co_return rpc::json_error(Code::kAlreadyExists, kInvalidParams, "Target already exists.",
                              made.error().text());
  }
  if (!made) {
    co_return rpc::json_error(made.error().code, kInternalError,
                              "Unable to create the requested target.", made.error().text());
  }
  nvme::Target& target = (*made)->target;
  if (request.max_subsystems() != 0) target.set_subsystems_max(request.max_subsystems());
  target.set_discovery_filter(filter);
  spdk::NvmfTargetName out;
  out.set_name((*made)->name);
  co_return out;
}

S::Answer<Empty> S::delete_target(rpc::Call& call, const spdk::NvmfDeleteTargetRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  if (request.name() == kNodeTarget) {
    co_return rpc::json_error(Code::kFailedPrecondition, kInvalidParams,
                              "Target 'nvmf_tgt' has the node's shares and cannot be deleted; "
                              "delete its subsystems");
  }
  if (!request.name().empty() && co_await shares().targets().remove(request.name())) {
    co_return Empty();
  }
  co_return rpc::json_error(Code::kNotFound, kInvalidParams,
                            "The specified target doesn't exist, cannot delete it.",
                            "'" + request.name() + "'");
}

S::Answer<spdk::NvmfTargets> S::get_targets(rpc::Call&, const Empty&) {
  spdk::NvmfTargets out;
  const auto targets = shares().targets().list();
  for (const auto& each : targets | std::views::reverse) out.add_names(each->name);
  co_return out;
}

// --- transports ----------------------------------------------------------------------------------

S::Answer<Empty> S::create_transport(rpc::Call& call,
                                     const spdk::NvmfCreateTransportRequest& request) {
  CO_TRY(require(call, request, {"trtype"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  if (nvmf_lower(request.trtype()) != "tcp") {
    co_return rpc::json_error(Code::kInvalidArgument, kInvalidParams,
                              "Invalid transport type '" + request.trtype() + "'");
  }
  if (request.max_io_qpairs_per_ctrlr() > UINT16_MAX) {
    co_return nvmf_invalid("max_io_qpairs_per_ctrlr is a number of 16 bits");
  }
  if (request.max_io_qpairs_per_ctrlr() == UINT16_MAX) {
    co_return rpc::json_error(Code::kInvalidArgument, kInvalidParams,
                              "max_io_qpairs_per_ctrlr too large");
  }
  if (at->transport) {
    co_return rpc::json_error(Code::kAlreadyExists, kInternalError,
                              "Transport type '" + request.trtype() + "' already exists");
  }
  const auto sizes = nvme::fitting(wanted_sizes(request, at->target.sizes()));
  if (!sizes) {
    co_return rpc::json_error(Code::kInvalidArgument, kInternalError,
                              "Transport type '" + request.trtype() + "' create failed",
                              sizes.error().message);
  }
  at->target.set_sizes(*sizes);
  at->transport = true;
  co_return Empty();
}

S::Answer<spdk::NvmfTransports> S::get_transports(rpc::Call&,
                                                  const spdk::NvmfGetTransportsRequest& request) {
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  spdk::NvmfTransports out;
  const bool there = has_transport(*at);
  if (request.has_trtype() && (!there || nvmf_lower(request.trtype()) != "tcp")) {
    co_return rpc::json_errno(
        ENODEV, "target '" + at->name + "' has no transport '" + request.trtype() + "'");
  }
  if (!there) co_return out;
  auto& tcp = *out.add_transports();
  tcp.set_trtype("TCP");
  const auto& sizes = at->target.sizes();
  tcp.set_max_queue_depth(sizes.io_queue_entries);
  tcp.set_max_io_qpairs_per_ctrlr(sizes.io_queues);
  tcp.set_in_capsule_data_size(sizes.in_capsule_bytes);
  tcp.set_max_io_size(sizes.io_bytes);
  tcp.set_max_aq_depth(sizes.admin_queue_entries);
  tcp.set_iobuf_small_cache_size(UINT32_MAX);
  tcp.set_iobuf_large_cache_size(UINT32_MAX);
  tcp.set_c2h_success(sizes.c2h_success);
  tcp.set_abort_timeout_sec(1);
  tcp.set_kas(limits::kKeepAliveUnitMillis / 100);
  tcp.set_min_kato(limits::kKeepAliveUnitMillis);
  co_return out;
}

// --- counters ------------------------------------------------------------------------------------

S::Answer<spdk::NvmfStats> S::get_stats(rpc::Call&, const spdk::NvmfTargetRequest& request) {
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  spdk::NvmfStats out;
  out.set_tick_rate(core::kSecond);
  const auto& counters = at->target.counters();
  std::uint64_t io_qpairs = counters.io_queues, completed = counters.commands;
  auto& home = *out.add_poll_groups();
  for (const auto& lane : at->target.lanes()) {
    auto& group = *out.add_poll_groups();
    group.set_name(nvmf_poll_group(lane->core()));
    group.set_io_qpairs(lane->use().queues);
    group.set_completed_nvme_io(lane->use().commands);
    if (has_transport(*at)) group.add_transports()->set_trtype("TCP");
    io_qpairs -= lane->use().queues;
    completed -= lane->use().commands;
  }
  home.set_name(nvmf_poll_group(0));
  home.set_admin_qpairs(counters.admin_queues);
  home.set_io_qpairs(io_qpairs);
  home.set_completed_nvme_io(completed);
  if (has_transport(*at)) home.add_transports()->set_trtype("TCP");
  for (const auto* connection : at->target.all_connections()) {
    auto& group = *out.mutable_poll_groups(static_cast<int>(connection->core()));
    if (!connection->controller()) {
      group.set_current_unassociated_qpairs(group.current_unassociated_qpairs() + 1);
    } else if (connection->queue() == 0) {
      group.set_current_admin_qpairs(group.current_admin_qpairs() + 1);
    } else {
      group.set_current_io_qpairs(group.current_io_qpairs() + 1);
    }
  }
  co_return out;
}

}  // namespace capstan::services
