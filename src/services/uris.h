// Why this file exists: the texts by which clients name devices, in the one form of each
// (io-engine-behaviour section 5).
#pragma once

#include <string>
#include <string_view>

#include "base/uuid.h"
#include "storage/device/registry.h"

namespace capstan::services {

// `text` with everything that has a meaning in a URI percent-encoded; '/' stays.
std::string url_text(std::string_view text);
// "bdev:///r1?uuid=…": how a device is reached on this node.
std::string local_uri(std::string_view name, const Uuid& uuid);
// `uri` with the device's UUID as a parameter, unless it has one or the UUID is nil.
std::string with_uuid(std::string_view uri, const Uuid& uuid);
void append_with_uuid(std::string_view uri, const Uuid& uuid, std::string& out);
// The URI a registered device was created from, with its UUID; empty when it had none.
std::string creation_uri(const storage::DeviceRegistry& devices, const storage::Device& device);
// Whether what stands on this device is gone with the process (malloc, null).
bool is_volatile(std::string_view uri);

}  // namespace capstan::services
