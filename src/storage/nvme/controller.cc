// Why this file exists: a controller's life: queues, properties, timers and events. What its admin
// commands answer is in controller_admin.cc.
#include "storage/nvme/controller.h"

#include <algorithm>

#include "storage/nvme/identify.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kEnable = 1, kReady = 1, kFatal = 2;
constexpr std::uint32_t kShutdownDone = 2U << 2;  // CSTS.SHST
constexpr std::uint32_t kShutdownMask = 3U << 2;
constexpr std::uint64_t kCapabilities = 0x080000201E010000;  // without MQES
constexpr std::uint32_t kReadyTimeouts = 0x1E;
constexpr std::uint32_t kQueueEntrySizes = 0x00460000;  // IOCQES 4, IOSQES 6
constexpr std::uint32_t kQueueEntryMask = 0x00FF0000;

std::uint32_t field(std::uint32_t value, unsigned low, unsigned bits) {
  return value >> low & ((1U << bits) - 1);
}

}  // namespace

Controller::Controller(core::Reactor& reactor, core::Log log, std::shared_ptr<Subsystem> subsystem,
                       const DiscoverySource& discovery, Association association)
    : reactor_(reactor),
      log_(std::move(log)),
      subsystem_(std::move(subsystem)),
      discovery_(discovery),
      association_(std::move(association)),
      granted_queues_(static_cast<std::uint16_t>(association_.sizes.io_queues)),
      last_seen_(reactor.now()),
      keep_alive_([this] { keep_alive(); }),
      association_timer_([this] { close("nobody enabled the controller in time"); }),
      reset_timer_([this] { csts_ |= kFatal; }) {
  association_.keep_alive_ms =
      round_keep_alive(association_.keep_alive_ms, subsystem_->discovery());
  keep_alive();
  arm_association();
}

Controller::~Controller() {
  CAPSTAN_ASSERT(queues_.empty());
}

std::uint32_t Controller::round_keep_alive(std::uint32_t ms, bool discovery) {
  if (ms == 0) return discovery ? limits::kDiscoveryKeepAliveMillis : 0;
  const std::uint64_t unit = limits::kKeepAliveUnitMillis;
  const std::uint64_t units = std::min<std::uint64_t>((ms + unit - 1) / unit, UINT32_MAX / unit);
  return static_cast<std::uint32_t>(units * unit);
}

void Controller::keep_alive() {
  const bool shut_down = (csts_ & kShutdownMask) != 0;
  if (association_.keep_alive_ms == 0 || closed_ || shut_down) return keep_alive_.disarm();
  const core::Nanos due = last_seen_ + association_.keep_alive_ms * core::kMillisecond;
  if (reactor_.now() < due) return keep_alive_.arm_at(reactor_, due);
  csts_ |= kFatal;
  close("no command came within the keep-alive time");
}

void Controller::arm_association() {
  if (!closed_) association_timer_.arm_at(reactor_, reactor_.now() + limits::kAssociationNanos);
}

// --- queues --------------------------------------------------------------------------------------

bool Controller::accepts_io_queues() const {
  const bool stays = !closed_ && ending_ == Ending::kNone && (csts_ & kShutdownMask) == 0;
  return stays && enabled() && !subsystem_->discovery() && queues_.contains(0) &&
         (cc_ & kQueueEntryMask) == kQueueEntrySizes;
}

bool Controller::attach(std::uint16_t queue, Queue& owner) {
  return queue <= association_.sizes.io_queues && queues_.try_emplace(queue, &owner).second;
}

void Controller::leave(std::uint16_t queue) {
  queues_.erase(queue);
  if (queue == 0) close("the admin queue is gone");
  const bool io = std::ranges::any_of(queues_, [](const auto& entry) { return entry.first != 0; });
  if (!io) io_queues_gone();
  if (queues_.empty()) subsystem_->forget_controller(id());
}

void Controller::close(const std::string& reason) {
  if (std::exchange(closed_, true)) return;
  keep_alive_.disarm();
  association_timer_.disarm();
  reset_timer_.disarm();
  held_.clear();
  for (const auto& [queue, owner] : std::map(queues_)) owner->end(reason);
}

void Controller::end_io_queues(const std::string& reason) {
  if (ending_ == Ending::kReset) {  // events are dropped, as the host expects
    for (Request* request : std::exchange(held_, {})) queues_.at(0)->drop(*request);
  }
  bool any = false;
  for (const auto& [queue, owner] : std::map(queues_)) {
    if (queue == 0) continue;
    any = true;
    owner->end(reason);
  }
  if (!any) return io_queues_gone();
  reset_timer_.arm_at(reactor_, reactor_.now() + limits::kResetNanos);
}

void Controller::io_queues_gone() {
  const Ending ending = std::exchange(ending_, Ending::kNone);
  if (ending == Ending::kNone || closed_) return;
  reset_timer_.disarm();
  if (ending == Ending::kReset) {
    cc_ = 0;
    csts_ = 0;
  } else {
    csts_ = (csts_ & ~kShutdownMask) | kShutdownDone;
    keep_alive_.disarm();
  }
  arm_association();
}

// --- properties ----------------------------------------------------------------------------------

Status Controller::get_property(Request& request) const {
  const auto size = request.command.get<std::uint8_t>(40) & 7U;
  const auto offset = request.command.get<std::uint32_t>(44);
  const auto answer = [&](std::uint64_t value, bool wide) {
    if (size > 1 || (size == 1 && !wide)) return status::kConnectParameter;
    request.dword0 = static_cast<std::uint32_t>(value);
    request.dword1 = size == 1 ? static_cast<std::uint32_t>(value >> 32) : 0;
    return status::kSuccess;
  };
  switch (offset) {
    case property::kCap:
      return answer(kCapabilities | (association_.sizes.io_queue_entries - 1), true);
    case property::kCap + 4: return answer(kCapabilities >> 32, false);
    case property::kVs: return answer(kNvmeVersion, false);
    case property::kCc: return answer(cc_, false);
    case property::kCsts: return answer(csts_, false);
    case property::kNssr:
    case property::kAqa: return answer(0, false);
    case property::kAsq:
    case property::kAcq: return answer(0, true);
    case property::kCrto: return answer(kReadyTimeouts, false);
    default: return status::kConnectParameter;
  }
}

Status Controller::set_property(const Request& request) {
  const auto size = request.command.get<std::uint8_t>(40) & 7U;
  const auto value = request.command.get<std::uint32_t>(48);
  switch (request.command.get<std::uint32_t>(44)) {
    case property::kCc: return size == 0 ? set_configuration(value) : status::kConnectParameter;
    case property::kCsts:
    case property::kAqa: return size == 0 ? status::kSuccess : status::kConnectParameter;
    case property::kAsq:
    case property::kAcq: return size <= 1 ? status::kSuccess : status::kConnectParameter;
    default: return status::kConnectParameter;
  }
}

Status Controller::set_configuration(std::uint32_t value) {
  const std::uint32_t changed = cc_ ^ value, notification = field(value, 14, 2);
  if (field(changed, 7, 4) != 0 || field(changed, 11, 3) != 0 || field(value, 4, 3) > 6 ||
      notification == 3) {
    return status::kConnectParameter;
  }
  const bool was = (cc_ & kEnable) != 0, now = (value & kEnable) != 0;
  cc_ = value;
  if (!was && now) {
    csts_ = (csts_ & ~kShutdownMask) | kReady;
    association_timer_.disarm();
    touch();
    keep_alive();  // a shutdown before had stopped it
  }
  if (was && !now) {
    ending_ = Ending::kReset;
    end_io_queues("the host resets the controller");
  } else if (notification != 0 && field(changed, 14, 2) != 0) {
    ending_ = Ending::kShutdown;
    end_io_queues("the host shuts the controller down");
  }
  return status::kSuccess;
}

// --- events --------------------------------------------------------------------------------------

std::optional<Status> Controller::hold(Request& request) {
  if (held_.size() >= limits::kAsyncEvents) return status::kAsyncEventLimit;
  request.state = Request::State::kHeld;
  held_.push_back(&request);
  deliver();
  return std::nullopt;
}

bool Controller::drop_held(const Request& request) {
  return std::erase(held_, &request) != 0;
}

void Controller::raise(Event event) {
  events_[static_cast<std::size_t>(event)].raised = true;
  deliver();
}

void Controller::acknowledge(Event event) {
  events_[static_cast<std::size_t>(event)].blocked = false;
  deliver();
}

void Controller::deliver() {
  struct Kind {
    Event event;
    unsigned mask_bit;
    std::uint32_t dword0;
  };
  constexpr unsigned kAlways = 32;  // masked elsewhere
  constexpr Kind kKinds[] = {{Event::kNamespace, 8, 0x00040002},
                             {Event::kAna, 11, 0x000C0302},
                             {Event::kReservation, kAlways, 0x00800006},
                             {Event::kDiscovery, 31, 0x0070F002}};
  if (closed_) return;
  for (const Kind& kind : kKinds) {
    Pending& pending = events_[static_cast<std::size_t>(kind.event)];
    if (!pending.raised || pending.blocked || held_.empty()) continue;
    pending.raised = false;
    const bool wanted = kind.mask_bit == kAlways || (event_mask_ >> kind.mask_bit & 1) != 0;
    if (!wanted) continue;  // the host does not want to know
    pending.blocked = true;
    Request* request = held_.front();
    held_.pop_front();
    request->dword0 = kind.dword0;
    queues_.at(0)->complete(*request, status::kSuccess);
  }
}

void Controller::namespace_changed(std::uint32_t id) {
  if (subsystem_->discovery()) return;
  changed_namespaces_.insert(id);
  raise(Event::kNamespace);
}

void Controller::ana_changed() {
  if (!subsystem_->discovery()) raise(Event::kAna);
}

void Controller::notify(std::uint32_t nsid, ReservationNotice notice) {
  const auto mask = notification_masks_.find(nsid);
  const auto bit = static_cast<unsigned>(notice);
  if (mask != notification_masks_.end() && (mask->second >> bit & 1) != 0) return;
  if (notifications_.size() >= limits::kReservationNotices) notifications_.pop_front();
  notifications_.push_back({++notification_count_, notice, 0, nsid});
  raise(Event::kReservation);
}

void Controller::complain(const char* event, const Error& error) {
  log_.error(
      event,
      {{"subsystem", subsystem_->nqn()}, {"host", association_.host}, {"error", error.text()}});
}

const Namespace* Controller::find_namespace(std::uint32_t nsid) const {
  const Namespace* space = subsystem_->find_namespace(nsid);
  return space && space->visible_to(association_.host) ? space : nullptr;
}

Status Controller::path_status(const Namespace& space) const {
  if (!subsystem_->options().ana) return status::kSuccess;
  return ana_status(subsystem_->ana_states().state(association_.port, space.ana_group));
}

void Controller::discovery_changed() {
  if (subsystem_->discovery()) raise(Event::kDiscovery);
}

std::uint8_t Controller::retry_delay(const Status& answer) const {
  if (!retry_delays_on_ || answer.ok() || answer.do_not_retry) return 0;
  const auto& options = subsystem_->options();
  const bool conflict =
      answer == status::kCapacityExceeded || answer == status::kReservationConflict;
  return conflict ? options.conflict_delay : options.error_delay;
}

}  // namespace capstan::storage::nvme
