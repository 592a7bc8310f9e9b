// Why this file exists: Read and Write on devices that are memory. They have nothing to wait for,
// so a connection runs them while it reads commands, without a coroutine. Data moves once between
// the device and the buffer that meets the socket, and long data of a read not at all where sending
// it from the device pays. Everything else about such a command is as for any other: the same
// checks, order, counters and answers.
#include "storage/nvme/connection.h"
#include "storage/nvme/io_commands.h"
#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

namespace {

struct InstantIo {
  Device& device;  // until something suspends
  bool write;
  std::uint64_t offset;
  std::uint32_t bytes;
};

// Nothing unless the command is a Read or Write of memory and passes all checks, nobody holds up
// the subsystem or the controller, and the state of the reservation is known.
std::optional<InstantIo> find_io_at_once(Controller& controller, const Command& command) {
  const bool read = command.opcode() == opcode::kRead, write = command.opcode() == opcode::kWrite;
  if ((!read && !write) || command.fused() != 0) return std::nullopt;
  Subsystem& subsystem = controller.subsystem();
  const Namespace* space = controller.find_namespace(command.nsid());
  if (!space || !space->device->in_memory() || !space->reservations->loaded()) return std::nullopt;
  // Nothing suspends between here and the end of the command: that the locks are free is enough.
  if (!subsystem.gate().try_lock_shared() || !controller.io_gate().try_lock_shared() ||
      subsystem.has_leftovers(controller.association().host_id)) {
    return std::nullopt;
  }
  IoNeeds needs;
  if (!check_io(controller, command, needs).ok()) return std::nullopt;
  Device& device = *space->device;
  const bool flush = write && (command.dword(12) & kForceUnitAccess) != 0;
  if (flush && device.volatile_cache()) return std::nullopt;
  return InstantIo{device, write, command.first_block() * device.block_size(),
                   write ? needs.to_controller : needs.to_host};
}

}  // namespace

bool Connection::run_at_once(Request& request) {
  // Devices are used from their core only, and a half of a pair that waits has to hear of this.
  if (away_ || !controller_ || queue_ == 0 || !work_.free_to_run()) return false;
  if (request.bad_digest || terminating_ || output_.gone()) return false;
  const auto io = find_io_at_once(*controller_, request.command);
  if (!io) return false;
  Health& health = controller_->subsystem().health();
  if (!io->write) {
    if (!read_at_once(request, io->device, io->offset, io->bytes)) return false;
    ++health.reads;
    health.read_bytes += io->bytes;
  } else {
    const ByteView data = request.content();
    if (data.size() < io->bytes || !io->device.write_now(io->offset, data.first(io->bytes))) {
      return false;
    }
    ++health.writes;
    health.written_bytes += io->bytes;
    complete(request, status::kSuccess);
  }
  worked_ += io->bytes;
  return true;
}

bool Connection::read_at_once(Request& request, Device& device, std::uint64_t offset,
                              std::uint32_t bytes) {
  if (bytes > limits::kOutputJoinBytes) {
    if (!work_.take_memory(request, bytes)) return false;
    bool read = request.borrow(device, offset, bytes);
    if (!read) {
      request.allocate(bytes);
      read = device.read_now(offset, request.payload());
    }
    if (read) {
      complete(request, status::kSuccess);
    } else {
      request.share.reset();
      request.length = 0;
    }
    return read;
  }
  const DataFrame frame = frame_of(request, bytes);
  std::uint8_t* to = output_.append(frame.total());
  if (!device.read_now(offset, MutableBytes(to + frame.header, frame.data))) {
    output_.take_back(frame.total());
    return false;
  }
  close_frame(to, frame, completion_of(request, status::kSuccess));
  release(request);
  return true;
}

}  // namespace capstan::storage::nvme
