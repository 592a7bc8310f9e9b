// Why this file exists: what an nvmf:// URI asks for, as the options of an association. The words
// are in storage/device/device_uri.h.
#pragma once

#include "storage/device/device_uri.h"
#include "storage/nvme/initiator_controller.h"

namespace capstan::storage::nvme {

// `options` with everything that the URI says. The host must be a numeric address.
HostOptions with_uri(HostOptions options, const RemoteUri& uri);

}  // namespace capstan::storage::nvme
