// Why this file exists: the commands of I/O queues: Read, Write, Flush, Compare, Write Zeroes,
// Dataset Management and the four of reservations, as checks that need no data and as work on a
// Device. A connection brings the data and the memory. Source: nvme-tcp sections 13 to 15.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "core/task.h"
#include "storage/nvme/controller.h"
#include "storage/nvme/request.h"
#include "storage/nvme/subsystem.h"

namespace capstan::storage::nvme {

// Data that a command moves, in bytes; the host may offer room for more.
struct IoNeeds {
  std::uint32_t to_controller = 0, to_host = 0;
};
// Everything about a command that can be said before its data is there: namespace, path,
// reservation, range, in this order.
Status check_io(const Controller& controller, const Command& command, IoNeeds& needs);

// Runs it. The subsystem's gate is held, and what comes from the host is in the request's payload;
// data for the host is put there. `controller` and `request` live until this returns.
core::Task<Status> run_io(Controller& controller, Request& request);

// Compare and Write as one, which nothing of the subsystem runs beside: its gate is held alone. The
// answers of both.
struct FusedStatus {
  Status compare, write;
};
// Whether two fused commands belong together and may run; everything that needs no data.
FusedStatus check_fused(const Controller& controller, const Command& first, const Command& second);
core::Task<FusedStatus> run_fused(Controller& controller, Request& first, Request& second);

// Whether it may leave other data on the device than was there.
bool changes_data(const Command& command);

// The same for a reservation command whose namespace and path are good (reservation_commands.cc).
bool is_reservation(const Command& command);
Status check_reservation(const Command& command, IoNeeds& needs);
core::Task<Status> run_reservation(Controller& controller, Request& request);

// What a failure of a device means to a host; `write`: the operation was to change something.
Status status_of(const Error& error, bool write);

}  // namespace capstan::storage::nvme
