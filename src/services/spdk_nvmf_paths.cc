// Why this file exists: the part of spdk.Nvmf that is about ways to a subsystem: listeners, ANA
// states, hosts, what is connected, and referrals to other discovery services.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>

#include "rpc/error_text.h"
#include "rpc/json_call.h"
#include "services/nqn.h"
#include "services/replica_ops.h"
#include "services/spdk_nvmf.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using Empty = google::protobuf::Empty;
using nvme::AnaState;
using rpc::json_code::kInternalError;
using rpc::json_code::kInvalidParams;

Result<AnaState> ana_state_param(const rpc::Call& call, const std::string& text) {
  TRY(require_one_of(call, "ana_state", text, {"optimized", "non_optimized", "inaccessible"}));
  return *nvme::parse_ana_state(text);
}

// "1.2.3.4:5" or "[::1]:5", as PeerInfo has it.
spdk::NvmfListenAddress peer_message(std::string_view peer) {
  const auto colon = peer.rfind(':');
  std::string_view host = peer.substr(0, std::min(colon, peer.size()));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  if (colon != std::string_view::npos) {
    std::from_chars(peer.data() + colon + 1, peer.data() + peer.size(), port);
  }
  return nvmf_address_message(std::string(host), port);
}

Result<nvme::Referral> referral_of(const rpc::Call& call,
                                   const spdk::NvmfListenAddressParam& address,
                                   const std::string& subsystem) {
  TRY(require(call, address, {"trtype", "traddr"}));
  if (address.trsvcid().empty()) {
    return rpc::json_error(Code::kInvalidArgument, kInvalidParams, "Service ID is required.");
  }
  TRY_SET(const core::Address where, nvmf_address(address));
  nvme::Referral referral{where.host, where.port};
  if (!subsystem.empty()) referral.subsystem = subsystem;
  if (!nvme::valid_nqn(referral.subsystem)) {
    return nvmf_invalid("'" + referral.subsystem + "' is no NQN");
  }
  return referral;
}

using AccessChange = std::function<void(ShareAccess&)>;

// The share of a replica is stored as it is to be before hosts find it so, or a restart would let
// in whom this shuts out. Until the answer is given back, nobody else changes it. `device`: the one
// behind the share; null: the subsystem is none.
core::Task<Result<CallLocks::Guard>> store_change(Engine& engine, const rpc::Call& call,
                                                  std::shared_ptr<storage::Device> device,
                                                  std::shared_ptr<nvme::Subsystem> subsystem,
                                                  AccessChange change) {
  const auto replica = std::dynamic_pointer_cast<storage::Replica>(device);
  if (!replica) co_return CallLocks::Guard();
  CO_TRY_SET(auto turn, co_await engine.replica_calls().lock(replica->pool_name(), call.token));
  if (engine.shares().target().find(subsystem->nqn()) != subsystem) {
    co_return nvmf_invalid("the share " + subsystem->nqn() + " has ended meanwhile");
  }
  const ShareAccess from = share_access(*subsystem);
  ShareAccess to = from;
  change(to);
  const auto stored = co_await store_share_access(engine, replica, from, std::move(to));
  if (stored) co_return turn;
  if (stored.error().code == Code::kInvalidArgument) co_return nvmf_invalid(stored.error().text());
  co_return rpc::json_error(stored.error().code, kInternalError, "Internal error",
                            stored.error().text());
}

}  // namespace

std::string nvmf_lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

Result<core::Address> nvmf_address(const spdk::NvmfListenAddressParam& address) {
  const std::string family = nvmf_lower(address.adrfam());
  if (nvmf_lower(address.trtype()) != "tcp") {
    return nvmf_invalid("transport '" + address.trtype() + "' is not there; use TCP");
  }
  if (!family.empty() && family != "ipv4" && family != "ipv6") {
    return nvmf_invalid("address family '" + address.adrfam() + "' is neither IPv4 nor IPv6");
  }
  const std::string& service = address.trsvcid();
  std::uint16_t port = 0;
  const auto [end, failure] =
      std::from_chars(service.data(), service.data() + service.size(), port);
  if (failure != std::errc() || end != service.data() + service.size()) {
    return nvmf_invalid("'" + service + "' is no TCP port");
  }
  const bool six = address.traddr().contains(':');
  if (address.traddr().empty() || six != (family == "ipv6")) {
    return nvmf_invalid("'" + address.traddr() + "' is no address of that family");
  }
  return core::Address::tcp(address.traddr(), port);
}

spdk::NvmfListenAddress nvmf_address_message(const std::string& host, std::uint16_t port) {
  spdk::NvmfListenAddress out;
  out.set_trtype("TCP");
  out.set_adrfam(host.contains(':') ? "IPv6" : "IPv4");
  out.set_traddr(host);
  out.set_trsvcid(std::to_string(port));
  return out;
}

using S = SpdkNvmfService;

spdk::NvmfListenAddress S::listener(const NamedTarget& at, std::uint16_t port) {
  const core::Address address = at.target.address(port);
  return nvmf_address_message(address.host, address.port);
}

Result<std::uint16_t> S::listener_of(const NamedTarget& at, const Subsystem& subsystem,
                                     const spdk::NvmfListenAddressParam& address) {
  TRY_SET(const core::Address where, nvmf_address(address));
  const auto port = at.target.find_listener(where);
  if (port && subsystem.on_port(*port)) return *port;
  return nvmf_invalid(subsystem.nqn() + " does not listen on " + where.text());
}

// --- listeners -----------------------------------------------------------------------------------

S::Answer<Empty> S::add_listener(rpc::Call& call, const spdk::NvmfAddListenerRequest& request) {
  CO_TRY(require(call, request, {"nqn", "listen_address"}));
  CO_TRY(require(call, request.listen_address(), {"trtype", "traddr"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  if (request.secure_channel() && subsystem->options().any_host) {
    co_return rpc::json_error(Code::kInvalidArgument, kInvalidParams,
                              "Cannot establish secure channel, when 'allow_any_host' is set");
  }
  CO_TRY(refuse_unsupported(call, request, {"secure_channel"}));
  if (nvmf_lower(request.sock_impl()) == "ssl") {  // the same by another name
    co_return rpc::json_errno(EOPNOTSUPP, "sock_impl 'ssl' is not supported by this node");
  }
  AnaState state = AnaState::kOptimized;
  if (request.has_ana_state()) {
    CO_TRY_SET(state, ana_state_param(call, request.ana_state()));
  }
  if (state != AnaState::kOptimized && !subsystem->options().ana) {
    co_return nvmf_invalid(request.nqn() + " reports no ANA states, so hosts would find '" +
                           request.ana_state() +
                           "' optimized; create it with ana_reporting, or leave ana_state out");
  }
  CO_TRY_SET(const core::Address address, nvmf_address(request.listen_address()));
  if (!has_transport(*at)) {
    co_return nvmf_invalid("target '" + at->name +
                           "' has no transport yet; call nvmf_create_transport first");
  }
  const auto added = at->subsystems.add_listener(request.nqn(), address);
  if (!added) co_return nvmf_invalid(added.error().text());
  if (state != AnaState::kOptimized) subsystem->set_ana_state(*added, std::nullopt, state);
  co_return Empty();
}

S::Answer<Empty> S::remove_listener(rpc::Call& call, const spdk::NvmfListenerRequest& request) {
  CO_TRY(require(call, request, {"nqn", "listen_address"}));
  CO_TRY(require(call, request.listen_address(), {"trtype", "traddr"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY(find(*at, request.nqn()));
  CO_TRY_SET(const core::Address address, nvmf_address(request.listen_address()));
  if (co_await at->subsystems.remove_listener(request.nqn(), address)) co_return Empty();
  co_return nvmf_invalid(request.nqn() + " was not told to listen on " + address.text());
}

S::Answer<Empty> S::set_ana_state(rpc::Call& call, const spdk::NvmfSetAnaStateRequest& request) {
  CO_TRY(require(call, request, {"nqn", "listen_address", "ana_state"}));
  CO_TRY(require(call, request.listen_address(), {"trtype", "traddr"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  CO_TRY_SET(const AnaState state, ana_state_param(call, request.ana_state()));
  const auto port = listener_of(*at, *subsystem, request.listen_address());
  const bool group_there =
      !request.has_anagrpid() ||
      (request.anagrpid() != 0 && request.anagrpid() <= subsystem->options().max_namespaces);
  if (!port || !group_there || !subsystem->options().ana) {
    co_return rpc::json_error(
        Code::kInvalidArgument, kInternalError, "error setting ANA state: -22",
        port ? "the subsystem reports no ANA states, or has no such group" : port.error().text());
  }
  std::optional<std::uint32_t> group;
  if (request.has_anagrpid()) group = request.anagrpid();
  subsystem->set_ana_state(*port, group, state);
  co_return Empty();
}

S::Answer<spdk::NvmfListeners> S::get_listeners(rpc::Call& call,
                                                const spdk::NvmfNqnRequest& request) {
  CO_TRY(require(call, request, {"nqn"}));
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  spdk::NvmfListeners out;
  for (const auto port : at->target.listeners()) {
    if (!subsystem->on_port(port)) continue;
    auto& info = *out.add_listeners();
    *info.mutable_address() = listener(*at, port);
    if (!subsystem->options().ana) continue;
    auto& states = *info.mutable_ana_states();
    for (std::uint32_t group = 1; group <= subsystem->options().max_namespaces; ++group) {
      auto& members = *states.add_values()->mutable_struct_value()->mutable_fields();
      members["ana_group"].set_number_value(group);
      members["ana_state"].set_string_value(
          std::string(nvme::ana_state_name(subsystem->ana_states().state(port, group))));
    }
  }
  co_return out;
}

// --- hosts ---------------------------------------------------------------------------------------

S::Answer<Empty> S::add_host(rpc::Call& call, const spdk::NvmfHostRequest& request) {
  CO_TRY(require(call, request, {"nqn", "host"}));
  CO_TRY(refuse_unsupported(call, request, {"psk", "dhchap_key", "dhchap_ctrlr_key"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  const std::string host = request.host();
  Result<void> allowed = fail(Code::kInvalidArgument, "'" + host + "' is no NQN");
  if (well_formed_nqn(host) && nvme::valid_nqn(host)) {
    CO_TRY_SET(const auto turn,
               co_await store_change(devices_.engine(), call, shared_as(*at, request.nqn()),
                                     subsystem, [&](auto& to) { to.hosts.insert(host); }));
    allowed = subsystem->allow_host(host);
  }
  if (allowed) co_return Empty();
  co_return rpc::json_error(Code::kInvalidArgument, kInternalError, "Internal error",
                            allowed.error().text());
}

S::Answer<Empty> S::remove_host(rpc::Call& call, const spdk::NvmfRemoveHostRequest& request) {
  CO_TRY(require(call, request, {"nqn", "host"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  const std::string host = request.host();
  bool removed = false;
  if (subsystem->hosts().contains(host)) {
    CO_TRY_SET(const auto turn,
               co_await store_change(devices_.engine(), call, shared_as(*at, request.nqn()),
                                     subsystem, [&](auto& from) { from.hosts.erase(host); }));
    removed = subsystem->forbid_host(host);
  }
  if (!removed) {
    co_return rpc::json_error(Code::kNotFound, kInternalError, "Internal error",
                              "'" + host + "' is not on the list of " + request.nqn());
  }
  co_await subsystem->until_gone(
      [&host](const nvme::Controller& controller) { return controller.host() == host; });
  co_return Empty();
}

S::Answer<Empty> S::allow_any_host(rpc::Call& call, const spdk::NvmfAllowAnyHostRequest& request) {
  CO_TRY(require(call, request, {"nqn", "allow_any_host"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  if (subsystem->discovery()) co_return nvmf_invalid("any host may see the discovery service");
  const bool any = request.allow_any_host();
  CO_TRY_SET(const auto turn,
             co_await store_change(devices_.engine(), call, shared_as(*at, request.nqn()),
                                   subsystem, [any](auto& to) { to.any_host = any; }));
  subsystem->allow_any_host(any);
  co_return Empty();
}

S::Answer<spdk::NvmfControllers> S::get_controllers(rpc::Call& call,
                                                    const spdk::NvmfNqnRequest& request) {
  CO_TRY(require(call, request, {"nqn"}));
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  spdk::NvmfControllers out;
  for (const auto& [id, controller] : subsystem->controllers()) {
    auto& info = *out.add_controllers();
    info.set_cntlid(id);
    info.set_cntrltype(subsystem->discovery() ? "discovery" : "io");
    info.set_hostnqn(rpc::valid_utf8(controller->host()));  // hosts may say any bytes
    info.set_hostid(Uuid{controller->association().host_id}.text());
    info.set_num_io_qpairs(static_cast<std::uint32_t>(controller->queues().size()));
  }
  co_return out;
}

S::Answer<spdk::NvmfQpairs> S::get_qpairs(rpc::Call& call, const spdk::NvmfNqnRequest& request) {
  CO_TRY(require(call, request, {"nqn"}));
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  CO_TRY_SET(const auto subsystem, find(*at, request.nqn()));
  spdk::NvmfQpairs out;
  for (const auto* connection : at->target.all_connections()) {
    const nvme::Controller* controller = connection->controller();
    if (!controller || &controller->subsystem() != subsystem.get()) continue;
    auto& info = *out.add_qpairs();
    info.set_cntlid(controller->id());
    info.set_qid(connection->queue());
    info.set_state("enabled");
    info.set_thread(nvmf_poll_group(connection->core()));
    info.set_hostnqn(rpc::valid_utf8(controller->host()));
    *info.mutable_listen_address() = listener(*at, connection->port());
    *info.mutable_peer_address() = peer_message(connection->peer());
  }
  co_return out;
}

// --- referrals -----------------------------------------------------------------------------------

S::Answer<Empty> S::add_referral(rpc::Call& call, const spdk::NvmfAddReferralRequest& request) {
  CO_TRY(require(call, request, {"address"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY(refuse_unsupported(call, request, {"secure_channel"}));
  CO_TRY_SET(auto referral, referral_of(call, request.address(), request.subnqn()));
  const auto added = at->target.add_referral(std::move(referral));
  if (added || added.error().code == Code::kAlreadyExists) co_return Empty();
  co_return rpc::json_error(added.error().code, kInternalError, "Internal error",
                            added.error().text());
}

S::Answer<Empty> S::remove_referral(rpc::Call& call,
                                    const spdk::NvmfRemoveReferralRequest& request) {
  CO_TRY(require(call, request, {"address"}));
  CO_TRY_SET(const auto at, target_of(request.tgt_name()));
  CO_TRY_SET(const auto referral, referral_of(call, request.address(), request.subnqn()));
  if (at->target.remove_referral(referral)) co_return Empty();
  co_return rpc::json_error(Code::kNotFound, kInternalError, "Unable to remove a referral.",
                            "hosts are not told of " + referral.host);
}

S::Answer<spdk::NvmfReferrals> S::get_referrals(rpc::Call&,
                                                const spdk::NvmfTargetRequest& request) {
  CO_TRY_SET(const auto at, shown_target(request.tgt_name()));
  spdk::NvmfReferrals out;
  for (const auto& each : at->target.referrals()) {
    auto& info = *out.add_referrals();
    *info.mutable_address() = nvmf_address_message(each.host, each.service);
    info.set_subnqn(each.subsystem);
  }
  co_return out;
}

}  // namespace capstan::services
