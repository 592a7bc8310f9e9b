// Why this file exists: device URIs come from clients. Whatever the bytes: no crash, and a URI that
// is accepted has a name and sizes that do not wrap.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "storage/device/device_uri.h"
#include "storage/device/registry.h"
#include "storage/device/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace capstan;
  using Scheme = storage::DeviceUri::Scheme;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto uri = storage::parse_device_uri(text);
  if (uri) {
    CAPSTAN_ASSERT(!uri->name.empty());
    CAPSTAN_ASSERT(uri->name.find('\0') == std::string::npos);
    const bool file = uri->scheme == Scheme::kAio || uri->scheme == Scheme::kUring;
    if (file) CAPSTAN_ASSERT(uri->path.starts_with('/'));
    if (uri->num_blocks != 0) {
      CAPSTAN_ASSERT(uri->block_size == 512 || uri->block_size == 4096);
      CAPSTAN_ASSERT(uri->size_bytes() / uri->block_size == uri->num_blocks);
      CAPSTAN_ASSERT(uri->size_bytes() < 1ULL << 63);
    }
    CAPSTAN_ASSERT(*storage::device_name_of(text) == uri->name);
    CAPSTAN_ASSERT(storage::normalize_disk(text) == text);
  } else {
    CAPSTAN_ASSERT(uri.error().code == Code::kInvalidArgument);
    CAPSTAN_ASSERT(!uri.error().message.empty());
  }
  return 0;
}
