// Why this file exists: how many bytes a write keeps together through a power cut. Disks promise it
// for their physical block; what lies between the disk and us can take the promise away: a
// partition that does not begin at such a block, a file system that spreads a file over smaller
// blocks. Kept apart from the system calls so that it can be tested.
// Thread-safety: a pure function.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace capstan::core {

struct UntornInputs {
  std::uint32_t logical_bytes = 512, physical_bytes = 512;
  // As sysfs has it for the disk or partition: "0" when it begins at a physical block. Empty when
  // it is not known, as for file systems without a disk of their own.
  std::string_view alignment_offset = "0";
  std::uint32_t file_system_block_bytes = 0;  // 0: no file system in between
};

// At least the logical block; never more than what every layer keeps together.
inline std::uint32_t untorn_bytes(const UntornInputs& in) {
  if (in.alignment_offset != "0") return in.logical_bytes;
  std::uint32_t bytes = std::max(in.logical_bytes, in.physical_bytes);
  if (in.file_system_block_bytes != 0) bytes = std::min(bytes, in.file_system_block_bytes);
  return std::max(bytes, in.logical_bytes);
}

}  // namespace capstan::core
