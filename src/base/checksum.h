// Why this file exists: the checksums of our formats, from isa-l (runtime-dispatched).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace capstan {
// CRC-32C (Castagnoli, reflected 0x82F63B78, init and final XOR all ones): "123456789" gives
// 0xE3069283. Used by lvstore metadata pages (lvs-format section 5.1) and NVMe/TCP digests.
// `before` is the checksum of what stands in front of `bytes`, here and below.
std::uint32_t crc32c(ByteView bytes, std::uint32_t before = 0);
// CRC-32 (IEEE 802.3, as zlib's): "123456789" gives 0xCBF43926. Used by store files (datastore
// section 2.2).
std::uint32_t crc32(ByteView bytes, std::uint32_t before = 0);
}  // namespace capstan
