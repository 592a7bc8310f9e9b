// Why this file exists: what a device URI means, as a value. Schemes, parameters and rules are
// those of Mayastor (io-engine-behaviour section 6.1; docs/device-uris.md for users). Nothing is
// opened here: a DeviceUri is checked text, and the registry acts on it.
//
// Every wrong URI is kInvalidArgument naming the URI, the parameter and what would be right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/uuid.h"

namespace capstan::storage {

struct DeviceUri {
  enum class Scheme : std::uint8_t {
    kAio,
    kUring,
    kMalloc,
    kNull,
    kExisting,  // bdev://, loopback://: a device that is there already
    kNvmf,      // nvmf://, nvmf+tcp://, nvmf+rdma+tcp://
    kPcie,
    kNexus,
    kLvol,
  };
  Scheme scheme = Scheme::kAio;
  std::string scheme_text;  // "aio", "nvmf+tcp" …
  std::string name;         // the device's name; for aio and uring the path, or what ?name= says
  std::string path;         // aio, uring: what to open
  std::optional<Uuid> uuid;
  std::uint32_t block_size = 0;  // 0: the device decides (aio, uring)
  std::uint64_t num_blocks = 0;  // malloc, null
  bool rescan = false;           // aio: on an existing device, re-read its size
  bool resize = false;           // malloc: on an existing device, take the new size

  std::uint64_t size_bytes() const { return num_blocks * block_size; }
};

Result<DeviceUri> parse_device_uri(std::string_view text);

}  // namespace capstan::storage
