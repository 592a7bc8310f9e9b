// Why this file exists: see spdk_nvme.h.
#include "services/spdk_nvme.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "rpc/json_call.h"
#include "services/pool_ops.h"
#include "services/spdk_params.h"

namespace capstan::services {

namespace nvme = storage::nvme;
using Empty = google::protobuf::Empty;
using S = SpdkNvmeService;

namespace {

constexpr core::Nanos kMicrosecond = 1000;
constexpr std::uint32_t kHealthBytes = 512;
constexpr int kKelvin = 273;

std::unexpected<Error> no_controller(const std::string& name) {
  return rpc::json_errno(ENODEV, "controller '" + name + "' does not exist");
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

void show_address(const core::Address& address, spdk::BdevNvmeTransport& out) {
  out.set_trtype("TCP");
  out.set_adrfam(address.host.find(':') == std::string::npos ? "IPv4" : "IPv6");
  out.set_traddr(address.host);
  out.set_trsvcid(std::to_string(address.port));
}

const char* state_word(const nvme::HostController& path) {
  using State = nvme::HostController::State;
  if (!path.enabled()) return "disabled";
  switch (path.state()) {
    case State::kRunning: return "enabled";
    case State::kNew: return "resetting";
    case State::kReconnecting: return path.hopeful() ? "resetting" : "reconnect_is_delayed";
    case State::kFailed: return "failed";
    case State::kClosing:
    case State::kClosed: return "deleting";
  }
  return "failed";
}

// The three times of reconnecting, as SPDK wants them to fit together.
Result<void> set_times(nvme::HostOptions& options, std::optional<std::int32_t> loss,
                       std::optional<std::uint32_t> delay, std::optional<std::uint32_t> fast) {
  const auto set = set_reconnect_times(options, loss, delay, fast);
  return set ? set : rpc::json_errno(EINVAL, set.error().message);
}

template <class T>
std::optional<T> given(bool has, T value) {
  return has ? std::optional<T>(value) : std::nullopt;
}

// What multipath_opts and bdev_nvme_set_multipath_policy say.
Result<nvme::PathPolicy> policy_of(const rpc::Call& call, const spdk::BdevNvmePathOptions& wanted) {
  nvme::PathPolicy policy;
  const std::string name = wanted.has_policy() ? wanted.policy() : "active_passive";
  const std::string selector = wanted.has_selector() ? wanted.selector() : "round_robin";
  TRY(require_one_of(call, "policy", name, {"active_passive", "active_active"}));
  TRY(require_one_of(call, "selector", selector, {"round_robin", "queue_depth"}));
  const bool turns = selector == "round_robin", all = name == "active_active";
  if (!all && (wanted.has_selector() || wanted.has_min_io())) {
    return rpc::json_errno(EINVAL, "only active_active has a selector");
  }
  if (wanted.has_min_io() && (!turns || wanted.min_io() == 0)) {
    return rpc::json_errno(EINVAL, "rr_min_io is for round_robin, and at least 1");
  }
  if (wanted.has_min_io()) policy.commands = wanted.min_io();
  using Choice = nvme::PathPolicy::Choice;
  if (all) policy.choice = turns ? Choice::kInTurn : Choice::kLeastBusy;
  return policy;
}

Result<nvme::HostOptions> options_of(const spdk::BdevNvmeAttachRequest& request,
                                     nvme::HostOptions options) {
  if (!same_word(request.trtype(), "tcp")) {
    return rpc::json_errno(ENODEV, "transport '" + request.trtype() + "' is not there; use tcp");
  }
  std::uint16_t port = 4420;
  const std::string& service = request.trsvcid();
  if (request.has_trsvcid()) {
    const char* end = service.data() + service.size();
    const auto [stopped, error] = std::from_chars(service.data(), end, port);
    if (error != std::errc() || stopped != end) {
      return rpc::json_errno(EINVAL, "trsvcid '" + service + "' is no port");
    }
  }
  options.address = core::Address::tcp(request.traddr(), port);
  options.subsystem = request.subnqn();
  if (request.has_hostnqn()) options.host = request.hostnqn();
  options.digests = {request.hdgst(), request.ddgst()};
  options.flow_control = !request.disable_sq_flow_control();
  if (request.has_num_io_queues()) {
    options.io_queues = static_cast<std::uint16_t>(
        std::min<std::uint32_t>(request.num_io_queues(), nvme::limits::kHostQueuesMax));
  }
  if (request.fabrics_connect_timeout_us() != 0) {
    options.connect_timeout = request.fabrics_connect_timeout_us() * kMicrosecond;
  }
  TRY(set_times(options,
                given(request.has_ctrlr_loss_timeout_sec(), request.ctrlr_loss_timeout_sec()),
                given(request.has_reconnect_delay_sec(), request.reconnect_delay_sec()),
                given(request.has_fast_io_fail_timeout_sec(), request.fast_io_fail_timeout_sec())));
  return options;
}

}  // namespace

// One name with its paths and devices. Devices belong to the registry; here is who made them.
class SpdkNvmeService::Controller final : private nvme::HostController::Listener {
 public:
  Controller(SpdkDevices& devices, std::string name) : name(std::move(name)), devices_(devices) {}
  ~Controller() override {
    for (const auto& path : paths) path->unlisten(*this);
  }

  void add(std::shared_ptr<nvme::HostController> path) {
    path->listen(*this);
    for (const auto& [nsid, device] : made) {
      const auto added = device->add_path(path);
      if (!added) warn(device->name(), added.error());
    }
    paths.push_back(std::move(path));
    namespaces_changed();
  }
  void remove(const nvme::HostController& path) {
    for (const auto& [nsid, device] : made) device->remove_path(path);
    const auto it = std::ranges::find(paths, &path, &std::shared_ptr<nvme::HostController>::get);
    (*it)->unlisten(*this);
    paths.erase(it);
  }
  // Takes all devices away.
  void retire() {
    while (!made.empty()) drop(made.begin()->first);
  }
  std::string device_name(std::uint32_t nsid) const { return name + "n" + std::to_string(nsid); }

  const std::string name;
  std::vector<std::shared_ptr<nvme::HostController>> paths;
  std::map<std::uint32_t, std::shared_ptr<nvme::RemoteDevice>> made;
  nvme::PathPolicy policy;  // of devices that it makes

 private:
  void path_changed() override {}
  // Devices for new namespaces; none for those that no path has any more.
  void namespaces_changed() override {
    std::vector<std::uint32_t> gone;
    for (const auto& [nsid, device] : made) {
      const bool there = std::ranges::any_of(paths, [&](const auto& path) {
        return path->state() != nvme::HostController::State::kRunning || path->find(nsid);
      });
      if (!there) gone.push_back(nsid);
    }
    for (const std::uint32_t nsid : gone) drop(nsid);
    for (const auto& path : paths) {
      for (const auto& [nsid, space] : path->namespaces()) {
        if (!made.contains(nsid)) make(path, nsid);
      }
    }
  }
  void make(const std::shared_ptr<nvme::HostController>& path, std::uint32_t nsid) {
    Engine& engine = devices_.engine();
    auto device = nvme::RemoteDevice::make(path, nsid, device_name(nsid),
                                           Uuid::from_name(path->text() + std::to_string(nsid)));
    if (!device) return warn(device_name(nsid), device.error());
    if (engine.devices().find_uuid((*device)->uuid())) return;  // as SPDK: it is here already
    if (auto added = engine.devices().add({*device, "", {}}); !added) {
      return warn(device_name(nsid), added.error());
    }
    engine.remotes().watch(**device);
    (*device)->set_policy(policy);
    for (const auto& other : paths) {
      if (other != path) static_cast<void>((*device)->add_path(other));
    }
    made.emplace(nsid, *device);
    engine.events().publish("device", "create", (*device)->name());
  }
  void drop(std::uint32_t nsid) {
    const auto device = made.at(nsid);
    made.erase(nsid);
    device->retire();
    devices_.engine().devices().remove(device->name());
    devices_.engine().events().publish("device", "delete", device->name());
  }
  void warn(const std::string& device, const Error& error) {
    devices_.engine().log().warn("remote_device", {{"device", device}, {"error", error.text()}});
  }

  SpdkDevices& devices_;
};

SpdkNvmeService::SpdkNvmeService(SpdkDevices& devices) : devices_(devices) {}
SpdkNvmeService::~SpdkNvmeService() = default;

S::Controller* S::find(std::string_view name) {
  const auto it =
      std::ranges::find_if(controllers_, [&](const auto& other) { return other->name == name; });
  return it == controllers_.end() ? nullptr : it->get();
}

S::Answer<spdk::BdevNvmeNames> S::attach(rpc::Call& call,
                                         const spdk::BdevNvmeAttachRequest& request) {
  CO_TRY(require(call, request, {"name", "trtype", "traddr", "subnqn"}));
  CO_TRY(refuse_unsupported(call, request,
                            {"prchk_reftag", "prchk_guard", "psk", "dhchap_key", "dhchap_ctrlr_key",
                             "hostaddr", "hostsvcid"}));
  CO_TRY(require_one_of(call, "multipath",
                        request.has_multipath() ? request.multipath() : "multipath",
                        {"failover", "multipath", "disable"}));
  RemoteDevices& remotes = devices_.engine().remotes();
  CO_TRY_SET(const auto options, options_of(request, remotes.options()));
  CO_TRY_SET(const auto policy, policy_of(call, request.multipath_opts()));
  const auto taken = [&](const Controller& there) {
    return std::ranges::any_of(there.paths, [&](const auto& path) {
      return path->options().address.text() == options.address.text() &&
             path->options().subsystem == options.subsystem;
    });
  };
  const std::string name = request.name();
  if (const Controller* there = find(name)) {
    const bool same = taken(*there);
    if (same || request.multipath() == "disable") {
      co_return rpc::json_error(
          Code::kAlreadyExists, -EALREADY,
          "A controller named " + name + " already exists" +
              (same ? " with the specified network path" : " and multipath is disabled"));
    }
    if (there->paths.front()->options().subsystem != options.subsystem) {
      co_return rpc::json_errno(EINVAL, "controller '" + name + "' is of another subsystem");
    }
  }
  auto connected = co_await remotes.initiator().connect(options);
  if (!connected) co_return rpc::json_errno(EIO, connected.error().text());
  Controller* controller = find(name);  // may have come or gone meanwhile
  if (controller && taken(*controller)) co_return rpc::json_errno(EALREADY, "just attached");
  if (!controller) {
    controllers_.push_back(std::make_unique<Controller>(devices_, name));
    controller = controllers_.back().get();
    controller->policy = policy;
  }
  controller->add(*std::move(connected));
  spdk::BdevNvmeNames out;
  std::vector<std::shared_ptr<storage::Device>> fresh;
  for (const auto& [nsid, device] : controller->made) {
    out.add_names(device->name());
    fresh.push_back(device);
  }
  if (devices_.auto_examine()) {
    for (const auto& device : fresh) co_await devices_.examine(device);
  }
  co_return out;
}

S::Answer<Empty> S::detach(rpc::Call& call, const spdk::BdevNvmeDetachRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  const std::string name = request.name();
  CO_TRY_SET(const auto guard, co_await devices_.engine().device_calls().lock(name, call.token));
  Controller* controller = find(name);
  if (!controller) co_return no_controller(name);
  std::vector<const nvme::HostController*> chosen;
  for (const auto& path : controller->paths) {
    const nvme::HostOptions& options = path->options();
    const bool fits =
        (!request.has_trtype() || same_word(request.trtype(), "tcp")) &&
        (!request.has_traddr() || request.traddr() == options.address.host) &&
        (!request.has_trsvcid() || request.trsvcid() == std::to_string(options.address.port)) &&
        (!request.has_subnqn() || request.subnqn() == options.subsystem) &&
        request.hostaddr().empty() && request.hostsvcid().empty();
    if (fits) chosen.push_back(path.get());
  }
  if (chosen.empty()) co_return no_controller(name);
  if (chosen.size() != controller->paths.size()) {
    for (const auto* path : chosen) controller->remove(*path);
    co_return Empty();
  }
  std::vector<std::string> above;
  for (const auto& [nsid, device] : controller->made) above.push_back(device->name());
  for (const std::string& device : above) {
    CO_TRY(co_await close_pool_on(devices_.engine(), device));
    if (const auto there = devices_.engine().devices().find(device)) {
      co_await devices_.engine().shares().unshare(there);
    }
  }
  controller = find(name);
  if (!controller) co_return Empty();
  controller->retire();
  std::erase_if(controllers_, [&](const auto& other) { return other.get() == controller; });
  co_return Empty();
}

S::Answer<spdk::BdevNvmeControllers> S::get_controllers(rpc::Call&,
                                                        const spdk::BdevNvmeSelector& request) {
  if (request.has_name() && !find(request.name())) {
    co_return rpc::json_error(Code::kNotFound, -EINVAL,
                              "Controller " + request.name() + " does not exist");
  }
  spdk::BdevNvmeControllers out;
  for (const auto& controller : controllers_) {
    if (request.has_name() && controller->name != request.name()) continue;
    auto* to = out.add_controllers();
    to->set_name(controller->name);
    for (const auto& path : controller->paths) {
      auto* shown = to->add_ctrlrs();
      shown->set_state(state_word(*path));
      show_address(path->options().address, *shown->mutable_trid());
      shown->mutable_trid()->set_subnqn(path->options().subsystem);
      shown->set_cntlid(path->id());
      shown->mutable_host()->set_nqn(path->options().host);
    }
  }
  co_return out;
}

Result<std::vector<nvme::HostController*>> S::select(const spdk::BdevNvmePathRequest& request) {
  Controller* controller = find(request.name());
  if (!controller) return no_controller(request.name());
  std::vector<nvme::HostController*> chosen;
  for (const auto& path : controller->paths) {
    if (!request.has_cntlid() || path->id() == request.cntlid()) chosen.push_back(path.get());
  }
  if (chosen.empty()) return no_controller(request.name());
  return chosen;
}

S::Answer<Empty> S::reset(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto chosen, select(request));
  for (auto* path : chosen) path->reset("reset by bdev_nvme_reset_controller");
  co_return Empty();
}

S::Answer<Empty> S::enable(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto chosen, select(request));
  for (auto* path : chosen) path->set_enabled(true);
  co_return Empty();
}

S::Answer<Empty> S::disable(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto chosen, select(request));
  for (auto* path : chosen) path->set_enabled(false);
  co_return Empty();
}

S::Answer<Empty> S::set_options(rpc::Call& call, const spdk::BdevNvmeOptions& request) {
  RemoteDevices& remotes = devices_.engine().remotes();
  if (!remotes.initiator().controllers().empty()) {
    co_return rpc::json_errno(EPERM, "there are controllers already");
  }
  nvme::HostOptions options = remotes.defaults();
  if (request.has_action_on_timeout()) {
    CO_TRY(require_one_of(call, "action_on_timeout", request.action_on_timeout(),
                          {"none", "reset", "abort"}));
    options.timeout_action = request.action_on_timeout() == "abort" ? nvme::TimeoutAction::kAbort
                                                                    : nvme::TimeoutAction::kReset;
  }
  if (request.has_timeout_us()) options.io_timeout = request.timeout_us() * kMicrosecond;
  if (request.action_on_timeout() == "none") options.io_timeout = 0;
  if (request.timeout_admin_us() != 0) {
    options.admin_timeout = request.timeout_admin_us() * kMicrosecond;
  }
  if (request.has_keep_alive_timeout_ms()) {
    options.keep_alive_ms = request.keep_alive_timeout_ms();
  }
  if (request.has_bdev_retry_count()) {
    options.retries = request.bdev_retry_count() < 0
                          ? UINT32_MAX
                          : static_cast<unsigned>(request.bdev_retry_count());
  }
  if (request.tcp_connect_timeout_ms() != 0) {
    options.connect_timeout = request.tcp_connect_timeout_ms() * core::kMillisecond;
  }
  CO_TRY(set_times(
      options, given(request.has_ctrlr_loss_timeout_sec(), request.ctrlr_loss_timeout_sec()),
      given(request.has_reconnect_delay_sec(), request.reconnect_delay_sec()),
      given(request.has_fast_io_fail_timeout_sec(), request.fast_io_fail_timeout_sec())));
  remotes.defaults() = options;
  co_return Empty();
}

S::Answer<Empty> S::set_preferred_path(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name", "cntlid"}));
  for (const auto& controller : controllers_) {
    for (const auto& [nsid, device] : controller->made) {
      if (device->name() != request.name()) continue;
      for (const auto& path : device->paths()) {
        if (path->id() != request.cntlid()) continue;
        device->prefer(path.get());
        co_return Empty();
      }
    }
  }
  co_return rpc::json_errno(ENODEV, "no such device or path");
}

S::Answer<spdk::BdevNvmeIoPaths> S::get_io_paths(rpc::Call&,
                                                 const spdk::BdevNvmeSelector& request) {
  spdk::BdevNvmeIoPaths out;
  auto* group = out.add_poll_groups();
  group->set_thread("app_thread");
  for (const auto& device : devices_.engine().remotes().list()) {
    if (request.has_name() && device->name() != request.name()) continue;
    for (const auto& path : device->paths()) {
      const bool connected = path->state() == nvme::HostController::State::kRunning;
      auto* shown = group->add_io_paths();
      shown->set_bdev_name(device->name());
      shown->set_cntlid(path->id());
      shown->set_current(device->current() == path.get());
      shown->set_connected(connected);
      shown->set_accessible(connected && device->accessible(*path));
      show_address(path->options().address, *shown->mutable_transport());
    }
  }
  co_return out;
}

S::Answer<spdk::BdevNvmeHealth> S::get_health(rpc::Call& call,
                                              const spdk::BdevNvmeSelector& request) {
  CO_TRY(require(call, request, {"name"}));
  const Controller* controller = find(request.name());
  if (!controller || controller->paths.empty()) co_return no_controller(request.name());
  const std::shared_ptr<nvme::HostController> path = controller->paths.front();
  const auto page = co_await path->log_page(nvme::log_page::kHealth, 0, kHealthBytes, true);
  if (!page) co_return rpc::json_errno(EIO, page.error().text());
  const std::uint8_t* at = page->data();
  const auto counter = [at](std::size_t offset) { return load_le<std::uint64_t>(at + offset); };
  spdk::BdevNvmeHealth out;
  out.set_model_number(path->data().model);
  out.set_serial_number(path->data().serial);
  out.set_firmware_revision(path->data().firmware);
  out.set_traddr(path->options().address.host);
  out.set_critical_warning(at[0]);
  out.set_temperature_celsius(load_le<std::uint16_t>(at + 1) - kKelvin);
  out.set_available_spare_percentage(at[3]);
  out.set_available_spare_threshold_percentage(at[4]);
  out.set_percentage_used(at[5]);
  out.set_data_units_read(counter(32));
  out.set_data_units_written(counter(48));
  out.set_host_read_commands(counter(64));
  out.set_host_write_commands(counter(80));
  out.set_controller_busy_time(counter(96));
  out.set_power_cycles(counter(112));
  out.set_power_on_hours(counter(128));
  out.set_unsafe_shutdowns(counter(144));
  out.set_media_errors(counter(160));
  out.set_num_err_log_entries(counter(176));
  out.set_warning_temperature_time_minutes(load_le<std::uint32_t>(at + 192));
  out.set_critical_composite_temperature_time_minutes(load_le<std::uint32_t>(at + 196));
  co_return out;
}

S::Answer<Empty> S::set_policy(rpc::Call& call, const spdk::BdevNvmePolicyRequest& request) {
  CO_TRY(require(call, request, {"name", "policy"}));
  spdk::BdevNvmePathOptions wanted;
  wanted.set_policy(request.policy());
  if (request.has_selector()) wanted.set_selector(request.selector());
  if (request.has_rr_min_io()) wanted.set_min_io(request.rr_min_io());
  CO_TRY_SET(const auto policy, policy_of(call, wanted));
  for (const auto& device : devices_.engine().remotes().list()) {
    if (device->name() != request.name()) continue;
    device->set_policy(policy);
    co_return Empty();
  }
  co_return rpc::json_errno(ENODEV, "device '" + request.name() + "' is not there or not remote");
}

S::Answer<spdk::BdevNvmeTransportStatistics> S::get_statistics(rpc::Call&, const Empty&) {
  co_return spdk::BdevNvmeTransportStatistics();
}

S::Answer<Empty> S::set_hotplug(rpc::Call& call, const spdk::BdevNvmeHotplugRequest& request) {
  CO_TRY(require(call, request, {"enable"}));
  co_return Empty();
}

Result<void> bind_spdk_nvme(rpc::Directory& directory, SpdkNvmeService& service) {
  TRY(directory.declare(spdk::BdevNvmeNames::descriptor()->file()->FindServiceByName("BdevNvme")));
  const std::string prefix = "spdk.BdevNvme/";
  TRY(rpc::bind_unary(directory, prefix + "AttachController", service, &S::attach));
  TRY(rpc::bind_unary(directory, prefix + "DetachController", service, &S::detach));
  TRY(rpc::bind_unary(directory, prefix + "GetControllers", service, &S::get_controllers));
  TRY(rpc::bind_unary(directory, prefix + "ResetController", service, &S::reset));
  TRY(rpc::bind_unary(directory, prefix + "EnableController", service, &S::enable));
  TRY(rpc::bind_unary(directory, prefix + "DisableController", service, &S::disable));
  TRY(rpc::bind_unary(directory, prefix + "SetOptions", service, &S::set_options));
  TRY(rpc::bind_unary(directory, prefix + "SetPreferredPath", service, &S::set_preferred_path));
  TRY(rpc::bind_unary(directory, prefix + "GetIoPaths", service, &S::get_io_paths));
  TRY(rpc::bind_unary(directory, prefix + "SetMultipathPolicy", service, &S::set_policy));
  TRY(rpc::bind_unary(directory, prefix + "GetTransportStatistics", service, &S::get_statistics));
  TRY(rpc::bind_unary(directory, prefix + "SetHotplug", service, &S::set_hotplug));
  return rpc::bind_unary(directory, prefix + "GetControllerHealthInfo", service, &S::get_health);
}

}  // namespace capstan::services
