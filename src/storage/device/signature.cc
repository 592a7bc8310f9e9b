// Why this file exists: see signature.h. The probing itself is core/os_probe.h.
#include "storage/device/signature.h"

#include <algorithm>

#include "core/buffer.h"
#include "core/os_probe.h"

namespace capstan::storage {
namespace {

// UDF's anchor, the furthest of the signatures in front, ends at 1 MiB + 4 KiB.
constexpr std::uint64_t kHeadBytes = 2U << 20;
constexpr std::uint64_t kTailBytes = 1U << 20;
constexpr std::string_view kPoolSignature = "SPDKBLOB";  // lvs-format section 3

}  // namespace

core::Task<Result<std::optional<std::string>>> foreign_signature(std::shared_ptr<Device> device) {
  const std::uint64_t size = device->size_bytes();
  if (size == 0) co_return std::optional<std::string>();
  core::Buffer head(static_cast<std::size_t>(std::min(size, kHeadBytes)));
  CO_TRY(co_await device->read(0, head.bytes()));
  if (as_text(head.view()).starts_with(kPoolSignature)) co_return std::optional<std::string>();
  core::Buffer tail(static_cast<std::size_t>(std::min(size, kTailBytes)));
  CO_TRY(co_await device->read(size - tail.size(), tail.bytes()));
  if (all_zero(head.view()) && all_zero(tail.view())) co_return std::optional<std::string>();

  co_return core::probe_signature(head.view(), tail.view(), size, device->block_size());
}

}  // namespace capstan::storage
