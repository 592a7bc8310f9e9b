// Why this file exists: see reservations.h.
#include "storage/nvme/reservations.h"

#include <algorithm>
#include <utility>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

using Outcome = ReservationOutcome;
using Registrant = Reservations::Registrant;
using Type = ReservationType;
using Notice = ReservationNotice;
namespace action = reservation_action;

Outcome answer(const Status& status) {
  Outcome out;
  out.status = status;
  return out;
}

bool known_type(std::uint8_t type) {
  return type >= 1 && type <= static_cast<std::uint8_t>(Type::kExclusiveAccessAll);
}

void tell_others(const Reservations& state, const HostId& host, Notice notice, Outcome& out) {
  for (const auto& each : state.registrants) {
    if (each.host != host) out.told.push_back({each.host, notice});
  }
}

// Whether registrants other than the holder have a use for knowing that it is released.
bool others_care(Type type) {
  return type >= Type::kWriteExclusiveRegistrants;
}

void end_reservation(Reservations& state) {
  state.type = Type::kNone;
  state.holder = {};
}

void take(Reservations& state, const HostId& host, std::uint8_t type) {
  state.type = static_cast<Type>(type);
  state.holder = host;
}

// `former` was the holder's type and has come to an end, or to another type, without the others.
void tell_released(const Reservations& state, const HostId& host, Type former, Outcome& out) {
  if (former != Type::kNone && state.type != former) {
    tell_others(state, host, Notice::kReservationReleased, out);
  }
}

// The registrants that `chosen` picks go; they are told, except `host` itself.
template <class Chosen>
std::size_t preempt_registrants(Reservations& state, const HostId& host, Chosen chosen,
                                Outcome& out) {
  std::vector<Registrant> kept;
  std::size_t gone = 0;
  for (const auto& each : state.registrants) {
    if (!chosen(each)) {
      kept.push_back(each);
      continue;
    }
    ++gone;
    if (each.host == host) continue;
    out.told.push_back({each.host, Notice::kRegistrationPreempted});
    out.fenced.push_back(each.host);
  }
  state.registrants = std::move(kept);
  if (!state.held() || state.find(state.holder)) return gone;
  // The holder has gone: another one may stand for all, or nobody holds it any more.
  if (state.all_registrants() && !state.registrants.empty()) {
    state.holder = state.registrants.front().host;
  } else {
    end_reservation(state);
  }
  return gone;
}

Outcome preempt(Reservations& state, const HostId& host, const ReservationCommand& command) {
  Outcome out;
  const Type former = state.type;
  const std::uint64_t key = command.new_key;
  const auto with_key = [key](const Registrant& each) { return each.key == key; };
  const auto others_with_key = [&](const Registrant& each) {
    return each.key == key && each.host != host;
  };
  if (!state.held()) {
    preempt_registrants(state, host, with_key, out);
  } else if (state.all_registrants() && key == 0) {
    preempt_registrants(
        state, host, [&](const Registrant& each) { return each.host != host; }, out);
    take(state, host, command.type);
  } else if (state.all_registrants()) {
    if (preempt_registrants(state, host, with_key, out) == 0) {
      return answer(status::kReservationConflict);
    }
  } else if (key == 0) {
    return answer(status::kReservationConflict);
  } else if (state.find(state.holder)->key == key) {
    // A holder that preempts itself only changes the type.
    if (state.holder != host) preempt_registrants(state, host, others_with_key, out);
    take(state, host, command.type);
  } else if (preempt_registrants(state, host, with_key, out) == 0) {
    return answer(status::kReservationConflict);
  }
  tell_released(state, host, former, out);
  ++state.generation;
  if (command.action != action::kPreemptAndAbort) out.fenced.clear();
  return out;
}

Outcome add(Reservations& state, const HostId& host, std::uint64_t key) {
  if (key == 0) return answer(status::kInvalidField);
  if (state.registrants.size() >= limits::kRegistrants) return answer(status::kInternalError);
  state.registrants.push_back({host, key});
  ++state.generation;
  return {};
}

Outcome unregister(Reservations& state, const HostId& host) {
  Outcome out;
  const Type former = state.type;
  const bool held = state.held() && state.holder == host;
  std::erase_if(state.registrants, [&](const Registrant& each) { return each.host == host; });
  ++state.generation;
  if (!held) return out;
  if (state.all_registrants() && !state.registrants.empty()) {
    state.holder = state.registrants.front().host;
    return out;
  }
  end_reservation(state);
  if (others_care(former)) tell_others(state, host, Notice::kReservationReleased, out);
  return out;
}

Outcome change_registration(Reservations& state, const HostId& host,
                            const ReservationCommand& command) {
  const Registrant* mine = state.find(host);
  switch (command.action) {
    case action::kRegister:
      if (!mine) return add(state, host, command.new_key);
      return answer(mine->key == command.new_key ? status::kSuccess : status::kReservationConflict);
    case action::kUnregister:
      if (!mine || (mine->key != command.key && !command.ignore_key)) {
        return answer(status::kReservationConflict);
      }
      return unregister(state, host);
    case action::kReplace:
      if (command.new_key == 0) return answer(status::kInvalidField);
      if (!mine && command.ignore_key) return add(state, host, command.new_key);
      if (!mine || (mine->key != command.key && !command.ignore_key)) {
        return answer(status::kReservationConflict);
      }
      std::ranges::find(state.registrants, host, &Registrant::host)->key = command.new_key;
      ++state.generation;
      return {};
    default: return answer(status::kInvalidField);
  }
}

}  // namespace

const Registrant* Reservations::find(const HostId& host) const {
  const auto found = std::ranges::find(registrants, host, &Registrant::host);
  return found == registrants.end() ? nullptr : &*found;
}

bool Reservations::holds(const HostId& host) const {
  if (!held()) return false;
  return all_registrants() ? find(host) != nullptr : holder == host;
}

bool Reservations::allows(const HostId& host, Access access) const {
  if (!held() || holds(host)) return true;
  switch (type) {
    case Type::kWriteExclusive: return access == Access::kRead;
    case Type::kExclusiveAccess: return false;
    case Type::kWriteExclusiveRegistrants: return access == Access::kRead || find(host);
    case Type::kExclusiveAccessRegistrants: return find(host) != nullptr;
    case Type::kWriteExclusiveAll: return access == Access::kRead;  // not registered
    default: return false;
  }
}

ReservationOutcome register_key(Reservations& state, const HostId& host,
                                const ReservationCommand& command, bool durable) {
  if (command.persist == 1 || (command.persist == 3 && !durable)) {
    return answer(status::kInvalidField);
  }
  Reservations wanted = state;
  if (command.persist != 0) wanted.persistent = command.persist == 3;
  Outcome out = change_registration(wanted, host, command);
  if (out.status.ok()) state = std::move(wanted);
  return out;
}

ReservationOutcome acquire(Reservations& state, const HostId& host,
                           const ReservationCommand& command) {
  const Registrant* mine = state.find(host);
  if (state.held() && !state.holds(host) && (command.action == action::kAcquire || !mine)) {
    return answer(status::kReservationConflict);
  }
  if (command.ignore_key || !known_type(command.type) ||
      command.action > action::kPreemptAndAbort) {
    return answer(status::kInvalidField);
  }
  if (!mine || mine->key != command.key) return answer(status::kReservationConflict);
  if (command.action != action::kAcquire) return preempt(state, host, command);
  if (state.held()) {
    return answer(static_cast<std::uint8_t>(state.type) == command.type
                      ? status::kSuccess
                      : status::kReservationConflict);
  }
  take(state, host, command.type);
  ++state.generation;
  return {};
}

ReservationOutcome release(Reservations& state, const HostId& host,
                           const ReservationCommand& command) {
  const Registrant* mine = state.find(host);
  if (state.held() && !mine) return answer(status::kReservationConflict);
  if (command.ignore_key || command.action > action::kClear) return answer(status::kInvalidField);
  if (!mine || mine->key != command.key) return answer(status::kReservationConflict);
  Outcome out;
  if (command.action == action::kClear) {
    tell_others(state, host, Notice::kReservationPreempted, out);
    state.registrants.clear();
    end_reservation(state);
    ++state.generation;
    return out;
  }
  if (!state.holds(host)) return out;
  if (static_cast<std::uint8_t>(state.type) != command.type) return answer(status::kInvalidField);
  if (others_care(state.type)) tell_others(state, host, Notice::kReservationReleased, out);
  end_reservation(state);
  ++state.generation;
  return out;
}

}  // namespace capstan::storage::nvme
