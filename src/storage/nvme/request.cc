// Why this file exists: see request.h.
#include "storage/nvme/request.h"

#include <algorithm>
#include <utility>

#include "storage/nvme/limits.h"

namespace capstan::storage::nvme {

void Request::allocate(std::uint32_t bytes) {
  // Short data is copied to the others that leave; long data leaves from where it is, between its
  // header and its completion, and still begins at an address that a disk takes.
  const bool long_one = bytes > limits::kOutputJoinBytes;
  data_at = long_one ? core::kBufferAlignment : 0;
  length = bytes;
  const std::size_t size = long_one ? data_at + bytes + core::kBufferAlignment : bytes;
  if (data.size() != size) data = core::Buffer(size);
}

void Request::own_data() {
  if (borrowed.empty()) return;
  const ByteView content = std::exchange(borrowed, {});
  allocate(static_cast<std::uint32_t>(content.size()));
  std::ranges::copy(content, payload().begin());
}

bool Request::borrow(Device& device, std::uint64_t offset, std::uint32_t bytes) {
  if (!may_borrow || bytes <= limits::kOutputJoinBytes) return false;
  if (!device.lend(offset, bytes, loans)) return false;
  length = bytes;
  return true;
}

void Request::reply(std::uint32_t bytes, ByteView content) {
  allocate(bytes);
  content = content.first(std::min<std::size_t>(content.size(), bytes));
  const auto end = std::ranges::copy(content, payload().begin()).out;
  std::fill(end, payload().end(), std::uint8_t{0});
}

}  // namespace capstan::storage::nvme
