// Why this file exists: see io_commands.h.
#include "storage/nvme/io_commands.h"

#include <algorithm>
#include <cerrno>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

bool in_range(const Device& device, std::uint64_t first, std::uint64_t count) {
  const std::uint64_t blocks = device.num_blocks();
  return first <= blocks && count <= blocks - first;
}

// The blocks of the command exist and the host's buffer has room for them.
Status check_blocks(const Device& device, const Command& command, std::uint32_t& bytes) {
  if (!in_range(device, command.first_block(), command.blocks())) return status::kLbaOutOfRange;
  const std::uint64_t wanted = std::uint64_t{command.blocks()} * device.block_size();
  if (wanted > command.data_length()) return status::kDataLengthInvalid;
  bytes = static_cast<std::uint32_t>(wanted);
  return status::kSuccess;
}

// What does not change the blocks is a read.
Access access_of(const Command& command) {
  return command.opcode() == opcode::kRead || command.opcode() == opcode::kCompare ? Access::kRead
                                                                                   : Access::kWrite;
}

std::uint32_t dsm_bytes(const Command& command) {
  return static_cast<std::uint32_t>(((command.dword(10) & 0xFF) + 1) * kDsmRangeBytes);
}

core::Task<Status> compare(std::shared_ptr<Device> device, std::uint64_t offset, ByteView wanted) {
  core::Buffer found(wanted.size());
  if (auto read = co_await device->read(offset, found.bytes()); !read) {
    co_return status_of(read.error(), false);
  }
  co_return std::ranges::equal(found.view(), wanted) ? status::kSuccess : status::kCompareFailure;
}

core::Task<Status> write(std::shared_ptr<Device> device, std::uint64_t offset, ByteView data,
                         bool durable) {
  auto written = co_await device->write(offset, data);
  if (written && durable && device->volatile_cache()) written = co_await device->flush();
  co_return written ? status::kSuccess : status_of(written.error(), true);
}

// Reads of the range give zeros afterwards, so deallocating is left to the device's own zeroing.
core::Task<Status> write_zeroes(std::shared_ptr<Device> device, std::uint64_t offset,
                                std::uint64_t length, bool durable) {
  while (length != 0) {
    const std::uint64_t step = std::min(length, limits::kZeroesStepBytes);
    if (auto zeroed = co_await device->write_zeroes(offset, step); !zeroed) {
      co_return status_of(zeroed.error(), true);
    }
    offset += step;
    length -= step;
  }
  if (durable && device->volatile_cache()) {
    if (auto flushed = co_await device->flush(); !flushed) {
      co_return status_of(flushed.error(), true);
    }
  }
  co_return status::kSuccess;
}

core::Task<Status> deallocate(std::shared_ptr<Device> device, std::vector<DsmRange> ranges) {
  for (const auto& range : ranges) {
    const bool empty = range.blocks == 0;  // says nothing, wherever it is
    if (!empty && !in_range(*device, range.first_block, range.blocks))
      co_return status::kLbaOutOfRange;
  }
  if (!device->supports_unmap()) co_return status::kSuccess;  // a hint, and it cannot be taken
  for (const auto& range : ranges) {
    if (range.blocks == 0) continue;
    const std::uint64_t size = device->block_size();
    auto unmapped = co_await device->unmap(range.first_block * size, range.blocks * size);
    if (!unmapped) co_return status_of(unmapped.error(), true);
  }
  co_return status::kSuccess;
}

core::Task<Status> load_reservations(Controller& controller, const Command& command) {
  const Namespace* space = controller.find_namespace(command.nsid());
  if (!space || space->reservations->loaded()) co_return status::kSuccess;
  const auto reservations = space->reservations;
  if (const auto loaded = co_await reservations->load(); !loaded) {
    controller.complain("reservation_not_read", loaded.error());
    co_return status::kNamespaceNotReady;
  }
  co_return status::kSuccess;
}

}  // namespace

bool changes_data(const Command& command) {
  return command.opcode() == opcode::kWrite || command.opcode() == opcode::kWriteZeroes ||
         command.opcode() == opcode::kDatasetManagement;
}

Status check_io(const Controller& controller, const Command& command, IoNeeds& needs) {
  needs = {};
  const Namespace* space = controller.find_namespace(command.nsid());
  if (!space) return status::kInvalidNamespace;
  if (const Status path = controller.path_status(*space); !path.ok()) return path;
  if (is_reservation(command)) return check_reservation(command, needs);
  const auto& reservations = space->reservations->state();
  if (reservations.held() &&
      !reservations.allows(controller.association().host_id, access_of(command))) {
    return status::kReservationConflict;
  }
  const Device& device = *space->device;
  switch (command.opcode()) {
    case opcode::kFlush: return status::kSuccess;
    case opcode::kRead: return check_blocks(device, command, needs.to_host);
    case opcode::kWrite:
    case opcode::kCompare: return check_blocks(device, command, needs.to_controller);
    case opcode::kWriteZeroes:
      return in_range(device, command.first_block(), command.blocks()) ? status::kSuccess
                                                                       : status::kLbaOutOfRange;
    case opcode::kDatasetManagement:
      needs.to_controller = dsm_bytes(command);
      return needs.to_controller <= command.data_length() ? status::kSuccess
                                                          : status::kDataLengthInvalid;
    default: return status::kInvalidOpcode;
  }
}

FusedStatus check_fused(const Controller& controller, const Command& first, const Command& second) {
  const bool pair = first.opcode() == opcode::kCompare && second.opcode() == opcode::kWrite &&
                    first.nsid() == second.nsid() && first.first_block() == second.first_block() &&
                    first.blocks() == second.blocks();
  if (!pair) return {status::kInvalidField, status::kInvalidField};
  IoNeeds needs;
  if (const Status bad = check_io(controller, first, needs); !bad.ok()) {
    return {bad, status::kFusedFailed};
  }
  const Status bad = check_io(controller, second, needs);
  return {bad.ok() ? status::kSuccess : status::kFusedFailed, bad};
}

core::Task<FusedStatus> run_fused(Controller& controller, Request& first, Request& second) {
  const Status ready = co_await load_reservations(controller, first.command);
  if (!ready.ok()) co_return {ready, status::kFusedFailed};
  const auto checked = check_fused(controller, first.command, second.command);
  if (!checked.compare.ok() || !checked.write.ok()) co_return checked;
  const auto device = controller.find_namespace(first.command.nsid())->device;
  const std::uint64_t size = device->block_size(), offset = first.command.first_block() * size;
  const std::size_t bytes = first.command.blocks() * size;
  if (bytes > first.length || bytes > second.length) {
    co_return {status::kDataLengthInvalid, status::kDataLengthInvalid};
  }
  const Status compared = co_await compare(device, offset, first.payload().first(bytes));
  if (!compared.ok()) co_return {compared, status::kFusedFailed};
  Health& health = controller.subsystem().health();
  ++health.writes;
  health.written_bytes += bytes;
  const bool durable = (second.command.dword(12) & kForceUnitAccess) != 0;
  co_return {compared, co_await write(device, offset, second.payload().first(bytes), durable)};
}

core::Task<Status> run_io(Controller& controller, Request& request) {
  const Command& command = request.command;
  Subsystem& subsystem = controller.subsystem();
  if (const Status ready = co_await load_reservations(controller, command); !ready.ok()) {
    co_return ready;
  }
  // A reservation command waits for the others of its kind, but not for I/O of its own host.
  core::SharedMutex::Guard running;
  if (!is_reservation(command)) running = co_await controller.io_gate().lock_shared();
  // What was there when the command came may have gone since.
  IoNeeds needs;
  if (const Status checked = check_io(controller, command, needs); !checked.ok()) co_return checked;
  if (needs.to_controller > request.length) co_return status::kDataLengthInvalid;
  if (is_reservation(command)) co_return co_await run_reservation(controller, request);
  const auto device = controller.find_namespace(command.nsid())->device;
  const std::uint64_t size = device->block_size(), offset = command.first_block() * size;
  const bool durable = (command.dword(12) & kForceUnitAccess) != 0;
  Health& health = subsystem.health();
  const ByteView data =
      needs.to_controller == 0 ? ByteView() : request.payload().first(needs.to_controller);
  switch (command.opcode()) {
    case opcode::kFlush: {
      const auto flushed = co_await device->flush();
      co_return flushed ? status::kSuccess : status_of(flushed.error(), true);
    }
    case opcode::kRead: {
      if (needs.to_host != request.length) co_return status::kDataLengthInvalid;
      ++health.reads;
      health.read_bytes += needs.to_host;
      if (request.borrow(*device, offset, needs.to_host)) co_return status::kSuccess;
      request.allocate(request.length);
      const auto read = co_await device->read(offset, request.payload());
      co_return read ? status::kSuccess : status_of(read.error(), false);
    }
    case opcode::kWrite:
      ++health.writes;
      health.written_bytes += data.size();
      co_return co_await write(device, offset, data, durable);
    case opcode::kCompare: co_return co_await compare(device, offset, data);
    case opcode::kWriteZeroes:
      co_return co_await write_zeroes(device, offset, command.blocks() * size, durable);
    case opcode::kDatasetManagement:
      if ((command.dword(11) & kDsmDeallocate) == 0) co_return status::kSuccess;
      co_return co_await deallocate(device, load_dsm_ranges(data));
    default: co_return status::kInvalidOpcode;
  }
}

Status status_of(const Error& error, bool write) {
  if (error.sys_errno == ENOSPC || error.code == Code::kResourceExhausted) {
    return status::kCapacityExceeded;
  }
  switch (error.code) {
    case Code::kOutOfRange: return status::kLbaOutOfRange;
    case Code::kUnavailable: return status::kNamespaceNotReady;
    case Code::kInvalidArgument: return status::kInvalidField;
    default: return write ? status::kWriteFault : status::kReadError;
  }
}

}  // namespace capstan::storage::nvme
