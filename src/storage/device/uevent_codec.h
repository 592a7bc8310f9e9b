// Why this file exists: a message of the kernel about one of its devices, taken apart. It is a list
// of texts, each with a NUL behind it: "ACTION@DEVPATH", then KEY=VALUE (Documentation/core-api of
// Linux, kobject uevents; lib/kobject_uevent.c). A message comes from outside of the process, so
// whatever the bytes are, nothing but what is needed and well-formed is taken from them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace capstan::storage {

// Views into the message.
struct BlockUevent {
  std::string_view action;  // "add", "change", "remove" …
  std::string_view name;    // "sda1"; may be empty
  std::uint32_t major = 0, minor = 0;
  bool resized = false;  // the size is another one
  bool made_up = false;  // asked for by writing to sysfs: nothing happened to the device
};

// Nothing when the message is not about a disk or partition, or not a whole one.
std::optional<BlockUevent> parse_block_uevent(ByteView message);

}  // namespace capstan::storage
