// Why this file exists: the one error map of the Mayastor adapters (io-engine-behaviour section 4):
// what the storage says in its own codes and errnos becomes the status that clients of the API
// know for that kind of call. Texts are kept; only the code changes.
// A cancelled or timed-out call keeps its code everywhere.
#pragma once

#include "base/result.h"

namespace capstan::services {

Error pool_create_error(Error error);  // formatting a pool
Error pool_import_error(Error error);  // opening a pool that should be on the disk
Error pool_close_error(Error error);   // exporting, destroying
Error pool_grow_error(Error error);
Error replica_create_error(Error error);
Error replica_resize_error(Error error);
Error replica_destroy_error(Error error);  // NOT_FOUND needs the trailer, see replica_v1.cc
Error share_error(Error error);            // sharing a device
Error attribute_error(Error error);        // writing an attribute of a volume

}  // namespace capstan::services
