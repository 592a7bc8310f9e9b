// Why this file exists: see initiator_device.h; this part makes commands of requests: as many as a
// request needs, several of them under way at a time.
#include <algorithm>
#include <cerrno>

#include "core/buffer.h"
#include "storage/device/io_timer.h"
#include "storage/nvme/initiator_device.h"
#include "storage/nvme/initiator_limits.h"
#include "storage/nvme/reservation_codec.h"

namespace capstan::storage::nvme {

namespace {

Command block_command(std::uint8_t code, std::uint64_t first, std::uint64_t blocks) {
  Command command;
  command.set(0, code);
  command.set(40, first);
  command.set(48, static_cast<std::uint16_t>(blocks - 1));
  return command;
}

constexpr std::size_t kZeroBytes = 1U << 20;

}  // namespace

// A request that needs several commands; workers take the next piece until none is left.
struct RemoteDevice::Split {
  std::uint8_t opcode = 0;
  std::uint64_t offset = 0;
  ByteView out;
  MutableBytes in;
  std::size_t size = 0, next = 0;
  std::optional<Error> error;  // the first one; the other pieces are left out then
};

core::Task<void> RemoteDevice::split_worker(Split* split) {
  while (!split->error && split->next < split->size) {
    const std::size_t at = split->next;
    const std::size_t step = std::min<std::size_t>(transfer_bytes_, split->size - at);
    split->next += step;
    Command command =
        block_command(split->opcode, (split->offset + at) >> block_shift_, step >> block_shift_);
    const auto done =
        co_await run(command, split->out.empty() ? ByteView() : split->out.subspan(at, step),
                     split->in.empty() ? MutableBytes() : split->in.subspan(at, step), true);
    if (!done && !split->error) split->error = done.error();
  }
}

core::Task<Result<void>> RemoteDevice::transfer(std::uint8_t code, std::uint64_t offset,
                                                ByteView out, MutableBytes in) {
  while (true) {
    const std::uint64_t life = reconnects();
    Split split{code, offset, out, in, std::max(out.size(), in.size()), 0, std::nullopt};
    const std::size_t pieces = (split.size + transfer_bytes_ - 1) / transfer_bytes_;
    core::Scope workers;
    for (std::size_t i = 0; i < std::min(pieces, limits::kHostSplitInFlight); ++i) {
      workers.spawn(split_worker(&split));
    }
    co_await workers.join();
    if (split.error) co_return std::unexpected(*std::move(split.error));
    if (code != opcode::kWrite || life == reconnects()) co_return {};
  }
}

std::uint64_t RemoteDevice::reconnects() const {
  std::uint64_t sum = 0;
  for (const auto& path : paths_) sum += path->reconnects();
  return sum;
}

core::Task<Result<void>> RemoteDevice::read(std::uint64_t offset, MutableBytes into) {
  CO_TRY(check_range(offset, into.size()));
  if (into.empty()) co_return {};
  const IoTimer timer;
  if (into.size() <= transfer_bytes_) {
    CO_TRY(co_await run(
        block_command(opcode::kRead, offset >> block_shift_, into.size() >> block_shift_), {}, into,
        true));
  } else {
    CO_TRY(co_await transfer(opcode::kRead, offset, {}, into));
  }
  timer.done(stats().read, into.size());
  co_return {};
}

core::Task<Result<void>> RemoteDevice::write(std::uint64_t offset, ByteView from) {
  CO_TRY(check_range(offset, from.size()));
  if (from.empty()) co_return {};
  const IoTimer timer;
  if (from.size() <= transfer_bytes_) {
    CO_TRY(co_await run(
        block_command(opcode::kWrite, offset >> block_shift_, from.size() >> block_shift_), from,
        {}, true));
  } else {
    CO_TRY(co_await transfer(opcode::kWrite, offset, from, {}));
  }
  timer.done(stats().write, from.size());
  co_return {};
}

core::Task<Result<void>> RemoteDevice::compare(std::uint64_t offset, ByteView with) {
  CO_TRY(check_range(offset, with.size()));
  if (with.empty()) co_return {};
  if (with.size() <= transfer_bytes_) {
    CO_TRY(co_await run(
        block_command(opcode::kCompare, offset >> block_shift_, with.size() >> block_shift_), with,
        {}, true));
    co_return {};
  }
  co_return co_await transfer(opcode::kCompare, offset, with, {});
}

core::Task<Result<void>> RemoteDevice::compare_and_write(std::uint64_t offset, ByteView expected,
                                                         ByteView data) {
  CAPSTAN_ASSERT(expected.size() == data.size());
  CO_TRY(check_range(offset, data.size()));
  if (data.empty()) co_return {};
  const bool fused = std::ranges::all_of(paths_, [](const auto& path) {
    return path->data().fused_compare && path->options().queue_entries > 2;
  });
  if (!fused || data.size() > transfer_bytes_) {
    co_return fail(Code::kUnimplemented,
                   "device '" + name_ + "' cannot compare and write " +
                       std::to_string(data.size()) + " bytes at once",
                   EOPNOTSUPP);
  }
  const std::uint64_t first = offset >> block_shift_, blocks = data.size() >> block_shift_;
  HostCall second;
  second.command = block_command(opcode::kWrite, first, blocks);
  second.out = data;
  CO_TRY(
      co_await run(block_command(opcode::kCompare, first, blocks), expected, {}, false, &second));
  co_return {};
}

core::Task<Result<void>> RemoteDevice::flush() {
  CO_TRY(check_range(0, 0));
  if (!cache_) co_return {};
  Command command;
  command.set(0, opcode::kFlush);
  CO_TRY(co_await run(command, {}, {}, true));
  co_return {};
}

// Write Zeroes and Dataset Management, in as many commands as it takes.
core::Task<Result<void>> RemoteDevice::ranged(std::uint8_t code, std::uint64_t offset,
                                              std::uint64_t length) {
  std::uint64_t first = offset >> block_shift_, left = length >> block_shift_;
  const bool unmap = code == opcode::kDatasetManagement;
  const std::uint64_t life = reconnects();
  while (left != 0) {
    const std::uint64_t step = std::min(left, unmap ? unmap_blocks_ : zeroes_blocks_);
    if (unmap) {
      Command command;
      command.set(0, code);
      command.set(44, kDsmDeallocate);
      std::array<std::uint8_t, kDsmRangeBytes> range{};
      store_le(range.data() + 4, static_cast<std::uint32_t>(step));
      store_le(range.data() + 8, first);
      CO_TRY(co_await run(command, range, {}, true));
    } else {
      Command command = block_command(code, first, step);
      if (zeroes_deallocate_) {
        command.set(48, static_cast<std::uint32_t>(step - 1) | kDeallocate);
      }
      CO_TRY(co_await run(command, {}, {}, true));
    }
    first += step;
    left -= step;
    if (left != 0 || unmap || life == reconnects()) continue;
    co_return co_await ranged(code, offset, length);
  }
  co_return {};
}

core::Task<Result<void>> RemoteDevice::unmap(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  if (!unmap_) {
    co_return fail(Code::kUnimplemented, "device '" + name_ + "' cannot unmap", EOPNOTSUPP);
  }
  if (length == 0) co_return {};
  const IoTimer timer;
  CO_TRY(co_await ranged(opcode::kDatasetManagement, offset, length));
  timer.done(stats().unmap, length);
  co_return {};
}

core::Task<Result<void>> RemoteDevice::write_zero_pieces(std::uint64_t offset,
                                                         std::uint64_t length) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(length, kZeroBytes));
  const auto zeros = core::Buffer::zeroed(size);
  while (length != 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(length, size));
    CO_TRY(co_await transfer(opcode::kWrite, offset, zeros.view().first(step), {}));
    offset += step;
    length -= step;
  }
  co_return {};
}

core::Task<Result<void>> RemoteDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  if (length == 0) co_return {};
  const IoTimer timer;
  if (zeroes_) {
    CO_TRY(co_await ranged(opcode::kWriteZeroes, offset, length));
  } else {
    CO_TRY(co_await write_zero_pieces(offset, length));
  }
  timer.done(stats().write, length);
  co_return {};
}

core::Task<Result<bool>> RemoteDevice::rescan() {
  CO_TRY(check_range(0, 0));
  const std::uint64_t before = num_blocks_;
  HostController* path = pick();
  if (!path) co_return no_path();
  CO_TRY(co_await path->rescan());
  co_return num_blocks_ != before;
}

// --- reservations --------------------------------------------------------------------------------

core::Task<Result<void>> RemoteDevice::reserve(std::uint8_t code, ReservationCommand reservation) {
  CO_TRY(check_range(0, 0));
  Command command;
  command.set(0, code);
  const auto data = store_reservation(command, reservation);
  CO_TRY(co_await run(command, data, {}, false));
  co_return {};
}

core::Task<Result<Reservations>> RemoteDevice::reservations() {
  CO_TRY(check_range(0, 0));
  std::vector<std::uint8_t> report(limits::kHostReportBytes);
  Command command;
  command.set(0, opcode::kReservationReport);
  command.set(40, static_cast<std::uint32_t>(report.size() / 4 - 1));
  command.set<std::uint32_t>(44, 1);  // with 128-bit host identifiers
  CO_TRY(co_await run(command, {}, report, true));
  co_return load_reservation_status(report);
}

}  // namespace capstan::storage::nvme
