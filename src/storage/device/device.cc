// Why this file exists: what all devices share: the rules for ranges, the claim, the counters.
#include "storage/device/device.h"

#include <algorithm>
#include <cerrno>

namespace capstan::storage {

void IoStats::Kind::add(std::uint64_t op_bytes, std::uint64_t op_latency_ns) {
  min_latency_ns = ops == 0 ? op_latency_ns : std::min(min_latency_ns, op_latency_ns);
  max_latency_ns = std::max(max_latency_ns, op_latency_ns);
  ++ops;
  bytes += op_bytes;
  latency_ns += op_latency_ns;
}

core::Task<Result<std::vector<Device::Extent>>> Device::allocated(std::uint64_t offset,
                                                                  std::uint64_t length) {
  CO_TRY(check_range(offset, length));
  std::vector<Extent> all;
  if (length != 0) all.push_back({offset, length});
  co_return all;
}

Result<void> Device::claim(std::string owner) {
  if (owner_) {
    return fail(Code::kFailedPrecondition,
                "device '" + name() + "' is in use by " + *owner_ + "; it can serve only one user",
                EBUSY);
  }
  owner_ = std::move(owner);
  return {};
}

void Device::release() {
  owner_.reset();
}

Result<void> Device::check_range(std::uint64_t offset, std::uint64_t length) const {
  if (retired_) {
    return fail(Code::kUnavailable, "device '" + name() + "' was removed from the node", ENODEV);
  }
  const auto range = [&] {
    return "device '" + name() + "': " + std::to_string(length) + " bytes at " +
           std::to_string(offset);
  };
  if (offset % block_size() != 0 || length % block_size() != 0) {
    return fail(Code::kInvalidArgument,
                range() + " are not aligned to blocks of " + std::to_string(block_size()), EINVAL);
  }
  if (offset > size_bytes() || length > size_bytes() - offset) {
    return fail(Code::kOutOfRange,
                range() + " reach past its end at " + std::to_string(size_bytes()), EINVAL);
  }
  return {};
}

}  // namespace capstan::storage
