// Why this file exists: the part of spdk.BdevNvme that is not about single controllers: the options
// of new ones, discovery services that are followed, errors that are injected, and what of all that
// a saved configuration holds (jsonrpc sections B.6 and B.8).
#include <algorithm>
#include <charconv>

#include "google/protobuf/reflection.h"
#include "rpc/error_text.h"
#include "services/spdk_nvme_controller.h"
#include "services/spdk_nvmf.h"
#include "services/spdk_params.h"

namespace capstan::services {

namespace nvme = storage::nvme;
using Empty = google::protobuf::Empty;
using S = SpdkNvmeService;
using namespace spdk_nvme;

namespace spdk_nvme {

std::unexpected<Error> no_controller(const std::string& name) {
  return rpc::json_errno(ENODEV, "controller '" + name + "' does not exist");
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

const char* family_of(const core::Address& address) {
  return address.host.find(':') == std::string::npos ? "IPv4" : "IPv6";
}

std::unexpected<Error> refused(std::string text) {
  return rpc::json_error(Code::kInvalidArgument, -EINVAL, std::move(text));
}

Result<void> check_length(const char* what, const std::string& text, std::size_t most) {
  if (text.size() <= most) return {};
  return refused(std::string(what) + " too long: " + text);
}

Result<void> check_family(const std::string& family) {
  for (const char* known : {"", "IPv4", "IPv6", "IB", "FC", "Intra-host"}) {
    if (same_word(family, known)) return {};
  }
  return refused("Failed to parse adrfam: " + family);
}

void show_address(const core::Address& address, spdk::BdevNvmeTransport& out) {
  out.set_trtype("TCP");
  out.set_adrfam(family_of(address));
  out.set_traddr(rpc::valid_utf8(address.host));
  out.set_trsvcid(std::to_string(address.port));
}

Result<core::Address> address_of(const std::string& transport, const std::string& host,
                                 std::optional<std::string> service) {
  if (!same_word(transport, "tcp")) {
    return rpc::json_errno(ENODEV, "transport '" + transport + "' is not there; use tcp");
  }
  std::uint16_t port = 4420;
  if (service) {
    const char* end = service->data() + service->size();
    const auto [stopped, error] = std::from_chars(service->data(), end, port);
    if (error != std::errc() || stopped != end) {
      return rpc::json_errno(EINVAL, "trsvcid '" + *service + "' is no port");
    }
  }
  return core::Address::tcp(host, port);
}

Result<nvme::PathPolicy> policy_of(const rpc::Call& call, const spdk::BdevNvmePathOptions& wanted,
                                   nvme::PathPolicy policy) {
  if (!wanted.has_policy() && !wanted.has_selector() && !wanted.has_min_io()) return policy;
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
  using Choice = nvme::PathPolicy::Choice;
  policy.commands = wanted.has_min_io() ? wanted.min_io() : 1;
  policy.choice = !all ? Choice::kOne : turns ? Choice::kInTurn : Choice::kLeastBusy;
  return policy;
}

}  // namespace spdk_nvme

namespace {

constexpr core::Nanos kMicrosecond = 1000;
// How long an answer waits for a discovery that failed to let go of what it had found.
constexpr core::Nanos kDiscoveryEndNanos = 2 * core::kSecond;
constexpr std::uint32_t kByteMax = 0xFF;
constexpr std::uint32_t kStatusTypeMax = 7;

// What happens to a command without an answer, and how often one is repeated. `request` is all that
// was set so far.
Result<void> read_timeouts(const rpc::Call& call, const spdk::BdevNvmeOptions& request,
                           nvme::HostOptions& options) {
  const bool acts = request.has_action_on_timeout();
  const std::string action = acts ? request.action_on_timeout() : "none";
  TRY(require_one_of(call, "action_on_timeout", action, {"none", "reset", "abort"}));
  if (acts) {
    options.timeout_action =
        action == "abort" ? nvme::TimeoutAction::kAbort : nvme::TimeoutAction::kReset;
  }
  if (request.has_timeout_us()) options.io_timeout = request.timeout_us() * kMicrosecond;
  // Who says nothing of timeouts keeps this node's, which resets.
  if (action == "none" && (acts || request.has_timeout_us())) options.io_timeout = 0;
  if (request.timeout_admin_us() != 0) {
    options.admin_timeout = request.timeout_admin_us() * kMicrosecond;
  } else if (request.timeout_us() != 0 && action != "none") {
    options.admin_timeout = options.io_timeout;  // as I/O
  }
  if (request.has_keep_alive_timeout_ms()) options.keep_alive_ms = request.keep_alive_timeout_ms();
  if (request.has_bdev_retry_count()) {
    options.retries = request.bdev_retry_count() < 0
                          ? UINT32_MAX
                          : static_cast<unsigned>(request.bdev_retry_count());
  } else if (request.has_transport_retry_count()) {
    options.retries = request.transport_retry_count();
  }
  if (request.tcp_connect_timeout_ms() != 0) {
    options.connect_timeout = request.tcp_connect_timeout_ms() * core::kMillisecond;
  }
  return set_times(options, request);
}

// What a message says, as the parameters of a call.
void put_fields(const google::protobuf::Message& message, SavedFields& into) {
  using Field = google::protobuf::FieldDescriptor;
  const auto& reflection = *message.GetReflection();
  std::vector<const Field*> set;
  reflection.ListFields(message, &set);
  for (const Field* field : set) {
    auto& value = into[std::string(field->name())];
    if (field->is_repeated()) {  // of texts
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        value.mutable_list_value()->add_values()->set_string_value(
            reflection.GetRepeatedString(message, field, i));
      }
      continue;
    }
    switch (field->cpp_type()) {
      case Field::CPPTYPE_BOOL: value.set_bool_value(reflection.GetBool(message, field)); break;
      case Field::CPPTYPE_INT32: value.set_number_value(reflection.GetInt32(message, field)); break;
      case Field::CPPTYPE_UINT32:
        value.set_number_value(reflection.GetUInt32(message, field));
        break;
      case Field::CPPTYPE_UINT64:
        value.set_number_value(static_cast<double>(reflection.GetUInt64(message, field)));
        break;
      case Field::CPPTYPE_MESSAGE:
        put_fields(reflection.GetMessage(message, field),
                   *value.mutable_struct_value()->mutable_fields());
        break;
      default: value.set_string_value(reflection.GetString(message, field));
    }
  }
}

void save_policy(const nvme::PathPolicy& policy, SavedFields& params) {
  using Choice = nvme::PathPolicy::Choice;
  if (policy.choice == Choice::kOne) return;
  const bool turns = policy.choice == Choice::kInTurn;
  auto& options = *params["multipath_opts"].mutable_struct_value()->mutable_fields();
  options["policy"].set_string_value("active_active");
  options["selector"].set_string_value(turns ? "round_robin" : "queue_depth");
  if (turns) options["min_io"].set_number_value(policy.commands);
}

double whole_seconds(core::Nanos duration) {
  return static_cast<double>(duration / core::kSecond);
}

// What of a path is not as `usual`. Who says how long a lost one is tried for must say how often.
void save_times(const nvme::HostOptions& options, const nvme::HostOptions& usual,
                SavedFields& params) {
  const bool forever = options.ctrl_loss == nvme::HostOptions::kForever;
  const bool other_loss = options.ctrl_loss != usual.ctrl_loss;
  if (other_loss) {
    params["ctrlr_loss_timeout_sec"].set_number_value(forever ? -1
                                                              : whole_seconds(options.ctrl_loss));
    if (options.ctrl_loss == 0) return;  // nothing to wait for, and SPDK refuses to hear of it
  }
  if (other_loss || options.reconnect_delay != usual.reconnect_delay) {
    params["reconnect_delay_sec"].set_number_value(whole_seconds(options.reconnect_delay));
  }
  if (options.fast_io_fail != usual.fast_io_fail) {
    params["fast_io_fail_timeout_sec"].set_number_value(whole_seconds(options.fast_io_fail));
  }
}

void save_unusual(const nvme::HostOptions& options, const nvme::HostOptions& usual,
                  SavedFields& params) {
  save_times(options, usual, params);
  if (options.io_queues != usual.io_queues) {
    params["num_io_queues"].set_number_value(options.io_queues);
  }
  if (options.connect_timeout != usual.connect_timeout) {
    params["fabrics_connect_timeout_us"].set_number_value(
        static_cast<double>(options.connect_timeout / kMicrosecond));
  }
}

}  // namespace

// --- options -------------------------------------------------------------------------------------

S::Answer<Empty> S::set_options(rpc::Call& call, const spdk::BdevNvmeOptions& request) {
  RemoteDevices& remotes = devices_.engine().remotes();
  if (!remotes.initiator().controllers().empty()) {
    co_return rpc::json_errno(EPERM, "there are controllers already");
  }
  CO_TRY(refuse_unsupported(call, request,
                            {"nvme_error_stat", "io_path_stat", "transport_ack_timeout"}));
  nvme::HostOptions options = remotes.defaults();
  spdk::BdevNvmeOptions all = options_;
  all.MergeFrom(request);
  // What a call gives as a whole replaces what earlier ones gave.
  if (request.has_multipath_opts()) *all.mutable_multipath_opts() = request.multipath_opts();
  if (request.dhchap_digests_size() != 0) *all.mutable_dhchap_digests() = request.dhchap_digests();
  if (request.dhchap_dhgroups_size() != 0) {
    *all.mutable_dhchap_dhgroups() = request.dhchap_dhgroups();
  }
  CO_TRY(read_timeouts(call, all, options));
  nvme::PathPolicy policy = policy_;
  if (request.has_disable_auto_failback()) policy.failback = !request.disable_auto_failback();
  CO_TRY_SET(policy_, policy_of(call, request.multipath_opts(), policy));
  remotes.defaults() = options;
  options_ = std::move(all);
  co_return Empty();
}

void S::save_options(google::protobuf::ListValue& list) const {
  if (options_.ByteSizeLong() == 0) return;
  put_fields(options_, add_saved_call(list, "bdev_nvme_set_options"));
}

// Every path of every controller that was attached by hand, and the services that attach others.
void S::save_controllers(google::protobuf::ListValue& list) const {
  for (const auto& controller : controllers_) {
    const bool found = std::ranges::any_of(discoveries_, [&](const auto& discovery) {
      return discovery.service->attached(controller->name);
    });
    if (found) continue;
    for (const auto& path : controller->paths) {
      const nvme::HostOptions& options = path->options();
      SavedFields& params = add_saved_call(list, "bdev_nvme_attach_controller");
      params["name"].set_string_value(controller->name);
      params["trtype"].set_string_value("TCP");
      params["traddr"].set_string_value(options.address.host);
      params["trsvcid"].set_string_value(std::to_string(options.address.port));
      params["subnqn"].set_string_value(options.subsystem);
      params["hostnqn"].set_string_value(options.host);
      params["hdgst"].set_bool_value(options.digests.header);
      params["ddgst"].set_bool_value(options.digests.data);
      params["disable_sq_flow_control"].set_bool_value(!options.flow_control);
      save_unusual(options, devices_.engine().remotes().defaults(), params);
      const auto& made = controller->made;
      save_policy(made.empty() ? controller->policy : made.begin()->second->policy(), params);
    }
  }
  for (const auto& discovery : discoveries_) {
    put_fields(discovery.request, add_saved_call(list, "bdev_nvme_start_discovery"));
  }
}

// --- discovery -----------------------------------------------------------------------------------

std::shared_ptr<SpdkDiscovery> S::find_discovery(std::string_view name) {
  const auto it = std::ranges::find_if(
      discoveries_, [&](const auto& each) { return each.service->name() == name; });
  return it == discoveries_.end() ? nullptr : it->service;
}

bool S::has_controller(const std::string& name) const {
  return std::ranges::any_of(controllers_, [&](const auto& each) { return each->name == name; });
}

core::Task<Result<void>> S::attach_found(std::string controller, nvme::HostOptions path,
                                         core::CancelToken token) {
  const Controller* there = find(controller);
  if (there && there->has_path(path)) co_return {};
  CO_TRY(co_await add_path(controller, path, policy_, token));
  co_await examine(controller, token);
  co_return {};
}

core::Task<Result<void>> S::detach_found(std::string controller, nvme::HostOptions path) {
  auto done = co_await detach_paths(controller, {}, [path](const nvme::HostOptions& other) {
    return other.address.text() == path.address.text() && other.subsystem == path.subsystem;
  });
  if (!done && done.error().sys_errno == -ENODEV) co_return {};  // somebody else may be faster
  co_return done;
}

core::Task<void> S::keep(std::shared_ptr<SpdkDiscovery> discovery) {
  co_await discovery->run();
  std::erase_if(discoveries_, [&](const auto& each) { return each.service == discovery; });
}

S::Answer<Empty> S::start_discovery(rpc::Call& call,
                                    const spdk::BdevNvmeStartDiscoveryRequest& request) {
  CO_TRY(require(call, request, {"name", "trtype", "traddr"}));
  nvme::HostOptions options = devices_.engine().remotes().options();
  CO_TRY_SET(options.address, address_in(request));
  if (request.has_hostnqn()) options.host = request.hostnqn();
  if (!nvme::valid_nqn(options.host)) {
    co_return rpc::json_errno(EINVAL, "hostnqn '" + options.host + "' is no NQN");
  }
  CO_TRY(set_times(options, request));
  for (const auto& each : discoveries_) {
    if (each.service->name() == request.name() ||
        each.service->options().address.text() == options.address.text()) {
      co_return rpc::json_errno(EEXIST, "discovery service '" + each.service->name() + "' at " +
                                            options.address.text() + " is followed already");
    }
  }
  const std::string name = request.name();
  const core::Nanos patience = request.attach_timeout_ms() * core::kMillisecond;
  const bool waits = request.wait_for_attach() || patience != 0;
  SpdkDiscovery::Controllers& controllers = *this;
  const auto discovery =
      std::make_shared<SpdkDiscovery>(devices_.engine(), controllers, name, options);
  discoveries_.push_back({discovery, request});
  scope_.spawn(keep(discovery));
  if (!waits) co_return Empty();
  const auto tried = co_await discovery->wait(patience, call.token);
  if (tried) co_return Empty();
  discovery->stop(true);
  {  // so that the same call may come again; but what it has found may take long to be let go
    auto& reactor = *core::Reactor::current();
    bool late = false;
    const auto give_up = [&] {
      late = true;
      discovery->ended().notify_all();
    };
    core::Timer timer(give_up);
    timer.arm_at(reactor, reactor.now() + kDiscoveryEndNanos);
    const core::CancelCallback left(call.token, give_up);
    while (!late && !discovery->ended().is_set()) co_await discovery->ended().wait();
  }
  if (tried.error().code == Code::kCancelled) co_return std::unexpected(tried.error());
  co_return rpc::json_errno(ETIMEDOUT, tried.error().text());
}

S::Answer<Empty> S::stop_discovery(rpc::Call& call, const spdk::BdevNvmeSelector& request) {
  CO_TRY(require(call, request, {"name"}));
  const std::string name = request.name();
  const auto discovery = find_discovery(name);
  if (!discovery) co_return rpc::json_errno(ENOENT, "no discovery service '" + name + "'");
  discovery->stop(true);
  co_await discovery->ended().wait();
  co_return Empty();
}

S::Answer<spdk::BdevNvmeDiscoveries> S::get_discovery_info(rpc::Call&, const Empty&) {
  spdk::BdevNvmeDiscoveries out;
  const auto show = [](const core::Address& address, spdk::BdevNvmeTransport& to) {
    show_address(address, to);
    to.set_subnqn(std::string(nvme::kDiscoveryNqn));
  };
  for (const auto& each : discoveries_) {
    auto& info = *out.add_services();
    const core::Address& address = each.service->options().address;
    info.set_name(each.service->name());
    show(address, *info.mutable_trid());
    show(address, *info.add_referrals()->mutable_trid());  // SPDK counts the service itself
    for (const auto& other : each.service->referrals()) {
      show(core::Address::tcp(other.host, other.service), *info.add_referrals()->mutable_trid());
    }
  }
  co_return out;
}

void S::leave() {
  for (const auto& each : discoveries_) each.service->stop(false);
}

// --- injected errors -----------------------------------------------------------------------------

// The first path of the controller, as in SPDK; null when there is none.
nvme::HostController* S::fault_path(const spdk::BdevNvmeErrorInjection& request) {
  const Controller* controller = find(request.name());
  return controller && !controller->paths.empty() ? controller->paths.front().get() : nullptr;
}

S::Answer<Empty> S::add_fault(rpc::Call& call, const spdk::BdevNvmeErrorInjection& request) {
  CO_TRY(require(call, request, {"name", "cmd_type", "opc"}));
  CO_TRY(require_one_of(call, "cmd_type", request.cmd_type(), {"admin", "io"}));
  if (request.opc() > kByteMax || request.sct() > kStatusTypeMax || request.sc() > kByteMax) {
    co_return rpc::json_errno(EINVAL, "opc and sc are bytes, and sct is at most 7");
  }
  nvme::HostController* path = fault_path(request);
  if (!path) co_return no_controller(request.name());
  nvme::HostFault fault;
  fault.opcode = static_cast<std::uint8_t>(request.opc());
  fault.submit = !request.do_not_submit();
  fault.delay = request.timeout_in_us() * kMicrosecond;
  fault.left = request.has_err_count() ? request.err_count() : 1;
  fault.status = {static_cast<std::uint8_t>(request.sct()),
                  static_cast<std::uint8_t>(request.sc())};
  path->faults(request.cmd_type() == "admin").add(fault);
  co_return Empty();
}

S::Answer<Empty> S::remove_fault(rpc::Call& call, const spdk::BdevNvmeErrorInjection& request) {
  CO_TRY(require(call, request, {"name", "cmd_type", "opc"}));
  CO_TRY(require_one_of(call, "cmd_type", request.cmd_type(), {"admin", "io"}));
  nvme::HostController* path = fault_path(request);
  if (!path) co_return no_controller(request.name());
  if (request.opc() > kByteMax) co_return rpc::json_errno(EINVAL, "opc is a byte");
  path->faults(request.cmd_type() == "admin").remove(static_cast<std::uint8_t>(request.opc()));
  co_return Empty();
}

}  // namespace capstan::services
