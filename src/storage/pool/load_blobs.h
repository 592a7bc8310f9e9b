// Why this file exists: reads the blobs of a pool, whatever their pages hold. A blob that cannot be
// read becomes an entry with the reason and with everything that its pages still name, so that
// nobody else gets it. Memory is bounded by what the volumes really use, not by what they claim.
// Thread-safety: one core; used by load.cc only.
#pragma once

#include <string>
#include <vector>

#include "core/task.h"
#include "storage/pool/load.h"
#include "storage/pool/page_source.h"

namespace capstan::storage::lvs {

// Adds an entry for each of `roots` to `image`, and ends early, without an error, when
// limits::kPoolDamagedVolumesMax of them are damaged. An error is one of the device.
core::Task<Result<void>> read_blobs(PageSource& source, StoreImage& image,
                                    std::vector<std::uint32_t> roots);
// `pages`: what is to be kept from others for it.
void add_unreadable(StoreImage& image, Blob blob, std::vector<std::uint32_t> pages,
                    std::string reason);

}  // namespace capstan::storage::lvs
