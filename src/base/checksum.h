// Why this file exists: the checksums of our formats, from isa-l (runtime-dispatched).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace capstan {
// CRC-32C (Castagnoli, reflected 0x82F63B78, init and final XOR all ones): "123456789" gives
// 0xE3069283. Used by lvstore metadata pages (lvs-format section 5.1) and NVMe/TCP digests.
std::uint32_t crc32c(ByteView bytes);
}  // namespace capstan
