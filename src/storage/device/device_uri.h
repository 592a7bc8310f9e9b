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

// What an nvmf URI says beyond the name. Absent values are up to whoever connects.
struct RemoteUri {
  std::string host;  // as written, without brackets
  std::uint16_t port = 8420;
  std::string nqn;
  std::uint32_t nsid = 1;
  std::optional<std::string> host_nqn;
  std::optional<Uuid> host_id;
  bool header_digest = false, data_digest = false;
  bool flow_control = true;
  bool abort_on_timeout = false;
  std::optional<std::uint64_t> queues, queue_size;
  std::optional<std::uint64_t> keep_alive_ms, connect_timeout_ms, io_timeout_ms;
  std::optional<std::uint64_t> reconnect_ms, fast_io_fail_ms;
  std::optional<std::uint64_t> ctrl_loss_ms;  // UINT64_MAX: for ever
};

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
  std::optional<RemoteUri> remote = std::nullopt;  // nvmf

  std::uint64_t size_bytes() const { return num_blocks * block_size; }
};

Result<DeviceUri> parse_device_uri(std::string_view text);

}  // namespace capstan::storage
