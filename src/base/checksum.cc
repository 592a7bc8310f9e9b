#include "base/checksum.h"

#include <isa-l/crc.h>

namespace capstan {
std::uint32_t crc32c(ByteView bytes, std::uint32_t before) {
  // isa-l takes a non-const pointer but only reads.
  auto* data = const_cast<unsigned char*>(bytes.data());
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~before);
}
std::uint32_t crc32(ByteView bytes, std::uint32_t before) {
  return crc32_gzip_refl(before, bytes.data(), bytes.size());
}
}  // namespace capstan
