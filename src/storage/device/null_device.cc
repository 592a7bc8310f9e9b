// Why this file exists: see null_device.h.
#include "storage/device/null_device.h"

#include <cerrno>
#include <cstring>

#include "storage/device/io_timer.h"

namespace capstan::storage {

Result<void> NullDevice::resize(std::uint64_t num_blocks) {
  if (num_blocks == 0) {
    return fail(Code::kInvalidArgument, "device '" + name_ + "': a size of 0 blocks", EINVAL);
  }
  if (claimed() && num_blocks < num_blocks_) {
    return fail(Code::kFailedPrecondition,
                "device '" + name_ + "' is in use by " + claimed_by() + " and cannot shrink",
                EBUSY);
  }
  num_blocks_ = num_blocks;
  return {};
}

core::Task<Result<void>> NullDevice::read(std::uint64_t offset, MutableBytes into) {
  CO_TRY(check_range(offset, into.size()));
  const IoTimer timer;
  if (!into.empty()) std::memset(into.data(), 0, into.size());
  timer.done(stats().read, into.size());
  co_return {};
}

core::Task<Result<void>> NullDevice::write(std::uint64_t offset, ByteView from) {
  CO_TRY(check_range(offset, from.size()));
  IoTimer().done(stats().write, from.size());
  co_return {};
}

core::Task<Result<void>> NullDevice::flush() {
  co_return check_range(0, 0);
}

core::Task<Result<void>> NullDevice::unmap(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  IoTimer().done(stats().unmap, length);
  co_return {};
}

core::Task<Result<void>> NullDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  IoTimer().done(stats().write, length);
  co_return {};
}

core::Task<Result<std::vector<Device::Extent>>> NullDevice::allocated(std::uint64_t offset,
                                                                      std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  co_return std::vector<Extent>{};
}

}  // namespace capstan::storage
