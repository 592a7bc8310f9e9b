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
                                            "\"nqn.\" and has at most 223 printable characters");
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
  std::shared_ptr<Subsystem> subsystem(new Subsystem(std::move(options)));
  for (const auto& host : subsystem->options_.allowed_hosts) TRY(subsystem->allow_host(host));
  return subsystem;
}

Subsystem::~Subsystem() {
  CAPSTAN_ASSERT(controllers_.empty());
}

bool Subsystem::on_port(std::uint16_t port) const {
  return options_.ports.empty() || std::ranges::count(options_.ports, port) != 0;
}

// --- namespaces ----------------------------------------------------------------------------------

Result<std::uint32_t> Subsystem::add_namespace(std::shared_ptr<Device> device, std::uint32_t id) {
  if (id == 0) {
    id = 1;
    while (namespaces_.contains(id)) ++id;
    if (id > limits::kNamespaces) {
      return fail(Code::kResourceExhausted, nqn() + " has " + std::to_string(limits::kNamespaces) +
                                                " namespaces, the most there can be");
    }
  }
  if (id > limits::kNamespaces) {
    return fail(Code::kOutOfRange, "namespace id " + std::to_string(id) + " of " + nqn() +
                                       " is beyond " + std::to_string(limits::kNamespaces));
  }
  if (!namespaces_.try_emplace(id, Namespace{id, std::move(device)}).second) {
    return fail(Code::kAlreadyExists,
                nqn() + " has a namespace " + std::to_string(id) + " already; remove it first",
                EEXIST);
  }
  namespace_changed(id);
  return id;
}

bool Subsystem::remove_namespace(std::uint32_t id) {
  if (namespaces_.erase(id) == 0) return false;
  namespace_changed(id);
  return true;
}

void Subsystem::namespace_resized(std::uint32_t id) {
  if (find_namespace(id)) namespace_changed(id);
}

const Namespace* Subsystem::find_namespace(std::uint32_t id) const {
  const auto found = namespaces_.find(id);
  return found == namespaces_.end() ? nullptr : &found->second;
}

void Subsystem::namespace_changed(std::uint32_t id) {
  for (const auto& controller : current()) controller->namespace_changed(id);
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

void Subsystem::forbid_host(const std::string& host) {
  if (hosts_.erase(host) == 0) return;
  for (const auto& controller : current()) {
    if (controller->host() == host) controller->close("the host is not allowed any more");
  }
  visible_change();
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

core::Task<void> Subsystem::pause() {
  CAPSTAN_ASSERT(!paused());
  paused_ = co_await gate_.lock();
}

core::Task<void> Subsystem::close() {
  closed_ = true;
  for (const auto& controller : current()) controller->close("the subsystem is gone");
  if (paused()) resume();
  while (!controllers_.empty()) co_await forgotten_.wait();
}

}  // namespace capstan::storage::nvme
