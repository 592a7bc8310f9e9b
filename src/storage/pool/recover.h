// Why this file exists: the judgement half of a pool load: what a crash in the middle of an
// operation left behind (lvs-format section 11.4 and 14.5), and which volumes must not be opened.
// Works on the image in memory only, so it can be tested without a device.
// Thread-safety: pure functions of the image.
#pragma once

#include "storage/pool/load.h"

namespace capstan::storage::lvs {

// Completes or takes back snapshot creations and deletions; notes the writes that are due.
void resolve_interrupted(StoreImage& image);
// Marks volumes that cannot be used: external snapshots, missing or faulted ancestors, clusters or
// pages with two owners, missing or doubled names.
void find_faults(StoreImage& image);

}  // namespace capstan::storage::lvs
