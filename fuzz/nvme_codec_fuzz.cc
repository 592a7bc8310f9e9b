// Why this file exists: NVMe commands, completions and their data under any bytes: names stay
// within their fields, and what is read and written again is what it was.
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "storage/nvme/log_pages.h"
#include "storage/nvme/nvme_codec.h"

namespace {

using namespace capstan;
using namespace capstan::storage::nvme;

void command(const std::uint8_t* from) {
  const Command read = Command::load(from);
  Command written = read;
  store_connect(written, load_connect(read));
  CAPSTAN_ASSERT(written.bytes == read.bytes);
  CAPSTAN_ASSERT(read.blocks() >= 1 && read.blocks() <= 65536);
}

void connect_data(const std::uint8_t* from) {
  const ConnectData data = load_connect_data(from);
  if (!data.subsystem || !data.host) return;
  CAPSTAN_ASSERT(data.subsystem->size() < kNqnBytes && data.host->size() < kNqnBytes);
  CAPSTAN_ASSERT(!valid_nqn(*data.subsystem) || data.subsystem->size() <= kNqnBytesMax);
  std::array<std::uint8_t, kConnectDataBytes> out;
  store_connect_data(out.data(), data);
  const ConnectData again = load_connect_data(out.data());
  CAPSTAN_ASSERT(again.host_id == data.host_id && again.controller == data.controller);
  CAPSTAN_ASSERT(again.subsystem == data.subsystem && again.host == data.host);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (size >= kCompletionBytes) {
    const Completion completion = load_completion(data);
    CAPSTAN_ASSERT(load_completion(store_completion(completion).data()) == completion);
  }
  if (size >= kCommandBytes) command(data);
  if (size >= kConnectDataBytes) connect_data(data);
  CAPSTAN_ASSERT(load_dsm_ranges(bytes).size() == size / kDsmRangeBytes);
  const auto records = load_discovery_records(bytes);
  const LogPage page = discovery_page(1, records);
  CAPSTAN_ASSERT(load_discovery_records(page).size() == records.size());
  return 0;
}
