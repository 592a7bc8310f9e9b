// Why this file exists: see subsystem.h.
#include "storage/nvme/subsystem.h"

#include <algorithm>
#include <cerrno>

#include "storage/nvme/controller.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {
constexpr std::size_t kSerialBytes = 20;
constexpr std::uint16_t kControllerMax = 0xFFEF;
}  // namespace

Result<std::shared_ptr<Subsystem>> Subsystem::make(SubsystemOptions options) {
  if (!valid_nqn(options.nqn)) {
    return fail(Code::kInvalidArgument, "'" + options.nqn + "' is not an NQN: it begins with " +
                                            "\"nqn.\" and has at most 223 bytes, without blanks "
                                            "and control characters");
  }
  if (options.serial.size() > kSerialBytes) {
    return fail(Code::kInvalidArgument, "the serial number '" + options.serial + "' of " +
                                            options.nqn + " has more than 20 characters");
  }
  if (options.min_controller == 0 || options.min_controller > options.max_controller ||
      options.max_controller > kControllerMax) {
    return fail(Code::kInvalidArgument, "controller ids of " + options.nqn +
                                            " must be a range within 1 to 65519, not " +
                                            std::to_string(options.min_controller) + " to " +
                                            std::to_string(options.max_controller));
  }
  if (options.max_namespaces == 0 || options.max_namespaces > limits::kNamespacesMax) {
    return fail(Code::kInvalidArgument,
                options.nqn + " can have 1 to " + std::to_string(limits::kNamespacesMax) +
                    " namespaces, not " + std::to_string(options.max_namespaces));
  }
  std::shared_ptr<Subsystem> subsystem(new Subsystem(std::move(options)));
  for (const auto& host : subsystem->options_.allowed_hosts) TRY(subsystem->allow_host(host));
  return subsystem;
}

Subsystem::~Subsystem() {
  CAPSTAN_ASSERT(controllers_.empty());
}

// --- listeners -----------------------------------------------------------------------------------

bool Subsystem::on_port(std::uint16_t port) const {
  return !options_.ports || options_.ports->contains(port);
}

void Subsystem::add_port(std::uint16_t port) {
  CAPSTAN_ASSERT(options_.ports);
  if (options_.ports->insert(port).second) visible_change();
}

void Subsystem::remove_port(std::uint16_t port) {
  if (options_.ports && options_.ports->erase(port) == 0) return;
  ana_.forget(port);
  for (const auto& controller : current()) {
    if (controller->association().port == port) controller->close("the listener is gone");
  }
  visible_change();
}

void Subsystem::set_ana_state(std::optional<std::uint16_t> port, std::optional<std::uint32_t> group,
                              AnaState state) {
  ana_.set(port, group, state);
  ana_changed(port);
}

void Subsystem::ana_changed(std::optional<std::uint16_t> port) {
  if (!options_.ana) return;
  for (const auto& controller : current()) {
    if (!port || controller->association().port == *port) controller->ana_changed();
  }
}

std::vector<AnaGroup> Subsystem::ana_groups(std::uint16_t port, const std::string& host) const {
  std::map<std::uint32_t, AnaGroup> groups;
  for (const auto& [id, space] : namespaces_) {
    if (!space.visible_to(host)) continue;
    const std::uint32_t group = space.ana_group;
    const auto [at, added] = groups.try_emplace(group);
    if (added) at->second = {group, ana_.state(port, group), ana_.changes(port, group), {}};
    at->second.namespaces.push_back(id);
  }
  std::vector<AnaGroup> out;
  for (auto& [id, group] : groups) out.push_back(std::move(group));
  return out;
}

// --- namespaces ----------------------------------------------------------------------------------

Result<std::uint32_t> Subsystem::add_namespace(std::shared_ptr<Device> device,
                                               NamespaceOptions wanted) {
  const std::uint32_t most = options_.max_namespaces;
  std::uint32_t id = wanted.id;
  if (id == 0) {
    id = 1;
    while (namespaces_.contains(id)) ++id;
    if (id > most) {
      return fail(Code::kResourceExhausted,
                  nqn() + " has " + std::to_string(most) + " namespaces, the most there can be");
    }
  }
  if (id > most || wanted.ana_group > most) {
    return fail(Code::kOutOfRange, "namespace id or ANA group " +
                                       std::to_string(std::max(id, wanted.ana_group)) + " of " +
                                       nqn() + " is beyond " + std::to_string(most));
  }
  if (namespaces_.contains(id)) {
    return fail(Code::kAlreadyExists,
                nqn() + " has a namespace " + std::to_string(id) + " already; remove it first",
                EEXIST);
  }
  Namespace space;
  space.id = id;
  space.uuid = wanted.uuid.value_or(device->uuid());
  space.nguid = wanted.nguid.value_or(device->uuid());
  space.eui64 = wanted.eui64;
  space.ana_group = wanted.ana_group == 0 ? id : wanted.ana_group;
  space.auto_visible = wanted.auto_visible;
  space.device = std::move(device);
  space.reservations = std::make_shared<ReservationSet>(std::move(wanted.reservations));
  CAPSTAN_ASSERT(put_back(std::move(space)));
  return id;
}

bool Subsystem::put_back(Namespace space) {
  const std::uint32_t id = space.id;
  const auto [at, added] = namespaces_.try_emplace(id, std::move(space));
  if (!added) return false;
  ana_.count_change();
  namespace_changed(at->second);
  return true;
}

bool Subsystem::remove_namespace(std::uint32_t id) {
  const auto removed = namespaces_.extract(id);
  if (removed.empty()) return false;
  ana_.count_change();
  namespace_changed(removed.mapped());
  return true;
}

bool Subsystem::set_ana_group(std::uint32_t id, std::uint32_t group) {
  const auto found = namespaces_.find(id);
  if (found == namespaces_.end() || group == 0 || group > options_.max_namespaces) return false;
  if (std::exchange(found->second.ana_group, group) == group) return true;
  ana_.count_change();
  namespace_changed(found->second);
  ana_changed(std::nullopt);
  return true;
}

void Subsystem::namespace_resized(std::uint32_t id) {
  if (const Namespace* space = find_namespace(id)) namespace_changed(*space);
}

const Namespace* Subsystem::find_namespace(std::uint32_t id) const {
  const auto found = namespaces_.find(id);
  return found == namespaces_.end() ? nullptr : &found->second;
}

void Subsystem::namespace_changed(const Namespace& space) {
  for (const auto& controller : current()) {
    if (space.visible_to(controller->host())) controller->namespace_changed(space.id);
  }
}

Result<Namespace*> Subsystem::masked_namespace(std::uint32_t id) {
  const auto found = namespaces_.find(id);
  const std::string what = "namespace " + std::to_string(id) + " of " + nqn();
  if (found == namespaces_.end()) {
    return fail(Code::kNotFound, what + " is not there", ENOENT);
  }
  if (found->second.auto_visible) {
    return fail(Code::kFailedPrecondition,
                what + " is seen by all hosts; add it with no_auto_visible to choose them", EPERM);
  }
  return &found->second;
}

Result<void> Subsystem::show_namespace(std::uint32_t id, const std::string& host) {
  TRY_SET(Namespace * space, masked_namespace(id));
  if (!valid_nqn(host)) {
    return fail(Code::kInvalidArgument, "the host '" + host + "' is not an NQN", EINVAL);
  }
  if (space->hosts.size() >= limits::kAllowedHosts && !space->hosts.contains(host)) {
    return fail(Code::kResourceExhausted, "namespace " + std::to_string(id) + " of " + nqn() +
                                              " is seen by " + std::to_string(space->hosts.size()) +
                                              " hosts, the most there can be");
  }
  if (space->hosts.insert(host).second) tell_host(id, host);
  return {};
}

Result<void> Subsystem::hide_namespace(std::uint32_t id, const std::string& host) {
  TRY_SET(Namespace * space, masked_namespace(id));
  if (space->hosts.erase(host) != 0) tell_host(id, host);
  return {};
}

void Subsystem::tell_host(std::uint32_t id, const std::string& host) {
  ana_.count_change();
  for (const auto& controller : current()) {
    if (controller->host() == host) controller->namespace_changed(id);
  }
}

// --- hosts ---------------------------------------------------------------------------------------

bool Subsystem::allows(const std::string& host) const {
  return options_.any_host || (!host.empty() && hosts_.contains(host));
}

void Subsystem::allow_any_host(bool any) {
  if (std::exchange(options_.any_host, any) != any) visible_change();
}

Result<void> Subsystem::allow_host(std::string host) {
  if (!valid_nqn(host)) {
    return fail(Code::kInvalidArgument,
                "the allowed host '" + host + "' of " + nqn() + " is not an NQN");
  }
  if (hosts_.size() >= limits::kAllowedHosts && !hosts_.contains(host)) {
    return fail(Code::kResourceExhausted, nqn() + " has " + std::to_string(hosts_.size()) +
                                              " allowed hosts, the most there can be");
  }
  if (hosts_.insert(std::move(host)).second) visible_change();
  return {};
}

bool Subsystem::forbid_host(const std::string& host) {
  if (hosts_.erase(host) == 0) return false;
  for (const auto& controller : current()) {
    if (controller->host() == host) controller->close("the host is not allowed any more");
  }
  visible_change();
  return true;
}

// --- controllers ---------------------------------------------------------------------------------

std::optional<std::uint16_t> Subsystem::next_controller_id() {
  if (closed_) return std::nullopt;
  const unsigned count = options_.max_controller - options_.min_controller + 1U;
  if (controllers_.size() >= count) return std::nullopt;
  auto id = std::max(last_controller_, static_cast<std::uint16_t>(options_.min_controller - 1));
  do {
    id = id >= options_.max_controller ? options_.min_controller
                                       : static_cast<std::uint16_t>(id + 1);
  } while (controllers_.contains(id));
  return last_controller_ = id;
}

void Subsystem::add_controller(std::shared_ptr<Controller> controller) {
  const std::uint16_t id = controller->id();
  CAPSTAN_ASSERT(controllers_.try_emplace(id, std::move(controller)).second);
}

std::shared_ptr<Controller> Subsystem::find_controller(std::uint16_t id) const {
  const auto found = controllers_.find(id);
  return found == controllers_.end() ? nullptr : found->second;
}

void Subsystem::forget_controller(std::uint16_t id) {
  controllers_.erase(id);
  forgotten_.notify_all();
}

std::vector<std::shared_ptr<Controller>> Subsystem::current() const {
  std::vector<std::shared_ptr<Controller>> out;
  for (const auto& [id, controller] : controllers_) out.push_back(controller);
  return out;
}

void Subsystem::leave_behind(const HostId& host, std::size_t commands) {
  if (commands != 0) leftovers_[host] += commands;
}

void Subsystem::leftover_ended(const HostId& host) {
  const auto found = leftovers_.find(host);
  CAPSTAN_ASSERT(found != leftovers_.end());
  if (--found->second != 0) return;
  leftovers_.erase(found);
  leftover_gone_.notify_all();
}

core::Task<void> Subsystem::pause() {
  CAPSTAN_ASSERT(!paused());
  paused_ = co_await gate_.lock();
}

core::Task<void> Subsystem::until_gone(std::function<bool(const Controller&)> which) {
  const auto there = [&] {
    return std::ranges::any_of(controllers_,
                               [&](const auto& entry) { return which(*entry.second); });
  };
  while (there()) co_await forgotten_.wait();
}

core::Task<void> Subsystem::close() {
  closed_ = true;
  for (const auto& controller : current()) controller->close("the subsystem is gone");
  if (paused()) resume();
  while (!controllers_.empty()) co_await forgotten_.wait();
}

}  // namespace capstan::storage::nvme
