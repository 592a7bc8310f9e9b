// Why this file exists: see spdk_nvme.h.
#include "services/spdk_nvme.h"

#include <algorithm>
#include <cerrno>

#include "rpc/error_text.h"
#include "rpc/json_call.h"
#include "services/pool_ops.h"
#include "services/spdk_nvme_controller.h"
#include "services/spdk_params.h"

namespace capstan::services {

namespace nvme = storage::nvme;
using Empty = google::protobuf::Empty;
using S = SpdkNvmeService;
using namespace spdk_nvme;

namespace {

constexpr core::Nanos kMicrosecond = 1000;
constexpr std::uint32_t kHealthBytes = 512;
constexpr int kKelvin = 273;
constexpr std::uint32_t kQueuesMax = UINT16_MAX + 1;  // that may be asked for

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

Result<nvme::HostOptions> options_of(const spdk::BdevNvmeAttachRequest& request,
                                     nvme::HostOptions options) {
  if (request.has_max_bdevs() && request.max_bdevs() == 0) {
    return refused("max_bdevs cannot be zero");
  }
  if (request.has_num_io_queues() &&
      (request.num_io_queues() == 0 || request.num_io_queues() > kQueuesMax)) {
    return refused("num_io_queues out of bounds, min: 1 max: " + std::to_string(kQueuesMax));
  }
  TRY_SET(options.address, address_in(request));
  TRY(check_length("subnqn", request.subnqn(), nvme::kNqnBytesMax));
  TRY(check_length("hostnqn", request.hostnqn(), nvme::kNqnBytesMax));
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
  TRY(set_times(options, request));
  return options;
}

}  // namespace

SpdkNvmeService::SpdkNvmeService(SpdkDevices& devices) : devices_(devices) {
  devices_.save_with({[this](google::protobuf::ListValue& list) { save_options(list); },
                      [this](google::protobuf::ListValue& list) { save_controllers(list); }});
}

SpdkNvmeService::~SpdkNvmeService() {
  devices_.save_with({});
}

S::Controller* S::find(std::string_view name) {
  const auto it =
      std::ranges::find_if(controllers_, [&](const auto& other) { return other->name == name; });
  return it == controllers_.end() ? nullptr : it->get();
}

// Whether one more path may be added to a controller that is there.
Result<void> S::check_joins(const Controller& there, const nvme::HostOptions& options,
                            bool disabled) {
  const std::string begin = "A controller named " + there.name + " already exists";
  const bool same = there.has_path(options);
  if (disabled || same) {
    return rpc::json_error(
        Code::kAlreadyExists, -EALREADY,
        begin + (disabled ? " and multipath is disabled" : " with the specified network path"));
  }
  const nvme::HostOptions& first = there.paths.front()->options();
  if (first.subsystem != options.subsystem) {
    return refused(begin + ", but uses a different subnqn (" + first.subsystem + ")");
  }
  if (first.host == options.host) return {};
  return refused(begin + ", but uses a different hostnqn (" + first.host + ")");
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
  CO_TRY_SET(const auto policy, policy_of(call, request.multipath_opts(), policy_));
  const std::string name = request.name();
  if (const Controller* there = find(name)) {
    CO_TRY(check_joins(*there, options, request.multipath() == "disable"));
  }
  CO_TRY(co_await add_path(name, options, policy, call.token));
  spdk::BdevNvmeNames out;
  if (const Controller* controller = find(name)) {
    for (const auto& [nsid, device] : controller->made) out.add_names(device->name());
  }
  co_await examine(name, call.token);
  co_return out;
}

core::Task<Result<void>> S::add_path(std::string name, nvme::HostOptions options,
                                     nvme::PathPolicy policy, core::CancelToken token) {
  auto connected = co_await devices_.engine().remotes().initiator().connect(options, token);
  if (!connected) CO_TRY(token.check());
  if (!connected) co_return rpc::json_errno(EIO, connected.error().text());
  Controller* controller = find(name);  // may have come or gone meanwhile
  if (controller && controller->has_path(options)) {
    co_return rpc::json_errno(EALREADY, "just attached");
  }
  // What was checked before connecting may not hold any more; discovery did not check.
  if (controller && controller->paths.front()->options().subsystem != options.subsystem) {
    co_return rpc::json_errno(EINVAL, "controller '" + name + "' is of another subsystem");
  }
  if (!controller) {
    controllers_.push_back(std::make_unique<Controller>(*this, name));
    controller = controllers_.back().get();
    controller->policy = policy;
  }
  controller->add(*std::move(connected));
  co_return {};
}

// Of one examine().
struct S::Examined {
  bool done = false;
  core::Event ended;
};

core::Task<void> S::examine(std::string name, core::CancelToken token) {
  Controller* controller = find(name);
  if (!controller || !devices_.auto_examine()) co_return;
  // Reading through an inaccessible path waits as long as that may change, which may be for ever,
  // and who attaches the standby path first has yet to come to the good one.
  const auto done = std::make_shared<Examined>();
  scope_.spawn(examine_in_turn(controller->take_reachable(), done));
  const core::CancelCallback left(token, [&done] { done->ended.notify_all(); });
  while (!done->done && !token.fired()) co_await done->ended.wait();
}

core::Task<void> S::examine_in_turn(std::vector<std::shared_ptr<storage::Device>> devices,
                                    std::shared_ptr<Examined> done) {
  co_await core::yield();  // whoever starts it may be within an event of a path
  for (const auto& device : devices) co_await devices_.examine(device);
  done->done = true;
  done->ended.notify_all();
}

void S::examine_later(std::vector<std::shared_ptr<storage::Device>> devices) {
  scope_.spawn(examine_in_turn(std::move(devices), std::make_shared<Examined>()));
}

S::Answer<Empty> S::detach(rpc::Call& call, const spdk::BdevNvmeDetachRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY(check_length("traddr", request.traddr(), kAddressBytesMax));
  CO_TRY(check_family(request.adrfam()));
  CO_TRY(check_length("trsvcid", request.trsvcid(), kServiceBytesMax));
  CO_TRY(check_length("subnqn", request.subnqn(), nvme::kNqnBytesMax));
  CO_TRY(
      co_await detach_paths(request.name(), call.token, [request](const nvme::HostOptions& path) {
        return (!request.has_trtype() || same_word(request.trtype(), "tcp")) &&
               (!request.has_traddr() || request.traddr() == path.address.host) &&
               (!request.has_adrfam() || same_word(request.adrfam(), family_of(path.address))) &&
               (!request.has_trsvcid() || request.trsvcid() == std::to_string(path.address.port)) &&
               (!request.has_subnqn() || request.subnqn() == path.subsystem) &&
               request.hostaddr().empty() && request.hostsvcid().empty();
      }));
  co_return Empty();
}

core::Task<Result<void>> S::detach_paths(std::string name, core::CancelToken token, Fits fits) {
  // Not its devices' locks, which come after those of pools.
  CO_TRY_SET(const auto guard,
             co_await devices_.engine().device_calls().lock("controller " + name, token));
  Controller* controller = find(name);
  if (!controller) co_return no_controller(name);
  std::vector<const nvme::HostController*> chosen;
  for (const auto& path : controller->paths) {
    if (fits(path->options())) chosen.push_back(path.get());
  }
  if (chosen.empty()) co_return no_controller(name);
  if (chosen.size() != controller->paths.size()) {
    for (const auto* path : chosen) controller->remove(*path);
    co_return {};
  }
  std::vector<std::string> above;
  for (const auto& [nsid, device] : controller->made) above.push_back(device->name());
  // Until the devices are retired, nobody opens a pool on one of them.
  CO_TRY_SET(const auto held, co_await hold_devices(devices_.engine(), above, std::move(token)));
  for (const std::string& device : above) {
    CO_TRY(co_await close_pool_on(devices_.engine(), device));
    if (const auto there = devices_.engine().devices().find(device)) {
      co_await devices_.engine().shares().unshare(there);
    }
  }
  controller = find(name);
  if (!controller) co_return {};
  controller->retire();
  std::erase_if(controllers_, [&](const auto& other) { return other.get() == controller; });
  co_return {};
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
      shown->mutable_trid()->set_subnqn(rpc::valid_utf8(path->options().subsystem));
      shown->set_cntlid(path->id());
      shown->mutable_host()->set_nqn(path->options().host);
    }
  }
  co_return out;
}

Result<S::Paths> S::select(const spdk::BdevNvmePathRequest& request) {
  if (request.cntlid() > UINT16_MAX) {
    return rpc::json_error(Code::kInvalidArgument, rpc::json_code::kInvalidParams,
                           "Invalid argument", "cntlid has 16 bits");
  }
  Controller* controller = find(request.name());
  if (!controller) return no_controller(request.name());
  Paths chosen;
  for (const auto& path : controller->paths) {
    if (!request.has_cntlid() || path->id() == request.cntlid()) chosen.push_back(path);
  }
  if (chosen.empty()) return no_controller(request.name());
  return chosen;
}

// What was given up gets one more try; the others come back by themselves.
core::Task<Result<void>> S::retry(Paths paths, core::CancelToken token) {
  for (const auto& path : paths) {
    const auto back = co_await path->retry(token);
    CO_TRY(token.check());
    if (!back) co_return rpc::json_errno(EIO, back.error().text());
  }
  co_return {};
}

S::Answer<Empty> S::reset(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto chosen, select(request));
  for (const auto& path : chosen) path->reset("reset by bdev_nvme_reset_controller");
  CO_TRY(co_await retry(chosen, call.token));
  co_return Empty();
}

S::Answer<Empty> S::enable(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto chosen, select(request));
  for (const auto& path : chosen) path->set_enabled(true);
  CO_TRY(co_await retry(chosen, call.token));
  co_return Empty();
}

S::Answer<Empty> S::disable(rpc::Call& call, const spdk::BdevNvmePathRequest& request) {
  CO_TRY(require(call, request, {"name"}));
  CO_TRY_SET(const auto chosen, select(request));
  for (const auto& path : chosen) path->set_enabled(false);
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
  out.set_model_number(rpc::valid_utf8(path->data().model));  // the target may say any bytes
  out.set_serial_number(rpc::valid_utf8(path->data().serial));
  out.set_firmware_revision(rpc::valid_utf8(path->data().firmware));
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
  CO_TRY_SET(const auto policy, policy_of(call, wanted, policy_));
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
  TRY(rpc::bind_unary(directory, prefix + "StartDiscovery", service, &S::start_discovery));
  TRY(rpc::bind_unary(directory, prefix + "StopDiscovery", service, &S::stop_discovery));
  TRY(rpc::bind_unary(directory, prefix + "GetDiscoveryInfo", service, &S::get_discovery_info));
  TRY(rpc::bind_unary(directory, prefix + "AddErrorInjection", service, &S::add_fault));
  TRY(rpc::bind_unary(directory, prefix + "RemoveErrorInjection", service, &S::remove_fault));
  return rpc::bind_unary(directory, prefix + "GetControllerHealthInfo", service, &S::get_health);
}

}  // namespace capstan::services
