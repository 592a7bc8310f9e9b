// Why this file exists: what the admin commands of a controller answer: Identify, log pages,
// features, Abort, Keep Alive; nvme-tcp sections 8 to 10. A discovery controller has few of them.
#include <algorithm>

#include "storage/nvme/controller.h"
#include "storage/nvme/identify.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

namespace cns {
constexpr std::uint8_t kNamespace = 0x00, kController = 0x01, kActive = 0x02, kDescriptors = 0x03,
                       kIoNamespace = 0x05, kIoController = 0x06, kIoActive = 0x07,
                       kIndependent = 0x08;
}

constexpr std::uint32_t kSave = 1U << 31;         // SV of Set Features
constexpr std::uint32_t kRetainEvent = 1U << 15;  // RAE of Get Log Page
constexpr std::size_t kHostBehaviorBytes = 512;
constexpr std::uint32_t kNamespaceEvents = 1U << 8, kAnaEvents = 1U << 11,
                        kDiscoveryEvents = 1U << 31;
constexpr std::uint32_t kNoticeMask = 0xE;  // bits 1 to 3 of the feature
constexpr std::uint8_t kAnaGroupsOnly = 1;  // LSP of the ANA page

std::uint32_t supported_events(const SubsystemOptions& options) {
  if (options.discovery) return kDiscoveryEvents;
  return kNamespaceEvents | (options.ana ? kAnaEvents : 0);
}

}  // namespace

std::optional<Status> Controller::run(Request& request) {
  const Command& command = request.command;
  if (command.fused() != 0) return status::kInvalidField;
  if (command.is_fabrics()) return run_fabrics(request);
  if (command.opcode() == opcode::kKeepAlive) {
    return command.nsid() == 0 ? status::kSuccess : status::kInvalidField;
  }
  if (!enabled()) return status::kCommandSequence;
  switch (command.opcode()) {
    case opcode::kIdentify: return identify(request);
    case opcode::kGetLogPage: return get_log(request);
    case opcode::kSetFeatures: return set_features(request);
    case opcode::kGetFeatures: return get_features(request);
    case opcode::kAsyncEvent: return hold(request);
    default: return status::kInvalidOpcode;
  }
}

std::optional<Status> Controller::run_fabrics(Request& request) {
  switch (request.command.fabrics_type()) {
    case fabrics::kPropertyGet: return get_property(request);
    case fabrics::kPropertySet: return set_property(request);
    default: return status::kInvalidOpcode;  // a second Connect among them
  }
}

// --- Identify ------------------------------------------------------------------------------------

Status Controller::identify(Request& request) {
  const auto structure = static_cast<std::uint8_t>(request.command.dword(10));
  if (request.command.data_length() < kIdentifyBytes) return status::kInvalidField;
  request.reply(kIdentifyBytes, {});
  if (structure == cns::kController) {
    const auto& options = subsystem_->options();
    const auto& namespaces = subsystem_->namespaces();
    const bool unmap = std::ranges::all_of(
        namespaces, [](const auto& entry) { return entry.second.device->supports_unmap(); });
    store_identify_controller(
        request.payload().data(),
        {subsystem_->discovery(), options.serial, options.model, options.firmware, options.nqn,
         id(), options.retry_delays, options.max_namespaces, true, unmap, options.ana,
         association_.sizes});
    return status::kSuccess;
  }
  return subsystem_->discovery() ? status::kInvalidField : identify_io(request, structure);
}

Status Controller::identify_io(Request& request, std::uint8_t structure) {
  const std::uint32_t nsid = request.command.nsid();
  const auto command_set = request.command.dword(11) >> 24;
  std::uint8_t* to = request.payload().data();
  switch (structure) {
    case cns::kActive:
    case cns::kIoActive: {
      if (nsid >= kBroadcastNamespace - 1) return status::kInvalidNamespace;
      if (structure == cns::kIoActive && command_set != 0) return status::kInvalidField;
      for (const auto& [active, space] : subsystem_->namespaces()) {
        if (active <= nsid || !space.visible_to(host())) continue;
        store_le(to, active);
        to += sizeof active;
      }
      return status::kSuccess;
    }
    case cns::kIoController:
      if (command_set != 0) return status::kInvalidField;
      store_command_set_limits(to, subsystem_->options().dsm_range_blocks,
                               subsystem_->options().zeroes_size);
      return status::kSuccess;
    case cns::kIoNamespace:
      if (command_set != 0) return status::kInvalidField;
      return identify_namespace(request, structure);
    case cns::kNamespace:
    case cns::kDescriptors:
    case cns::kIndependent: return identify_namespace(request, structure);
    default: return status::kInvalidField;
  }
}

Status Controller::identify_namespace(Request& request, std::uint8_t structure) {
  const std::uint32_t nsid = request.command.nsid();
  if (nsid == 0 || nsid > subsystem_->options().max_namespaces) {
    return status::kInvalidNamespace;
  }
  const Namespace* space = find_namespace(nsid);
  std::uint8_t* to = request.payload().data();
  if (structure == cns::kDescriptors) {
    if (!space) return status::kInvalidField;
    store_namespace_descriptors(to, {space->eui64, space->nguid, space->uuid});
  } else if (space && structure == cns::kNamespace) {
    const Device& device = *space->device;
    store_identify_namespace(
        to, {device.num_blocks(), device.block_size(), device.thin(), space->nguid, space->eui64,
             space->reservations->durable(), subsystem_->options().ana ? space->ana_group : 0});
  } else if (space && structure == cns::kIndependent) {
    store_independent_namespace(to, space->reservations->durable(),
                                subsystem_->options().ana ? space->ana_group : 0);
  }
  return status::kSuccess;  // a namespace that is not there is all zeros
}

// --- log pages -----------------------------------------------------------------------------------

Status Controller::get_log(Request& request) {
  const Command& command = request.command;
  const auto page_id = static_cast<std::uint8_t>(command.dword(10));
  const bool retain = (command.dword(10) & kRetainEvent) != 0;
  const std::uint64_t dwords =
      (std::uint64_t{command.dword(11) & 0xFFFF} << 16 | command.dword(10) >> 16) + 1;
  const std::uint64_t offset = command.get<std::uint64_t>(48);
  if (dwords * 4 > command.data_length() || offset % 4 != 0) return status::kInvalidField;
  if (command.nsid() != 0 && command.nsid() != kBroadcastNamespace) return status::kInvalidField;
  const auto specific = static_cast<std::uint8_t>(command.dword(10) >> 8 & 0x7F);
  const auto page = make_log(page_id, specific);
  if (!page) return status::kInvalidLogPage;
  const bool exact = page_id == log_page::kDiscovery || page_id == log_page::kAna;
  if (exact && offset >= page->size()) return status::kInvalidField;
  const std::size_t start = std::min<std::uint64_t>(offset, page->size());
  request.reply(static_cast<std::uint32_t>(dwords * 4), ByteView(*page).subspan(start));
  // Only now: a host that is refused the page has not heard of what it says.
  if (!retain) log_was_read(page_id);
  return status::kSuccess;
}

std::optional<LogPage> Controller::make_log(std::uint8_t page, std::uint8_t specific) const {
  const bool discovery = subsystem_->discovery();
  const bool ana = subsystem_->options().ana;
  if (page == log_page::kSupported) return supported_pages_page(discovery, ana);
  if (page == log_page::kFeatures) return supported_features_page(discovery);
  if (discovery) {
    if (page != log_page::kDiscovery) return std::nullopt;
    return discovery_.discovery_log(association_.host, association_.port);
  }
  switch (page) {
    case log_page::kErrors: return error_page();
    case log_page::kHealth: return health_page(subsystem_->health());
    case log_page::kFirmware: return firmware_page(subsystem_->options().firmware);
    case log_page::kEffects: return effects_page();
    case log_page::kChangedNamespaces:
      return changed_namespaces_page({changed_namespaces_.begin(), changed_namespaces_.end()});
    case log_page::kAna:
      if (!ana) return std::nullopt;
      return store_ana_log(subsystem_->ana_states().all_changes(),
                           subsystem_->ana_groups(association_.port, host()),
                           (specific & kAnaGroupsOnly) != 0);
    case log_page::kReservation: return next_notification();
    default: return std::nullopt;
  }
}

LogPage Controller::next_notification() const {
  if (notifications_.empty()) return store_notification({});
  ReservationNotification next = notifications_.front();
  next.more = static_cast<std::uint8_t>(notifications_.size() - 1);
  return store_notification(next);
}

// What a read without RAE does besides answering.
void Controller::log_was_read(std::uint8_t page) {
  switch (page) {
    case log_page::kChangedNamespaces:
      changed_namespaces_.clear();
      return read_event(Event::kNamespace);
    case log_page::kAna: return read_event(Event::kAna);
    case log_page::kReservation: return drop_notification();
    case log_page::kDiscovery: return acknowledge(Event::kDiscovery);
    default: return;
  }
}

void Controller::read_event(Event event) {
  // What happened since the event was told is in this page.
  events_[static_cast<std::size_t>(event)].raised = false;
  acknowledge(event);
}

void Controller::drop_notification() {
  if (!notifications_.empty()) notifications_.pop_front();
  read_event(Event::kReservation);
  if (!notifications_.empty()) raise(Event::kReservation);  // there is another one to read
}

// --- features ------------------------------------------------------------------------------------

Status Controller::set_features(Request& request) {
  const std::uint32_t selector = request.command.dword(10), value = request.command.dword(11);
  const auto id = static_cast<std::uint8_t>(selector);
  if ((selector & kSave) != 0) return status::kFeatureNotSaveable;
  switch (id) {
    case feature::kAsyncEvents:
      event_mask_ = value & supported_events(subsystem_->options());
      deliver();
      return status::kSuccess;
    case feature::kKeepAlive:
      if (value == 0) return status::kKeepAliveInvalid;
      association_.keep_alive_ms = round_keep_alive(value, subsystem_->discovery());
      keep_alive();
      return status::kSuccess;
    case feature::kReservationMask:
      if (subsystem_->discovery()) return status::kInvalidField;
      return set_reservation_mask(request.command.nsid(), value);
    default:
      return subsystem_->discovery() ? status::kInvalidField : set_io_feature(request, id, value);
  }
}

Status Controller::set_reservation_mask(std::uint32_t nsid, std::uint32_t value) {
  if (nsid != kBroadcastNamespace) {
    if (!find_namespace(nsid)) return status::kInvalidNamespace;
    notification_masks_[nsid] = value & kNoticeMask;
    return status::kSuccess;
  }
  for (const auto& [each, space] : subsystem_->namespaces()) {
    notification_masks_[each] = value & kNoticeMask;
  }
  return status::kSuccess;
}

bool Controller::takes_time(const Command& command) {
  if (command.fused() != 0) return false;
  if (command.opcode() == opcode::kAbort) return true;
  const bool feature =
      command.opcode() == opcode::kSetFeatures || command.opcode() == opcode::kGetFeatures;
  return feature &&
         static_cast<std::uint8_t>(command.dword(10)) == feature::kReservationPersistence;
}

core::Task<Status> Controller::run_slowly(Request& request) {
  const Command& command = request.command;
  if (!enabled()) co_return status::kCommandSequence;
  if (command.opcode() == opcode::kAbort) co_return co_await abort(request);
  co_return co_await reservation_persistence(request);
}

// It is kept in the file of the reservation, which may not have been read yet.
core::Task<Status> Controller::reservation_persistence(Request& request) {
  const Command& command = request.command;
  const bool set = command.opcode() == opcode::kSetFeatures;
  if (set && (command.dword(10) & kSave) != 0) co_return status::kFeatureNotSaveable;
  if (subsystem_->discovery()) co_return status::kInvalidField;
  const Namespace* space = find_namespace(command.nsid());
  if (!space) co_return status::kInvalidNamespace;
  const auto reservations = space->reservations;
  if (set && !reservations->durable()) co_return status::kInvalidField;
  if (const auto loaded = co_await reservations->load(); !loaded) {
    co_return status::kNamespaceNotReady;
  }
  if (!set) {
    request.dword0 = reservations->state().persistent ? 1 : 0;
    co_return status::kSuccess;
  }
  const auto turn = co_await reservations->turn().lock();
  Reservations wanted = reservations->state();
  wanted.persistent = (command.dword(11) & 1) != 0;
  const auto committed = co_await reservations->commit(std::move(wanted));
  co_return committed ? status::kSuccess : status::kInternalError;
}

Status Controller::set_io_feature(Request& request, std::uint8_t id, std::uint32_t value) {
  switch (id) {
    case feature::kArbitration:
    case feature::kTemperature:
    case feature::kErrorRecovery:
    case feature::kWriteAtomicity: features_[id] = value; return status::kSuccess;
    case feature::kPower: return (value & 0x1F) == 0 ? status::kSuccess : status::kInvalidField;
    case feature::kWriteCache:
      return (value & 1) != 0 ? status::kSuccess : status::kFeatureNotChangeable;
    case feature::kQueues: {
      const std::uint32_t submission = value & 0xFFFF, completion = value >> 16;
      if (submission == 0xFFFF || completion == 0xFFFF) return status::kInvalidField;
      const std::uint32_t wanted = std::min(submission, completion) + 1;
      granted_queues_ = static_cast<std::uint16_t>(std::min(wanted, association_.sizes.io_queues));
      request.dword0 = (granted_queues_ - 1U) * 0x10001U;
      return status::kSuccess;
    }
    case feature::kInterruptCoalescing: return status::kFeatureNotChangeable;
    case feature::kHostBehavior: {
      if (request.length < kHostBehaviorBytes) return status::kInvalidField;
      const std::uint8_t enabled = request.payload()[0];
      if (enabled > 1) return status::kInvalidField;
      retry_delays_on_ = enabled == 1;
      return status::kSuccess;
    }
    case feature::kHostId: return status::kFeatureSequence;
    default: return status::kInvalidField;
  }
}

Status Controller::get_features(Request& request) {
  switch (const auto id = static_cast<std::uint8_t>(request.command.dword(10))) {
    case feature::kAsyncEvents: request.dword0 = event_mask_; return status::kSuccess;
    case feature::kKeepAlive: request.dword0 = association_.keep_alive_ms; return status::kSuccess;
    case feature::kReservationMask:
      return subsystem_->discovery() ? status::kInvalidField : get_reservation_mask(request);
    default: return subsystem_->discovery() ? status::kInvalidField : get_io_feature(request, id);
  }
}

Status Controller::get_reservation_mask(Request& request) const {
  const std::uint32_t nsid = request.command.nsid();
  if (!find_namespace(nsid)) return status::kInvalidNamespace;
  const auto mask = notification_masks_.find(nsid);
  request.dword0 = mask == notification_masks_.end() ? 0 : mask->second;
  return status::kSuccess;
}

Status Controller::get_io_feature(Request& request, std::uint8_t id) {
  switch (id) {
    case feature::kArbitration:
    case feature::kTemperature:
    case feature::kErrorRecovery:
    case feature::kWriteAtomicity: request.dword0 = features_[id]; return status::kSuccess;
    case feature::kPower:
    case feature::kInterruptCoalescing: return status::kSuccess;
    case feature::kInterruptVector:
      request.dword0 = request.command.dword(11) & 0xFFFF;
      return status::kSuccess;
    case feature::kWriteCache: request.dword0 = 1; return status::kSuccess;
    case feature::kQueues:
      request.dword0 = (granted_queues_ - 1U) * 0x10001U;
      return status::kSuccess;
    case feature::kHostBehavior: {
      if (request.command.data_length() < kHostBehaviorBytes) return status::kInvalidField;
      const std::uint8_t enabled = retry_delays_on_ ? 1 : 0;
      request.reply(kHostBehaviorBytes, {&enabled, 1});
      return status::kSuccess;
    }
    case feature::kHostId: {
      const bool extended = (request.command.dword(11) & 1) != 0;
      if (!extended || request.command.data_length() < association_.host_id.size()) {
        return status::kInvalidField;
      }
      request.reply(static_cast<std::uint32_t>(association_.host_id.size()), association_.host_id);
      return status::kSuccess;
    }
    default: return status::kInvalidField;
  }
}

// --- Abort ---------------------------------------------------------------------------------------

core::Task<Status> Controller::abort(Request& request) {
  const std::uint32_t which = request.command.dword(10);
  const auto queue = queues_.find(static_cast<std::uint16_t>(which));
  const bool aborted = queue != queues_.end() &&
                       co_await queue->second->abort(static_cast<std::uint16_t>(which >> 16));
  request.dword0 = aborted ? 0 : 1;
  co_return status::kSuccess;
}

}  // namespace capstan::storage::nvme
