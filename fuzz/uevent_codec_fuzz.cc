// Why this file exists: messages of the kernel come from outside of the process. Whatever the
// bytes: no crash, and what is taken lies within the message.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "storage/device/uevent_codec.h"

namespace {

void within(std::string_view part, std::string_view whole) {
  CAPSTAN_ASSERT(part.empty() || (part.data() >= whole.data() &&
                                  part.data() + part.size() <= whole.data() + whole.size()));
  CAPSTAN_ASSERT(part.find('\0') == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace capstan;
  const auto event = storage::parse_block_uevent(ByteView(data, size));
  if (!event) return 0;
  const std::string_view whole(reinterpret_cast<const char*>(data), size);
  CAPSTAN_ASSERT(!event->action.empty() && whole.starts_with(event->action));
  within(event->action, whole);
  within(event->name, whole);
  return 0;
}
