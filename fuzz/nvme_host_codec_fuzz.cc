// Why this file exists: structures that a target sends to a host, under any bytes: reading stays
// within the page and what is answered is within its bounds.
#include <algorithm>
#include <vector>

#include "base/assert.h"
#include "storage/nvme/identify.h"
#include "storage/nvme/log_pages.h"
#include "storage/nvme/nvme_host_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace capstan::storage::nvme;
  std::vector<std::uint8_t> page(kIdentifyBytes);
  std::copy_n(data, std::min(size, page.size()), page.begin());
  const ControllerData controller = load_controller_data(page.data());
  CAPSTAN_ASSERT(controller.serial.size() <= 20 && controller.subsystem.size() <= kNqnBytes);
  const NamespaceData space = load_namespace_data(page.data());
  CAPSTAN_ASSERT(space.block_bytes == 0 ||
                 (space.block_bytes >= 512 && space.block_bytes <= 65536));
  static_cast<void>(load_namespace_ids(page.data()));
  const auto ids = load_namespace_list(page.data());
  CAPSTAN_ASSERT(ids.size() <= kIdentifyBytes / 4 && std::ranges::is_sorted(ids));
  static_cast<void>(load_command_set_limits(page.data()));
  static_cast<void>(load_discovery_records(capstan::ByteView(data, size)));
  if (size >= kCompletionBytes) static_cast<void>(status_text(load_completion(data).status));
  return 0;
}
