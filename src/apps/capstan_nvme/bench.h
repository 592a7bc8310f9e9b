// Why this file exists: how many requests a second a device does, and how long each takes: `depth`
// of them are always under way, at random places or one behind the other. Thread-safety: one core.
#pragma once

#include <cstdint>
#include <string>

#include "core/env.h"
#include "storage/device/device.h"

namespace capstan::apps {

struct DeviceBench {
  std::string pattern;  // randread, randwrite, read, write
  std::uint64_t block_bytes = 4096, depth = 32;
  core::Nanos duration = 0;
};
struct DeviceBenchResult {
  std::uint64_t requests = 0;
  core::Nanos elapsed = 0;
  core::Nanos mean = 0, p50 = 0, p99 = 0, worst = 0;  // of one request
  double per_second() const {
    return static_cast<double>(requests) * 1e9 / static_cast<double>(elapsed);
  }
};
// kInvalidArgument: blocks that do not fit the device.
core::Task<Result<DeviceBenchResult>> run_device_bench(core::Env& env, storage::Device& device,
                                                       DeviceBench bench);

}  // namespace capstan::apps
