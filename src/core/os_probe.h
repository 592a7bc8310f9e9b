// Why this file exists: what libblkid would say about a disk, asked without the disk: the caller
// has read its first and last bytes (through a Device, perhaps a simulated one), and they are shown
// to libblkid in a sparse memory file of the disk's size. Nothing is written to any disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::core {

// "ext4 file system labelled 'home'", "GPT partition table", "LVM physical volume" …, joined by
// " and " when there are several; nothing when libblkid knows nothing there. `head` are the first
// bytes of a disk of `size_bytes`, `tail` the last ones (they may overlap).
Result<std::optional<std::string>> probe_signature(ByteView head, ByteView tail,
                                                   std::uint64_t size_bytes,
                                                   std::uint32_t sector_bytes);

}  // namespace capstan::core
