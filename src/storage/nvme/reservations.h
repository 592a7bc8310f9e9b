// Why this file exists: the reservation of one namespace as a value: who is registered with which
// key, who holds it, and what each command changes. No I/O and no time, so that a change can be
// tried on a copy, made durable and only then take effect (reservation_set.h).
//
// Hosts are told apart by their 128-bit identifier alone. With the two types "all registrants" each
// of them holds the reservation; `holder` is then the one of record.
// Invariants: a holder is registered; there is a holder exactly when there is a type.
// Source: nvme-tcp section 15.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

enum class ReservationType : std::uint8_t {
  kNone = 0,
  kWriteExclusive = 1,
  kExclusiveAccess = 2,
  kWriteExclusiveRegistrants = 3,
  kExclusiveAccessRegistrants = 4,
  kWriteExclusiveAll = 5,
  kExclusiveAccessAll = 6,
};

// What a host is told about a change that others made; the values are those of the log page.
enum class ReservationNotice : std::uint8_t {
  kRegistrationPreempted = 1,
  kReservationReleased = 2,
  kReservationPreempted = 3,
};

// What a command does to the blocks, as far as reservations care.
enum class Access : std::uint8_t { kRead, kWrite };

struct Reservations {
  struct Registrant {
    HostId host{};
    std::uint64_t key = 0;
    bool operator==(const Registrant&) const = default;
  };
  std::vector<Registrant> registrants;  // in the order in which they came
  ReservationType type = ReservationType::kNone;
  HostId holder{};               // when there is a type
  bool persistent = false;       // through power loss
  std::uint32_t generation = 0;  // counts changes
  bool operator==(const Reservations&) const = default;

  bool held() const { return type != ReservationType::kNone; }
  bool all_registrants() const { return type >= ReservationType::kWriteExclusiveAll; }
  const Registrant* find(const HostId& host) const;
  bool holds(const HostId& host) const;
  bool allows(const HostId& host, Access access) const;
};

// A reservation command with its data. `action`: RREGA, RACQA or RRELA.
struct ReservationCommand {
  std::uint8_t action = 0;
  bool ignore_key = false;    // IEKEY
  std::uint8_t persist = 0;   // CPTPL of Register: 0 no change, 2 clear, 3 set
  std::uint8_t type = 0;      // of Acquire and Release
  std::uint64_t key = 0;      // CRKEY
  std::uint64_t new_key = 0;  // NRKEY of Register, PRKEY of Acquire
};
namespace reservation_action {
inline constexpr std::uint8_t kRegister = 0, kUnregister = 1, kReplace = 2;
inline constexpr std::uint8_t kAcquire = 0, kPreempt = 1, kPreemptAndAbort = 2;
inline constexpr std::uint8_t kRelease = 0, kClear = 1;
}  // namespace reservation_action

struct ReservationOutcome {
  Status status;
  struct Told {
    HostId host{};
    ReservationNotice notice{};
    bool operator==(const Told&) const = default;
  };
  std::vector<Told> told;
  std::vector<HostId> fenced;  // whose running commands must end before the answer
};

// Each changes `state` only when the status is a success. `durable`: there is a place that survives
// power loss.
ReservationOutcome register_key(Reservations& state, const HostId& host,
                                const ReservationCommand& command, bool durable);
ReservationOutcome acquire(Reservations& state, const HostId& host,
                           const ReservationCommand& command);
ReservationOutcome release(Reservations& state, const HostId& host,
                           const ReservationCommand& command);

}  // namespace capstan::storage::nvme
