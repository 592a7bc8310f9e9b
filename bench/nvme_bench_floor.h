// Why this file exists: what NVMe/TCP is held against: bare TCP between the same two cores of the
// same process, moving the same numbers of bytes, with nothing above the sockets. Core 0 is the
// host, core 1 the target. Thread-safety: called on core 0.
#pragma once

#include <cstddef>

#include "core/env.h"

namespace capstan::bench {

inline constexpr std::size_t kLongBytes = 128U << 10;    // one sequential request
inline constexpr std::size_t kLongDepth = 8;             // of them under way
inline constexpr std::size_t kDeviceBytes = 256U << 20;  // of each device
inline constexpr std::size_t kBlockBytes = 4096;         // one random request

// Mean time in nanoseconds until `out` bytes are there and `in` bytes are back.
core::Task<double> exchange_nanos(core::Env* env, core::Nanos duration, std::size_t out,
                                  std::size_t in);

enum class Memory : unsigned char {
  kOneBuffer,  // each side sends from, or receives into, one buffer of 128 KiB again and again
  // As NVMe has to: the target goes through kDeviceBytes, the host through kLongDepth buffers.
  kDevice,
};
// Bytes a second in writes of 128 KiB, from the target to the host or the other way round.
core::Task<double> stream_rate(core::Env* env, core::Nanos duration, bool to_host, Memory memory);

}  // namespace capstan::bench
