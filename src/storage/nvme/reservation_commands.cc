// Why this file exists: the reservation commands of I/O queues (nvme-tcp section 15): what they
// need, and what they do to the namespace's ReservationSet and to the controllers of other hosts.
#include <algorithm>

#include "storage/nvme/io_commands.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::uint32_t kExtended = 1;  // EDS of Report: entries have 128-bit host identifiers

// In the order of the registrants: one controller of each that has any.
std::vector<std::uint16_t> controllers_of(const Subsystem& subsystem, const Reservations& state) {
  std::vector<std::uint16_t> out;
  for (const auto& registrant : state.registrants) {
    const auto found = std::ranges::find_if(subsystem.controllers(), [&](const auto& entry) {
      return entry.second->association().host_id == registrant.host;
    });
    out.push_back(found == subsystem.controllers().end() ? kAnyController : found->first);
  }
  return out;
}

Status report(const Controller& controller, const Reservations& state, Request& request) {
  const auto content =
      store_reservation_status(state, controllers_of(controller.subsystem(), state));
  request.reply(request.length, content);
  return status::kSuccess;
}

ReservationOutcome apply(Reservations& state, const HostId& host, const Command& command,
                         ByteView data, bool durable) {
  const ReservationCommand values = load_reservation(command, data);
  switch (command.opcode()) {
    case opcode::kReservationRegister: return register_key(state, host, values, durable);
    case opcode::kReservationAcquire: return acquire(state, host, values);
    default: return release(state, host, values);
  }
}

std::vector<std::shared_ptr<Controller>> controllers_of_host(const Subsystem& subsystem,
                                                             const HostId& host) {
  std::vector<std::shared_ptr<Controller>> out;
  for (const auto& [id, controller] : subsystem.controllers()) {
    if (controller->association().host_id == host) out.push_back(controller);
  }
  return out;
}

}  // namespace

bool is_reservation(const Command& command) {
  return command.opcode() == opcode::kReservationReport ||
         reservation_data_bytes(command.opcode()) != 0;
}

Status check_reservation(const Command& command, IoNeeds& needs) {
  if (command.opcode() != opcode::kReservationReport) {
    needs.to_controller = reservation_data_bytes(command.opcode());
    return needs.to_controller <= command.data_length() ? status::kSuccess : status::kInvalidField;
  }
  const std::uint64_t bytes = (std::uint64_t{command.dword(10)} + 1) * 4;
  if (bytes > command.data_length()) return status::kInvalidField;
  needs.to_host = static_cast<std::uint32_t>(bytes);
  if ((command.dword(11) & kExtended) == 0) return status::kHostIdFormat;
  return bytes >= kReservationStatusBytes ? status::kSuccess : status::kInvalidField;
}

core::Task<Status> run_reservation(Controller& controller, Request& request) {
  const Subsystem& subsystem = controller.subsystem();
  const std::uint32_t nsid = request.command.nsid();
  const auto reservations = subsystem.find_namespace(nsid)->reservations;
  if (request.command.opcode() == opcode::kReservationReport) {
    co_return report(controller, reservations->state(), request);
  }
  ReservationOutcome outcome;
  {
    const auto turn = co_await reservations->turn().lock();
    Reservations wanted = reservations->state();
    outcome = apply(wanted, controller.association().host_id, request.command, request.payload(),
                    reservations->durable());
    if (!outcome.status.ok()) co_return outcome.status;
    if (wanted != reservations->state()) {
      const auto committed = co_await reservations->commit(std::move(wanted));
      if (!committed) {
        controller.complain("reservation_not_stored", committed.error());
        co_return status::kInternalError;
      }
    }
  }
  for (const auto& told : outcome.told) {
    for (const auto& other : controllers_of_host(subsystem, told.host)) {
      other->notify(nsid, told.notice);
    }
  }
  // From now on their commands conflict; what began before has to end.
  for (const auto& host : outcome.fenced) {
    for (const auto& other : controllers_of_host(subsystem, host)) {
      const auto quiet = co_await other->io_gate().lock();
    }
  }
  co_return outcome.status;
}

}  // namespace capstan::storage::nvme
