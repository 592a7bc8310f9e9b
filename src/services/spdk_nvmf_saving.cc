// Why this file exists: what save_config has of NVMe targets: the calls that make again what was
// made by hand, in an order in which they succeed (jsonrpc section B.8). Shares are not among them;
// they come back by themselves. SPDK saves its first target only; here the others follow it, each
// call with its tgt_name.
#include <algorithm>

#include "services/spdk_devices.h"
#include "services/spdk_nvmf.h"

namespace capstan::services {
namespace {

namespace nvme = storage::nvme;
using Fields = SavedFields;

void put_address(Fields& params, const char* member, const spdk::NvmfListenAddress& address) {
  auto& fields = *params[member].mutable_struct_value()->mutable_fields();
  fields["trtype"].set_string_value(address.trtype());
  fields["adrfam"].set_string_value(address.adrfam());
  fields["traddr"].set_string_value(address.traddr());
  fields["trsvcid"].set_string_value(address.trsvcid());
}

// What one target has.
class Saved {
 public:
  Saved(const NamedTarget& at, bool node, google::protobuf::ListValue& list)
      : at_(at), node_(node), list_(list) {}

  void target() {
    Fields& params = add_saved_call(list_, "nvmf_create_target");
    params["name"].set_string_value(at_.name);
    params["max_subsystems"].set_number_value(static_cast<double>(at_.target.subsystems_max()));
    const auto& filter = at_.target.discovery_filter();
    const std::string words =
        std::string(filter.same_address ? "address," : "") + (filter.same_service ? "svcid," : "");
    if (!words.empty()) {
      params["discovery_filter"].set_string_value(words.substr(0, words.size() - 1));
    }
  }

  void everything() {
    const auto subsystems = at_.subsystems.list();
    const auto& discovery_ports = at_.subsystems.discovery_ports();
    const bool used =
        !subsystems.empty() || !discovery_ports.empty() || !at_.target.referrals().empty();
    if (at_.transport || (node_ && used)) transport();
    for (const auto& each : subsystems) subsystem(*each);
    for (const auto& each : subsystems) hosts(*each);
    for (const auto& each : subsystems) {
      for (const auto& [id, space] : each->namespaces()) one_namespace(*each, space);
    }
    for (const auto port : discovery_ports) listener(std::string(nvme::kDiscoveryNqn), port);
    for (const auto& each : subsystems) {
      for (const auto port : at_.target.listeners()) {
        if (each->on_port(port)) path(*each, port);
      }
    }
    for (const auto& each : at_.target.referrals()) {
      Fields& params = call("nvmf_discovery_add_referral");
      put_address(params, "address", nvmf_address_message(each.host, each.service));
      params["subnqn"].set_string_value(each.subsystem);
    }
  }

 private:
  Fields& call(const char* method) {
    Fields& params = add_saved_call(list_, method);
    if (!node_) params["tgt_name"].set_string_value(at_.name);
    return params;
  }

  void transport() {
    Fields& params = call("nvmf_create_transport");
    params["trtype"].set_string_value("TCP");
    if (!at_.transport) return;  // nobody said how large: it is as the node is configured
    const auto& sizes = at_.target.sizes();
    params["max_queue_depth"].set_number_value(sizes.io_queue_entries);
    params["max_io_qpairs_per_ctrlr"].set_number_value(sizes.io_queues);
    params["in_capsule_data_size"].set_number_value(sizes.in_capsule_bytes);
    params["max_io_size"].set_number_value(sizes.io_bytes);
    params["max_aq_depth"].set_number_value(sizes.admin_queue_entries);
    params["c2h_success"].set_bool_value(sizes.c2h_success);
  }

  void subsystem(const nvme::Subsystem& subsystem) {
    const auto& options = subsystem.options();
    Fields& params = call("nvmf_create_subsystem");
    params["nqn"].set_string_value(options.nqn);
    params["allow_any_host"].set_bool_value(options.any_host);
    params["serial_number"].set_string_value(options.serial);
    params["model_number"].set_string_value(options.model);
    params["max_namespaces"].set_number_value(options.max_namespaces);
    params["min_cntlid"].set_number_value(options.min_controller);
    params["max_cntlid"].set_number_value(options.max_controller);
    params["ana_reporting"].set_bool_value(options.ana);
    params["dmrsl"].set_number_value(options.dsm_range_blocks);
    params["wzsl"].set_number_value(options.zeroes_size);
  }

  void hosts(const nvme::Subsystem& subsystem) {
    for (const auto& host : subsystem.hosts()) {
      Fields& params = call("nvmf_subsystem_add_host");
      params["nqn"].set_string_value(subsystem.nqn());
      params["host"].set_string_value(host);
    }
  }

  void one_namespace(const nvme::Subsystem& subsystem, const nvme::Namespace& space) {
    Fields& params = call("nvmf_subsystem_add_ns");
    params["nqn"].set_string_value(subsystem.nqn());
    auto& fields = *params["namespace"].mutable_struct_value()->mutable_fields();
    fields["nsid"].set_number_value(space.id);
    fields["bdev_name"].set_string_value(spdk_name(*space.device));
    fields["nguid"].set_string_value(nvmf_hex(space.nguid.bytes));
    if (!all_zero(space.eui64)) fields["eui64"].set_string_value(nvmf_hex(space.eui64));
    fields["uuid"].set_string_value(space.uuid.text());
    if (subsystem.options().ana) fields["anagrpid"].set_number_value(space.ana_group);
    if (space.reservations->durable()) {
      fields["ptpl_file"].set_string_value(space.reservations->path());
    }
    if (space.auto_visible) return;
    fields["no_auto_visible"].set_bool_value(true);
    for (const auto& host : space.hosts) {
      Fields& shown = call("nvmf_ns_add_host");
      shown["nqn"].set_string_value(subsystem.nqn());
      shown["nsid"].set_number_value(space.id);
      shown["host"].set_string_value(host);
    }
  }

  Fields& at_listener(const char* method, const std::string& nqn, std::uint16_t port) {
    Fields& params = call(method);
    params["nqn"].set_string_value(nqn);
    const core::Address address = at_.target.address(port);
    put_address(params, "listen_address", nvmf_address_message(address.host, address.port));
    return params;
  }
  void listener(const std::string& nqn, std::uint16_t port) {
    at_listener("nvmf_subsystem_add_listener", nqn, port);
  }

  // A listener opens with the worst state of all groups, the better ones follow: at no time does a
  // host get at what it was fenced off from.
  void path(const nvme::Subsystem& subsystem, std::uint16_t port) {
    Fields& params = at_listener("nvmf_subsystem_add_listener", subsystem.nqn(), port);
    if (!subsystem.options().ana) return;
    const std::uint32_t groups = subsystem.options().max_namespaces;
    const auto state = [&](std::uint32_t group) {
      return subsystem.ana_states().state(port, group);
    };
    auto worst = nvme::AnaState::kOptimized;
    for (std::uint32_t group = 1; group <= groups; ++group) worst = std::max(worst, state(group));
    if (worst == nvme::AnaState::kOptimized) return;
    params["ana_state"].set_string_value(std::string(nvme::ana_state_name(worst)));
    for (std::uint32_t group = 1; group <= groups; ++group) {
      if (state(group) == worst) continue;
      Fields& better = at_listener("nvmf_subsystem_listener_set_ana_state", subsystem.nqn(), port);
      better["ana_state"].set_string_value(std::string(nvme::ana_state_name(state(group))));
      better["anagrpid"].set_number_value(group);
    }
  }

  const NamedTarget& at_;
  bool node_;
  google::protobuf::ListValue& list_;
};

// What of the node's own target is not as it is without being told.
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

}  // namespace

SavedFields& add_saved_call(google::protobuf::ListValue& list, const char* method) {
  auto& call = *list.add_values()->mutable_struct_value()->mutable_fields();
  call["method"].set_string_value(method);
  return *call["params"].mutable_struct_value()->mutable_fields();
}

google::protobuf::ListValue saved_subsystems(Shares& shares) {
  google::protobuf::ListValue list;
  save_settings(shares, list);
  for (const auto& each : shares.targets().list()) {
    const bool node = each.get() == &shares.targets().node();
    Saved saved(*each, node, list);
    if (!node) saved.target();
    saved.everything();
  }
  return list;
}

}  // namespace capstan::services
