// Why this file exists: see target.h.
#include "storage/nvme/target.h"

#include <algorithm>
#include <cerrno>

#include "storage/nvme/away.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

core::Reactor& home(core::Env& env) {
  core::Reactor* here = core::Reactor::current();
  return here ? *here : env.reactor(0);
}

void tell_hosts(const Subsystem& discovery) {
  // Telling one may end another.
  std::vector<std::shared_ptr<Controller>> told;
  for (const auto& [id, controller] : discovery.controllers()) told.push_back(controller);
  for (const auto& controller : told) controller->discovery_changed();
}

}  // namespace

Target::Target(core::Env& env, const core::Log& log, std::size_t buffer_bytes,
               std::vector<core::Reactor*> io_cores)
    : env_(env),
      log_(log.child("nvme")),
      shared_{.reactor = home(env),
              .log = log_,
              .discovery = *this,
              .find = [this](const std::string& nqn) { return find(nqn); },
              .budget = Budget(buffer_bytes),
              .counters = {},
              .moves_io_queues = !io_cores.empty()},
      placement_(io_cores.size()) {
  for (auto* reactor : io_cores) {
    const auto core = static_cast<unsigned>(lanes_.size() + 1);
    lanes_.push_back(std::make_unique<Lane>(shared_.reactor, *reactor, core));
  }
  auto discovery = Subsystem::make(
      {.nqn = std::string(kDiscoveryNqn), .firmware = firmware_, .discovery = true});
  CAPSTAN_ASSERT(discovery);
  discovery_ = *std::move(discovery);
}

Target::~Target() {
  CAPSTAN_ASSERT(connections_.empty() && ports_.empty());
}

// --- listeners -----------------------------------------------------------------------------------

Result<std::uint16_t> Target::listen(const core::Address& address, std::string advertised) {
  if (down_) return fail(Code::kFailedPrecondition, "the NVMe target has been shut down");
  if (ports_.size() >= limits::kListeners) {
    return fail(Code::kResourceExhausted, "the target listens on " + std::to_string(ports_.size()) +
                                              " addresses, the most there can be");
  }
  auto listener = env_.network().listen(address);
  if (!listener) return std::unexpected(std::move(listener).error().within("NVMe target"));
  if (lane_scope_.children() == 0) start_lanes();
  auto port = std::make_unique<Port>();
  // Numbers are used again only after all others; there are more of them than listeners.
  do ++last_port_;
  while (last_port_ == 0 || ports_.contains(last_port_));
  port->number = last_port_;
  port->address = (*listener)->local();
  port->listener = *std::move(listener);
  port->advertised = advertised.empty() ? port->address.host : std::move(advertised);
  log_.info("listening", {{"address", port->address.text()}, {"advertised", port->advertised}});
  scope_.spawn(accept_loop(port.get()));
  ports_.emplace(last_port_, std::move(port));
  visible_change();
  return last_port_;
}

core::Address Target::address(std::uint16_t port) const {
  const auto found = ports_.find(port);
  return found == ports_.end() ? core::Address() : found->second->address;
}

std::vector<std::uint16_t> Target::listeners() const {
  std::vector<std::uint16_t> out;
  for (const auto& [number, port] : ports_) out.push_back(number);
  return out;
}

std::optional<std::uint16_t> Target::find_listener(const core::Address& address) const {
  for (const auto& [number, port] : ports_) {
    if (port->address.host == address.host && port->address.port == address.port) return number;
  }
  return std::nullopt;
}

core::Task<void> Target::accept_loop(Port* port) {
  core::name_task("nvme accept");
  const core::CancelToken token = port->closed.token();
  while (!token.fired()) {
    auto stream = co_await port->listener->accept();
    if (token.fired()) break;
    if (!stream) {
      log_.warn("accept_failed",
                {{"address", port->address.text()}, {"error", stream.error().text()}});
      if (!co_await core::sleep_for(limits::kAcceptPauseNanos, token)) break;
      continue;
    }
    if (!make_room(**stream)) continue;
    scope_.spawn(serve(*std::move(stream), port->number));
    co_await core::yield();  // from its first step on it is counted, which the next one depends on
  }
  port->listener.reset();
  port->gone.set();
}

bool Target::make_room(const core::Stream& stream) {
  const auto& newcomers = shared_.newcomers;
  const bool full = connections_.size() >= connections_max_;
  if (full && newcomers.empty()) {
    ++shared_.counters.connections_refused;
    log_.warn("connection_refused", {{"peer", stream.peer().address}, {"limit", connections_max_}});
    return false;
  }
  const auto share = std::max<std::size_t>(connections_max_ / limits::kNewcomersShare, 1);
  if (!full && newcomers.size() < share) return true;
  ++shared_.counters.newcomers_dropped;
  newcomers.front()->end("others came before it sent Connect");
  return true;
}

void Target::set_connections_max(std::size_t most) {
  connections_max_ = std::clamp<std::size_t>(most, 1, limits::kConnections);
}

core::Task<void> Target::serve(std::unique_ptr<core::Stream> stream, std::uint16_t port) {
  {
    Connection connection(shared_, std::move(stream), port);
    const auto position = connections_.insert(connections_.end(), &connection);
    if (down_ || !ports_.contains(port)) connection.end("the target closes");
    co_await connection.run();
    if (connection.moving()) co_await send_away(&connection);
    co_await connection.leave();
    connections_.erase(position);
  }
  connection_gone_.notify_all();
}

core::Task<void> Target::send_away(Connection* connection) {
  Controller& controller = *connection->controller();
  const HostId& host = controller.association().host_id;
  Away away(*connection, shared_, connection->work(), controller, *lanes_[placement_.take(host)]);
  co_await away.run();
  placement_.give(host);
}

void Target::start_lanes() {
  for (const auto& lane : lanes_) lane_scope_.spawn(lane->run());
}

void Target::close_port(Port& port) {
  port.closed.fire();
  if (port.listener) port.listener->cancel();
  for (auto* connection : connections_) {
    if (connection->port() == port.number) connection->end("the listener closes");
  }
}

core::Task<bool> Target::unlisten(std::uint16_t number) {
  const auto found = ports_.find(number);
  if (found == ports_.end()) co_return false;
  const auto port = std::move(found->second);
  ports_.erase(found);
  close_port(*port);
  for (const auto& [nqn, subsystem] : std::map(subsystems_)) subsystem->remove_port(number);
  visible_change();
  co_await port->gone.wait();
  const auto here = [number](const Connection* each) { return each->port() == number; };
  while (std::ranges::any_of(connections_, here)) co_await connection_gone_.wait();
  co_return true;
}

// --- subsystems ----------------------------------------------------------------------------------

Result<std::shared_ptr<Subsystem>> Target::add(SubsystemOptions options) {
  if (find(options.nqn)) {
    return fail(Code::kAlreadyExists, "the target has a subsystem " + options.nqn + " already",
                EEXIST);
  }
  if (subsystems_.size() >= subsystems_max_) {
    return fail(Code::kResourceExhausted, "the target has " + std::to_string(subsystems_.size()) +
                                              " subsystems, the most there can be");
  }
  if (options.firmware.empty()) options.firmware = firmware_;
  TRY_SET(auto subsystem, Subsystem::make(std::move(options)));
  subsystem->on_visible_change([this] { visible_change(); });
  subsystems_.emplace(subsystem->nqn(), subsystem);
  visible_change();
  return subsystem;
}

void Target::set_subsystems_max(std::size_t most) {
  subsystems_max_ = std::min(most, limits::kSubsystems);
}

core::Task<bool> Target::remove(std::string nqn) {
  const auto found = subsystems_.find(nqn);
  if (found == subsystems_.end()) co_return false;
  const auto subsystem = found->second;
  subsystems_.erase(found);
  subsystem->on_visible_change({});
  visible_change();
  co_await subsystem->close();
  co_return true;
}

void Target::set_firmware(std::string firmware) {
  firmware_ = std::move(firmware);
  discovery_->set_firmware(firmware_);
}

std::shared_ptr<Subsystem> Target::find(const std::string& nqn) const {
  if (nqn == kDiscoveryNqn) return discovery_served_ ? discovery_ : nullptr;
  const auto found = subsystems_.find(nqn);
  return found == subsystems_.end() ? nullptr : found->second;
}

// --- discovery -----------------------------------------------------------------------------------

void Target::set_discovery_filter(DiscoveryFilter filter) {
  if (filter == std::exchange(filter_, filter)) return;
  visible_change();
}

void Target::visible_change() {
  ++generation_;
  if (core::Reactor::current()) return tell_hosts(*discovery_);
  // Nothing can be sent outside of a task; the hosts hear of it when the core runs again.
  shared_.reactor.post([kept = std::weak_ptr(discovery_)] {
    if (const auto discovery = kept.lock()) tell_hosts(*discovery);
  });
}

LogPage Target::discovery_log(const std::string& host, std::uint16_t port) const {
  std::vector<DiscoveryRecord> records;
  const auto entry = ports_.find(port);  // gone when its listener is closing
  const auto told = [&](const Port& at) {
    if (entry == ports_.end()) return true;
    const core::Address &here = entry->second->address, &there = at.address;
    return (!filter_.same_address || here.host == there.host) &&
           (!filter_.same_service || here.port == there.port);
  };
  const auto record = [&](const Port& at, const Subsystem& subsystem) {
    records.push_back({subsystem.nqn(), at.advertised, at.address.port, at.number,
                       subsystem.discovery(), false, shared_.sizes.admin_queue_entries});
  };
  for (const auto& [number, at] : ports_) {
    if (told(*at)) record(*at, *discovery_);
  }
  for (const auto& [nqn, subsystem] : subsystems_) {
    if (!subsystem->allows(host)) continue;
    for (const auto& [number, at] : ports_) {
      if (subsystem->on_port(number) && told(*at)) record(*at, *subsystem);
    }
  }
  for (const auto& each : referrals_) {
    records.push_back({each.subsystem, each.host, each.service, 0, true, true});
  }
  return discovery_page(generation_, records);
}

Result<void> Target::add_referral(Referral referral) {
  const std::string where = referral.host + ":" + std::to_string(referral.service);
  if (std::ranges::count(referrals_, referral) != 0) {
    return fail(Code::kAlreadyExists, "hosts are told of " + where + " already", EEXIST);
  }
  if (referrals_.size() >= limits::kReferrals) {
    return fail(Code::kResourceExhausted, "hosts are told of " + std::to_string(referrals_.size()) +
                                              " other discovery services, the most there can be");
  }
  referrals_.push_back(std::move(referral));
  visible_change();
  return {};
}

bool Target::remove_referral(const Referral& referral) {
  if (std::erase(referrals_, referral) == 0) return false;
  visible_change();
  return true;
}

// --- the end -------------------------------------------------------------------------------------

core::Task<void> Target::shutdown() {
  down_ = true;
  for (const auto& [number, port] : ports_) close_port(*port);
  for (const auto& [nqn, subsystem] : subsystems_) {
    if (subsystem->paused()) subsystem->resume();
  }
  for (auto* connection : connections_) connection->end("the target closes");
  co_await scope_.join();
  if (lane_scope_.children() != 0) {
    for (const auto& lane : lanes_) lane->close();
  }
  co_await lane_scope_.join();
  ports_.clear();
}

void Target::publish(core::Metrics& metrics, const core::Labels& labels) {
  using Kind = core::Metrics::Kind;
  const auto counter = [&](const char* name, const char* help, const std::uint64_t* value) {
    metrics_.push_back(metrics.add(Kind::kCounter, name, help, labels,
                                   [value] { return static_cast<double>(*value); }));
  };
  Counters& counters = shared_.counters;
  counter("nvme_connections_opened_total", "Connections accepted.", &counters.connections_opened);
  counter("nvme_connections_closed_total", "Connections ended.", &counters.connections_closed);
  counter("nvme_connections_refused_total", "Connections closed because of the limit.",
          &counters.connections_refused);
  counter("nvme_newcomers_dropped_total",
          "Connections closed before Connect, for others that came later.",
          &counters.newcomers_dropped);
  counter("nvme_connections_terminated_total", "Connections ended for what the host sent.",
          &counters.terminated);
  counter("nvme_commands_total", "Commands answered.", &counters.commands);
  counter("nvme_commands_failed_total", "Commands answered with an error.",
          &counters.failed_commands);
  counter("nvme_data_digest_errors_total", "Data that arrived damaged.",
          &counters.bad_data_digests);
  for (const auto& lane : lanes_) {
    core::Labels of_core = labels;
    of_core.emplace_back("core", std::to_string(lane->core()));
    metrics_.push_back(metrics.add(
        Kind::kCounter, "nvme_core_commands_total", "Of these, on queues of another core.", of_core,
        [each = lane.get()] { return static_cast<double>(each->use().commands); }));
  }
  metrics_.push_back(metrics.add(Kind::kGauge, "nvme_connections", "Connections open now.", labels,
                                 [this] { return static_cast<double>(connections_.size()); }));
}

}  // namespace capstan::storage::nvme
